"""Where an answer came from: who gave it, who agreed, how probable it is, and why nobody else was asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mollm.aggregation.keeping import AGAINST
from mollm.aggregation.stance import leaders
from mollm.evaluation.counting import count
from mollm.final.calibration import stated
from mollm.final.tally import Tally
from mollm.printable import printable
from mollm.privacy.placeholders import is_concealed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.config.config import Config
    from mollm.types import Answer, Proposal, Role

GIVEN_UP = "the best proposal ("
"""How the reason begins that the answer is a proposal because no LLM could write or choose one."""
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


def asked(answer: Answer, proposals: Sequence[Proposal], config: Config) -> str | None:
    """Say how many workers were asked, of how many, and why no more; None where none was to propose.

    Args:
        answer: The answer.
        proposals: Those that it was made of.
        config: What it was asked with.
    """
    mixture = None if answer.route.second else config.mixtures.get(answer.mixture)
    if answer.ended is None and not (mixture and mixture.sure and proposals):
        return None
    layer = proposals[0].layer if proposals else 1
    head = str(sum(proposal.layer == layer for proposal in answer.proposals))
    if mixture is not None:
        head += f" of {len(answer.choice.workers) if answer.choice else mixture.planned}"
    agree = None if mixture is None else mixture.agree
    if answer.ended == "agreed":
        return f"{head}: `agree: {agree}` was reached" if agree is not None else f"{head}: they agree"
    why = {"all": "", "late": "the time was up", "enough": "no more were needed", None: ""}[answer.ended]
    if answer.ended == "enough" and mixture is not None and mixture.enough is not None:
        why = f"`enough: {mixture.enough}` was reached"
    missed = "" if agree is None else f"`agree: {agree}` was not reached"
    return f"{head}: {', '.join(filter(None, (why, missed)))}".removesuffix(": ")


def confidence(answer: Answer, proposals: Sequence[Proposal], config: Config) -> str | None:
    """Say how probable it is that the answer is right, or why that is not known; None where nothing tells it."""
    if answer.confidence is not None:
        return f"right with a probability of {stated(answer.confidence)}"
    mixture = None if answer.route.second else config.mixtures.get(answer.mixture)
    if mixture is None or mixture.calibration is None or not proposals:
        return None
    leading = leaders(proposals)
    if not leading:
        return "unknown: no proposal has a final answer"
    if answer.message.get("tool_calls"):
        return "unknown: a call of a tool is no answer yet"
    who = ", ".join(proposal.worker for proposal in leading)
    verb = "say" if len(leading) > 1 else "says"
    return f"unknown: {who} {verb} {printable(leading[0].final or '')}, which the answer is not known to say"


def origin(answer: Answer, proposals: Sequence[Proposal], config: Config) -> str:
    """Say who gave the answer."""
    writers = [call.llm for call in answer.breakdown if call.role not in BEFORE and call.error is None]
    if answer.proposed_by is not None:
        return _of_worker(answer.proposed_by, answer, proposals, config, writers)
    if not writers:
        return "made by the aggregator, without an LLM"
    # Of several that were all cut off, the first is the answer.
    is_cut = all(f"the LLM for tools {llm} was cut off by its token limit" in answer.degraded for llm in writers)
    writer = writers[0] if is_cut else writers[-1]
    if any(call.role == "bypass" for call in answer.breakdown) or answer.on_tools == "alone" or not proposals:
        return f"by {writer} alone"
    if answer.message.get("tool_calls"):
        return f"a call of a tool by {writer}, who read {count(len(proposals), 'proposal')}"
    if f"{writer} wrote it anew" in answer.degraded:
        return f"written anew by {writer}, in the format asked for"
    return f"written by {writer} from {count(len(proposals), 'proposal')}"


def _of_worker(
    worker: str, answer: Answer, proposals: Sequence[Proposal], config: Config, writers: Sequence[str]
) -> str:
    is_whole = any(p.worker == worker and is_concealed(p.text, answer.text) for p in proposals)
    said = f"{worker}'s proposal, {'word for word' if is_whole else 'shortened'}"
    if writers and any(AGAINST in reason for reason in answer.degraded):
        return f"{said}, kept against {writers[-1]}"
    if any(reason.startswith(GIVEN_UP) for reason in answer.degraded):
        return said
    if answer.ranking and answer.ranking.ranks[0].worker == worker:
        return f"{said}, ranked first"
    mixture = config.mixtures.get(answer.mixture)
    if writers and mixture is not None and mixture.aggregator.method == "best":
        return f"{said}, chosen by {writers[-1]}"
    if any(proposal.score is not None for proposal in proposals):
        return f"{said}, the highest score"
    return said
