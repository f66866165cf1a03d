"""The long run: a share of the measured capacity, with every kind of fault and clients that leave."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from load import percentile

from soaking.books import balance, summary
from soaking.client import ANSWERED, SHORTENED, Load, Mixed, capacity
from soaking.faults import OVERSIZED_EVERY, SHARE, TURNS
from soaking.stage import Health, Part, Stage, staged, watching

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from soaking.client import Outcome
    from soaking.stage import Look

AT_ONCE = 64
"""Questions in flight while the capacity is measured."""
TURN_COUNT = 2 * len(TURNS)
"""Every kind of fault has its turn twice, so what is left of the first time shows in the second."""
QUIET_SECONDS = 60.0
SETTLING_SECONDS = 40.0
"""Before the base line is taken: idle connections to an upstream are kept for 15 s, and looked at that often."""
GROWTH_MIB = 8.0
HEALTH_SECONDS = 0.5
"""Row 40 of the catalogue."""
ENOUGH = 0.99
"""Of the questions to three workers that are not streamed: some worker or another answers."""
BURST = 500


@dataclass
class Turn:
    """What was seen in one turn."""

    outcomes: list[Outcome]
    look: Look
    most_in_flight: int
    health: Health

    def row(self, number: int) -> str:
        answered = [o for o in self.outcomes if o.what in (ANSWERED, SHORTENED)]
        times = [outcome.seconds * 1e3 for outcome in answered]
        figures = " | ".join(f"{percentile(times, percent):.0f}" for percent in (50, 99))
        kinds = ", ".join(fault.__name__ for fault in TURNS[(number - 1) % len(TURNS)])
        look = self.look
        held = f"{self.most_in_flight} | {look.mib:.1f} | {look.descriptors} | {look.threads} | {look.task_count}"
        share = f"{len(answered)} of {len(self.outcomes)}"
        return f"| {number} | {kinds} | {share} | {figures} | {self.health.longest * 1e3:.0f} | {held} |"


def held(when: str, look: Look) -> str:
    return f"| {when} | | | | | | | {look.mib:.1f} | {look.descriptors} | {look.threads} | {look.task_count} |"


TITLES = (
    "turn | faults | answered | p50 ms | p99 ms | /health max ms | most in flight | MiB | descriptors | threads | tasks"
)


async def steady(minutes: float, share: float, descriptors: int | None) -> Part:
    """Run it; the load and the upstream have one core, the server the other."""
    of = f", with {descriptors} descriptors" if descriptors else ""
    part = Part(f"Steady load for {minutes:g} minutes{of}")
    with staged(descriptors, impatient=True) as stage:
        questions = Mixed(seed=1)
        await capacity(stage.port, questions, AT_ONCE, 3)
        measured = await capacity(stage.port, questions, AT_ONCE, 10)
        await asyncio.sleep(SETTLING_SECONDS)
        base, before, begun = await stage.look(), await stage.metrics(), time.monotonic()
        print(f"capacity {measured:.0f}/s, base line {base}", file=sys.stderr, flush=True)
        load = Load(stage.port)
        turns = [turn async for turn in _turns(stage, load, questions, measured * share, minutes * 60 / TURN_COUNT)]
        await load.settle()
        counted, ended = (await stage.metrics()).since(before), time.monotonic()
        await asyncio.sleep(QUIET_SECONDS)
        end = await stage.look()
        part.text += _page(measured, share, base, turns, end)
        book = [called for called in await stage.finish() if begun <= called.begun <= ended]
    part.text.insert(1, f"{len(load.outcomes)} questions: {summary(load.outcomes)}.")
    kinds = Counter(called.fault for called in book)
    said = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    part.bar("every kind of fault happened", said, all(kinds[kind.__name__] for turn in TURNS for kind in turn))
    balance(part, load.outcomes, counted, book)
    _held(part, base, turns, end)
    _served(part, turns, load.outcomes)
    if descriptors:
        with staged(descriptors) as stage:
            await _burst(part, stage)
    return part


async def _turns(stage: Stage, load: Load, questions: Mixed, rate: float, seconds: float) -> AsyncIterator[Turn]:
    for number in range(1, TURN_COUNT + 1):
        begun, load.most_in_flight = len(load.outcomes), 0
        following = partial(questions.mixed, (number - 1) % len(TURNS), leaving=True)
        with watching(stage.port) as health:
            await load.run(rate, seconds, following)
        turn = Turn(load.outcomes[begun:], await stage.look(), load.most_in_flight, health)
        print(turn.row(number), file=sys.stderr, flush=True)
        gc.collect()
        yield turn


def _page(measured: float, share: float, base: Look, turns: list[Turn], end: Look) -> list[str]:
    return [
        f"Capacity {measured:.0f} questions a second ({AT_ONCE} at once, no faults), load {measured * share:.0f}.",
        f"Of the calls, {SHARE:.0%} are replied to in each of the ways of the turn, and one in "
        f"{1 / OVERSIZED_EVERY:.0f} without end. 5 % of the questions have a worker whose address refuses connections, "
        "5 % one whose address never accepts them, and 5 % of the clients leave.",
        "",
        f"| {TITLES} |",
        f"|---:|---|{'---:|' * (TITLES.count('|') - 1)}",
        held("before", base),
        *(turn.row(number) for number, turn in enumerate(turns, 1)),
        held(f"{QUIET_SECONDS:g} s after", end),
    ]


def _held(part: Part, base: Look, turns: list[Turn], end: Look) -> None:
    grown = {name: end.tasks.get(name, 0) - base.tasks.get(name, 0) for name in {*base.tasks, *end.tasks}}
    more = {name: count for name, count in grown.items() if count}
    said = f"{base.task_count} before, {end.task_count} after{f', {more}' if more else ''}"
    part.bar("asyncio tasks are those of before", said, not more)
    for what in ("descriptors", "threads"):
        before, after = getattr(base, what), getattr(end, what)
        part.bar(f"no more {what} than before", f"{before} before, {after} after", after <= before)
    half = len(turns) // 2
    # Medians: a reply without end is held for a moment, up to 16 MiB.
    first, second = (median(turn.look.mib for turn in those) for those in (turns[:half], turns[half:]))
    said = f"{first:.1f} MiB in the first half, {second:.1f} in the second"
    part.bar(
        f"memory grows by less than {GROWTH_MIB:g} MiB when the faults come again", said, second - first < GROWTH_MIB
    )


def _served(part: Part, turns: list[Turn], outcomes: list[Outcome]) -> None:
    health = Health([seconds for turn in turns for seconds in turn.health.taken], max(t.health.late for t in turns))
    part.bar(f"/health within {HEALTH_SECONDS:g} s", health.words(), health.longest <= HEALTH_SECONDS)
    of_three = [o for o in outcomes if o.question.mixture == "three" and not o.question.streamed and o.what != "left"]
    answered = sum(outcome.what in (ANSWERED, SHORTENED) for outcome in of_three) / max(1, len(of_three))
    said = f"{answered:.2%} of {len(of_three)}"
    part.bar(f"three workers answer {ENOUGH:.0%} of what is not streamed", said, answered >= ENOUGH)


async def _burst(part: Part, stage: Stage) -> None:
    load, questions = Load(stage.port), Mixed(seed=2)
    for _ in range(BURST):
        load.ask(questions.calm())
    await load.settle()
    blamed = sum(outcome.what in ("status 502", "status 504") for outcome in load.outcomes)
    what = f"{BURST} questions of 3 + 1 calls at once, without faults: no LLM is blamed for what this process lacks"
    part.bar(what, f"{blamed} of {BURST}", not blamed)
    fine = sum(outcome.what in (ANSWERED, "status 503") for outcome in load.outcomes)
    part.bar("each of them is answered, or refused with 503", summary(load.outcomes), fine == BURST)
