"""Builds the `Answer` from a finished run."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import TYPE_CHECKING

from mollm.aggregation.stance import stance_of
from mollm.final.tally import Tally
from mollm.messages import text_of
from mollm.types import Answer, Usage, total_cost

if TYPE_CHECKING:
    from mollm.run import Run


def answer_of(run: Run) -> Answer:
    """Build the answer of a run; usage and cost are summed over its breakdown."""
    written, route = run.written, run.route
    if written is None or route is None:
        raise RuntimeError("nothing was written yet")
    message = written.message
    if message.get("role") != "assistant":
        message = {**message, "role": "assistant"}
    text = text_of(message.get("content"))
    # Most mixtures have no calibration, and nobody needs to read their answers for it.
    is_stated = run.confidence is not None and stance_of(message, run.arrived).agrees
    return Answer(
        id=run.id,
        text=text,
        message=message,
        mixture=route.mixture,
        route=route,
        proposals=run.proposals,
        agreement=Tally(p.said for p in run.arrived).agreement,
        confidence=run.confidence if is_stated else None,
        degraded=tuple(dict.fromkeys(written.degraded)),  # two nodes may have one and the same reason
        calls=len(run.breakdown),
        usage=reduce(add, (call.usage for call in run.breakdown), Usage()),
        cost_usd=total_cost(call.cost_usd for call in run.breakdown),
        seconds=run.seconds,
        breakdown=run.breakdown,
        finish_reason=written.finish_reason,
        logprobs=written.logprobs,
        alternatives=written.alternatives,
        on_tools=run.on_tools,
        reused=run.reused,
        choice=run.choice,
        ranking=run.ranking,
        analysis=run.analysis,
        proposed_by=written.proposed_by,
        ended=run.ended,
    )
