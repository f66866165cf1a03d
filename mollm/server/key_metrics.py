"""What keys use, for Prometheus. The label is the name of a key in the configuration, so its values are bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric

    from mollm.server.quotas import Quotas


class KeyMetrics(Collector):
    """Reads the quotas whenever the page is read; without keys there is nothing."""

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas

    def collect(self) -> Iterable[Metric]:
        """Return every family, if there are keys."""
        quotas = list(self._quotas)
        if not quotas:
            return []
        requests = CounterMetricFamily("mollm_key_requests", "HTTP requests with questions, by key.", labels=["key"])
        refusals = CounterMetricFamily(
            "mollm_key_refusals", "Questions that a limit of their key refused.", labels=["key", "limit"]
        )
        tokens = CounterMetricFamily("mollm_key_tokens", "Tokens of prompts and replies, by key.", labels=["key"])
        cost = CounterMetricFamily("mollm_key_cost_usd", "Money spent, by key.", labels=["key"])
        gauges = [
            GaugeMetricFamily(f"mollm_key_{name}", text, labels=["key"])
            for name, text in (
                ("questions_in_flight", "Questions that are worked on or wait, by key."),
                ("tokens_today", "Tokens used since 00:00 UTC, also before a restart."),
                ("tokens_reserved", "Tokens held for questions that are being answered."),
                ("cost_usd_today", "Money spent since 00:00 UTC, also before a restart."),
                ("cost_usd_reserved", "Money held for questions that are being answered."),
            )
        ]
        for quota in quotas:
            label, today = [quota.name], quota.today
            requests.add_metric(label, quota.requests)
            for limit, count in quota.refusals.items():
                refusals.add_metric([quota.name, limit], count)
            tokens.add_metric(label, quota.total.tokens)
            cost.add_metric(label, quota.total.cost_usd)
            used, held = today.used, today.reserved
            values = (quota.places, used.tokens, held.tokens, used.cost_usd, held.cost_usd)
            for gauge, value in zip(gauges, values, strict=True):
                gauge.add_metric(label, value)
        return [requests, refusals, tokens, cost, *gauges]
