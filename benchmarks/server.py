"""What a server between a caller and the LLMs costs: `mollm serve` beside LiteLLM's proxy and TensorZero.

    uv run python benchmarks/server.py [--quick] [--only mollm,litellm] [--old REVISION] [--write benchmarks/server.md]

The server under test has one core, this load and the upstream have the other. All servers run during the whole
measurement, and rounds are interleaved, so a machine that slows down slows all of them. The upstream answers at once;
streamed, it writes as many chunks as it is asked for, all at once or one every 2 ms. A cell with errors is no result.
With `--old` mollm as it was at a revision is measured in the same run, in an environment of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop
from contestants import (
    BYPASS,
    CONTESTANTS,
    HERE,
    LITELLM,
    PROXY,
    TENSORZERO,
    THREE,
    Contestant,
    Embedded,
    Place,
    Server,
    mollm,
    mollm_serve,
)
from load import Ask, Cell, ask_once, cpu_seconds, load, machine_seconds, percentile, resident_mib, streamed_text
from revisions import revision
from upstream import PACE_SECONDS, word

if TYPE_CHECKING:
    from collections.abc import Callable

CONCURRENCY = (1, 16, 64)
PACED_STREAMS = (4, 48)
"""Connections with a paced reply each: a server that mostly waits, and one that is busy."""
FIRST_TEXTS = 2
"""Length of the replies whose first text is timed: the second comes later, so the first has to leave alone."""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int = 3
    seconds: float = 2.0
    """Of each round of each cell."""
    warm_up: float = 1.0
    chunks: int = 2000
    paced_chunks: int = 400


QUICK = Plan(rounds=1, seconds=0.3, warm_up=0.2, chunks=500, paced_chunks=100)


@dataclass
class Found:
    """All cells of one contestant."""

    unstreamed: dict[int, Cell] = field(default_factory=dict)
    """By concurrency."""
    streamed: dict[str, Cell] = field(default_factory=dict)
    """`one` chunk and `many`, the same paced on each number of connections, and `first`."""


async def measure(contestants: list[Contestant], plan: Plan) -> tuple[dict[str, Found], dict[str, float]]:
    """Return what was found by contestant, and by server the CPU milliseconds per second with nothing to do."""
    found = {contestant.name: Found() for contestant in contestants}
    for contestant in contestants:
        await check(contestant)
        await contestant.load(16, plan.warm_up)
    idle = await idle_cpu([contestant.server for contestant in contestants if contestant.server])
    for number in range(plan.rounds):
        for contestant in contestants:
            print(f"round {number + 1} of {plan.rounds}: {contestant.name}", file=sys.stderr)
            cells = found[contestant.name]
            for concurrency in CONCURRENCY:
                cell = await contestant.load(concurrency, plan.seconds)
                cells.unstreamed.setdefault(concurrency, Cell()).absorb(cell)
            if not isinstance(contestant, Embedded):
                for name, (ask, streams) in streamed_cells(contestant, plan).items():
                    cell = await load(ask, concurrency=streams, seconds=plan.seconds, pids=contestant.pids())
                    cells.streamed.setdefault(name, Cell()).absorb(cell)
    return found, idle


async def check(contestant: Contestant) -> None:
    """Refuse to measure a server that does not hand on every text in order."""
    if isinstance(contestant, Embedded):
        return
    for paced in (False, True):
        ask = contestant.ask(50, paced=paced)
        cell, body = await ask_once(ask)
        text, expected = "", "".join(map(word, range(50)))
        if not cell.errors:
            text = streamed_text(body)
        if text != expected:
            raise SystemExit(f"{contestant.name} streams another answer: {text!r}, {dict(cell.errors)}")


def streamed_cells(contestant: Contestant, plan: Plan) -> dict[str, tuple[Ask, int]]:
    """Return what is asked in each streamed cell, and on how many connections."""
    cells = {"one": (contestant.ask(1), 1), "many": (contestant.ask(plan.chunks), 1)}
    for streams in PACED_STREAMS:
        cells[f"one on {streams}"] = (contestant.ask(1, paced=True), streams)
        cells[f"many on {streams}"] = (contestant.ask(plan.paced_chunks, paced=True), streams)
    return {**cells, "first": (contestant.ask(FIRST_TEXTS, paced=True), 1)}


async def idle_cpu(servers: list[Server], seconds: float = 2.0) -> dict[str, float]:
    pids = {server.name: server.pids() for server in servers}
    before = {name: cpu_seconds(those) for name, those in pids.items()}
    await asyncio.sleep(seconds)
    return {name: (cpu_seconds(those) - before[name]) / seconds * 1e3 for name, those in pids.items()}


def unstreamed_table(contestants: list[Contestant], found: dict[str, Found]) -> list[str]:
    """Requests by concurrency; the floor is the direct upstream, and mollm's is its row with as many calls."""
    lines = [
        "| unstreamed | calls | at once | p50 ms | added | p99 ms | requests/s | server CPU ms | p50 / direct "
        "| p50 / mollm |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    same = {c.calls: c.name for c in contestants if c.name.startswith("mollm,")}
    for concurrency in CONCURRENCY:
        p50 = {name: those.unstreamed[concurrency].p(50) for name, those in found.items()}
        for c in contestants:
            cell = found[c.name].unstreamed[concurrency]
            start = f"| {c.name} | {c.calls} | {concurrency} |"
            if cell.errors or not cell.times:
                lines.append(f"{start} {faults(cell)} | | | | | | |")
                continue
            cpu = f"{cell.cpu / len(cell.times) * 1e3:.2f}" if c.server else ""
            added = cell.p(50) - p50.get("direct upstream", math.nan)
            ratios = (ratio(cell.p(50), p50.get(name)) for name in ("direct upstream", same.get(c.calls, "")))
            lines.append(
                f"{start} {cell.p(50):.2f} | {added:.2f} | {cell.p(99):.2f} | {len(cell.times) / cell.wall:,.0f} "
                f"| {cpu} | {' | '.join(ratios)} |"
            )
    return lines


def streamed_table(contestants: list[Contestant], found: dict[str, Found], plan: Plan) -> list[str]:
    """CPU for each chunk more, and how much later the first text comes."""
    titles = ["streamed", "CPU µs per chunk, written at once"]
    titles += [f"one per write, {streams} streams" for streams in PACED_STREAMS]
    titles += [f"chunks/s of those {PACED_STREAMS[-1]}", "first text p50 ms", "added", "p99 ms"]
    titles.append(f"whole reply of {plan.chunks:,} p50 ms")
    lines = [f"| {' | '.join(titles)} |", f"|---|{'---:|' * (len(titles) - 1)}"]
    direct = found.get("direct upstream", Found()).streamed.get("first", Cell()).first
    for c in contestants:
        cells = found[c.name].streamed
        if not cells:
            continue
        broken = [faults(cell) for cell in cells.values() if cell.errors or not cell.times]
        if broken:
            lines.append(f"| {c.name} | {broken[0]} {'| ' * (len(titles) - 2)}|")
            continue
        at_once = per_chunk(cells["many"], cells["one"], plan.chunks)
        paced = [per_chunk(cells[f"many on {n}"], cells[f"one on {n}"], plan.paced_chunks) for n in PACED_STREAMS]
        busiest = cells[f"many on {PACED_STREAMS[-1]}"]
        first = cells["first"].first
        figures = [f"{cpu:.1f}" if c.server else "" for cpu in (at_once, *paced)]
        figures.append(f"{len(busiest.times) * plan.paced_chunks / busiest.wall:,.0f}")
        figures += [f"{percentile(first, 50):.2f}", f"{percentile(first, 50) - percentile(direct, 50):.2f}"]
        figures += [f"{percentile(first, 99):.2f}", f"{cells['many'].p(50):.1f}"]
        lines.append(f"| {c.name} | {' | '.join(figures)} |")
    return lines


def budgets(found: dict[str, Found], servers: list[Server], plan: Plan, learned: float | None) -> list[str]:
    """What LiteLLM's proxy takes, against each mollm: CPU for an answer and for a chunk, memory with nothing to do."""
    names = [name.removesuffix(BYPASS) for name in found if name.endswith(BYPASS)]
    if PROXY not in found or not names:
        return []
    memory = {server.name: server.idle_mib for server in servers}
    proxy = found[PROXY]
    rows: list[tuple[str, str, list[float]]] = []
    for what, suffix, budget in (("a bypass", BYPASS, ">= 12"), ("3 workers + aggregator", THREE, ">= 7")):
        ratios = [cpu_each(proxy.unstreamed[16]) / cpu_each(found[name + suffix].unstreamed[16]) for name in names]
        rows.append((f"CPU of the proxy's one call / ours, {what}, 16 at once", budget, ratios))
    chunks = {name: chunk_cpu(found[name], plan) for name in (PROXY, *(name + BYPASS for name in names))}
    rows.append(
        (
            "CPU of the proxy's chunk / ours, in bursts",
            ">= 40",
            [chunks[PROXY] / chunks[name + BYPASS] for name in names],
        )
    )
    rows.append(
        (
            "idle memory, ours / the proxy's, fixed router",
            "<= 0.25",
            [memory[name] / memory["litellm"] for name in names],
        )
    )
    if learned is not None:
        rows.append(("the same, learned router", "<= 0.30", [learned / memory["litellm"]]))
    lines = [f"| in this run | {' | '.join(names)} | budget |", f"|---|{'---:|' * (len(names) + 1)}"]
    for what, budget, ratios in rows:
        cells = [f"{value:.3g}" for value in ratios] + [""] * (len(names) - len(ratios))
        lines.append(f"| {what} | {' | '.join(cells)} | {budget} |")
    return lines


def cpu_each(cell: Cell) -> float:
    """Return the seconds of CPU for each answer."""
    return cell.cpu / len(cell.times) if cell.times else math.nan


def chunk_cpu(found: Found, plan: Plan) -> float:
    """Return the microseconds of CPU for each chunk of many that were written at once."""
    many, one = found.streamed["many"], found.streamed["one"]
    return per_chunk(many, one, plan.chunks) if many.times and one.times else math.nan


def per_chunk(many: Cell, one: Cell, chunks: int) -> float:
    """Return the microseconds of CPU for each chunk more than one."""
    return (many.cpu / len(many.times) - one.cpu / len(one.times)) / (chunks - 1) * 1e6


def faults(cell: Cell) -> str:
    """Say how many errors of which kind."""
    kinds = "; ".join(kind[:120].replace("|", "/").replace("\n", " ") for kind in cell.errors)
    return f"no result: {cell.errors.total()} errors ({kinds})"


def ratio(value: float, to: float | None) -> str:
    if not to:
        return ""
    return f"{value / to:.2g}" if value < to * 10 else f"{value / to:.0f}"


def memory_table(servers: list[Server], idle: dict[str, float], end: dict[str, float]) -> list[str]:
    """The processes themselves."""
    lines = [
        "| process | ready after s | resident MiB, idle | resident MiB, at the end | idle CPU ms/s |",
        "|---|---:|---:|---:|---:|",
    ]
    for server in servers:
        figures = (
            f"{server.start_seconds:.1f} | {server.idle_mib:.0f} | {end[server.name]:.0f} | {idle[server.name]:.1f}"
        )
        lines.append(f"| {server.name} | {figures} |")
    return lines


def cached_router(place: Place) -> tuple[list[str], float]:
    """Memory of an idle `mollm serve` with remote LLMs and a learned router that an earlier start has fitted."""
    examples = {
        "coding": ["write a python function", "debug this stack trace", "build a web page", "refactor the class"],
        "maths": ["solve the equation", "what is the derivative", "prove the theorem", "compute the integral"],
        "general": ["tell me a joke", "who was the first emperor", "plan a trip", "recommend a book"],
    }
    llm = {"model": "hosted_vllm/m", "api_base": place.upstream, "max_tokens": 256, "context_window": 8192}
    mixtures = {
        name: {
            "description": name,
            "workers": [{"llm": "m", "samples": 3}],
            "examples": [f"{text} {end}" for text in texts for end in ("please", "for me", "now", "in short", "again")],
        }
        for name, texts in examples.items()
    }
    file = place.folder / "cached.yaml"
    file.write_text(json.dumps({"llms": {"m": llm}, "mixtures": mixtures, "router": {"kind": "learned"}}))
    env = {"MOLLM_CACHE": str(place.folder / "cache")}
    with mollm_serve(place, file, env) as (fitted, _):
        pass
    with mollm_serve(place, file, env) as (server, base):
        contestant = Contestant("mollm", "3 + 1 calls", base, "auto", server=server)
        cell, _ = asyncio.run(ask_once(contestant.ask()))
        after = resident_mib(server.pids())
    if cell.errors:
        raise SystemExit(f"the first request failed: {dict(cell.errors)}")
    lines = [
        "| mollm, remote LLMs, learned router | ready after s | resident MiB when ready | after the first request |",
        "|---|---:|---:|---:|",
        f"| fitted at this start | {fitted.start_seconds:.1f} | {fitted.idle_mib:.0f} | |",
        f"| read from the cache | {server.start_seconds:.1f} | {server.idle_mib:.0f} | {after:.0f} |",
    ]
    return lines, server.idle_mib


def report(starting: dict[str, Callable[[Place], Any]], plan: Plan, place: Place, upstream: int) -> tuple[str, bool]:
    """Measure with the upstream in process `upstream`; return the tables, and whether every cell is a result."""
    tables: list[list[str]] = []
    whole = True
    with ExitStack() as stack:
        contestants: list[Contestant] = []
        for name, start in starting.items():
            print(f"starting {name}", file=sys.stderr)
            contestants += stack.enter_context(start(place))
        servers = list({c.server.name: c.server for c in contestants if c.server}.values())
        ours = [os.getpid(), upstream, *(pid for server in servers for pid in server.pids())]
        wall, machine, own = time.perf_counter(), machine_seconds(), cpu_seconds(ours)
        found, idle = uvloop.run(measure(contestants, plan))
        wall = time.perf_counter() - wall
        others = (machine_seconds() - machine - (cpu_seconds(ours) - own)) / wall / (os.cpu_count() or 1)
        end = {server.name: server.mebibytes() for server in servers}
        tables += [unstreamed_table(contestants, found), streamed_table(contestants, found, plan)]
        tables.append(memory_table(servers, idle, end))
        tables.append([f"Other processes took {max(0.0, others):.0%} of the machine meanwhile."])
        cells = [cell for those in found.values() for cell in [*those.unstreamed.values(), *those.streamed.values()]]
        whole = not any(cell.errors or not cell.times for cell in cells)
    learned = None
    if "mollm" in starting:
        table, learned = cached_router(place)
        tables.append(table)
    tables.insert(0, budgets(found, servers, plan, learned))
    return "\n\n".join("\n".join(table) for table in tables if table), whole


def notes(plan: Plan, cores: int) -> str:
    """Return the conditions."""
    return (
        f"{plan.rounds} interleaved rounds of {plan.seconds:g} s for each cell; {cores} cores, {platform.machine()}, "
        f"Python {platform.python_version()}, {LITELLM}, {TENSORZERO}, {date.today().isoformat()}.\n"
        f"CPU is user and system time of the server's processes. Per chunk: a reply of {plan.chunks:,} chunks against "
        f"one of 1, on one connection; one per write: {plan.paced_chunks:,} chunks, a write every "
        f"{PACE_SECONDS * 1e3:g} ms. The relay is a TCP proxy that reads nothing: what any process in between pays for "
        "its sockets and for being woken; the direct upstream shares a core with the load, where nothing has to be "
        "woken. p50 / mollm is against mollm's row with as many calls. TensorZero is a library: its process does the "
        "asking too, without HTTP in front, and its CPU and memory include that."
    )


def main() -> None:
    """Measure, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run; its figures mean little")
    parser.add_argument("--only", default=",".join(CONTESTANTS), help="contestants, comma-separated; %(default)s")
    parser.add_argument("--old", metavar="REVISION", help="measure mollm as it was there too")
    parser.add_argument("--rounds", type=int, default=Plan.rounds)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    only = arguments.only.split(",")
    if unknown := set(only) - set(CONTESTANTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    starting = {name: CONTESTANTS[name] for name in only}
    if arguments.old:
        commit, python = revision(arguments.old)
        starting[arguments.old] = partial(mollm, name=f"mollm {commit}", python=str(python))
    plan = QUICK if arguments.quick else Plan(rounds=arguments.rounds)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[0]})  # and with it the upstream, which is started below
    command = [sys.executable, str(HERE / "upstream.py"), "--uvloop"]
    upstream = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert upstream.stdout
    assert upstream.stdin
    try:
        with tempfile.TemporaryDirectory() as folder:
            address = upstream.stdout.readline().strip()
            place = Place(address, Path(folder), cores[1] if len(cores) > 1 else None)
            tables, whole = report(starting, plan, place, upstream.pid)
    finally:
        upstream.stdin.close()
        upstream.wait()
    text = f"{tables}\n\n{notes(plan, len(cores))}\n"
    print(text)
    if arguments.write:
        arguments.write.write_text(text)
    sys.exit(0 if whole else 1)


if __name__ == "__main__":
    main()
