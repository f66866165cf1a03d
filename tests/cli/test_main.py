"""The command as a person or a script runs it."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len

from tests.command import MOLLM, TEAM

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration in an empty folder."""
    path = tmp_path / "mollm.yaml"
    path.write_text(TEAM)
    return path


def run(*arguments: str, cwd: Path, text: str | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command with pipes for standard streams."""
    env = {**os.environ, **environ}
    env.pop("MOLLM_CONFIG", None) if "MOLLM_CONFIG" not in environ else None
    return subprocess.run(
        [*MOLLM, *arguments], cwd=cwd, env=env, input=text, capture_output=True, text=True, timeout=120
    )


def in_terminal(
    *arguments: str, cwd: Path, columns: int = 80, interrupt_at: bytes | None = None, **environ: str
) -> tuple[int, str]:
    """Run the command in a pseudo-terminal and return its exit code and what the screen received."""
    pid, screen = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        os.environ.update(COLUMNS=str(columns), TERM="xterm", **environ)
        os.execv(sys.executable, [*MOLLM, *arguments])
    seen = b""
    while True:
        try:
            piece = os.read(screen, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
        if interrupt_at and interrupt_at in seen:
            interrupt_at = None
            os.kill(pid, signal.SIGINT)
    os.close(screen)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen.decode()


def test_piped_it_prints_the_answer_alone(config: Path) -> None:
    """Standard output is the answer and a newline; standard error is silent."""
    done = run("ask", "Hi", cwd=config.parent)

    assert (done.returncode, done.stdout, done.stderr) == (0, "the whole answer\n", "")


def test_in_a_terminal_the_workers_stand_above_the_answer(config: Path) -> None:
    """Each worker is shown with what became of it, and then the answer."""
    dead = "hosted_vllm/b, api_base: 'http://127.0.0.1:1/v1', retries: 0"
    config.write_text(TEAM.replace("scripted/from b", dead).replace("[a, b]", "[a, b, boss]"))

    code, seen = in_terminal("ask", "Hi", cwd=config.parent)

    assert code == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)
    assert re.search(r"a +done", plain)
    assert re.search(r"b +failed", plain)
    assert plain.index("failed") < plain.rindex("the whole answer")
    assert "degraded" not in plain


def test_sixty_columns_are_enough(config: Path) -> None:
    """No line of the progress is wider than the terminal."""
    _, seen = in_terminal("ask", "Hi", cwd=config.parent, columns=60)

    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)
    assert max(len(line) for line in re.split(r"[\r\n]+", plain)) <= 60


def test_json_is_the_whole_answer(config: Path) -> None:
    """Every field of `Answer`, and nothing but JSON."""
    done = run("ask", "Hi", "--json", cwd=config.parent)

    answer = json.loads(done.stdout)
    assert answer["text"] == "the whole answer"
    assert answer["route"]["mixture"] == "team"
    assert [p["worker"] for p in answer["proposals"]] == ["a", "b"]
    assert answer["calls"] == len(answer["breakdown"]) == 3


def test_explain_says_how_the_answer_came_about(config: Path) -> None:
    """The answer alone on standard output; route, proposals, agreement, writer, calls and cost beside it."""
    prices = "{model: scripted/One way is to try it., price: {input: 1, output: 1}}"
    dead = "{model: hosted_vllm/b, api_base: 'http://127.0.0.1:1/v1', retries: 0}"
    config.write_text(TEAM.replace("{model: scripted/from a}", prices).replace("{model: scripted/from b}", dead))

    done = run("ask", "Hi", "--explain", cwd=config.parent, COLUMNS="60")

    assert (done.returncode, done.stdout) == (0, "One way is to try it.\n")
    lines = done.stderr.splitlines()
    assert lines[0] == "route     team  every question goes to team"
    assert re.fullmatch(r"a +\d\.\d s, about \d+ tokens, 0\.\d{6} USD", lines[2])
    assert lines[3].strip() == "One way is to try it."
    assert re.fullmatch(r"b +unreachable: .*", lines[4])
    assert "answer    a's proposal, word for word" in lines
    assert "degraded  only 1 of 2 proposals arrived" in lines
    assert re.search(r"^workers   2 calls, about \d+ tokens, 0\.\d{6} USD$", done.stderr, re.MULTILINE)
    assert re.fullmatch(r"in all +2 calls, \d\.\d s, about \d+ tokens, 0\.\d{6} USD", lines[-1])
    assert "\x1b" not in done.stderr


def test_explain_says_who_agreed(config: Path) -> None:
    """On what, and out of how many."""
    agreeing = TEAM.replace("scripted/from a", '"scripted/Final answer: 7"').replace("from b", "7")
    config.write_text(agreeing.replace("[a, b]", "[a, boss, b]"))

    done = run("ask", "Hi", "--explain", cwd=config.parent)

    assert "final answer 7" in done.stderr
    assert re.search(r"^agreed +a, b: 2 of 3 on 7$", done.stderr, re.MULTILINE)


def test_explain_goes_with_json(config: Path) -> None:
    """Standard output is still JSON and nothing else."""
    done = run("ask", "Hi", "--json", "--explain", cwd=config.parent)

    assert json.loads(done.stdout)["text"] == "the whole answer"
    assert "written by boss from 2 proposals" in done.stderr


def test_an_explanation_fits_whatever_was_written(config: Path) -> None:
    """Wide characters, endless words and escape sequences stay within 60 columns."""
    hostile = '"scripted/' + "语言模型" * 50 + " " + "x" * 500 + '\\e[31m[bold]\\x9b2J"'
    config.write_text(
        TEAM.replace("scripted/from a", hostile).replace("  b:", "  b_with_quite_a_long_name_of_its_own:")
    )
    config.write_text(config.read_text().replace("[a, b]", "[a, b_with_quite_a_long_name_of_its_own]"))

    done = run("ask", "Hi", "--explain", cwd=config.parent, COLUMNS="60")

    assert max(cell_len(line) for line in done.stderr.splitlines()) <= 60
    assert "b_with_quite_a_long_name_of_its_own\n" in done.stderr
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", done.stderr)


def test_an_explanation_has_colours_only_where_they_are_wanted(config: Path) -> None:
    """In a terminal it has, under `NO_COLOR` it has none."""
    _, coloured = in_terminal("ask", "Hi", "--explain", cwd=config.parent)
    _, plain = in_terminal("ask", "Hi", "--explain", cwd=config.parent, NO_COLOR="1")

    assert re.search(r"\x1b\[1m(?:\x1b\[0m)?answer", coloured)
    assert "written by boss" in plain
    assert not re.search(r"\x1b\[[0-9;]*m", plain)


def test_a_mixture_can_be_named(config: Path) -> None:
    """`--mixture` skips the router."""
    assert run("ask", "Hi", "--mixture", "solo", cwd=config.parent).stdout == "from a\n"


def test_a_question_can_come_from_standard_input(config: Path) -> None:
    """`-` reads it."""
    assert run("ask", "-", cwd=config.parent, text="Hi\n").stdout == "the whole answer\n"


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
    ("unknown mixture", ["ask", "Hi", "-m", "cooking"], "no mixture 'cooking'; there are: team, solo", None),
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


def test_route_shows_the_decision(config: Path) -> None:
    """For people a line each, for programs always a list, and no LLM is needed."""
    config.write_text(
        TEAM.replace("model: scripted/from a", "model: hosted_vllm/a, api_base: x, api_key: '${NOT_THERE}'")
    )

    people = run("route", "Hi", "Ho", cwd=config.parent)
    programs = run("route", "Hi", "--json", cwd=config.parent)

    assert people.stdout.count("team") >= 2
    assert [decision["mixture"] for decision in json.loads(programs.stdout)] == ["team"]


def test_check_lists_everything_at_once(config: Path) -> None:
    """All problems in one go, exit code 2; a good file is confirmed with 0."""
    good = run("check", cwd=config.parent)
    config.write_text(TEAM.replace("workers: [a, b]", "workers: [a, x], agree: 9").replace("One alone.", ""))
    bad = run("check", cwd=config.parent)

    assert good.returncode == 0
    assert "nothing is wrong" in good.stdout
    assert bad.returncode == 2
    assert bad.stderr.count("error: ") >= 1


def test_check_online_calls_every_llm(config: Path) -> None:
    """An LLM that does not answer is found before the first question."""
    config.write_text(TEAM.replace("model: scripted/from a", "model: hosted_vllm/a, api_base: 'http://127.0.0.1:1/v1'"))

    done = run("check", "--online", cwd=config.parent)

    assert done.returncode == 2
    assert "error: a: " in done.stderr


def test_show_tells_the_worst_case(config: Path) -> None:
    """Mixtures, LLMs, and the most one question can take."""
    done = run("show", cwd=config.parent)

    assert "at most 3 calls" in done.stdout
    assert "bypass" in done.stdout


def test_show_draws_the_graph(config: Path) -> None:
    """Mermaid, ready to paste."""
    done = run("show", "--graph", cwd=config.parent)

    assert "graph TD" in done.stdout
    assert "propose" in done.stdout


def test_help_explains_itself(config: Path) -> None:
    """Without arguments and with `--help`, in a terminal of 60 columns."""
    found: Any = run("--help", cwd=config.parent, COLUMNS="60")

    assert found.returncode == 0
    assert all(name in found.stdout for name in ("ask", "route", "check", "show"))
