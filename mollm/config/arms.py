"""Arms: several routers, or several mixtures, that share the traffic of one, so that what comes of each can be told.

Which arm a question falls to follows from the id of its answer alone. Each test draws for itself: the router's says
nothing about that of a mixture.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import AfterValidator, Field

if TYPE_CHECKING:
    from collections.abc import Mapping

CURRENT = "current"
"""The arm that is what stands in the configuration."""
ROUTER = "router"
"""The test of routers; every other test has the name of its mixture, and no mixture has this one."""
SLACK = 1e-6
"""By which shares may miss 1, so that a third may be written with six digits."""


def _whole(arms: dict[str, float]) -> dict[str, float]:
    total = math.fsum(arms.values())
    if arms and abs(total - 1.0) > SLACK:
        raise ValueError(f"the shares sum to {total:g}, and have to sum to 1")
    return arms


Arms: TypeAlias = Annotated[dict[str, Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]], AfterValidator(_whole)]
"""Arm to its share of the traffic, 0 to 1; together 1. Empty: no test."""


def drawn(arms: Mapping[str, float], test: str, unit: str) -> str:
    """Return the arm that `unit` falls to, always the same one for the same unit and shares.

    Args:
        arms: Shares, at least one above 0.
        test: `ROUTER`, or the name of the mixture whose traffic is shared.
        unit: What falls to one arm as a whole: the id of an answer.
    """
    digest = hashlib.sha256(f"{test}\0{unit}".encode("utf-8", "surrogatepass")).digest()
    point = int.from_bytes(digest[:8]) / 2**64
    found = ""
    for name, share in arms.items():
        if share > 0:
            found = name
            if point < share:
                break
            point -= share
    return found


def with_arm(before: str | None, test: str, arm: str) -> str:
    """Write down the arm of a test, beside that of the router's, for `Route.arm`; `arms_of` reads it again."""
    told = f"{test}: {arm}"
    return told if before is None else f"{told}; {before}"


def arms_of(told: str | None) -> dict[str, str]:
    """Read `Route.arm`: test to arm."""
    # The name of a mixture has no space in it, and neither has its arm, so only the folder of a router may hold `; `.
    found: dict[str, str] = {}
    while told:
        test, _, arm = told.partition(": ")
        told = None
        if test != ROUTER:
            arm, _, told = arm.partition("; ")
        found[test] = arm
    return found
