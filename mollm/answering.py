"""Proposals, the written text and the books become one `Answer`."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import TYPE_CHECKING

from mollm.calling.base import text_of
from mollm.final.replies import agreement
from mollm.types import Answer, Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.aggregation.base import Written
    from mollm.types import Call, Proposal, Route


def assemble(
    written: Written,
    *,
    id: str,  # noqa: A002 - the field's name
    route: Route,
    layer: int,
    proposals: Sequence[Proposal],
    breakdown: Sequence[Call],
    seconds: float,
) -> Answer:
    """Put an answer together of the proposals of `layer`; usage and cost are summed over the `breakdown`."""
    arrived = [p.final for p in proposals if p.layer == layer and p.error is None]
    costs = [call.cost_usd for call in breakdown if call.cost_usd is not None]
    message = written.message
    if message.get("role") != "assistant":
        message = {**message, "role": "assistant"}
    return Answer(
        id=id,
        text=text_of(message.get("content")),
        message=message,
        mixture=route.mixture,
        route=route,
        proposals=tuple(proposals),
        agreement=agreement(arrived),
        confidence=None,
        degraded=written.degraded,
        calls=len(breakdown),
        usage=reduce(add, (call.usage for call in breakdown), Usage()),
        cost_usd=sum(costs) if costs else None,
        seconds=seconds,
        breakdown=tuple(breakdown),
        finish_reason=written.finish_reason,
        logprobs=written.logprobs,
        alternatives=written.alternatives,
    )
