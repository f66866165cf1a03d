"""How the command starts and ends, whatever it does in between."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import mollm
from mollm.printable import STEERING
from tests.command import MOLLM, TEAM, in_terminal, run

if TYPE_CHECKING:
    from pathlib import Path


def test_the_configuration_is_looked_for_in_order(config: Path) -> None:
    """`--config` before `$MOLLM_CONFIG` before `mollm.yaml` here."""
    tmp_path = config.parent
    other = tmp_path / "other.yaml"
    other.write_text(TEAM.replace("the whole answer", "from the variable"))
    third = tmp_path / "third.yaml"
    third.write_text(TEAM.replace("the whole answer", "from the option"))

    assert run("ask", "Hi", cwd=tmp_path, MOLLM_CONFIG=str(other)).stdout == "from the variable\n"
    named = run("ask", "Hi", "--config", str(third), cwd=tmp_path, MOLLM_CONFIG=str(other))
    assert named.stdout == "from the option\n"


MISTAKES: list[tuple[str, list[str], str, str | None]] = [
    ("empty question", ["ask", "  "], "the question is empty", None),
    ("unknown mixture", ["ask", "Hi", "-m", "cooking"], "no mixture and no LLM 'cooking'; there are: team, solo", None),
    ("no file", ["ask", "Hi", "-c", "nowhere.yaml"], "nowhere.yaml: cannot be read", None),
    ("broken YAML", ["ask", "Hi"], "mollm.yaml:3: not valid YAML", "llms:\n  a: {model: x/y}\n b: ]\n"),
    (
        "unknown key",
        ["ask", "Hi"],
        "mollm.yaml:2: lmls: unknown key; did you mean 'llms'?",
        TEAM.replace("llms", "lmls"),
    ),
    ("unknown option", ["ask", "Hi", "--jsno"], "No such option", None),
    ("unknown command", ["aks"], "No such command", None),
    ("limit", ["ask", "Hi"], "3 calls at worst", TEAM + "limits: {calls: 2}\n"),
    (
        "missing variable",
        ["ask", "Hi"],
        "mollm.yaml:3: llms.a.api_key: the environment variable NOT_THERE is not set",
        TEAM.replace("model: scripted/from a", "model: hosted_vllm/a, api_base: http://x, api_key: '${NOT_THERE}'"),
    ),
]


@pytest.mark.parametrize(("arguments", "message", "text"), [pytest.param(*m[1:], id=m[0]) for m in MISTAKES])
def test_a_mistake_is_one_clear_message_and_exit_code_2(
    arguments: list[str], message: str, text: str | None, config: Path
) -> None:
    """What is wrong, where, and no traceback."""
    if text is not None:
        config.write_text(text)

    done = run(*arguments, cwd=config.parent)

    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "arguments", [["ask", "--\u202eno\x1b[2J"], ["show", "a", "z\u2066\x9b2J"], ["a\u202e\x1b]0;x\x07"]]
)
def test_a_mistake_is_told_without_what_steers_a_terminal(arguments: list[str], config: Path) -> None:
    """An argument may be the name of a file that somebody else gave it."""
    done = run(*arguments, cwd=config.parent)

    assert done.returncode == 2
    assert "Usage: mollm" in done.stderr
    assert not STEERING.search(done.stderr)


def test_a_failed_run_names_every_cause_and_exits_with_1(config: Path) -> None:
    """All workers down is not the user's mistake."""
    down = "model: hosted_vllm/x, api_base: 'http://127.0.0.1:1/v1', retries: 0"
    config.write_text(TEAM.replace("model: scripted/from a", down).replace("model: scripted/from b", down))

    done = run("ask", "Hi", cwd=config.parent)

    assert done.returncode == 1
    assert "every worker failed" in done.stderr
    assert done.stderr.count("mollm:   ") == 2
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_with_130(config: Path) -> None:
    """No traceback, and at once."""
    config.write_text(TEAM.replace("model: scripted/from a", "model: hosted_vllm/a, api_base: 'http://127.0.0.1:9'"))
    server = (
        "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True);"
        "s.accept(); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", server], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as silent:
        assert silent.stdout
        port = silent.stdout.readline().decode().strip()
        config.write_text(config.read_text().replace("127.0.0.1:9", f"127.0.0.1:{port}/v1"))

        code, seen = in_terminal("ask", "Hi", cwd=config.parent, interrupt_at=b"running")
        assert silent.stdin
        silent.stdin.close()

    assert code == 130
    assert "Traceback" not in seen


