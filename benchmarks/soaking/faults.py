"""How the upstream of a soak replies to a call: well, or in one of the ways in which upstreams fail.

A reply is a list of steps: bytes are written, seconds are waited for, `RESET` and `CLOSE` end the connection, and
`HANG` waits until the other side ends it. Which fault a call has follows from a seed, the id in its question, the LLM
and the number of the call, so a run can be repeated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, TypeAlias

SHARE = 0.05
"""Of the calls, for each kind of fault whose turn it is."""
RESET: Final = "reset"
CLOSE: Final = "close"
HANG: Final = "hang"
Step: TypeAlias = bytes | float | str

PIECE_SECONDS = 0.005
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"
OVERSIZED_EVERY = 1 / 5000
"""A reply without end costs 16 MiB on both sides before it is cut; at 5 % it would be all that is measured."""


ENDLESS = "sand "
"""What a reply without end says, again and again."""


def whole(id: str) -> str:  # noqa: A002 - the upstream's word
    """Return the text of a whole answer; no two ids have the same, and each holds its id twice."""
    return f"The answer to {id}: naïve façades ✓ stand on sand, and here ends {id}."


def chance(*of: object) -> float:
    """Return a number from 0 to below 1 that follows from the arguments."""
    return int.from_bytes(blake2b(repr(of).encode(), digest_size=6).digest()) / (1 << 48)


@dataclass(frozen=True)
class Called:
    """What the upstream knows of a call when it replies."""

    id: str
    model: str
    number: int
    """Of the calls with this id to this LLM."""
    streamed: bool
    with_tools: bool

    def chance(self, what: str) -> float:
        return chance(what, self.id, self.model, self.number)

    def one_of(self, *choices: Any) -> Any:
        return choices[int(self.chance("one of") * len(choices))]


Fault: TypeAlias = Callable[[Called], Iterator[Step]]


def well(call: Called) -> Iterator[Step]:
    """Reply as an upstream should."""
    if not call.streamed:
        yield _whole(_completion(call))
        return
    yield STREAM_HEAD + _event(_chunk(call, {"role": "assistant", "content": ""}))
    for delta in _deltas(call):
        yield PIECE_SECONDS
        yield _event(_chunk(call, delta))
    yield _end(call, "tool_calls" if call.with_tools else "stop")


def rate_limited(call: Called) -> Iterator[Step]:
    """429 with a wait that there is time for (row 1 of the catalogue)."""
    yield _error(429, "slow down", "retry-after: 1")


def odd_retry_after(call: Called) -> Iterator[Step]:
    """429 with a wait that there is no time for, or that is none (rows 2 and 3)."""
    waits = ("600", "-5", "soon", "Fri, 31 Dec 2100 23:59:59 GMT", "1e400")
    yield _error(429, "slow down", f"retry-after: {call.one_of(*waits)}")


def server_error(call: Called) -> Iterator[Step]:
    """A 5xx (row 5)."""
    yield _error(call.one_of(500, 502, 503, 504, 529), "broken")


def denied(call: Called) -> Iterator[Step]:
    """The key is refused, or has no credit (row 7)."""
    yield _error(call.one_of(401, 402, 403), "no entry")


def rejected(call: Called) -> Iterator[Step]:
    """A 4xx (row 6)."""
    yield _error(call.one_of(400, 404, 422), "not understood")


def context_exceeded(call: Called) -> Iterator[Step]:
    """The prompt is too long (row 25)."""
    said = "This model's maximum context length is 8192 tokens."
    yield _error(400, said, code="context_length_exceeded")


def reset_at_once(call: Called) -> Iterator[Step]:
    """The connection breaks before the first byte (rows 8 and 13)."""
    yield RESET


def hang_before_head(call: Called) -> Iterator[Step]:
    """Nothing ever comes (row 10)."""
    yield HANG


def silent_after_head(call: Called) -> Iterator[Step]:
    """A head comes, and nothing after it (row 10)."""
    yield STREAM_HEAD if call.streamed else b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n"
    yield HANG


def stall(call: Called) -> Iterator[Step]:
    """Half a reply comes, and nothing after it (row 11)."""
    yield from _half(call)
    yield HANG


def drip(call: Called) -> Iterator[Step]:
    """A byte comes now and then (row 12)."""
    for step in well(call):
        if isinstance(step, bytes):
            for byte in step:
                yield bytes([byte])
                yield 0.25


def reset_midway(call: Called) -> Iterator[Step]:
    """The connection breaks in the middle (rows 13 and 14)."""
    yield from _half(call)
    yield RESET


def cut_off(call: Called) -> Iterator[Step]:
    """An orderly end that comes too early, without `finish_reason` (row 15)."""
    yield from _half(call)
    yield LAST if call.streamed else CLOSE
    yield CLOSE


def malformed(call: Called) -> Iterator[Step]:
    """JSON that breaks off inside a whole message (row 16)."""
    if not call.streamed:
        yield _whole(_completion(call)[:-40])
        return
    yield from _half(call)
    yield _part(b'data: {"id": "chatcmpl-1", "choices": [{"delta": {"con\n\n')
    yield _end(call, "stop")


def odd_framing(call: Called) -> Iterator[Step]:
    """Nothing wrong: comments, CRLF, a byte order mark, characters split over reads (row 17)."""
    if not call.streamed:
        body = _completion(call)
        yield b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        for begin in range(0, len(body), 37):
            yield _part(body[begin : begin + 37])
        yield LAST
        return
    events = [_chunk(call, delta) for delta in [{"role": "assistant"}, *_deltas(call)]]
    events.append(_chunk(call, {}, "tool_calls" if call.with_tools else "stop"))
    frames = [f": a comment\r\n\r\ndata:{json.dumps(event, ensure_ascii=False)}\r\n\r\n" for event in events]
    raw = f"\ufeff{''.join(frames)}data: [DONE]\r\n\r\n".encode()
    yield STREAM_HEAD
    for begin in range(0, len(raw), 101):
        yield _part(raw[begin : begin + 101])
    yield LAST


def not_json(call: Called) -> Iterator[Step]:
    """200 with HTML, or with nothing (row 18)."""
    yield _whole(call.one_of(b"<!DOCTYPE html><title>Welcome</title>", b""), "200 OK", "text/html")


def no_choices(call: Called) -> Iterator[Step]:
    """200 without an answer in it (row 19)."""
    empty: Any = call.one_of([], [{"index": 0, "message": None, "finish_reason": "stop"}])
    body = {**_head("chat.completion"), "choices": empty}
    if not call.streamed:
        yield _whole(json.dumps(body).encode())
        return
    yield STREAM_HEAD + _event({**_head("chat.completion.chunk"), "choices": []}) + _part(b"data: [DONE]\n\n") + LAST


def error_in_200(call: Called) -> Iterator[Step]:
    """200 with an error in it, OpenAI's or vLLM's (row 20)."""
    openai = {"error": {"message": "out of order", "type": "server_error", "code": 500}}
    vllm = {"object": "error", "message": "out of order", "type": "InternalServerError", "code": 500}
    body = call.one_of(openai, vllm)
    if call.streamed:
        yield STREAM_HEAD + _event(body) + LAST
    else:
        yield _whole(json.dumps(body).encode())


def too_long(call: Called) -> Iterator[Step]:
    """The reply is cut at its token limit (row 22)."""
    text = whole(call.id)[: len(whole(call.id)) // 2]
    if not call.streamed:
        yield _whole(_completion(call, text, "length"))
        return
    yield STREAM_HEAD + _event(_chunk(call, {"role": "assistant", "content": text}))
    yield _end(call, "length")


def filtered(call: Called) -> Iterator[Step]:
    """A filter takes the reply away (row 23)."""
    if not call.streamed:
        yield _whole(_completion(call, "", "content_filter"))
        return
    yield STREAM_HEAD + _event(_chunk(call, {"role": "assistant", "content": ""}))
    yield _end(call, "content_filter")


def oversized(call: Called) -> Iterator[Step]:
    """A reply without end (row 27)."""
    yield STREAM_HEAD
    if not call.streamed:
        yield _part(b'{"choices": [{"message": {"content": "')
    block = ENDLESS * 3000
    part = _event(_chunk(call, {"content": block})) if call.streamed else _part(block.encode())
    while True:
        yield part


TURNS: tuple[tuple[Fault, ...], ...] = (
    (rate_limited, odd_retry_after, server_error, denied),
    (rejected, context_exceeded, reset_at_once, hang_before_head),
    (silent_after_head, stall, drip, reset_midway),
    (cut_off, malformed, odd_framing, not_json),
    (no_choices, error_in_200, too_long, filtered),
)
"""Kinds of faults, by the turn in which they happen: `SHARE` of all calls for each, a fifth of them in all."""


def planned(seed: int, turn: int, call: Called) -> Fault:
    """Return how a call is replied to."""
    kinds, drawn = TURNS[turn % len(TURNS)], chance(seed, call.id, call.model, call.number)
    if drawn < SHARE * len(kinds):
        return kinds[int(drawn / SHARE)]
    return oversized if drawn > 1 - OVERSIZED_EVERY else well


def _half(call: Called) -> Iterator[Step]:
    steps = list(well(call))
    if not call.streamed:
        assert isinstance(steps[0], bytes)
        yield steps[0][: len(steps[0]) * 2 // 3]
    else:
        yield from steps[: len(steps) // 2]
    yield 0.02


def _deltas(call: Called) -> list[dict[str, Any]]:
    if call.with_tools:
        return [{"tool_calls": [{"index": 0, **_tool_call(call)}]}]
    text = whole(call.id)
    return [{"content": text[begin : begin + 12]} for begin in range(0, len(text), 12)]


def _tool_call(call: Called) -> dict[str, Any]:
    function = {"name": "look", "arguments": json.dumps({"id": call.id})}
    return {"id": "call_1", "type": "function", "function": function}


def _completion(call: Called, text: str | None = None, finish_reason: str = "stop") -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": whole(call.id) if text is None else text}
    if call.with_tools and text is None:
        message, finish_reason = {"role": "assistant", "content": None, "tool_calls": [_tool_call(call)]}, "tool_calls"
    choice = {"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": None}
    usage = {"prompt_tokens": 40, "completion_tokens": 12, "total_tokens": 52}
    return json.dumps({**_head("chat.completion"), "choices": [choice], "usage": usage}).encode()


def _chunk(call: Called, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
    return {**_head("chat.completion.chunk"), "choices": [choice]}


def _head(kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1_700_000_000, "model": "m"}


def _end(call: Called, finish_reason: str) -> bytes:
    usage = {"prompt_tokens": 40, "completion_tokens": 12, "total_tokens": 52}
    last = {**_head("chat.completion.chunk"), "choices": [], "usage": usage}  # row 21
    return _event(_chunk(call, {}, finish_reason)) + _event(last) + _part(b"data: [DONE]\n\n") + LAST


def _event(data: dict[str, Any]) -> bytes:
    return _part(b"data: %b\n\n" % json.dumps(data).encode())


def _part(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _error(status: int, message: str, *headers: str, code: str | None = None) -> bytes:
    body = json.dumps({"error": {"message": message, "type": "error", "param": None, "code": code}}).encode()
    return _whole(body, f"{status} No", "application/json", *headers)


def _whole(body: bytes, status: str = "200 OK", kind: str = "application/json", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body
