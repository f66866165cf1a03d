"""What the command prints: results to standard output, progress to standard error."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mollm.final.tally import Tally
from mollm.limits import worst_case
from mollm.types import Arrived, Done, Failed, Routed, Started, Token, Usage, to_plain

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from mollm.catalog import Catalog
    from mollm.cli.checks import Report
    from mollm.types import Answer, Call, Event, Failure, Proposal, Route

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters that an LLM could use to rewrite a terminal; tab and newline are none."""
NAME_COLUMNS = 20
"""A longer name stands on a line of its own."""
PREVIEW = 180
"""Columns of a proposal that an explanation shows."""


def clean(text: str) -> str:
    """Drop what could steer a terminal."""
    return CONTROL.sub("", text)


def say(text: str) -> None:
    """Print a line to standard error."""
    sys.stderr.write(f"{clean(text)}\n")
    sys.stderr.flush()


def print_rows(rows: Sequence[tuple[str, Text]]) -> None:
    """Print names with what there is to say about them, side by side, to standard error."""
    console = _console(stderr=True)
    indent = min(NAME_COLUMNS, max(cell_len(name) for name, _ in rows)) + 2
    for name, text in rows:
        start = Text(clean(name), style="bold")
        if start.cell_len + 2 > indent:
            console.print(start)
            start = Text()
        for line in text.wrap(console, max(1, console.width - indent), overflow="fold"):
            line.rstrip()
            console.print(Text.assemble(start, " " * (indent - start.cell_len), line))
            start = Text()


