"""More requests than `mollm serve` can answer, and than it can refuse: what is left of it?

    uv run python benchmarks/overload.py [--old REVISION] [--seconds 5] [--write benchmarks/overload.md]

The server under test has one core, this load and the upstream have the other. There are two cases: the upstream
answers at once, so that the server's CPU is the limit, with three workers and an aggregator; and it takes its time, so
that `max_in_flight` is, with one worker. The capacity is what so many connections get answered. Then questions arrive
at multiples of it, whether or not those before them were answered: on a connection that the server has kept, or else
on a new one. Who is not answered within `PATIENCE` seconds leaves, and the upstream notes which of its calls were for
somebody who had left. A process of its own asks for `/health` meanwhile, on a new connection each time. At the end of
the largest burst half of the capacity arrives, and it is seen how long the server takes to answer all of that as it
did before. With `--old` mollm as it was at a revision is measured before it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop
from contestants import QUESTION, Contestant, Place, Server, mollm, mollm_config, mollm_serve
from load import cpu_seconds, percentile
from machine import shape
from revisions import revision
from upstream import REPLY

SLOW_SECONDS = 0.2
"""What the slow upstream takes."""
PLACES = 32
"""Of a server whose limit is the upstream, and as many may wait."""
PATIENCE = 2.0
"""Seconds after which a client leaves that was not answered."""
LATE = 0.25
"""Seconds that a client must have been gone when the upstream is called for it, to tell it from a close shave."""
WARM_UP = 1.0
"""Seconds of a cell that do not count for its goodput."""
CALM = 0.5
"""Share of the capacity that arrives after a burst."""
AS_BEFORE = 0.5
"""Seconds within which an answer comes as it did before the burst."""
PROBE_SECONDS = 0.05
PROBE_TIMEOUT = 15.0
TICK = 0.002

_MARK = re.compile(rb"#(\d{9})#")


class Noting(asyncio.Protocol):
    """The upstream: it answers at once and notes when it was first called for which question."""

    called: dict[int, float]
    """By the number of the question."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # what TCP gives
        self._transport, self._buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n") + 4) > 3:
            head = self._buffer[:end].lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            if len(self._buffer) < end + length:
                return
            body, self._buffer = self._buffer[end : end + length], self._buffer[end + length :]
            if b'"hang"' in body:
                return
            wait = SLOW_SECONDS if b'"slow"' in body else 0
            if mark := _MARK.search(body):
                self.called.setdefault(int(mark[1]), time.perf_counter())
            if wait:
                asyncio.get_running_loop().call_later(wait, self._reply)
            else:
                self._reply()

    def _reply(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(REPLY)


@dataclass(frozen=True)
class Case:
    """What limits a server, and how much more than that is asked."""

    name: str
    model: str
    at_once: int
    factors: tuple[int, ...]


CASES = (
    Case("CPU", "three", 16, (1, 3, 10)),
    Case("upstream", "slow", PLACES, (10, 25)),
)


@dataclass
class Asked:
    """One question, and what became of it."""

    number: int
    begun: float
    ended: float = 0.0
    status: int = 0
    """Of HTTP; 0 where the client left, and -1 where the connection broke."""


class Client(asyncio.Protocol):
    """One connection, with one question at a time."""

    def __init__(self, load: Load, asked: Asked) -> None:
        self._load, self._asked = load, asked
        self._buffer = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # what TCP gives
        self._transport = transport
        if self._asked.ended:  # it left while it was being connected
            transport.abort()
        else:
            transport.write(self._load.request(self._asked))

    def ask(self, asked: Asked) -> None:
        self._asked, self._buffer = asked, b""
        self._load.waiting.append((asked, self))
        self._transport.write(self._load.request(asked))

    def leave(self) -> None:
        """Give up and close."""
        self._asked.ended = time.perf_counter()
        if hasattr(self, "_transport"):
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n") + 4
        if end == 3 or self._asked.ended:
            return
        head = self._buffer[:end].lower()
        if len(self._buffer) < end + int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]):
            return
        self._asked.ended, self._asked.status = time.perf_counter(), int(head[9:12])
        if b"connection: close" in head:
            self._transport.abort()
        else:
            self._load.idle.append(self)

    def connection_lost(self, _: Exception | None) -> None:
        if not self._asked.ended:
            self._asked.ended, self._asked.status = time.perf_counter(), -1
        elif self in self._load.idle:
            self._load.idle.remove(self)


