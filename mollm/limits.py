"""The most a request can take, worked out before the first call."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mollm.errors import LimitError
from mollm.types import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mollm.calling.attempt import ReliableLLM
    from mollm.catalog import Mixture
    from mollm.config.schema import LimitsConfig
    from mollm.routing.llm import LLMRouter


@dataclass(frozen=True, slots=True)
class WorstCase:
    """The most one request to a mixture can take; retries are not counted."""

    calls: int
    output_tokens: int
    cost_usd: float | None
    """None where an LLM that may be called has no price."""

    def __add__(self, other: WorstCase) -> WorstCase:
        known = self.cost_usd is not None and other.cost_usd is not None
        cost = (self.cost_usd or 0.0) + (other.cost_usd or 0.0) if known else None
        return WorstCase(self.calls + other.calls, self.output_tokens + other.output_tokens, cost)


def worst_case(
    mixture: Mixture,
    llms: Mapping[str, ReliableLLM],
    *,
    routers: Sequence[LLMRouter] = (),
    prompt_tokens: int = 0,
    max_tokens: int | None = None,
    has_tools: bool = False,
    n: int = 1,
) -> WorstCase:
    """Count the routers, every proposal of every layer, the aggregator and its fallback.

    Args:
        mixture: Which is asked.
        llms: Know their own token limits and prices.
        routers: Those that may ask an LLM; none where the caller names the mixture.
        prompt_tokens: Of the caller's messages; what later layers read on top is counted here.
        max_tokens: What the caller sets for the LLM that writes the answer.
        has_tools: One LLM answers it alone.
        n: Answers that a single LLM is asked for.
    """
    before = worst_case_of_routing(routers, llms, prompt_tokens=prompt_tokens)
    if has_tools:
        return before + _sum([_Call(llms[mixture.config.tools_llm], max_tokens, prompt_tokens)] * n)
    proposals = [
        _Call(llms[worker.llm], worker.settings.max_tokens, prompt_tokens + worker.prompt_tokens)
        for worker in mixture.workers
    ]
    if mixture.config.is_bypass:
        return before + _sum([replace(call, limit=max_tokens or call.limit) for call in proposals] * n)
    aggregator = mixture.aggregator
    names = [name for name in (aggregator.llm, aggregator.fallback_llm) if name]
    limit = (max_tokens if aggregator.method != "best" else None) or aggregator.settings.max_tokens
    writers = [_Call(llms[name], limit, prompt_tokens) for name in names]
    first = _sum(proposals)
    later = proposals * (mixture.config.layers - 1) + writers
    read = aggregator.prompt.tokens + first.output_tokens
    return before + first + _sum([replace(call, prompt=call.prompt + read) for call in later])


def worst_case_of_routing(
    routers: Sequence[LLMRouter], llms: Mapping[str, ReliableLLM], *, prompt_tokens: int = 0
) -> WorstCase:
    """Count one call for each of `routers`, as if none was sure before the last."""
    return _sum([_Call(llms[r.llm], r.max_tokens, r.prompt_tokens(prompt_tokens)) for r in routers])


def check_routing(
    limits: LimitsConfig, routers: Sequence[LLMRouter], llms: Mapping[str, ReliableLLM], *, prompt_tokens: int = 0
) -> None:
    """Refuse a request that exceeds a ceiling before its mixture is known.

    Raises:
        LimitError: With the arithmetic.
    """
    worst = worst_case_of_routing(routers, llms, prompt_tokens=prompt_tokens)
    _refuse(limits, worst, "the router is", " + ".join(_routing(routers)))


def check_limits(
    limits: LimitsConfig,
    mixture: Mixture,
    llms: Mapping[str, ReliableLLM],
    *,
    routers: Sequence[LLMRouter] = (),
    prompt_tokens: int = 0,
    max_tokens: int | None = None,
    has_tools: bool = False,
    n: int = 1,
) -> None:
    """Refuse a request whose worst case exceeds a ceiling. Arguments are those of `worst_case`.

    Raises:
        LimitError: With the arithmetic.
    """
    worst = worst_case(
        mixture, llms, routers=routers, prompt_tokens=prompt_tokens, max_tokens=max_tokens, has_tools=has_tools, n=n
    )
    if has_tools:
        why = " + ".join([*_routing(routers), f"{n} call{'s' if n > 1 else ''} with tools"])
    else:
        why = arithmetic(mixture, routers, n)
    _refuse(limits, worst, f"mixture {mixture.name!r} is", why)


def arithmetic(mixture: Mixture, routers: Sequence[LLMRouter] = (), n: int = 1) -> str:
    """Say where the calls of the worst case come from."""
    parts = _routing(routers)
    if mixture.config.is_bypass:
        return " + ".join([*parts, "1 worker" if n == 1 else f"1 worker x {n} answers"])
    layers = f" x {mixture.config.layers} layers" if mixture.config.layers > 1 else ""
    planned = len(mixture.workers)
    parts += [f"{planned} proposal{'s' if planned > 1 else ''}{layers}"]
    parts += ["1 aggregator"] if mixture.aggregator.llm else []
    parts += ["1 fallback"] if mixture.aggregator.fallback_llm else []
    return " + ".join(parts)


def _routing(routers: Sequence[LLMRouter]) -> list[str]:
    return [f"{len(routers)} router{'s' if len(routers) > 1 else ''}"] if routers else []


def _refuse(limits: LimitsConfig, worst: WorstCase, who: str, why: str) -> None:
    over = [
        f"{text} at worst ({why}), and limits.{key} is {limit}"
        for key, value, limit, text in (
            ("calls", worst.calls, limits.calls, f"{worst.calls} calls"),
            ("output_tokens", worst.output_tokens, limits.output_tokens, f"{worst.output_tokens} output tokens"),
            ("cost_usd", worst.cost_usd, limits.cost_usd, f"{worst.cost_usd or 0:.6f} USD"),
        )
        if limit is not None and value is not None and value > limit
    ]
    if over:
        raise LimitError(f"{who} not asked: it may take {'; '.join(over)}")


@dataclass(frozen=True, slots=True)
class _Call:
    llm: ReliableLLM
    limit: int | None
    prompt: int

    @property
    def usage(self) -> Usage:
        return Usage(self.prompt, self.limit or self.llm.defaults.max_tokens or 0)


def _sum(calls: Sequence[_Call]) -> WorstCase:
    costs = [call.llm.cost(call.usage) for call in calls]
    known = [cost for cost in costs if cost is not None]
    tokens = sum(call.usage.completion_tokens for call in calls)
    return WorstCase(len(calls), tokens, sum(known) if len(known) == len(costs) else None)
