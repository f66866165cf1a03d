"""An HTTP request while it is worked on: what it asks, and what is noted and counted of that."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Self, Unpack

from mollm.errors import ClientGone
from mollm.server.failures import problem_of
from mollm.server.wire import shown
from mollm.types import Routed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.api import MoLLM
    from mollm.observing.prometheus import Metrics
    from mollm.options import RequestOptions
    from mollm.server.admission import Slot
    from mollm.types import Answer, Event, Message, Token

log = logging.getLogger("mollm.server")


class Handling:
    """Waits for its place, and asks while it has it: the block ends early when the client goes away.

    Attributes:
        slot: The place.
        metrics: Where is counted.
    """

    __slots__ = ("_begun", "_mollm", "metrics", "slot")

    def __init__(self, mollm: MoLLM, slot: Slot, metrics: Metrics) -> None:
        self._mollm, self.slot, self.metrics = mollm, slot, metrics
        self._begun = time.monotonic()

    async def __aenter__(self) -> Self:
        try:
            await self.slot.__aenter__()
        except ClientGone as error:  # one that is refused was counted by who refused it
            self._failed(None, error)
            raise
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self.slot.__aexit__(kind, error, trace)

    @property
    def seconds(self) -> float:
        """Since the HTTP request came, the wait for its place included."""
        return time.monotonic() - self._begun

    async def ask(
        self,
        question: str | Sequence[Message],
        recorder: Recorder | None = None,
        *,
        stream: bool = False,
        id: str | None = None,  # noqa: A002 - the field's name
        owner: str = "",
        **options: Unpack[RequestOptions],
    ) -> Answer:
        """Answer `question` and count how that went. Arguments and errors are those of `MoLLM.arun`."""
        recorder = recorder or Recorder(self.metrics)
        try:
            answer = await self._mollm.arun(question, recorder, stream=stream, id=id, owner=owner, **options)
        except asyncio.CancelledError:
            if not _is_cancelled():
                stray = RuntimeError("a library raised a cancellation that nobody asked for")
                self._failed(recorder.mixture, stray, options.get("mixture"))
                raise stray from None
            if self.slot.reason:
                self._failed(recorder.mixture, self.slot.reason, options.get("mixture"))
            else:
                self.metrics.failed(recorder.mixture, "cancelled")
            raise
        except Exception as error:
            self._failed(recorder.mixture, error, options.get("mixture"))
            raise
        seconds = self.seconds
        self.metrics.answered(answer.mixture, seconds)
        reasons = f", degraded: {'; '.join(answer.degraded)}" if answer.degraded else ""
        calls = "1 call" if answer.calls == 1 else f"{answer.calls} calls"
        tools = f", tools {answer.on_tools}" if answer.on_tools else ""
        tools += ", proposals reused" if answer.reused else ""
        log.info("%s: answered after %.3f s, %s%s%s", answer.mixture, seconds, calls, tools, reasons)
        return answer

    def _failed(self, mixture: str | None, error: BaseException, named: str | None = None) -> None:
        problem = problem_of(error)
        self.metrics.failed(mixture, problem.cause)
        if problem.status == 404:
            return  # nobody was asked; whoever answers says so, with what was asked for
        said = "; ".join(line.strip() for line in problem.message.splitlines())
        level = logging.INFO if isinstance(error, ClientGone) else logging.WARNING  # the former is nothing to mend
        who = mixture or (shown(named) if named else "not routed")
        log.log(level, "%s: failed after %.3f s: %s", who, self.seconds, said)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Recorder:
    """An observer that keeps which mixture was picked, and passes on to the metrics what is counted.

    Attributes:
        routed: The router's decision and what it leads to, once there is one.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.routed: Routed | None = None

    @property
    def mixture(self) -> str | None:
        """Which was picked."""
        return self.routed.route.mixture if self.routed else None

    def tell(self, event: Event) -> None:
        """Hear what happened."""
        if isinstance(event, Routed):
            self.routed = event
        self._metrics.tell(event)

    async def show(self, token: Token) -> None:
        """Hear a piece of the answer."""
