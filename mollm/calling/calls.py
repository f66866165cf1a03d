"""The calls of one question: checked against the plan, recorded, and reported to the observer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from mollm.calling.base import Chunk, Completion, Request
from mollm.calling.bounds import RETRY_AFTER, WAITED
from mollm.calling.streamed import StreamedReply
from mollm.errors import Exhausted, LimitError, LLMError, UserError
from mollm.events import CallEnded, CallStarted
from mollm.messages import question_of
from mollm.observing.observers import NOBODY
from mollm.options import COUNTED
from mollm.types import Call, Failure, PlannedCall, Role, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mollm.calling.attempt import Price, ReliableLLM
    from mollm.calling.retries import Tell
    from mollm.config.llms import Dialect
    from mollm.events import Observer
    from mollm.options import Settings
    from mollm.privacy.veil import Veil

MOST_TOKENS = 10**9
"""Most tokens of one call; a larger count is a mistake."""
ROUNDED = 0.005
"""Seconds by which a timer of an event loop may be early."""
GIVEN_UP: dict[Role, str] = {
    "worker": "the layer ended without it",
    "reviewer": "the reviews ended without it",
    "analyst": "the time to compare was over",
}
"""Why a call of this role was cancelled; for other roles, the request was given up."""
Show: TypeAlias = Callable[[Chunk], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended: with a completion or an error, never both."""

    call: Call
    completion: Completion | None
    error: LLMError | UserError | None


def checked_plan(plan: object, of: object) -> tuple[PlannedCall, ...]:
    """Return what the `plan` method of `of` gave, if it is a plan. Raises `LimitError`."""
    if isinstance(plan, Iterable):
        calls = tuple(plan)
        if all(isinstance(call, PlannedCall) for call in calls):
            return calls
    raise LimitError(f"the plan of {type(of).__name__} is {type(plan).__name__}, not a sequence of PlannedCall")


class Allowance:
    """What is left of a plan: for each role, who may make each further call, and the most that it may write."""

    __slots__ = ("_known", "_left", "_prompts", "_roles")

    def __init__(
        self, plan: Iterable[PlannedCall], spent: Iterable[Call] = (), *, roles: Collection[Role] | None = None
    ) -> None:
        """Subtract the calls in `spent` from the calls of `roles` in `plan`; None: of all roles."""
        self._left: dict[Role, list[tuple[int, tuple[str, ...]]]] = {}
        self._known: set[tuple[Role, str]] = set()
        self._prompts: dict[str, int] = {}
        self._roles = roles
        self.add(plan)
        for call in spent:
            if of_llm := self._of(call.role, call.llm):
                self._left[call.role].remove(_least(of_llm, call.usage.completion_tokens) or of_llm[-1])

    def add(self, plan: Iterable[PlannedCall]) -> None:
        """Allow further calls."""
        for planned in plan:
            if self._roles is not None and planned.role not in self._roles:
                continue
            llms, left = planned.llms, self._left.setdefault(planned.role, [])
            left += [(planned.max_tokens, llms)] * planned.times
            if len(left) > 1:
                left.sort(key=lambda entry: (entry[0], len(entry[1])))
            for name in llms:
                self._known.add((planned.role, name))
                if planned.role == "router":
                    self._prompts[name] = max(self._prompts.get(name, 0), planned.prompt_tokens)

    def take(self, role: Role, llm: str, max_tokens: int, prompt_tokens: int = 0) -> None:
        """Use up one call that may write `max_tokens`. Raises `LimitError` if none is left."""
        left = self._of(role, llm)
        if not left:
            what = "more calls than it planned" if (role, llm) in self._known else "a call that it did not plan"
            raise LimitError(f"the {role} makes {what}, to {llm!r}: its `plan` has to count every call it may make")
        least = _least(left, max_tokens) if max_tokens > 0 else None
        if least is None:
            raise LimitError(f"the {role} asks {llm!r} for {max_tokens} tokens, and planned {left[-1][0]} at most")
        # Proposals are planned in tokens and sent as text, so only a router's prompt can be held to its plan.
        if role == "router" and prompt_tokens > self._prompts[llm]:
            sent = f"a prompt of up to {prompt_tokens} tokens"
            raise LimitError(f"the router sends {llm!r} {sent}, and planned {self._prompts[llm]} at most")
        self._left[role].remove(least)

    def has(self, role: Role, llm: str, max_tokens: int) -> bool:
        """Whether a call is left that may write `max_tokens`."""
        return _least(self._of(role, llm), max_tokens) is not None

    def _of(self, role: Role, llm: str) -> list[tuple[int, tuple[str, ...]]]:
        return [entry for entry in self._left.get(role, ()) if llm in entry[1]]


