"""Calls to the LLMs that write an answer: one after the other until one succeeds, streamed if the caller streams."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from mollm.aggregation.showing import in_order, show_proposals
from mollm.aggregation.terms import is_no_text
from mollm.calling.base import Request
from mollm.calling.calls import Outcome
from mollm.errors import AggregationError, EmptyReply, NotInFormat
from mollm.events import Token, Writing
from mollm.fitting import Reader
from mollm.formats import format_of
from mollm.messages import tokens_beside
from mollm.options import Settings
from mollm.prompts import with_persona
from mollm.types import PlannedCall, Written

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mollm.aggregation.base import Brief, Picked
    from mollm.calling.base import Chunk, Completion
    from mollm.calling.calls import Calls
    from mollm.events import Observer
    from mollm.formats import Format
    from mollm.prompts import Prompt
    from mollm.types import Message, Proposal, Question, Role

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
        prompt = question.tokens + self.prompt.tokens_with(question=question.tokens) + proposal_tokens
        return tuple(
            PlannedCall(role, name, limit or (self.max_tokens or {}).get(name, 0), prompt, images=question.images)
            for role, name in self.callees
        )

    async def ask(
        self,
        brief: Brief,
        calls: Calls,
        settings: Settings,
        take: Take,
        *,
        streams: bool,
        who: Sequence[tuple[Role, str]] | None = None,
    ) -> tuple[Written | Picked | None, tuple[str, ...]]:
        """Call one LLM after the other (`who`; None: the LLM and its fallback) until `take` accepts the reply.

        Returns:
            What was accepted, or None; and the reasons why it is not what was planned.

        Raises:
            AggregationError: The reply broke off after its first token was shown.
        """
        seed = brief.caller.seed if brief.mark is None else brief.mark
        shuffled = in_order(brief.proposals, shuffle=self.shuffle, seed=seed)
        order = brief.ranked if brief.ranking else shuffled
        plain = with_persona(brief.messages, system=None, persona=None)
        reasons: list[str] = []
        beside = tokens_beside(plain, settings.tools)
        for role, llm in self.callees if who is None else who:
            brief.observer.tell(Writing(role, llm))  # before its window is asked for, which may take its time
            readers = [Reader(llm, calls.llm(llm), settings.max_tokens, beside)]
            messages: Sequence[Message] | None = plain
            shortened: tuple[str, ...] = ()
            if order:
                messages, shortened = await show_proposals(
                    self.prompt, plain, order, readers, mark=brief.mark, analysis=brief.analysis
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


def written_by(brief: Brief) -> Take:
    """Return what takes the reply of an LLM that writes the answer."""

    def take(outcome: Outcome, _: Sequence[Proposal], llm: str) -> Written | str:
        completion = outcome.completion
        if completion is None:
            return f"the aggregator {outcome.error}"
        finish_reason = completion.finish_reason or "stop"
        reason = f"the aggregator {llm} was cut off by its token limit"
        is_cut = finish_reason == "length" and brief.caller.max_tokens is None
        if is_cut and not brief.streams:
            return reason
        return Written(completion.message, finish_reason, (reason,) if is_cut else (), completion.logprobs)

    return take


async def write(
    role: Role, llm: str, request: Request, calls: Calls, observer: Observer, *, streams: bool, index: int = 0
) -> Outcome:
    """Call the LLM that writes the answer (the one at `index`), token by token if the caller `streams`.

    A reply that is not in the response format is a failure (`NotInFormat`); a fence around it is taken away.

    Raises:
        AggregationError: It failed after its first token was shown. One that wrote nothing but thoughts to its end is
            an ordinary failure: nothing of an answer was shown that another could contradict.
    """
    request = replace(request, is_answer=True)
    form = format_of(request.settings.response_format)
    if not streams:
        outcome = await calls.attempt(role, llm, request)
        return _in_format(outcome, form, llm) if form else outcome
    show = _Show(observer, form, index, calls.upcoming)
    outcome = await calls.attempt(role, llm, request, show=show)
    if form:
        outcome = _in_format(outcome, form, llm)
    if outcome.error and show.has_begun and not isinstance(outcome.error, EmptyReply):
        raise AggregationError(f"the answer broke off: {outcome.error}") from outcome.error
    if outcome.completion:
        await show.rest(outcome.completion)
    return outcome


def _in_format(outcome: Outcome, form: Format, llm: str) -> Outcome:
    completion = outcome.completion
    # What was cut off says so, and a refusal or a tool call is an answer of another kind.
    if completion is None or completion.finish_reason == "length" or is_no_text(completion.message):
        return outcome
    text, problem = form.read(completion.text)
    if problem and form.is_held:
        why = f"the reply is not in the response format: {problem}"
        return Outcome(outcome.call, None, NotInFormat(why, llm=llm, status=200))
    if problem or text == completion.text.strip():
        return outcome
    return Outcome(outcome.call, replace(completion, message={**completion.message, "content": text}), None)


class _Show:
    """Shows a reply as it comes; one in a format only once its text starts as that has to, else when it is whole.

    Attributes:
        has_begun: Something was shown that cannot be taken back.
    """

    def __init__(self, observer: Observer, form: Format | None, index: int, number: int) -> None:
        self._observer, self._index, self._number = observer, index, number
        self._starts = form.starts if form and form.is_held else None
        self._held: list[Chunk] = []
        self._start = ""
        self.has_begun = False

    async def __call__(self, chunk: Chunk) -> None:
        if self._starts is None:
            await self._show(chunk)
            return
        if not chunk.text and chunk.delta.get("reasoning_content"):
            await self._observer.show(self._token(chunk))
            return
        self._held.append(chunk)
        self._start = self._start or chunk.text.lstrip()[:1]
        if (self._start and self._start in self._starts) or is_no_text(chunk.delta):
            await self._release()

    async def rest(self, completion: Completion) -> None:
        """Show a reply that was held back to its end."""
        if self._starts is None:
            return
        if completion.finish_reason == "length" or is_no_text(completion.message):
            await self._release()
            return
        delta = {name: value for name, value in completion.message.items() if name != "reasoning_content"}
        await self._observer.show(Token(completion.text, delta, self._index, completion.logprobs, self._number))

    async def _release(self) -> None:
        self._starts, held = None, self._held
        for chunk in held:
            await self._show(chunk)

    async def _show(self, chunk: Chunk) -> None:
        if chunk.delta:
            self.has_begun = True
            await self._observer.show(self._token(chunk))

    def _token(self, chunk: Chunk) -> Token:
        return Token(chunk.text, chunk.delta, self._index, chunk.logprobs, self._number)
