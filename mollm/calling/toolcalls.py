"""Tool calls in one form: pieces with an index, the name once, arguments as text, whatever a provider makes of them."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mollm.errors import ProviderFailed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from mollm.types import Message

_OWN = frozenset(("index", "id", "type", "function", "custom"))
_ARGUMENTS = ("arguments", "args", "input", "parameters")
_OWN_FLAT = _OWN.union(("name", *_ARGUMENTS))
_MARK = re.compile(r'\\.?|["{}\[\]]', re.DOTALL)


class ToolCalls:
    """The tool calls of one reply.

    `add` takes pieces as they come and returns what can be passed on: OpenAI's deltas, such that every reader puts
    them together rightly. The first of a call has its index, id, type and whole name, the others index and further
    arguments. A call is held back until its name is whole: until its arguments begin, or it is the name of a tool and
    of no other tool the beginning.

    A piece belongs to the call with its id, else to the latest with its index, else to the latest. It begins a call
    of its own where it has a new id and a name, where its name is another one and the arguments have begun, or where
    the arguments are complete and it brings others.
    """

    def __init__(self, names: Collection[str] = ()) -> None:
        """Expect calls of tools that have these `names`; they tell a name that goes on from one that comes again."""
        self._names = names
        self._calls: list[_Call] = []
        self._opened = 0
        self._ids: set[str] = set()

    def __bool__(self) -> bool:
        return any(not call.is_blank for call in self._calls)

    def add(self, given: Any) -> list[Message]:
        """Take the `tool_calls` of a message or a delta. Raises `ProviderFailed` for what is none."""
        pieces = [_read(part) for part in _listed(given)]
        touched: list[_Call] = []
        call: _Call | None
        if len(pieces) == 1 and len(self._calls) == 1 and self._opened and self._calls[0].goes_on(pieces[0]):
            call = self._calls[0]
            call.take(pieces[0], self._names)
            touched.append(call)
        else:
            for piece in pieces:
                call = self._of(piece)
                if call is None or call.is_followed_by(piece, self._names, is_beside=call in touched):
                    call = _Call(piece.kind)
                    self._calls.append(call)
                call.take(piece, self._names)
                touched.append(call)
        return self._passed_on(touched)

    def rest(self) -> list[Message]:
        """What was held back, at the end of the reply. Raises `ProviderFailed` for a call that got no name."""
        self._calls = [call for call in self._calls if not call.is_blank]
        if not all(call.name for call in self._calls):
            raise ProviderFailed("the reply holds a tool call without a name", status=200)
        for call in self._calls:
            call.complete()
        return self._passed_on(self._calls, last=True)

    def _of(self, piece: _Piece) -> _Call | None:
        """The call that a piece goes on with, as far as id and index tell."""
        if not self._calls:
            return None
        latest = self._calls[-1]
        at_index: _Call | None = latest
        if piece.key is not None:
            at_index = next((call for call in reversed(self._calls) if piece.key in call.keys), None)
        if not piece.id:
            goes_on = at_index is None and not (latest.keys or latest.is_complete or piece.name)
            return latest if goes_on else at_index
        if at_index is not None and at_index.id == piece.id:
            return at_index
        with_id = next((call for call in reversed(self._calls) if call.id == piece.id), None)
        if with_id is None and at_index is not None and at_index.goes_on_under_another_id(piece):
            return at_index
        return with_id

    def _passed_on(self, touched: Sequence[_Call], *, last: bool = False) -> list[Message]:
        found = []
        if self._opened < len(self._calls):
            waiting = range(self._opened, len(self._calls))
            # In the order of their index: readers append what is new.
            until = max((n for n in waiting if last or self._calls[n].is_named(self._names)), default=-1)
            for number in range(self._opened, until + 1):
                call = self._calls[number]
                if not call.name:
                    break
                found.append(call.opening(number, self._unique(call.id)))
                self._opened = number + 1
        return found + [call.further() for call in touched if call.has_further]

    def _unique(self, given: str | None) -> str:
        found = given if given and given not in self._ids else new_id()
        self._ids.add(found)
        return found


def is_sound(calls: Any) -> bool:
    """Whether the `tool_calls` of a whole message are in this form already, as nearly all are."""
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        return False
    if len({call.get("id") for call in calls if isinstance(call.get("id"), str) and call["id"]}) < len(calls):
        return False
    return all(
        call.get("type") == "function"
        and isinstance(function := call.get("function"), dict)
        and isinstance(name := function.get("name"), str)
        and isinstance(arguments := function.get("arguments"), str)
        and bool(name and arguments.strip())
        for call in calls
    )


def new_id() -> str:
    """Make an id for a tool call, unique over any conversation."""
    return f"call_{secrets.token_hex(12)}"


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece of a call, as far as it can be read."""

    key: int | str | None
    """Its index, whatever that is; only used to tell calls apart."""
    id: str | None
    kind: str
    """`function`, or `custom`, whose argument is free text."""
    name: str
    arguments: str
    has_arguments: bool
    extra: Mapping[str, Any]


