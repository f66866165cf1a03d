"""Server-sent events survive every way a network can cut them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm.calling.sse import MAX_EVENT_BYTES, ErrorEvent, EventParser, EventTooLarge

LINE = st.text(st.characters(codec="utf-8", exclude_characters="\r\n[]{}"), max_size=20)
DATA = st.lists(LINE, min_size=1, max_size=3)
NOISE = st.sampled_from(["", ": ping", ":", "event: x", "id: 7", "retry: 10", "nonsense"])
DOCUMENT = st.builds(lambda text: json.dumps({"text": text}, ensure_ascii=False), st.text(max_size=8))


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


def parsed(*received: bytes) -> list[bytes]:
    """All events of a connection that brings these bytes and closes."""
    parser = EventParser()
    return [event for piece in received for event in parser.feed(piece)] + parser.end()


@given(st.data())
def test_documents_come_one_by_one_whatever_stands_between_them(data: st.DataObject) -> None:
    """Blank lines, single line feeds, no fields at all, an end without either: cut anywhere, the same documents."""
    documents = data.draw(st.lists(DOCUMENT, min_size=1, max_size=5))
    wire = ""
    for document in documents:
        wire += data.draw(st.sampled_from(["", ": ping\n", "event: message\n", "id: 1\n", "\n", "event: x\nid: 1\n"]))
        wire += data.draw(st.sampled_from(["data: ", "data:", ""])) + document
        wire += data.draw(st.sampled_from(["\n", "\n\n", "\r\n", "\r\n\r\n", "\r", "\n\n\n"]))
    raw = wire.encode().rstrip(data.draw(st.sampled_from([b"", b"\r\n"])) or b" ")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))

    found = parsed(*(raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)))

    assert [json.loads(event) for event in found] == [json.loads(document) for document in documents]
    assert not any(isinstance(event, ErrorEvent) for event in found)


NAMED: list[tuple[bytes, list[tuple[bytes, bool]]]] = [
    (b"event: error\ndata: x\n\ndata: y\n\n", [(b"x", True), (b"y", False)]),
    (b"data: x\nevent: error\n\ndata: y\n\n", [(b"x", True), (b"y", False)]),
    (b"data: {}\nevent: error\ndata: {1}\n\ndata: y\n\n", [(b"{}", False), (b"{1}", True), (b"y", False)]),
    (b"event: error\n\ndata: y\n\n", [(b"", True), (b"y", False)]),
    (b"event: error\nevent: message\ndata: x\n\n", [(b"x", False)]),
    (b"error: x\n\ndata: y\n\n", [(b"x", True), (b"y", False)]),
    (b"error: x", [(b"x", True)]),
    (b"Error: x\n", [(b"x", True)]),
    (b"data: {}\nerror: x\n\n", [(b"{}", False), (b"x", True)]),
    (b"error: null\n\nerror:\n\nerror: {}\n\ndata: y\n\n", [(b"y", False)]),
    (b'{\n "a": 1,\n\n "b": [\n2]\n}\ndata: y\n\n', [(b'{\n "a": 1,\n "b": [\n2]\n}', False), (b"y", False)]),
    (b"data: [DONE]", [(b"[DONE]", False)]),
    (b"data: {}\ndata: [DONE]\n", [(b"{}", False), (b"[DONE]", False)]),
    (b"data: ping\ndata: {}\ndata:\ndata: {}\n", [(b"ping", False), (b"{}", False), (b"", False), (b"{}", False)]),
    (b"data: {\ndata: }\n\n", [(b"{\n}", False)]),
]


@pytest.mark.parametrize(("wire", "events"), NAMED)
def test_what_calls_itself_an_error_is_told_apart(wire: bytes, events: list[tuple[bytes, bool]]) -> None:
    """By the name of its event or the field it stands in, wherever the bytes are cut."""
    for at in range(len(wire) + 1):
        found = parsed(wire[:at], wire[at:])
        assert [(bytes(event), isinstance(event, ErrorEvent)) for event in found] == events


def test_a_line_that_is_nothing_of_all_this_is_kept() -> None:
    """So that whoever reads the stream can say what came instead."""
    parser = EventParser()

    assert parser.feed(b"<html>\n<body>\n") + parser.end() == []
    assert parser.other == b"<html>"


def test_comments_without_end_are_no_event() -> None:
    """Signs of life for hours fill nothing."""
    parser = EventParser()

    for _ in range(10):
        assert parser.feed(b": ping\n" * (MAX_EVENT_BYTES // 60)) == []
    assert parser.feed(b"data: x\n\n") == [b"x"]
