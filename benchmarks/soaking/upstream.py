"""The upstream of a soak: replies by plan, and keeps a book of every call.

    python -m soaking.upstream BOOK SEED        # prints its addresses, serves until standard input ends

An id in the question, as `soak-3-0000042`, says what is planned: `soak` with faults, those of turn 3; `calm` without.
The model `long` writes 16 KiB every 20 ms and `paced` a word every 10 ms. `dead` is an address that refuses
connections, `deaf` one that never accepts them. A line of the book is a call: id, model, fault, begin and end on the
clock that all processes share, bytes, how it ended, and how many ids its prompt holds.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
import time
from collections import Counter
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import uvloop

from soaking.faults import CLOSE, HANG, RESET, STREAM_HEAD, Called, Step, planned, well

if TYPE_CHECKING:
    from collections.abc import Iterator

ID = re.compile(r"(?:soak|calm)-\d-\d{7}")
PACED_SECONDS, LONG_SECONDS = 0.01, 0.02
LATENCY_SECONDS = (0.01, 0.04)


class Book:
    """What was asked, and how each call ended."""

    def __init__(self, file: IO[str], seed: int) -> None:
        self._file, self.seed = file, seed
        self._calls: Counter[tuple[str, str]] = Counter()

    def number(self, id: str, model: str) -> int:  # noqa: A002
        """Number of a further call of this question to this LLM."""
        self._calls[id, model] += 1
        return self._calls[id, model]

    def enter(self, *fields: object) -> None:
        self._file.write(json.dumps(fields) + "\n")


class Replying(asyncio.Protocol):
    """One connection."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._buffer = b""
        self._playing: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # what TCP gives
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the name is asyncio's
        self._writable.set()
        if self._playing:
            self._playing.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        match = re.search(rb"content-length: *(\d+)", self._buffer[:end], re.IGNORECASE)
        length = int(match[1]) if match else 0
        if len(self._buffer) < end + 4 + length:
            return
        body, self._buffer = self._buffer[end + 4 : end + 4 + length], self._buffer[end + 4 + length :]
        self._playing = asyncio.get_running_loop().create_task(self._reply(json.loads(body)))

    async def _reply(self, body: dict[str, Any]) -> None:
        begun = time.monotonic()
        ids = set(ID.findall(json.dumps(body["messages"])))
        id, model = min(ids, default=""), body["model"]  # noqa: A001
        call = Called(id, model, self._book.number(id, model), bool(body.get("stream")), bool(body.get("tools")))
        plan = planned(self._book.seed, int(id[5]), call) if id.startswith("soak") else well
        name, steps = plan.__name__, plan(call)
        if model in ("long", "paced"):
            name, steps = model, _going_on(call)
        how, sent = "gone", 0
        try:
            await asyncio.sleep(LATENCY_SECONDS[0] + call.chance("latency") * (LATENCY_SECONDS[1] - LATENCY_SECONDS[0]))
            async for step in self._played(steps):
                sent += len(step)
            how = "sent"
        finally:
            self._book.enter(id, model, name, begun, time.monotonic(), sent, how, len(ids))

    async def _played(self, steps: Iterator[Step]) -> Any:
        for step in steps:
            if isinstance(step, float):
                await asyncio.sleep(step)
            elif step == RESET:
                self._transport.abort()
                return
            elif step == CLOSE:
                self._transport.close()
                return
            elif step == HANG:
                await asyncio.Event().wait()
            else:
                assert isinstance(step, bytes)
                await self._writable.wait()
                self._transport.write(step)
                yield step


def _going_on(call: Called) -> Iterator[Step]:
    """Write for a minute."""
    text, seconds = ("sand " * 3000, LONG_SECONDS) if call.model == "long" else ("sand ", PACED_SECONDS)
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": call.model}
    yield STREAM_HEAD
    for number in range(round(60 / seconds)):
        delta = {"role": "assistant", "content": f"{number} {text}"}
        event = b"data: %b\n\n" % json.dumps({**chunk, "choices": [{"index": 0, "delta": delta}]}).encode()
        yield b"%x\r\n%b\r\n" % (len(event), event)
        yield seconds


def _dead() -> socket.socket:
    """Bind a port that nothing listens on."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    return bound


def _deaf() -> list[socket.socket]:
    """Listen on a port, the first of what is returned, whose queue is full: nobody gets in, and nobody is told."""
    sockets = [_dead()]
    sockets[0].listen(0)
    for _ in range(4):
        caller = socket.socket()
        caller.setblocking(False)
        caller.connect_ex(sockets[0].getsockname())
        sockets.append(caller)
    return sockets


async def main(book: Path, seed: int) -> None:
    """Serve until standard input ends."""
    dead, deaf = _dead(), _deaf()
    loop = asyncio.get_running_loop()
    with book.open("w") as file:
        entries = Book(file, seed)
        server = await loop.create_server(lambda: Replying(entries), "127.0.0.1", 0, backlog=2048)
        bound = {"up": server.sockets[0], "dead": dead, "deaf": deaf[0]}
        print(
            json.dumps({name: f"http://127.0.0.1:{of.getsockname()[1]}/v1" for name, of in bound.items()}), flush=True
        )
        await loop.run_in_executor(None, sys.stdin.read)
        server.close()
        playing = asyncio.all_tasks() - {asyncio.current_task()}
        for task in playing:
            task.cancel()
        await asyncio.gather(*playing, return_exceptions=True)


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), int(sys.argv[2])))
