"""What the command prints: results to standard output, progress to standard error."""

from __future__ import annotations

import json
import re
import sys
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mollm.limits import worst_case
from mollm.types import Arrived, Done, Failed, Routed, Started, Token, to_plain

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from mollm.checking import Report
    from mollm.runtime import Runtime
    from mollm.types import Answer, Event, Proposal, Route

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters that an LLM could use to rewrite a terminal; tab and newline are none."""


def print_json(value: Any) -> None:
    """Print values of `mollm.types` as JSON."""
    sys.stdout.write(json.dumps(to_plain(value), ensure_ascii=False, indent=2) + "\n")


def print_answer(answer: Answer) -> None:
    """Print the text of an answer, and nothing else."""
    sys.stdout.write(answer.text.rstrip("\n") + "\n")


async def print_streamed(events: AsyncGenerator[Event, None]) -> None:
    """Print an answer as it is written, and above it which workers run, are done or failed."""
    progress = _Progress()
    ends_line = True
    try:
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Token):
                    progress.stop()
                    text = CONTROL.sub("", event.text)
                    sys.stdout.write(text)
                    sys.stdout.flush()
                    ends_line = text.endswith("\n") if text else ends_line
                elif isinstance(event, Done):
                    progress.stop()
                    sys.stdout.write("" if ends_line else "\n")
                    sys.stdout.flush()
                    progress.summary(event.answer)
                else:
                    progress.show(event)
    finally:
        progress.stop()


class _Progress:
    """The lines above an answer, on standard error."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(self, console=self._console, refresh_per_second=8, transient=False)
        self._title = Text("routing ...", style="dim")
        self._rows: dict[tuple[int, str], tuple[float, Proposal | None, bool]] = {}
        self._stopped = False
        if self._console.is_terminal:
            self._live.start()

    def show(self, event: Event) -> None:
        """Take in what happened."""
        match event:
            case Routed(route):
                self._title = Text(route.mixture, style="bold") + Text(f"  {route.reason}", style="dim not bold")
            case Started(worker, _, layer):
                self._rows[layer, worker] = (time.monotonic(), None, False)
            case Arrived(proposal):
                self._rows[proposal.layer, proposal.worker] = (0.0, proposal, True)
            case Failed(proposal):
                self._rows[proposal.layer, proposal.worker] = (0.0, proposal, False)

    def stop(self) -> None:
        """Leave the lines as they are."""
        if not self._stopped:
            self._stopped = True
            if self._console.is_terminal:
                self._live.stop()

    def summary(self, answer: Answer) -> None:
        """Say what the answer took, and whether it is less than was planned."""
        if not self._console.is_terminal:
            return
        cost = f" · {answer.cost_usd:.6f} USD" if answer.cost_usd is not None else ""
        agreed = f" · agreement {answer.agreement:.0%}" if answer.agreement is not None else ""
        tokens = f"{answer.usage.total_tokens:,} tokens"
        line = f"{_count(answer.calls, 'call')} · {tokens}{cost}{agreed} · {answer.seconds:.1f} s"
        self._console.print(Text(line, style="dim"))
        for reason in answer.degraded:
            self._console.print(Text(f"degraded: {reason}", style="yellow"))

    def __rich__(self) -> Table:
        lines = Table.grid()
        lines.add_row(_clipped(self._title))
        for (layer, worker), (begun, proposal, arrived) in self._rows.items():
            name = f"{worker} (layer {layer})" if layer > 1 else worker
            if proposal is None:
                state = Text(f"running {time.monotonic() - begun:.1f} s", style="cyan")
            elif arrived:
                state = Text(f"done {proposal.seconds:.1f} s", style="green")
            else:
                what = proposal.error.message if proposal.error else ""
                state = Text(f"failed {CONTROL.sub('', what)}", style="red")
            lines.add_row(_clipped(Text(f"  {name}  ") + state))
        return lines


def print_routes(questions: Sequence[str], routes: Sequence[Route]) -> None:
    """Print decisions, the likeliest mixtures of each with their probabilities."""
    console = Console(highlight=False)
    for question, route in zip(questions, routes, strict=True):
        console.print(Text(route.mixture, style="bold") + Text(f"  {CONTROL.sub('', question)}", style="not bold"))
        ranked = sorted(route.probabilities.items(), key=lambda item: -item[1])[:3]
        likely = ", ".join(f"{name} {probability:.2f}" for name, probability in ranked)
        console.print(Text(f"  {likely}", style="dim"))
        console.print(Text(f"  {route.reason}", style="dim"))


def print_findings(report: Report) -> None:
    """Print what `check` found."""
    for problem in report.problems:
        sys.stderr.write(f"error: {problem}\n")
    for warning in report.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    if not report.problems and report.runtime:
        config = report.runtime.config
        counts = f"{_count(len(config.mixtures), 'mixture')}, {_count(len(config.llms), 'LLM')}"
        sys.stdout.write(f"{report.name}: {counts}, {config.router_kind} router: nothing is wrong\n")


def print_mixtures(runtime: Runtime) -> None:
    """Print mixtures and LLMs with the worst case of one question."""
    console = Console(highlight=False)
    config = runtime.config
    console.print(Text(str(config.path or "configuration"), style="dim"))
    for name, mixture in runtime.mixtures.items():
        worst = worst_case(mixture, runtime.llms)
        price = f", {worst.cost_usd:.6f} USD + prompt" if worst.cost_usd is not None else ""
        most = f"at most {_count(worst.calls, 'call')}, {worst.output_tokens} output tokens{price}"
        is_fallback = " (fallback)" if name == config.fallback else ""
        console.print(Text(name, style="bold") + Text(is_fallback, style="not bold dim"))
        console.print(Text(f"  {mixture.config.description}"))
        workers = ", ".join(worker.name for worker in mixture.workers)
        how = "bypass" if mixture.config.is_bypass else mixture.aggregator.method
        by = f" by {mixture.aggregator.llm}" if mixture.aggregator.llm else ""
        console.print(Text(f"  {workers} -> {how}{by}; {most}", style="dim"))
    console.print()
    for name, llm in config.llms.items():
        console.print(Text(name, style="bold") + Text(f"  {llm.model} ({llm.kind})", style="not bold dim"))


def _clipped(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
