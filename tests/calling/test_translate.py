from __future__ import annotations

import asyncio
import inspect
import json
import os
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm.calling.foreign import mapped
from mollm.calling.translate import from_status, translate
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
    Unexpected,
    Unreachable,
)
from tests.upstream import DROP, Reply, Upstream, hang

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

KEY = "sk-proj-0123456789abcdef"
PROMPT = "the user's question"

NO_CALL_RAISES = {
    "InvalidWebhookSignatureError",  # webhooks and websockets are other parts of the openai package
    "WebSocketConnectionClosedError",
    "WebSocketQueueFullError",
    "TracerException",  # raised and swallowed inside langchain-core's tracers
}


def openai_error(**error: Any) -> bytes:
    """Build the body of an OpenAI error."""
    return json.dumps({"error": {"message": "no", "param": None, **error}}).encode()


def public_errors(*modules: ModuleType) -> Iterator[type[Exception]]:
    """Yield the exception classes in the namespace of these modules that a call can raise."""
    for module in modules:
        root = module.__name__.partition(".")[0]
        for name, cls in inspect.getmembers(module, inspect.isclass):
            if cls.__module__.partition(".")[0] != root or name.startswith("_") or name in NO_CALL_RAISES:
                continue
            if issubclass(cls, Exception) and not issubclass(cls, Warning):
                yield cls


def shown(error: LLMError) -> str:
    """Join every form in which an error could be printed or logged."""
    return f"{error} {error!r} {error.message} {error.args} {error.code}"


# HTTP answers


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, BadRequest),
        (401, AuthFailed),
        (402, QuotaExceeded),
        (403, AuthFailed),
        (404, BadRequest),
        (408, TimedOut),
        (409, ProviderFailed),
        (413, BadRequest),
        (418, BadRequest),
        (422, BadRequest),
        (429, RateLimited),
        (500, ProviderFailed),
        (503, ProviderFailed),
        (529, ProviderFailed),
        (200, ProviderFailed),
        (302, ProviderFailed),
    ],
)
def test_the_status_chooses_the_class(status: int, expected: type[LLMError]) -> None:
    """Without a telling body every status has its class and is kept."""
    error = from_status(status, {}, b"", "coder")

    assert type(error) is expected
    assert (error.status, error.llm, error.code) == (status, "coder", None)
    assert str(error).startswith("coder: ")


@pytest.mark.parametrize("status", [409, 429, 500, 503])
def test_what_may_pass_later_is_retryable(status: int) -> None:
    """Conflicts, rate limits and the provider's own failures are worth another try."""
    assert from_status(status, {}, b"", "coder").is_retryable


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, openai_error(code="context_length_exceeded"), ContextTooLong),
        (400, openai_error(message="This model's maximum context length is 2048 tokens."), ContextTooLong),
        (400, openai_error(type="exceed_context_size_error", code=400), ContextTooLong),
        (500, b"the request exceeds the available context size", ContextTooLong),
        (413, openai_error(message="Please reduce the length of the messages."), ContextTooLong),
        (400, b'{"type":"error","error":{"message":"prompt is too long: 9 > 8"}}', ContextTooLong),
        (400, b'[{"error":{"code":400,"message":"The input token count (9) exceeds"}}]', ContextTooLong),
        (400, openai_error(code="content_filter"), Refused),
        (400, openai_error(innererror={"code": "ResponsibleAIPolicyViolation"}), Refused),
        (403, openai_error(code=403, message="moderation: your input was flagged"), Refused),
        (429, openai_error(message="tokens per minute; reduce the length of the messages"), RateLimited),
        (400, b"<html>Bad Request</html>", BadRequest),
        (400, b"\xff\xfe\x00", BadRequest),
        (400, b"[" * 70_000, BadRequest),
        (400, b"[" * 5_000, BadRequest),
        (400, b"null", BadRequest),
        (400, b"[]", BadRequest),
        (400, b'{"error": "a string"}', BadRequest),
    ],
)
def test_the_body_refines_the_class(status: int, body: bytes, expected: type[LLMError]) -> None:
    """Error objects, plain text, HTML and garbage are all read, and only for the class."""
    assert type(from_status(status, {}, body, "coder")) is expected


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (b'{"object":"error","message":"no","type":"BadRequestError","code":400}', 400, BadRequest),
        (openai_error(code=429), 429, RateLimited),
        (openai_error(code="429"), 429, RateLimited),
        (openai_error(code=502), 502, ProviderFailed),
        (openai_error(code="invalid_api_key"), 401, AuthFailed),
        (openai_error(type="overloaded_error"), 529, ProviderFailed),
        (openai_error(code="context_length_exceeded"), 200, ContextTooLong),
        (openai_error(code=True), 200, ProviderFailed),
        (openai_error(code=7), 200, ProviderFailed),
        (b"<html>hello</html>", 200, ProviderFailed),
        (b"", 200, ProviderFailed),
    ],
)
def test_an_error_in_a_200_counts_by_its_code(body: bytes, status: int, expected: type[LLMError]) -> None:
    """A 200 whose body is an error object becomes what its code or type says."""
    error = from_status(200, {}, body, "coder")

    assert (type(error), error.status) == (expected, status)


