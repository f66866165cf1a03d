"""A scripted server that speaks OpenAI's chat completions and plays a capable LLM: `python clients/upstream.py`.

What is said is decided in `mind.py`; here is how it is sent: whole or token by token with real pauses, cut at a stop
sequence or at `max_tokens`, with log probabilities and several choices where asked. It checks what it is sent as
strictly as a real server does, so that a request that was mangled on its way shows as a 400.

Any model of `MODELS` answers. `busy` and `broken` refuse every request, and `fragile` breaks its streams off.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import json
import re
import sys
from typing import Any, Final

from aiohttp import web
from mind import Reply, Unreadable, text_of, think

Json = dict[str, Any]

MODELS: Final = ("scholar", "sceptic", "poet", "editor", "deepseek-r", "busy", "broken", "fragile")
WINDOW: Final = 32_768
"""Tokens of a prompt and its answer."""
PAUSE_SECONDS: Final = 0.001
"""Between two tokens."""
THOUGHTS: Final = "First I read the question, and then I work it out. "

_KEY: Final = web.AppKey("key", str)
_TOKEN: Final = re.compile(r"\s*\S{1,6}|\s+")
_RANGES: Final = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "top_logprobs": (0, 20),
    "n": (1, 128),
    "max_tokens": (1, WINDOW),
    "max_completion_tokens": (1, WINDOW),
}


class Refusal(Exception):
    """A request that gets an error."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code

    @property
    def response(self) -> web.Response:
        """OpenAI's error object."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        body = {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}
        return web.json_response(body, status=self.status, headers={"retry-after": "1"} if self.status == 429 else {})


class Written:
    """A reply as tokens, cut where the request says."""

    def __init__(self, body: Json, index: int) -> None:
        self._reply = think({**body, "seed": (body.get("seed") or 0) + index})
        self._top = body.get("top_logprobs") or 0 if body.get("logprobs") else None
        tokens = tokens_of(_stopped(self._reply.text or "", body.get("stop")))
        limit = body.get("max_completion_tokens") or body.get("max_tokens") or WINDOW
        self.tokens = tokens[:limit]
        self.reasoning = THOUGHTS if body.get("reasoning_effort") not in (None, "none") else ""
        self.calls = _calls(self._reply)
        ended = "length" if len(tokens) > limit else "stop"
        self.finish_reason = "tool_calls" if self.calls else ended

    @property
    def message(self) -> Json:
        """The whole message."""
        text = None if self.calls else "".join(self.tokens)
        message: Json = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        if self.reasoning:
            message["reasoning_content"] = self.reasoning
        if self.calls:
            message["tool_calls"] = self.calls
        return message

    @property
    def size(self) -> int:
        """Tokens of it."""
        spoken = len(self.tokens) + sum(len(tokens_of(call["function"]["arguments"])) for call in self.calls)
        return spoken + self.thoughts

    @property
    def thoughts(self) -> int:
        """Tokens of its reasoning."""
        return len(tokens_of(self.reasoning))

    def logprobs(self, tokens: list[str]) -> Json | None:
        """Log probabilities of these tokens, where they are asked for."""
        if self._top is None:
            return None
        return {"content": [_logprob(token, self._top) for token in tokens], "refusal": None}

    def deltas(self) -> list[tuple[Json, Json | None]]:
        """Give what a stream sends one after the other: deltas with their log probabilities."""
        found: list[tuple[Json, Json | None]] = [({"role": "assistant", "content": ""}, None)]
        found += [({"reasoning_content": token}, None) for token in tokens_of(self.reasoning)]
        found += [({"content": token}, self.logprobs([token])) for token in self.tokens]
        for number, call in enumerate(self.calls):
            start = {**call, "index": number, "function": {**call["function"], "arguments": ""}}
            found.append(({"tool_calls": [start]}, None))
            for piece in tokens_of(call["function"]["arguments"]):
                found.append(({"tool_calls": [{"index": number, "function": {"arguments": piece}}]}, None))
        return found


def tokens_of(text: str) -> list[str]:
    """Cut a text into tokens: up to six characters with the white space before them."""
    return _TOKEN.findall(text)


def _stopped(text: str, stop: str | list[str] | None) -> str:
    stops = [stop] if isinstance(stop, str) else stop or []
    return text[: min((at for one in stops if (at := text.find(one)) >= 0), default=None)]


def _calls(reply: Reply) -> list[Json]:
    return [
        {
            "id": f"call_{number}_{name}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)},
        }
        for number, (name, arguments) in enumerate(reply.calls)
    ]


def _logprob(token: str, top: int) -> Json:
    def entry(text: str, value: float) -> Json:
        return {"token": text, "logprob": value, "bytes": list(text.encode())}

    others = [token, *(f"{token}{number}" for number in range(1, top))]
    return {**entry(token, -0.1), "top_logprobs": [entry(text, -0.1 - n) for n, text in enumerate(others[:top])]}


def check(body: Any) -> Json:
    """Refuse what a strict server refuses. Raises `Refusal`."""
    if not isinstance(body, dict):
        raise Refusal(400, "the body is not a JSON object")
    if not isinstance(body.get("model"), str):
        raise Refusal(400, "model is required", param="model")
    if body["model"] not in MODELS:
        raise Refusal(404, f"The model {body['model']!r} does not exist.", param="model", code="model_not_found")
    for name, (lowest, highest) in _RANGES.items():
        value = body.get(name)
        if value is not None and not (isinstance(value, int | float) and lowest <= value <= highest):
            raise Refusal(400, f"{name} must be between {lowest} and {highest}", param=name)
    if "" in (body.get("stop"), *(body.get("stop") or ())):
        raise Refusal(400, "a stop sequence cannot be empty", param="stop")
    _check_messages(body.get("messages"))
    for number, tool in enumerate(body.get("tools") or ()):
        if tool.get("type") != "function" or not isinstance(tool.get("function", {}).get("name"), str):
            raise Refusal(400, "a tool needs a function with a name", param=f"tools[{number}]")
    if prompt_tokens(body) + (body.get("max_tokens") or 1) > WINDOW:
        raise Refusal(400, f"This model's maximum context length is {WINDOW} tokens.", code="context_length_exceeded")
    return body


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        raise Refusal(400, "messages must be a list with at least one message", param="messages")
    called: set[str] = set()
    for number, message in enumerate(messages):
        place = f"messages[{number}]"
        if message.get("role") not in ("system", "developer", "user", "assistant", "tool"):
            raise Refusal(400, f"the role {message.get('role')!r} is unknown", param=f"{place}.role")
        called |= {call["id"] for call in message.get("tool_calls") or ()}
        if message["role"] == "tool" and message.get("tool_call_id") not in called:
            raise Refusal(400, "a tool's result must answer a call before it", param=f"{place}.tool_call_id")
        if message["role"] == "user" and not message.get("content"):
            raise Refusal(400, "a user message needs content", param=f"{place}.content")


def prompt_tokens(body: Json) -> int:
    """Count the tokens of a prompt; an attachment counts as 85."""
    spoken = sum(3 + len(tokens_of(text_of(message))) for message in body["messages"])
    parts = [part for m in body["messages"] if isinstance(m.get("content"), list) for part in m["content"]]
    attached = sum(part.get("type") != "text" for part in parts)
    return spoken + 85 * attached + len(tokens_of(json.dumps(body.get("tools") or "")))


async def complete(request: web.Request) -> web.StreamResponse:
    """Answer `POST /v1/chat/completions`."""
    try:
        body = check(await request.json())
        choices = [Written(body, index) for index in range(body.get("n") or 1)]
    except Unreadable as error:
        raise Refusal(400, str(error), param="messages") from None
    except (AttributeError, LookupError, TypeError, ValueError):
        # A field of another type than the protocol's: a real server has a schema for each, which says no more.
        raise Refusal(400, "the request is not one of the protocol") from None
    if body["model"] == "busy":
        raise Refusal(429, "Too many requests.", code="rate_limit_exceeded")
    if body["model"] == "broken":
        raise Refusal(500, "Something broke.")
    if body.get("stream"):
        return await _stream(request, body, choices)
    await asyncio.sleep(PAUSE_SECONDS)
    laid_out = [
        {
            "index": index,
            "message": written.message,
            "logprobs": written.logprobs(written.tokens),
            "finish_reason": written.finish_reason,
        }
        for index, written in enumerate(choices)
    ]
    return web.json_response({**_head(body, "chat.completion"), "choices": laid_out, "usage": _usage(body, choices)})


async def _stream(request: web.Request, body: Json, choices: list[Written]) -> web.StreamResponse:
    wants_usage = (body.get("stream_options") or {}).get("include_usage")
    head: Json = {**_head(body, "chat.completion.chunk"), **({"usage": None} if wants_usage else {})}
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)

    async def send(index: int, delta: Json, logprobs: Json | None = None, finish_reason: str | None = None) -> None:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        await response.write(_event({**head, "choices": [choice]}))
        await asyncio.sleep(PAUSE_SECONDS)

    for index, written in enumerate(choices):
        for number, (delta, logprobs) in enumerate(written.deltas()):
            if body["model"] == "fragile" and number > 3 and request.transport:
                request.transport.abort()
                return response
            await send(index, delta, logprobs)
        await send(index, {}, None, written.finish_reason)
    if wants_usage:
        await response.write(_event({**head, "choices": [], "usage": _usage(body, choices)}))
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


def _head(body: Json, kind: str) -> Json:
    return {
        "id": "chatcmpl-scripted",
        "object": kind,
        "created": 1_790_000_000,
        "model": body["model"],
        "system_fingerprint": "fp_scripted",
    }


def _usage(body: Json, choices: list[Written]) -> Json:
    prompt, written = prompt_tokens(body), sum(choice.size for choice in choices)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
        "completion_tokens_details": {"reasoning_tokens": sum(choice.thoughts for choice in choices)},
    }


def _event(data: Json) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


async def models(_: web.Request) -> web.Response:
    """Answer `GET /v1/models`."""
    entries = [
        {"id": name, "object": "model", "created": 0, "owned_by": "clients", "max_model_len": WINDOW} for name in MODELS
    ]
    return web.json_response({"object": "list", "data": entries})


async def health(_: web.Request) -> web.Response:
    """Answer `GET /health`."""
    return web.json_response({"status": "ok"})


@web.middleware
async def guard(request: web.Request, handler: Any) -> web.StreamResponse:
    """Let in who has the key, and tell refusals as OpenAI does."""
    try:
        sent = request.headers.get("authorization", "")
        if request.path != "/health" and not hmac.compare_digest(sent, f"Bearer {request.app[_KEY]}"):
            raise Refusal(401, "The key is wrong.", code="invalid_api_key")
        return await handler(request)
    except Refusal as refusal:
        return refusal.response


def application(key: str) -> web.Application:
    """Build the server, which lets in who sends `key`."""
    app = web.Application(middlewares=[guard], client_max_size=32 * 1024 * 1024)
    app[_KEY] = key
    app.router.add_post("/v1/chat/completions", complete)
    app.router.add_get("/v1/models", models)
    app.router.add_get("/health", health)
    return app


def main(arguments: list[str]) -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", required=True)
    given = parser.parse_args(arguments)
    web.run_app(application(given.key), host="127.0.0.1", port=given.port, print=None, handler_cancellation=True)


if __name__ == "__main__":
    main(sys.argv[1:])
