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
        self._pieces: list[bytes] = []
        self._held = 0
        self._data: list[bytes] = []
        self._collected = 0
        self._started = False

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
                if data:
                    events.append(data[0] if len(data) == 1 else b"\n".join(data))
                    data.clear()
                    self._collected = 0
            elif line.startswith(b"data"):
                self._collected += len(line) + 1
                if line[4:6] == b": ":
                    data.append(line[6:])
                elif line[4:5] == b":":
                    data.append(line[5:])
                elif len(line) == 4:
                    data.append(b"")
        if self._collected > MAX_EVENT_BYTES:
            raise EventTooLarge(f"an event of more than {MAX_EVENT_BYTES} bytes")
        return events
