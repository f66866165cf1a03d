"""Errors inside a success, in every shape in which providers write them, and what is none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mollm.calling.base import Request
from mollm.calling.reading import ReplyReader
from mollm.errors import (
    AuthFailed,
    BadRequest,
    ContextTooLong,
    LLMError,
    ProviderFailed,
    QuotaExceeded,
    RateLimited,
    Refused,
    TimedOut,
)

ASK = Request([{"role": "user", "content": "Hi"}])
TEXT = "the request exceeds the available context size"
NESTED = json.dumps({"error": {"code": 429, "message": "slow down"}})
SHAPES: dict[str, tuple[Any, type[LLMError]]] = {
    "code": ({"error": {"code": 429}}, RateLimited),
    "code as text": ({"error": {"code": "429", "message": "x"}}, RateLimited),
    "type": ({"error": {"message": "x", "type": "rate_limit_error"}}, RateLimited),
    "anthropic": ({"type": "error", "error": {"type": "rate_limit_error", "message": "x"}}, RateLimited),
    "status": ({"error": {"status": 429, "message": "x"}}, RateLimited),
    "status_code": ({"error": {"message": "x", "status_code": 401}}, AuthFailed),
    "text": ({"error": TEXT}, ContextTooLong),
    "empty code": ({"error": {"message": TEXT, "type": "", "param": "", "code": ""}}, ContextTooLong),
    "code 0 and words": ({"error": {"code": 0, "message": TEXT}}, ContextTooLong),
    "Groq": ({"x_groq": {"id": "1", "error": TEXT}}, ContextTooLong),
    "its message": ({"error_message": TEXT}, ContextTooLong),
    "words": ({"error": {"message": "CUDA out of memory"}}, ProviderFailed),
    "true": ({"error": True}, ProviderFailed),
    "errors": ({"errors": [{"message": TEXT}]}, ContextTooLong),
    "list": ([{"error": {"code": 400, "message": "x", "status": "INVALID_ARGUMENT"}}], BadRequest),
    "vLLM": ({"object": "error", "message": "x", "code": 400}, BadRequest),
    "SGLang": ({"object": "error", "message": TEXT, "type": "BadRequest", "param": None, "code": 400}, ContextTooLong),
    "FastAPI": ({"detail": "CUDA out of memory"}, ProviderFailed),
    "FastAPI's list": ({"detail": [{"loc": ["body"], "msg": TEXT}]}, ContextTooLong),
    "FastChat": ({"text": "**NETWORK ERROR**", "error_code": 50001}, ProviderFailed),
    "code and message": ({"code": "InternalError", "message": "backend died"}, ProviderFailed),
    "code and msg": ({"code": 1301, "msg": "x"}, ProviderFailed),
    "code and msg of HTTP": ({"code": 401, "msg": "x", "success": False}, AuthFailed),
    "gateway": ({"message": "Internal server error"}, ProviderFailed),
    "status word": ({"status": "error", "message": TEXT}, ContextTooLong),
    "status number": ({"timestamp": "x", "status": 503, "error": "Service Unavailable", "path": "/"}, ProviderFailed),
    "not a success": ({"success": False, "message": "x"}, ProviderFailed),
    "MiniMax": ({"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, RateLimited),
    "MiniMax's timeout": ({"base_resp": {"status_code": 1001, "status_msg": "x"}}, TimedOut),
    "MiniMax's filter": ({"base_resp": {"status_code": 1026, "status_msg": "x"}}, Refused),
    "Baidu": ({"error_code": 17, "error_msg": "daily limit"}, QuotaExceeded),
    "nested text": ({"error": {"message": NESTED}}, RateLimited),
    "nested twice": ({"error": json.dumps({"message": NESTED, "code": 500})}, RateLimited),
    "text in a text": (NESTED, RateLimited),
    "OpenRouter": (
        {"error": {"message": "Provider returned error", "code": 502, "metadata": {"raw": NESTED}}},
        RateLimited,
    ),
    "filter": ({"error": {"code": "content_filter", "message": "x"}}, Refused),
    "filter inside": (
        {"error": {"code": 400, "message": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
        Refused,
    ),
    **{
        f"{code!r} of HTTP": ({"error": {"code": code}}, RateLimited)
        for code in (429.0, " 429 ", "HTTP 429", "http_429")
    },
    **{f"{key} of HTTP": ({"error": {key: 429, "message": "x"}}, RateLimited) for key in ("http_code", "httpStatus")},
}
NAMES: dict[type[LLMError], tuple[str, ...]] = {
    RateLimited: (
        *("RateLimitExceeded", "RATE_LIMIT_EXCEEDED", "rate-limit-exceeded", "RateLimitError", "RESOURCE_EXHAUSTED"),
        *("too_many_requests", "TooManyRequestsException", "Throttling.RateQuota", "ThrottlingException"),
    ),
    QuotaExceeded: ("insufficient_quota", "InsufficientBalance", "billing_error", "payment_required"),
    AuthFailed: (
        *("AuthenticationError", "UNAUTHENTICATED", "Unauthorized", "InvalidApiKey", "invalid_api_key"),
        *("PERMISSION_DENIED", "permission_error", "AccessDenied.Unpurchased"),
    ),
    TimedOut: ("timeout", "DEADLINE_EXCEEDED", "RequestTimeOut", "APITimeoutError"),
    BadRequest: ("BadRequestError", "INVALID_ARGUMENT", "invalid_request_error", "model_not_found", "NotFoundError"),
    ProviderFailed: ("InternalError", "server_error", "overloaded_error", "UNAVAILABLE", "ModelNotReadyException"),
}
WORDS: dict[type[LLMError], tuple[str, ...]] = {
    RateLimited: (
        *(
            "Rate limit reached for m in organization o",
            "rate limit exceeded",
            "Too Many Requests",
            "You are rate limited",
        ),
        *("Rate exceeded", "Limit: 20 requests per minute", "Request was throttled.", "请求过于频繁, 请稍后再试"),
    ),
    QuotaExceeded: (
        "You exceeded your current quota, please check your plan and billing details.",
        "Insufficient credits",
        *("Quota exhausted", "daily quota exceeded", "Your trial has ended", "Key limit exceeded (total limit)"),
    ),
    AuthFailed: (
        *("Incorrect API key provided: sk-12***", "invalid api key", "Unauthorized", "API key not valid.", "Forbidden"),
        *("Authentication error", "No auth credentials found", "Permission denied on resource"),
    ),
    TimedOut: ("Request timed out.", "upstream timeout", "context deadline exceeded"),
    ContextTooLong: (TEXT,),
    ProviderFailed: (
        "CUDA out of memory",
        "the timeout is 5 s",
        "key not in cache",
        "no limit",
        "an author was not found",
    ),
}
HARMLESS: list[dict[str, Any]] = [
    {"error": None},
    {"error": {}},
    {"error": ""},
    {"error": False},
    {"error": []},
    {"error": {"code": None, "message": None}},
    {"error": {"code": 0, "message": ""}},
    {"error": {"code": 200, "message": "success"}},
    {"errors": []},
    {"code": 0},
    {"code": 0, "msg": "success"},
    {"code": 200, "message": "OK"},
    {"code": "200"},
    {"status": "success"},
    {"status": "completed"},
    {"status": 200},
    {"success": True},
    {"x_groq": {"id": "1", "usage": {"total_tokens": 1}}},
    {"error_message": ""},
    {"error": {"code": "", "message": "", "type": None}},
    {"error_code": 0, "error_msg": ""},
    {"base_resp": {"status_code": 0, "status_msg": ""}},
    {"detail": None},
    {"type": "chat.completion"},
]


def whole(extra: Any, *, choices: bool = False) -> Any:
    """A body that holds an error, beside an answer or without one."""
    if not choices:
        return extra
    choice = {"index": 0, "message": {"role": "assistant", "content": "The answer is 1"}, "finish_reason": "stop"}
    return {"id": "1", "object": "chat.completion", "choices": [choice], **extra}


def piece(text: str, reason: str | None = None, **beside: Any) -> dict[str, Any]:
    """One chunk of a stream."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason, **beside}
    return {"id": "1", "object": "chat.completion.chunk", "choices": [choice]}


