"""What Prometheus reads. Labels are mixtures, LLMs and a few words for causes: their number is bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

if TYPE_CHECKING:
    from mollm.server.admission import Admission
    from mollm.types import Answer, Call

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320)
SHARES = (0.2, 0.25, 1 / 3, 0.4, 0.5, 0.6, 2 / 3, 0.75, 0.8, 0.9, 1.0)
UNROUTED = ""
"""The mixture of a request that was refused before there was one."""


class Metrics:
    """Counts requests and calls in a registry of its own."""

    def __init__(self, admission: Admission) -> None:
        """Start at zero; the gauges read `admission` when they are asked."""
        self.registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"mollm_{name}", text, labels, registry=self.registry)

        def histogram(name: str, text: str, *labels: str, buckets: tuple[float, ...] = SECONDS) -> Histogram:
            return Histogram(f"mollm_{name}", text, labels, buckets=buckets, registry=self.registry)

        self._requests = counter("requests", "Questions, answered or not.", "mixture")
        self._failures = counter("request_failures", "Questions that brought no answer.", "mixture", "cause")
        self._first_token = histogram("first_token_seconds", "Until the first token of a stream.", "mixture")
        self._seconds = histogram("request_seconds", "Until the end of the answer.", "mixture")
        self._agreement = histogram(
            "agreement", "Share of proposals with the same final answer.", "mixture", buckets=SHARES
        )
        self._degraded = counter("degraded_answers", "Answers that are not what was planned.", "mixture")
        self._calls = counter("calls", "Calls to LLMs that have ended.", "llm")
        self._call_failures = counter("call_failures", "Calls that brought nothing.", "llm", "cause")
        self._call_seconds = histogram("call_seconds", "Until the end of a call.", "llm")
        self._prompt_tokens = counter("prompt_tokens", "Tokens that were sent.", "llm")
        self._completion_tokens = counter("completion_tokens", "Tokens that were written.", "llm")
        self._cost = counter("cost_usd", "Money spent, where the LLM has a price.", "llm")
        self._reloads = counter("reloads", "Configurations read again.", "outcome")
        in_flight = Gauge("mollm_requests_in_flight", "Requests that are worked on.", registry=self.registry)
        in_flight.set_function(lambda: admission.in_flight)
        waiting = Gauge("mollm_queue_length", "Requests that wait.", registry=self.registry)
        waiting.set_function(lambda: admission.waiting)
        ProcessCollector(registry=self.registry)

    def call(self, call: Call) -> None:
        """Count a call that has ended."""
        llm = call.llm
        self._calls.labels(llm).inc()
        self._call_seconds.labels(llm).observe(call.seconds)
        self._prompt_tokens.labels(llm).inc(call.usage.prompt_tokens)
        self._completion_tokens.labels(llm).inc(call.usage.completion_tokens)
        if call.cost_usd is not None:
            self._cost.labels(llm).inc(call.cost_usd)
        if call.error is not None:
            self._call_failures.labels(llm, call.error.kind).inc()

    def answered(self, answer: Answer, seconds: float) -> None:
        """Count a request that was answered `seconds` after it came."""
        mixture = answer.mixture
        self._requests.labels(mixture).inc()
        self._seconds.labels(mixture).observe(seconds)
        if answer.agreement is not None:
            self._agreement.labels(mixture).observe(answer.agreement)
        if answer.degraded:
            self._degraded.labels(mixture).inc()

    def failed(self, mixture: str | None, cause: str) -> None:
        """Count a request that was not answered."""
        self._requests.labels(mixture or UNROUTED).inc()
        self._failures.labels(mixture or UNROUTED, cause).inc()

    def began(self, mixture: str, seconds: float) -> None:
        """Note when the first token of a stream was there."""
        self._first_token.labels(mixture).observe(seconds)

    def reloaded(self, *, is_good: bool) -> None:
        """Count a configuration that was read again."""
        self._reloads.labels("good" if is_good else "refused").inc()

    def page(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)
