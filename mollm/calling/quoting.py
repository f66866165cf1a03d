"""What a provider said, in a form in which the operator may read it: short, one line, no secret, no prompt.

Providers repeat what was sent to them: the key that they refuse, the message that they cannot parse. So what they
say is cleaned twice: when it is read (`clean`: whatever looks like a secret goes), and when the request is known
(`quoted`: its own words and the keys of its LLM go).
"""

from __future__ import annotations

import base64
import html
import re
import unicodedata
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from mollm.calling.base import Request

LONGEST = 300
"""Characters of a quotation."""
CUT: Final = "[...]"
"""Stands where something was taken out."""

_READ_AT_MOST = 2000
"""Characters that are cleaned; enough for a quotation even where most of them are taken out."""
_ECHO = 24
"""Characters in a row that a quotation may not share with a text of the request."""
_BLOCK = _ECHO // 2
_MOST_TEXT = 1 << 19
"""Characters at either end of the request's texts that are looked through."""

_MOST_BARE = 1 << 16
"""The same, for the letters alone."""

_NO_LETTER = re.compile(r"[\W_ġċ]+")  # the last two are white space in the vocabularies of GPT-2 and its heirs
_ESCAPES = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[nrtbf/\"'\\])")
_CONTROLS = {"n": " ", "r": " ", "t": " ", "b": " ", "f": " "}

_NAMED = re.compile(
    # key=..., api_key: ..., "password": "...", authorization: ...
    r"(?i)((?<![a-z])(?:api|access|auth|secret|session|subscription|private|client|account)[-_ ]?(?:api[-_ ]?)?"
    r"(?:key|token|secret)s?(?: [a-z]+){0,2}|passphrase|password|passwd|pwd|secret|credentials?"
    r"|authorization|signature|cookie"
    r"|[?&](?:key|token|sig|code|auth))"
    r"([\"'`]?\s*(?:[:=]|=>)\s*[\"'`]?)((?:bearer|basic|token)\s+)?[^\s\"'`,;&)}\]]{3,}"
)
_BEARER = re.compile(
    r"(?i)\b(bearer|basic)\s+(?!(?:tokens?|auth\w*|scheme|header|realm|error|format)\b)[^\s\"'`,;]{6,}"
)
_IN_URL = re.compile(r"(?<=://)[^\s/@]{1,500}@")
_PREFIXED = re.compile(
    r"(?i)\b(?:sk|pk|rk|gsk|xai|hf|r8|pplx|nvapi|csk|fw|tgp|glhf|gh[oprsu]|github_pat|glpat|xox[abeprs]|ak|key)"
    r"[-_](?=[^\s\"'`,;]*[0-9*.•…])[^\s\"'`,;:)}\]]{6,}"
    r"|\b(?:hf|gsk|gh[oprsu]|r8)_[A-Za-z0-9]{16,}|\b(?:sk|gsk|xai|nvapi|pplx)-[^\s\"'`,;:)}\]]{3,}"
    r"|\b(?:AIza|ya29\.|AKIA|ASIA|eyJ)[A-Za-z0-9_.*-]{8,}"
)
_CALLED = re.compile(
    r"(?i)\b((?:key|token|session|sig|passphrase|value)(?: (?:id|is|value))?[\s=:\"'`]{1,4})"
    r"(?=[^\s\"'`,;]*[0-9])(?=[^\s\"'`,;]*[a-z])[^\s\"'`,;&)}\]]{6,}"
)
"""`the key 'abcd1234' was refused`."""
_NUMBERS = re.compile(r"(?:(?:0x)?[0-9a-fA-F]{1,3}[\s,;\\]{1,3}){12,}")
"""A text as the numbers of its characters."""
_CHARACTER = re.compile(r"%[0-9A-Fa-f]{2}|&(?:#x?[0-9A-Fa-f]{1,6}|[a-zA-Z]{2,6});|.", re.DOTALL)
_RUN = re.compile(r"[A-Za-z0-9+/_=-]{24,}")
_SOLID = re.compile(r"[A-Za-z0-9]{24,}")


def clean(text: str) -> str:
    """Put what a provider said on one line, at most 2,000 characters, without whatever looks like a secret."""
    text = _plain(text[: 2 * _READ_AT_MOST])
    text = _IN_URL.sub(f"{CUT}@", text)
    text = _NAMED.sub(lambda found: f"{found[1]}{found[2]}{CUT}", text)
    text = _BEARER.sub(lambda found: f"{found[1]} {CUT}", text)
    text = _PREFIXED.sub(CUT, text)
    text = _CALLED.sub(lambda found: f"{found[1]}{CUT}", text)
    text = _NUMBERS.sub(f"{CUT} ", text)
    text = _RUN.sub(lambda found: CUT if _is_random(found[0]) else found[0], text)
    return text[:_READ_AT_MOST]


def quoted(said: str, request: Request, secrets: Collection[str] = ()) -> str:
    """Shorten what `clean` left to 300 characters, and take out the words of the request and what is secret.

    Args:
        said: What `clean` returned.
        request: Runs of 24 characters that a text of it has are taken out, and most of a text that is shorter.
        secrets: Taken out, and what they are in base64 and in a URL; also parts of 8 characters or more.
    """
    if not said:
        return ""
    hidden = bytearray(len(said))
    secrets = (*secrets, *request.secrets)
    texts = list(_texts(request))
    _hide(hidden, said, texts, [form for secret in secrets for form in _forms(secret)])
    _hide_disguised(hidden, said, texts, secrets)
    return _shortened(_without(said, hidden))