def wire(*documents: Any, end: bytes = b"data: [DONE]\n\n") -> bytes:
    """A stream of events."""
    return b"".join(b"data: " + json.dumps(d).encode() + b"\n\n" for d in documents) + end


def read_stream(raw: bytes, size: int | None = None) -> tuple[str, LLMError | None]:
    """The text that came of a stream, and the failure in which it ended."""
    reader, text = ReplyReader({}), ""
    pieces = [raw[at : at + (size or len(raw))] for at in range(0, len(raw), size or len(raw) or 1)]
    try:
        for received in pieces:
            for data in reader.events(received):
                if (chunk := reader.chunk(data)) is not None:
                    text += chunk.text
                elif reader.is_done:
                    break
            if reader.is_done:
                break
        for chunk in reader.end():
            text += chunk.text
    except LLMError as error:
        return text, error
    return text, None


def test_an_answer_that_calls_itself_an_error_is_one() -> None:
    """Although no field beside it says more, whole and in a stream."""
    answer = whole({"object": "error"}, choices=True)

    with pytest.raises(ProviderFailed):
        ReplyReader({}).completion(json.dumps(answer).encode(), ASK)
    assert isinstance(read_stream(wire(piece("4"), {**piece("2", "stop"), "object": "error"}))[1], ProviderFailed)