def print_json(value: Any) -> None:
    """Print values of `mollm.types` as JSON."""
    text = json.dumps(to_plain(value), ensure_ascii=False, indent=2)
    # JSON escapes the controls of ASCII only; half a surrogate pair cannot be written in UTF-8 at all.
    sys.stdout.write(re.sub(r"[\x7f-\x9f\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


def print_answer(answer: Answer) -> None:
    """Print the text of an answer, and nothing else."""
    sys.stdout.write(answer.text.rstrip("\n") + "\n")


async def print_streamed(events: AsyncGenerator[Event, None], *, summary: bool = True) -> Answer:
    """Print an answer as it is written, and above it which workers run, are done or failed.

    Args:
        events: Of one question; closed when this ends, however it ends.
        summary: Say in a last line what the answer took.
    """
    progress = _Progress()
    ends_line = True
    answer: Answer | None = None
    try:
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Token):
                    progress.stop()
                    text = clean(event.text)
                    sys.stdout.write(text)
                    sys.stdout.flush()
                    ends_line = text.endswith("\n") if text else ends_line
                elif isinstance(event, Done):
                    answer = event.answer
                else:
                    progress.show(event)
    finally:
        progress.stop()
        if not ends_line:
            sys.stdout.write("\n")
            sys.stdout.flush()
    if answer is None:
        raise RuntimeError("the events ended without an answer")
    if summary:
        progress.summary(answer)
    return answer


class _Progress:
    """The lines above an answer, on standard error."""

    def __init__(self) -> None:
        self._console = _console(stderr=True)
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
                self._title = Text(route.mixture, style="bold") + Text(f"  {clean(route.reason)}", style="dim not bold")
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
        agreed = f", agreement {answer.agreement:.0%}" if answer.agreement is not None else ""
        took = _took(answer.seconds, answer.usage, answer.cost_usd)
        self._console.print(Text(f"{_count(answer.calls, 'call')}, {took}{agreed}", style="dim"))
        for reason in answer.degraded:
            self._console.print(Text(f"degraded: {clean(reason)}", style="yellow"))

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
                state = Text(f"failed {clean(what)}", style="red")
            lines.add_row(_clipped(Text(f"  {name}  ") + state))
        return lines


def print_explanation(answer: Answer) -> None:
    """Print how an answer came about, to standard error."""
    layers = max((p.layer for p in answer.proposals), default=1)
    last = [p for p in answer.proposals if p.layer == layers and p.error is None]
    rows: list[tuple[str, Text]] = [("route", _route_text(answer.route))]
    for proposal in answer.proposals:
        name = f"{proposal.worker} (layer {proposal.layer})" if layers > 1 else proposal.worker
        rows.append((name, _proposal_text(proposal)))
    if len(last) > 1:
        rows.append(("agreed", Text(_agreed(last))))
    rows.append(("answer", Text(_origin(answer, last))))
    rows += [("degraded", Text(clean(reason), style="yellow")) for reason in answer.degraded]
    workers = [call for call in answer.breakdown if call.role == "worker"]
    if workers:
        rows.append(("workers", _calls_text(workers)))
    rows += [(call.role, _call_text(call)) for call in answer.breakdown if call.role != "worker"]
    took = _took(answer.seconds, answer.usage, answer.cost_usd)
    rows.append(("in all", Text(f"{_count(answer.calls, 'call')}, {took}")))
    print_rows(rows)


def _route_text(route: Route) -> Text:
    ranked = sorted(route.probabilities.items(), key=lambda item: -item[1])[:3]
    text = Text(route.mixture, style="bold") + Text(f"  {clean(route.reason)}\n", style="not bold")
    likely = ", ".join(f"{name} {probability:.2f}" for name, probability in ranked)
    return text + Text(f"{likely or 'no probabilities'} ({route.router}, {1000 * route.seconds:.1f} ms)", style="dim")


def _proposal_text(proposal: Proposal) -> Text:
    took = _took(proposal.seconds, proposal.usage, proposal.cost_usd)
    if proposal.error:
        return Text(_why(proposal.error), style="red") + Text(f"\n{took}", style="not red dim")
    final = f", final answer {clean(proposal.final)}" if proposal.final else ""
    cut = ", cut off" if proposal.truncated else ""
    text = Text(f"{took}{cut}{final}\n")
    # A column holds one character at least, so what lies beyond is never shown.
    start = Text(" ".join(clean(proposal.text[: 4 * PREVIEW]).split()), style="dim")
    start.truncate(PREVIEW, overflow="ellipsis")
    return text + start


def _why(error: Failure) -> str:
    status = f" {error.status}" if error.status else ""
    return clean(error.message if error.kind == "cancelled" else f"{error.kind}{status}: {error.message}")


def _agreed(proposals: Sequence[Proposal]) -> str:
    groups = Tally(p.final for p in proposals).groups
    if not groups:
        return "open text, nothing to compare"
    if len(groups[0]) == 1:
        return "nobody"
    names = ", ".join(proposals[index].worker for index in groups[0])
    return f"{names}: {len(groups[0])} of {len(proposals)} on {clean(proposals[groups[0][0]].final or '')}"


def _origin(answer: Answer, last: Sequence[Proposal]) -> str:
    writers = [call for call in answer.breakdown if call.role not in ("router", "worker") and call.error is None]
    verbatim = next((p.worker for p in last if p.text == answer.text), None)
    if writers and writers[-1].role in ("bypass", "tools"):
        return f"by {writers[-1].llm} alone"
    if verbatim is None:
        return f"written by {writers[-1].llm} from {_count(len(last), 'proposal')}" if writers else "as it stands"
    return f"{verbatim}'s proposal, word for word" + (f", chosen by {writers[-1].llm}" if writers else "")


def _call_text(call: Call) -> Text:
    failed = f", {_why(call.error)}" if call.error else ""
    return Text(f"{call.llm}, {_took(call.seconds, call.usage, call.cost_usd)}{failed}", style="dim")


def _calls_text(calls: Sequence[Call]) -> Text:
    costs = [call.cost_usd for call in calls if call.cost_usd is not None]
    usage = sum((call.usage for call in calls), Usage())
    return Text(f"{_count(len(calls), 'call')}, {_spent(usage, sum(costs) if costs else None)}", style="dim")


def _took(seconds: float, usage: Usage, cost_usd: float | None) -> str:
    return f"{seconds:.1f} s, {_spent(usage, cost_usd)}"


def _spent(usage: Usage, cost_usd: float | None) -> str:
    cost = f", {cost_usd:.6f} USD" if cost_usd is not None else ""
    about = "about " if usage.estimated else ""
    return f"{about}{usage.total_tokens:,} tokens{cost}"


def print_routes(questions: Sequence[str], routes: Sequence[Route]) -> None:
    """Print decisions, the likeliest mixtures of each with their probabilities."""
    console = _console()
    for question, route in zip(questions, routes, strict=True):
        console.print(Text(route.mixture, style="bold") + Text(f"  {clean(question)}", style="not bold"))
        ranked = sorted(route.probabilities.items(), key=lambda item: -item[1])[:3]
        likely = ", ".join(f"{name} {probability:.2f}" for name, probability in ranked)
        console.print(Text(f"  {likely}", style="dim"))
        console.print(Text(f"  {clean(route.reason)}", style="dim"))


def print_findings(report: Report) -> None:
    """Print what `check` found."""
    for problem in report.problems:
        sys.stderr.write(f"error: {problem}\n")
    for warning in report.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    if not report.problems and report.catalog:
        config = report.catalog.config
        counts = f"{_count(len(config.mixtures), 'mixture')}, {_count(len(config.llms), 'LLM')}"
        sys.stdout.write(f"{report.name}: {counts}, {config.router_kind} router: nothing is wrong\n")


def print_mixtures(catalog: Catalog) -> None:
    """Print mixtures and LLMs with the worst case of one question."""
    console = _console()
    config = catalog.config
    console.print(Text(str(config.path or "configuration"), style="dim"))
    for name, mixture in catalog.mixtures.items():
        worst = worst_case(catalog.plan(name)[0], catalog.llms)
        price = f", {worst.cost_usd:.6f} USD + prompt" if worst.cost_usd is not None else ""
        most = f"at most {_count(worst.calls, 'call')}, {worst.output_tokens} output tokens{price}"
        is_fallback = " (fallback)" if name == config.fallback else ""
        console.print(Text(name, style="bold") + Text(is_fallback, style="not bold dim"))
        console.print(Text(f"  {mixture.description}"))
        workers = ", ".join(worker.name for worker in mixture.workers)
        how = "bypass" if mixture.is_bypass else mixture.method
        by = f" by {mixture.llm}" if mixture.llm else ""
        console.print(Text(f"  {workers} -> {how}{by}; {most}", style="dim"))
    console.print()
    for name, llm in config.llms.items():
        console.print(Text(name, style="bold") + Text(f"  {llm.model} ({llm.kind})", style="not bold dim"))


def _console(*, stderr: bool = False) -> Console:
    # rich drops colours under NO_COLOR but keeps bold and dim; here it means no escape sequences in lines of text.
    system: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    return Console(stderr=stderr, highlight=False, color_system=system)


def _clipped(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
