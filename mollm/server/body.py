"""The body of an HTTP request: read within bounds, parsed, and refused where it holds what no client may set."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel, ConfigDict

from mollm.config.forwarding import FORBIDDEN
from mollm.errors import BadField, ClientGone, Overloaded, TooLarge, TooSlow
from mollm.server.wire import header

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from pydantic import ValidationError
    from starlette.types import Receive, Scope

BODY_SECONDS = 30.0
"""Until the body of an HTTP request must be there."""
SMALL = 64 * 1024
"""Bytes of a body that is always read: others fill the room, and a connection holds as much by itself."""
MOST_HELD, AT_ONCE = 256 * 1024 * 1024, 8
"""Bytes of all larger bodies together, or so many of the largest if these are more."""
RETRY_SECONDS = 5.0
"""After which a client tries again that found no room."""
DEEPEST = 100
"""Levels of lists and objects in a body; what goes deeper could neither be counted nor sent on."""
LARGE = 4 * 1024 * 1024
"""Bytes of a body from which on its values are counted before it is parsed."""
MOST_VALUES = 1_000_000
"""Values in a large body, by its commas and brackets: as objects of Python they take up to twenty times its bytes. What
makes an honest body large are photographs, which are a few long texts."""
MOST_PARTS = 100_000
"""Lists and objects in a body; more would keep everybody else waiting while they are looked through."""
MOST_NAMES = 10_000
"""Names of fields in a body, but for those inside its data: each is looked at, and an honest body has a few dozen."""

DATA = frozenset(
    (
        *("messages", "tools", "functions", "response_format", "metadata", "prediction", "documents", "logit_bias"),
        *("guided_json", "guided_choice", "structured_outputs", "json_schema", "chat_template_kwargs"),
    )
)
"""Fields of a body whose names inside are the caller's own words: what is called what there says nothing to us."""

_NESTED = frozenset((dict, list))


