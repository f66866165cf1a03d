"""The ASGI application of the default configuration: `uvicorn mollm.server.asgi:app`.

Nothing is built on import. The server that runs it starts it, and is told what is wrong with the configuration then.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mollm.errors import ConfigError
from mollm.server.app import app_of
from mollm.server.deployment import Deployment

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class _App:
    """An application that is built when it is first called."""

    def __init__(self) -> None:
        self._app: ASGIApp | None = None
        self._building = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            app = self._app or await self._built()
        except ConfigError as error:
            if scope["type"] != "lifespan":
                raise
            await receive()
            await send({"type": "lifespan.startup.failed", "message": f"mollm: {error}"})
            return
        await app(scope, receive, send)

    async def _built(self) -> ASGIApp:
        async with self._building:
            if self._app is None:
                deployment = await asyncio.to_thread(Deployment)
                await deployment.start()
                self._app = app_of(deployment)
            return self._app


app = _App()
