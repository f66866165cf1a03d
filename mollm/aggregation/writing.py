"""Calls to the LLMs that write an answer: one after the other until one succeeds, streamed if the caller streams."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from mollm.aggregation.showing import in_order, show_proposals
from mollm.calling.base import Request
from mollm.errors import AggregationError, EmptyReply
from mollm.messages import tokens_beside
from mollm.options import Settings
from mollm.prompts import with_persona
from mollm.types import PlannedCall, Token, Writing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mollm.aggregation.base import Brief, Picked
    from mollm.calling.base import Chunk
    from mollm.calling.calls import Calls, Outcome
    from mollm.prompts import Prompt
    from mollm.types import Observer, Proposal, Question, Role, Written

    Take: TypeAlias = Callable[[Outcome, Sequence[Proposal], str], "Written | Picked | str"]
    """Takes an outcome, the proposals in the order shown and the LLM's name; returns the answer, or why not."""


@dataclass(frozen=True, slots=True)
class Writers:
    """An LLM that reads the proposals, and a fallback."""

    llm: str | None
    prompt: Prompt
    """Takes `question` and `proposals`."""
    fallback_llm: str | None = None
    settings: Settings = Settings()
    shuffle: bool = True
    """Shuffle the proposals before they are shown."""
    max_tokens: Mapping[str, int] | None = None
    """By LLM, the most tokens of its reply if neither `settings` nor the caller sets a limit."""
    role: Role = "aggregator"
    """On whose behalf `llm` is called; `tools`: it also has the tools of the caller."""

    @property
    def callees(self) -> list[tuple[Role, str]]:
        """The LLMs in the order in which they are called."""
        named: tuple[tuple[Role, str | None], ...] = ((self.role, self.llm), ("fallback", self.fallback_llm))
        return [(role, name) for role, name in named if name]

    def plan(self, question: Question, proposal_tokens: int, limit: int | None) -> tuple[PlannedCall, ...]:
        """One call to each, with at most `limit` tokens, or the LLM's own limit."""
        limit = limit or self.settings.max_tokens
        asked = question.tokens * (1 + self.prompt.questions)
        prompt = asked + self.prompt.tokens + proposal_tokens
        return tuple(
            PlannedCall(role, name, limit or (self.max_tokens or {}).get(name, 0), prompt, images=question.images)
            for role, name in self.callees
        )

    async def ask(
        self, brief: Brief, calls: Calls, settings: Settings, take: Take, *, streams: bool
    ) -> tuple[Written | Picked | None, tuple[str, ...]]:
        """Call one LLM after the other until `take` accepts the reply.

        Returns:
            What was accepted, or None; and the reasons why it is not what was planned.

        Raises:
            AggregationError: The reply broke off after its first token was shown.
        """
        seed = brief.caller.seed if brief.mark is None else brief.mark
        order = in_order(brief.proposals, shuffle=self.shuffle, seed=seed)
        plain = with_persona(brief.messages, system=None, persona=None)
        reasons: list[str] = []
        beside = tokens_beside(plain, settings.tools)
        for role, llm in self.callees:
            brief.observer.tell(Writing(role, llm))  # before its window is asked for, which may take its time
            readers = [(calls.llm(llm), settings.max_tokens)]
            messages, shortened = await show_proposals(
                self.prompt, plain, order, readers, mark=brief.mark, beside=beside
            )
            if messages is None and self.role != "tools":
                reasons += shortened
                continue
            if messages is None:  # a long history of tools: better without the proposals than not at all
                messages = plain
            outcome = await write(role, llm, Request(messages, settings), calls, brief.observer, streams=streams)
            found = take(outcome, order, llm)
            if not isinstance(found, str):
                return found, (*reasons, *shortened)
            reasons.append(found)
        return None, tuple(reasons)


async def write(
    role: Role, llm: str, request: Request, calls: Calls, observer: Observer, *, streams: bool, index: int = 0
) -> Outcome:
    """Call the LLM that writes the answer (the one at `index`), token by token if the caller `streams`.

    Raises:
        AggregationError: It failed after its first token was shown. One that wrote nothing but thoughts to its end is
            an ordinary failure: nothing of an answer was shown that another could contradict.
    """
    request = replace(request, is_answer=True)
    if not streams:
        return await calls.attempt(role, llm, request)
    shown, number = False, calls.upcoming

    async def show(chunk: Chunk) -> None:
        nonlocal shown
        if chunk.delta:
            shown = True
            await observer.show(Token(chunk.text, chunk.delta, index, chunk.logprobs, number))

    outcome = await calls.attempt(role, llm, request, show=show)
    is_thought_alone = isinstance(outcome.error, EmptyReply)
    if outcome.error and shown and not is_thought_alone:
        raise AggregationError(f"the answer broke off: {outcome.error}") from outcome.error
    return outcome