class Body(BaseModel):
    """What a client sends; fields that are not known are ignored."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Bodies:
    """The bodies of all HTTP requests that are read or worked on.

    Attributes:
        most: Bytes of one.
    """

    def __init__(self, most: int, check: Callable[[], None] = lambda: None) -> None:
        """Hold nothing yet.

        Args:
            most: Bytes of one.
            check: Raises `Overloaded` where the HTTP request could not be let in, however it reads on.
        """
        self.most, self.check = most, check
        self._held = 0
        self.arriving: set[asyncio.Timeout] = set()
        self.is_ended = False

    def is_too_large(self, scope: Scope) -> bool:
        """Say whether an HTTP request tells of a longer body than one may be."""
        length = header(scope, b"content-length")
        return length.isdecimal() and int(length) > self.most

    def share(self) -> Share:
        """Hold one body until the share is closed."""
        return Share(self)

    def end(self) -> None:
        """Wait no longer for those that are still arriving: the server is about to stop, and would let in none."""
        self.is_ended = True
        for waiting in self.arriving:
            waiting.reschedule(0)

    def take(self, size: int) -> None:
        """Hold so many bytes more. Raises `Overloaded`."""
        room = max(MOST_HELD, AT_ONCE * self.most)
        if self._held + size > room:
            text = f"the bodies of the HTTP requests in flight take {room >> 20} MiB, which is all there is room for"
            raise Overloaded(text, retry_after_seconds=RETRY_SECONDS)
        self._held += size

    def give(self, size: int) -> None:
        """Hold so many bytes less."""
        self._held -= size


class Share:
    """What one HTTP request holds of the bodies."""

    __slots__ = ("_bodies", "_counted", "_size")

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._size = self._counted = 0

    async def read(self, scope: Scope, receive: Receive, *, takes_place: bool = True) -> bytes:
        """Read the body of an HTTP request.

        Args:
            scope: Of ASGI; its headers may say how long the body is.
            receive: Of ASGI.
            takes_place: It asks a question, which would find no room while others have it.

        Raises:
            TooLarge: It has more bytes than a body may; nothing is read of one that says so.
            TooSlow: It was not there within `BODY_SECONDS`.
            Overloaded: There is no room for it beside the others, or for the HTTP request before it is read, or when it
                is there.
            ClientGone: The client went away.
        """
        if self._bodies.is_too_large(scope):
            raise _too_large(self._bodies.most)
        if takes_place:
            self._bodies.check()
        try:
            async with asyncio.timeout(BODY_SECONDS) as waiting:
                self._bodies.arriving.add(waiting)
                try:
                    body = await self._arrived(receive)
                finally:
                    self._bodies.arriving.discard(waiting)
        except TimeoutError:
            if self._bodies.is_ended:
                self._bodies.check()
            raise TooSlow(f"the body did not come within {BODY_SECONDS:.0f} seconds") from None
        if takes_place:
            self._bodies.check()  # parsing it would be the larger part of what is in vain
        return body

    async def _arrived(self, receive: Receive) -> bytes:
        parts = []
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone("the client went away with its body")
            part = message.get("body", b"")
            self._grow(len(part))
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)

    def close(self) -> None:
        """Hold it no more."""
        self._bodies.give(self._counted)
        self._counted = 0

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > self._bodies.most:
            raise _too_large(self._bodies.most)
        if self._size > SMALL:
            self._bodies.take(self._size - self._counted)
            self._counted = self._size


def read_json(body: bytes) -> Any:
    """Parse a body and refuse what holds a forbidden field, or is nested too deeply. Raises `BadField`."""
    data = _parsed(body)
    # What a tool takes and how an answer looks goes no further than the LLM, and is as deep as a body by itself.
    schemas = _containers([_at(data, "response_format", "json_schema", "schema")])
    for kind, *place in (("tools", "function", "parameters"), ("functions", "parameters")):
        offered = _at(data, kind)
        schemas |= _containers(_at(tool, *place) for tool in offered) if isinstance(offered, list) else {}
    own_words = _containers(data[name] for name in DATA & data.keys()) if isinstance(data, dict) else {}
    names, count = _names(data, own_words)
    if len(names) > MOST_NAMES:
        raise BadField(f"the body holds more than {MOST_NAMES} names of fields")
    for name in names:
        if name.lower().replace("-", "_") in FORBIDDEN:
            raise BadField(f"{name}: addresses, keys and headers are the configuration's, not the request's", name)
    for words in own_words.values():
        count = _names(words, schemas, count, DEEPEST - 1)[1]
    for schema in schemas.values():
        count = _names(schema, (), count)[1]
    return data


def check_json(body: bytes) -> None:
    """Refuse a body that is not JSON, or would take long to parse and to look through. Raises `BadField`."""
    _names(_parsed(body), ())


def bad_field(error: ValidationError) -> BadField:
    """Say in our words which field pydantic refused first, and why."""
    found = error.errors(include_url=False, include_input=False, include_context=False)[0]
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in found["loc"] if not _is_type(part))
    name = "".join(parts).removeprefix(".") or None
    if found["type"] == "missing":
        hint = ": `auto`, or a name that /v1/models lists" if name == "model" else ""
        return BadField(f"{name}: is required{hint}", name)
    is_object = found["type"] in ("model_type", "dict_type")
    text = "must be an object" if is_object else found["msg"].replace("Input should be", "must be")
    return BadField(f"{name or 'the body'}: {text[0].lower()}{text[1:]}", name)


def _parsed(body: bytes) -> Any:
    if len(body) > LARGE and len(body) - len(body.translate(None, b"[{,")) > MOST_VALUES:
        raise BadField(f"a body of more than {LARGE >> 20} MiB holds more than {MOST_VALUES} values")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadField(f"the body is not JSON: {error.msg} at character {error.pos}") from None


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"a body of more than {most} bytes")


def _names(data: Any, left_out: Collection[int], count: int = 0, deepest: int = DEEPEST) -> tuple[Collection[str], int]:
    # Every name in a document but those inside what is left out, each once, and how many lists and objects there are
    # beside the `count` before it; too deep a document is refused, and too many parts.
    names: dict[str, Any] = {}
    level = [data] if type(data) in _NESTED else []
    for _ in range(deepest):
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


def _containers(values: Iterable[Any]) -> dict[int, Any]:
    return {id(value): value for value in values if type(value) in _NESTED}


def _is_type(part: int | str) -> bool:
    # Where a value may be of several types, pydantic names the one that it did not have.
    return isinstance(part, str) and ("[" in part or part in ("str", "int", "bool", "float"))
