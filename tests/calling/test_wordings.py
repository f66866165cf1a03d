"""What the words of providers mean, in every shape in which they come."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mollm.calling.said import READ_AT_MOST
from mollm.calling.translate import from_status, translate
from mollm.calling.wordings import MAX_TOKENS_TOO_LARGE
from mollm.errors import BadRequest, ContextTooLong, LLMError, ProviderFailed, QuotaExceeded, RateLimited

if TYPE_CHECKING:
    from collections.abc import Iterator

SAYINGS = [json.loads(line) for line in (Path(__file__).parents[1] / "data/sayings.jsonl").read_text().splitlines()]
"""What providers and servers say, with the status it comes with, and numbers of our own."""


def meaning(what: str) -> pytest.MarkDecorator:
    """All of them that mean this."""
    found = [(saying["status"], saying["said"]) for saying in SAYINGS if saying["means"] == what]
    return pytest.mark.parametrize(("status", "said"), found, ids=[f"{status} {said}"[:70] for status, said in found])


def in_every_shape(status: int, text: str) -> Iterator[LLMError]:
    """What a sentence becomes in each of the shapes in which servers put one into a body."""
    shapes: list[Any] = [
        {"error": {"message": text, "type": "x", "param": None, "code": None}},
        {"object": "error", "message": text, "code": status},
        {"error": text},
        {"detail": text},
        {"detail": [{"type": "value_error", "loc": ["body"], "msg": text}]},
        [{"error": {"code": status, "message": text, "status": "INVALID_ARGUMENT"}}],
        {"error": {"message": "Provider returned error", "metadata": {"raw": json.dumps({"message": text})}}},
    ]
    for body in (*(json.dumps(shape).encode() for shape in shapes), text.encode()):
        yield from_status(status, {}, body, "m")


def of_sdk(status: int, text: str) -> LLMError:
    """What the openai SDK's error becomes."""
    import httpx
    import openai

    request = httpx.Request("POST", "http://127.0.0.1/v1/chat/completions")
    response: Any = httpx.Response(status, request=request)
    return translate(openai.APIStatusError(text, response=response, body={"message": text}), "m")


@meaning("too long")
def test_messages_that_do_not_fit_are_told_by_their_words(status: int, said: str) -> None:
    """Whatever the status and the shape, and the same request is never sent again."""
    found = [*in_every_shape(status, said), of_sdk(status, said)]

    assert {type(error) for error in found} == {ContextTooLong}
    assert not any(error.is_retryable or error.trips_breaker for error in found)


@meaning("reply too long")
def test_a_reply_that_may_not_be_so_long_is_not_blamed_on_the_messages(status: int, said: str) -> None:
    """The message names the key to change."""
    found = [*in_every_shape(status, said), of_sdk(status, said)]

    assert {(type(error), error.code) for error in found} == {(BadRequest, MAX_TOKENS_TOO_LARGE)}
    assert all("`max_tokens`" in error.message and "lower" in error.message for error in found)


@meaning("neither")
def test_other_limits_are_not_taken_for_the_window(status: int, said: str) -> None:
    """Rates, images, names, time."""
    for error in [*in_every_shape(status, said), of_sdk(status, said)]:
        assert not isinstance(error, ContextTooLong | QuotaExceeded)
        assert error.code != MAX_TOKENS_TOO_LARGE
        assert isinstance(error, RateLimited) == (status == 429)


@meaning("spent")
def test_an_account_that_is_used_up_is_not_asked_again(status: int, said: dict[str, Any]) -> None:
    """And what is said is that, not that there were too many requests."""
    error = from_status(status, {}, json.dumps({"error": said}).encode(), "m")

    assert type(error) is QuotaExceeded
    assert (error.kind, error.is_retryable) == ("quota", False)
    assert "too many requests" not in error.message
    assert any(word in error.message for word in ("quota", "credit"))


@meaning("passing")
def test_a_limit_of_a_minute_passes(status: int, said: dict[str, Any]) -> None:
    """Although some of it speaks of quotas, plans and billing."""
    error = from_status(status, {}, json.dumps({"error": said}).encode(), "m")

    assert type(error) is RateLimited
    assert error.is_retryable


@pytest.mark.parametrize(
    "echo",
    [
        {"detail": [{"type": "missing", "loc": ["body", "x"], "msg": "Field required", "input": "prompt is too long"}]},
        {"error": {"message": "invalid", "input": {"messages": "insufficient_quota, the prompt is too long"}}},
        {"error": {"message": "invalid", "failed_generation": "exceeds the context window"}},
    ],
)
def test_what_an_error_repeats_of_the_request_means_nothing(echo: dict[str, Any]) -> None:
    """A user who writes about context windows has not exceeded one."""
    assert type(from_status(422, {}, json.dumps(echo).encode(), "m")) is BadRequest


@pytest.mark.parametrize(
    "word",
    ["prompt is ", "input exceeds ", "max_tokens ", "context ", "1 tokens in the messages ", "retry ", "a=", "-"],
)
@pytest.mark.parametrize("status", [400, 429])
def test_a_long_body_is_read_in_no_time(word: str, status: int) -> None:
    """One that begins to say everything and says nothing; the event loop waits meanwhile."""
    body = (word * (READ_AT_MOST // len(word)))[:READ_AT_MOST].encode()

    began = time.process_time()
    from_status(status, {}, body, "m")

    assert time.process_time() - began < 0.25


def test_a_failure_of_the_server_stays_one() -> None:
    """Where nothing else is said."""
    assert {type(error) for error in in_every_shape(500, "Internal server error")} == {ProviderFailed}
