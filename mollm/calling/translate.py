"""Foreign errors become ours here, and nowhere else.

`from_status` reads an HTTP answer that is not a success, `translate` an exception of any library.
What an upstream wrote chooses the class (`wordings.py`) and the wait (`waits.py`). None of it reaches a message, as it
may hold a key or a prompt; it is kept beside the message, cleaned, for whoever runs this (`quoting.py`).
No library is imported: classes are told apart by name, so a library that was never loaded costs nothing.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias

from mollm.calling.bounds import RETRY_AFTER
from mollm.calling.foreign import mapped, name_of
from mollm.calling.http import MAX_HEADER_BYTES
from mollm.calling.quoting import clean
from mollm.calling.refusals import FIELDS, UNSUPPORTED, refused_fields
from mollm.calling.said import READ_AT_MOST, Complaint, read, said_in
from mollm.calling.shortage import shortage_in
from mollm.calling.waits import wait_of
from mollm.calling.wordings import meaning_of
from mollm.errors import (
    AuthFailed,
    BadRequest,
    ContextTooLong,
    Exhausted,
    LLMError,
    ProviderFailed,
    QuotaExceeded,
    RateLimited,
    Refused,
    TimedOut,
    Unexpected,
    Unreachable,
    interpreter_ends,
)

_SDKS = ("openai", "litellm", "langchain_core", "langchain_openai")
"""Libraries whose errors say what the provider said."""
NOT_CONNECTED = "not_connected"
"""Our code for a call that did not get as far as a connection, so that nothing can have come of it."""
_NO_CONNECTION = {
    *("ClientConnectorError", "ConnectionTimeoutError"),  # aiohttp
    *("ConnectError", "ConnectTimeout", "PoolTimeout"),  # httpx
}


def from_status(status: int, headers: Mapping[str, str], body: bytes, llm: str) -> LLMError:
    """Make an error of an HTTP answer that is not a success, or of a 200 whose body is an error object."""
    return from_said(status, headers, read(body), llm)


def from_said(status: int, headers: Mapping[str, str], said: Complaint, llm: str) -> LLMError:
    """Make an error of what an upstream said, with this status and these headers."""
    if status < 400 and said.status is not None:
        status = said.status
    cls, message, code, refused = _meaning(status, said)
    return cls(
        f"{message or _STATUS_MESSAGES.get(status) or _MESSAGES[cls]} (HTTP {status})",
        llm=llm,
        status=status,
        code=code or said.code,
        retry_after_seconds=wait_of(headers, said.text if _may_pass(cls) else "", status),
        said=said.quote,
        refused=refused,
    )


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
    if lacking := shortage_in(_chain(error)):
        return Exhausted(lacking[0], llm=llm, code=lacking[1], retry_after_seconds=RETRY_AFTER)
    source = _source(error)
    told, cls = mapped(type(error)), mapped(type(source))
    said = _said_by(source, error)
    status = _status_of(source) or said.status
    if told in (ContextTooLong, Refused):
        words = meaning_of(said.text, status)
        cls, message, code = words if words and words[0] is BadRequest else (told, _MESSAGES[told], None)
        return cls(message, llm=llm, status=status, code=code or said.code, said=said.quote)
    if name_of(type(error)) == "litellm.UnsupportedParamsError":
        refused = tuple(name for name in FIELDS if re.search(rf"\b{name}\b", said.text))
        message = not_taken(refused) if refused else "it does not take one of the settings as it was set"
        return BadRequest(message, llm=llm, code=UNSUPPORTED, said=said.quote, refused=refused)
    if cls in (TimedOut, Unreachable):
        return cls(_why(error, cls), llm=llm, code=NOT_CONNECTED if _names(error) & _NO_CONNECTION else None)
    if status is not None and not _is_malformed(source):
        return from_said(status, _headers_of(source), said, llm)
    if cls in (None, BadRequest, ProviderFailed) and (words := meaning_of(said.text, None)):
        cls, message, code = words
        return cls(message, llm=llm, code=code or said.code, said=said.quote)
    if cls is None:
        if isinstance(error, RuntimeError) and not threading.main_thread().is_alive():
            return Unexpected(f"{interpreter_ends()}", llm=llm)  # no executor takes work, as to look up a name
        is_reported = bool(error.args) and isinstance(error.args[0], Mapping)
        said_of_it = said.quote if is_reported else ""  # any other text may be anything
        cls = ProviderFailed if is_reported else Unexpected
        return cls(f"unexpected {type(error).__name__}", llm=llm, said=said_of_it)
    wait = wait_of(_headers_of(source), said.text if _may_pass(cls) else "", None)
    quote = said.quote if name_of(type(source)).split(".")[0] in _SDKS else ""
    return cls(_why(error, cls), llm=llm, code=said.code, retry_after_seconds=wait, said=quote)


_Meaning: TypeAlias = tuple[type[LLMError], str, str | None, tuple[str, ...]]
"""A class, what to say about it (empty: what the class or the status says), our code, and refused request fields."""


def _meaning(status: int, said: Complaint) -> _Meaning:
    if words := meaning_of(said.text, status if status >= 400 else None):
        return *words, ()
    if cls := _OF_STATUS.get(status):
        return cls, "", None, ()
    if refused := refused_fields(said.text, said.code, said.param):
        return BadRequest, not_taken(refused), UNSUPPORTED, refused
    cls = BadRequest if 400 <= status < 500 and status != 409 else ProviderFailed
    return cls, "", None, ()


_OF_STATUS: dict[int, type[LLMError]] = {401: AuthFailed, 403: AuthFailed, 408: TimedOut, 429: RateLimited}


def not_taken(fields: Iterable[str]) -> str:
    """Say which request fields a provider does not take."""
    return f"it does not take {', '.join(f'`{name}`' for name in fields)} as it was set"


def _may_pass(cls: type[LLMError]) -> bool:
    return cls.is_retryable or cls is QuotaExceeded


_MESSAGES: dict[type[LLMError], str] = {
    AuthFailed: "access was refused; check `api_key` and what it is allowed to use",
    BadRequest: "the provider refused the request",
    ContextTooLong: "the messages do not fit its context window",
    ProviderFailed: "the provider failed",
    QuotaExceeded: "its quota or credit is used up",
    RateLimited: "too many requests, or its quota is used up",
    Refused: "its content filter withheld the answer",
    TimedOut: "no answer in time",
    Unreachable: "the connection failed",
}

_STATUS_MESSAGES = {
    200: "the provider sent something that is not an answer",
    401: "the key was refused; check `api_key`",
    404: "no such model or address; check `model` and `api_base`",
    407: "the proxy refused the login; check `proxy`",
    413: "the request is too large",
}


# What an exception says


def _named(error: LLMError, llm: str) -> LLMError:
    return type(error)(
        error.message,
        llm=llm,
        status=error.status,
        code=error.code,
        retry_after_seconds=error.retry_after_seconds,
        said=error.said,
        refused=error.refused,
    )


def _source(error: Exception) -> BaseException:
    """Find what litellm wrapped, whose own classes and statuses are guesses: a lost connection is a 500."""
    if name_of(type(error)).startswith("litellm."):
        for link in _chain(error):
            if not name_of(type(link)).startswith("litellm.") and mapped(type(link)):
                return link
    return error


def _said_by(source: BaseException, error: BaseException) -> Complaint:
    """Read an SDK's parsed `body`, or the error object that langchain-openai puts into a ValueError."""
    body = getattr(source, "body", None)
    if not isinstance(body, Mapping) and source.args and isinstance(source.args[0], Mapping):
        body = source.args[0]
    texts = dict.fromkeys([f"{source}", f"{error}"])
    said = said_in(body, "\n".join(texts)[:READ_AT_MOST])
    if isinstance(body, Mapping):  # an SDK keeps only a part of what was sent; its text may have the rest
        rest = "\n".join(texts)[:READ_AT_MOST].lower()
        said = replace(said, text=f"{said.text}\n{rest}", quote=said.quote or clean(f"{source}"))
    if said.code or said.status:
        return said
    # Not getattr: aiohttp's `code` is a property that warns when it is read.
    coded = said_in({"code": vars(source).get("code")}, "")
    return replace(said, code=coded.code, status=coded.status)


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
