"""The worst case of a question, computed from its plan and compared with the limits before the first call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

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
    prompt_tokens: int = 0
    """Images included."""
    unpriced: tuple[str, ...] = ()
    """LLMs that may be called and have no price, by name."""


class Budget(Protocol):
    """What somebody may still spend; a question takes its part of it before an LLM is called."""

    def allows(self, worst: WorstCase) -> bool:
        """Whether `reserve` would hold so much."""

    def reserve(self, worst: WorstCase) -> None:
        """Hold so much for the question, in place of what was held for it before.

        Raises:
            MollmError: There is not so much left; the question ends, and what was held is held until it has.
        """


def worst_case(plan: Sequence[PlannedCall], llms: Mapping[str, ReliableLLM]) -> WorstCase:
    """Add up a plan; `llms` have the prices, and the tokens of an image.

    Raises:
        LimitError: It names an LLM that is not there.
    """
    calls = output = read = 0
    cost, unpriced = 0.0, dict[str, None]()
    for planned in plan:
        dearest, longest = 0.0, 0
        for name in planned.llms:
            llm = llms.get(name)
            if llm is None:
                raise LimitError(f"the plan of the {planned.role} names {name!r}, which is no LLM here")
            prompt = planned.prompt_tokens + planned.images * llm.image_tokens
            longest = max(longest, prompt)
            if llm.price is None:
                unpriced[name] = None
            else:
                dearest = max(dearest, llm.price.cost(Usage(prompt, planned.max_tokens)))
        calls += planned.times
        output += planned.times * planned.max_tokens
        read += planned.times * longest
        cost += planned.times * dearest
    return WorstCase(calls, output, None if unpriced else cost, read, tuple(unpriced))


def least(cases: Sequence[WorstCase]) -> WorstCase:
    """Return what the least of several takes, of each kind."""
    costs = [case.cost_usd for case in cases if case.cost_usd is not None]
    return WorstCase(
        min(case.calls for case in cases),
        min(case.output_tokens for case in cases),
        min(costs, default=None),
        min(case.prompt_tokens for case in cases),
        () if costs else cases[0].unpriced,
    )


def check(
    limits: LimitsConfig, plan: Sequence[PlannedCall], llms: Mapping[str, ReliableLLM], who: str, arithmetic: str
) -> WorstCase:
    """Return the worst case of a plan, if it exceeds no limit.

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
    if limits.cost_usd is not None and worst.unpriced:
        unpriced = ", ".join(sorted(worst.unpriced))
        raise LimitError(f"{who} is not asked: {unpriced} has no price, so limits.cost_usd cannot be kept")
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
    return worst


def routers(plan: Sequence[PlannedCall]) -> str:
    """Say how many calls the router may make; empty for none."""
    count = sum(planned.times for planned in plan)
    return f"{count} router{'s' if count > 1 else ''}" if count else ""
