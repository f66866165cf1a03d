"""A question while it is answered: the lines above the answer."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from mollm.cli.printing.progress import Progress, print_streamed
from mollm.events import Analyzed, Arrived, Comparing, Done, Failed, Reviewed, Routed, Started, Token, Writing
from mollm.types import Analysis, Answer, Ballot, Failure, Point, Proposal, Rank, Ranking, Route, Usage
from tests.command import TEAM, Screen, in_terminal, plain

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from mollm.events import Event


def test_in_a_terminal_the_workers_stand_above_the_answer(config: Path) -> None:
    """Each worker is shown with what became of it, and then the answer."""
    dead = "hosted_vllm/b, api_base: 'http://127.0.0.1:1/v1', retries: 0"
    config.write_text(TEAM.replace("scripted/from b", dead).replace("[a, b]", "[a, b, boss]"))

    code, seen = in_terminal("ask", "Hi", cwd=config.parent)

    assert code == 0
    shown = plain(seen)
    assert re.search(r"a +done", shown)
    assert re.search(r"b +failed", shown)
    assert shown.index("failed") < shown.rindex("the whole answer")
    assert "degraded" not in shown


def test_sixty_columns_are_enough(config: Path) -> None:
    """No line of the progress is wider than the terminal."""
    _, seen = in_terminal("ask", "Hi", cwd=config.parent, columns=60)

    shown = plain(seen)
    assert max(len(line) for line in re.split(r"[\r\n]+", shown)) <= 60


class Clock:
    """Seconds that pass when the test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def lines(progress: Progress) -> list[str]:
    """What the progress shows in 60 columns."""
    screen = Console(file=io.StringIO(), width=60)
    with screen.capture() as capture:
        screen.print(progress)
    return [line.rstrip() for line in capture.get().splitlines()]


def proposal(worker: str, *, layer: int = 1, error: Failure | None = None) -> Proposal:
    """A proposal that took a second and a half."""
    return Proposal(worker, worker, layer, "" if error else "text", error=error, seconds=1.5)


ROUTED = Routed(Route("maths", {"maths": 1.0}, "fixed", "every question goes to maths"))


def test_who_writes_is_shown_while_it_is_waited_for() -> None:
    """Between the last proposal and the first token a line counts the seconds, and then it is gone."""
    clock = Clock()
    progress = Progress(clock)

    assert lines(progress) == ["routing ..."]
    for event in (ROUTED, Started("a", "a", 1), Started("b", "b", 1)):
        progress.tell(event)
    clock.now = 1.5
    progress.tell(Arrived(proposal("a")))
    assert lines(progress)[1:] == ["  a  done 1.5 s", "  b  running 1.5 s"]
    progress.tell(Failed(proposal("b", error=Failure("timed_out", None, "no answer in time"))))
    progress.tell(Writing("aggregator", "claude"))
    clock.now = 3.8
    assert lines(progress) == [
        "maths  every question goes to maths",
        "  a  done 1.5 s",
        "  b  failed no answer in time",
        "  writing 2.3 s (claude)",
    ]
    progress.end()
    assert lines(progress)[-1] == "  b  failed no answer in time"


def test_who_compares_is_shown_while_it_is_waited_for() -> None:
    """Then what came of it, above who writes; and nobody is left comparing."""
    clock = Clock()
    progress = Progress(clock)
    for event in (ROUTED, Started("a", "a", 1), Arrived(proposal("a")), Comparing(("judge", "boss"))):
        progress.tell(event)
    clock.now = 2.5

    assert lines(progress)[1:] == ["  a  done 1.5 s", "  comparing 2.5 s (judge, boss)"]

    late = Ballot("c", "c", ("a", "b"), error=Failure("timed_out", None, "late"))
    progress.tell(Reviewed(Ranking((Rank("b", 1.0, 1),), (Ballot("a", "a", ("b", "c"), (("b",), ("c",))), late))))
    point = Point("x", ("a",))
    progress.tell(Analyzed(Analysis("boss", contradictions=(point,), blind_spots=(point, point))))
    assert lines(progress)[2:] == [
        "  ranked  b first, 1 review",
        "  analyzed  1 contradiction, 2 blind spots",
        "  comparing 2.5 s (judge, boss)",
    ]
    progress.tell(Writing("aggregator", "claude"))
    assert lines(progress)[4:] == ["  writing 0.0 s (claude)"]
    progress.tell(Comparing(("judge",)))
    progress.end()
    assert len(lines(progress)) == 4


def test_the_latest_llm_that_writes_is_shown() -> None:
    """A fallback takes the place of the one that failed, and counts from its own beginning."""
    clock = Clock()
    progress = Progress(clock)
    progress.tell(ROUTED)

    progress.tell(Writing("aggregator", "claude"))
    clock.now = 5.0
    progress.tell(Writing("fallback", "coder"))
    clock.now = 5.5

    assert lines(progress)[1:] == ["  writing 0.5 s (coder)"]


def test_a_single_llm_writes_too() -> None:
    """Where nothing is aggregated no worker is shown, but who is waited for is."""
    progress = Progress(Clock())
    progress.tell(ROUTED)

    progress.tell(Writing("bypass", "x" * 64))

    found = lines(progress)[1]
    assert found.startswith("  writing 0.0 s (xxx")
    assert len(found) <= 60


async def played(*events: Event) -> AsyncGenerator[Event, None]:
    """These events, one after the other."""
    for event in events:
        yield event


def answer(text: str) -> Answer:
    """An answer of one LLM."""
    return Answer(
        *("id", text, {"role": "assistant", "content": text}, "maths", ROUTED.route, (), None, None, ()),
        calls=1,
        usage=Usage(),
        cost_usd=None,
        seconds=1.0,
    )


async def test_tokens_are_printed_as_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    """A line that the answer leaves open is ended; a piece of reasoning has no text, and prints nothing."""
    done = answer("Four.")
    reasoning = Token("", {"reasoning_content": "2 + 2"})

    found = await print_streamed(
        played(ROUTED, Writing("bypass", "a"), reasoning, Token("Fo"), Token("ur.\x1b[2J"), Done(done))
    )

    assert found is done
    assert capsys.readouterr() == ("Four.[2J\n", "")


async def test_in_a_terminal_nobody_is_left_writing(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    """What stays above the answer are the mixture and its workers."""
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")

    await print_streamed(
        played(
            *(ROUTED, Started("a", "a", 1), Arrived(proposal("a")), Writing("aggregator", "a"), Token("Four.")),
            Done(answer("Four.")),
        )
    )

    assert capsys.readouterr().out == "Four.\n"
    left = plain(screen.getvalue().rpartition("\x1b[2K")[2])
    assert "a  done 1.5 s" in left
    assert "writing" not in left


async def test_events_that_end_without_an_answer_are_an_error() -> None:
    """It cannot happen, and is not passed over if it does."""
    with pytest.raises(RuntimeError, match="without an answer"):
        await print_streamed(played(ROUTED))
