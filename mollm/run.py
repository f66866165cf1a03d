"""The state of a question while it is answered, and the context in which it is answered.

`Run` is the value that the nodes of `flow.py` pass on. It is frozen, and a checkpointer stores it as plain data.
`Context` holds everything else: the configuration, the question, the observer, and the calls of the current node.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from mollm.calling.calls import Allowance, Calls
from mollm.config.names import PANEL, ROUTED
from mollm.depth import answering
from mollm.messages import messages_of, question_of
from mollm.observing.observers import NOBODY, Observers, together
from mollm.plain import (
    analysis_from_plain,
    call_from_plain,
    choice_from_plain,
    proposal_from_plain,
    ranking_from_plain,
    to_plain,
    written_from_plain,
)
from mollm.transcript import as_asked, without_tools
from mollm.turns import Kept, begun
from mollm.types import Analysis, Call, Choice, Ended, OnTools, PlannedCall, Proposal, Ranking, Route, Written, new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mollm.catalog import Catalog
    from mollm.depth import Within
    from mollm.events import Observer
    from mollm.limits import WorstCase
    from mollm.mixture import Mixture
    from mollm.options import Options
    from mollm.privacy.veil import Veil
    from mollm.routing.base import Router
    from mollm.turns import Turns
    from mollm.types import Answer, Message, Question, Role


@dataclass(frozen=True, slots=True)
class Run:
    """The state of a question while it is answered."""

    id: str
    """Id of the answer."""
    seconds: float = 0.0
    """Time used so far. A point in time would mean nothing to another process that resumes the run."""
    route: Route | None = None
    panel: dict[str, Any] | None = None
    """The panel that the request brought, as plain data; it is built of this again when a run goes on."""
    choice: Choice | None = None
    """The workers that were picked, where the mixture chooses them; it is made of these again when a run goes on."""
    planned: tuple[PlannedCall, ...] = ()
    """Every call that may be made, including those that were made."""
    layer: int = 0
    """Number of the latest layer that counts; the first is 1."""
    ended: Ended | None = None
    """Why the layer ended; None before the first, and where a late reply spoiled the reason."""
    degraded: tuple[str, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    """Proposals of all layers, one per call that was started."""
    breakdown: tuple[Call, ...] = ()
    """Every call that has ended, in order."""
    on_tools: OnTools | None = None
    """What the mixture does with the tools of the question; None if it has none."""
    turn: str = ""
    """Digest of the user's turn for which the proposals are kept, once all of them are there; empty if none are."""
    reused: bool = False
    """The proposals are those of an earlier request of the same turn."""
    ranking: Ranking | None = None
    """How the proposals were ranked by reviewers."""
    analysis: Analysis | None = None
    """How the proposals compare."""
    confidence: float | None = None
    """Probability that the answer which leads among the proposals is right; None where nobody knows."""
    written: Written | None = None
    """The answer, once it is written."""

    @property
    def mixture(self) -> str:
        """Name of the mixture that was picked."""
        if self.route is None:
            raise RuntimeError("nothing was routed yet")
        return self.route.mixture

    @property
    def agreed(self) -> bool:
        """Whether the layer ended because enough proposals agree, or the one that leads is probable enough."""
        return self.ended == "agreed"

    @property
    def arrived(self) -> tuple[Proposal, ...]:
        """Proposals of the latest layer that counts, without those that failed."""
        return tuple(p for p in self.proposals if p.layer == self.layer and p.error is None)

    def to_plain(self) -> dict[str, Any]:
        """Turn it into dictionaries, lists, strings and numbers."""
        return {name: to_plain(getattr(self, name)) for name in _FIELDS}

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Self:
        """Undo `to_plain`."""
        route, written = data["route"], data["written"]
        if "agreed" in data:  # a state from before it was said why a layer ended
            data = {name: value for name, value in data.items() if name != "agreed"} | (
                {"ended": "agreed"} if data["agreed"] else {}
            )
        return cls(
            **{
                **data,
                "route": Route(**route) if route else None,
                "choice": choice_from_plain(data.get("choice")),
                "planned": tuple(PlannedCall(**{**call, "others": tuple(call["others"])}) for call in data["planned"]),
                "degraded": tuple(data["degraded"]),
                "proposals": tuple(map(proposal_from_plain, data["proposals"])),
                "breakdown": tuple(map(call_from_plain, data["breakdown"])),
                "ranking": ranking_from_plain(data.get("ranking")),
                "analysis": analysis_from_plain(data.get("analysis")),
                "written": written_from_plain(written) if written else None,
            }
        )


_FIELDS = tuple(f.name for f in fields(Run))


def kept_of(run: Run) -> Kept:
    """What is kept of a run for the rest of its turn."""
    return Kept(run.proposals, run.layer, run.degraded, run.ranking, run.analysis, run.confidence, run.ended)


