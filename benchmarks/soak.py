"""Does `mollm serve` survive its upstreams, its clients and its success? Faults, leavers, bursts, and the books.

    uv run python benchmarks/soak.py [--minutes 10] [--share 0.5] [--descriptors 1024] [--only steady,burst]
        [--write benchmarks/soak.md]

The long run asks at half of a measured capacity while the upstream misbehaves and clients leave, both by a seeded plan,
and accounts for every question at clients, server and upstream. It is repeated with few descriptors. Short runs follow:
a burst of ten times the capacity, slow readers, a request of 100,000 tokens beside small streams, and reloads all the
time. Each has bars; where one is missed, the exit code is 1. The server has one core, load and upstream share another.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
import time
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
from load import machine_seconds
from machine import shape
from soaking.steady import steady
from soaking.strain import burst, large, readers, reloads

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from soaking.stage import Part


def main() -> None:
    """Run the parts, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="of each of the two long runs; %(default)s")
    parser.add_argument("--share", type=float, default=0.5, help="of the capacity, in these; %(default)s")
    parser.add_argument("--descriptors", type=int, default=1024, help="of the second long run; %(default)s")
    parser.add_argument("--only", help="parts, comma-separated")
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    parts: dict[str, Callable[[], Coroutine[Any, Any, Part]]] = {
        "steady": partial(steady, arguments.minutes, arguments.share, None),
        "descriptors": partial(steady, arguments.minutes, arguments.share, arguments.descriptors),
        "burst": burst,
        "readers": readers,
        "large": large,
        "reloads": reloads,
    }
    only = arguments.only.split(",") if arguments.only else list(parts)
    if unknown := set(only) - set(parts):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    pages, missed = [], 0
    for name in only:
        print(name, file=sys.stderr, flush=True)
        begun, machine, own = time.monotonic(), machine_seconds(), _own_seconds()
        part = uvloop.run(parts[name]())
        foreign = machine_seconds() - machine - (_own_seconds() - own)
        share = foreign / (time.monotonic() - begun) / (os.cpu_count() or 1)
        part.text.append(f"Other processes took {max(0.0, share):.0%} of the machine meanwhile.")
        missed += sum(not bar.is_met for bar in part.bars)
        pages.append(part.page())
        print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    command = f"uv run python benchmarks/soak.py --minutes {arguments.minutes:g} --share {arguments.share:g}"
    command += f" --only {arguments.only}" if arguments.only else ""
    bars = f"{missed} bars missed" if missed else "Every bar held"
    text = f"`{command}`\non {shape()}, {date.today()}. {bars}.\n\n" + "\n".join(pages)
    print(text)
    if arguments.write:
        arguments.write.write_text(text)
    sys.exit(int(missed > 0))


def _own_seconds() -> float:
    """CPU of this process and of those that it has started and that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main()
