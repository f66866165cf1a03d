"""How long a provider asks to be left alone, wherever it says so: a header, its body, or when its limit starts anew."""

from __future__ import annotations

import math
import re
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_WAIT = 31 * 86_400.0
"""Seconds; what is read as longer than a month was not a time."""

_LIMITED = (429, 503)
"""Statuses with which a limit is reached, whatever is said to remain of it."""

_UNIT = r"(?:ms|milliseconds?|msecs?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)"
_AMOUNT = rf"\d{{1,9}}(?:\.\d{{1,9}})?(?: ?{_UNIT}\b| ?{_UNIT}(?=\d))?"
_DURATION = re.compile(rf"{_AMOUNT}(?:(?:,? and |, | )?{_AMOUNT}){{0,3}}")
_PART = re.compile(rf"(\d+(?:\.\d+)?) ?({_UNIT})?")
_IN_WORDS = re.compile(
    r"(?:(?:try|retry|available|resets?|request)(?: \w+){0,3}? (?:in|after)"
    r"|retry[-_ ]?(?:delay|after|in)(?:[-_ ]?seconds)?|(?:please )?wait(?: (?:for|at least))?)"
    rf"[\"'`]?(?::| =|=)? ?[\"'`]?(?:about |approximately )?(?!\d+(?:\.\d+)?e[+-]?\d)({_DURATION.pattern})"
)
_IN_MILLISECONDS = re.compile(
    r"retry[-_]?after[-_]?(?:ms|millis(?:econds)?)[\"'`]?[:=] ?[\"'`]?(\d{1,12}(?:\.\d{1,9})?)\b"
)
_RESET = re.compile(r"(?:[a-z]+-)?rate-?limit(?:-[a-z0-9-]+)?-reset(?:-after)?(?:-[a-z0-9-]+)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def wait_of(headers: Mapping[str, str], text: str, status: int | None) -> float | None:
    """Seconds to wait before another call, 0 to 31 days; None where nothing tells.

    Args:
        headers: `Retry-After` wins; that a limit starts anew counts where nothing of it remains, or with 429 or 503.
        text: What the provider said, in lower case.
        status: Of the answer.
    """
    lower = {str(name).lower(): str(value).strip() for name, value in headers.items()}
    for wait in (_retry_after(lower), _in_words(text), _until_reset(lower, status)):
        if wait is not None:
            return wait
    return None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return _credible(milliseconds / 1000)
    value = headers.get("retry-after", "")
    seconds = _number(value)
    return _credible(_seconds_until(_http_date(value)) if seconds is None else seconds)


def _in_words(text: str) -> float | None:
    if found := _IN_MILLISECONDS.search(text):
        return _credible(float(found[1]) / 1000)
    found = _IN_WORDS.search(text)
    return _credible(_duration(found[1])) if found else None


def _until_reset(headers: Mapping[str, str], status: int | None) -> float | None:
    """Until what is used up may be used again; where that is not said, until anything may."""
    used_up: list[float] = []
    others: list[float] = []
    for name, value in headers.items():
        if "reset" in name and _RESET.fullmatch(name):
            wait = _credible(_time(value))
            remaining = _number(headers.get(name.replace("reset-after", "reset").replace("reset", "remaining"), ""))
            if wait is not None:
                (used_up if remaining == 0 else others).append(wait)
    if used_up:
        return max(used_up)
    return min(others, default=None) if status in _LIMITED else None


def _time(value: str) -> float | None:
    """Read `1s`, `6m0s`, `88ms`, seconds from now, a Unix time in seconds or milliseconds, or a date."""
    number = _number(value)
    if number is None:
        if _DURATION.fullmatch(value.lower()):
            return _duration(value.lower())
        return _seconds_until(_iso_date(value) or _http_date(value))
    if number < 1e9:
        return number
    wait = number / (1000 if number >= 1e11 else 1) - time.time()
    return wait if wait >= 0 else None


def _duration(text: str) -> float:
    return math.fsum(float(amount) * _SECONDS[_unit(unit)] for amount, unit in _PART.findall(text))


def _unit(name: str) -> str:
    if not name:
        return "s"
    return "ms" if name.startswith(("ms", "milli")) else name[0]


def _number(text: str) -> float | None:
    """Read a plain decimal number; a sign, an exponent, `nan`, `inf` and an overflow are none."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) or math.isinf(float(text)):
        return None
    return float(text)


def _http_date(text: str) -> datetime | None:
    try:
        then = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return then if then.tzinfo else then.replace(tzinfo=UTC)


def _iso_date(text: str) -> datetime | None:
    try:
        then = datetime.fromisoformat(text)
    except ValueError:
        return None
    return then if then.tzinfo else then.replace(tzinfo=UTC)


def _seconds_until(then: datetime | None) -> float | None:
    """Seconds from now; None for what is past."""
    if then is None:
        return None
    try:
        seconds = (then - datetime.now(UTC)).total_seconds()
    except OverflowError:
        return None
    return seconds if seconds >= 0 else None


def _credible(seconds: float | None) -> float | None:
    return seconds if seconds is not None and 0 <= seconds <= LONGEST_WAIT else None
