"""Steady load for a long time: does `mollm serve` stall, grow, or lose an answer?

    uv run python benchmarks/endurance.py [--minutes 60] [--share 0.5] [--write benchmarks/endurance.md]

The capacity is measured first, by keeping 16 questions in flight. Then questions arrive at a fixed rate, a share of
that capacity, whether or not those before them were answered: of ten, seven ask three workers and an aggregator, two
one worker alone, and one is a stream of 50 chunks written one every 2 ms. Each minute tells what was answered, how
long that took, the longest time without any answer, and what the server's process holds.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from contestants import HERE, Contestant, Place, Server, mollm
from load import Ask, Cell, Connection, resident_mib
from machine import shape

CHUNKS = 50
STALL_SECONDS = 1.0
"""A pause between two answers that would be noticed."""


@dataclass
class Minute:
    """What was seen in one minute."""

    cell: Cell = field(default_factory=Cell)
    longest_gap: float = 0.0
    """Seconds without any answer."""
    most_in_flight: int = 0
    mib: float = 0.0
    descriptors: int = 0
    threads: int = 0

    def row(self, number: int) -> str:
        cell = self.cell
        figures = " | ".join(f"{cell.p(percent):.0f}" for percent in (50, 99, 100))
        held = f"{self.mib:.1f} | {self.descriptors} | {self.threads}"
        errors = sum(cell.errors.values())
        return f"| {number} | {len(cell.times)} | {errors} | {figures} | {self.longest_gap:.2f} | {held} |"


class Load:
    """Asks at a fixed rate and notes what comes of it."""

    def __init__(self, asks: list[Ask]) -> None:
        self._asks = asks
        self._tasks: set[asyncio.Task[None]] = set()
        self._last = time.perf_counter()
        self.minute = Minute()

    async def run(self, rate: float, seconds: float) -> None:
        """Let `rate` questions a second arrive for `seconds`."""
        begun = time.perf_counter()
        for number in range(round(rate * seconds)):
            wait = begun + number / rate - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(self._ask(self._asks[number % len(self._asks)]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            self.minute.most_in_flight = max(self.minute.most_in_flight, len(self._tasks))

    async def settle(self) -> None:
        """Wait for the last answers."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=60)

    async def _ask(self, ask: Ask) -> None:
        address = urlsplit(ask.url)
        cell = Cell()
        loop = asyncio.get_running_loop()
        try:
            make = partial(Connection, ask, cell, 0.0)
            _, connection = await loop.create_connection(make, address.hostname or "", address.port or 80)
            await asyncio.wait_for(connection.done, 60)
        except (OSError, TimeoutError) as error:
            cell.errors[type(error).__name__] += 1
        now, minute = time.perf_counter(), self.minute
        minute.longest_gap = max(minute.longest_gap, now - self._last)
        self._last = now
        minute.cell.absorb(cell)


def look(server: Server, minute: Minute) -> None:
    """Note what the server's process holds."""
    pids = server.pids()
    minute.mib = resident_mib(pids)
    minute.descriptors = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)
    minute.threads = sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids)


async def measure(contestants: list[Contestant], minutes: int, share: float) -> tuple[float, list[Minute]]:
    """Return the capacity in questions a second, and what each minute showed."""
    bypass, panel = contestants
    server = panel.server
    assert server
    asks = [*[panel.ask()] * 7, *[bypass.ask()] * 2, panel.ask(CHUNKS, paced=True)]
    await panel.load(16, 2.0)
    cell = await panel.load(16, 10.0)
    capacity = len(cell.times) / cell.wall
    load, seen = Load(asks), []
    print(f"capacity {capacity:.0f}/s, load {capacity * share:.0f}/s", file=sys.stderr)
    for number in range(1, minutes + 1):
        load.minute = Minute()
        await load.run(capacity * share, 60.0)
        look(server, load.minute)
        seen.append(load.minute)
        print(load.minute.row(number), file=sys.stderr, flush=True)
        gc.collect()
    await load.settle()
    return capacity, seen


def report(capacity: float, share: float, seen: list[Minute]) -> str:
    """Lay out every minute, and what they say together."""
    errors = sum((minute.cell.errors for minute in seen), Counter[str]())
    answered = sum(len(minute.cell.times) for minute in seen)
    worst = max(minute.longest_gap for minute in seen)
    settled = seen[len(seen) // 6 :]
    growth = settled[-1].mib - settled[0].mib
    every = max(1, len(seen) // 12)
    rows = [minute.row(n) for n, minute in enumerate(seen, 1) if n == 1 or n % every == 0]
    return "\n".join(
        [
            f"`uv run python benchmarks/endurance.py --minutes {len(seen)} --share {share:g}`",
            f"on {shape()}, {date.today()}.",
            "",
            f"Capacity {capacity:.0f} questions a second (three workers and an aggregator, 16 at once); "
            f"load {capacity * share:.0f} a second for {len(seen)} minutes.",
            f"{answered} answers, {sum(errors.values())} errors{f' ({dict(errors)})' if errors else ''}.",
            f"The longest time without an answer was {worst:.2f} s "
            f"({'no stall' if worst < STALL_SECONDS else 'a stall'}).",
            f"Resident memory grew by {growth:+.1f} MiB in the last {len(settled)} minutes.",
            "",
            "| minute | answers | errors | p50 ms | p99 ms | max ms | longest gap s | MiB | descriptors | threads |",
            "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
            *rows,
            "",
        ]
    )


def main() -> None:
    """Measure, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    upstream = subprocess.Popen(
        [sys.executable, str(HERE / "upstream.py"), "--uvloop"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert upstream.stdin
    assert upstream.stdout
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[0]})
        os.sched_setaffinity(upstream.pid, {cores[0]})
    try:
        with tempfile.TemporaryDirectory() as folder:
            place = Place(upstream.stdout.readline().strip(), Path(folder), cores[1] if len(cores) > 1 else None)
            with mollm(place) as contestants:
                capacity, seen = asyncio.run(measure(contestants, arguments.minutes, arguments.share))
    finally:
        upstream.stdin.close()
        upstream.wait()
    text = report(capacity, arguments.share, seen)
    print(text)
    if arguments.write:
        arguments.write.write_text(text)


if __name__ == "__main__":
    main()