def _least(left: list[tuple[int, tuple[str, ...]]], tokens: int) -> tuple[int, tuple[str, ...]] | None:
    return next((entry for entry in left if entry[0] >= tokens), None)


@dataclass(frozen=True, slots=True)
class Facts:
    """What may be known of an LLM; to call it, there is `Calls.attempt`."""

    name: str
    defaults: Settings
    dialect: Dialect | None
    context_window: Callable[[], Awaitable[int]]
    """Asks for the tokens that a prompt and its answer may have together."""
    known_window: Callable[[], Awaitable[int | None]]
    """The same, but None if nobody says."""
    price: Price | None = None
    """None where it is not known."""


class Calls:
    """Makes and records the calls of one question.

    Attributes:
        spent: One entry per call that ended, in order.
        refused: The error of a call that was not planned; it ends the question, even if it was caught.
    """

    def __init__(
        self,
        llms: Mapping[str, ReliableLLM],
        allowance: Allowance | None = None,
        *,
        deadline: float | None = None,
        observer: Observer = NOBODY,
        first: int = 1,
        veil: Veil | None = None,
    ) -> None:
        """Start with no call made.

        Args:
            llms: The LLMs, by name.
            allowance: The calls that may be made; None: any.
            deadline: On the event loop's clock; no call of this question runs longer.
            observer: Receives the start and the end of every call.
            first: Number of the first call.
            veil: Conceals what private LLMs alone may read; None: nothing is concealed.
        """
        self._llms = llms
        self._allowance = allowance
        self.deadline = deadline
        self._observer = observer
        self._veil = veil
        self._number = first - 1
        self._running: dict[int, tuple[_Entry, asyncio.Task[Any]]] = {}
        self.spent: list[Call] = []
        self.refused: LimitError | None = None

    def allow(self, plan: Iterable[PlannedCall]) -> None:
        """Add planned calls."""
        if self._allowance is not None:
            self._allowance.add(plan)

    @property
    def upcoming(self) -> int:
        """Number of the next call."""
        return self._number + 1

    def may_ask(self, role: Role, llm: str, settings: Settings) -> bool:
        """Whether the plan has a call left for `role` to `llm`, with as many tokens as `settings` ask for."""
        limit = settings.max_tokens or self._llms[llm].defaults.max_tokens or 0
        return self._allowance is None or self._allowance.has(role, llm, limit)

    def llm(self, name: str) -> Facts:
        """What is known of the LLM of that name."""
        llm = self._llms[name]
        return Facts(llm.name, llm.defaults, llm.dialect, llm.context_window, llm.known_window, llm.price)

    def close(self) -> None:
        """Make no more calls; one that still runs is cancelled and recorded."""
        self._allowance = Allowance(())
        for entry, task in list(self._running.values()):
            usage = self._llms[entry.llm].estimate(entry.request.messages)
            self._enter(entry, usage, Failure("cancelled", None, "cancelled: the question went on without it"))
            task.cancel()

    async def attempt(
        self, role: Role, llm: str, request: Request, *, deadline: float | None = None, show: Show | None = None
    ) -> Outcome:
        """Call `llm`. A failure is returned, not raised, since one failed call rarely ends a question.

        Args:
            role: The role of the caller, as in the plan.
            llm: Name of the LLM.
            request: Messages and settings.
            deadline: On the event loop's clock; the question's own deadline applies as well.
            show: If given, the call is streamed, and every chunk is passed to it before the next one is read.

        Raises:
            LimitError: The call was not planned.
        """
        self._check(role, llm, request)
        self._number += 1
        entry = _Entry(self._number, role, llm, request, asyncio.get_running_loop().time())
        self._running[entry.number] = entry, cast("asyncio.Task[Any]", asyncio.current_task())
        observer = self._observer
        if observer:
            observer.tell(CallStarted(entry.number, role, llm, request, show is not None))
        until = self._earlier(deadline)
        tell = observer.tell if observer else None
        reply: StreamedReply | None = None
        try:
            if show is None:
                completion = await self._complete(llm, request, until, tell)
            else:
                reply = StreamedReply()
                async with aclosing(self._stream(llm, request, until, tell)) as chunks:
                    async for chunk in chunks:
                        reply.add(chunk)
                        await show(chunk)
                completion = reply.completion(self._llms[llm].estimate(request.messages, reply.text))
                if self._veil is not None:
                    completion = self._veil.incoming(llm, request, completion)
        except (LLMError, UserError) as error:
            # A `UserError` here means an LLM that turns out to be unusable: weights that do not load, a broken message.
            usage, failure = self._failed(llm, request, error, reply.text if reply else "")
            return Outcome(self._enter(entry, usage, failure, error=error), None, error)
        except asyncio.CancelledError as error:
            usage = self._llms[llm].estimate(request.messages, reply.text if reply else "")
            failure = Failure("cancelled", None, f"cancelled: {GIVEN_UP.get(role, 'the request was given up')}")
            if WAITED in getattr(error, "__notes__", ()):
                usage = Usage()
                if until is not None and asyncio.get_running_loop().time() >= until - ROUNDED:
                    failure = Failure(Exhausted.kind, None, f"not called: all the time it {WAITED}", RETRY_AFTER)
            self._enter(entry, usage, failure, error=error)
            raise
        call = self._enter(entry, completion.usage or Usage(), None, completion=completion)
        return Outcome(call, completion, None)

    async def _complete(self, llm: str, request: Request, until: float | None, tell: Tell | None) -> Completion:
        veil = self._veil
        if veil is None:
            return await self._llms[llm].complete(request, deadline=until, tell=tell)
        completion = await self._llms[llm].complete(veil.outgoing(llm, request), deadline=until, tell=tell)
        return veil.incoming(llm, request, completion)

    def _stream(
        self, llm: str, request: Request, until: float | None, tell: Tell | None
    ) -> AsyncGenerator[Chunk, None]:
        veil = self._veil
        if veil is None:
            return self._llms[llm].stream(request, deadline=until, tell=tell)
        chunks = self._llms[llm].stream(veil.outgoing(llm, request), deadline=until, tell=tell)
        return veil.pieces(llm, request, chunks)

    def _check(self, role: Role, llm: str, request: Request) -> None:
        if self._allowance is None:
            return
        settings = request.settings
        limit = settings.max_tokens
        if limit is None and llm in self._llms:
            limit = self._llms[llm].defaults.max_tokens
        try:
            if taken := sorted(COUNTED & settings.extra_body.keys()):
                raise LimitError(f"the {role} sets {', '.join(taken)} in extra_body, which limits have to count")
            prompt = question_of(request.messages).tokens if role == "router" else 0
            self._allowance.take(role, llm, limit or 0, prompt)
        except LimitError as error:
            self.refused = self.refused or error
            raise

    def _earlier(self, deadline: float | None) -> float | None:
        if deadline is None or self.deadline is None:
            return self.deadline if deadline is None else deadline
        return min(deadline, self.deadline)

    def _failed(self, llm: str, request: Request, error: LLMError | UserError, text: str) -> tuple[Usage, Failure]:
        if isinstance(error, UserError):
            return Usage(), Failure(getattr(error, "kind", "unusable"), None, str(error))
        # A call that was rejected cost nothing; one that ran and failed was paid for.
        ran = error.kind in ("timed_out", "empty", "refused") or bool(text)
        usage = self._llms[llm].estimate(request.messages, text) if ran else Usage()
        return usage, Failure(error.kind, error.status, error.message, error.retry_after_seconds)

    def _enter(
        self,
        entry: _Entry,
        usage: Usage,
        failure: Failure | None,
        *,
        completion: Completion | None = None,
        error: BaseException | None = None,
    ) -> Call:
        if self._running.pop(entry.number, None) is None:  # recorded when the node ended
            assert entry.call  # noqa: S101 - set where it was taken out
            return entry.call
        seconds = asyncio.get_running_loop().time() - entry.begun
        usage = _credible(usage)
        call = Call(entry.role, entry.llm, usage, self._llms[entry.llm].cost(usage), seconds, failure)
        entry.call = call
        self.spent.append(call)
        if self._observer:
            self._observer.tell(CallEnded(entry.number, call, completion, error))
        return call


@dataclass(slots=True)
class _Entry:
    number: int
    role: Role
    llm: str
    request: Request
    begun: float
    call: Call | None = None


def _credible(usage: Usage) -> Usage:
    # A provider may report any number, and a sum or a counter would not recover from an absurd one.
    counts = (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
    parts = (usage.cached_tokens, usage.reasoning_tokens)
    if all(0 <= count <= MOST_TOKENS for count in (*counts, *parts)):
        return usage
    prompt, completion = (min(max(0, count), MOST_TOKENS) for count in counts[:2])
    return Usage(prompt, completion, prompt + completion, estimated=True)