@dataclass(eq=False, slots=True)
class _Call:
    """One call while it comes."""

    kind: str
    keys: set[int | str] = field(default_factory=set)
    """The indexes under which it came."""
    id: str | None = None
    name: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    """Further fields that were not passed on yet."""
    pending: str = ""
    """Arguments that were not passed on yet."""
    number: int | None = None
    """Its index outwards, once it was passed on."""
    _parts: list[str] = field(default_factory=list)
    _length: int = 0
    _is_cumulative: bool = False
    _is_placeheld: bool = False
    _is_in_string: bool = False
    _has_brackets: bool = False
    _depth: int = 0
    _escape: str = ""

    @property
    def is_blank(self) -> bool:
        """Nothing was said about it: some providers send an empty entry ahead."""
        return not (self.name or self.id or self._parts or self._is_placeheld)

    @property
    def has_further(self) -> bool:
        return self.number is not None and bool(self.pending or self.extra)

    @property
    def has_begun(self) -> bool:
        return bool(self._parts) or self._is_placeheld

    @property
    def is_complete(self) -> bool:
        if not self._parts:
            return self._is_placeheld
        return self._has_brackets and self._depth <= 0 and not self._is_in_string

    def is_named(self, names: Collection[str]) -> bool:
        """Whether its name is whole, and what else its first delta needs is there."""
        if self.pending or self.id is None or self._is_placeheld or self.name not in names:
            return bool(self.pending)
        return not any(name.startswith(self.name) and name != self.name for name in names)

    def goes_on(self, piece: _Piece) -> bool:
        """Whether a piece is plainly the next one of it, as nearly all are: its index, and arguments alone."""
        return not piece.name and not piece.id and (piece.key is None or piece.key in self.keys)

    def goes_on_under_another_id(self, piece: _Piece) -> bool:
        if piece.name:  # its id comes late, or it is another call
            return self.id is None and not self.is_complete and piece.name == self.name
        # Without a name it is no call of its own: some servers make up an id for every delta.
        return self.id is None or (not self.is_complete and (self.has_begun or bool(piece.arguments)))

    def is_followed_by(self, piece: _Piece, names: Collection[str], *, is_beside: bool) -> bool:
        """Whether a piece that seems to belong to it begins another call; `is_beside`: both are in one delta."""
        if is_beside and (piece.name or not (piece.key in self.keys or (piece.id and piece.id == self.id))):
            return True
        if not piece.name or not self.name:
            return False
        if piece.name != self.name and (self.has_begun or self.number is not None):
            return True
        if self.has_begun:
            is_filled = not self._parts and piece.id == self.id is not None  # in place of the `{}` that came ahead
            is_other = bool(piece.arguments) and not self._is_repeated_by(piece.arguments)
            return self.is_complete and is_other and not is_filled
        if piece.name != self.name:
            is_elsewhere = piece.key is not None and bool(self.keys) and piece.key not in self.keys
            if is_elsewhere or (piece.key is None and piece.id is None and piece.has_arguments):
                return True
        return _named(self.name, piece.name, names) is None

    def take(self, piece: _Piece, names: Collection[str]) -> None:
        self.id = self.id or piece.id
        if piece.key is not None:
            self.keys.add(piece.key)
        if piece.name and self.number is None:
            self.name = _named(self.name, piece.name, names) or self.name
        if piece.extra:
            self.extra |= piece.extra
        if piece.arguments:
            self._take(piece.arguments)

    def complete(self) -> None:
        """There are no more arguments: none at all are an empty object."""
        if self.kind == "function" and not self._parts:
            self._append("{}")

    def opening(self, number: int, call_id: str) -> Message:
        """Its first delta."""
        self.number = number
        name, arguments = _FIELDS[self.kind]
        called = {name: self.name, arguments: self._flush()}
        extra, self.extra = self.extra, {}
        return {"index": number, "id": call_id, "type": self.kind, self.kind: called, **extra}

    def further(self) -> Message:
        """A delta after the first."""
        extra, self.extra = self.extra, {}
        found = {"index": self.number, **extra}
        return {**found, self.kind: {_FIELDS[self.kind][1]: self._flush()}} if self.pending else found

    def _flush(self) -> str:
        found, self.pending = self.pending, ""
        return found

    def _take(self, piece: str) -> None:
        if not self._parts and piece.isspace():
            return
        if self.kind == "function" and piece.lstrip()[:1] == "{":
            if not self._parts and piece.strip() == "{}":
                self._is_placeheld = True  # there may be others yet
                return
            if self._parts and len(piece) >= self._length:
                piece = self._unrepeated(piece)
            elif self.is_complete and self._is_repeated_by(piece):
                return
        if piece:
            self._append(piece)

    def _unrepeated(self, piece: str) -> str:
        """Cut off what came before, where a piece holds all arguments so far."""
        if self.is_complete and self._is_repeated_by(piece):
            return ""
        so_far = "".join(self._parts)
        if so_far[:1] == "{" and piece.startswith(so_far) and (self._is_cumulative or _is_no_json(so_far + piece)):
            self._is_cumulative = True
            return piece[len(so_far) :]
        return piece

    def _is_repeated_by(self, arguments: str) -> bool:
        so_far = "".join(self._parts) or "{}"
        return arguments == so_far or _parsed(arguments) == _parsed(so_far) is not None

    def _append(self, piece: str) -> None:
        self._parts.append(piece)
        self._length += len(piece)
        self.pending += piece
        for mark in _MARK.findall(self._escape + piece):
            if mark == '"':
                self._is_in_string = not self._is_in_string
            elif mark[0] != "\\" and not self._is_in_string:
                self._has_brackets = True
                self._depth += 1 if mark in "{[" else -1
            self._escape = mark if mark == "\\" else ""