@pytest.mark.parametrize(
    ("code", "kept"),
    [
        ("model_not_found", "model_not_found"),
        ("Model Not Found", None),
        ("x" * 65, None),
        (f"{KEY} is wrong", None),
        (404, None),
        (None, None),
    ],
)
def test_only_a_code_that_looks_like_one_is_kept(code: object, kept: str | None) -> None:
    """A code survives as an identifier; free text in its place does not."""
    assert from_status(404, {}, openai_error(code=code), "coder").code == kept


# Retry-After


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"RETRY-AFTER-MS": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e3"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "\u0663"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, None),
        ({"retry-after": "Wed, 99 Foo 2015 07:28:00 GMT"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_or_ignored(headers: Mapping[str, str], seconds: float | None) -> None:
    """Seconds and milliseconds are read; whatever is not a time to come is ignored."""
    assert from_status(429, headers, b"", "coder").retry_after_seconds == seconds


@pytest.mark.parametrize("zone", ["GMT", "-0000"])
def test_retry_after_may_be_a_date(zone: str) -> None:
    """An HTTP date counts from now, with or without a time zone."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90)).replace("+0000", zone)

    seconds = from_status(503, {"retry-after": date}, b"", "coder").retry_after_seconds

    assert seconds is not None
    assert 80 < seconds <= 90


@given(st.text(max_size=40), st.text(max_size=40), st.binary(max_size=200), st.integers(100, 599))
def test_no_answer_of_a_server_breaks_it(ms: str, after: str, body: bytes, status: int) -> None:
    """Whatever a server sends, an error comes out, and no negative or endless wait."""
    error = from_status(status, {"retry-after-ms": ms, "retry-after": after}, body, "coder")

    seconds = error.retry_after_seconds
    assert seconds is None or 0 <= seconds < float("inf")


# Exceptions of libraries


def test_every_public_error_of_the_libraries_is_mapped() -> None:
    """An exception class that is new in a release of a library is noticed here, not by a user."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    import langchain_core.exceptions
    import langchain_openai.chat_models.base
    import litellm.exceptions
    import openai

    langchain = (langchain_core.exceptions, langchain_openai.chat_models.base)
    modules = (openai, litellm.exceptions, aiohttp.client_exceptions, httpx, *langchain)
    unknown = [f"{cls.__module__}.{cls.__name__}" for cls in public_errors(*modules) if mapped(cls) is None]

    assert unknown == []


@pytest.mark.parametrize(
    ("cls", "expected"),
    [
        (aiohttp.ClientConnectorDNSError, Unreachable),
        (aiohttp.ConnectionTimeoutError, TimedOut),
        (aiohttp.SocketTimeoutError, TimedOut),
        (aiohttp.InvalidUrlRedirectClientError, ProviderFailed),
        (aiohttp.InvalidURL, BadRequest),
        (httpx.PoolTimeout, TimedOut),
        (httpx.ReadError, Unreachable),
        (httpx.UnsupportedProtocol, BadRequest),
        (httpx.LocalProtocolError, BadRequest),
        ("openai:OpenAIError", AuthFailed),
        ("openai:APITimeoutError", TimedOut),
        ("openai:APIConnectionError", Unreachable),
        ("langchain_openai.chat_models.base:OpenAIContextOverflowError", ContextTooLong),
        ("langchain_openai.chat_models.base:OpenAITimeoutError", TimedOut),
        ("langchain_core.exceptions:ContextOverflowError", ContextTooLong),
        (TimeoutError, TimedOut),
        (ConnectionResetError, Unreachable),
        (asyncio.IncompleteReadError, Unreachable),
        (ssl.SSLCertVerificationError, Unreachable),
        (json.JSONDecodeError, ProviderFailed),
        (UnicodeDecodeError, ProviderFailed),
        (KeyError, None),
    ],
)
def test_the_nearest_ancestor_decides(cls: type[Exception] | str, expected: type[LLMError] | None) -> None:
    """A subclass becomes what the most specific class that is known becomes."""
    assert mapped(resolve_name(cls) if isinstance(cls, str) else cls) is expected


def test_a_class_below_a_root_is_unknown_until_looked_at() -> None:
    """A new kind of error is not silently taken for a known one."""
    import openai

    class NewError(openai.OpenAIError):
        __module__ = "openai"

    assert mapped(NewError) is None


def response(status: int, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
    """Build the response an SDK attaches to its error."""
    request = httpx.Request("POST", "http://127.0.0.1/v1/chat/completions")
    return httpx.Response(status, request=request, json=body, headers=headers)


def test_a_status_error_of_an_sdk_counts_by_its_status() -> None:
    """Status, code and Retry-After of an SDK's error are kept."""
    import openai

    body = {"message": "slow", "type": "requests", "code": "rate_limit_exceeded"}
    sdk = openai.RateLimitError("slow", response=response(429, headers={"retry-after": "3"}), body=body)

    error = translate(sdk, "coder")

    assert type(error) is RateLimited
    assert (error.status, error.code, error.retry_after_seconds) == (429, "rate_limit_exceeded", 3.0)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"code": "context_length_exceeded"}, ContextTooLong),
        (403, {"message": "your input was flagged"}, Refused),
        (402, None, QuotaExceeded),
        (409, None, ProviderFailed),
        (404, None, BadRequest),
    ],
)
def test_the_body_of_an_sdk_error_refines_it(status: int, body: object, expected: type[LLMError]) -> None:
    """An SDK's error with a status is read as the HTTP answer it stands for."""
    import openai

    sdk = openai.APIStatusError("no", response=response(status), body=body)

    assert type(translate(sdk, "coder")) is expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [({"code": 429}, RateLimited), ({"message": "exceeds the context window"}, ContextTooLong), (None, ProviderFailed)],
)
def test_an_error_inside_a_stream_counts_by_its_code(body: object, expected: type[LLMError]) -> None:
    """The SDK's error for an error event has no status; its body decides."""
    import openai

    request: Any = httpx.Request("POST", "http://127.0.0.1")  # openai 2 takes httpx, 3 httpx2

    assert type(translate(openai.APIError("no", request, body=body), "coder")) is expected


