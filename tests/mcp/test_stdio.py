"""`mollm mcp` in a process of its own, over its standard input and output."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.command import TEAM, run
from tests.mcp.client import asked, connected, text_of
from tests.mcp.test_tools import config_of
from tests.upstream import Upstream, answer, hang

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

pytestmark = pytest.mark.process

COMMAND = (sys.executable, "-W", "error", "-m", "mollm", "mcp")
PRINTING = """
import os

def pick(question):
    print("printed", flush=True)
    os.write(1, b"written\\n")
    return "team"
"""
"""A router that writes to standard output, as a library may."""
HANDSHAKE = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}


class Pipes:
    """A client that writes what it likes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin
        assert process.stdout
        self.process, self._in, self._out = process, process.stdin, process.stdout

    async def send(self, *lines: Any) -> None:
        """Write lines, documents as JSON."""
        for line in lines:
            self._in.write((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n")
        await self._in.drain()

    async def begin(self) -> None:
        """Shake hands."""
        await self.send({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HANDSHAKE})
        assert (await self.reply())["id"] == 0
        await self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    async def ask(self, id: Any, question: str, **arguments: Any) -> None:  # noqa: A002 - the field's name
        """Ask, without waiting."""
        params = {"name": "ask", "arguments": {"question": question, **arguments}}
        await self.send({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})

    async def reply(self) -> Any:
        """Read a line."""
        async with asyncio.timeout(30):
            return json.loads(await self._out.readline())

    def vanish(self) -> None:
        """Close all three pipes, as the system does for a client that is killed."""
        for number in range(3):
            self.process._transport.get_pipe_transport(number).close()  # type: ignore[attr-defined] # noqa: SLF001

    async def end(self) -> tuple[int, str, str]:
        """Wait for the end of the process, and return its exit code and what else it wrote."""
        async with asyncio.timeout(20):
            out, said = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, out.decode(), said.decode()


@asynccontextmanager
async def piped(folder: Path, config: Any) -> AsyncGenerator[Pipes, None]:
    """Run the command with pipes."""
    path = folder / "mollm.yaml"
    path.write_text(yaml.safe_dump(config))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "-c", str(path), stdin=pipe, stdout=pipe, stderr=pipe, cwd=folder, limit=1 << 26
    )
    try:
        yield Pipes(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_an_agent_asks_over_standard_input_and_output(tmp_path: Path) -> None:
    """With the SDK's client: tools, an answer with progress, two questions at once, and one that is cancelled."""
    from mcp import StdioServerParameters

    steps: list[float] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        assert total
        assert message
        steps.append(progress)

    async with Upstream() as upstream:
        upstream.reply_to = lambda got: hang() if "Why?" in str(got.body["messages"]) else answer("Four.")
        path = tmp_path / "mollm.yaml"
        path.write_text(yaml.safe_dump(config_of(upstream)))
        command = StdioServerParameters(command=COMMAND[0], args=[*COMMAND[1:], "-c", str(path)])
        async with connected(command) as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == ["ask", "route", "mixtures"]
            found = await client.call_tool("ask", {"question": "2 + 2?"}, progress_callback=note)
            assert text_of(found) == "Four."
            assert steps == sorted(set(steps)) != []
            assert text_of(await client.call_tool("route", {"question": "Why?"})).startswith("team: ")

            call = asyncio.create_task(asked(client, "Why?"))
            other, third = await asyncio.gather(asked(client, "2 + 2?"), asked(client, "3 + 1?", mixture="solo"))
            assert (text_of(other), text_of(third)) == ("Four.", "Four.")
            assert not call.done()
            call.cancel()
            async with asyncio.timeout(5):
                for received in upstream.received:
                    await (received.closed_early if "Why?" in str(received.body) else received.done).wait()


async def test_a_client_may_write_nonsense_and_a_huge_question_and_then_be_killed(tmp_path: Path) -> None:
    """Lines that are no messages are passed over; with the pipes, the upstream's connection is closed, and it ends."""
    async with Upstream() as upstream:
        upstream.reply_to = lambda got: hang() if "Why?" in str(got.body["messages"]) else answer("Four.")
        config = config_of(upstream)
        config["llms"] = {name: {**llm, "context_window": 10**7} for name, llm in config["llms"].items()}
        async with piped(tmp_path, config) as client:
            await client.send(b"", b"{", b"[1]", b"\xff\xfe", b'{"jsonrpc": "2.0"}', b"[" * 100_000)
            await client.begin()
            await client.send(b"null", b'{"jsonrpc": "2.0", "id": null, "method": "tools/call"}')
            await client.ask(1, "2 + 2? " * 500_000, mixture="solo")
            reply = await client.reply()
            assert (reply["id"], reply["result"]["structuredContent"]["text"]) == (1, "Four.")
            await client.ask(2, "Why?")
            call = await upstream.request(2)
            client.vanish()
            async with asyncio.timeout(10):
                await call.closed_early.wait()
                assert await client.process.wait() == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_a_signal_ends_it_at_once(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """While a question runs: it is answered with why. What a router prints is no message, and there is no traceback."""
    (tmp_path / "printing.py").write_text(PRINTING)
    async with Upstream() as upstream:
        upstream.reply_to = lambda _: hang()
        config = config_of(upstream, router={"kind": "python", "path": "printing:pick", "fallback": "team"})
        async with piped(tmp_path, config) as client:
            await client.begin()
            await client.ask("q", "Why?")
            call = await upstream.request(2)
            client.process.send_signal(number)
            reply = await client.reply()
            found, out, said = await client.end()

        assert (reply["id"], reply["result"]["isError"]) == ("q", True)
        assert reply["result"]["content"][0]["text"] == "mollm is about to stop"
        assert call.closed_early.is_set()
    assert (found, out) == (code, "")
    assert "Traceback" not in said
    assert "serving <MoLLM " in said
    assert "printed\n" in said
    assert "written\n" in said


def test_what_cannot_be_served_is_said_before_a_client_is_spoken_to(tmp_path: Path) -> None:
    """A mixture that is none, and options that would have no effect, with 2 and nothing on standard output."""
    (tmp_path / "mollm.yaml").write_text(TEAM)

    unknown = run("mcp", "--mixture", "teem", cwd=tmp_path)
    without = run("mcp", "--port", "0", cwd=tmp_path)

    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "did you mean 'team'?" in unknown.stderr
    assert (without.returncode, without.stdout) == (2, "")
    assert "takes --http as well" in without.stderr
