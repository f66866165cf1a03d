"""The calls of one request: what they share, what they cost, and who watches them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from mollm.calling.base import Chunk, Completion, Request
from mollm.calling.streamed import StreamedReply
from mollm.errors import LLMError, UserError
from mollm.types import Call, Failure, Role, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mollm.calling.attempt import ReliableLLM

MOST_TOKENS = 10**9
"""Of one call; more is a mistake."""
Show: TypeAlias = Callable[[Chunk], Awaitable[None]]


class WatchedCall(Protocol):
    """One call as somebody outside sees it."""

    async def on_chunk(self, chunk: Chunk) -> None:
        """A piece of a streamed reply came."""

    async def on_end(self, completion: Completion) -> None:
        """The call brought a reply."""

    async def on_error(self, error: BaseException) -> None:
        """The call failed, or was cancelled."""


class Watch(Protocol):
    """Told of every call; LangChain callbacks are attached here."""

    async def on_start(self, role: Role, llm: str, request: Request, *, is_answer: bool) -> WatchedCall:
        """A call begins; `is_answer` where what it writes is shown as it comes."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended: with a completion or with an error, never both."""

    call: Call
    completion: Completion | None
    error: LLMError | UserError | None


class Calls:
    """Makes the calls of one request and keeps the books.

    Attributes:
        spent: One entry per call that ended, in order.
    """

    def __init__(
        self,
        llms: Mapping[str, ReliableLLM],
        *,
        deadline: float | None = None,
        watch: Watch | None = None,
        account: Callable[[Call], None] | None = None,
    ) -> None:
        """Start an empty book.

        Args:
            llms: By name.
            deadline: On the event loop's clock; no call of this request runs longer.
            watch: Told of every call.
            account: Told what each call took when it has ended.
        """
        self._llms = llms
        self.deadline = deadline
        self._watch = watch
        self._account = account
        self.spent: list[Call] = []

    def llm(self, name: str) -> ReliableLLM:
        """The LLM of that name."""
        return self._llms[name]

    async def attempt(
        self, role: Role, llm: str, request: Request, *, deadline: float | None = None, show: Show | None = None
    ) -> Outcome:
        """Call `llm`; a failure is returned, since one failed call rarely ends a request.

        Args:
            role: On whose behalf.
            llm: Name of the LLM.
            request: What it is asked.
            deadline: On the event loop's clock; the request's own holds as well.
            show: Given, the call is streamed and every chunk is passed on before the next is read.
        """
        begun = asyncio.get_running_loop().time()
        watched = None
        if self._watch:
            watched = await self._watch.on_start(role, llm, request, is_answer=show is not None)
        until = self._earlier(deadline)
        reply = StreamedReply()
        try:
            if show is None:
                completion = await self._llms[llm].complete(request, deadline=until)
            else:
                completion = await self._streamed(llm, request, until, show, reply, watched)
        except (LLMError, UserError) as error:
            # A `UserError` here is an LLM that cannot be used after all: weights that do not load, a broken message.
            if watched:
                await watched.on_error(error)
            return Outcome(self._failed(role, llm, request, begun, error, reply.text), None, error)
        except asyncio.CancelledError as error:
            if watched:
                await watched.on_error(error)
            if role != "worker":  # the layer enters what it cancels
                self.cancelled(role, llm, request, begun, text=reply.text, why="the request was given up")
            raise
        if watched:
            await watched.on_end(completion)
        call = self._record(role, llm, completion.usage or Usage(), begun, None)
        return Outcome(call, completion, None)

    async def _streamed(
        self,
        llm: str,
        request: Request,
        until: float | None,
        show: Show,
        reply: StreamedReply,
        watched: WatchedCall | None,
    ) -> Completion:
        async with aclosing(self._llms[llm].stream(request, deadline=until)) as chunks:
            async for chunk in chunks:
                reply.add(chunk)
                if watched:
                    await watched.on_chunk(chunk)
                await show(chunk)
        return reply.completion(self._llms[llm].estimate(request.messages, reply.text))

    def cancelled(
        self,
        role: Role,
        llm: str,
        request: Request,
        begun: float,
        *,
        text: str = "",
        why: str = "the layer ended without it",
    ) -> Call:
        """Enter a call that was cancelled; what it cost is estimated from its prompt and the `text` that came."""
        failure = Failure("cancelled", None, f"cancelled: {why}")
        return self._record(role, llm, self._llms[llm].estimate(request.messages, text), begun, failure)

    def _earlier(self, deadline: float | None) -> float | None:
        given = [d for d in (deadline, self.deadline) if d is not None]
        return min(given, default=None)

    def _failed(
        self, role: Role, llm: str, request: Request, begun: float, error: LLMError | UserError, text: str
    ) -> Call:
        if isinstance(error, UserError):
            return self._record(role, llm, Usage(), begun, Failure("unusable", None, str(error)))
        # A call that was turned away cost nothing; one that ran and brought nothing was paid for.
        ran = error.kind in ("timed_out", "empty", "refused") or bool(text)
        usage = self._llms[llm].estimate(request.messages, text) if ran else Usage()
        return self._record(role, llm, usage, begun, _failure(error))

    def _record(self, role: Role, llm: str, usage: Usage, begun: float, error: Failure | None) -> Call:
        seconds = asyncio.get_running_loop().time() - begun
        usage = _credible(usage)
        call = Call(role, llm, usage, self._llms[llm].cost(usage), seconds, error)
        self.spent.append(call)
        if self._account:
            self._account(call)
        return call


def _credible(usage: Usage) -> Usage:
    # A provider may write any number there, and a sum or a counter would not recover from a nonsensical one.
    counts = (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
    if all(0 <= count <= MOST_TOKENS for count in counts):
        return usage
    prompt, completion = (min(max(0, count), MOST_TOKENS) for count in counts[:2])
    return Usage(prompt, completion, prompt + completion, estimated=True)


def _failure(error: LLMError) -> Failure:
    return Failure(error.kind, error.status, error.message, error.retry_after_seconds)
