"""An answer explained: where it came from, who agreed, what it took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from mollm.cli.printing.comparing import analysis_text, ranking_text
from mollm.cli.printing.layout import console, print_rows, spent, took, why
from mollm.evaluation.counting import count
from mollm.final.tally import Tally
from mollm.printable import printable
from mollm.privacy.placeholders import is_concealed
from mollm.types import Usage, total_cost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.config.config import Config
    from mollm.types import Answer, Call, Choice, Proposal, Role, Route

PREVIEW = 180
"""Columns of a proposal that an explanation shows."""
GIVEN_UP = "the best proposal ("
"""How the reason begins that the answer is a proposal because no LLM could write or choose one."""
KEPT = "the aggregator's "
"""How the reason begins that the answer is a proposal because what the LLM wrote contradicts it."""
BEFORE: tuple[Role, ...] = ("router", "worker", "reviewer", "analyst")
"""Roles of calls that are over when the answer is written, or chosen."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Which proposals of the layer that counts have the same final answer."""

    workers: tuple[str, ...]
    """Of the largest group; a single one agrees with nobody."""
    of: int
    """Proposals that arrived; `Answer.agreement` is the size of the group divided by it."""
    final: str
    """Of the first of them; empty where it is open text that is alike."""

    @property
    def in_brief(self) -> str:
        """As a part of the summary."""
        return f"{len(self.workers)} of {self.of} agree" if len(self.workers) > 1 else "no two agree"

    @property
    def in_full(self) -> str:
        """As a row of the explanation."""
        if len(self.workers) < 2:
            return "nobody"
        about = f"on {printable(self.final)}" if self.final else "are alike"
        return f"{', '.join(self.workers)}: {len(self.workers)} of {self.of} {about}"


def print_summary(answer: Answer, config: Config) -> None:
    """Say in a line what the answer took, and in others why it is less than was planned; in a terminal only."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        return
    agreement = agreement_of(counted(answer, config))
    agreed = f", {agreement.in_brief}" if agreement else ""
    agreed += f", {answer.confidence:.0%} sure" if answer.confidence is not None else ""
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
    if len(proposals) > 1:
        agreement = agreement_of(proposals)
        rows.append(("agreed", Text(agreement.in_full if agreement else "open text, nothing to compare")))
    if answer.confidence is not None:
        rows.append(("confidence", Text(f"right with a probability of {answer.confidence:.3f}")))
    if answer.ranking:
        rows.append(("ranking", ranking_text(answer.ranking)))
    if answer.analysis:
        rows.append(("analysis", analysis_text(answer.analysis)))
    if answer.on_tools:
        rows.append(("on tools", Text(_tools(answer, proposals))))
    rows.append(("answer", Text(_origin(answer, proposals, config))))
    rows += [("degraded", Text(printable(reason), style="yellow")) for reason in answer.degraded]
    workers = [call for call in answer.breakdown if call.role == "worker"]
    if workers:
        rows.append(("workers", _calls_text(workers)))
    rows += [(call.role, _call_text(call)) for call in answer.breakdown if call.role != "worker"]
    rows.append(("in all", Text(f"{count(answer.calls, 'call')}, {_took(answer)}")))
    print_rows(rows)


def counted(answer: Answer, config: Config) -> list[Proposal]:
    """Return the proposals that the answer was made of: those that arrived in the last layer with a quorum."""
    mixture = config.mixtures.get(answer.mixture)
    quorum = mixture.quorum if mixture else 1
    layers: dict[int, list[Proposal]] = {}
    for proposal in answer.proposals:
        if proposal.error is None:
            layers.setdefault(proposal.layer, []).append(proposal)
    return next((layers[layer] for layer in sorted(layers, reverse=True) if len(layers[layer]) >= quorum), [])


def agreement_of(proposals: Sequence[Proposal]) -> Agreement | None:
    """Tell who of several agree; None for a single proposal, and where none has a final answer."""
    leading = Tally(p.said for p in proposals).leading
    if len(proposals) < 2 or not leading:
        return None
    workers = tuple(proposals[index].worker for index in leading)
    return Agreement(workers, len(proposals), proposals[leading[0]].final or "")


def _origin(answer: Answer, proposals: Sequence[Proposal], config: Config) -> str:
    writers = [call for call in answer.breakdown if call.role not in BEFORE and call.error is None]
    if writers and (writers[-1].role == "bypass" or answer.on_tools == "alone" or not proposals):
        return f"by {writers[-1].llm} alone"
    mixture = config.mixtures.get(answer.mixture)
    chooses = mixture is not None and mixture.aggregator.method == "best"
    is_given_up = any(reason.startswith((GIVEN_UP, KEPT)) for reason in answer.degraded)
    if writers and not chooses and not is_given_up:
        return f"written by {writers[-1].llm} from {count(len(proposals), 'proposal')}"
    places = [rank.worker for rank in answer.ranking.ranks] if answer.ranking else []
    ranked = sorted(proposals, key=lambda p: places.index(p.worker) if p.worker in places else len(places))
    verbatim = next((p.worker for p in ranked if is_concealed(p.text, answer.text)), None)
    if verbatim is None:
        return "made by the aggregator, without an LLM"
    chosen = f", chosen by {writers[-1].llm}" if writers and not is_given_up else ""
    if places and verbatim == places[0]:
        chosen = ", ranked first"
    elif not chosen and any(p.score is not None for p in proposals):
        chosen = ", the highest score"
    return f"{verbatim}'s proposal, word for word{chosen}"


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
