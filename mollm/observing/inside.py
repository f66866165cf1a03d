"""What is inside a server when Prometheus asks: read then, so that it costs no request anything."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client.core import Metric
    from prometheus_client.metrics import Histogram

    from mollm.calling.attempt import ReliableLLM

LOOK_SECONDS = 0.25
"""Between two looks at how late the event loop is."""
LATE = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_ADDRESS = ["llm", "address"]


class Inside:
    """Collects the state of LLMs and routers that are in force; of those that are not any more nothing is left."""

    def __init__(
        self, llms: Callable[[], Iterable[ReliableLLM]], thresholds: Callable[[], Mapping[str, float]]
    ) -> None:
        """Take what returns the LLMs, and the thresholds that move; both are called whenever the page is read."""
        self._llms, self._thresholds = llms, thresholds

    def collect(self) -> Iterator[Metric]:
        """Read them."""
        breakers = GaugeMetricFamily(
            "mollm_breaker_state", "Whether an address is called: 0 closed, 1 half-open, 2 open.", labels=_ADDRESS
        )
        in_use = GaugeMetricFamily("mollm_connections_in_use", "Calls that are out at an address.", labels=_ADDRESS)
        waiting = GaugeMetricFamily("mollm_connections_waiting", "Calls that wait for a connection.", labels=["llm"])
        refused = CounterMetricFamily(
            "mollm_retries_refused",
            "Calls that failed and were not tried again, as the budget or the time was used up.",
            labels=["llm", "cause"],
        )
        for llm in self._llms():
            now = time.monotonic()  # which is the clock of event loops
            states: dict[str, int] = {}
            calls: dict[str, int] = {}
            for address in llm.addresses:  # two of them may differ by their paths alone, which are nobody's business
                states[address.name] = max(states.get(address.name, 0), address.breaker.state(now))
                calls[address.name] = calls.get(address.name, 0) + address.in_flight
            for name, state in states.items():
                breakers.add_metric([llm.name, name], state)
                in_use.add_metric([llm.name, name], calls[name])
            waiting.add_metric([llm.name], llm.waiting)
            for cause, count in llm.retries.refused.items():
                refused.add_metric([llm.name, cause], count)
        moving = GaugeMetricFamily(
            "mollm_router_threshold", "The probability that `fallback_rate` asks for now.", labels=["router"]
        )
        for where, threshold in self._thresholds().items():
            moving.add_metric([where], threshold)
        yield from (breakers, in_use, waiting, refused, moving)


class Lateness:
    """Looks four times a second how late the event loop is: how long whatever became due then had to wait.

    Attributes:
        looks: How often it has looked.
    """

    def __init__(self, seconds: Histogram) -> None:
        """Take where it is noted."""
        self._seconds = seconds
        self.looks = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look at the running event loop until `stop`; whoever looks already goes on with that."""
        if self._timer is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._next()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _next(self) -> None:
        self._due = self._loop.time() + LOOK_SECONDS
        self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self.looks += 1
        self._seconds.observe(max(0.0, self._loop.time() - self._due))
        self._next()
