"""What an arm takes per question: in USD, in calls or in tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mollm.evaluation.mixtures.page.words import finite, number, usd

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mollm.evaluation.mixtures.report import Arm


@dataclass(frozen=True, slots=True)
class Cost:
    """What the arms are compared by."""

    name: str
    fewer: str
    of: Callable[[Arm], float | None]
    written: Callable[[float | None], str]


def tokens(arm: Arm) -> float | None:
    """Of prompts and completions together."""
    if arm.prompt_tokens is None or arm.completion_tokens is None:
        return None
    return arm.prompt_tokens + arm.completion_tokens


def _known(value: float | None) -> float | None:
    known = finite(value)
    return None if known is None or known < 0 else known


USD = Cost("USD per question", "is cheaper", lambda arm: _known(arm.cost_usd), usd)
CALLS = Cost("calls per question", "takes fewer calls", lambda arm: _known(arm.calls), number)
TOKENS = Cost("tokens per question", "takes fewer tokens", lambda arm: _known(tokens(arm)), number)


def cost_of(arms: Sequence[Arm]) -> Cost:
    """Prices where all that makes calls has one and something costs, else calls, else tokens; else what most have."""
    asked = [arm for arm in arms if arm.calls is not None]
    for cost in (USD, CALLS, TOKENS):
        found = [cost.of(arm) for arm in asked]
        if any(found) and None not in found:
            return cost
    return max((CALLS, TOKENS, USD), key=lambda cost: sum(cost.of(arm) is not None for arm in arms))


def taken(arm: Arm) -> str:
    """What it takes per question, such as `2.4 calls, 1,233 tokens and $0.00313`; empty if nothing is known."""
    amounts = ((CALLS.of(arm), "call"), (TOKENS.of(arm), "token"))
    parts = [
        f"{number(amount)} {what if amount == 1 else f'{what}s'}" for amount, what in amounts if amount is not None
    ]
    price = USD.of(arm)
    parts += [usd(price)] if price is not None else []
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
