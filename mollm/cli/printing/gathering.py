"""What an evaluation may take, and how far it is."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, ProgressColumn
from rich.text import Text

from mollm.cli.printing.layout import clipped, console
from mollm.cli.printing.output import say
from mollm.cli.printing.steps import SELDOM
from mollm.evaluation.counting import count

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator

    from rich.progress import Task

    from mollm.evaluation.mixtures.gathering.asking import Told
    from mollm.evaluation.mixtures.gathering.planning import Outlook

MOST_NAMED = 5
"""LLMs or questions in one message."""


def print_outlook(outlook: Outlook, questions: int, mixtures: int, kept: int) -> None:
    """Say what an evaluation may take, before anything is called."""
    worst = outlook.worst
    usual = f", {outlook.usual:,} if nobody is late" if outlook.usual < worst.calls else ""
    say(f"{count(questions, 'question')}, {count(mixtures, 'mixture')}: {worst.calls:,} calls at most{usual}")
    tokens = f"{worst.prompt_tokens:,} tokens read and {worst.output_tokens:,} written"
    cost = f"{worst.cost_usd:,.2f} USD" if worst.cost_usd is not None else f"no price of {named(list(worst.unpriced))}"
    say(f"at most {tokens}; {cost}")
    if kept:
        say(f"in the journal already: {count(kept, 'answer')}")


def print_failures(failures: Counter[tuple[str, str]]) -> None:
    """Name the LLMs whose calls failed, and why."""
    for (llm, why), times in failures.most_common(MOST_NAMED):
        say(f"warning: {llm}: {count(times, 'call')} failed: {why}")
    if len(failures) > MOST_NAMED:
        say(f"warning: and {count(len(failures) - MOST_NAMED, 'further kind')} of failures")


def named(names: list[str]) -> str:
    """Name a few of many."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(names[:MOST_NAMED])}{more}"


@contextmanager
def progress(clock: Callable[[], float] = time.monotonic) -> Iterator[Callable[[Told], None]]:
    """Show on standard error how far an evaluation is, as a bar; a file or a pipe gets a line every half a minute."""
    screen, start = console(stderr=True), clock()
    shown = start

    def tell_seldom(told: Told) -> None:
        nonlocal shown
        if clock() - shown >= SELDOM:
            shown = clock()
            say(_line(told, clock() - start))

    if not screen.is_terminal:
        yield tell_seldom
        return
    with Progress(BarColumn(bar_width=None), _State(), console=screen, transient=True, expand=True) as bar:
        task = bar.add_task("", total=None, line="asking ...")

        def tell(told: Told) -> None:
            line = _line(told, clock() - start)
            bar.update(task, completed=told.done, total=told.total, line=line)

        yield tell


class _State(ProgressColumn):
    def render(self, task: Task) -> Text:
        return clipped(Text(task.fields["line"]))


def _line(told: Told, seconds: float) -> str:
    failed = f" ({told.failures:,} failed)" if told.failures else ""
    rate = told.calls / seconds if seconds else 0.0
    left = seconds / told.done * (told.total - told.done) if told.done else 0.0
    minutes, rest = divmod(round(left), 60)
    return f"{told.done:,}/{told.total:,} {told.calls:,} calls{failed} {rate:.1f}/s {minutes}:{rest:02} left"
