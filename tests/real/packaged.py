"""The packaged LLM as a newcomer meets it: the main command, and the README's commands and Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.reference import ROOT
from tests.test_docs import environment, run_commands, run_python

if TYPE_CHECKING:
    from pathlib import Path

README = ROOT / "README.md"


def test_the_main_command_answers_with_the_packaged_mixture(tmp_path: Path) -> None:
    """`mollm ask` in an empty folder: routed by what was asked, several real calls, one answer."""
    command = [sys.executable, "-m", "mollm", "ask", "Build a portfolio website for me", "--json"]
    environ = {**os.environ, "MOLLM_CACHE": str(tmp_path / "cache")}
    environ.pop("MOLLM_CONFIG", None)

    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=280)

    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["mixture"] == "coding"
    assert answer["calls"] == 4
    assert len({p["text"] for p in answer["proposals"]}) == 3, "three different prompts, three different texts"
    assert len(answer["text"].split()) > 10
    assert not answer["usage"]["estimated"]


def test_the_commands_of_the_readme_print_what_it_says(tmp_path: Path) -> None:
    """Each ends well, `...` standing for anything."""
    run_commands(README, tmp_path, environment(tmp_path / "cache"))


def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    """Without an error or a warning."""
    run_python(README, tmp_path, environment(tmp_path / "cache"))
