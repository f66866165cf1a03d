"""Short runs, each with one kind of strain: a burst, slow readers, a very long prompt, reloads all the time."""

from __future__ import annotations

import asyncio
import json
import math
import signal
import socket
import time
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from load import percentile

from soaking.books import summary
from soaking.client import ANSWERED, Load, Mixed, Question, ask, capacity
from soaking.stage import Part, staged, watching

if TYPE_CHECKING:
    from pathlib import Path

    from soaking.client import Outcome
    from soaking.stage import Stage

AT_ONCE = 64
TIMES_CAPACITY, ENOUGH_LOAD, BURST_SECONDS, AFTER_SECONDS = 10, 8, 10.0, 15.0
GOODPUT, RECOVERY_SECONDS, HEALTH_SECONDS = 0.9, 5.0, 0.5
PATIENCE = 10.0
"""Seconds after which a client of the burst leaves, as those do whose request stands in a line."""
READERS, BYTES_A_SECOND, READING_SECONDS, MIB_EACH = 100, 1000, 30, 2.0
FILLING_SECONDS = 10.0
"""Until every buffer between the upstream and a slow reader is full."""
STREAMS, GAP_RATIO, LONGEST_GAP_SECONDS = 8, 2.0, 0.1
LARGE_TOKENS, TOKEN = 100_000, "heap "
RELOAD_SECONDS, STORM_SECONDS = 0.05, 15.0


async def burst() -> Part:
    """Ten times as many questions as can be answered, for ten seconds, and then half of what can be."""
    part = Part("A burst of ten times the capacity")
    with staged() as stage:
        questions = Mixed(seed=3)
        await capacity(stage.port, questions, AT_ONCE, 3)
        measured = await capacity(stage.port, questions, AT_ONCE, 8)
        load, after = Load(stage.port), Load(stage.port)
        begun = time.monotonic()
        with watching(stage.port) as health:
            await load.run(
                measured * TIMES_CAPACITY, BURST_SECONDS, lambda: replace(questions.mixed(), leaves_after=PATIENCE)
            )
            ended = time.monotonic()
            await after.run(measured / 2, AFTER_SECONDS, partial(questions.mixed))
            await asyncio.gather(load.settle(), after.settle())
    answered = sum(o.what == ANSWERED and o.ended <= ended for o in load.outcomes) / (ended - begun)
    offered = len(load.outcomes) / (ended - begun)
    part.text.append(
        f"Capacity {measured:.0f} a second ({AT_ONCE} at once); {offered:.0f} a second for {ended - begun:.1f} s: "
        f"{summary(load.outcomes)}. Then {measured / 2:.0f} a second: {summary(after.outcomes)}."
    )
    share = answered / measured
    part.bar(
        f"the load came {ENOUGH_LOAD} times as fast as can be answered",
        f"{offered / measured:.1f}",
        offered >= ENOUGH_LOAD * measured,
    )
    part.bar(f"goodput is {GOODPUT} of the capacity", f"{answered:.0f} a second, {share:.2f}", share >= GOODPUT)
    fine = sum(o.what in (ANSWERED, "status 503") for o in load.outcomes)
    part.bar(
        f"each is answered or refused with 503 within {PATIENCE:g} s",
        f"{len(load.outcomes) - fine} are not",
        fine == len(load.outcomes),
    )
    troubled = [o.begun - ended for o in after.outcomes if o.what != ANSWERED or o.seconds > 1]
    recovery = max(troubled, default=0.0)
    said = f"the last one refused, or slower than 1 s, came {recovery:.1f} s after it"
    part.bar(f"recovery within {RECOVERY_SECONDS:g} s", said, recovery <= RECOVERY_SECONDS)
    part.bar(f"/health within {HEALTH_SECONDS:g} s", health.words(), health.longest <= HEALTH_SECONDS)
    return part


