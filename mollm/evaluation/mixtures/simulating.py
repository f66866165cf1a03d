"""A layer on answers that are there already, by the rules that serve: what is asked, when it ends, who said what."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from mollm.asking import Asking
from mollm.final.calibration import Said

if TYPE_CHECKING:
    from mollm.asking import Rules

Confidence: TypeAlias = Callable[[Sequence[Said]], float | None]
"""From what has arrived, in listed order, to the probability that its leading answer is right."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What one planned call of a layer would bring."""

    said: Said | None
    """None: it fails."""
    seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a layer ended."""

    started: tuple[int, ...]
    """The planned calls that were started, by number."""
    arrived: tuple[int, ...]
    """Those that arrived, in the order in which they did."""
    agreed: bool
    seconds: float


def simulate(replies: Sequence[Reply], rules: Rules, confidence: Confidence | None = None) -> Ended:
    """Run one layer of `replies`, in listed order, by `rules`; no clock runs, and nothing is called.

    Calls that take equally long end in the order in which they are listed.
    """
    asking, now = Asking(len(replies), rules), 0.0
    running: list[tuple[float, int]] = []
    started: list[int] = []
    arrived: list[int] = []
    alarm: tuple[float, Callable[[], range]] | None = None
    is_in_grace = False
    half = rules.deadline / 2

    def start(numbers: range) -> None:
        nonlocal alarm, is_in_grace
        for number in numbers:
            started.append(number)
            heapq.heappush(running, (now + replies[number].seconds, number))
        if asking.is_in_grace and not is_in_grace:
            is_in_grace, alarm = True, (now + rules.grace, asking.grace_over)
        elif numbers and rules.widen_after is not None:
            alarm = (now + rules.widen_after, asking.waited) if asking.has_more else None

    start(asking.begin())
    while not asking.ended:
        until = min(alarm[0] if alarm else rules.deadline, running[0][0] if running else rules.deadline)
        if now < half <= until:
            now = half
            start(asking.half_over())
            continue
        if until >= rules.deadline:
            now = rules.deadline
            break
        now = until
        if alarm and alarm[0] <= now and not (running and running[0][0] <= now):
            then, alarm = alarm[1], None
            start(then())
            continue
        _, number = heapq.heappop(running)
        said = replies[number].said
        if said is None:
            start(asking.failed())
            continue
        arrived.append(number)
        sure = confidence([found for i in sorted(arrived) if (found := replies[i].said)]) if confidence else None
        start(asking.arrived(said.final, sure))
    return Ended(tuple(started), tuple(arrived), asking.agreed, now)
