"""Proposals to answer: synthesize, vote, best, and what to do when that fails."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from mollm.calling.base import BYTES_PER_TOKEN_AT_LEAST, Request, text_of
from mollm.errors import AggregationError
from mollm.final.replies import group
from mollm.prompts import fence, last_question, with_instructions, with_persona
from mollm.types import Settings, Token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.calling.attempt import ReliableLLM
    from mollm.calling.base import Chunk
    from mollm.calling.calls import Calls, Outcome
    from mollm.prompts import Prompt
    from mollm.types import Alternative, Listener, Message, Proposal, Role

TOKENS_FOR_TEMPLATE = 64
"""Room left in a window for role marks and separators of a chat template."""
LEAST_SHOWN = 40
"""Characters; proposals of which less than that would be left are not worth a call."""
SHORTENED = " [...]"


@dataclass(frozen=True, slots=True)
class Aggregator:
    """How the proposals of one mixture become an answer."""

    method: Literal["synthesize", "vote", "best"]
    llm: str | None
    prompt: Prompt
    fallback_llm: str | None = None
    settings: Settings = Settings()
    shuffle: bool = True
    layer_prompt: Prompt | None = None
    """Shows the workers of a later layer the proposals of the one before; None: `prompt` does."""


@dataclass(frozen=True, slots=True)
class Written:
    """An answer as it was written or picked."""

    message: Message
    finish_reason: str = "stop"
    degraded: tuple[str, ...] = ()
    logprobs: Any = None
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """What the aggregator of one request works with."""

    messages: Sequence[Message]
    proposals: Sequence[Proposal]
    """Of the last layer, those that arrived; never empty."""
    caller: Settings = Settings()
    """What the caller set for the LLM that writes the answer."""
    agreed: bool = False
    planned: int = 1
    """Proposals the layer would have gone on with."""
    listener: Listener | None = None
    """Set when the caller wants tokens as they come."""


async def aggregate(aggregator: Aggregator, task: Task, calls: Calls) -> Written:
    """Turn the proposals into the answer.

    An aggregator that fails, returns nothing or is cut off gives way to its fallback LLM, then to the best
    proposal, and the answer says so.

    Raises:
        AggregationError: It broke off after its first token was shown.
    """
    picked = pick(aggregator, task)
    if picked is not None:
        return await _show(picked, task)
    order = in_order(aggregator, task.proposals, task.caller.seed)
    settings = task.caller.over(aggregator.settings)
    if aggregator.method == "best":  # it writes a number, not the answer, so the caller's settings are not for it
        settings = replace(aggregator.settings, seed=task.caller.seed)
    plain = with_persona(task.messages, system=None, persona=None)
    reasons: list[str] = []
    roles: tuple[tuple[Role, str | None], ...] = (
        ("aggregator", aggregator.llm),
        ("fallback", aggregator.fallback_llm),
    )
    for role, llm in roles:
        if llm is None:
            continue
        readers = [(calls.llm(llm), settings.max_tokens)]
        messages, shortened = await show_proposals(aggregator.prompt, plain, order, readers)
        if messages is None:
            reasons += shortened
            continue
        listener = None if aggregator.method == "best" else task.listener
        attempt = await write(role, llm, Request(messages, settings), calls, listener)
        found = _judge(attempt, aggregator, task, order, llm)
        if isinstance(found, Written):
            written = replace(found, degraded=(*reasons, *shortened, *found.degraded))
            return await _show(written, task) if aggregator.method == "best" else written
        reasons.append(found)
    best = best_proposal(task.proposals)
    return await _show(_verbatim(best, *reasons, f"the best proposal ({best.worker}) is the answer"), task)


def pick(aggregator: Aggregator, task: Task) -> Written | None:
    """Pick a proposal where no LLM is needed; None where one has to write or choose."""
    if task.agreed:
        return _verbatim(best_proposal(task.proposals))
    if len(task.proposals) == 1:
        only = task.proposals[0]
        if task.planned == 1:
            return _verbatim(only)
        return _verbatim(only, f"only 1 of {task.planned} proposals arrived")
    if aggregator.method == "vote":
        groups = group([p.final for p in task.proposals])
        if groups and len(groups[0]) > 1:
            return _verbatim(best_proposal(task.proposals))
        if aggregator.llm is None:
            return _verbatim(task.proposals[0])
    return None


def best_proposal(proposals: Sequence[Proposal]) -> Proposal:
    """Return the one in the largest group; among equals one not truncated, then the earliest listed."""
    size = [1] * len(proposals)
    for indices in group([p.final for p in proposals]):
        for index in indices:
            size[index] = len(indices)
    return min(enumerate(proposals), key=lambda entry: (-size[entry[0]], entry[1].truncated, entry[0]))[1]


def shorten(texts: Sequence[str], room: int) -> list[str]:
    """Shorten `texts` to `room` characters together.

    The rule: every text gets the same share; what a short one does not use goes to the longer ones; a text
    longer than its share keeps its beginning and ends in `SHORTENED`.
    """
    shares = dict.fromkeys(range(len(texts)), 0)
    left = max(0, room)
    for place, index in enumerate(sorted(shares, key=lambda i: len(texts[i]))):
        shares[index] = min(len(texts[index]), left // (len(texts) - place))
        left -= shares[index]
    return [
        text if shares[i] >= len(text) else text[: max(0, shares[i] - len(SHORTENED))] + SHORTENED
        for i, text in enumerate(texts)
    ]


async def show_proposals(
    prompt: Prompt,
    messages: Sequence[Message],
    proposals: Sequence[Proposal],
    readers: Sequence[tuple[ReliableLLM, int | None]],
) -> tuple[list[Message] | None, tuple[str, ...]]:
    """Lay out proposals for those who read them, shortened to the smallest window if they must be.

    Args:
        prompt: Takes `question` and `proposals`.
        messages: The conversation.
        proposals: In the order in which they are shown.
        readers: LLMs, each with the tokens its answer may have (None: its own limit).

    Returns:
        The messages, and why they are not all there is. No messages where nothing of the proposals would fit.
    """
    question = last_question(messages)
    texts = [p.text for p in proposals]

    def laid_out(texts: Sequence[str]) -> list[Message]:
        return with_instructions(messages, prompt.render(question=question, proposals=fence(texts)))

    whole = laid_out(texts)
    needed = sum(len(text_of(m.get("content")).encode("utf-8", "replace")) for m in whole)
    spares = [
        ((await llm.context_window() - (limit or llm.defaults.max_tokens or 0) - TOKENS_FOR_TEMPLATE), llm.name)
        for llm, limit in readers
    ]
    window, name = min(spares)
    spare = window * BYTES_PER_TOKEN_AT_LEAST - needed
    if spare >= 0:
        return whole, ()
    characters = sum(map(len, texts))
    width = sum(len(text.encode("utf-8", "replace")) for text in texts) / max(1, characters)
    room = characters + int(spare / width)
    if room < LEAST_SHOWN * len(texts):
        return None, (f"the conversation leaves no room for proposals in the window of {name}",)
    return laid_out(shorten(texts, room)), (f"proposals were shortened to fit the window of {name}",)


def in_order(aggregator: Aggregator, proposals: Sequence[Proposal], seed: int | None) -> list[Proposal]:
    """Shuffle proposals as they are shown, by the caller's seed; as listed where the mixture says so."""
    order = list(proposals)
    if aggregator.shuffle:
        random.Random(seed).shuffle(order)  # noqa: S311 - an order, not a secret
    return order