class Load:
    """Lets questions arrive at a rate, and keeps what became of each."""

    def __init__(self, port: int, model: str, first: int = 0) -> None:
        self._port, self._number = port, first
        body = {"model": model, "max_tokens": 256, "messages": [{"role": "user", "content": f"@ {QUESTION}"}]}
        text = json.dumps(body).replace("@", "#000000000#").encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        self._before, self._after = (b"%bcontent-length: %d\r\n\r\n%b" % (head, len(text), text)).split(b"000000000")
        self.asked: list[Asked] = []
        self.idle: deque[Client] = deque()
        self.waiting: deque[tuple[Asked, Client]] = deque()
        self._connecting: set[asyncio.Task[Any]] = set()

    def request(self, asked: Asked) -> bytes:
        return b"%b%09d%b" % (self._before, asked.number, self._after)

    async def run(self, rate: float, seconds: float) -> None:
        """Let `rate` questions a second arrive for `seconds`."""
        begun, count = time.perf_counter(), 0
        while (now := time.perf_counter()) < begun + seconds:
            due = int((now - begun) * rate)
            for _ in range(due - count):
                self._arrive()
            count = max(due, count)
            await asyncio.sleep(TICK)

    async def lose_patience(self) -> None:
        """Let those leave who have waited too long, for ever."""
        while True:
            before = time.perf_counter() - PATIENCE
            while self.waiting and (self.waiting[0][0].ended or self.waiting[0][0].begun < before):
                asked, client = self.waiting.popleft()
                if not asked.ended:
                    client.leave()
            await asyncio.sleep(TICK)

    async def settle(self) -> None:
        """Wait until everybody was answered or has left."""
        while self.waiting:  # noqa: ASYNC110 - a load has nothing else to do
            await asyncio.sleep(TICK)

    def close(self) -> None:
        for client in list(self.idle):
            client.leave()

    def _arrive(self) -> None:
        self._number += 1
        asked = Asked(self._number, time.perf_counter())
        self.asked.append(asked)
        if self.idle:
            self.idle.pop().ask(asked)
            return
        client = Client(self, asked)
        self.waiting.append((asked, client))
        task = asyncio.create_task(self._connect(asked, client))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, asked: Asked, client: Client) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: client, "127.0.0.1", self._port)
        except OSError:
            asked.ended, asked.status = asked.ended or time.perf_counter(), -1


@dataclass
class Found:
    """What was seen of one server."""

    capacity: float = 0.0
    rows: list[str] = field(default_factory=list)
    probes: dict[int, list[float]] = field(default_factory=dict)
    """Milliseconds until `/health` was answered, by factor."""
    goodput: dict[int, float] = field(default_factory=dict)
    """As a share of the capacity, by factor."""
    recovery: float = 0.0


async def start_probe(port: int) -> asyncio.subprocess.Process:
    """Ask for `/health` from a process of its own, until `stop_probe`."""
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, __file__, "--probe", str(port)]
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert process.stdout
    await process.stdout.readline()
    return process


async def stop_probe(process: asyncio.subprocess.Process) -> list[float]:
    """Return how many milliseconds each took, when the last one is answered."""
    out, _ = await process.communicate(b"")
    return json.loads(out)  # type: ignore[no-any-return] # a list of numbers