async def readers() -> Part:
    """A hundred clients that read 1 KB a second of streams that are written as fast as they are read."""
    part = Part("Slow readers")
    with staged() as stage:
        questions = Mixed(seed=4)
        await gaps_of(stage, questions, 3)
        alone = await gaps_of(stage, questions, 10)
        before = await stage.look()
        slow = [asyncio.create_task(_read_slowly(stage.port, questions.calm("long").id)) for _ in range(READERS)]
        await asyncio.sleep(FILLING_SECONDS)
        beside = await gaps_of(stage, questions, 10)
        most = await stage.look()
        read = await asyncio.gather(*slow)
        await asyncio.sleep(1)
        book = [called for called in await stage.finish() if called.model == "long"]
    sent = max(called.sent for called in book) / 2**20
    part.text.append(
        f"{READERS} clients, each of which reads {BYTES_A_SECOND} bytes a second for {READING_SECONDS} s of a stream "
        f"that the upstream writes as fast as it is read, and {STREAMS} streams of a chunk every 10 ms beside them."
    )
    part.bar("every reader gets its stream", f"{min(read)} to {max(read)} bytes", min(read) > BYTES_A_SECOND)
    grown = most.mib - before.mib
    said = (
        f"{before.mib:.0f} MiB before, {most.mib:.0f} with them; at most {sent:.1f} MiB of a stream left the upstream"
    )
    part.bar(f"less than {MIB_EACH:g} MiB of memory for each", said, grown < READERS * MIB_EACH)
    _compare(part, alone, beside)
    return part


async def large() -> Part:
    """One request of 100,000 tokens after the other, beside small streams."""
    part = Part("A request of 100,000 tokens beside small streams")
    with staged() as stage:
        questions = Mixed(seed=5)
        await gaps_of(stage, questions, 3)
        alone = await gaps_of(stage, questions, 10)
        outcomes: list[Outcome] = []
        asking = asyncio.create_task(_ask_long(stage.port, questions, outcomes))
        beside = await gaps_of(stage, questions, 10)
        await asking
    seconds = [outcome.seconds for outcome in outcomes]
    part.text.append(
        f"{STREAMS} streams of a chunk every 10 ms, for 10 s alone and for 10 s beside {len(outcomes)} questions of "
        f"{LARGE_TOKENS:,} tokens ({LARGE_TOKENS * len(TOKEN) / 1e6:.1f} MB) to three workers and an aggregator, one "
        f"after the other, each of which took {percentile(seconds, 50):.2f} s."
    )
    part.bar("all of them are answered", summary(outcomes), all(o.what == ANSWERED for o in outcomes))
    _compare(part, alone, beside)
    return part


async def reloads() -> Part:
    """SIGHUP every 50 ms, with a file that changes each time; one in three is wrong."""
    part = Part("Reloads all the time")
    with staged() as stage:
        questions = Mixed(seed=6)
        await capacity(stage.port, questions, AT_ONCE, 3)
        measured = await capacity(stage.port, questions, AT_ONCE, 5)
        await _storm(stage, 2)
        await asyncio.sleep(20)
        base, before = await stage.look(), await stage.metrics()
        load = Load(stage.port)
        with watching(stage.port) as health:
            storm = asyncio.create_task(_storm(stage, STORM_SECONDS))
            await load.run(measured / 3, STORM_SECONDS, partial(questions.mixed))
            signals = await storm
            await load.settle()
        counted = (await stage.metrics()).since(before)
        await asyncio.sleep(20)
        end = await stage.look()
    good, refused = (counted.total("reloads_total", outcome=outcome) for outcome in ("good", "refused"))
    part.text.append(
        f"{signals} signals in {STORM_SECONDS:g} s, one every {RELOAD_SECONDS * 1e3:g} ms: {good} files were taken and "
        f"{refused} refused (signals that come while a file is read are one). Meanwhile {measured / 3:.0f} questions a "
        f"second: {summary(load.outcomes)}."
    )
    part.bar("no question is lost", summary(load.outcomes), all(o.what == ANSWERED for o in load.outcomes))
    part.bar("good files are taken and wrong ones refused", f"{good}, {refused}", good > 0 and refused > 0)
    part.bar(f"/health within {HEALTH_SECONDS:g} s", health.words(), health.longest <= HEALTH_SECONDS)
    more = {name: n - base.tasks.get(name, 0) for name, n in end.tasks.items() if n != base.tasks.get(name, 0)}
    part.bar("asyncio tasks are those of before", f"{base.task_count}, {end.task_count} {more or ''}", not more)
    said = f"{base.descriptors}, {end.descriptors}"
    part.bar("no more descriptors than before", said, end.descriptors <= base.descriptors)
    part.bar("memory grows by less than 16 MiB", f"{base.mib:.1f}, {end.mib:.1f}", end.mib - base.mib < 16)
    return part


