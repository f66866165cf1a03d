"""A conversation as a person types it, or a script pipes it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import termios
from typing import TYPE_CHECKING, Any, Self

import pytest

from tests.command import MOLLM, TEAM
from tests.upstream import Upstream, answer, error, hang, stream

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.process

IN_TERMINAL = [sys.executable, "-c", "import os, sys; os.login_tty(0); os.execv(sys.argv[1], sys.argv[1:])"]

REMOTE = """
llms:
  a: {model: hosted_vllm/m, api_base: "BASE", retries: 0}
mixtures:
  solo: {description: One alone., workers: [a]}
  pair: {description: Two of it., workers: [{llm: a, samples: 2}], aggregator: {method: vote}}
router: {kind: fixed, fallback: solo}
"""
CTRL_C, CTRL_D = "\x03", "\x04"


class Terminal:
    """`mollm chat` in a pseudo-terminal of 60 columns."""

    def __init__(self, config: str, folder: Path, *arguments: str, **environ: str) -> None:
        (folder / "mollm.yaml").write_text(config)
        self._folder, self._arguments = folder, arguments
        self._environ = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "MOLLM_CONFIG")}
        self._environ |= {"TERM": "xterm", **environ}
        self.received = b""
        """Everything the screen received."""
        self._shown = 0
        self._is_over = False
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._screen, inside = os.openpty()
        termios.tcsetwinsize(inside, (30, 60))
        os.set_blocking(self._screen, False)
        command = [*IN_TERMINAL, *MOLLM, "chat", *self._arguments]
        self.process = await asyncio.create_subprocess_exec(
            *command, cwd=self._folder, env=self._environ, stdin=inside, stdout=inside, stderr=inside
        )
        os.close(inside)
        asyncio.get_running_loop().add_reader(self._screen, self._read)
        try:
            await self.until("> ")
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        asyncio.get_running_loop().remove_reader(self._screen)
        os.close(self._screen)

    @property
    def text(self) -> str:
        """What the screen received, without the sequences that steer it."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", self.received.decode())

    def type(self, keys: str) -> None:
        """Press these keys."""
        os.write(self._screen, keys.encode())

    async def until(self, text: str) -> str:
        """Wait until the screen shows `text` after what was waited for last; return what came in between."""
        begin = self._shown
        try:
            async with asyncio.timeout(60):
                while (found := self.text.find(text, begin)) < 0 and not self._is_over:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            found = -1
        assert found >= 0, f"{text!r} was not shown:\n{self.text}"
        self._shown = found + len(text)
        return self.text[begin:found]

    async def say(self, line: str) -> str:
        """Type a line and return what is shown until the next prompt."""
        self.type(f"{line}\r")
        await self.until(line)
        return await self.until("> ")

    async def interrupt(self, text: str) -> None:
        """Press Ctrl-C at the prompt until the screen shows `text`.

        Python's readline does not see a press in the moment between one key and waiting for the next.
        """
        shown = asyncio.ensure_future(self.until(text))
        while not shown.done():
            self.type(CTRL_C)
            await asyncio.wait([shown], timeout=5)
        await shown

    async def exit_code(self) -> int:
        """Wait for the end."""
        async with asyncio.timeout(60):
            return await self.process.wait()

    def _read(self) -> None:
        try:
            self.received += os.read(self._screen, 65536)
        except OSError:  # how Linux says that nobody is left on the other side
            asyncio.get_running_loop().remove_reader(self._screen)
            self._is_over = True
        self._changed.set()


