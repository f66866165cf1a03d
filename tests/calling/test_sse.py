"""Server-sent events survive every way a network can cut them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm.calling.sse import MAX_EVENT_BYTES, EventParser, EventTooLarge

DATA = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20), min_size=1, max_size=3)
NOISE = st.sampled_from(["", ": ping", ":", "event: x", "id: 7", "retry: 10", "nonsense"])


@given(st.data())
def test_events_come_whole_however_the_bytes_are_cut(data: st.DataObject) -> None:
    """Comments, other fields, multi-line data, CR, LF, CRLF, a byte order mark and any cut change nothing."""
    events = data.draw(st.lists(DATA, max_size=5))
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    space = data.draw(st.sampled_from(["", " "]))
    lines: list[str] = []
    for event in events:
        lines += [noise for noise in [data.draw(NOISE)] if noise]
        # A leading space belongs to the framing, so text that begins with one needs the framing's own.
        lines += [f"data:{space if not line.startswith(' ') else ' '}{line}" for line in event]
        lines.append("")
    raw = data.draw(st.sampled_from(["", "\ufeff"])) + "".join(line + end for line in lines)
    wire = raw.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    parser = EventParser()

    found: list[bytes] = []
    for start, stop in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        found += parser.feed(wire[start:stop])
    found += parser.feed(b"\n")  # what follows a last CR shows that it was a whole line end

    assert found == ["\n".join(event).encode() for event in events]


def test_an_event_without_end_is_refused() -> None:
    """A server that never ends a line cannot fill the memory."""
    parser = EventParser()
    piece = b"x" * (1024 * 1024)

    with pytest.raises(EventTooLarge):
        for _ in range(MAX_EVENT_BYTES // len(piece) + 2):
            parser.feed(piece)


def test_many_data_lines_without_a_blank_one_are_refused() -> None:
    """The bound holds for one event of many lines as well."""
    parser = EventParser()
    piece = b"data: " + b"x" * (1024 * 1024) + b"\n"

    with pytest.raises(EventTooLarge):
        for _ in range(MAX_EVENT_BYTES // len(piece) + 2):
            parser.feed(piece)