async def gaps_of(stage: Stage, questions: Mixed, seconds: float) -> list[float]:
    """Seconds between two pieces of small streams, of several of them side by side."""
    tasks = [asyncio.create_task(ask(stage.port, paced(questions, seconds), keep_times=True)) for _ in range(STREAMS)]
    times = [outcome.times for outcome in await asyncio.gather(*tasks)]
    return [later - earlier for one in times for earlier, later in pairwise(one[1:])]


def paced(questions: Mixed, seconds: float) -> Question:
    """Return the question for a stream, whose client leaves after `seconds`."""
    return Question(questions.calm().id, "paced", streamed=True, leaves_after=seconds)


def _compare(part: Part, alone: list[float], beside: list[float]) -> None:
    first, second = percentile(alone, 99), percentile(beside, 99)
    said = f"p99 {first * 1e3:.1f} ms alone, {second * 1e3:.1f} ms beside, of {len(alone)} and {len(beside)}"
    held = bool(alone and beside) and second <= GAP_RATIO * first
    part.bar(f"p99 of the gaps in small streams at most {GAP_RATIO:g} times that alone", said, held)
    longest = max(beside, default=math.inf)
    said = f"{max(alone, default=math.inf) * 1e3:.0f} ms alone, {longest * 1e3:.0f} ms beside"
    part.bar(f"no gap of more than {LONGEST_GAP_SECONDS * 1e3:g} ms", said, longest <= LONGEST_GAP_SECONDS)


async def _ask_long(port: int, questions: Mixed, outcomes: list[Outcome]) -> None:
    until = time.monotonic() + 9
    while time.monotonic() < until:
        question = Question(questions.calm().id, "large", padding=TOKEN * LARGE_TOKENS)
        outcomes.append(await ask(port, question))
        await asyncio.sleep(0.2)


async def _read_slowly(port: int, id: str) -> int:  # noqa: A002
    """Return how many bytes there were to read."""
    loop, got = asyncio.get_running_loop(), 0
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.setblocking(False)
        await loop.sock_connect(slow, ("127.0.0.1", port))
        await loop.sock_sendall(slow, Question(id, "long", streamed=True).encoded())
        for _ in range(READING_SECONDS):
            got += len(await loop.sock_recv(slow, BYTES_A_SECOND))
            await asyncio.sleep(1)
    return got


async def _storm(stage: Stage, seconds: float) -> int:
    """Return how many signals were sent; the last one goes with the file of before."""
    files, number = _files(stage.config), 0
    part = stage.config.with_suffix(".part")
    until = time.monotonic() + seconds
    while time.monotonic() < until or number % len(files) != 1:
        part.write_text(files[number % len(files)])
        part.replace(stage.config)
        stage.server.process.send_signal(signal.SIGHUP)
        number += 1
        await asyncio.sleep(RELOAD_SECONDS)
    return number


def _files(config: Path) -> list[str]:
    """Return files to read: as it is, other LLMs, no YAML, another mixture, a mistake."""
    text = config.read_text()
    llms: dict[str, Any] = json.loads(text)
    for name in ("a", "writer"):
        llms["llms"][name]["temperature"] = 0.5
    mixtures = json.loads(text)
    mixtures["mixtures"]["three"]["description"] = "Three others."
    mistaken = json.loads(text)
    mistaken["mixtures"]["three"]["workers"] = ["nobody"]
    return [text, json.dumps(llms), "{" + text, json.dumps(mixtures), json.dumps(mistaken)]
