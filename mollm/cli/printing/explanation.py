"""An answer explained: where it came from, who agreed, what it took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from mollm.cli.printing.comparing import analysis_text, ranking_text
from mollm.cli.printing.layout import console, print_rows, spent, took, why
from mollm.cli.printing.provenance import agreement_of, asked, confidence, counted, origin
from mollm.evaluation.counting import count
from mollm.final.calibration import stated
from mollm.printable import printable
from mollm.types import Usage, total_cost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.config.config import Config
    from mollm.types import Answer, Call, Choice, Proposal, Route

PREVIEW = 180
"""Columns of a proposal that an explanation shows."""


def print_summary(answer: Answer, config: Config) -> None:
    """Say in a line what the answer took, and in others why it is less than was planned; in a terminal only."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        return
    agreement = agreement_of(counted(answer, config))
    agreed = f", {agreement.in_brief}" if agreement else ""
    agreed += f", {stated(100 * answer.confidence, 0)}% sure" if answer.confidence is not None else ""
    in_all = took(answer.seconds, answer.usage, answer.cost_usd)
    screen.print(Text(f"{count(answer.calls, 'call')}, {in_all}{agreed}", style="dim"))
    for reason in answer.degraded:
        screen.print(Text(f"degraded: {printable(reason)}", style="yellow"))


def print_explanation(answer: Answer, config: Config) -> None:
    """Print how an answer came about, to standard error; `config` is what it was asked with."""
    layers = max((p.layer for p in answer.proposals), default=1)
    rows: list[tuple[str, Text]] = [("id", Text(printable(answer.id))), ("route", _route_text(answer.route))]
    if answer.route.arm:
        rows.append(("arm", Text(printable(answer.route.arm))))
    if answer.choice:
        rows.append(("chosen", _choice_text(answer.choice)))
    for proposal in answer.proposals:
        name = f"{proposal.worker} (layer {proposal.layer})" if layers > 1 else proposal.worker
        rows.append((name, _proposal_text(proposal)))
    proposals = counted(answer, config)
    if how := asked(answer, proposals, config):
        rows.append(("asked", Text(how)))
    if len(proposals) > 1:
        agreement = agreement_of(proposals)
        rows.append(("agreed", Text(agreement.in_full if agreement else "open text, nothing to compare")))
    if sure := confidence(answer, proposals, config):
        rows.append(("confidence", Text(sure)))
    if answer.ranking:
        rows.append(("ranking", ranking_text(answer.ranking)))
    if answer.analysis:
        rows.append(("analysis", analysis_text(answer.analysis)))
    if answer.on_tools:
        rows.append(("on tools", Text(_tools(answer, proposals))))
    rows.append(("answer", Text(origin(answer, proposals, config))))
    rows += [("degraded", Text(printable(reason), style="yellow")) for reason in answer.degraded]
    workers = [call for call in answer.breakdown if call.role == "worker"]
    if workers:
        rows.append(("workers", _calls_text(workers)))
    rows += [(call.role, _call_text(call)) for call in answer.breakdown if call.role != "worker"]
    rows.append(("in all", Text(f"{count(answer.calls, 'call')}, {_took(answer)}")))
    print_rows(rows)


def _tools(answer: Answer, proposals: Sequence[Proposal]) -> str:
    if answer.on_tools == "alone":
        return "alone: no worker was asked"
    if not proposals:
        return f"{answer.on_tools}: no worker could propose"
    when = "in an earlier request of this turn" if answer.reused else "for this request"
    return f"{answer.on_tools}: the workers proposed {when}"


def _route_text(route: Route) -> Text:
    text = Text(picked(route), style="bold") + Text(f"  {printable(route.reason)}\n", style="not bold")
    probabilities = likely(route) or "no probabilities"
    return text + Text(f"{probabilities} ({route.router}, {1000 * route.seconds:.1f} ms)", style="dim")


def _choice_text(choice: Choice) -> Text:
    text = Text(", ".join(choice.workers), style="bold") + Text(f"  {printable(choice.reason)}\n", style="not bold")
    return text + Text(f"by {choice.by}, {1000 * choice.seconds:.1f} ms", style="dim")


def picked(route: Route) -> str:
    """Write the mixture of a route, or the two that answer together."""
    return route.mixture if route.second is None else f"{route.mixture} + {route.second}"


def likely(route: Route) -> str:
    """Write the likeliest mixtures with their probabilities."""
    ranked = sorted(route.probabilities.items(), key=lambda item: -item[1])[:3]
    return printable(", ".join(f"{name} {probability:.2f}" for name, probability in ranked))


def _proposal_text(proposal: Proposal) -> Text:
    if proposal.error:
        return Text(why(proposal.error), style="red") + Text(f"\n{_took(proposal)}", style="not red dim")
    final = f", final answer {printable(proposal.final)}" if proposal.final else ""
    cut = ", cut off" if proposal.truncated else ""
    score = "" if proposal.score is None else f", score {proposal.score:.4g}"
    text = Text(f"{_took(proposal)}{cut}{final}{score}\n")
    # A column holds one character at least, so what lies beyond is never shown.
    start = Text(" ".join(printable(proposal.text[: 4 * PREVIEW]).split()), style="dim")
    start.truncate(PREVIEW, overflow="ellipsis")
    return text + start


def _call_text(call: Call) -> Text:
    failed = f", {why(call.error)}" if call.error else ""
    return Text(f"{call.llm}, {_took(call)}{failed}", style="dim")


def _calls_text(calls: Sequence[Call]) -> Text:
    usage, cost = sum((call.usage for call in calls), Usage()), total_cost(call.cost_usd for call in calls)
    return Text(f"{count(len(calls), 'call')}, {spent(usage, cost)}", style="dim")


def _took(done: Answer | Proposal | Call) -> str:
    return took(done.seconds, done.usage, done.cost_usd)
