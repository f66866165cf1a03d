"""How long a provider asks to be left alone."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm.calling.translate import from_status
from mollm.calling.waits import LONGEST_WAIT, wait_of

if TYPE_CHECKING:
    from collections.abc import Mapping


def waits(headers: Mapping[str, str], body: Any = None, status: int = 429) -> float | None:
    """The seconds that an answer asks for."""
    return from_status(status, headers, json.dumps(body).encode() if body else b"", "m").retry_after_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Please try again in 20s. Visit us.", 20.0),
        ("Please try again in 1m30s.", 90.0),
        ("Please try again in 7m12.5s.", 432.5),
        ("Please try again in 450ms.", 0.45),
        ("try again in 1h2m3s", 3723.0),
        ("Please retry after 13 seconds.", 13.0),
        ("Please retry in 12.345s.", 12.345),
        ("Please wait 30 seconds before retrying.", 30.0),
        ("Retry your request after 2 minutes", 120.0),
        ("try again in 1 minute and 5 seconds", 65.0),
        ("Try again in 5.", 5.0),
        ("Please try again later", None),
        ("try again in a few seconds", None),
        ("limit 20s, 1m30s", None),
        (f"try again in {'9' * 30}s", None),
        ("try again in 99999999d", None),
        ("try again in -5s", None),
    ],
)
def test_the_wait_in_a_sentence_is_read(text: str, seconds: float | None) -> None:
    """In units of any length, and never beyond a month."""
    assert waits({}, {"error": {"message": text}}) == (pytest.approx(seconds) if seconds is not None else None)


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "12s"}]}, 12.0),
        ({"details": [{"retryDelay": "0.5s"}]}, 0.5),
        ({"retry_after": 5}, 5.0),
        ({"retry_after": "5"}, 5.0),
        ({"retryAfter": 5}, 5.0),
        ({"retry_after_seconds": 2.5}, 2.5),
        ({"retry_after_ms": 250}, 0.25),
        ({"metadata": {"retry_after": 7}}, 7.0),
        ({"retry_after": None}, None),
        ({"retry_after": -1}, None),
        ({"retry_after": "nan"}, None),
        ({"retry_after": 1e300}, None),
    ],
)
def test_the_wait_in_a_field_is_read(fields: dict[str, Any], seconds: float | None) -> None:
    """Wherever in the error it stands."""
    assert waits({}, {"error": {"message": "slow down", **fields}}) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-reset-requests": "1s"}, 1.0),
        ({"X-RateLimit-Reset-Tokens": "6m0s"}, 360.0),
        ({"x-ratelimit-reset-tokens": "88ms"}, 0.088),
        ({"x-ratelimit-reset": "30"}, 30.0),
        ({"ratelimit-reset": "30"}, 30.0),
        ({"x-ratelimit-reset-tokens-minute": "11.5"}, 11.5),
        (
            {
                "x-ratelimit-remaining-requests": "5",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "20s",
            },
            20.0,
        ),
        ({"x-ratelimit-reset-requests": "24h", "x-ratelimit-reset-tokens": "20s"}, 20.0),
        ({"retry-after": "2", "x-ratelimit-reset": "30"}, 2.0),
        ({"x-ratelimit-reset": "soon"}, None),
        ({"x-ratelimit-reset": "-3"}, None),
        ({"x-ratelimit-reset": "1"}, 1.0),
        ({"x-ratelimit-reset": "1000000001"}, None),
        ({"x-ratelimit-reset": "9" * 20}, None),
        ({"x-ratelimit-reset": "2015-10-21T07:28:00Z"}, None),
        ({"x-ratelimit-limit-requests": "60"}, None),
    ],
)
def test_when_a_limit_starts_anew_is_read(headers: Mapping[str, str], seconds: float | None) -> None:
    """The limit that is used up counts where that is told, and `Retry-After` before all of them."""
    assert waits(headers) == (pytest.approx(seconds) if seconds is not None else None)


@pytest.mark.parametrize("form", ["seconds", "milliseconds", "RFC 3339", "RFC 3339 with offset", "HTTP"])
def test_a_limit_may_start_anew_at_a_point_in_time(form: str) -> None:
    """Which counts from now."""
    then = datetime.now(UTC) + timedelta(seconds=90)
    value = {
        "seconds": str(int(then.timestamp())),
        "milliseconds": str(int(then.timestamp() * 1000)),
        "RFC 3339": then.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "RFC 3339 with offset": then.isoformat(),
        "HTTP": format_datetime(then, usegmt=False),
    }[form]

    for name in ("x-ratelimit-reset", "anthropic-ratelimit-input-tokens-reset"):
        seconds = waits({name: value})

        assert seconds is not None
        assert 85 < seconds <= 90


def test_a_limit_that_is_not_reached_asks_for_nothing() -> None:
    """Every answer of some providers tells when its limits start anew; a failure of the server has other reasons."""
    reset = {"x-ratelimit-reset-requests": "60s"}

    assert waits(reset, status=500) is None
    assert waits({**reset, "x-ratelimit-remaining-requests": "0"}, status=500) == 60.0
    assert waits(reset, status=503) == 60.0
    assert waits({"retry-after": "4"}, {"error": {"message": "try again in 20s"}}) == 4.0


def test_a_request_that_is_wrong_has_no_wait() -> None:
    """Its words may speak of seconds, but no second try would help."""
    assert waits({}, {"error": {"message": "do not retry after 5 seconds"}}, status=400) is None


names = st.sampled_from(
    ["retry-after", "retry-after-ms", "x-ratelimit-reset", "x-ratelimit-reset-tokens", "x-ratelimit-remaining-tokens"]
)
values = st.one_of(
    st.text(max_size=30),
    st.floats().map(str),
    st.integers().map(str),
    st.from_regex(r"[0-9]{0,12}(ms|s|m|h|d)?([0-9]{1,12}s)?", fullmatch=True),
    st.datetimes().map(lambda then: f"{then.isoformat()}Z"),
)


@given(st.dictionaries(names, values), st.lists(values).map(" try again in ".join), st.sampled_from([429, 503, 500]))
def test_whatever_is_said_no_wait_is_absurd(headers: dict[str, str], text: str, status: int) -> None:
    """Between nothing and a month."""
    seconds = wait_of(headers, text.lower(), status)

    assert seconds is None or 0 <= seconds <= LONGEST_WAIT


def test_a_long_text_is_read_in_no_time() -> None:
    """One that is all numbers."""
    began = time.process_time()
    wait_of({}, "try again in 1m1 " * 5000 + "1" * 50_000, 429)

    assert time.process_time() - began < 0.25
