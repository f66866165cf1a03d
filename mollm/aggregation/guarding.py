"""Facts on which most proposals agree stand in the answer, or the answer says which of them it lacks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mollm.aggregation.terms import is_no_text, mismatch
from mollm.aggregation.writing import written_by
from mollm.errors import AggregationError, EmptyReply
from mollm.events import Token
from mollm.facts.agreeing import demanded, missing
from mollm.messages import BYTES_PER_TOKEN_AT_LEAST, text_of
from mollm.printable import printable
from mollm.prompts import FENCE_TOKENS, last_question
from mollm.transcript import without_tools
from mollm.types import PlannedCall, Proposal, Written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.aggregation.base import Brief, Result
    from mollm.aggregation.writing import Writers
    from mollm.calling.calls import Calls, Outcome
    from mollm.events import Event, Observer
    from mollm.facts.base import Fact
    from mollm.options import Settings
    from mollm.types import Question

LIST_BYTES = 3000
"""The longest list of facts that a writer is told."""
NAMED = 8
"""Facts that `degraded` names; of further ones it says how many there are."""
LONGEST = 60
"""Characters of a fact that are shown."""
AROUND = 60
"""Characters on each side of a fact that say where it stands."""
AT_ONCE = 32 * 1024
"""Characters that are read at once; more are read in a thread."""
LEAST_TOKENS = 16
"""With less than that left of the caller's `max_tokens`, nothing is added to an answer."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Tells the LLM that wrote an answer, once, which agreed facts it lacks.

    An answer that nobody has seen is written anew, and taken if it lacks less. One that was streamed cannot be taken
    back: what is missing alone is asked for, and streamed on after a blank line. If the call fails, the answer stays.
    Not told: an answer that was cut off, a refusal, a call of a tool, and JSON that was streamed.
    """

    again: Writers
    """With a prompt that asks for the answer anew."""
    further: Writers
    """With a prompt that asks for what is missing."""
    llms: tuple[str, ...]
    """The LLMs that may have written the answer."""

    def plan(self, question: Question, caller: Settings) -> tuple[PlannedCall, ...]:
        """One call, to whichever LLM wrote the answer."""
        writers, first, *others = self.again, *self.llms
        own = max((writers.max_tokens or {}).get(name, 0) for name in self.llms)
        limit = caller.max_tokens or writers.settings.max_tokens or own
        asked = max(w.prompt.tokens_with(question=question.tokens) for w in (self.again, self.further))
        told = limit + LIST_BYTES // BYTES_PER_TOKEN_AT_LEAST + 2 * FENCE_TOKENS
        prompt = question.tokens + asked + told
        return (PlannedCall("aggregator", first, limit, prompt, images=question.images, others=tuple(others)),)

    async def keep(self, written: Written, brief: Brief, calls: Calls) -> Written:
        """Return the answer with the facts, as far as the LLM brings them, and what it lacks in `degraded`."""
        if written.finish_reason == "length" or is_no_text(written.message) or mismatch(written, brief, has_limit=True):
            return written
        facts, lacking = await _held_to(written, brief)
        if not lacking:
            return written
        llm, settings = _writer(calls), self._settings(brief, calls)
        why: tuple[str, ...] = ()
        if llm is not None and settings is not None and calls.may_ask("aggregator", llm, settings):
            shown = _told(written, lacking, brief)
            told = replace(brief, messages=without_tools(brief.messages), proposals=shown, mark=None)
            write = self._add if brief.streams else self._write_anew
            found, why = await write(written, told, calls, settings, llm)
            left = missing(facts, text_of(found.message.get("content")))
            if brief.streams or len(left) < len(lacking):  # what was shown cannot be taken back
                written, lacking = found, left
        reasons = (*written.degraded, *why, *([_lacks(lacking)] if lacking else []))
        return replace(written, degraded=reasons)

    def _settings(self, brief: Brief, calls: Calls) -> Settings | None:
        """What the call is made with; None where it cannot be made."""
        settings = replace(brief.caller.over(self.again.settings), tools=None, tool_choice=None)
        if not brief.streams:
            return settings
        if brief.format is not None:
            return None  # nothing can follow on JSON
        if brief.caller.max_tokens is None:
            return settings
        left = brief.caller.max_tokens - calls.spent[-1].usage.completion_tokens
        return replace(settings, max_tokens=left) if left >= LEAST_TOKENS else None

    async def _write_anew(
        self, written: Written, brief: Brief, calls: Calls, settings: Settings, llm: str
    ) -> tuple[Written, tuple[str, ...]]:
        found, why = await self.again.ask(
            brief, calls, settings, written_by(brief), streams=False, who=[("aggregator", llm)]
        )
        if not isinstance(found, Written):
            return written, why
        if found.finish_reason == "length" or is_no_text(found.message):
            return written, (f"the aggregator {llm} did not write its answer anew to the end",)
        return replace(found, degraded=written.degraded), ()

    async def _add(
        self, written: Written, brief: Brief, calls: Calls, settings: Settings, llm: str
    ) -> tuple[Written, tuple[str, ...]]:
        shown = _Further(brief.observer)
        try:
            found, why = await self.further.ask(
                replace(brief, observer=shown), calls, settings, _added, streams=True, who=[("aggregator", llm)]
            )
        except AggregationError as error:
            found, why = None, (f"what was added to the answer is not whole: {error}",)
        if not shown.text:
            return written, why
        text = text_of(written.message.get("content")) + shown.text
        written = replace(written, message={**written.message, "content": text})
        if isinstance(found, Written) and found.finish_reason == "length":
            if brief.caller.max_tokens is not None:
                return replace(written, finish_reason="length"), why
            why = (f"what the aggregator {llm} added was cut off by its token limit",)
        return written, why


async def guarded(guard: Guard | None, result: Result, brief: Brief, calls: Calls) -> Result:
    """Hold what an LLM wrote to the facts; a proposal that is the answer word for word stays as it is."""
    return await guard.keep(result, brief, calls) if guard and isinstance(result, Written) else result


class _Further:
    """Shows what is added to an answer, after a blank line, and nothing but its text."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self.text = ""

    def tell(self, event: Event) -> None:
        self._observer.tell(event)

    async def show(self, token: Token) -> None:
        text = token.text if self.text else token.text.lstrip()
        if not text:
            return
        text = text if self.text else f"\n\n{text}"
        self.text += text
        await self._observer.show(Token(text, {"content": text}, token.index, None, token.call))


