"""A question while it is answered: who works on it, above the answer as it is written."""

from __future__ import annotations

import sys
import time
from contextlib import aclosing
from typing import TYPE_CHECKING

from rich.live import Live
from rich.table import Table
from rich.text import Text

from mollm.cli.printing.comparing import analyzed_in_brief, ranked_in_brief
from mollm.cli.printing.explanation import picked
from mollm.cli.printing.layout import clipped, console
from mollm.events import Analyzed, Arrived, Comparing, Done, Failed, Reviewed, Routed, Started, Token, Writing
from mollm.printable import printable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from mollm.events import Event
    from mollm.types import Answer, Proposal


async def print_streamed(events: AsyncGenerator[Event, None]) -> Answer:
    """Print an answer as it is written, and above it which workers run, are done or failed.

    Args:
        events: Of one question; closed when this ends, however it ends.
    """
    progress = Progress()
    live = Live(progress, console=console(stderr=True), refresh_per_second=8)
    if live.console.is_terminal:
        live.start()
    ends_line = True
    answer: Answer | None = None
    try:
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Token) and event.text:  # a token without text is a piece of reasoning
                    progress.end()
                    live.stop()
                    text = printable(event.text)
                    sys.stdout.write(text)
                    sys.stdout.flush()
                    ends_line = text.endswith("\n") if text else ends_line
                elif isinstance(event, Done):
                    answer = event.answer
                else:
                    progress.tell(event)
    finally:
        progress.end()
        live.stop()
        if not ends_line:
            sys.stdout.write("\n")
            sys.stdout.flush()
    if answer is None:
        raise RuntimeError("the events ended without an answer")
    return answer


class Progress:
    """What is known of a question, as lines: its mixture, each worker, who compares and who writes the answer."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin before anything is known; `clock` counts seconds."""
        self._clock = clock
        self._title = Text("routing ...", style="dim")
        self._running: dict[tuple[int, str], float] = {}
        self._ended: dict[tuple[int, str], Proposal] = {}
        self._compared: list[str] = []
        self._comparing: tuple[str, float] | None = None
        self._writing: tuple[str, float] | None = None

    def tell(self, event: Event) -> None:
        """Take in what happened."""
        match event:
            case Routed(route):
                chosen = f"; {event.choice.reason}" if event.choice else ""
                self._title = Text(picked(route), style="bold") + Text(
                    f"  {printable(route.reason + chosen)}", style="dim not bold"
                )
            case Started(worker, _, layer):
                self._running[layer, worker] = self._clock()
            case Arrived(proposal) | Failed(proposal):
                self._ended[proposal.layer, proposal.worker] = proposal
            case Comparing(llms):
                self._comparing = (", ".join(llms), self._clock())
            case Reviewed(ranking):
                self._compared.append(f"ranked  {ranked_in_brief(ranking)}")
            case Analyzed(analysis):
                self._compared.append(f"analyzed  {analyzed_in_brief(analysis)}")
            case Writing(_, llm):
                self._comparing, self._writing = None, (llm, self._clock())

    def end(self) -> None:
        """Forget who compares and who writes: the answer begins, or there will be none."""
        self._comparing = self._writing = None

    def __rich__(self) -> Table:
        lines = Table.grid()
        lines.add_row(clipped(self._title))
        for (layer, worker), begun in self._running.items():
            name = f"{worker} (layer {layer})" if layer > 1 else worker
            lines.add_row(clipped(Text(f"  {name}  ") + self._state(self._ended.get((layer, worker)), begun)))
        for done in self._compared:
            lines.add_row(clipped(Text(f"  {done}", style="green")))
        for what, now in (("comparing", self._comparing), ("writing", self._writing)):
            if now:
                lines.add_row(clipped(Text(f"  {what} {self._clock() - now[1]:.1f} s ({now[0]})", style="cyan")))
        return lines

    def _state(self, proposal: Proposal | None, begun: float) -> Text:
        if proposal is None:
            return Text(f"running {self._clock() - begun:.1f} s", style="cyan")
        if proposal.error:
            return Text(f"failed {printable(proposal.error.message)}", style="red")
        return Text(f"done {proposal.seconds:.1f} s", style="green")