def piped(lines: str, folder: Path, config: str = TEAM, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `mollm chat` with pipes for standard streams."""
    (folder / "mollm.yaml").write_text(config)
    command = [*MOLLM, "chat", *arguments]
    return subprocess.run(command, cwd=folder, input=lines, capture_output=True, text=True, timeout=120)


def asked(upstream: Upstream, number: int) -> list[tuple[str, Any]]:
    """Roles and contents of a request; the first is 1."""
    return [(m["role"], m["content"]) for m in upstream.received[number - 1].body["messages"]]


async def test_the_conversation_is_sent_over_one_connection(tmp_path: Path) -> None:
    """The second question goes out with the first and its answer, on the connection that is open already."""
    async with Upstream(stream("Fo", "ur."), stream("Ei", "ght.")) as upstream:
        async with Terminal(REMOTE.replace("BASE", upstream.base_url), tmp_path) as terminal:
            first = await terminal.say("2 + 2?")
            second = await terminal.say("And twice that?")

        assert "Four." in first
        assert "Eight." in second
        assert asked(upstream, 1) == [("user", "2 + 2?")]
        assert asked(upstream, 2) == [("user", "2 + 2?"), ("assistant", "Four."), ("user", "And twice that?")]
        assert upstream.connections == 1


async def test_who_writes_is_shown_until_the_answer_begins(tmp_path: Path) -> None:
    """While the first token is waited for a line names the LLM; it is gone when the answer stands there."""
    begins = asyncio.Event()
    async with (
        Upstream(stream(begins, "Four.")) as upstream,
        Terminal(REMOTE.replace("BASE", upstream.base_url), tmp_path) as terminal,
    ):
        terminal.type("2 + 2?\r")
        await terminal.until("writing")
        assert re.match(r" \d+\.\d s \(a\)", await terminal.until("\n"))
        begins.set()
        await terminal.until("Four.")
        await terminal.until("> ")

        last = terminal.received.rpartition(b"\x1b[2K")[2]
        assert b"solo" in last
        assert b"writing" not in last


async def test_new_forgets_the_conversation(tmp_path: Path) -> None:
    """After `/new` a question goes out alone, and there is nothing to explain."""
    async with Upstream(stream("Four."), stream("Eight.")) as upstream:
        async with Terminal(REMOTE.replace("BASE", upstream.base_url), tmp_path) as terminal:
            await terminal.say("2 + 2?")
            await terminal.say("/new")
            explained = await terminal.say("/explain")
            await terminal.say("4 + 4?")

        assert "no answer yet" in explained
        assert asked(upstream, 2) == [("user", "4 + 4?")]


async def test_ctrl_c_stops_the_answer_and_not_the_program(tmp_path: Path) -> None:
    """The connection is closed, the stopped question is not kept, and the next one is answered."""
    async with Upstream(stream("Once upon", asyncio.Event(), " a time."), stream("Four.")) as upstream:
        async with Terminal(REMOTE.replace("BASE", upstream.base_url), tmp_path) as terminal:
            terminal.type("A story!\r")
            await terminal.until("Once upon")
            terminal.type(CTRL_C)
            await terminal.until("\nstopped; this question is not kept")
            async with asyncio.timeout(60):
                await upstream.received[0].closed_early.wait()
            await terminal.until("> ")

            assert "Four." in await terminal.say("2 + 2?")

        assert asked(upstream, 2) == [("user", "2 + 2?")]


async def test_ctrl_c_stops_every_worker(tmp_path: Path) -> None:
    """While proposals are waited for, all their connections are closed."""
    async with (
        Upstream(hang(), hang()) as upstream,
        Terminal(REMOTE.replace("BASE", upstream.base_url), tmp_path, "-m", "pair") as terminal,
    ):
        terminal.type("2 + 2?\r")
        async with asyncio.timeout(60):
            requests = [await upstream.request(1), await upstream.request(2)]
            terminal.type(CTRL_C)
            for request in requests:
                await request.closed_early.wait()
        await terminal.until("stopped; this question is not kept\n")
        await terminal.until("> ")

        terminal.type(CTRL_D)
        assert await terminal.exit_code() == 0


async def test_a_failed_question_is_one_line_and_not_kept(tmp_path: Path) -> None:
    """Every cause is named, and the conversation goes on without it."""
    async with Upstream(error(500), error(500), stream("Four.")) as upstream:
        async with Terminal(REMOTE.replace("BASE", upstream.base_url), tmp_path, "-m", "pair") as terminal:
            failed = await terminal.say("Hello?")
            await terminal.say("/mixture auto")

            assert "Four." in await terminal.say("2 + 2?")

        said = [line for line in failed.splitlines() if line.startswith("mollm: ")]
        assert len(said) == 1
        assert "mixture 'pair': every worker failed: a: " in said[0]
        assert "; a#2: " in said[0]
        assert asked(upstream, 3) == [("user", "2 + 2?")]


async def test_a_conversation_that_is_too_long_can_be_ended(tmp_path: Path) -> None:
    """What no longer fits says what to do; the first question alone gets no such advice."""
    too_long = error(400, "maximum context length", code="context_length_exceeded")
    async with (
        Upstream(too_long, stream("Four."), too_long) as upstream,
        Terminal(REMOTE.replace("BASE", upstream.base_url), tmp_path) as terminal,
    ):
        alone = await terminal.say("Hello?")
        await terminal.say("2 + 2?")
        later = await terminal.say("And now?")

    assert "/new" not in alone
    assert "/new begins a shorter conversation" in later


async def test_a_mixture_can_be_picked_and_left_again(tmp_path: Path) -> None:
    """`/mixture` lists them, with a name it stays and stands in the prompt, `auto` routes again."""
    async with Terminal(TEAM, tmp_path, "--mixture", "solo") as terminal:
        assert "from a" in await terminal.say("Hi")
        listed = await terminal.say("/mixture")
        unknown = await terminal.say("/mixture cooking")
        await terminal.say("/mixture auto")
        routed = await terminal.say("Hi")
        await terminal.say("/mixture solo")
        terminal.type(CTRL_D)
        await terminal.exit_code()

    assert re.search(r"^\* solo +One alone\.$", listed, re.MULTILINE)
    assert re.search(r"^team +Two and a boss\.$", listed, re.MULTILINE)
    assert "no mixture and no LLM 'cooking'; there are: team, solo" in unknown
    assert "the whole answer" in routed
    assert terminal.text.rstrip().endswith("solo>")


async def test_an_answer_can_be_explained(tmp_path: Path) -> None:
    """`/explain` names route, workers and writer, in 60 columns."""
    async with Terminal(TEAM, tmp_path) as terminal:
        await terminal.say("Hi")
        explained = await terminal.say("/explain")

    assert re.search(r"^route +team  every question goes to team$", explained, re.MULTILINE)
    assert re.search(r"^answer +written by boss from 2 proposals$", explained, re.MULTILINE)
    assert max(len(line) for line in explained.splitlines()) <= 60


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("/mixtur team", "no command '/mixtur'; did you mean '/mixture'?"),
        ("/ex", "did you mean '/explain'?"),
        ("/zzz", "no command '/zzz'; /help lists them"),
        ("/", "no command '/'; /help lists them"),
    ],
)
def test_an_unknown_command_names_the_nearest(typed: str, hint: str, tmp_path: Path) -> None:
    """It is not taken for a question."""
    done = piped(f"{typed}\n", tmp_path)

    assert hint in done.stderr
    assert done.stdout == ""
    assert done.returncode == 1


async def test_help_lists_the_commands(tmp_path: Path) -> None:
    """Each of them, and what the keys do."""
    async with Terminal(TEAM, tmp_path) as terminal:
        shown = await terminal.say("/help")

    assert all(name in shown for name in ("/mixture", "/explain", "/new", "/help", "/quit", "Ctrl-C", "Ctrl-D"))


@pytest.mark.parametrize("keys", [CTRL_D, "/quit\r", "/exit\r"])
async def test_there_are_ways_to_leave(keys: str, tmp_path: Path) -> None:
    """All of them with exit code 0."""
    async with Terminal(TEAM, tmp_path) as terminal:
        terminal.type(keys)

        assert await terminal.exit_code() == 0
    assert "Traceback" not in terminal.text


async def test_ctrl_c_at_the_prompt_leaves_when_pressed_twice(tmp_path: Path) -> None:
    """The first press says so; a line in between starts over."""
    async with Terminal(TEAM, tmp_path) as terminal:
        await terminal.interrupt("Ctrl-C again or Ctrl-D leaves\n> ")
        await terminal.say("Hi")
        await terminal.interrupt("Ctrl-C again or Ctrl-D leaves\n> ")
        await terminal.interrupt("\n")

        assert await terminal.exit_code() == 0
    assert "Traceback" not in terminal.text


async def test_ctrl_c_drops_a_half_typed_line(tmp_path: Path) -> None:
    """It is not asked, and the program stays, however often that is done."""
    async with Terminal(TEAM, tmp_path, "-m", "solo") as terminal:
        for _ in range(2):
            terminal.type("Half a line")
            await terminal.until("Half a line")
            await terminal.interrupt("> ")

        shown = await terminal.say("Hi")

    assert "from a" in shown
    assert terminal.text.count("from a") == 1
    assert "leaves\n>" not in terminal.text.partition("Ctrl-D leaves.")[2]


async def test_several_pasted_lines_are_one_question(tmp_path: Path) -> None:
    """Code can be pasted."""
    async with Upstream(stream("Fine.")) as upstream:
        async with Terminal(REMOTE.replace("BASE", upstream.base_url), tmp_path) as terminal:
            terminal.type("\x1b[200~def f():\n    return 1\x1b[201~\r")
            await terminal.until("Fine.")

        assert asked(upstream, 1) == [("user", "def f():\n    return 1")]


async def test_typed_lines_can_be_had_again(tmp_path: Path) -> None:
    """The arrow keys bring back what was asked before."""
    async with Upstream(stream("Four."), stream("Still four.")) as upstream:
        async with Terminal(REMOTE.replace("BASE", upstream.base_url), tmp_path) as terminal:
            await terminal.say("2 + 2?")
            terminal.type("\x1b[A\r")
            await terminal.until("Still four.")

        assert asked(upstream, 2)[-1] == ("user", "2 + 2?")


async def test_a_dumb_terminal_gets_plain_text(tmp_path: Path) -> None:
    """Where `TERM` says that nothing can be steered, nothing is."""
    async with Terminal(TEAM, tmp_path, TERM="dumb") as terminal:
        shown = await terminal.say("Hi")

    assert "the whole answer" in shown
    assert b"\x1b" not in terminal.received


async def test_a_hostile_answer_cannot_steer_the_terminal(tmp_path: Path) -> None:
    """Neither when it is shown nor when it is explained."""
    config = TEAM.replace("scripted/from a", '"scripted/safe \\e]0;owned\\a\\e[2J [red]\\x9b31m text"').replace(
        "fallback: team", "fallback: solo"
    )
    async with Terminal(config, tmp_path) as terminal:
        await terminal.say("Hi")
        explained = await terminal.say("/explain")

    assert "safe ]0;owned[2J [red]31m text" in explained
    assert b"\x1b]" not in terminal.received
    assert b"\x1b[2J" not in terminal.received
    assert "\x9b" not in terminal.text


def test_piped_every_line_is_a_question(tmp_path: Path) -> None:
    """Answers alone on standard output; empty lines are no questions; nothing else is said."""
    done = piped("Hi\n\n   \nHo", tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (0, "the whole answer\n" * 2, "")


def test_piped_commands_work_too(tmp_path: Path) -> None:
    """What they say goes to standard error."""
    done = piped("/mixture solo\nHi\n/explain\n/quit\nnever asked\n", tmp_path)

    assert (done.returncode, done.stdout) == (0, "from a\n")
    assert "by a alone" in done.stderr


async def test_piped_a_failure_does_not_end_it(tmp_path: Path) -> None:
    """The lines after it are answered, and the exit code is 1."""
    async with Upstream(error(500), answer("Four.")) as upstream:
        done = await asyncio.to_thread(piped, "Hi\n2 + 2?\n", tmp_path, REMOTE.replace("BASE", upstream.base_url))

    assert (done.returncode, done.stdout) == (1, "Four.\n")
    assert done.stderr.startswith("mollm: a: ")
    assert done.stderr.count("\n") == 1


def test_piped_an_answer_comes_before_the_next_question(tmp_path: Path) -> None:
    """A program can ask, read and ask again."""
    (tmp_path / "mollm.yaml").write_text(TEAM)
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen([*MOLLM, "chat"], cwd=tmp_path, **pipes) as process:
        assert process.stdin
        assert process.stdout
        for question in ("Hi\n", "Ho\n"):
            process.stdin.write(question)
            assert process.stdout.readline() == "the whole answer\n"
        process.stdin.close()

        assert process.wait(60) == 0


async def test_piped_ctrl_c_ends_it_with_130(tmp_path: Path) -> None:
    """A script is not asked whether it wants to go on."""
    async with Upstream(hang()) as upstream:
        (tmp_path / "mollm.yaml").write_text(REMOTE.replace("BASE", upstream.base_url))
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*MOLLM, "chat", cwd=tmp_path, stdin=pipe, stderr=pipe)
        assert process.stdin
        process.stdin.write(b"Hi\nHo\n")
        async with asyncio.timeout(60):
            request = await upstream.request(1)
            process.send_signal(signal.SIGINT)
            await request.closed_early.wait()
            _, said = await process.communicate()

        assert (process.returncode, said) == (130, b"")


def test_a_wrong_mixture_is_a_mistake_before_anything_is_asked(tmp_path: Path) -> None:
    """Exit code 2, as for `ask`."""
    done = piped("Hi\n", tmp_path, TEAM, "--mixture", "cooking")

    assert (done.returncode, done.stdout) == (2, "")
    assert "no mixture and no LLM 'cooking'; there are: team, solo" in done.stderr


def test_a_reader_that_leaves_ends_it(tmp_path: Path) -> None:
    """`mollm chat | head -1` ends quietly."""
    (tmp_path / "mollm.yaml").write_text(TEAM)
    command = f"yes Hi | head -50 | {' '.join(MOLLM)} chat | head -1"

    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert (done.stdout, done.stderr) == ("the whole answer\n", "")
