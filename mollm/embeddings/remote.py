"""Any address that speaks OpenAI's `/v1/embeddings`: vLLM, llama.cpp, Ollama, hosted ones.

What keeps calls to an LLM reliable does so here: retries with their budget, a breaker, translated errors.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from mollm.calling.addresses import Addresses
from mollm.calling.base import Request
from mollm.calling.bounds import Clock, Slots
from mollm.calling.health import RetryBudget
from mollm.calling.http import Sessions
from mollm.calling.inband import error_in
from mollm.calling.retries import Retries
from mollm.calling.said import READ_AT_MOST
from mollm.calling.translate import from_status
from mollm.config.addresses import BaseURL
from mollm.embeddings.rows import filled, readable, vectors_of
from mollm.embeddings.signs import PROBES, signs
from mollm.errors import ProviderFailed
from mollm.loops import all_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import aiohttp

    from mollm.calling.addresses import Attempt
    from mollm.embeddings.base import Vectors

ENDPOINT = "/embeddings"
BATCH = 64
"""Texts of one request; servers differ in what they take, and none takes fewer."""
IN_FLIGHT = 8
"""Requests at once."""
MAX_REPLY_BYTES = 64 * 1024 * 1024
LARGE = 64 * 1024
"""Bytes of a reply that is read in a thread, so that the event loop does not wait for it."""


class RemoteEmbedder:
    """Asks an address for vectors.

    Attributes:
        address: Host and port, without credentials.
    """

    def __init__(
        self,
        model: str,
        *,
        api_base: str,
        api_key: str | None = None,
        connect_seconds: float = 5.0,
        seconds: float = 30.0,
        retries: int = 2,
    ) -> None:
        """Remember where to ask; nothing is opened yet.

        Args:
            model: As the server names it.
            api_base: The address up to and including `/v1`, and a query that every request is to have.
            api_key: Sent as a bearer token; to this address only, redirects are not followed.
            connect_seconds: Time for a connection to open.
            seconds: Time for a request with its retries.
            retries: How often a request is tried again.

        Raises:
            ValueError: `api_base` is no address.
        """
        base = BaseURL.parse(api_base)
        self.address = base.address
        self._model, self._url = model, base.join(ENDPOINT)
        self._api_key = api_key
        self._connect_seconds, self._seconds = connect_seconds, seconds
        self._sessions = Sessions()
        self._slots = Slots(IN_FLIGHT)
        secrets = [secret for secret in (api_key, base.query) if secret]
        self._retries = Retries(self.name, Addresses([self]), retries, RetryBudget(), secrets)  # type: ignore[list-item]
        self._digest: str | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """`openai/` and the model, wherever it is served."""
        return f"openai/{self._model}"

    @property
    def digest(self) -> str:
        """By the vectors of a few texts, which are asked for once. Blocks, and raises as `embed`."""
        with self._lock:
            if self._digest is None:
                self._digest = hashlib.sha256(self.name.encode()).hexdigest()[:8] + signs(self.embed(PROBES))
            return self._digest

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Like `aembed`, for callers without an event loop: one is run for it, also in a thread of another."""

        async def ask() -> Vectors:
            try:
                return await self.aembed(texts)
            finally:
                await self.aclose()

        return asyncio.run(ask())

    async def aembed(self, texts: Sequence[str]) -> Vectors:
        """Ask for vectors of length 1, shape (n, d), 64 texts a request; a blank text becomes zeros.

        Raises:
            LLMError: It failed, after retries where they made sense; the `llm` of it is the name.
        """
        rows = filled(texts)
        batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
        found = await all_of([self._reach([texts[row] for row in rows]) for rows in batches])
        widths = {vectors.shape[1] for vectors in found}
        if len(widths) > 1:
            raise ProviderFailed("its vectors are of different widths", llm=self.name, status=200)
        vectors = np.zeros((len(texts), max(widths, default=1)), dtype=np.float32)
        for batch, part in zip(batches, found, strict=True):
            vectors[batch] = part
        return vectors

    async def aclose(self) -> None:
        """Close its connections on the running event loop."""
        await self._sessions.aclose()

    async def _reach(self, texts: list[str]) -> Vectors:
        clock = Clock(self._seconds, None)

        async def ask(attempt: Attempt) -> Vectors:
            async with asyncio.timeout_at(clock.until):
                vectors = await self._ask(texts)
            attempt.succeeded()
            return vectors

        request = Request([{"role": "user", "content": text} for text in texts])  # what a quotation may not repeat
        async with self._slots.slot(clock, self.name):
            return await self._retries.reach(ask, request, clock, None)

    async def _ask(self, texts: list[str]) -> Vectors:
        body = {"model": self._model, "input": [readable(text) for text in texts], "encoding_format": "float"}
        session = self._sessions.of_this_loop() or await self._sessions.get()
        async with session.post(self._url, data=orjson.dumps(body), timeout=self._timeout, **self._options) as response:
            if 300 <= response.status < 400:
                why = "it redirects, and redirects are not followed, as they would take the key along; check `api_base`"
                raise ProviderFailed(f"{why} (HTTP {response.status})", status=response.status)
            raw = await _read(response)
            if not 200 <= response.status < 300:
                raise from_status(response.status, response.headers, raw[:READ_AT_MOST], "")
        if len(raw) < LARGE:
            return _vectors(raw, response.headers, len(texts))
        return await asyncio.to_thread(_vectors, raw, response.headers, len(texts))

    @cached_property
    def _options(self) -> dict[str, Any]:
        headers = {"content-type": "application/json"}
        if self._api_key:
            headers["authorization"] = f"Bearer {self._api_key}"
        return {"headers": headers, "allow_redirects": False}

    @cached_property
    def _timeout(self) -> aiohttp.ClientTimeout:
        import aiohttp

        return aiohttp.ClientTimeout(sock_connect=self._connect_seconds)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        parts.append(part)
        if size > MAX_REPLY_BYTES:
            raise ProviderFailed(f"a reply of more than {MAX_REPLY_BYTES >> 20} MiB", status=response.status)
    return b"".join(parts)


def _vectors(raw: bytes, headers: Mapping[str, str], texts: int) -> Vectors:
    """Read a reply: one vector for each text, in the order of the texts by their `index`, at length 1.

    Raises:
        ProviderFailed: It is none; one of its kin if it is an error.
    """
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise ProviderFailed("the reply is no JSON; check `api_base`", status=200) from None
    if isinstance(document, dict) and "data" not in document and (error := error_in(document, headers)):
        raise error
    try:
        rows = document["data"]
        if {row.get("index") for row in rows} == set(range(texts)):  # else it says nothing, and they come as sent
            rows = sorted(rows, key=lambda row: row["index"])
        with np.errstate(over="ignore"):  # what is too large is infinite, and refused
            vectors = vectors_of([_numbers(row["embedding"]) for row in rows], texts)
    except (LookupError, TypeError, ValueError, AttributeError):
        vectors = None
    if vectors is None:
        raise ProviderFailed("the reply is not one vector for each text", status=200)
    return vectors


def _numbers(found: Any) -> Any:
    """A vector as numbers; some servers send it in base64 whatever was asked for."""
    return np.frombuffer(base64.b64decode(found, validate=True), dtype="<f4") if isinstance(found, str) else found
