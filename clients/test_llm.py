"""Through the command `llm`, configured as its users do: a file with one more model of OpenAI's kind."""
# ruff: noqa: S101 - asserts are the point

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Served

FUNCTIONS = '''
def get_weather(location: str) -> str:
    """Tell the weather of a city."""
    return "Rain, 11 degrees."
'''


@pytest.fixture
def command(served: Served, tmp_path: Path) -> Callable[..., str]:
    """Run `llm` and return what it prints."""
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- model_id: mine\n  model_name: {served.model}\n  api_base: {served.base_url}\n  api_key_name: mollm\n"
        "  supports_tools: true\n  supports_schema: true\n"
    )
    (tmp_path / "keys.json").write_text(json.dumps({"mollm": served.key}))
    env = {**os.environ, "LLM_USER_PATH": str(tmp_path)}

    def run(*arguments: str) -> str:
        whole = [sys.executable, "-m", "llm", *arguments]
        done = subprocess.run(whole, env=env, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize("how", [["--no-stream"], []], ids=["whole", "streamed"])
def test_a_question_is_answered(command: Callable[..., str], how: list[str]) -> None:
    """On standard output."""
    assert "42" in command("-m", "mine", *how, "What is 6 * 7?")


def test_a_conversation_goes_on(command: Callable[..., str]) -> None:
    """A second question knows the first."""
    command("-m", "mine", "Hello, my name is Ada.")

    assert "Ada" in command("-c", "What is my name?")


@pytest.mark.parametrize("how", [["--no-stream"], []], ids=["whole", "streamed"])
def test_a_loop_of_tools_ends_with_what_the_tool_said(command: Callable[..., str], how: list[str]) -> None:
    """Question, call, result, answer."""
    said = command("-m", "mine", *how, "--functions", FUNCTIONS, "What is the weather in Paris?")

    assert "Rain, 11 degrees." in said


def test_an_answer_keeps_a_schema(command: Callable[..., str]) -> None:
    """Given in the command's short form."""
    said = command("-m", "mine", "--schema", "name, country", "The city 'Oslo' in the country 'Norway'")

    assert set(json.loads(said)) == {"name", "country"}
