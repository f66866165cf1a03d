"""HTTP connections: one session per event loop, closed with it."""

from __future__ import annotations

import asyncio
import importlib
import weakref
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import aiohttp

IMPORTED_LATE = ("aiohttp", "encodings.idna")
"""What the first call would import: 0.2 s of CPU, a second on a busy machine."""

MAX_HEADER_BYTES = 64 * 1024
"""Of one header of a reply: some gateways put a whole policy, or what they traced, into one."""

_Scope: TypeAlias = "AsyncGenerator[aiohttp.ClientSession, None]"


class Sessions:
    """One aiohttp session per event loop, opened on first use.

    A session ends with `aclose()`, or with its event loop: it lives inside an asynchronous generator, and
    every loop runner closes those (`asyncio.run`, uvicorn, a notebook) before it closes the loop.
    """

    def __init__(self) -> None:
        self._open: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[aiohttp.ClientSession, _Scope]]
        self._open = weakref.WeakKeyDictionary()

    def of_this_loop(self) -> aiohttp.ClientSession | None:
        """Return the session of the running loop, if it is open."""
        held = self._open.get(asyncio.get_running_loop())
        return held[0] if held and not held[0].closed else None

    async def get(self) -> aiohttp.ClientSession:
        """Return the session of the running loop; open it if need be."""
        session = self.of_this_loop()
        if session is None:
            scope = self._scope()
            session = await anext(scope)
            self._open[asyncio.get_running_loop()] = (session, scope)
        return session

    async def prepare(self) -> None:
        """Do what the first call would have to wait for: a server does it before it says that it is ready.

        The imports run in a thread, so that whatever else runs on this event loop goes on meanwhile.
        """
        for name in IMPORTED_LATE:
            await asyncio.to_thread(importlib.import_module, name)
        await self.get()

    async def aclose(self) -> None:
        """Close the session of the running loop."""
        held = self._open.get(asyncio.get_running_loop())
        if held:
            await held[1].aclose()

    async def _scope(self) -> _Scope:
        import aiohttp

        # Proxies and netrc of the environment are left out: keys go to the configured address and nowhere else.
        session = aiohttp.ClientSession(
            # No bound here, where nobody would see who waits and a server would be blamed for it: `Slots` is one.
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=False,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )
        try:
            yield session
        finally:
            # A session knows its loop, so an entry that stayed would keep the loop alive for ever.
            self._open.pop(asyncio.get_running_loop(), None)
            await session.close()
