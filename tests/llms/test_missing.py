"""What happens where a part of mollm is not installed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from mollm import MoLLM
from mollm.cli.checks import check_config
from mollm.errors import ConfigError
from mollm.llms.scripted import ScriptedLLM

if TYPE_CHECKING:
    from pathlib import Path

PARTS = ("litellm", "xllamacpp", "langchain_openai")


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the parts can be imported."""
    for module in PARTS:
        monkeypatch.setitem(sys.modules, module, None)


def config(**llms: dict[str, Any]) -> dict[str, Any]:
    """One mixture of these LLMs."""
    return {"llms": llms, "mixtures": {"all": {"description": "All.", "workers": [*llms]}}}


def test_everything_that_is_missing_is_told_when_the_file_is_read(tmp_path: Path) -> None:
    """With the line of the file and the command that brings it; nobody has to ask first."""
    path = tmp_path / "mollm.yaml"
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    path.write_text(
        "llms:\n"
        "  hosted: {model: anthropic/claude-sonnet-4-5}\n"
        "  chat: {model: openai/m, api_base: http://127.0.0.1:9, client: langchain-openai}\n"
        "  embedded: {model: local/m.gguf}\n"
        "mixtures:\n"
        "  all: {description: All., workers: [hosted, chat, embedded]}\n"
    )

    problems = check_config(path).problems

    assert [problem.partition("; run `")[0] for problem in problems] == [
        f"{path}:2: llms.hosted.model: LiteLLM, which calls anthropic/claude-sonnet-4-5, is not installed",
        f"{path}:3: llms.chat.model: langchain-openai, which calls m, is not installed",
        f"{path}:4: llms.embedded.model: local/m.gguf: llama.cpp is not installed",
    ]
    assert [problem.removesuffix("`").rpartition(" ")[2] for problem in problems] == [
        "litellm",
        "langchain-openai",
        "xllamacpp",
    ]


def test_an_llm_that_was_given_needs_none_of_them() -> None:
    """Whatever its name in the file says; it has no price then."""
    hosted = {"model": "anthropic/unheard-of"}
    with MoLLM(config(a=hosted), llms={"a": ScriptedLLM("Four.")}) as mollm:
        answer = mollm.ask("2+2?")

    assert (answer.text, answer.cost_usd) == ("Four.", None)


def test_a_file_of_the_hub_needs_what_downloads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told when the file is read, not by the first question."""
    monkeypatch.delitem(sys.modules, "xllamacpp")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)

    with pytest.raises(ConfigError, match="huggingface-hub, which downloads it, is not installed"):
        MoLLM(config(a={"model": "local/hf:owner/repo/file.gguf"}))
