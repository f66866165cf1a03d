"""Metrics for Prometheus. Labels are mixtures, LLMs and a few causes, so their number is bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from mollm.events import BreakerOpened, CallEnded, Done, Retried, Routed
from mollm.observing.inside import LATE, Inside, Lateness

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from mollm.calling.attempt import ReliableLLM
    from mollm.events import Event, Token
    from mollm.types import Answer, Call

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320)
SHARES = (0.2, 0.25, 1 / 3, 0.4, 0.5, 0.6, 2 / 3, 0.75, 0.8, 0.9, 1.0)
PROBABILITIES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 1.0)
UNROUTED = ""
"""The mixture of a question that was refused before there was one."""


class Metrics:
    """Counts questions and calls in a registry of its own.

    As an observer it counts calls and answers. What only a server knows (how long a question took since it arrived,
    and why it failed) comes through its other methods.

    Attributes:
        registry: Has all of them.
        lateness: Looks how late the event loop is, between its `start` and its `stop`.
    """

    def __init__(
        self,
        *,
        in_flight: Callable[[], float],
        waiting: Callable[[], float],
        oldest: Callable[[], float] = float,
        llms: Callable[[], Iterable[ReliableLLM]] = tuple,
        thresholds: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        """Start at zero.

        Args:
            in_flight: Returns how many questions are being answered; called, as are the others, whenever the page is
                read.
            waiting: Returns how many wait.
            oldest: Returns for how many seconds the first of them has waited.
            llms: Returns the LLMs in force.
            thresholds: Returns those that routers have set by recent questions, by the keys of the routers.
        """
        self.registry = CollectorRegistry()
        self._by_llm: list[tuple[Counter | Histogram, tuple[str, ...]]] = []

        def counter(name: str, text: str, *labels: str) -> Counter:
            made = Counter(f"mollm_{name}", text, labels, registry=self.registry)
            if "llm" in labels:
                self._by_llm.append((made, labels))
            return made

        def histogram(name: str, text: str, *labels: str, buckets: tuple[float, ...] = SECONDS) -> Histogram:
            made = Histogram(f"mollm_{name}", text, labels, buckets=buckets, registry=self.registry)
            if "llm" in labels:
                self._by_llm.append((made, labels))
            return made

        def gauge(name: str, text: str, value: Callable[[], float]) -> None:
            Gauge(f"mollm_{name}", text, registry=self.registry).set_function(value)

        self._requests = counter("requests", "Questions, answered or not.", "mixture")
        self._routes = counter(
            "routes", "Questions by where they went, and whether that was sure.", "mixture", "is_sure"
        )
        self._failures = counter("request_failures", "Questions that brought no answer.", "mixture", "cause")
        self._first_token = histogram("first_token_seconds", "Until the first token of a stream.", "mixture")
        self._seconds = histogram("request_seconds", "Until the end of the answer.", "mixture")
        self._agreement = histogram(
            "agreement", "Share of proposals with the same final answer.", "mixture", buckets=SHARES
        )
        self._confidence = histogram(
            "confidence", "Stated probability that an answer is right.", "mixture", buckets=PROBABILITIES
        )
        self._degraded = counter("degraded_answers", "Answers that are not what was planned.", "mixture")
        self._tools = counter(
            "tools_answers",
            "Answers to requests with tools, by what was done with them.",
            "mixture",
            "on_tools",
            "reused",
        )
        self._calls = counter("calls", "Calls to LLMs that have ended.", "llm")
        self._call_failures = counter("call_failures", "Calls that brought nothing.", "llm", "cause")
        self._call_seconds = histogram("call_seconds", "Until the end of a call.", "llm")
        self._prompt_tokens = counter("prompt_tokens", "Tokens that were sent.", "llm")
        self._completion_tokens = counter("completion_tokens", "Tokens that were written.", "llm")
        self._cost = counter("cost_usd", "Money spent, where the LLM has a price.", "llm")
        self._retries = counter("retries", "Calls that failed and were tried again.", "llm")
        self._breakers = counter("breakers_opened", "LLMs, or addresses of one, left alone for a while.", "llm")
        self._reloads = counter("reloads", "Configurations read again.", "outcome")
        self._unaudited = counter("audit_dropped", "Lines that did not get into the audit log.")
        gauge("requests_in_flight", "Questions that are worked on.", in_flight)
        gauge("queue_length", "Questions that wait.", waiting)
        gauge("queue_oldest_seconds", "For how long the first question in the queue has waited.", oldest)
        self.lateness = Lateness(
            histogram("event_loop_lag_seconds", "How late the event loop was, four looks a second.", buckets=LATE)
        )
        self.registry.register(Inside(llms, thresholds))
        ProcessCollector(registry=self.registry)
        self._of_llm: dict[str, tuple[Counter, Histogram, Counter, Counter]] = {}
        self._of_failure: dict[tuple[str, str], tuple[Counter, Counter]] = {}
        self._of_mixture: dict[str, tuple[Counter, Histogram]] = {}

    def tell(self, event: Event) -> None:
        """Count routes, calls, retries, breakers and answers."""
        if isinstance(event, CallEnded):
            self._call(event.call)
        elif isinstance(event, Done):
            self._answer(event.answer)
        elif isinstance(event, Routed):
            self._routes.labels(event.route.mixture, str(event.route.is_sure).lower()).inc()
        elif isinstance(event, Retried):
            self._retries.labels(event.llm).inc()
        elif isinstance(event, BreakerOpened):
            self._breakers.labels(event.llm).inc()

    async def show(self, token: Token) -> None:
        """Tokens are not counted one by one."""

    def answered(self, mixture: str, seconds: float) -> None:
        """Count a question that was answered `seconds` after it arrived."""
        if mixture not in self._of_mixture:
            self._of_mixture[mixture] = self._requests.labels(mixture), self._seconds.labels(mixture)
        requests, durations = self._of_mixture[mixture]
        requests.inc()
        durations.observe(seconds)

    def failed(self, mixture: str | None, cause: str) -> None:
        """Count a question that was not answered."""
        labels = mixture or UNROUTED, cause
        if labels not in self._of_failure:
            self._of_failure[labels] = self._requests.labels(labels[0]), self._failures.labels(*labels)
        for counter in self._of_failure[labels]:
            counter.inc()

    def began(self, mixture: str, seconds: float) -> None:
        """Record the time until the first token of a stream."""
        self._first_token.labels(mixture).observe(seconds)

    def reloaded(self, *, is_good: bool) -> None:
        """Count a reload."""
        self._reloads.labels("good" if is_good else "refused").inc()

    def unaudited(self, lines: int) -> None:
        """Count lines that did not get into the audit log."""
        self._unaudited.inc(lines)

    def keep(self, llms: Collection[str]) -> None:
        """Forget what was counted of LLMs other than these."""
        for name in self._of_llm.keys() - llms:
            del self._of_llm[name]
        for metric, labels in self._by_llm:
            counted = [sample.labels for family in metric.collect() for sample in family.samples]
            gone = {tuple(of[label] for label in labels) for of in counted if of["llm"] not in llms}
            for values in gone:
                metric.remove(*values)

    def page(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _call(self, call: Call) -> None:
        llm, usage = call.llm, call.usage
        if llm not in self._of_llm:  # held, since finding a child by its label takes longer than counting
            tokens = self._prompt_tokens.labels(llm), self._completion_tokens.labels(llm)
            self._of_llm[llm] = self._calls.labels(llm), self._call_seconds.labels(llm), *tokens
        calls, seconds, prompt, completion = self._of_llm[llm]
        calls.inc()
        seconds.observe(call.seconds)
        prompt.inc(usage.prompt_tokens)
        completion.inc(usage.completion_tokens)
        if call.cost_usd is not None:
            self._cost.labels(llm).inc(call.cost_usd)
        if call.error is not None:
            self._call_failures.labels(llm, call.error.kind).inc()

    def _answer(self, answer: Answer) -> None:
        if answer.agreement is not None:
            self._agreement.labels(answer.mixture).observe(answer.agreement)
        if answer.confidence is not None:
            self._confidence.labels(answer.mixture).observe(answer.confidence)
        if answer.on_tools:
            self._tools.labels(answer.mixture, answer.on_tools, str(answer.reused).lower()).inc()
        if answer.degraded:
            self._degraded.labels(answer.mixture).inc()