def test_other_shapes_of_error_are_read() -> None:
    """Errors without a status, and the error objects langchain-openai wraps in a ValueError, find their class."""
    import langchain_core.exceptions
    import openai

    refused = response(401)
    errors: list[tuple[Exception, type[LLMError]]] = [
        (langchain_core.exceptions.ModelRateLimitError("no"), RateLimited),
        (openai.ContentFilterFinishReasonError(), Refused),
        (ValueError({"message": "no", "code": 503}), ProviderFailed),
        (ValueError({"message": "no", "code": "context_length_exceeded"}), ContextTooLong),
        (httpx.HTTPStatusError("no", request=refused.request, response=refused), AuthFailed),
        (ssl.SSLCertVerificationError("no"), Unreachable),
    ]

    assert [type(translate(error, "coder")) for error, _ in errors] == [expected for _, expected in errors]


def test_an_unknown_error_with_a_status_counts_by_it() -> None:
    """The SDKs of other providers are understood as far as they carry an HTTP status."""

    class OverloadedError(Exception):
        status_code = 529

    class GoogleError(Exception):
        def __init__(self) -> None:
            self.code = 429

    assert (type(translate(OverloadedError(), "a")), type(translate(GoogleError(), "a"))) == (
        ProviderFailed,
        RateLimited,
    )


def test_an_unknown_error_is_named_by_its_class_alone() -> None:
    """What nobody foresaw is the provider's failure, told without its text."""
    error = translate(KeyError(KEY), "coder")

    assert type(error) is Unexpected
    assert error.message == "unexpected KeyError"


def test_ours_passes_through() -> None:
    """An error of ours keeps everything and only gets the name it lacks."""
    nameless = RateLimited("slow", status=429, code="c", retry_after_seconds=2.0)
    named = RateLimited("slow", llm="coder")

    error = translate(nameless, "coder")

    assert translate(named, "other") is named
    assert type(error) is RateLimited
    assert (error.llm, error.message, error.status, error.code, error.retry_after_seconds) == (
        "coder",
        "slow",
        429,
        "c",
        2.0,
    )


@pytest.mark.parametrize("stop", [asyncio.CancelledError(), KeyboardInterrupt(), GeneratorExit()])
def test_being_stopped_is_no_failure(stop: BaseException) -> None:
    """A cancellation or an interrupt is never turned into an error of the LLM."""
    with pytest.raises(TypeError, match=type(stop).__name__):
        translate(stop, "coder")


