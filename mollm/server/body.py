"""The body of an HTTP request: read within bounds, parsed, and refused where it holds what no client may set."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel, ConfigDict

from mollm.errors import BadField, ClientGone, TooLarge, TooSlow
from mollm.server.wire import header

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pydantic import ValidationError
    from starlette.types import Receive, Scope

FORBIDDEN = frozenset(
    (
        *("api_base", "base_url", "api_key", "api_keys", "api_token", "authorization", "azure_endpoint"),
        *("extra_headers", "headers", "default_headers", "user_config", "litellm_params", "model_list"),
        *("custom_llm_provider", "proxy", "proxies", "azure_ad_token", "vertex_credentials", "fallbacks"),
        *("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_bedrock_runtime_endpoint"),
    )
)
"""Names of fields that choose an address, a key or headers where a gateway hands them on."""
BODY_SECONDS = 30.0
"""Until the body of an HTTP request must be there."""
DEEPEST = 100
"""Levels of lists and objects in a body; what goes deeper could neither be counted nor sent on."""
MOST_PARTS = 100_000
"""Lists and objects in a body; more would keep everybody else waiting while they are looked through."""

_NESTED = frozenset((dict, list))


class Body(BaseModel):
    """What a client sends; fields that are not known are ignored."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


async def read_body(scope: Scope, receive: Receive, most: int) -> bytes:
    """Read the body of an HTTP request.

    Args:
        scope: Of ASGI; its headers may say how long the body is.
        receive: Of ASGI.
        most: Bytes it may have.

    Raises:
        TooLarge: It has more; nothing is read of one that says so.
        TooSlow: It was not there within `BODY_SECONDS`.
        ClientGone: The client went away.
    """
    length = header(scope, b"content-length")
    if length.isdecimal() and int(length) > most:
        raise _too_large(most)
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone("the client went away with its body")
                part = message.get("body", b"")
                size += len(part)
                if size > most:
                    raise _too_large(most)
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise TooSlow(f"the body did not come within {BODY_SECONDS:.0f} seconds") from None


def read_json(body: bytes) -> Any:
    """Parse a body and refuse what holds a forbidden field, or is nested too deeply. Raises `BadField`."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadField(f"the body is not JSON: {error.msg} at character {error.pos}") from None
    # The arguments of a tool and the shape of an answer are the caller's own words: they go no further than the LLM.
    own_words = [_at(data, "response_format", "json_schema", "schema")]
    for kind, *place in (("tools", "function", "parameters"), ("functions", "parameters")):
        offered = _at(data, kind)
        own_words += [_at(tool, *place) for tool in offered] if isinstance(offered, list) else []
    exempt = {id(schema): schema for schema in own_words if type(schema) in _NESTED}
    names, count = _names(data, exempt)
    for name in names:
        if name.lower().replace("-", "_") in FORBIDDEN:
            raise BadField(f"{name}: addresses, keys and headers are the configuration's, not the request's", name)
    for schema in exempt.values():
        count = _names(schema, (), count)[1]
    return data


def bad_field(error: ValidationError) -> BadField:
    """Say in our words which field pydantic refused first, and why."""
    found = error.errors(include_url=False, include_input=False, include_context=False)[0]
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in found["loc"] if not _is_type(part))
    name = "".join(parts).removeprefix(".") or None
    if found["type"] == "missing":
        return BadField(f"{name}: is required", name)
    is_object = found["type"] in ("model_type", "dict_type")
    text = "must be an object" if is_object else found["msg"].replace("Input should be", "must be")
    return BadField(f"{name or 'the body'}: {text[0].lower()}{text[1:]}", name)


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"a body of more than {most} bytes")


def _names(data: Any, left_out: Collection[int], count: int = 0) -> tuple[Iterable[str], int]:
    # Every name in a document but those inside what is left out, each once, and how many lists and objects there are
    # beside the `count` before it; too deep a document is refused, and too many parts.
    names: dict[str, Any] = {}
    level = [data] if type(data) in _NESTED else []
    for _ in range(DEEPEST):
        count += len(level)
        if count > MOST_PARTS:
            raise BadField(f"the body holds more than {MOST_PARTS} lists and objects")
        inner: list[Any] = []
        for found in level:
            if id(found) in left_out:
                continue
            items = found
            if isinstance(found, dict):
                names.update(found)
                items = found.values()
            inner += [item for item in items if type(item) in _NESTED]
        if not inner:
            return names, count
        level = inner
    raise BadField(f"the body is nested more than {DEEPEST} levels deep")


def _at(data: Any, *keys: str) -> Any:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _is_type(part: int | str) -> bool:
    # Where a value may be of several types, pydantic names the one that it did not have.
    return isinstance(part, str) and ("[" in part or part in ("str", "int", "bool", "float"))
