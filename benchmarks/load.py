"""Load on an HTTP server: so many connections, each with one request at a time, and what the server's process used.

Written for little CPU of its own: one protocol per connection on uvloop, replies parsed by httptools. A reply counts
only when its status is 200 and its text is whole; every other one is an error, and a cell with errors is no result.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httptools


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, and how its whole answer is known."""

    url: str
    body: dict[str, Any]
    contains: bytes
    """Bytes of the answer's text; in a streamed reply, of its first chunk."""
    key: str = ""
    texts: int = 0
    """How many texts are streamed; 0 for an unstreamed reply."""

    def encoded(self) -> bytes:
        """Return the request as it goes over the wire."""
        address = urlsplit(self.url)
        body = json.dumps(self.body).encode()
        head = f"POST {address.path} HTTP/1.1\r\nhost: {address.netloc}\r\ncontent-type: application/json\r\n"
        if self.key:
            head += f"authorization: Bearer {self.key}\r\n"
        return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


@dataclass(slots=True)
class Cell:
    """What was seen of one contestant at one concurrency, over all rounds."""

    times: list[float] = field(default_factory=list)
    """Milliseconds from writing the request to the last byte of the reply."""
    first: list[float] = field(default_factory=list)
    """Milliseconds to the first text of a streamed reply."""
    wall: float = 0.0
    """Seconds."""
    cpu: float = 0.0
    """Seconds of CPU that the server's processes used meanwhile."""
    errors: Counter[str] = field(default_factory=Counter)

    def p(self, percent: float) -> float:
        """Return a percentile of `times`."""
        return percentile(self.times, percent)

    def absorb(self, other: Cell) -> None:
        """Add another round."""
        self.times += other.times
        self.first += other.first
        self.wall += other.wall
        self.cpu += other.cpu
        self.errors += other.errors


def percentile(values: list[float], percent: float) -> float:
    """Return the nearest-rank percentile, or not-a-number where there are no values."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


class Connection(asyncio.Protocol):
    """Asks the same again and again on one connection until the time is over."""

    def __init__(self, ask: Ask, cell: Cell, until: float, keep: bool = False) -> None:
        self._ask, self._cell, self._until, self._keep = ask, cell, until, keep
        self._request = ask.encoded()
        self._parser: Any = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._first = 0.0
        self.last = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # what TCP gives
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._end(f"not HTTP: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self._end(f"connection lost: {exc}")

    def on_body(self, part: bytes) -> None:
        self._body.append(part)
        if not self._first and (self._ask.contains in part or self._ask.contains in b"".join(self._body)):
            self._first = time.perf_counter()

    def on_message_complete(self) -> None:
        ended = time.perf_counter()
        body = b"".join(self._body)
        fault = self._fault(body)
        if fault:
            self._cell.errors[fault] += 1
        else:
            self._cell.times.append((ended - self._begun) * 1e3)
            self._cell.first.append((self._first - self._begun) * 1e3)
        if self._keep:
            self.last = body
        if ended >= self._until or not self._parser.should_keep_alive():
            self._end("" if ended >= self._until else "connection not kept alive")
        else:
            self._send()

    def _fault(self, body: bytes) -> str:
        if self._parser.get_status_code() != 200:
            return f"status {self._parser.get_status_code()}: {body[:300].decode(errors='replace')}"
        if not self._first:
            return f"another answer: {body[:300].decode(errors='replace')}"
        if self._ask.texts and not (body.count(b"data:") >= self._ask.texts and body.rstrip().endswith(b"[DONE]")):
            return f"a cut stream of {len(body)} bytes"
        return ""

    def _send(self) -> None:
        self._body = []
        self._first = 0.0
        # A parser whose message ended starts with the next one by itself.
        self._begun = time.perf_counter()
        self._transport.write(self._request)

    def _end(self, fault: str) -> None:
        if fault:
            self._cell.errors[fault] += 1
        if not self.done.done():
            self.done.set_result(None)
        self._transport.close()


async def load(ask: Ask, *, concurrency: int, seconds: float, pids: list[int] | None = None) -> Cell:
    """Keep `concurrency` requests in flight for `seconds`, and at least one on each connection."""
    cell = Cell()
    address = urlsplit(ask.url)
    loop = asyncio.get_running_loop()
    cpu, begun = cpu_seconds(pids or []), time.perf_counter()
    opened = []
    for _ in range(concurrency):
        make = partial(Connection, ask, cell, begun + seconds)
        opened.append((await loop.create_connection(make, address.hostname or "", address.port or 80))[1])
    try:
        async with asyncio.timeout(seconds + 60):
            await asyncio.gather(*(connection.done for connection in opened))
    except TimeoutError:
        cell.errors["no reply within 60 s"] += 1
    cell.wall = time.perf_counter() - begun
    cell.cpu = cpu_seconds(pids or []) - cpu
    return cell


async def ask_once(ask: Ask) -> tuple[Cell, bytes]:
    """Ask one time and return the body too."""
    cell = Cell()
    address = urlsplit(ask.url)
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: Connection(ask, cell, 0.0, keep=True), address.hostname or "", address.port or 80
    )
    await asyncio.wait_for(connection.done, 60)
    return cell, connection.last


def streamed_text(body: bytes) -> str:
    """Join the texts of a streamed reply."""
    events = [line[5:].strip() for line in body.splitlines() if line.startswith(b"data:")]
    choices = [choice for event in events if event != b"[DONE]" for choice in json.loads(event)["choices"][:1]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def cpu_seconds(pids: list[int]) -> float:
    """Return the CPU time, user and system, that these processes have used so far.

    The clock of another process has nanoseconds; `/proc/PID/stat` counts in hundredths of a second.
    """
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def machine_seconds() -> float:
    """Return the CPU time that all cores have spent so far on anything, what a hypervisor took included."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split(maxsplit=9)[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def resident_mib(pids: list[int]) -> float:
    """Return the resident memory of these processes, in MiB."""
    statuses = (Path(f"/proc/{pid}/status").read_text() for pid in pids)
    return sum(int(status.split("VmRSS:")[1].split()[0]) for status in statuses) / 1024


def process_tree(pid: int) -> list[int]:
    """Return the process and all its descendants."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in task.read_text().split()]
    return found
