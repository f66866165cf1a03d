"""The default configuration for whoever runs ASGI servers themselves."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import yaml

from mollm.server.asgi import _App
from tests.server.served import served
from tests.server.test_process import SCRIPTED, Server, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    import pytest

    from mollm.extending import Brief, Calls, Event, Token


@asynccontextmanager
async def uvicorn(path: Path, port: int) -> AsyncGenerator[Server, None]:
    """Run the command of uvicorn, with the configuration in the environment as for ours."""
    command = (sys.executable, "-m", "uvicorn", "mollm.server.asgi:app", "--port", str(port))
    pipe = asyncio.subprocess.PIPE
    environ = {**os.environ, "MOLLM_CONFIG": str(path)}
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, env=environ)
    async with aiohttp.ClientSession() as session:
        server = Server(process, session)
        server.base = f"http://127.0.0.1:{port}"
        try:
            yield server
        finally:
            if process.returncode is None:
                process.kill()
            await server.ends()


async def test_uvicorn_serves_the_default_configuration(tmp_path: Path) -> None:
    """By the name of the application alone; it starts, answers and ends in order."""
    path = tmp_path / "mollm.yaml"
    path.write_text(yaml.safe_dump(SCRIPTED))
    async with uvicorn(path, free_port()) as server:
        await server.says("startup complete")
        await server.says("running on")
        reply = await server.chat(model="one")
        server.process.terminate()
        await server.ends(within=10)

    assert reply.body["choices"][0]["message"]["content"] == "Four."
    assert "Traceback" not in "\n".join(server.lines)


async def test_what_is_wrong_with_it_is_said_when_it_starts(tmp_path: Path) -> None:
    """File, line and key, without a traceback; nothing is served."""
    path = tmp_path / "mollm.yaml"
    path.write_text(yaml.safe_dump(SCRIPTED).replace("- a", "- nobody"))
    async with uvicorn(path, free_port()) as server:
        code = await server.ends(within=30)

    said = "\n".join(server.lines)
    assert code != 0
    assert "Traceback" not in said
    assert f"mollm: {path}:" in said
    assert "mixtures.one.workers[0].llm: no LLM 'nobody'" in said


async def test_it_is_built_once_also_where_nobody_starts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server without ASGI's lifespan sends questions at once, several at the same moment."""
    path = tmp_path / "mollm.yaml"
    path.write_text(yaml.safe_dump(SCRIPTED))
    monkeypatch.setenv("MOLLM_CONFIG", str(path))
    app = _App()
    applications: list[Any] = []

    async def health() -> None:
        scope = {"type": "http", "method": "GET", "path": "/health", "headers": [], "query_string": b""}

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b""}

        async def send(_: Any) -> None: ...

        await app(scope, receive, send)
        applications.append(scope["app"])

    await asyncio.gather(*(health() for _ in range(4)))

    assert len(applications) == 4
    assert len(set(map(id, applications))) == 1


async def test_an_application_takes_what_people_implement() -> None:
    """Aggregators and observers of one's own, as `MoLLM` does; a reload keeps them."""
    heard: list[str] = []

    class Hearing:
        def tell(self, event: Event) -> None:
            heard.append(type(event).__name__)

        async def show(self, token: Token) -> None: ...

    class First:
        async def aggregate(self, brief: Brief, calls: Calls) -> str:  # noqa: ARG002 - the interface has them
            return f"first of {len(brief.proposals)}"

    llms = {name: {"model": f"scripted/{name}"} for name in "ab"}
    panel = {"description": "d", "workers": ["a", "b"], "aggregator": {"method": "first"}}
    config = {"llms": llms, "mixtures": {"m": panel}}
    async with served(config, aggregators={"first": First()}, observers=[Hearing()]) as server:
        replies = [await server.chat(model="m")]
        assert await server.deployment.reload()
        replies.append(await server.chat(model="m"))

    assert [reply.body["choices"][0]["message"]["content"] for reply in replies] == ["first of 2"] * 2
    assert heard.count("Done") == 2
