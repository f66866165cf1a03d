"""Foreign errors become ours here, and nowhere else.

`from_status` reads an HTTP answer that is not a success, `translate` an exception of any library.
What an upstream wrote only chooses the class; none of it reaches a message, as it may hold a key or a prompt.
No library is imported: classes are told apart by name, so a library that was never loaded costs nothing.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from mollm.calling.foreign import mapped, name_of
from mollm.calling.http import MAX_HEADER_BYTES
from mollm.errors import (
    AuthFailed,
    BadRequest,
    ContextTooLong,
    LLMError,
    ProviderFailed,
    RateLimited,
    Refused,
    TimedOut,
    Unexpected,
    Unreachable,
)
from mollm.options import Settings

_READ_AT_MOST = 64 * 1024
"""Bytes of a body that are looked at: error objects are far smaller, and HTML need not be read to its end."""

_CONTEXT_TOO_LONG = re.compile(
    r"context_length_exceeded|maximum context length|exceed_context_size|available context size"
    r"|maximum model length|max_model_len|context window|contextwindowexceeded|prompt is too long"
    r"|input is too long|input token count|reduce the length of the (messages|prompt)"
)
"""How OpenAI, vLLM, llama.cpp, LiteLLM, Anthropic, Bedrock, Gemini and Groq say it, in lower case."""

_REFUSED = re.compile(
    r"content_filter|content_policy|content management policy|content filtering policy"
    r"|responsibleaipolicyviolation|data_inspection_failed|moderation_blocked|your input was flagged"
)
"""How OpenAI, Azure, Anthropic, DashScope and OpenRouter say it, in lower case."""

_STATUS_OF_CODE = {
    "authentication_error": 401,
    "badrequesterror": 400,
    "insufficient_quota": 429,
    "invalid_api_key": 401,
    "invalid_request_error": 400,
    "model_not_found": 404,
    "not_found_error": 404,
    "notfounderror": 404,
    "overloaded_error": 529,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
}
"""The status behind an error code or type, for errors with a 200 or inside a stream; others are failures."""

NOT_CONNECTED = "not_connected"
"""Our code for a call that did not get as far as a connection, so that nothing can have come of it."""
_NO_CONNECTION = {
    *("ClientConnectorError", "ConnectionTimeoutError"),  # aiohttp
    *("ConnectError", "ConnectTimeout", "PoolTimeout"),  # httpx
}

_SAFE_CODE = re.compile(r"[a-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class _Said:
    """What an upstream said about an error."""

    text: str
    """In lower case; chooses the class and goes no further."""
    code: str | None = None
    status: int | None = None


def from_status(status: int, headers: Mapping[str, str], body: bytes, llm: str) -> LLMError:
    """Make an error of an HTTP answer that is not a success, or of a 200 whose body is an error object."""
    return _error(status, headers, _read(body), llm)


def translate(error: BaseException, llm: str) -> LLMError:
    """Make one of our errors of whatever a library raised; the caller raises it `from` the original.

    One of ours comes back as it is, with `llm` filled in where it was empty.

    Raises:
        TypeError: `error` is no `Exception` (a cancellation, an interrupt): not a failed call.
        MemoryError: `error` is one; that is not the provider's doing.
    """
    if isinstance(error, MemoryError):
        raise error
    if not isinstance(error, Exception):
        raise TypeError(f"{type(error).__name__} is not a failed call and must not be translated")
    if isinstance(error, LLMError):
        return error if error.llm else _named(error, llm)
    return _translate(error, llm)


def _translate(error: Exception, llm: str) -> LLMError:
    source = _source(error)
    told, cls = mapped(type(error)), mapped(type(source))
    said = _said_by(source, f"{error}")
    status = _status_of(source) or said.status
    if told in (ContextTooLong, Refused):
        return told(_MESSAGES[told], llm=llm, status=status, code=said.code)
    if name_of(type(error)) == "litellm.UnsupportedParamsError":
        return BadRequest(_unsupported(said), llm=llm, code="unsupported_parameter")
    if cls in (TimedOut, Unreachable):
        return cls(_why(error, cls), llm=llm, code=NOT_CONNECTED if _names(error) & _NO_CONNECTION else None)
    if status is not None and not _is_malformed(source):
        return _error(status, _headers_of(source), said, llm)
    if cls in (None, BadRequest, ProviderFailed):
        cls = _by_words(said.text) or cls
    if cls is None:
        is_reported = bool(error.args) and isinstance(error.args[0], Mapping)
        return (ProviderFailed if is_reported else Unexpected)(f"unexpected {type(error).__name__}", llm=llm)
    return cls(_why(error, cls), llm=llm, code=said.code, retry_after_seconds=_retry_after(_headers_of(source)))


def _error(status: int, headers: Mapping[str, str], said: _Said, llm: str) -> LLMError:
    if status < 400 and said.status is not None:
        status = said.status
    cls = _by_status(status, said)
    message = _STATUS_MESSAGES.get(status) or _MESSAGES[cls]
    if cls in (ContextTooLong, Refused):
        message = _MESSAGES[cls]
    return cls(
        f"{message} (HTTP {status})",
        llm=llm,
        status=status,
        code=said.code,
        retry_after_seconds=_retry_after(headers),
    )


def _by_status(status: int, said: _Said) -> type[LLMError]:
    if status in (401, 402):
        return AuthFailed
    if status == 408:
        return TimedOut
    if status == 429:
        return RateLimited
    words = _by_words(said.text)  # before 403, with which OpenRouter's moderation answers
    if words is not None:
        return words
    if status == 403:
        return AuthFailed
    return BadRequest if 400 <= status < 500 and status != 409 else ProviderFailed


def _by_words(text: str) -> type[LLMError] | None:
    if _CONTEXT_TOO_LONG.search(text):
        return ContextTooLong
    if _REFUSED.search(text):
        return Refused
    return None


_MESSAGES: dict[type[LLMError], str] = {
    AuthFailed: "access was refused; check `api_key` and what it is allowed to use",
    BadRequest: "the provider refused the request",
    ContextTooLong: "the messages do not fit its context window",
    ProviderFailed: "the provider failed",
    RateLimited: "too many requests, or its quota is used up",
    Refused: "its content filter withheld the answer",
    TimedOut: "no answer in time",
    Unreachable: "the connection failed",
}

_STATUS_MESSAGES = {
    200: "the provider sent something that is not an answer",
    401: "the key was refused; check `api_key`",
    402: "the account has no credit",
    404: "no such model or address; check `model` and `api_base`",
    407: "the proxy refused the login; check `proxy`",
    413: "the request is too large",
}


def _read(body: bytes) -> _Said:
    """Read a body leniently: OpenAI's and vLLM's error objects, plain text, HTML, nothing."""
    raw = body[:_READ_AT_MOST].decode("utf-8", "replace").lower()
    try:
        parsed = json.loads(body) if len(body) <= _READ_AT_MOST else None
    except (ValueError, RecursionError):
        parsed = None
    return _said_in(parsed, raw)


def _said_in(parsed: Any, text: str) -> _Said:
    """Find code and status in an error object, wrapped in `error` or not, or in a list of one (Gemini)."""
    if isinstance(parsed, list) and parsed:
        parsed = parsed[0]
    if isinstance(parsed, Mapping) and isinstance(parsed.get("error"), Mapping):
        parsed = parsed["error"]
    if not isinstance(parsed, Mapping):
        return _Said(text)
    names = [value for value in (parsed.get("code"), parsed.get("type")) if isinstance(value, str)]
    code = next((name for name in names if _SAFE_CODE.fullmatch(name)), None)
    return _Said(text, code, _status_said(parsed.get("code"), names))


def _status_said(code: Any, names: list[str]) -> int | None:
    if isinstance(code, str) and re.fullmatch("[45][0-9]{2}", code):
        return int(code)  # as LiteLLM's proxy writes it
    if type(code) is int and 400 <= code < 600:
        return code
    return next((_STATUS_OF_CODE[name.lower()] for name in names if name.lower() in _STATUS_OF_CODE), None)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait as the headers tell: milliseconds, seconds or a date; None where they do not."""
    lower = {str(name).lower(): str(value).strip() for name, value in headers.items()}
    milliseconds = _number(lower.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    value = lower.get("retry-after", "")
    seconds = _number(value)
    return seconds if seconds is not None else _seconds_until(value)


def _number(text: str) -> float | None:
    """Read a plain decimal number; a sign, an exponent, `nan`, `inf` and an overflow are none."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) or math.isinf(float(text)):
        return None
    return float(text)


def _seconds_until(date: str) -> float | None:
    """Seconds from now to an HTTP date; None where it is past or not a date."""
    try:
        then = parsedate_to_datetime(date)
        seconds = (then if then.tzinfo else then.replace(tzinfo=UTC)) - datetime.now(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return seconds.total_seconds() if seconds.total_seconds() >= 0 else None


# What an exception says


def _named(error: LLMError, llm: str) -> LLMError:
    return type(error)(
        error.message,
        llm=llm,
        status=error.status,
        code=error.code,
        retry_after_seconds=error.retry_after_seconds,
    )


def _source(error: Exception) -> BaseException:
    """Find what litellm wrapped, whose own classes and statuses are guesses: a lost connection is a 500."""
    if name_of(type(error)).startswith("litellm."):
        for link in _chain(error):
            if not name_of(type(link)).startswith("litellm.") and mapped(type(link)):
                return link
    return error


def _said_by(error: BaseException, text: str) -> _Said:
    """Read an SDK's parsed `body`, or the error object that langchain-openai puts into a ValueError."""
    body = getattr(error, "body", None)
    if not isinstance(body, Mapping) and error.args and isinstance(error.args[0], Mapping):
        body = error.args[0]
    said = _said_in(body, f"{body} {error} {text}"[:_READ_AT_MOST].lower())
    # Not getattr: aiohttp's `code` is a property that warns when it is read.
    return said if said.code or said.status else _said_in({"code": vars(error).get("code")}, said.text)


def _status_of(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    for holder, name in ((error, "status_code"), (error, "status"), (response, "status_code")):
        status = getattr(holder, name, None)
        if isinstance(status, int) and 100 <= status < 600:
            return int(status)
    return None


def _headers_of(error: BaseException) -> Mapping[str, str]:
    """Headers of the response; litellm puts them beside a response of its own making."""
    response = getattr(error, "response", None)
    for holder, name in ((error, "litellm_response_headers"), (response, "headers"), (error, "headers")):
        headers = getattr(holder, name, None)
        if isinstance(headers, Mapping) and headers:
            return headers
    return {}


def _is_malformed(error: BaseException) -> bool:
    """Tell aiohttp's 400 for a response that is not HTTP from a status that was really sent."""
    return "aiohttp.HttpProcessingError" in map(name_of, type(error.__cause__).__mro__)


def _unsupported(said: _Said) -> str:
    """Name the settings that litellm would not send; the names are ours, its sentence is not repeated."""
    names = [f"`{f.name}`" for f in fields(Settings) if re.search(rf"\b{f.name}\b", said.text)]
    return f"this provider does not take {', '.join(names) or 'one of the settings'} as it was set"


def _why(error: BaseException, cls: type[LLMError]) -> str:
    """Say in our words what broke, as far as class names down the chain of causes tell."""
    names = _names(error)
    if cls is BadRequest and names & {"InvalidURL", "UnsupportedProtocol", "NonHttpUrlClientError"}:
        return "its address is not one; check `api_base`"
    if "LineTooLong" in names:
        return f"a header of its reply has more than {MAX_HEADER_BYTES >> 10} KiB"
    if cls is not Unreachable:
        return _MESSAGES[cls]
    if names & {"ClientProxyConnectionError", "ClientHttpProxyError", "ProxyError"}:
        return "the proxy cannot be reached, or refused; check `proxy`"
    if names & {"gaierror", "ClientConnectorDNSError"}:
        return "no such host; check `api_base`"
    if names & {"SSLError", "ServerFingerprintMismatch"}:
        return "TLS failed; check `api_base` and its certificate"
    if "ConnectionRefusedError" in names:
        return "the connection was refused; is the server running?"
    return "the connection failed or broke off"


def _names(error: BaseException) -> set[str]:
    return {cls.__name__ for link in _chain(error) for cls in type(link).__mro__}


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what caused it, at most 16, up to one of ours: that was another call's."""
    link: BaseException | None = error
    for _ in range(16):
        if link is None or isinstance(link, LLMError):
            return
        yield link
        inner = getattr(link, "os_error", None)  # aiohttp's place for the operating system's
        if isinstance(inner, BaseException):
            yield inner
        link = link.__cause__ or link.__context__
