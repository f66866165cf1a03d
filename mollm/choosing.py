"""A mixture made for the question: its workers are chosen, and so many of them kept as the limits allow.

A chooser is never what an answer fails by. Where it fails, or says nothing that can be used, the workers are those that
the file lists first.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mollm import limits
from mollm.catalog import NO_OPTIONS
from mollm.errors import LimitError
from mollm.mixing.base import in_listed_order

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mollm.catalog import Catalog
    from mollm.mixing.base import Chooser
    from mollm.mixture import Mixture
    from mollm.options import Options
    from mollm.run import Context, Run
    from mollm.types import Choice, PlannedCall, Question

log = logging.getLogger(__name__)


async def made(run: Run, context: Context, mixture: Mixture) -> tuple[Run, Mixture]:
    """Choose the workers of a mixture that has them chosen for each question.

    Returns:
        The run, with the choice and the calls of whoever made it; and the mixture of these workers. Both are as they
        were where the workers are listed, or none is asked: their proposals are there already, or one LLM is to answer
        that is no worker.

    Raises:
        LimitError: Not even one of the workers, alone, is within the limits; whoever chooses is not asked then.
    """
    chooser, catalog = mixture.chooser, context.catalog
    is_alone = mixture.mode(context.question, context.options) == "alone" and not mixture.is_bypass
    if chooser is None or run.reused or is_alone:
        return run, mixture
    plan = tuple(chooser.plan(context.question))
    await catalog.hold(plan)
    if plan:
        planned = [*run.planned, *plan]
        allowed = within(catalog, mixture, planned, context.question, context.options, context.allows)
        context.reserve(limits.least(allowed))
        run = context.plan(run, plan)
    choice = narrowed(run, context, mixture, await _chosen(chooser, context))
    return replace(run, choice=choice), catalog.made(mixture, choice.workers)


async def _chosen(chooser: Chooser, context: Context) -> Choice:
    try:
        async with asyncio.timeout_at(context.deadline):
            choice = await chooser.choose(context.question, context.calls)
    except LimitError:
        raise  # a call that was not planned ends the question, whoever makes it
    except Exception as error:
        log.warning("the chooser (%s) failed", chooser.kind, exc_info=True)
        return in_listed_order(chooser, f"choosing failed ({type(error).__name__}: {error})")
    workers = tuple(name for name in dict.fromkeys(choice.workers) if name in chooser.candidates)
    if not workers:
        return in_listed_order(chooser, "nothing was chosen")
    return replace(choice, workers=workers[: chooser.most])


def narrowed(run: Run, context: Context, mixture: Mixture, choice: Choice) -> Choice:
    """Keep the workers of a choice, the best first, that are within the limits together.

    Where none of them is, alone, the first other candidate that is takes their place. Where there is none either, the
    first of the choice is kept, and refused with its arithmetic by whoever checks the limits of every mixture.
    """
    fits = _Fitting(context.catalog, mixture, run.planned, context.question, context.options, context.allows)
    kept: list[str] = []
    for name in choice.workers:
        if fits.worst(*kept, name):
            kept.append(name)
    if len(kept) == len(choice.workers):
        return choice
    if not kept:
        kept = [next((name for name in mixture.candidates if fits.worst(name)), choice.workers[0])]
    left_out = ", ".join(name for name in choice.workers if name not in kept)
    reason = f"{choice.reason}; without {left_out}, which the limits do not allow" if left_out else choice.reason
    return replace(choice, workers=tuple(kept), reason=reason)


def within(
    catalog: Catalog,
    mixture: Mixture,
    planned: Sequence[PlannedCall],
    question: Question,
    options: Options = NO_OPTIONS,
    allows: Callable[[limits.WorstCase], bool] = lambda _: True,
) -> list[limits.WorstCase]:
    """Return what each worker alone takes at worst, where that is allowed.

    Args:
        catalog: Has the limits.
        mixture: One whose workers are chosen.
        planned: Calls that may be made before.
        question: The question.
        options: The options that the caller set.
        allows: Whether the caller has so much left; where the caller has for none, what the first takes is returned.

    Raises:
        LimitError: The limits of the configuration allow none.
    """
    fits = _Fitting(catalog, mixture, planned, question, options, allows)
    allowed = [worst for name in mixture.candidates if (worst := fits.worst(name))]
    return allowed or [fits.checked(mixture.candidates[0])]


@dataclass(frozen=True, slots=True)
class _Fitting:
    """Which workers of a mixture the limits allow, after calls that are planned already."""

    catalog: Catalog
    mixture: Mixture
    planned: Sequence[PlannedCall]
    question: Question
    options: Options
    allows: Callable[[limits.WorstCase], bool]

    def worst(self, *workers: str) -> limits.WorstCase | None:
        """What these take at worst; None if that is not allowed, or more than the caller has left."""
        try:
            worst = self.checked(*workers)
        except LimitError:
            return None
        return worst if self.allows(worst) else None

    def checked(self, *workers: str) -> limits.WorstCase:
        """What these take at worst. Raises `LimitError` if the limits of the configuration do not allow it."""
        made = self.catalog.made(self.mixture, workers)
        plan = (*self.planned, *made.plan(self.question, self.options))
        why = [limits.routers(self.planned), made.arithmetic(self.question, self.options)]
        who = f"mixture {self.mixture.name!r}"
        return limits.check(self.catalog.config.limits, plan, self.catalog.llms, who, " + ".join(filter(None, why)))
