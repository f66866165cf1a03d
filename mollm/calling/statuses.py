"""The HTTP status of an error that came without one, inside a success or a stream: by its names, or else its words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAMES: tuple[tuple[re.Pattern[str], int], ...] = (
    (re.compile("insufficient_?(?:account_)?(?:quota|balance|credits?|funds)|payment|billing|arrearage"), 402),
    (re.compile("rate_?limit|too_?many_?requests|throttl|resource_?exhausted|rate_?quota|concurrency"), 429),
    (re.compile("unauthenticated|authenticat|unauthori[sz]ed"), 401),
    (re.compile("(?:invalid|incorrect|missing|expired)_?(?:access_?)?(?:api_?)?(?:key|credentials?)"), 401),
    (re.compile("permission|forbidden|access_?denied"), 403),
    (re.compile("not_?found"), 404),
    (re.compile("time(?:d_)?_?out|deadline_?exceeded"), 408),
    (re.compile("overload"), 529),
    (re.compile("bad_?request|invalid_?(?:request|argument|parameter)|unprocessable"), 400),
)
"""Codes and types, as `_plain` writes them, to what they stand for; the first that is found counts."""

_WORDS: tuple[tuple[re.Pattern[str], int], ...] = (
    (
        re.compile(
            r"\brate[ _-]?limit(?:s|ed|ing)?\b|\brate exceeded\b|too many (?:concurrent )?requests|\bthrottl"
            r"|\b(?:requests|tokens) per (?:minute|second|hour)|\bquota exceeded"
            r"|请求(?:过于)?频繁|并发(?:数)?(?:过高|超)"
        ),
        429,
    ),
    (
        re.compile(
            r"\bunauthori[sz]ed\b|\bunauthenticated\b|\bauthentication (?:error|fail\w*|required)"
            r"|\bno auth(?:entication)? credentials|\bnot authenticated\b|\bfailed to authenticate\b"
            r"|\b(?:invalid|incorrect|wrong|missing|expired|no)[ _](?:or missing )?(?:access )?api[ _-]?(?:key|token)"
            r"|\bapi[ _-]?key (?:is |was )?(?:not (?:valid|found|provided)|invalid|missing|incorrect|expired|required)"
            r"|\b(?:invalid|expired|missing) (?:bearer token|access token|credentials?|authentication)\b"
        ),
        401,
    ),
    (re.compile(r"\bpermission denied\b|\baccess denied\b|\bforbidden\b"), 403),
    (re.compile(r"\btimed[ -]out\b|\b(?:request|gateway|upstream|read|connection) timeout\b|deadline exceeded"), 408),
)
_GIVEN = re.compile(r"(?:http)?[ _-]?(?:error|status)?[ _-]?(?:code)?[ _:-]{0,2}([45][0-9]{2})(?:\.0)?", re.IGNORECASE)


def status_given(code: Any) -> int | None:
    """Read an HTTP status: a number, or text such as `429` or `HTTP 429`."""
    if isinstance(code, bool) or not isinstance(code, int | float | str):
        return None
    text = str(code)
    found = _GIVEN.fullmatch(text.strip()) if len(text) < 32 else None
    return int(found[1]) if found else None


def status_said(names: Iterable[str], words: str) -> int | None:
    """Find the status that an error stands for.

    Args:
        names: Its code and its type.
        words: All that it says, in lower case.

    Returns:
        None where nothing tells: an upstream that failed.
    """
    named = next((status for name in names if (status := _of(_NAMES, _plain(name)))), None)
    # Many providers call every error an invalid request.
    return named if named not in (None, 400) else _of(_WORDS, words) or named


def _of(table: tuple[tuple[re.Pattern[str], int], ...], text: str) -> int | None:
    return next((status for pattern, status in table if pattern.search(text)), None)


def _plain(name: str) -> str:
    """Write `RateLimitExceeded`, `rate-limit.exceeded` and `RATE_LIMIT_EXCEEDED` in one way."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", "_", name[:200]).lower()
