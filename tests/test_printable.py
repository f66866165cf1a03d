"""What comes from elsewhere and reaches a terminal: it can be read, and can do nothing."""

from __future__ import annotations

import json
import logging
import re
import unicodedata
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mollm import logs
from mollm.printable import STEERING, printable
from tests.command import TEAM, in_terminal, run
from tests.fuzz import cases

if TYPE_CHECKING:
    from pathlib import Path

DIRECTIONS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
OTHERS = "\u206a\u206f\ufff9\ufffb\U000e0001\U000e0041\U000e007f\x00\x07\x08\r\x1b\x7f\x80\x9b\x9d"
HOSTILE = f"safe{DIRECTIONS}{OTHERS}\u2028forged\u2029end"
TEXTS = ("שלום עולם", "مرحبا بالعالم", "می‌خواهم", "👩‍👩‍👧‍👦 ❤️ 1️⃣", "क्‍ष", "日本語", "naïve café", "a\tb\nc")


@pytest.mark.parametrize("text", TEXTS)
def test_what_people_write_stays(text: str) -> None:
    """Text from right to left, joined letters and emoji need no controls of direction, but joiners and selectors."""
    assert printable(text) == text


@settings(max_examples=cases(100))
@given(st.text(st.characters(), max_size=30), st.text(HOSTILE, max_size=5), st.text(max_size=30))
@example("a", HOSTILE, "b")
@example("\udb40", "", "\udc41")
def test_nothing_is_left_that_steers(before: str, hostile: str, after: str) -> None:
    """Neither in a text nor where two pieces of one meet; nothing else is lost, and no line is added."""
    pieces = [before + hostile, hostile + after]
    shown = "".join(map(printable, pieces))

    assert not STEERING.search(shown)
    assert not STEERING.search(shown.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    assert shown.count("\n") == "".join(pieces).count("\n")
    kept = [char for char in "".join(pieces) if not STEERING.match(char)]
    assert [char for char in shown if char != " "] == [char for char in kept if char != " "]
    assert all(unicodedata.category(char) not in ("Cc", "Cs") for char in shown if char not in "\t\n")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration in an empty folder."""
    path = tmp_path / "mollm.yaml"
    path.write_text(TEAM)
    return path


def hostile_team() -> str:
    """A configuration whose LLMs and descriptions try."""
    said = "".join(f"\\U{ord(char):08x}" for char in HOSTILE)
    return TEAM.replace('"scripted/the whole answer"', f'"scripted/{said}"').replace(
        "description: One alone.", f'description: "{said}"'
    )


def steered(screen: str) -> str:
    """What of a screen steers it, but for what rich and the terminal's line ends are made of."""
    return "".join(STEERING.findall(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", screen)))


@pytest.mark.parametrize(
    "command", [["ask", "Hi", "--explain"], ["ask", "Hi", "-m", "boss"], ["ask", "Hi", "--json"], ["show"], ["check"]]
)
def test_a_terminal_is_not_steered(command: list[str], config: Path) -> None:
    """By an answer, an explanation, JSON, a description or the name of a model."""
    config.write_text(hostile_team())

    _, seen = in_terminal(*command, cwd=config.parent, columns=200)

    assert steered(seen) == ""
    assert "safe" in seen or "nothing is wrong" in seen


def test_names_and_errors_do_not_steer_it(config: Path) -> None:
    """A file's name, a key and a value in it, and what an exception says of them."""
    path = config.parent / "mixture\u202egnp.yaml"
    path.write_text(
        TEAM.replace("method", "x") + 'x\u202ey: 1\n"\\u2066k": {"\\e[2J": 1}\nlimits: {calls: "\\u202e"}\n'
    )

    for command in ("check", "show", "ask"):
        arguments = [command, "--config", path.name, *(["Hi"] if command == "ask" else [])]
        code, seen = in_terminal(*arguments, cwd=config.parent, columns=200)
        assert code == 2
        assert steered(seen) == ""


def test_what_a_program_reads_is_byte_exact(config: Path) -> None:
    """An answer into a pipe is the answer; JSON is JSON, and brings back all of it."""
    config.write_text(hostile_team())

    assert run("ask", "Hi", cwd=config.parent).stdout.encode() == f"{HOSTILE}\n".encode().replace(b"\r", b"\n")
    found = run("ask", "Hi", "--json", cwd=config.parent).stdout
    assert json.loads(found)["text"] == HOSTILE
    assert not STEERING.search(found)


def test_the_log_of_the_server_does_not_steer_it() -> None:
    """Whatever a library writes into it, tracebacks included."""
    lines = logs._Layout("%(levelname)s %(message)s")  # noqa: SLF001 - the layout of its log
    record = logging.LogRecord("mollm", logging.ERROR, "", 1, HOSTILE, (), None)
    try:
        raise ValueError(HOSTILE)
    except ValueError as error:
        record.exc_info = (type(error), error, error.__traceback__)

    assert not STEERING.search(lines.format(record))
    assert lines.format(record).count("\n") > 2
