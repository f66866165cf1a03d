"""Debian's chromium without a window, driven over its DevTools protocol."""

from __future__ import annotations

import asyncio
import json
import shutil
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-background-networking"),
)
PORT = "DevToolsActivePort"
"""The file into which it writes where it listens."""


@dataclass
class Tab:
    """One page in it."""

    socket: aiohttp.ClientWebSocketResponse
    events: list[dict[str, Any]] = field(default_factory=list)
    _ids: count[int] = field(default_factory=count)

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol; what else it says meanwhile is kept in `events`."""
        id_ = next(self._ids)
        await self.socket.send_json({"id": id_, "method": method, "params": parameters})
        while True:
            message = json.loads(await self.socket.receive_str(timeout=60))
            if message.get("id") == id_:
                assert "error" not in message, (method, message)
                result: dict[str, Any] = message["result"]
                return result
            self.events.append(message)

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        done = await self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    async def open(self, page: Path, *, width: int = 1280, scheme: str = "light") -> None:
        """Show a file in a window of so many pixels, in a light or dark scheme."""
        for domain in ("Page", "Runtime", "Network", "Log"):
            await self.send(f"{domain}.enable")
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        await self.send("Emulation.setDeviceMetricsOverride", **size)
        await self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        await self.send("Page.navigate", url=page.as_uri())
        for _ in range(1200):
            if await self.evaluate(f"document.readyState + location.href === 'complete{page.as_uri()}'"):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{page} is still loading after a minute")

    async def press(self, key: str, code: int) -> None:
        """Press a key and let it go."""
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            await self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def named(self, *methods: str) -> list[dict[str, Any]]:
        """What the events of these names say."""
        return [event["params"] for event in self.events if event["method"] in methods]


@asynccontextmanager
async def chromium(folder: Path) -> AsyncIterator[Tab]:
    """Start it with a profile in an empty folder; that there is none is a failure."""
    program = shutil.which("chromium")
    assert program, "chromium is not installed; run `apt-get install chromium`"
    process = await asyncio.create_subprocess_exec(
        *(program, *FLAGS, "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(60):
            while not (folder / PORT).exists() or "\n" not in (written := (folder / PORT).read_text()):
                assert process.returncode is None, f"chromium ended with {process.returncode}"
                await asyncio.sleep(0.05)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{written.splitlines()[0]}") as session:
            async with session.get("/json/list") as response:
                pages = [page for page in await response.json() if page["type"] == "page"]
            async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                yield Tab(socket)
    finally:
        if process.returncode is None:
            process.terminate()
            async with asyncio.timeout(60):
                await process.wait()
