"""Builds the `Answer` from a finished run."""

from __future__ import annotations

from contextlib import suppress
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

from mollm.final.replies import final_answer
from mollm.final.tally import Tally
from mollm.formats import value_of
from mollm.messages import text_of
from mollm.types import Answer, Usage, total_cost

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    return Answer(
        id=run.id,
        text=text,
        message=message,
        mixture=route.mixture,
        route=route,
        proposals=run.proposals,
        agreement=Tally(p.said for p in run.arrived).agreement,
        confidence=None if run.confidence is None else confidence_in(text, run),
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
    )


def confidence_in(text: str, run: Run) -> float | None:
    """How probable it is that an answer is right: as its proposals say of the answer that leads; None: it is another.

    Args:
        text: Of the answer.
        run: The proposals, and what is known of them.
    """
    proposals = run.arrived
    leading = Tally(p.final for p in proposals).leading
    if not leading:
        return None
    if any(text == proposals[index].text for index in leading):
        return run.confidence
    for final in _finals(text):
        given = Tally([*(p.final for p in proposals), final]).groups
        if any(len(proposals) in group and leading[0] in group for group in given):
            return run.confidence
    return None


def _finals(text: str) -> Iterator[str]:
    """What an answer may be compared by: what it says last, or, where JSON was asked for, all of it."""
    if (final := final_answer(text)) is not None:
        yield final
    with suppress(ValueError):
        if (value := value_of(text)) is not None:
            yield value
