"""The worst case of a question, computed from its plan and compared with the limits before the first call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mollm.errors import LimitError
from mollm.types import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mollm.calling.attempt import ReliableLLM
    from mollm.config.limits import LimitsConfig
    from mollm.types import PlannedCall


@dataclass(frozen=True, slots=True)
class WorstCase:
    """The most that the calls of a plan can take, without retries."""

    calls: int
    output_tokens: int
    cost_usd: float | None
    """None if an LLM that may be called has no price."""


def worst_case(plan: Sequence[PlannedCall], llms: Mapping[str, ReliableLLM]) -> WorstCase:
    """Add up a plan; `llms` have the prices, and the tokens of an image.

    Raises:
        LimitError: It names an LLM that is not there.
    """
    calls = sum(planned.times for planned in plan)
    tokens = sum(planned.times * planned.max_tokens for planned in plan)
    cost = 0.0
    for planned in plan:
        costs = [_cost(planned, name, llms) for name in planned.llms]
        if None in costs:
            return WorstCase(calls, tokens, None)
        cost += planned.times * max(filter(None, costs), default=0.0)
    return WorstCase(calls, tokens, cost)


def _cost(planned: PlannedCall, name: str, llms: Mapping[str, ReliableLLM]) -> float | None:
    llm = llms.get(name)
    if llm is None:
        raise LimitError(f"the plan of the {planned.role} names {name!r}, which is no LLM here")
    prompt = planned.prompt_tokens + planned.images * llm.image_tokens
    return llm.price.cost(Usage(prompt, planned.max_tokens)) if llm.price else None


def check(
    limits: LimitsConfig, plan: Sequence[PlannedCall], llms: Mapping[str, ReliableLLM], who: str, arithmetic: str
) -> None:
    """Raise `LimitError` if a plan could exceed a limit.

    Args:
        limits: The limits.
        plan: Every call that may be made.
        llms: By name.
        who: Whose plan it is, for the message: `the router`, `mixture 'm'`.
        arithmetic: Where the calls come from, in words.

    Raises:
        LimitError: The message shows the arithmetic.
    """
    for planned in plan:
        if min(planned.times, planned.max_tokens) < 1 or min(planned.prompt_tokens, planned.images) < 0:
            raise LimitError(f"{who} is not asked: its plan counts less than nothing: {planned}")
    worst = worst_case(plan, llms)
    if limits.cost_usd is not None and worst.cost_usd is None:
        unpriced = sorted({name for planned in plan for name in planned.llms if llms[name].price is None})
        raise LimitError(f"{who} is not asked: {', '.join(unpriced)} has no price, so limits.cost_usd cannot be kept")
    over = [
        f"{text} at worst ({arithmetic}), and limits.{key} is {limit}"
        for key, value, limit, text in (
            ("calls", worst.calls, limits.calls, f"{worst.calls} calls"),
            ("output_tokens", worst.output_tokens, limits.output_tokens, f"{worst.output_tokens} output tokens"),
            ("cost_usd", worst.cost_usd, limits.cost_usd, f"{worst.cost_usd or 0:.6f} USD"),
        )
        if limit is not None and value is not None and value > limit
    ]
    if over:
        raise LimitError(f"{who} is not asked: it may take {'; '.join(over)}")


def routers(plan: Sequence[PlannedCall]) -> str:
    """Say how many calls the router may make; empty for none."""
    count = sum(planned.times for planned in plan)
    return f"{count} router{'s' if count > 1 else ''}" if count else ""
