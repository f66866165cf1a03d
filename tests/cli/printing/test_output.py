"""What goes out cannot steer the terminal."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from tests.command import TEAM, in_terminal, run

if TYPE_CHECKING:
    from pathlib import Path


def test_json_cannot_steer_the_terminal_either(config: Path) -> None:
    """Control characters are escaped, and come back when it is read."""
    config.write_text(TEAM.replace('"scripted/the whole answer"', '"scripted/a\\e[31m\\x9b2J b"'))

    done = run("ask", "Hi", "--json", cwd=config.parent)

    assert json.loads(done.stdout)["text"] == "a\x1b[31m\x9b2J b"
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", done.stdout)


def test_what_an_llm_writes_cannot_steer_the_terminal(config: Path) -> None:
    """Escape sequences in an answer do not reach the screen."""
    config.write_text(TEAM.replace('"scripted/the whole answer"', '"scripted/safe \\e]0;owned\\a text"'))

    _, seen = in_terminal("ask", "Hi", cwd=config.parent)

    assert "\x1b]0;" not in seen
    assert "safe" in seen