class Context:
    """The context in which one question is answered.

    Attributes:
        catalog: Mixtures and router of the configuration in force.
        question: The question, as LLMs may read it.
        options: The options that the caller set, as LLMs may read them.
        observer: Receives every event.
        streams: The answer is wanted token by token.
        veil: Conceals the question, and reveals the answer; None where nothing is concealed.
        calls: Makes the calls of the current node.
        deadline: On the event loop's clock; the question is not worked on any longer.
        through: Makes what is asked in place of the router, where its route is to be explained.
    """

    calls: Calls
    through: Callable[[Router], Router]

    def __init__(
        self,
        catalog: Catalog,
        question: Question,
        options: Options,
        *,
        observer: Observer = NOBODY,
        asking: Sequence[Observer] = (),
        streams: bool = False,
        spent: float = 0.0,
        turns: Turns | None = None,
        earlier: Run | None = None,
        is_agent: bool = False,
        veil: Veil | None = None,
    ) -> None:
        """Create the context of a run that has already taken `spent` seconds.

        Args:
            catalog: Mixtures and router of the configuration in force.
            question: The question.
            options: The options that the caller set.
            observer: Receives every event.
            asking: Observers of whoever asks; they alone read in the answer what is concealed.
            streams: The answer is wanted token by token.
            spent: Seconds.
            turns: Keeps proposals from one request of a turn to the next; None: nobody does.
            earlier: The run before this one in the same thread, whose proposals are found first.
            is_agent: Several agents speak in the conversation, where the assistant's turn at its end is an answer that
                stands. Otherwise it is the beginning of one, and a single LLM continues it.
            veil: Of the run, where the context before this one had it; None: a new one, if there is to be one.
        """
        if veil is None and catalog.privacy is not None:
            veil = catalog.privacy.veil()
        if veil is not None:
            question, options = veil.question(question, options)
            asking = [veil.for_caller(observer) for observer in asking]
        self.catalog, self.options, self.veil = catalog, options, veil
        self.question = as_asked(question, options.tools, may_continue=not is_agent)
        self.observer, self.streams = together(observer, asking), streams
        self._turns, self._earlier = turns, earlier
        self.through = lambda router: router
        self._now = asyncio.get_running_loop().time
        self._begun = self._now() - spent
        self.deadline = self._begun + catalog.config.limits.seconds

    @cached_property
    def transcript(self) -> tuple[Message, ...]:
        """The conversation as LLMs without tools read it."""
        return without_tools(self.question.messages)

    def begin(self, run: Run, roles: Sequence[Role]) -> None:
        """Start a node, with the calls of its `roles` and the time that are left."""
        self.calls = Calls(
            self.catalog.llms,
            Allowance(run.planned, run.breakdown, roles=roles),
            deadline=self.deadline,
            observer=self.observer,
            first=len(run.breakdown) + 1,
            veil=self.veil,
        )

    def plan(self, run: Run, planned: Sequence[PlannedCall]) -> Run:
        """Add calls to the plan while a node is running."""
        run = replace(run, planned=(*run.planned, *planned))
        self.calls.allow(planned)
        return run

    def within(self, run: Run) -> Within:
        """Count what is asked meanwhile as asked inside this question. Raises `TooDeep` where this one already is."""
        asked = self.options.mixture or ROUTED[0]
        return answering(run.route.mixture if run.route else asked if isinstance(asked, str) else PANEL)

    def reserve(self, worst: WorstCase) -> None:
        """Take so much from the budget of whoever asks. Raises what `Budget.reserve` does."""
        if self.options.budget is not None:
            self.options.budget.reserve(worst)

    def allows(self, worst: WorstCase) -> bool:
        """Whether whoever asks may take so much; nothing is taken."""
        return self.options.budget is None or self.options.budget.allows(worst)

    def end(self, run: Run) -> Run:
        """End a node and record its calls. Raises `LimitError` if a call was not in the plan."""
        if self.calls.refused:
            raise self.calls.refused
        seconds = self._now() - self._begun
        return replace(run, seconds=seconds, breakdown=(*run.breakdown, *self.calls.spent))

    def revealed(self, answer: Answer) -> Answer:
        """An answer as whoever asks gets it; how it came about stays concealed."""
        return answer if self.veil is None else self.veil.answer(answer)

    def kept(self, turn: str) -> Kept | None:
        """Return the proposals that are kept for `turn`."""
        earlier = self._earlier
        if earlier and earlier.turn == turn and earlier.proposals:
            return kept_of(earlier)
        return None if self._turns is None else self._turns.get(turn)

    def keep(self, run: Run) -> None:
        """Keep the proposals of `run` for the rest of its turn."""
        if self._turns is not None:
            self._turns.put(run.turn, kept_of(run))

    def unit(self, run: Run) -> str:
        """What falls to one arm as a whole: the answer, or the user's turn, of which tools bring back the proposals."""
        question = self.question
        return (question.has_tools and begun(question.messages, self.options.owner)) or run.id

    async def mixture(self, run: Run) -> Mixture:
        """The mixture that was picked, the two that were, the one made for the question, or its panel."""
        if run.route is None:
            raise RuntimeError("nothing was routed yet")
        mixture = await self.catalog.built_for(run.route, run.panel)
        return self.catalog.made(mixture, run.choice.workers) if run.choice else mixture


def context_of(
    catalog: Catalog,
    question: str | Sequence[Message],
    options: Options,
    observers: Sequence[Observer],
    turns: Turns | None = None,
    asking: Sequence[Observer] = (),
) -> Context:
    """Create the context of a question from Python; `asking` are the observers of whoever asks.

    Raises:
        RequestError: It is none.
    """
    asked = question_of(
        messages_of(question),
        tools=options.tools,
        response_format=options.response_format,
        extra_body=options.extra_body,
    )
    told = Observers(observers)
    return Context(catalog, asked, options, observer=told, asking=asking, streams=options.stream, turns=turns)


def fresh(options: Options) -> Run:
    """Create a new run."""
    return Run(options.id or new_id())