async def write(
    role: Role, llm: str, request: Request, calls: Calls, listener: Listener | None, *, index: int = 0
) -> Outcome:
    """Call the LLM that writes the answer (the one at `index`), token by token where somebody listens.

    Raises:
        AggregationError: It failed after its first token was shown.
    """
    request = replace(request, is_answer=True)
    if listener is None:
        return await calls.attempt(role, llm, request)
    shown = False

    async def show(chunk: Chunk) -> None:
        nonlocal shown
        if chunk.delta:
            shown = True
            await listener.show(Token(chunk.text, chunk.delta, index, chunk.logprobs))

    attempt = await calls.attempt(role, llm, request, show=show)
    if attempt.error and shown:
        raise AggregationError(f"the answer broke off: {attempt.error}") from attempt.error
    return attempt


def _judge(attempt: Outcome, aggregator: Aggregator, task: Task, order: Sequence[Proposal], llm: str) -> Written | str:
    """Take what the aggregator wrote, or say why it cannot be taken."""
    completion = attempt.completion
    if completion is None:
        return f"the aggregator {attempt.error}"
    if aggregator.method == "best":
        number = re.search(r"\d{1,9}", completion.text)
        if number and 1 <= int(number[0]) <= len(order):
            return _verbatim(order[int(number[0]) - 1])
        return f"the aggregator {llm} named no proposal"
    finish_reason = completion.finish_reason or "stop"
    reason = f"the aggregator {llm} was cut off by its token limit"
    is_cut = finish_reason == "length" and task.caller.max_tokens is None
    if is_cut and task.listener is None:
        return reason
    return Written(completion.message, finish_reason, (reason,) if is_cut else (), completion.logprobs)


def _verbatim(proposal: Proposal, *degraded: str) -> Written:
    message = {"role": "assistant", "content": proposal.text}
    return Written(message, "length" if proposal.truncated else "stop", degraded)


async def _show(written: Written, task: Task) -> Written:
    if task.listener:
        text = text_of(written.message["content"])
        await task.listener.show(Token(text, {"role": "assistant", "content": text}))
    return written
