"""Server-sent events from bytes, however a connection cuts them, and what upstreams send in their place."""

from __future__ import annotations

import re

MAX_EVENT_BYTES = 8 * 1024 * 1024

_FIELDS = frozenset({b"event", b"error", b"id", b"retry", b""})
_NOTHING = frozenset({b"", b"null", b"none", b"{}", b'""', b"false"})
_ERROR = re.compile(rb"(?:^|[._-])(?:err|error|exception|fail|failed|failure|fatal)(?:$|[._-])")


class EventTooLarge(ValueError):
    """An event grew past `MAX_EVENT_BYTES` without ending."""


class ErrorEvent(bytes):
    """The data of an event that calls itself an error."""

    __slots__ = ()


class EventParser:
    """Collect bytes and hand out the data of each event that is complete.

    Follows the HTML standard (9.2.6): lines end in LF, CR or CRLF, a byte order mark in front is skipped, lines that
    begin with a colon are comments, several `data` lines of one event are joined with LF. Beyond it, as upstreams
    write them: a JSON document in one `data` line is an event of its own where another follows it without a blank
    line; the case of a field, and spaces in front of it, do not count; a line that is a JSON document without any field
    is an event; a field `error`, and an event whose name says so, are an `ErrorEvent`; and what a connection ends with
    need not end in a blank line (`end`).

    Attributes:
        other: The first line that is none of these, as a web page's.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._held = 0
        self._data: list[bytes] = []
        self._bare: list[bytes] = []
        self._collected = 0
        self._looked_at, self._begins, self._ends = 0, b"", (b"", b"")
        self._started = False
        self._is_error = False
        self._next_is_error = False
        self._is_plain = True
        self.other = b""

    def feed(self, received: bytes) -> list[bytes]:
        """Take `received` and return the data of the events it completed, in order."""
        if self._started and b"\n" not in received and b"\r" not in received:
            # Joining at every piece would cost the square of a long line's length.
            self._hold(received)
            return []
        buffer = b"".join([*self._pieces, received])
        self._pieces, self._held = [], 0
        if not self._started:
            if len(buffer) < 3 and b"\xef\xbb\xbf".startswith(buffer):
                self._hold(buffer)
                return []
            buffer = buffer.removeprefix(b"\xef\xbb\xbf")
            self._started = True
        after = b""
        if b"\r" in buffer:
            # A CR at the very end may be half of a CRLF whose LF is still to come.
            if buffer.endswith(b"\r"):
                buffer, after = buffer[:-1], b"\r"
            buffer = buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = buffer.split(b"\n")
        self._hold(rest + after)
        return self._events(lines)

    def end(self) -> list[bytes]:
        """Return the events that the end of the connection completes."""
        self._started = True
        events = self.feed(b"\n\n")
        self._complete(events)
        return events

    def _hold(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._held += len(piece)
        if self._held > MAX_EVENT_BYTES:
            raise EventTooLarge(f"an event of more than {MAX_EVENT_BYTES} bytes")

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        data = self._data
        for line in lines:
            if not line:
                if self._is_plain and len(data) == 1:
                    events.append(data[0])
                    data.clear()
                    self._collected = 0
                elif not self._bare:  # a document that is not closed yet may have blank lines
                    self._complete(events)
            elif line.startswith(b"data") and line[4:5] in (b":", b""):
                self._take(line[6:] if line[4:6] == b": " else line[5:], events)
            else:
                self._other(line, events)
        if self._collected > MAX_EVENT_BYTES:
            raise EventTooLarge(f"an event of more than {MAX_EVENT_BYTES} bytes")
        return events

    def _take(self, value: bytes, events: list[bytes]) -> None:
        self._collected += len(value) + 6
        if self._data or not self._is_plain:
            self._separate(value, events)
        self._data.append(value)

    def _complete(self, events: list[bytes]) -> None:
        if self._bare:
            events.append(b"\n".join(self._bare))
            self._bare.clear()
        is_error = self._is_error or self._next_is_error
        if self._data or is_error:
            joined = b"\n".join(self._data)
            events.append(ErrorEvent(joined) if is_error else joined)
            self._data.clear()
            self._looked_at, self._begins, self._ends = 0, b"", (b"", b"")
        self._is_error = self._next_is_error = False
        self._is_plain = True
        self._collected = 0

    def _separate(self, value: bytes, events: list[bytes]) -> None:
        """End the event before a `data` line that begins one of its own, though no blank line is between them."""
        self._look_at_the_rest()
        begins = bool(self._data) and _is_document(value) and self._begins not in (b"{", b"[")
        if self._bare or begins or self._ends in _DOCUMENTS:
            is_error, self._next_is_error = self._next_is_error, False
            self._complete(events)
            self._is_error, self._is_plain = is_error, not is_error

    def _look_at_the_rest(self) -> None:
        """Bring up to date how the lines together begin and end; joining them for each would cost the square."""
        for line in self._data[self._looked_at :]:
            if found := line.strip():
                first, last = _ends(found)
                self._ends = (self._ends[0] if self._begins else first, last)
                self._begins = self._begins or found[:1]
        self._looked_at = len(self._data)

    def _other(self, line: bytes, events: list[bytes]) -> None:
        field, _, value = line.partition(b":")
        field = field.strip().lower()
        if field == b"data":
            self._take(value.removeprefix(b" "), events)
        elif field in _FIELDS:
            if self._bare:
                self._complete(events)
            self._field(field, value.strip().lower(), events, value)
        elif self._bare:
            self._collected += len(line) + 1
            self._bare.append(line)
        elif line.lstrip()[:1] in (b"{", b"[", b'"'):
            self._complete(events)
            self._bare.append(line)
            self._is_plain = False
            if _is_document(line):
                self._complete(events)
        else:
            self.other = self.other or line

    def _field(self, field: bytes, value: bytes, events: list[bytes], raw: bytes) -> None:
        if field == b"event":
            is_error = bool(_ERROR.search(value))
            if self._data:  # it belongs to them, or to the next where that follows without a blank line
                self._next_is_error = is_error
            else:
                self._is_error = is_error
            self._is_plain = not (self._is_error or self._next_is_error or self._bare)
        elif field == b"error" and value not in _NOTHING:
            self._complete(events)
            events.append(ErrorEvent(raw.strip()))


_DOCUMENTS = ((b"{", b"}"), (b"[", b"]"))
"""How a JSON document begins and ends, and `[DONE]`."""


def _is_document(data: bytes) -> bool:
    """Whether it begins and ends as a JSON document does, or `[DONE]`."""
    return _ends(data.strip()) in _DOCUMENTS


def _ends(data: bytes) -> tuple[bytes, bytes]:
    """The first and the last character within quotes; of quotes alone there is none."""
    data = data.strip(b'"')
    return data[:1], data[-1:]
