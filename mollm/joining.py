"""Who answers where a router picked two mixtures: both together, if that stays within the limits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mollm import limits
from mollm.errors import LimitError

if TYPE_CHECKING:
    from mollm.mixture import Mixture
    from mollm.run import Context, Run
    from mollm.types import Route


async def answers(found: Route, run: Run, context: Context) -> tuple[Route, Mixture]:
    """The mixture that answers, joined to a second one where a limit allows that; else the first answers alone."""
    catalog, question, options = context.catalog, context.question, context.options
    if found.second is None:
        return found, await catalog.built_for(found, run.panel)
    if any(catalog.mixtures[name].chooser for name in (found.mixture, found.second)):
        return await _alone(found, "workers that are chosen for a question are not joined to others", context)
    mixture = await catalog.built_for(found)
    why = "n and logprobs need a single LLM" if options.needs_one_llm else ""
    plan = (*run.planned, *mixture.plan(question, options))
    arithmetic = " + ".join(filter(None, [limits.routers(run.planned), mixture.arithmetic(question, options)]))
    try:
        limits.check(catalog.config.limits, plan, catalog.llms, f"the two together ({mixture.name})", arithmetic)
    except LimitError as error:
        why = why or str(error)
    return await _alone(found, why, context) if why else (found, mixture)


async def _alone(found: Route, why: str, context: Context) -> tuple[Route, Mixture]:
    reason = f"{found.reason}; {found.second} is not joined: {why}"
    return replace(found, second=None, reason=reason), await context.catalog.built_mixture(found.mixture)
