"""A request inside the server: what it asks, and what is noted and counted of that."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

from mollm.server.failures import cause_of, problem_of
from mollm.types import CallEnded, Done, Routed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.api import MoLLM
    from mollm.observing.prometheus import Metrics
    from mollm.options import RequestOptions
    from mollm.server.admission import Slot
    from mollm.types import Answer, Event, Message, Route, Token

log = logging.getLogger("mollm.server")


@dataclass(frozen=True, slots=True)
class Handling:
    """A request that was let in."""

    mollm: MoLLM
    slot: Slot
    metrics: Metrics
    begun: float
    """When it came, on the monotonic clock."""

    async def ask(
        self,
        question: str | Sequence[Message],
        recorder: Recorder | None = None,
        *,
        stream: bool = False,
        id: str | None = None,  # noqa: A002 - the field's name
        **options: Unpack[RequestOptions],
    ) -> Answer:
        """Answer `question` and count how that went. Arguments and errors are those of `MoLLM.arun`."""
        recorder = recorder or Recorder(self)
        try:
            await self.mollm.arun(question, recorder, stream=stream, id=id, **options)
        except asyncio.CancelledError:
            reason = self.slot.reason
            self.metrics.failed(recorder.mixture, cause_of(reason) if reason else "cancelled")
            raise
        except Exception as error:
            problem = problem_of(error)
            self.metrics.failed(recorder.mixture, problem.cause)
            said = "; ".join(problem.message.splitlines())
            log.warning("%s: failed after %.3f s: %s", recorder.mixture or "not routed", recorder.seconds, said)
            raise
        answer = recorder.answer
        self.metrics.answered(answer, recorder.seconds)
        reasons = f", degraded: {'; '.join(answer.degraded)}" if answer.degraded else ""
        calls = "1 call" if answer.calls == 1 else f"{answer.calls} calls"
        log.info("%s: answered after %.3f s, %s%s", answer.mixture, recorder.seconds, calls, reasons)
        return answer


class Recorder:
    """A listener that keeps what is told of a question, and counts its calls.

    Attributes:
        route: The router's decision, once there is one.
        answer: The answer, once it is whole.
    """

    answer: Answer

    def __init__(self, handling: Handling) -> None:
        self._handling = handling
        self.route: Route | None = None

    @property
    def mixture(self) -> str | None:
        """Which was picked."""
        return self.route.mixture if self.route else None

    @property
    def seconds(self) -> float:
        """Since the request came."""
        return time.monotonic() - self._handling.begun

    def tell(self, event: Event) -> None:
        """Hear what happened."""
        if isinstance(event, Routed):
            self.route = event.route
        elif isinstance(event, CallEnded):
            self._handling.metrics.call(event.call)
        elif isinstance(event, Done):
            self.answer = event.answer

    async def show(self, token: Token) -> None:
        """Hear a piece of the answer."""