def _added(outcome: Outcome, _: Sequence[Proposal], llm: str) -> Written | str:
    completion = outcome.completion
    if completion is None and isinstance(outcome.error, EmptyReply):
        return Written({"role": "assistant", "content": ""})  # nothing has to be added
    if completion is None:
        return f"the aggregator {outcome.error}"
    if is_no_text(completion.message):
        return f"the aggregator {llm} refused to add what is missing"
    return Written(completion.message, completion.finish_reason or "stop")


async def _held_to(written: Written, brief: Brief) -> tuple[list[Fact], list[Fact]]:
    """The facts that are demanded of an answer, and those that it lacks."""
    texts, finals = [p.text for p in brief.proposals], [p.final for p in brief.proposals]
    question, answer = last_question(brief.messages), text_of(written.message.get("content"))

    def held() -> tuple[list[Fact], list[Fact]]:
        facts = demanded(texts, finals, question)
        return facts, missing(facts, answer)

    # A long text takes a tenth of a second, for which no other question has to wait.
    is_long = sum(map(len, texts)) + len(question) + len(answer) > AT_ONCE
    return await asyncio.to_thread(held) if is_long else held()


def _writer(calls: Calls) -> str | None:
    """The LLM that wrote the answer: whoever was called last, and answered."""
    return next((call.llm for call in reversed(calls.spent) if call.error is None), None)


def _told(written: Written, lacking: Sequence[Fact], brief: Brief) -> list[Proposal]:
    """The answer, and the list of what it lacks, as a prompt shows them."""
    room, lines = LIST_BYTES, []
    for fact in lacking:
        line = f"- {_shown(fact)}{_place(fact, brief.proposals)}"
        room -= len(line.encode("utf-8", "replace")) + 1
        if room < 0:
            break
        lines.append(line)
    texts = (text_of(written.message.get("content")), "\n".join(lines))
    return [Proposal("the aggregator", "", 0, text) for text in texts]


def _place(fact: Fact, proposals: Sequence[Proposal]) -> str:
    for proposal in proposals:
        at = proposal.text.find(fact.text)
        if at >= 0:
            around = proposal.text[max(0, at - AROUND) : at + len(fact.text) + AROUND]
            return f', in: "{printable(" ".join(around.split()))}"'
    return ""


def _shown(fact: Fact) -> str:
    text = printable(" ".join(fact.text.split()))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _lacks(facts: Sequence[Fact]) -> str:
    named, more = ", ".join(map(_shown, facts[:NAMED])), len(facts) - NAMED
    return f"the answer lacks what most proposals say: {named}{f' and {more} more' if more > 0 else ''}"
