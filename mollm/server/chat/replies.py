"""A chat completion as it is sent: whole, in chunks, and the headers that tell how it came about."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import orjson

from mollm.final.calibration import stated
from mollm.plain import to_plain
from mollm.server.wire import shown, to_json

if TYPE_CHECKING:
    from mollm.events import Routed
    from mollm.server.chat.protocol import ChatRequest
    from mollm.types import Alternative, Answer, Message, Usage

MOST_NAMES, MAX_NAME = 20, 64
"""Of fields in a header, and the characters of each."""


def completion(answer: Answer, request: ChatRequest) -> dict[str, Any]:
    """Lay out an answer as a `chat.completion`."""
    choices = [_choice(0, answer), *(_choice(n, other) for n, other in enumerate(answer.alternatives, 1))]
    body = {
        "id": answer.id,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": answer.mixture,
        "choices": choices,
        "usage": usage(answer.usage),
    }
    return {**body, "mollm": to_plain(answer)} if request.wants_trace else body


def _choice(index: int, written: Answer | Alternative) -> dict[str, Any]:
    return {
        "index": index,
        "message": {"content": None, "refusal": None, **written.message, "role": "assistant"},
        "logprobs": written.logprobs,
        "finish_reason": written.finish_reason,
    }


def usage(summed: Usage) -> dict[str, Any]:
    """Usage over every call; cached and reasoning tokens where a provider reports any."""
    found: dict[str, Any] = {
        "prompt_tokens": summed.prompt_tokens,
        "completion_tokens": summed.completion_tokens,
        "total_tokens": summed.total_tokens,
    }
    if summed.cached_tokens:
        found["prompt_tokens_details"] = {"cached_tokens": summed.cached_tokens}
    if summed.reasoning_tokens:
        found["completion_tokens_details"] = {"reasoning_tokens": summed.reasoning_tokens}
    return found


class Chunks:
    """Frames the chunks of one stream; what they have in common is laid out once."""

    def __init__(self, id: str, mixture: str, created: int, *, has_usage: bool) -> None:  # noqa: A002 - the field's name
        """Take what every chunk carries; with `has_usage` all but the last say that there is none yet."""
        head = {
            "id": id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": mixture,
        }
        self._head = b"data: " + orjson.dumps(head)[:-1]
        self._start = self._head + b',"choices":[{"index":'
        self._end = b',"usage":null}\n\n' if has_usage else b"}\n\n"
        self._first = self._start + b'0,"delta":'
        self._last = b',"logprobs":null,"finish_reason":null}]' + self._end
        self.alive = self._first + b"{}" + self._last
        """One that says nothing, for a client that would take silence for death."""

    def delta(self, delta: Message, index: int = 0, logprobs: Any = None) -> bytes:
        """Frame a `delta` as the provider gave it."""
        if index == 0 and logprobs is None:
            return self._first + to_json(delta) + self._last
        middle = b'%d,"delta":%b,"logprobs":%b' % (index, to_json(delta), to_json(logprobs))
        return self._start + middle + b',"finish_reason":null}]' + self._end

    def role(self, index: int) -> bytes:
        """Frame the first chunk of an answer."""
        return self.delta({"role": "assistant", "content": "", "refusal": None}, index)

    def finish(self, reason: str, index: int, trace: dict[str, Any] | None) -> bytes:
        """Frame the last chunk of an answer."""
        body = b'%d,"delta":{},"logprobs":null,"finish_reason":%b}]' % (index, orjson.dumps(reason))
        return self._start + body + self._traced(trace, self._end)

    def usage(self, summed: Usage, trace: dict[str, Any] | None) -> bytes:
        """Frame the chunk with the usage."""
        body = b',"choices":[],"usage":' + orjson.dumps(usage(summed))
        return self._head + body + self._traced(trace, b"}\n\n")

    def _traced(self, trace: dict[str, Any] | None, end: bytes) -> bytes:
        return end if trace is None else b',"mollm":' + to_json(trace) + end


def framed(data: Any) -> bytes:
    """Frame one server-sent event."""
    return b"data: " + to_json(data) + b"\n\n"


def route_headers(found: Routed | Answer) -> dict[str, str]:
    """Which mixture answers, how probable the router took it to be, and what is done with tools."""
    route = found.route
    headers = {"x-mollm-mixture": route.mixture}
    if (probability := route.probabilities.get(route.mixture)) is not None:
        headers["x-mollm-probability"] = f"{probability:.4f}"
    if found.on_tools:
        headers["x-mollm-on-tools"] = found.on_tools
    if found.reused:
        headers["x-mollm-reused"] = "true"
    return headers


def answer_headers(answer: Answer) -> dict[str, str]:
    """How an answer came about; what is not known has no header."""
    headers = {**route_headers(answer), "x-mollm-calls": str(answer.calls)}
    if answer.agreement is not None:
        headers["x-mollm-agreement"] = f"{answer.agreement:.4f}"
    if answer.confidence is not None:
        headers["x-mollm-confidence"] = stated(answer.confidence, 4)
    if answer.cost_usd is not None:
        headers["x-mollm-cost-usd"] = f"{answer.cost_usd:.8f}"
    if answer.degraded:
        # A reason may quote what a header cannot hold.
        reasons = "; ".join(answer.degraded).encode("ascii", "replace").decode()
        headers["x-mollm-degraded"] = "".join(c if c.isprintable() else " " for c in reasons)[:1000]
    return headers


def dropped_headers(request: ChatRequest) -> dict[str, str]:
    """Which fields of the request reached nobody; nothing where all did."""
    if not request.dropped:
        return {}
    names = [shown(name, MAX_NAME).replace(",", "?") for name in request.dropped[:MOST_NAMES]]
    more = len(request.dropped) - len(names)
    return {"x-mollm-dropped": ", ".join([*names, f"and {more} more"] if more else names)}
