"""JSON as it is sent, and whole responses by plain ASGI."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Scope, Send

JSON = "application/json"


def to_json(data: Any) -> bytes:
    """Write a document as JSON, whatever an LLM put into it."""
    try:
        return orjson.dumps(data)
    except orjson.JSONEncodeError:
        # Half of a character that a provider cut in two, or a number of a library's own kind.
        return json.dumps(data, separators=(",", ":"), default=str).encode()


def json_response(data: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Lay out a document as a response."""
    return Response(to_json(data), status, headers, JSON)


async def send_json(send: Send, data: Any, headers: Mapping[str, str]) -> None:
    """Send a document as the whole answer to an HTTP request, with status 200."""
    body = to_json(data)
    raw = [(b"content-type", JSON.encode()), (b"content-length", b"%d" % len(body)), *encoded(headers)]
    await send({"type": "http.response.start", "status": 200, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Return headers as ASGI takes them."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def shown(text: str, most: int = 200) -> str:
    """Make what a client sent fit to be told and logged: one line of printable ASCII, shortened."""
    line = "".join(letter if "!" <= letter <= "~" else "?" for letter in text[: most + 1])
    return f"{line[:most]}..." if len(line) > most else line


def header(scope: Scope, name: bytes) -> str:
    """Return a header of an HTTP request; empty where it has none. Of several of one name the last counts."""
    found = b""
    for given, value in scope["headers"]:
        if given == name:
            found = value
    return str(found, "latin-1")


def headers(scope: Scope, name: bytes) -> list[str]:
    """Return every value of a header of an HTTP request."""
    return [str(value, "latin-1") for given, value in scope["headers"] if given == name]


def path_of(scope: Scope) -> str:
    """Return the path of an HTTP request below where the application is mounted."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
