"""Keys and passwords, by the shapes that those who issue them have given them.

Every expression reads a text once: it begins where a word does, and what it repeats is one class of characters with
nothing required behind it, or bounded.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ISSUED = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"sk-[A-Za-z0-9_-]{16,}"  # OpenAI, Anthropic, OpenRouter and those who copied them
    r"|[rsp]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/=]{16,}"  # Stripe
    r"|gh[oprsu]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}|glpat-[A-Za-z0-9_.-]{18,}"
    r"|A(?:KIA|SIA)[A-Z0-9]{16}(?![A-Za-z0-9])"  # AWS
    r"|AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,}"  # Google
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}"  # Slack
    r"|hf_[A-Za-z0-9]{30,}|gsk_[A-Za-z0-9]{30,}|xai-[A-Za-z0-9]{30,}|nvapi-[A-Za-z0-9_-]{30,}|r8_[A-Za-z0-9]{30,}"
    r"|pplx-[A-Za-z0-9]{30,}|lsv2_(?:pt|sk)_[A-Za-z0-9_]{30,}"
    r"|npm_[A-Za-z0-9]{36,}|pypi-[A-Za-z0-9_-]{32,}|dop_v1_[a-f0-9]{64}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"
    r"|SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,}|AGE-SECRET-KEY-1[A-Z0-9]{58}"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"  # JWT
    r")"
)
_SENT = re.compile(r"(?ai)(?<![A-Za-z0-9])(?:bearer|basic)[ \t]{1,3}([A-Za-z0-9._~+/=-]{12,})")
"""In a header of HTTP."""
_LOGIN = re.compile(r"(?<=://)[^\s/@:\"'<>|\[\]]{0,128}:[^\s/@\"'<>|\[\]]{1,256}(?=@)")
"""User and password in an address."""
_ASSIGNED = re.compile(r"(?:=>|[:=])[ \t]{0,3}[\\\"'`]{0,3}(?=([A-Za-z0-9_./+~!@#$%^&*-]{6,}={0,2}))")
_NAME = re.compile(
    r"(?ai)(?:(?:api|access|secret|auth|private|account|client)[_-]?(?:access[_-]?)?(?:key|token|secret)"
    r"|passwd|password|passphrase)[\\\"'`]{0,3}[ \t]{0,3}$"
)
_LONGEST_NAME = 48
"""Of what `AWS_SECRET_ACCESS_KEY=...`, `"api_key": "..."` and `password: ...` are the ends."""
_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_BODY = re.compile(r"[A-Za-z0-9+/=:,.()\\\s-]*+")
_LINES = re.compile(r"(?:(?:\s|\\[nr])*+[A-Za-z0-9+/=]{16,}+)*+")


def keys(text: str) -> Iterator[tuple[int, int]]:
    """Yield where keys and passwords stand."""
    for found in _ISSUED.finditer(text):
        yield found.span()
    lowered = text.lower()  # to see whether a word is there at all takes a hundredth of the time
    if "bearer" in lowered or "basic" in lowered:
        for found in _SENT.finditer(text):
            if any(letter.isdigit() for letter in found[1]):
                yield found.span(1)
    if "://" in text:
        for found in _LOGIN.finditer(text):
            yield found.span()
    for found in _ASSIGNED.finditer(text):
        if _is_mixed(found[1]) and _NAME.search(text, max(0, found.start() - _LONGEST_NAME), found.start()):
            yield found.span(1)
    if "-----BEGIN " in text:
        yield from _private_keys(text)


def _is_mixed(value: str) -> bool:
    """Whether it is more than a word: `api_key: required` says nothing secret."""
    return any(letter.isdigit() for letter in value) and any(letter.isalpha() for letter in value)


def _private_keys(text: str) -> Iterator[tuple[int, int]]:
    """PEM blocks; of one that is cut off, the lines that are there."""
    at = 0
    while begun := _BEGIN.search(text, at):
        start, at = begun.span()
        ended = _END.match(text, _end_of_body(text, at))
        if ended is None and (lines := _LINES.match(text, at)):
            at = lines.end()
        elif ended is not None:
            at = ended.end()
        yield start, at


def _end_of_body(text: str, start: int) -> int:
    """Where the next block ends or begins, or what cannot be in one stands."""
    stop = text.find("-----", start)
    body = _BODY.match(text, start, len(text) if stop < 0 else stop)
    return body.end() if body else start
