"""Server-sent events from bytes, however a connection cuts them."""

from __future__ import annotations

MAX_EVENT_BYTES = 8 * 1024 * 1024


class EventTooLarge(ValueError):
    """An event grew past `MAX_EVENT_BYTES` without ending."""


class EventParser:
    """Collect bytes and hand out the data of each event that is complete.

    Follows the HTML standard (9.2.6): lines end in LF, CR or CRLF, a byte order mark in front is skipped,
    lines that begin with a colon are comments, several `data` lines of one event are joined with LF. Fields
    other than `data` have no meaning here.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._data: list[bytes] = []
        self._started = False

    def feed(self, received: bytes) -> list[bytes]:
        """Take `received` and return the data of the events it completed, in order."""
        buffer = self._buffer + received
        if not self._started:
            if len(buffer) < 3 and b"\xef\xbb\xbf".startswith(buffer):
                self._buffer = buffer
                return []
            buffer = buffer.removeprefix(b"\xef\xbb\xbf")
            self._started = True
        held = b""
        if b"\r" in buffer:
            # A CR at the very end may be half of a CRLF whose LF is still to come.
            if buffer.endswith(b"\r"):
                buffer, held = buffer[:-1], b"\r"
            buffer = buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = buffer.split(b"\n")
        self._buffer = rest + held
        if len(self._buffer) > MAX_EVENT_BYTES:
            raise EventTooLarge(f"an event of more than {MAX_EVENT_BYTES} bytes")
        return self._events(lines)

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        data = self._data
        for line in lines:
            if not line:
                if data:
                    events.append(data[0] if len(data) == 1 else b"\n".join(data))
                    data.clear()
            elif line.startswith(b"data"):
                if line[4:6] == b": ":
                    data.append(line[6:])
                elif line[4:5] == b":":
                    data.append(line[5:])
                elif len(line) == 4:
                    data.append(b"")
        if sum(map(len, data)) > MAX_EVENT_BYTES:
            raise EventTooLarge(f"an event of more than {MAX_EVENT_BYTES} bytes")
        return events
