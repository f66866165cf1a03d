"""An OpenAI-speaking server that answers at once, for measuring what stands in front of it.

    python benchmarks/upstream.py [--uvloop]        # prints its address

One canned answer, no delay, no parsing beyond what HTTP needs, so that its own share stays small. A streamed reply
has as many chunks as `max_tokens` says, each with a text of its own: all of them at once, or, when the model is
called "paced", one write every `PACE_SECONDS`, as an engine writes while it computes.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from functools import cache
from typing import Any

PACE_SECONDS = 0.002

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "It depends on what is meant by a heap of sand.",
                "refusal": None,
            },
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": {"prompt_tokens": 40, "completion_tokens": 12, "total_tokens": 52},
}
BODY = json.dumps(ANSWER).encode()
REPLY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"

_STREAMED = re.compile(rb'"stream":\s*true')
_PACED = re.compile(rb'"model":\s*"paced"')
_USAGE = re.compile(rb'"include_usage":\s*true')
_LENGTH = re.compile(rb'"max(?:_completion)?_tokens":\s*(\d+)')


def word(index: int) -> str:
    """Return the text of one streamed chunk; no two are equal, as some proxies take repetition for a fault."""
    return f"word{index} "


@cache
def stream_writes(length: int, *, usage: bool) -> list[bytes]:
    """Return a streamed reply of `length` texts, a part of the HTTP body for each event, the last with the end."""
    deltas: list[tuple[dict[str, str], str | None]] = [({"content": word(index)}, None) for index in range(length)]
    deltas[0][0]["role"] = "assistant"
    events = [_event(choices=[_choice(delta, reason)]) for delta, reason in [*deltas, ({}, "stop")]]
    if usage:
        counts = {"prompt_tokens": 40, "completion_tokens": length, "total_tokens": 40 + length}
        events.append(_event(choices=[], usage=counts))
    parts = [_part(event) for event in [*events, b"data: [DONE]\n\n"]]
    # The texts one by one, and what follows the last of them with it.
    return [*parts[: length - 1], b"".join([*parts[length - 1 :], b"0\r\n\r\n"])]


def _choice(delta: dict[str, str], reason: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}


def _event(**fields: Any) -> bytes:
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m", **fields}
    return b"data: %b\n\n" % json.dumps(chunk, separators=(",", ":")).encode()


def _part(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Canned(asyncio.Protocol):
    """Answers every whole request on a connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # what TCP gives
        self._transport = transport
        self._buffer = b""
        self._loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            if not head.startswith(b"post"):
                self._transport.write(NOT_FOUND)
            elif _STREAMED.search(body):
                self._stream(body)
            else:
                self._transport.write(REPLY)

    def _stream(self, body: bytes) -> None:
        length = _LENGTH.search(body)
        writes = stream_writes(int(length[1]) if length else 16, usage=bool(_USAGE.search(body)))
        if _PACED.search(body):
            self._write_on([STREAM_HEAD + writes[0], *writes[1:]], 0)
        else:
            self._transport.write(b"".join([STREAM_HEAD, *writes]))

    def _write_on(self, writes: list[bytes], index: int) -> None:
        # One text per write, never two to catch up: what is measured is a reader that gets them one by one.
        if self._transport.is_closing():
            return
        self._transport.write(writes[index])
        if index + 1 < len(writes):
            self._loop.call_later(PACE_SECONDS, self._write_on, writes, index + 1)


async def main() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Canned, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    if "--uvloop" in sys.argv:
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())
