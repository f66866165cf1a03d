"""The bytes of a reply decide what it is, wherever a connection cuts them."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm.calling.reading import ReplyReader
from mollm.errors import LLMError, ProviderFailed
from mollm.types import Usage
from tests.calling.test_inband import ASK, piece, read_stream, whole, wire

WHOLE = whole({"usage": {"prompt_tokens": 7, "completion_tokens": 2}}, choices=True)
TEXT = "The answer is 1"
PIECES = [piece("The answer"), piece(" is 1"), piece("", "stop"), {"choices": [], "usage": WHOLE["usage"]}]
DONE = b"data: [DONE]\n\n"


def lines(*documents: Any, end: bytes = b"\n") -> bytes:
    """Newline-delimited JSON."""
    return b"".join(json.dumps(document).encode() + end for document in documents)


FORMS: dict[str, bytes] = {
    "events": wire(*PIECES),
    "events without an end": wire(*PIECES, end=b""),
    "the last without a blank line": wire(*PIECES)[:-2],
    "single line feeds": wire(*PIECES).replace(b"\n\n", b"\n"),
    "CRLF": wire(*PIECES).replace(b"\n", b"\r\n"),
    "CR": wire(*PIECES).replace(b"\n", b"\r"),
    "no space": wire(*PIECES).replace(b"data: ", b"data:"),
    "a byte order mark": b"\xef\xbb\xbf" + wire(*PIECES),
    "comments": b": hello\n\n" + wire(*PIECES).replace(b"\n\n", b"\n\n: ping\n\n"),
    "lines": lines(*PIECES),
    "lines and an end": lines(*PIECES) + b"[DONE]\n",
    "framed twice": wire(*PIECES).replace(b"data: ", b"data: data: "),
    "lists of one": wire(*([p] for p in PIECES)),
    "one document": json.dumps(WHOLE).encode(),
    "one document over several lines": json.dumps(WHOLE, indent=2).encode(),
    "one document with blank lines": json.dumps(WHOLE, indent=2).replace("\n", "\n\n").encode() + b"\n\n",
    "one document in an event": wire(WHOLE),
    "one document as text": json.dumps(json.dumps(WHOLE)).encode(),
    "spaces in front": b" \n\n" + json.dumps(WHOLE).encode(),
}
BETWEEN = [
    *(b"data: \n\n", b"data:\n\n", b"data: null\n\n", b"data: ping\n\n", b'data: "ping"\n\n', b"data: [PING]\n\n"),
    *(b"data: {}\n\n", b"data: []\n\n", b'data: ""\n\n', b"data: keep-alive\n\n", b": ping\n\n", b"\n\n\n"),
    *(b"event: ping\ndata: {}\n\n", b'event: ping\ndata: {"type": "ping"}\n\n', b"id: 7\nretry: 10\n\n"),
    *(b'data: {"choices": []}\n\n', b'data: {"object": "heartbeat"}\n\n', b"data: : OPENROUTER\n\n"),
]
ENDS = [
    *(b"data: [DONE]\n\n", b"data: [DONE] \n\n", b"data:[DONE]\n\n", b"data:  [DONE]\n\n", b'data: "[DONE]"\n\n'),
    *(b"data: DONE\n\n", b"data: [END]\n\n", b" data: [DONE]\n\n", b"Data: [DONE]\n\n"),
    *(b"data: [DONE]", b"data: [done]\n\n", b"event: done\ndata: [DONE]\n\n", b"data: [DONE]\r\n\r\n"),
]


@pytest.mark.parametrize("raw", FORMS.values(), ids=FORMS)
def test_a_reply_is_read_in_any_form_whether_a_stream_was_asked_for_or_not(raw: bytes) -> None:
    """As one completion, and as chunks, with the usage that came."""
    completion = ReplyReader({}).completion(raw, ASK)

    assert (completion.text, completion.finish_reason, completion.usage) == (TEXT, "stop", Usage(7, 2, 9))
    assert read_stream(raw) == (TEXT, None)


@pytest.mark.parametrize("raw", FORMS.values(), ids=FORMS)
def test_a_stream_cut_at_every_byte_gives_the_same(raw: bytes) -> None:
    """Byte for byte."""
    assert read_stream(raw, 1) == (TEXT, None)


@given(st.lists(st.sampled_from(BETWEEN), min_size=1, max_size=6), st.sampled_from(ENDS), st.integers(1, 200))
def test_what_keeps_a_connection_open_costs_nothing(between: list[bytes], end: bytes, size: int) -> None:
    """Any of it between any pieces, and any spelling of the end, which is believed without a finish reason."""
    parts = [wire(p, end=b"") for p in (piece("The answer"), piece(" is"), piece(" 1"))]
    raw = b"".join(part + between[n % len(between)] for n, part in enumerate(parts)) + b"".join(between)

    assert read_stream(raw + end, size) == (TEXT, None)
    assert read_stream(raw + end + b"\n\ndata: this is not read\n\n", size) == (TEXT, None)
    assert type(read_stream(raw, size)[1]) is ProviderFailed, "without it, the stream has broken off"


@given(st.sampled_from(["", None, "null", "NULL"]), st.integers(1, 200))
def test_a_stream_whose_finish_reasons_say_nothing_and_that_closes_has_broken_off(reason: Any, size: int) -> None:
    """An empty finish reason in every chunk is none."""
    text, error = read_stream(wire(piece("The dose", reason), piece(" is 5", reason), end=b""), size)

    assert text == "The dose is 5"
    assert isinstance(error, ProviderFailed)
    assert "in the middle" in str(error)


NONE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "the reply is empty"),
    "white space": (b" \n", "the reply is empty"),
    "a web page": (b"<!DOCTYPE html>\n<html><body>Log in</body></html>\n", "web page"),
    "XML": (b'<?xml version="1.0"?><Error><Code>x</Code></Error>', "web page"),
    "text": (b"upstream connect error or disconnect\n", "plain text"),
    "another document": (b'{"foo": 1}', "not a chat completion|before the answer|holds no choice"),
    "a number": (b"7", "not a chat completion|plain text"),
    "half a document": (json.dumps(WHOLE).encode()[:-3], "not JSON|not a chat completion"),
    "two documents": (json.dumps(WHOLE).encode() * 2, "not JSON|not a chat completion"),
    "a trailing comma": (b'{"choices": [],}', "not JSON|not a chat completion"),
    "a message that is none": (b'{"choices": [{"message": "x"}]}', "no message|not a chat completion"),
    "a choice that is none": (b'{"choices": [null]}', "no choice"),
    "choices that are none": (b'{"choices": 7}', "no choice"),
    "a list of two": (b"[{}, {}]", "not a chat completion"),
}


@pytest.mark.parametrize(("raw", "words"), NONE.values(), ids=NONE)
def test_what_is_no_reply_is_a_failure_that_says_what_came(raw: bytes, words: str) -> None:
    """Whether a stream was asked for or not; nothing of it is quoted."""
    with pytest.raises(ProviderFailed, match=words) as caught:
        ReplyReader({}).completion(raw, ASK)
    text, error = read_stream(raw)

    assert text == ""
    assert type(error) is ProviderFailed
    assert "Log in" not in f"{caught.value} {error}"


BROKEN: dict[str, bytes] = {
    "no JSON": wire(piece("Half"), end=b"data: {oops\n\n"),
    "text": wire(piece("Half"), end=b"data: backend died\n\n"),
    "text in JSON": wire(piece("Half"), "backend died"),
    "number": wire(piece("Half"), 7),
    "delta is text": wire(piece("Half"), {"choices": [{"delta": "x"}]}),
    "choice is null": wire(piece("Half"), {"choices": [None]}),
    "a whole message after a piece": wire(piece("Half"), WHOLE),
    "unknown reason": wire(piece("Half"), piece("", "never_heard_of")),
    "failed": wire(piece("Half"), piece("", "error")),
    "aborted": wire(piece("Half"), piece("", "abort")),
    "failed behind a gateway": wire(piece("Half"), piece("", "stop", native_finish_reason="MALFORMED_FUNCTION_CALL")),
    "SGLang": wire(piece("Half"), piece("", {"type": "abort", "message": "x", "status_code": 500})),  # type: ignore[arg-type] # as it is sent
    "cut off": wire(piece("Half"), end=b""),
    "cut off in an event": wire(piece("Half"), end=b'data: {"choices": [{"del'),
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
def test_a_stream_with_something_else_in_it_is_a_failure(raw: bytes) -> None:
    """What came before is there, and `[DONE]` makes no difference."""
    for size in (None, 1, 7):
        text, error = read_stream(raw, size)
        assert text == "Half"
        assert type(error) is ProviderFailed


def test_a_refusal_to_end_says_why() -> None:
    """The class of what SGLang reports as a finish reason is that of its status."""
    _, error = read_stream(wire(piece("Half"), piece("", {"type": "abort", "message": "x", "status_code": 429})))  # type: ignore[arg-type] # as it is sent

    assert isinstance(error, LLMError)
    assert error.kind == "rate_limited"


HUGE = 4_000_000
LONG: dict[str, bytes] = {
    "spaces": b" " * HUGE + b"x",
    "line feeds": b"{}" + b"\n" * HUGE + b"x",
    "quotes in an event": b"data: " + b'"' * HUGE + b"x\n\n",
    "spaces in an event": b"data: (" + b" " * HUGE + b"x\n\n",
    "colons": b":" * HUGE,
    "braces": b"{" * HUGE + b"}\n",
    "an error in an error": b'{"error":' * 900 + b"1" + b"}" * 900,
    "text in an error": json.dumps({"error": {"message": "x " * HUGE}}).encode(),
    "a long reason": json.dumps({"choices": [{"message": {}, "finish_reason": "aB" * HUGE}]}).encode(),
}


@pytest.mark.parametrize("raw", LONG.values(), ids=LONG)
def test_no_reply_takes_longer_than_its_length_deserves(raw: bytes) -> None:
    """Megabytes of anything are refused in a moment: nobody else waits meanwhile."""
    begun = time.process_time()
    with pytest.raises(LLMError):
        ReplyReader({}).completion(raw, ASK)
    assert isinstance(read_stream(raw)[1], LLMError)
    assert time.process_time() - begun < 5