@pytest.mark.parametrize("key", ["code", "type", "status", "__type"])
@pytest.mark.parametrize(("name", "kind"), [(name, kind) for kind, names in NAMES.items() for name in names])
def test_the_name_of_an_error_tells_its_class_in_any_spelling(name: str, kind: type[LLMError], key: str) -> None:
    """Where no HTTP status does."""
    for said in ({"error": {key: name, "message": "x"}}, {"error": {key: name}}):
        with pytest.raises(kind) as caught:
            ReplyReader({}).completion(json.dumps(said).encode(), ASK)
        assert caught.type is kind


@pytest.mark.parametrize("type_", [None, "", "invalid_request_error"])
@pytest.mark.parametrize(("words", "kind"), [(words, kind) for kind, all_ in WORDS.items() for words in all_])
def test_the_words_of_an_error_tell_its_class(words: str, kind: type[LLMError], type_: str | None) -> None:
    """Where neither a status nor a name does; many providers call every error an invalid request."""
    expected = BadRequest if type_ and kind is ProviderFailed else kind
    for said in ({"message": words}, {"message": words, "type": type_, "param": None, "code": None}):
        error = read_stream(wire(piece("Half"), {"error": said}))[1]
        assert type(error) is (expected if "type" in said else kind)
    error = read_stream(wire(piece("Half"), {"error": words}))[1]
    assert type(error) is kind


@pytest.mark.parametrize(("said", "kind"), SHAPES.values(), ids=SHAPES)
def test_an_error_in_the_body_of_a_success_is_the_error_it_is(said: Any, kind: type[LLMError]) -> None:
    """Alone, beside an empty list of choices, and beside a whole answer."""
    bodies = [said]
    if isinstance(said, dict):
        bodies.append({**said, "choices": []})
        if not set(said) <= {"detail", "message"} | {"text"}:
            bodies.append(whole(said, choices=True))
    for body in bodies:
        with pytest.raises(kind) as caught:
            ReplyReader({}).completion(json.dumps(body).encode(), ASK)
        assert caught.type is kind, body


@pytest.mark.parametrize(("said", "kind"), SHAPES.values(), ids=SHAPES)
def test_an_error_in_a_stream_is_the_error_it_is(said: Any, kind: type[LLMError]) -> None:
    """As an event, after a finish reason, as a named event, as a field, and as a line without any field."""
    raw = json.dumps(said).encode()
    streams = {
        "event": wire(piece("Half"), said),
        "after the end": wire(piece("Half"), piece("", "stop"), said),
        "named": wire(piece("Half"), end=b"event: error\ndata: " + raw + b"\n\ndata: [DONE]\n\n"),
        "named after": wire(piece("Half"), end=b"data: " + raw + b"\nevent: error\n\ndata: [DONE]\n\n"),
        "field": wire(piece("Half"), end=b"error: " + raw + b"\n\ndata: [DONE]\n\n"),
        "last, cut off": wire(piece("Half"), end=b"data: " + raw),
    }
    if not isinstance(said, str):
        streams["bare"] = wire(piece("Half"), end=raw + b"\n\ndata: [DONE]\n\n")
        streams["bare, over several lines"] = wire(piece("Half"), end=json.dumps(said, indent=2).encode())
    for name, stream in streams.items():
        text, error = read_stream(stream)
        assert (text, type(error)) == ("Half", kind), name


