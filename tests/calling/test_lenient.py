"""JSON that is nearly JSON, and characters that a stream cut in two."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm.calling.lenient import LEAST_LOGPROB, Halves, read
from mollm.calling.reading import ReplyReader
from tests.calling.test_inband import ASK, piece, read_stream, wire

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\ufffd"), max_size=12).map(lambda t: f"{t}😀é")


def body(content: str) -> bytes:
    """A whole reply, its content as it is written in JSON."""
    return b'{"choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"%b"}}]}' % (
        content.encode("utf-8", "surrogateescape")
    )


def raw_piece(content: bytes, field: bytes = b"content") -> bytes:
    """An event with bytes in a field of its delta as they are."""
    return b'data: {"choices":[{"index":0,"delta":{"%b":"%b"},"finish_reason":null}]}\n\n' % (field, content)


FORGIVEN = [
    (b"\xef\xbb\xbf" + body("Four."), "Four."),
    (body("a\nb\tc\x00d"), "a\nb\tc\x00d"),
    (body("é").decode().encode("iso-8859-1"), "é"),
    ("Zürich “x” €".join(body("|").decode().split("|")).encode("cp1252"), "Zürich “x” €"),
    ("😀é".join(body("|").decode().split("|")).encode("utf-16"), "😀é"),
    (body(r"hi \ud83d\ude00"), "hi 😀"),
    (body(r"hi \ud83d"), "hi \ufffd"),
    (body(r"\ude00 hi \ud83d\ud83d\ude00"), "\ufffd hi \ufffd😀"),
    (body("hi \udcf0\udc9f"), "hi \ufffd"),
    (b"\xef\xbb\xbf" + body("x\n\udcf0\udc9f!\\ud83d"), "x\n\ufffd!\ufffd"),
]


@pytest.mark.parametrize(("raw", "text"), FORGIVEN)
def test_a_reply_that_is_nearly_json_is_read(raw: bytes, text: str) -> None:
    """And what comes of it can be written as JSON again, for those who read it strictly."""
    completion = ReplyReader({}).completion(raw, ASK)

    assert completion.text == text
    assert orjson.loads(orjson.dumps(completion.message))["content"] == text


def test_a_declared_charset_is_asked_where_the_bytes_are_no_utf_8() -> None:
    """The bytes decide: a wrong label costs nothing."""
    russian = "Привет".join(body("|").decode().split("|"))

    assert ReplyReader({}, "windows-1251").completion(russian.encode("cp1251"), ASK).text == "Привет"
    assert ReplyReader({}, "windows-1251").completion(russian.encode(), ASK).text == "Привет"
    assert ReplyReader({}, "iso-8859-1").completion(russian.encode(), ASK).text == "Привет"
    assert ReplyReader({}, "no-such-charset").completion(body("é"), ASK).text == "é"


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "-1e999", "1e999", "nan", "-nan", "-NaN", "inf", "-inf"]
)
def test_numbers_that_are_not_finite_become_numbers_that_clients_can_read(number: str) -> None:
    """Logprobs stay numbers; elsewhere there is none."""
    logprobs = '{"content":[{"token":"a","logprob":%s,"top_logprobs":[{"token":"a","logprob":%s}]}]}'.replace(
        "%s", number
    )
    raw = body("Four.").replace(b'"index":0', f'"index":0,"logprobs":{logprobs},"x":{number}'.encode())
    found = ReplyReader({}).completion(raw, ASK).logprobs

    assert found["content"][0]["logprob"] == found["content"][0]["top_logprobs"][0]["logprob"] == LEAST_LOGPROB
    assert b"null" not in orjson.dumps(found)
    assert read(b'{"x":%b}' % number.encode()) == {"x": None}


@pytest.mark.parametrize(
    "raw", [b"{'a': 1}", b'{"a":1,}', b'{"a":1} x', b'{"a":1}}', b"{", b'{"a":undefined}', b"[" * 100_000, b'{"a":"x]}']
)
def test_what_is_no_json_stays_none(raw: bytes) -> None:
    """Leniency ends where the meaning would be guessed."""
    with pytest.raises(ValueError):  # noqa: PT011 - of json, or ours
        read(raw)


@pytest.mark.parametrize("field", ["content", "reasoning_content"])
@given(text=TEXT, data=st.data())
def test_escaped_characters_cut_anywhere_are_whole_again(field: str, text: str, data: st.DataObject) -> None:
    """However a server cuts its text into UTF-16 units, nothing is lost and nothing is invented."""
    units = [json.dumps(c)[1:-1] for c in text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")]
    atoms = [atom for unit in units for atom in (unit.replace("\\u", "\0\\u").lstrip("\0").split("\0"))]
    cuts = data.draw(st.sets(st.integers(1, max(1, len(atoms) - 1))))
    joined = ["".join(atoms[a:b]) for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), len(atoms)], strict=True)]

    assert streamed_field([raw_piece(part.encode(), field.encode()) for part in joined], field) == text


@given(text=TEXT, data=st.data())
def test_bytes_of_characters_cut_anywhere_are_whole_again(text: str, data: st.DataObject) -> None:
    """The same for a server that cuts between the bytes of a character."""
    raw = json.dumps(text, ensure_ascii=False)[1:-1].replace("\\", "/").replace('/"', "'").encode()
    cuts = data.draw(st.sets(st.integers(1, len(raw) - 1)))
    parts = [raw[a:b] for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), len(raw)], strict=True)]

    assert streamed_field([raw_piece(part) for part in parts]) == raw.decode()


def streamed_field(pieces: list[bytes], field: str = "content") -> str:
    """What a reader makes of a field that comes in pieces."""
    reader, found = ReplyReader({}), ""
    for received in [*pieces, wire(piece("", "stop"))]:
        for data in reader.events(received):
            chunk = reader.chunk(data)
            found += (chunk.delta.get(field) or "") if chunk else ""
    return found + "".join(chunk.delta.get(field) or "" for chunk in reader.end())


HALVES: list[tuple[list[bytes], str]] = [
    ([b"hi \\ud83d", b"\\ude00!"], "hi 😀!"),
    ([b"hi \xf0\x9f", b"\x98\x80!"], "hi 😀!"),
    ([b"\xf0", b"\x9f", b"\x98", b"\x80"], "😀"),
    ([b"hi \\ud83d", b"", b"\\ude00!"], "hi 😀!"),
    ([b"hi \\ud83d", b"there"], "hi \ufffdthere"),
    ([b"hi \\ud83d"], "hi \ufffd"),
    ([b"hi \xf0\x9f"], "hi \ufffd"),
    ([b"\\ude00 hi"], "\ufffd hi"),
    ([b"caf\xe9", b" noir"], "café noir"),
    ([b"\\ud83d", b"\xf0\x9f", b"\x98\x80"], "\ufffd😀"),
]


@pytest.mark.parametrize(("pieces", "text"), HALVES)
def test_half_a_character_waits_for_the_other_half_and_no_longer(pieces: list[bytes], text: str) -> None:
    """What never gets it becomes U+FFFD, at the latest with the finish reason."""
    assert streamed_field([raw_piece(part) for part in pieces]) == text
    assert read_stream(b"".join(map(raw_piece, pieces)) + b"data: [DONE]\n\n") == (text, None)


def test_halves_wait_in_the_field_they_came_in() -> None:
    """Text, thoughts and the arguments of each tool call are put together apart."""
    halves = Halves()

    def call(index: int, arguments: str) -> dict[str, Any]:
        return {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}

    assert halves.join({"content": "a\ud83d", "reasoning_content": "b\ud83d"}) == {
        "content": "a",
        "reasoning_content": "b",
    }
    assert halves.join(call(0, "c\ud83d")) == call(0, "c")
    assert halves.join(call(1, "\ude00")) == call(1, "\ufffd")
    assert halves.join({"content": "\ude00"}) == {"content": "😀"}
    assert halves.join(call(0, "\ude01")) == call(0, "😁")
    assert halves.join(call(1, "d\ud83d")) == call(1, "d")
    last = halves.join({}, is_last=True)
    assert last == {"reasoning_content": "\ufffd", **call(1, "\ufffd")}
    assert not halves.are_held


def test_a_reply_full_of_bytes_that_are_no_utf_8_takes_no_longer() -> None:
    """What is done for each such byte is bounded."""
    raw = body("|").replace(b"|", b"\x93" * 4_000_000)

    assert len(ReplyReader({}).completion(raw, ASK).text) == 4_000_000