def probe(port: int) -> None:
    """Ask for `/health` on a new connection every `PROBE_SECONDS` until standard input ends; print how long it took."""
    times, threads, over = list[float](), list[threading.Thread](), threading.Event()

    def until_over() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=until_over, daemon=True).start()
    print("ready", flush=True)

    def once() -> None:
        begun, seen = time.perf_counter(), b""
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=PROBE_TIMEOUT) as asking:
                asking.sendall(b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
                seen = asking.recv(4096)
        except OSError:
            pass
        ok = seen.startswith(b"HTTP/1.1 200")
        times.append((time.perf_counter() - begun if ok else PROBE_TIMEOUT) * 1e3)

    while not over.wait(PROBE_SECONDS):
        threads.append(threading.Thread(target=once))
        threads[-1].start()
    for thread in threads:
        thread.join()
    print(json.dumps(times))


async def measure(contestant: Contestant, case: Case, called: dict[int, float], seconds: float) -> Found:
    """Measure one server in one case."""
    port = urlsplit(contestant.base).port or 0
    found, first = Found(), 0
    await contestant.load(case.at_once, 1.0)
    cell = await contestant.load(case.at_once, seconds)
    found.capacity = len(cell.times) / cell.wall
    for factor in case.factors:
        load = Load(port, contestant.model, first)
        first += 10_000_000
        impatience = asyncio.create_task(load.lose_patience())
        probing = await start_probe(port)
        begun, cpu, own = time.perf_counter(), cpu_seconds(contestant.pids()), time.process_time()
        await load.run(found.capacity * factor, seconds)
        wall = time.perf_counter() - begun
        cpu, own = cpu_seconds(contestant.pids()) - cpu, time.process_time() - own
        probed = asyncio.create_task(stop_probe(probing))
        burst = len(load.asked)
        if factor == case.factors[-1]:
            await load.run(found.capacity * CALM, seconds)
            await load.settle()
            late = [a.begun for a in load.asked[burst:] if a.status != 200 or a.ended - a.begun > AS_BEFORE]
            found.recovery = max(late, default=begun + wall) - begun - wall
        await load.settle()
        load.close()
        impatience.cancel()
        found.probes[factor] = await probed
        await asyncio.sleep(0.5)
        those = load.asked[:burst]
        good = sum(a.status == 200 and WARM_UP < a.ended - begun <= wall for a in those) / (wall - WARM_UP)
        left = [a for a in those if a.status == 0]
        in_vain = sum(called.get(a.number, 0.0) > a.ended + LATE for a in left)
        took = [(a.ended - a.begun) * 1e3 for a in those if a.status == 200]
        found.goodput[factor] = good / found.capacity
        statuses = Counter(a.status for a in those)
        health = " | ".join(f"{percentile(found.probes[factor], percent):.0f}" for percent in (50, 99, 100))
        counts = f"{statuses[503]:,} | {len(left):,} | {in_vain:,} | {statuses[-1]:,}"
        found.rows.append(
            f"| {{name}} | {case.name} | {factor} | {burst / wall:,.0f} | {good:,.0f} | {found.goodput[factor]:.2f} "
            f"| {counts} | {percentile(took, 50):.0f} | {percentile(took, 99):.0f} | {health} | {cpu / wall:.0%} "
            f"| {own / wall:.0%} |"
        )
        print(found.rows[-1], file=sys.stderr)
    return found


async def refusal_cpu(server: Server, port: int, *, kept: bool, seconds: float = 1.5) -> float:
    """Return the milliseconds of CPU for a refusal of a server that is full."""
    load = Load(port, "hang")
    load._arrive()  # noqa: SLF001 - it takes the one place there is
    await asyncio.sleep(0.5)
    load = Load(port, "hang")
    cpu, begun = cpu_seconds(server.pids()), time.perf_counter()
    count = 0
    while time.perf_counter() < begun + seconds:
        for _ in range(16):
            load._arrive()  # noqa: SLF001
        count += 16
        while any(not asked.ended for asked in load.asked[-16:]):  # noqa: ASYNC110 - as fast as it answers
            await asyncio.sleep(0)
        if not kept:
            load.close()
            load.idle.clear()
    statuses = Counter(asked.status for asked in load.asked)
    if set(statuses) != {503}:
        raise SystemExit(f"not all were refused: {statuses}")
    return (cpu_seconds(server.pids()) - cpu) / count * 1e3


def config(upstream: str, places: int, queue: int) -> dict[str, Any]:
    """A server with so many places, and LLMs that take their time or never answer."""
    made = mollm_config(upstream)
    for name in ("slow", "hang"):
        made["llms"][name] = {**made["llms"]["m"], "model": f"hosted_vllm/{name}"}
    return {**made, "server": {"max_in_flight": places, "queue": queue}}


def run(name: str, python: str, place: Place, bound: socket.socket, seconds: float) -> tuple[list[Found], list[float]]:
    """Measure one server: each case, and the milliseconds of CPU of refusals on two kinds of connection."""

    async def upstream() -> dict[int, float]:
        called: dict[int, float] = {}
        make = type("Upstream", (Noting,), {"called": called})
        await asyncio.get_running_loop().create_server(make, sock=bound.dup())
        return called

    async def measured(contestant: Contestant, case: Case) -> Found:
        return await measure(contestant, case, await upstream(), seconds)

    async def refusals(server: Server, port: int) -> list[float]:
        await upstream()
        return [await refusal_cpu(server, port, kept=kept) for kept in (True, False)]

    found = []
    with mollm(place, name, python) as contestants:
        found.append(uvloop.run(measured(contestants[1], CASES[0])))
    for places, queue in ((PLACES, PLACES), (1, 0)):
        file = place.folder / f"{places}.yaml"
        file.write_text(json.dumps(config(place.upstream, places, queue)))
        with mollm_serve(place, file, name=f"{name}, {places}", python=python) as (server, base):
            if queue:
                contestant = Contestant(name, "1 call", base, CASES[1].model, server=server)
                found.append(uvloop.run(measured(contestant, CASES[1])))
            else:
                cpu = uvloop.run(refusals(server, urlsplit(base).port or 0))
    return found, cpu


def report(found: dict[str, tuple[list[Found], list[float]]], seconds: float) -> str:
    """Lay out what was found."""
    lines = [
        f"On {shape()}, {date.today()}; the server on one core, load and upstream on the other; {seconds:g} s each.",
        "",
        "| server | limit | times capacity | asked/s | answered/s | of capacity | 503 | left | called in vain | broke "
        "| answer p50 ms | p99 ms | health p50 ms | p99 ms | max ms | server's core | load's core |",
        f"|---|---|{'---:|' * 15}",
    ]
    for name, (cases, _) in found.items():
        lines += [row.format(name=name) for those in cases for row in those.rows]
    lines += ["", "| | " + " | ".join(found) + " |", f"|---|{'---:|' * len(found)}"]
    for number, case in enumerate(CASES):
        those = [cases[number] for cases, _ in found.values()]
        lines.append(line(f"capacity, {case.name}, answers/s", [f"{one.capacity:,.0f}" for one in those]))
        lines.append(line("seconds until all is as before its largest burst", [f"{one.recovery:.1f}" for one in those]))
        for factor in case.factors if len(those) > 1 else ():
            old, new = (one.probes[factor] for one in those)
            ratios = " / ".join(f"{percentile(new, p) / percentile(old, p):.3f}" for p in (50, 99, 100))
            lines.append(line(f"health at {factor} times, p50 / p99 / max, new to old", ["1", ratios]))
    for number, kind in enumerate(("kept", "new")):
        figures = [f"{cpu[number]:.3f}" for _, cpu in found.values()]
        lines.append(line(f"CPU of a refusal on a {kind} connection, ms", figures))
    return "\n".join(lines) + "\n"


def line(what: str, figures: list[str]) -> str:
    return f"| {what} | {' | '.join(figures)} |"


def main() -> None:
    """Measure, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", help="a revision of git to be measured as well")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each cell")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--probe", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.probe:
        probe(arguments.probe)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    interpreters = {"working tree": sys.executable}
    if arguments.old:
        commit, python = revision(arguments.old)
        interpreters = {commit: str(python), **interpreters}
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0), backlog=1024) as bound:
        place = Place(f"http://127.0.0.1:{bound.getsockname()[1]}/v1", Path(folder), cores[0])
        found = {name: run(name, python, place, bound, arguments.seconds) for name, python in interpreters.items()}
    text = report(found, arguments.seconds)
    print(text)
    if arguments.write:
        arguments.write.write_text(text)


if __name__ == "__main__":
    main()
