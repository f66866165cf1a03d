"""A server of ours on loopback, in the event loop of the test, and a client to talk to it.

async with Upstream(answer("Four.")) as upstream, served(config_of(upstream)) as server:
    reply = await server.chat(model="one")
    assert reply.status == 200 and reply.body["choices"][0]["message"]["content"] == "Four."
"""

from __future__ import annotations

import asyncio
import io
import json
import socket
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import uvicorn
from prometheus_client.parser import text_string_to_metric_families

from mollm.server.app import app_of
from mollm.server.deployment import Deployment
from mollm.server.process import uvicorn_config

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from fastapi import FastAPI

    from tests.upstream import Upstream

HI = [{"role": "user", "content": "Hi"}]


def config_of(upstream: Upstream, **sections: Any) -> dict[str, Any]:
    """Three LLMs at `upstream`; the mixture `one` has one worker, `three` has three and an aggregator."""
    llm = {"model": "hosted_vllm/m", "api_base": upstream.base_url, "retries": 0, "context_window": 8192}
    mixtures = {
        "one": {"description": "One worker.", "workers": ["a"]},
        "three": {"description": "Three workers.", "workers": ["a", "b", "c"]},
    }
    return {
        "llms": dict.fromkeys("abc", llm),
        "mixtures": mixtures,
        "router": {"fallback": "three"},
        **sections,
    }


@dataclass(frozen=True)
class Reply:
    """One response, read to its end."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        """The JSON document."""
        return json.loads(self.raw)

    @property
    def events(self) -> list[Any]:
        """The data of every event, parsed; `[DONE]` as it is."""
        data = [line.removeprefix("data: ") for line in self.raw.decode().split("\n\n") if line]
        return [item if item == "[DONE]" else json.loads(item) for item in data]

    @property
    def text(self) -> str:
        """The content of a stream's chunks, put together."""
        chunks = [event for event in self.events if event != "[DONE]" and event.get("choices")]
        return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)


class Events:
    """One streamed response, read event by event."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        """Read what `response` brings."""
        self.status, self.headers = response.status, response.headers
        self._content, self._held = response.content, b""

    @property
    def held(self) -> bytes:
        """What was read beyond the last event."""
        return self._held

    async def event(self) -> Any:
        """The data of the next event, parsed, and `[DONE]` as it is; None at the orderly end."""
        async with asyncio.timeout(20):
            while b"\n\n" not in self._held:
                piece = await self._content.readany()
                if not piece:
                    assert not self._held, "the end came in the middle of an event"
                    return None
                self._held += piece
        data, _, self._held = self._held.partition(b"\n\n")
        data = data.removeprefix(b"data: ")
        return "[DONE]" if data == b"[DONE]" else json.loads(data)

    async def rest(self) -> list[Any]:
        """The events that are still to come, up to the orderly end."""
        found = []
        while (event := await self.event()) is not None:
            found.append(event)
        return found


class Caller:
    """Talks to a server, wherever it runs."""

    def __init__(self, base: str, session: aiohttp.ClientSession) -> None:
        """Speak to `base`."""
        self.base, self.session = base, session

    async def chat(self, **body: Any) -> Reply:
        """Post a chat completion; `messages` says Hi where it is not given."""
        return await self.post("/v1/chat/completions", {"messages": HI, **body})

    async def post(self, path: str, body: Any, **headers: str) -> Reply:
        """Post a JSON document, or bytes as they are; underscores in header names become dashes."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        data = io.BytesIO(raw) if len(raw) > 1 << 20 else raw  # which aiohttp sends in pieces
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.post(self.base + path, data=data, headers=named) as response:
            return Reply(response.status, response.headers, await response.read())

    @asynccontextmanager
    async def open(self, **body: Any) -> AsyncGenerator[Events, None]:
        """Post a chat completion that is streamed; leaving the block early closes the connection."""
        data = {"messages": HI, "stream": True, **body}
        async with self.session.post(self.base + "/v1/chat/completions", json=data) as response:
            yield Events(response)

    async def metric(self, name: str, **labels: str) -> float:
        """One value of `/metrics`, which holds no such sample where it is 0; `mollm_` stands before `name`."""
        page = (await self.get("/metrics")).raw.decode()
        samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
        found = [s.value for s in samples if s.name == f"mollm_{name}" and s.labels == labels]
        return found[0] if found else 0.0

    async def get(self, path: str, **headers: str) -> Reply:
        """Get a document."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.get(self.base + path, headers=named) as response:
            return Reply(response.status, response.headers, await response.read())


class Client(Caller):
    """Talks to a server of this process."""

    def __init__(self, base: str, session: aiohttp.ClientSession, deployment: Deployment) -> None:
        """Speak to `base`, which `deployment` is behind."""
        super().__init__(base, session)
        self.deployment = deployment


async def until(holds: Callable[[], object]) -> None:
    """Wait for what cannot be waited for in another way, and not for long."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - nothing to wait for
            await asyncio.sleep(0.005)


@asynccontextmanager
async def served(
    config: Any, *, app_of: Callable[[Deployment], FastAPI] = app_of, **given: Any
) -> AsyncGenerator[Client, None]:
    """Serve `config` while the block runs."""
    deployment = Deployment(config, **given)
    # asyncio sends without delay on a socket only that says it is TCP's; else every reply would wait 40 ms for an ACK.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.bind(("127.0.0.1", 0))
    options = uvicorn_config(app_of(deployment))
    options.timeout_graceful_shutdown, options.timeout_keep_alive = 1, 600
    server = uvicorn.Server(options)
    stop = asyncio.Event()

    async def until_stopped() -> None:
        await server.on_tick(0)
        await stop.wait()

    server.capture_signals = nullcontext  # type: ignore[method-assign, assignment] # signals are pytest's
    server.main_loop = until_stopped  # type: ignore[method-assign] # its own looks ten times a second
    task = asyncio.create_task(server.serve(sockets=[bound]))
    while not server.started and not task.done():  # noqa: ASYNC110 - nothing to wait for
        await asyncio.sleep(0.005)
    base = f"http://127.0.0.1:{bound.getsockname()[1]}"
    try:
        async with aiohttp.ClientSession() as session:
            yield Client(base, session, deployment)
    finally:
        stop.set()
        await task
        bound.close()