def with_quote(message: str, said: str) -> str:
    """Our message, and what the provider said if it said anything."""
    return f'{message}; it said: "{said}"' if said else message


def _texts(request: Request) -> Iterator[str]:
    """The texts of a request in the form that `clean` gives to what is said about them."""
    settings = request.settings
    yield from _strings(request.messages)
    for value in (settings.tools, settings.response_format, settings.extra_body):
        # What is short there are names, which a provider has to be able to mention.
        yield from (text for text in _strings(value) if len(text) >= _ECHO * 3 // 2)


def _strings(value: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(value, str):
        if not value.startswith("data:"):  # an image; what is repeated of it is a run of base64
            text = value if len(value) <= 2 * _MOST_TEXT else f"{value[:_MOST_TEXT]}\0{value[-_MOST_TEXT:]}"
            yield _plain(text)
    elif depth < 12:
        if isinstance(value, dict):
            for key, item in value.items():
                if key not in ("role", "type", "id", "tool_call_id"):
                    yield from _strings(item, depth + 1)
        elif isinstance(value, list | tuple):
            for item in value:
                yield from _strings(item, depth + 1)


def _hide(hidden: bytearray, said: str, texts: Iterable[str], secrets: Iterable[str]) -> None:
    long: list[str] = []
    for text in texts:
        if len(text) >= _ECHO * 3 // 2:
            long.append(text)
        elif len(text) >= 8:
            _hide_parts(hidden, said, text, max(8, -(-2 * len(text) // 3)))
    _hide_echoes(hidden, said, "\0".join(long))
    for secret in secrets:
        _hide_parts(hidden, said, secret, 8)


def _hide_disguised(hidden: bytearray, said: str, texts: Iterable[str], secrets: Iterable[str]) -> None:
    """Mark what is the same but for case, escapes, and what stands between letters: in a URL, in HTML, as tokens."""
    bare: list[str] = []
    places: list[tuple[int, int]] = []
    for found in _CHARACTER.finditer(said):
        decoded = unquote(found[0]) if found[0][0] == "%" else html.unescape(found[0])
        letters = _letters(decoded)
        bare += letters
        places += [found.span()] * len(letters)
    marks = bytearray(len(bare))
    shown = (text if len(text) <= 2 * _MOST_BARE else f"{text[:_MOST_BARE]}{text[-_MOST_BARE:]}" for text in texts)
    _hide(marks, "".join(bare), map(_letters, shown), filter(lambda key: len(key) >= 8, map(_letters, secrets)))
    is_hidden = bytes(hidden)
    for number, (start, end) in enumerate(places):
        if marks[number]:
            before = places[number - 1][1] if number and marks[number - 1] else start
            start = start if is_hidden[start] and is_hidden[before - 1] else before
            hidden[start:end] = b"\1" * (end - start)


def _letters(text: str) -> str:
    """The letters and digits of a text alone, in one case."""
    return _NO_LETTER.sub("", unicodedata.normalize("NFKC", text).casefold())


def _hide_parts(hidden: bytearray, said: str, text: str, least: int) -> None:
    """Mark whatever `said` shares with the short `text`, `least` characters in a row or more."""
    for start in range(len(text) - least + 1):
        part, at = text[start : start + least], -1
        while (at := said.find(part, at + 1)) >= 0:
            hidden[at : at + least] = b"\1" * least


def _hide_echoes(hidden: bytearray, said: str, texts: str) -> None:
    """Mark whatever `said` shares with `texts`, 24 characters in a row or more."""
    # Every 24 characters of `said` hold one whole block of 12, so only blocks are looked for in the long texts.
    for block in range(0, len(said) - _BLOCK + 1, _BLOCK):
        if said[block : block + _BLOCK] in texts:
            for start in range(max(0, block - _BLOCK + 1), min(block, len(said) - _ECHO) + 1):
                if said[start : start + _ECHO] in texts:
                    hidden[start : start + _ECHO] = b"\1" * _ECHO


def _without(said: str, hidden: bytearray) -> str:
    parts, at = [], 0
    while at < len(said):
        end = hidden.find(0 if hidden[at] else 1, at)
        end = len(said) if end < 0 else end
        parts.append(CUT if hidden[at] else said[at:end])
        at = end
    return "".join(parts)


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3].rstrip()}..."


def _forms(secret: str) -> Iterator[str]:
    if len(secret) >= 8:
        raw = secret.encode()
        yield from {secret, " ".join(secret.split()), quote(secret, safe=""), base64.b64encode(raw).decode()}


def _unescaped(found: re.Match[str]) -> str:
    code = found[1]
    if code[0] in "ux":
        return chr(int(code[1:], 16)) if len(code) > 1 else code
    return _CONTROLS.get(code, code)


def _plain(text: str) -> str:
    """Undo escapes, and leave single spaces for all that cannot be seen."""
    if "\\" in text:
        text = _ESCAPES.sub(_unescaped, text)
    text = " ".join(text.split())
    if not text.isprintable():
        text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text


def _is_random(run: str) -> bool:
    """Tell a key, a digest or a piece of base64 from the name of a model or a path."""
    kinds = ["d" if c.isdigit() else "u" if c.isupper() else "l" if c.islower() else "s" for c in run]
    if {"d"} == set(kinds) or "d" not in kinds:
        return len(run) >= 64 and "u" in kinds and "s" not in kinds and _changes(kinds) > 0.4
    if _SOLID.search(run):
        return True
    return len(run) >= 40 and _changes(kinds) > 0.55


def _changes(kinds: list[str]) -> float:
    return sum(a != b for a, b in pairwise(kinds)) / len(kinds)
