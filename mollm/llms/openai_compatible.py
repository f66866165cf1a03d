"""Any address that speaks OpenAI's chat completions: vLLM, llama.cpp, Ollama, and hosted ones. The fast path.

HTTP is spoken here, not through an SDK: building and validating response objects costs an SDK 0.8 ms of CPU
per call and 80 µs per streamed chunk; a dictionary from orjson costs 0.06 ms and 5 µs.
"""

from __future__ import annotations

import asyncio
import io
import re
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import orjson

from mollm import depth
from mollm.calling.fields import AUTO, Fields
from mollm.calling.http import Sessions
from mollm.calling.reading import ReplyReader
from mollm.calling.said import READ_AT_MOST
from mollm.calling.translate import from_status
from mollm.config.addresses import ENDPOINT, BaseURL
from mollm.errors import BadRequest, LLMError, ProviderFailed, TooDeep

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import aiohttp
    from multidict import CIMultiDict

    from mollm.calling.base import Chunk, Completion, Request

MAX_REPLY_BYTES = 16 * 1024 * 1024
"""A fan-out multiplies whatever an upstream sends, so a reply has a ceiling."""
LARGE = 256 * 1024
"""Bytes of a reply that is read in a thread, so that the event loop does not wait for it."""
MAX_PIECE_BYTES = 1024 * 1024
"""Of a request that is written at once; the event loop would wait for a larger one, which is sent in pieces."""
_SAFE_PLACE = re.compile(r"https?://[A-Za-z0-9.:\[\]-]{1,100}")


class OpenAICompatibleLLM:
    """A model behind one OpenAI-speaking address; `ReliableLLM` takes several of these for several addresses.

    Attributes:
        address: Host and port of it, without credentials.
    """

    def __init__(
        self,
        model: str,
        *,
        api_base: str,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        proxy: str | None = None,
        connect_seconds: float = 5.0,
        sessions: Sessions | None = None,
        fields: Fields = AUTO,
    ) -> None:
        """Remember where to call; nothing is opened yet.

        Args:
            model: As the server names it.
            api_base: The address up to and including `/v1`, and a query that every request is to have.
            api_key: Sent as a bearer token; to this address only, redirects are not followed.
            headers: Sent beside it, to this address only as well.
            proxy: The address of an HTTP proxy to call through, with user and password; None: none, whatever the
                environment says.
            connect_seconds: Time for a connection to open.
            sessions: Shared with other LLMs, and closed by whoever opened them; None: its own.
            fields: Which request fields the server takes.

        Raises:
            ValueError: `api_base` is no address.
        """
        base = BaseURL.parse(api_base)
        self.address = base.address
        self._url, self._models_url = base.join(ENDPOINT), base.join("/models")
        self._model = model
        self._api_key = api_key
        self._own_headers = dict(headers or {})
        self._proxy = proxy
        self._connect_seconds = connect_seconds
        self._fields = fields
        self._is_ours = False  # a server of ours, which wants to know how deep a question is
        self._owns_sessions = sessions is None
        self._sessions = sessions or Sessions()

    async def complete(self, request: Request) -> Completion:
        """Return the whole reply."""
        session = self._sessions.of_this_loop() or await self._sessions.get()
        async with await self._send(session, request) as response:
            raw = await _read(response)
        reader = ReplyReader(response.headers, response.charset)
        if len(raw) < LARGE:
            return reader.completion(raw, request)
        return await asyncio.to_thread(reader.completion, raw, request)

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:
        """Yield the reply piece by piece; closing the iterator closes the connection.

        Raises:
            ProviderFailed: Among others when the stream ends without a `finish_reason` or `[DONE]`: what was
                cut off is never passed off as whole.
        """
        size = 0
        session = self._sessions.of_this_loop() or await self._sessions.get()
        async with await self._send(session, request, stream=True) as response:
            reader = ReplyReader(response.headers, response.charset)
            async for received in response.content.iter_any():
                size += len(received)
                if size > MAX_REPLY_BYTES:
                    raise _too_large(response)
                for data in reader.events(received):
                    chunk = reader.chunk(data)
                    if chunk is not None:
                        yield chunk
                    elif reader.is_done:
                        break
                if reader.is_done:
                    await _finish(response)
                    break
            for chunk in reader.end():
                yield chunk

    async def context_window(self) -> int | None:
        """Ask the server how many tokens a prompt and its answer may have; None where it does not say.

        Raises:
            LLMError: It does not let this be asked, although there is such a place.
        """
        session = await self._sessions.get()
        async with session.get(self._models_url, **self._options) as response:
            if response.status in (404, 405, 501):
                return None
            if response.status != 200:
                raise await _refusal(response)
            return _window_of(self._model, orjson.loads(await _read(response)))

    async def prepare(self) -> None:
        """Open the session of the running event loop now; the imports it takes are done in a thread."""
        await self._sessions.prepare()

    async def aclose(self) -> None:
        """Close its own connections on the running event loop; shared ones carry the calls of others."""
        if self._owns_sessions:
            await self._sessions.aclose()

    async def _send(
        self, session: aiohttp.ClientSession, request: Request, *, stream: bool = False
    ) -> aiohttp.ClientResponse:
        """Post the request, once more where only a field was refused that another name or none makes good.

        Returns:
            A response with a status of success, for the caller to close.

        Raises:
            LLMError: It has another status.
            TooDeep: It is a server of ours that would answer a question inside a question inside a question.
        """
        sent = self._fields
        response = await self._post(session, self._body(request, sent, stream=stream))
        if _is_success(response):
            return response
        async with response:
            refusal = await self._refusal(response)
        fields = sent if isinstance(refusal, TooDeep) else sent.without(refusal.refused)
        if fields == sent:
            raise refusal
        response = await self._post(session, self._body(request, fields, stream=stream))
        if not _is_success(response):
            async with response:
                raise await self._refusal(response)
        self._fields = fields
        return response

    def _body(self, request: Request, fields: Fields, *, stream: bool) -> bytes:
        body: dict[str, Any] = {
            "model": self._model,
            "messages": list(request.messages),
            **request.settings.payload(),
        }
        if stream:
            body["stream"] = True
        fields.write(body, stream=stream)
        try:
            return orjson.dumps(body)
        except orjson.JSONEncodeError as error:
            raise BadRequest(f"the request cannot be written as JSON: {error}") from None

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> aiohttp.ClientResponse:
        data = io.BytesIO(body) if len(body) > MAX_PIECE_BYTES else body
        options, is_told = self._options, self._is_ours
        if is_told:
            headers = self._headers.copy()
            headers[depth.HEADER] = str(depth.level())
            options = {**options, "headers": headers}
        response = await session.post(self._url, data=data, timeout=self._timeout, **options)
        if response.status != depth.ASKED or is_told or depth.HEADER not in response.headers:
            return response
        async with response:
            await _read(response, READ_AT_MOST)
        self._is_ours = True
        return await self._post(session, body)

    async def _refusal(self, response: aiohttp.ClientResponse) -> LLMError | TooDeep:
        refusal = await _refusal(response)
        return depth.refused_at(self.address) if self._is_ours and refusal.code == TooDeep.kind else refusal

    # These come from aiohttp, which is imported when it is first needed, and would be made anew for every call.

    @cached_property
    def _headers(self) -> CIMultiDict[str]:
        from multidict import CIMultiDict

        headers = CIMultiDict({**self._own_headers, "content-type": "application/json"})
        headers.setdefault("user-agent", depth.AGENT)
        if self._api_key:
            headers["authorization"] = f"Bearer {self._api_key}"
        return headers

    @cached_property
    def _options(self) -> dict[str, Any]:
        options = {"headers": self._headers, "allow_redirects": False}
        return {**options, "proxy": self._proxy} if self._proxy else options

    @cached_property
    def _timeout(self) -> aiohttp.ClientTimeout:
        import aiohttp

        return aiohttp.ClientTimeout(sock_connect=self._connect_seconds)