def test_running_out_of_memory_is_no_failure_of_the_llm() -> None:
    """A MemoryError goes on as it is."""
    with pytest.raises(MemoryError):
        translate(MemoryError(), "coder")


# Secrets


@pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 500])
@pytest.mark.parametrize("wrapped", [True, False])
def test_nothing_an_upstream_wrote_is_shown(status: int, *, wrapped: bool) -> None:
    """Neither keys nor prompts come back through an error message."""
    text = f"Incorrect API key {KEY}: {PROMPT}"
    body = openai_error(message=text, type=text, code=text) if wrapped else text.encode()

    error = from_status(status, {"x-key": KEY, "retry-after": KEY}, body, "coder")

    assert KEY not in shown(error)
    assert PROMPT not in shown(error)


def test_nothing_an_exception_says_is_shown() -> None:
    """The text of a foreign exception stays out of ours."""
    import openai

    errors = [
        openai.AuthenticationError(KEY, response=response(401), body={"message": PROMPT, "code": KEY + PROMPT}),
        openai.BadRequestError(f"context_length_exceeded {KEY} {PROMPT}", response=response(400), body=None),
        openai.APIConnectionError(message=KEY + PROMPT, request=response(400).request),
        httpx.ConnectError(KEY + PROMPT),
        ConnectionRefusedError(111, KEY + PROMPT),
        aiohttp.InvalidURL(f"http://{KEY}/", PROMPT),
        ValueError({"message": KEY + PROMPT, "code": KEY + PROMPT}),
        RuntimeError(KEY, PROMPT),
        json.JSONDecodeError(KEY, PROMPT, 0),
    ]
    ours = [translate(error, "coder") for error in errors]

    assert [error for error in ours if KEY in shown(error) or PROMPT in shown(error)] == []


# Real failures


async def failure(url: str, **options: Any) -> LLMError:
    """Send a request that fails and translate how."""
    async with aiohttp.ClientSession() as session:
        try:
            async with session.post(url, **options) as got:
                await got.json()
        except Exception as error:  # noqa: BLE001 - whatever comes is what is tested
            return translate(error, "coder")
    raise AssertionError("no failure")


async def test_a_closed_port_is_unreachable() -> None:
    """A refused connection says so and what to look at."""
    async with Upstream() as upstream:
        url = upstream.base_url

    error = await failure(url)

    assert type(error) is Unreachable
    assert "refused" in error.message
    assert error.code == "not_connected"


async def test_an_unknown_host_is_unreachable() -> None:
    """A name that does not resolve is told from a server that is down."""
    error = await failure("http://nowhere.invalid/v1")

    assert type(error) is Unreachable
    assert "no such host" in error.message
    assert error.code == "not_connected"


async def test_plain_http_behind_https_is_unreachable() -> None:
    """A failed TLS handshake is named."""
    async with Upstream() as upstream:
        error = await failure(upstream.base_url.replace("http:", "https:"))

    assert type(error) is Unreachable
    assert "TLS" in error.message


async def test_a_dropped_connection_is_unreachable() -> None:
    """A connection cut before or inside the reply is a broken connection."""
    async with Upstream(Reply((DROP,)), Reply((b"{", DROP))) as upstream:
        errors = [await failure(upstream.base_url) for _ in range(2)]

    assert [type(error) for error in errors] == [Unreachable, Unreachable]


async def test_silence_is_timed_out() -> None:
    """A server that accepts and says nothing runs into the client's timeout."""
    async with Upstream(hang()) as upstream:
        error = await failure(upstream.base_url, timeout=aiohttp.ClientTimeout(total=0.05))

    assert type(error) is TimedOut


async def test_an_address_that_is_none_is_a_bad_request() -> None:
    """A mistyped address is the caller's to mend, not worth a retry."""
    error = await failure("ftp:/nowhere")

    assert type(error) is BadRequest
    assert "api_base" in error.message


async def test_html_in_place_of_an_answer_is_the_providers_failure() -> None:
    """A 200 with the wrong content type is not an answer."""
    async with Upstream(Reply((b"<html>",), headers={"content-type": "text/html"})) as upstream:
        error = await failure(upstream.base_url)

    assert type(error) is ProviderFailed


async def test_what_is_not_http_is_the_providers_failure() -> None:
    """A server that does not speak HTTP is not taken for one that sent a 400."""

    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 smtp.example.com\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server:
        error = await failure(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")

    assert (type(error), error.status) == (ProviderFailed, None)