_FIELDS = {"function": ("name", "arguments"), "custom": ("name", "input")}


def _listed(given: Any) -> Sequence[Any]:
    """`tool_calls` as a list: some write one call alone, or calls by their number."""
    if isinstance(given, dict):
        given = [given] if "function" in given or "name" in given else list(given.values())
    if not isinstance(given, list | tuple):
        raise _unreadable()
    return [part for part in given if part is not None]


def _read(part: Any) -> _Piece:
    if not isinstance(part, dict):
        raise _unreadable()
    kind = "custom" if isinstance(part.get("custom"), dict) else "function"
    called = part.get(kind)
    holder: dict[str, Any] = called if isinstance(called, dict) else part
    is_flat = holder is part
    name = called if isinstance(called, str) else holder.get("name")
    arguments = holder.get("arguments")
    if arguments is None:
        arguments = next((value for key in _ARGUMENTS if (value := holder.get(key)) is not None), None)
    if not isinstance(name, str | None):
        raise _unreadable()
    own = _OWN_FLAT if is_flat else _OWN
    extra = {} if part.keys() <= own else {k: v for k, v in part.items() if k not in own and v is not None}
    written = _written(arguments)
    return _Piece(_key(part.get("index")), _id(part.get("id")), kind, name or "", written, arguments is not None, extra)


def _written(arguments: Any) -> str:
    if isinstance(arguments, str):
        return arguments
    if arguments is None:
        return ""
    if not isinstance(arguments, dict | list):
        raise _unreadable()
    return json.dumps(arguments, ensure_ascii=False)


def _key(index: Any) -> int | str | None:
    if isinstance(index, str):
        return int(index) if re.fullmatch(r"-?\d{1,9}", index, re.ASCII) else index or None
    if isinstance(index, float):
        return int(index) if index.is_integer() else str(index)
    return index if isinstance(index, int) else None


def _id(given: Any) -> str | None:
    return (str(given) or None) if isinstance(given, str | int) and not isinstance(given, bool) else None


def _named(so_far: str, piece: str, names: Collection[str]) -> str | None:
    """The name after a further piece of it, or the same again; None: the piece names another call."""
    joined = so_far + piece
    goes_on = any(name.startswith(joined) for name in names)
    if piece == so_far and (so_far in names or not goes_on):
        return so_far
    if goes_on or piece not in names:
        return joined
    return piece if not so_far or (so_far not in names and piece.startswith(so_far)) else None


def _is_no_json(text: str) -> bool:
    """Whether `text` can not be the beginning of a JSON document."""
    try:
        json.loads(text, strict=False)
    except json.JSONDecodeError as error:
        is_cut = error.msg.startswith(("Unterminated", "Invalid \\")) or error.pos >= len(text.rstrip())
        return not is_cut
    except RecursionError:
        return False
    return False


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments, strict=False)
    except (ValueError, RecursionError):
        return None


def _unreadable() -> ProviderFailed:
    return ProviderFailed("the reply holds a tool call that cannot be read", status=200)