async def _read(response: aiohttp.ClientResponse, most: int | None = None) -> bytes:
    """Read a body; more than `MAX_REPLY_BYTES` is an error, more than `most` is left unread."""
    if (response.content_length or MAX_REPLY_BYTES) <= 65_536 and not response.headers.get("content-encoding"):
        return await response.read()
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        parts.append(part)
        if most is not None and size >= most:
            break
        if size > MAX_REPLY_BYTES:
            raise _too_large(response)
    return b"".join(parts)


def _is_success(response: aiohttp.ClientResponse) -> bool:
    return 200 <= response.status < 300


async def _refusal(response: aiohttp.ClientResponse) -> LLMError:
    if 300 <= response.status < 400:
        return ProviderFailed(_redirect(response), status=response.status)
    return from_status(response.status, response.headers, await _read(response, READ_AT_MOST), "")


def _window_of(model: str, listed: Any) -> int | None:
    """Find the window of a model in what `/models` lists; an adapter has that of the model under it."""
    found = listed.get("data") if isinstance(listed, dict) else listed
    entries = [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
    by_id = {entry["id"]: entry for entry in reversed(entries) if isinstance(entry.get("id"), str)}
    entry = by_id.get(model) or (entries[0] if entries else None)
    for _ in entries:
        if entry is None:
            return None
        meta = entry.get("meta")
        loaded = meta.get("n_ctx") if isinstance(meta, dict) else None
        for size in (entry.get("max_model_len"), loaded, entry.get("context_length")):
            if isinstance(size, int) and size > 0:
                return size
        entry = by_id.get(entry.get("parent") or "")
    return None


async def _finish(response: aiohttp.ClientResponse) -> None:
    # What follows [DONE] is the end of the body; unread, it would cost the connection.
    with suppress(TimeoutError):
        async with asyncio.timeout(0.1):
            await response.content.readany()


def _redirect(response: aiohttp.ClientResponse) -> str:
    """Say that it redirects and where to, without the path and the query, which may hold a secret."""
    try:
        to = urlsplit(urljoin(str(response.url), response.headers["location"]))
        place = f"{to.scheme}://{to.netloc.rpartition('@')[2]}"
    except (KeyError, ValueError):
        place = ""
    named = f" to {place}" if _SAFE_PLACE.fullmatch(place) else ""
    why = "redirects are not followed, as they would take the key along; check `api_base`"
    return f"it redirects{named}, and {why} (HTTP {response.status})"


def _too_large(response: aiohttp.ClientResponse) -> ProviderFailed:
    return ProviderFailed(f"a reply of more than {MAX_REPLY_BYTES >> 20} MiB", status=response.status)