@pytest.mark.parametrize("place", ["choice", "message"])
@pytest.mark.parametrize(("said", "kind"), [(s, k) for s, k in SHAPES.values() if isinstance(s, dict) and "error" in s])
def test_an_error_in_a_choice_or_a_message_is_the_error_it_is(said: Any, kind: type[LLMError], place: str) -> None:
    """With the text that it got to before, which counts for nothing."""
    error = {"error": said["error"]}
    message = {"role": "assistant", "content": "The answer is 1", **(error if place == "message" else {})}
    choice = {"index": 0, "finish_reason": "error", **(error if place == "choice" else {})}
    with pytest.raises(LLMError) as caught:
        ReplyReader({}).completion(json.dumps({"choices": [{**choice, "message": message}]}).encode(), ASK)
    _, streamed = read_stream(wire(piece("Half"), {"choices": [{**choice, "delta": message}]}))

    if place == "choice" or not {"type", "status"} & set(said):  # what stands beside `error` is not in it
        assert {caught.type, type(streamed)} <= {kind, ProviderFailed}
    assert caught.type is type(streamed)


@pytest.mark.parametrize("said", HARMLESS, ids=str)
def test_what_says_that_there_is_no_error_is_none(said: dict[str, Any]) -> None:
    """Fields that are there and empty, or say that all is well, cost no answer."""
    completion = ReplyReader({}).completion(json.dumps(whole(said, choices=True)).encode(), ASK)
    text, error = read_stream(wire({**piece("The answer"), **said}, {**piece(" is 1", "stop"), **said}))
    beside, error_beside = read_stream(wire(piece("The answer is 1"), said, piece("", "stop")))

    assert completion.text == text == beside == "The answer is 1"
    assert error is error_beside is None


@pytest.mark.parametrize("name", ["error", "Error", "stream_error", "response.failed", "chat.error", "exception"])
def test_an_event_that_calls_itself_an_error_is_one_whatever_it_says(name: str) -> None:
    """Text, nothing, or an object without a known field."""
    for data in (b"data: backend died\n", b"data: {}\n", b"data: null\n", b"", b'data: {"foo": 1}\n'):
        text, error = read_stream(wire(piece("Half"), end=f"event: {name}\n".encode() + data + b"\ndata: [DONE]\n\n"))
        assert (text, type(error)) == ("Half", ProviderFailed), data


@pytest.mark.parametrize("name", ["message", "completion.chunk", "ping", "result", "data", "add", "delta"])
def test_other_names_of_events_change_nothing(name: str) -> None:
    """Only the data counts."""
    named = f"event: {name}\n".encode()
    stream = named + wire(piece("Four."), end=b"") + named + b'data: {"type": "ping"}\n\n' + named
    text, error = read_stream(stream + wire(piece("", "stop")))

    assert (text, error) == ("Four.", None)


def test_done_makes_no_answer_of_a_stream_in_which_something_was_not_understood() -> None:
    """Without a finish reason `[DONE]` is the only sign of an end, and it is no longer believed."""
    believed = read_stream(wire(piece("Four.")))
    odd = read_stream(wire(piece("Four."), {"foo": 1}))
    line = read_stream(wire(piece("Four."), end=b"upstream gave up\n\ndata: [DONE]\n\n"))
    finished = read_stream(wire(piece("Four."), {"foo": 1}, piece("", "stop")))

    assert believed == finished == ("Four.", None)
    assert type(odd[1]) is type(line[1]) is ProviderFailed