def test_a_reader_that_leaves_is_no_error(config: Path) -> None:
    """`mollm ... | head -0` ends quietly."""
    command = f"{' '.join(MOLLM)} show | head -c 0"

    done = subprocess.run(["bash", "-c", command], cwd=config.parent, capture_output=True, text=True, timeout=60)

    assert done.stderr == ""


def test_a_reader_that_leaves_in_the_middle_is_no_error(config: Path) -> None:
    """`mollm ask ... | head -c 10` ends quietly, however long the answer is."""
    config.write_text(TEAM.replace("the whole answer", "word " * 100_000))
    command = f"{' '.join(MOLLM)} ask Hi | head -c 10"

    done = subprocess.run(["bash", "-c", command], cwd=config.parent, capture_output=True, text=True, timeout=60)

    assert (done.stdout, done.stderr) == ("word word ", "")


CLOSED = [("ask Hi >&-", 0, ""), ("ask - <&-", 2, "mollm: the question is empty\n"), ("ask Hi -m x 2>&-", 2, "")]


@pytest.mark.parametrize(("command", "code", "said"), CLOSED)
def test_a_stream_may_be_closed(command: str, code: int, said: str, config: Path) -> None:
    """As by a daemon; there is no traceback."""
    line = f"{' '.join(MOLLM)} {command}"

    done = subprocess.run(["bash", "-c", line], cwd=config.parent, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (code, said)


def test_an_answer_that_cannot_be_written_is_a_failure(config: Path) -> None:
    """A full disk is not passed over in silence."""
    line = f"{' '.join(MOLLM)} ask Hi > /dev/full"

    done = subprocess.run(["bash", "-c", line], cwd=config.parent, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (1, "mollm: the output cannot be written: No space left on device\n")


def test_a_locale_without_unicode_is_no_error(config: Path) -> None:
    """What it cannot show becomes a question mark."""
    config.write_text(TEAM.replace("the whole answer", "5 € für 语言"))
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    done = run("ask", "Was kostet es? €", "--explain", cwd=config.parent, **ascii_only)

    assert (done.returncode, done.stdout) == (0, "5 ? f?r ??\n")
    assert "Traceback" not in done.stderr


def test_help_explains_itself(config: Path) -> None:
    """Without arguments and with `--help`, in a terminal of 60 columns."""
    found: Any = run("--help", cwd=config.parent, COLUMNS="60")

    assert found.returncode == 0
    assert all(name in found.stdout for name in ("ask", "route", "check", "show"))


@pytest.mark.parametrize("command", ["", "ask", "chat", "route", "check", "show", "serve"])
def test_help_is_a_letter_away(command: str, config: Path) -> None:
    """`-h` is `--help`, for every command."""
    arguments = [command] if command else []

    short, long = (run(*arguments, option, cwd=config.parent) for option in ("-h", "--help"))

    assert (short.returncode, short.stderr) == (0, "")
    assert short.stdout == long.stdout
    assert f"Usage: mollm {command}" in short.stdout


def test_the_version_is_that_of_the_package(config: Path) -> None:
    """Alone on standard output, whatever else stands in the folder."""
    config.write_text("broken")

    done = run("--version", cwd=config.parent)

    assert (done.returncode, done.stdout, done.stderr) == (0, f"mollm {mollm.__version__}\n", "")
