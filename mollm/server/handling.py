"""An HTTP request while it is worked on: who asks what, and what is noted and counted of that."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Self, Unpack

from mollm.config.names import PANEL
from mollm.depth import beneath
from mollm.errors import ClientGone, LimitError, LimitReached, RequestError
from mollm.events import CallEnded, Routed
from mollm.loops import cancellations
from mollm.server.circles import questions_around
from mollm.server.failures import problem_of
from mollm.server.wire import path_of, shown
from mollm.types import Usage, new_id, total_cost

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from starlette.types import Receive, Scope

    from mollm.api import MoLLM
    from mollm.events import Event, Token
    from mollm.observing.prometheus import Metrics
    from mollm.options import RequestOptions
    from mollm.server.admission import Slot
    from mollm.server.audit import Audit
    from mollm.server.body import Share
    from mollm.server.keys import Caller
    from mollm.server.quotas import Booking, Quota, Use
    from mollm.types import Answer, Call, Message, Route

log = logging.getLogger("mollm.server")

ANSWERED, PARTLY, CANCELLED = "answered", "partly_answered", "cancelled"
"""How an HTTP request ends where no failure says it."""


class Handling:
    """One HTTP request for answers. As a context it waits for its place, and asks while it has it.

    The block ends early when the client goes away.

    Attributes:
        id: Of the HTTP request, and of its answer; those of a list have a number behind it.
        caller: Whose key it came with.
        slot: The place.
        metrics: Where is counted.
    """

    __slots__ = (
        *("_around", "_audit", "_begun", "_broke_off", "_failures", "_mollm", "_quota", "_receive", "_recorders"),
        *("_scope", "_share", "_use"),
        *("caller", "id", "metrics", "slot"),
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        *,
        caller: Caller,
        quota: Quota | None,
        mollm: MoLLM,
        slot: Slot,
        share: Share,
        metrics: Metrics,
        audit: Audit | None = None,
    ) -> None:
        self.id, self.caller, self.slot, self.metrics = new_id(), caller, slot, metrics
        self._scope, self._receive = scope, receive
        self._mollm, self._share, self._audit = mollm, share, audit
        self._quota = quota
        self._use: Use | None = None
        self._around = 0
        self._begun = time.monotonic()
        self._recorders: list[Recorder] = []
        self._failures = 0
        self._broke_off: Exception | None = None

    async def __aenter__(self) -> Self:
        try:
            await self.slot.__aenter__()
        except ClientGone as error:  # one that is refused was counted by who refused it
            self._failed(None, error)
            raise
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._share.close()
        await self.slot.__aexit__(kind, error, trace)

    @property
    def seconds(self) -> float:
        """Since the HTTP request came, the wait for its place included."""
        return time.monotonic() - self._begun

    @property
    def headers(self) -> Mapping[str, str]:
        """Of every response."""
        return {"x-request-id": self.id}

    def enter(self) -> None:
        """Look how deep it is, and count it toward the limits of its key, before anything else.

        Raises:
            HTTPException: A call of mollm does not say how deep it is.
            RequestError: It says so, and is too deep, or says something else.
            LimitReached: The limits leave no room for it.
        """
        try:
            self._around = questions_around(self._scope)
        except RequestError as error:
            self._failed(None, error)
            raise
        if self._quota is not None:
            try:
                self._use = self._quota.enter()
            except LimitReached as error:
                self._failed(None, error)
                raise

    def count(self) -> None:
        """Count it toward the minute of its key, and nothing else: it asks no question.

        Raises:
            LimitReached: The minute has no room for it.
        """
        if self._quota is not None:
            self._quota.count(1)

    def spread(self, questions: int, at_once: int) -> int:
        """Count a list of questions, and return how many of them may be worked on at once: `at_once` at most.

        Raises:
            LimitError: The key may never ask so many.
            LimitReached: It may not do so now.
        """
        if self._use is None:
            return at_once
        try:
            return self._use.spread(questions, at_once)
        except (LimitError, LimitReached) as error:
            self._failed(None, error)
            raise

    async def read(self) -> bytes:
        """Read the body, and hold it until `close`. Errors are those of `Share.read`."""
        return await self._share.read(self._scope, self._receive)

    async def ask(
        self,
        question: str | Sequence[Message],
        recorder: Recorder | None = None,
        *,
        stream: bool = False,
        **options: Unpack[RequestOptions],
    ) -> Answer:
        """Answer `question` and count how that went. Arguments and errors are those of `MoLLM.arun`."""
        recorder = recorder or Recorder(self.metrics)
        asked = options.get("mixture")
        named = asked if isinstance(asked, str | None) else PANEL
        self._recorders.append(recorder)
        id, number = self.id, len(self._recorders)  # noqa: A001 - the field's name
        if number > 1:
            id = f"{id}-{number}"  # noqa: A001
        with self._booked(recorder, named):
            answer = await self._mollm.arun(
                question,
                recorder,
                stream=stream,
                id=id,
                owner=self.caller.owner,
                key=self.caller.name,
                budget=recorder.booking,
                **options,
            )
        seconds = self.seconds
        self.metrics.answered(answer.mixture, seconds)
        reasons = f", degraded: {'; '.join(answer.degraded)}" if answer.degraded else ""
        calls = "1 call" if answer.calls == 1 else f"{answer.calls} calls"
        tools = f", tools {answer.on_tools}" if answer.on_tools else ""
        tools += ", proposals reused" if answer.reused else ""
        log.info("%s: answered after %.3f s, %s%s%s", answer.mixture, seconds, calls, tools, reasons)
        return answer

    async def route(self, question: str) -> Route:
        """Pick the mixture that suits `question`, and count how that went. Errors are those of `MoLLM.aroute`."""
        recorder = Recorder(self.metrics)
        self._recorders.append(recorder)
        with self._booked(recorder):
            return await self._mollm.aroute(question, recorder, budget=recorder.booking)

    @contextmanager
    def _booked(self, recorder: Recorder, named: str | None = None) -> Generator[None, None, None]:
        """Book what is called in the block, and note how that fails."""
        try:
            around = beneath(self._around) if self._around else nullcontext()
            with around, self._use.question() if self._use else nullcontext() as recorder.booking:
                yield
        except asyncio.CancelledError:
            if not cancellations():
                stray = RuntimeError("a library raised a cancellation that nobody asked for")
                self._failed(recorder.mixture, stray, named)
                raise stray from None
            if self.slot.reason:
                self._failed(recorder.mixture, self.slot.reason, named)
            else:
                self.metrics.failed(recorder.mixture, CANCELLED)
            raise
        except Exception as error:
            self._failed(recorder.mixture, error, named)
            raise

    def broke_off(self, error: Exception) -> None:
        """Note why a response that had begun did not come to its end."""
        self._broke_off = error

    def close(self, error: BaseException | None = None, outcome: str = ANSWERED) -> None:
        """Hold nothing any more, and note how it ended: with `error`, if there was one, else with `outcome`."""
        self._share.close()
        if self._use is not None:
            self._use.close()
            self._use = None
        if self._audit is None:
            return
        status, outcome = 200, PARTLY if self._failures else outcome
        if self._broke_off is not None:
            outcome = problem_of(self._broke_off).cause
        elif error is not None:
            problem = problem_of(error)
            status, outcome = problem.status, problem.cause if isinstance(error, Exception) else CANCELLED
        self._audit.write(self._entry(status, outcome))

    def _entry(self, status: int, outcome: str) -> dict[str, Any]:
        # Nothing of what was asked or answered, and no name that a client made up.
        calls = [call for recorder in self._recorders for call in recorder.calls]
        mixtures = {recorder.mixture: None for recorder in self._recorders if recorder.mixture}
        used = sum((call.usage for call in calls), Usage())
        return {
            "id": self.id,
            "key": self.caller.name or None,
            "path": path_of(self._scope),
            "mixture": ", ".join(mixtures) or None,
            "llms": dict(Counter(call.llm for call in calls)),
            "status": status,
            "outcome": outcome,
            "prompt_tokens": used.prompt_tokens,
            "completion_tokens": used.completion_tokens,
            "cost_usd": total_cost(call.cost_usd for call in calls),
            "seconds": round(self.seconds, 4),
        }

    def _failed(self, mixture: str | None, error: BaseException, named: str | None = None) -> None:
        self._failures += 1
        problem = problem_of(error)
        self.metrics.failed(mixture, problem.cause)
        if problem.status == 404:
            return  # nobody was asked; whoever answers says so, with what was asked for
        said = "; ".join(line.strip() for line in problem.message.splitlines())
        level = logging.INFO if isinstance(error, ClientGone) else logging.WARNING  # the former is nothing to mend
        who = mixture or (shown(named) if named else "not routed")
        log.log(level, "%s: failed after %.3f s: %s", who, self.seconds, said)


class Recorder:
    """An observer that keeps which mixture was picked and which calls were made, and passes on what is counted.

    Attributes:
        routed: The router's decision and what it leads to, once there is one.
        calls: Those that have ended.
        booking: Where they are booked; None: nowhere.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.routed: Routed | None = None
        self.calls: list[Call] = []
        self.booking: Booking | None = None

    @property
    def mixture(self) -> str | None:
        """Which was picked."""
        return self.routed.route.mixture if self.routed else None

    def tell(self, event: Event) -> None:
        """Hear what happened."""
        if isinstance(event, CallEnded):
            self.calls.append(event.call)
            if self.booking is not None:
                self.booking.spend(event.call)
        elif isinstance(event, Routed):
            self.routed = event
        self._metrics.tell(event)

    async def show(self, token: Token) -> None:
        """Hear a piece of the answer."""
