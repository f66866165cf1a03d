"""The process of `mollm serve`: its address, its signals and its exit codes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml

from mollm.server.app import create_app
from mollm.server.outlet import LONGEST_SEND
from mollm.server.process import _bind, uvicorn_config
from tests.server.served import Caller, config_of
from tests.upstream import Upstream, answer, error, hang, stream

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncGenerator
    from pathlib import Path

COMMAND = (sys.executable, "-W", "error", "-m", "mollm", "serve")


class Server(Caller):
    """`mollm serve` in a process of its own."""

    def __init__(self, process: Process, session: aiohttp.ClientSession) -> None:
        super().__init__("", session)
        self.process = process
        self.said: list[str] = []
        """What it wrote to standard error, line by line."""
        self._news = asyncio.Condition()
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        assert self.process.stderr
        while line := await self.process.stderr.readline():
            async with self._news:
                self.said.append(line.decode().rstrip("\n"))
                self._news.notify_all()
        async with self._news:
            self.said.append("")
            self._news.notify_all()

    async def says(self, words: str) -> str:
        """Wait for a line with `words` in it."""
        async with asyncio.timeout(30), self._news:
            await self._news.wait_for(lambda: any(words in line for line in self.said) or "" in self.said)
        return next(line for line in self.said if words in line)

    async def says_more(self, than: int) -> None:
        """Wait until it has said more lines than so many."""
        async with asyncio.timeout(10), self._news:
            await self._news.wait_for(lambda: len(self.said) > than)

    @property
    def lines(self) -> list[str]:
        """What it said, once it has ended."""
        return self.said[:-1]

    async def ends(self, *, within: float = 30.0) -> int:
        """Wait for its end and return its exit code."""
        async with asyncio.timeout(within):
            await self._listening
            return await self.process.wait()


@asynccontextmanager
async def started(*command: str | Path) -> AsyncGenerator[Server, None]:
    """Run a command, which is killed if it does not end by itself."""
    environ = {name: value for name, value in os.environ.items() if name != "MOLLM_CONFIG"}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*map(str, command), stdout=pipe, stderr=pipe, env=environ)
    async with aiohttp.ClientSession() as session:
        server = Server(process, session)
        try:
            yield server
        finally:
            if process.returncode is None:
                process.kill()
            await server.ends()


@asynccontextmanager
async def serving(path: Path, *options: str) -> AsyncGenerator[Server, None]:
    """Run the command and wait until it serves."""
    async with started(*COMMAND, "-c", path, *options) as server:
        server.base = (await server.says("serving ")).rpartition(" on ")[2]
        yield server


SCRIPTED: dict[str, Any] = {
    "llms": {"a": {"model": "scripted/Four."}},
    "mixtures": {"one": {"description": "One.", "workers": ["a"]}},
}


def write(folder: Path, config: dict[str, Any], **server: Any) -> Path:
    """Write a configuration, by default one that listens on any free port."""
    path = folder / "mollm.yaml"
    path.write_text(yaml.safe_dump({**config, "server": {"port": 0, **server}}))
    return path


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


INSIDE = """
import asyncio, gc, signal

def tell(*_):
    kinds = {type(found) for found in gc.get_objects() if isinstance(found, asyncio.Protocol)}
    protocols = [base.__name__ for kind in kinds for base in kind.__mro__ if base.__module__.startswith("uvicorn")]
    print(type(asyncio.get_running_loop()).__module__, *protocols, flush=True)

signal.signal(signal.SIGUSR1, tell)
from mollm.cli.main import main
main()
"""


async def test_it_runs_on_what_is_fastest(tmp_path: Path) -> None:
    """uvloop and httptools are what serves, not only what is installed; SIGTERM ends an idle server with 0."""
    path = write(tmp_path, SCRIPTED)
    async with started(sys.executable, "-W", "error", "-c", INSIDE, "serve", "-c", path) as server:
        server.base = (await server.says("serving ")).rpartition(" on ")[2]
        reply = await server.chat(model="one")
        server.process.send_signal(signal.SIGUSR1)
        assert server.process.stdout
        told = (await server.process.stdout.readline()).decode().split()
        server.process.terminate()
        code = await server.ends(within=10)

    assert reply.body["choices"][0]["message"]["content"] == "Four."
    assert told == ["uvloop", "HttpToolsProtocol"]
    assert code == 0


IMPORTED = """
import signal, sys

known = set(sys.modules)

def tell(*_):
    new = set(sys.modules) - known
    print(*(sorted(new) if "mollm" in known else [len(new)]), flush=True)
    known.update(new)

signal.signal(signal.SIGUSR1, tell)
from mollm.cli.main import main
main()
"""


async def imported_by_the_first_questions(config: dict[str, Any], folder: Path) -> list[str]:
    """Modules that a server imports after it has said that it is ready: a whole answer, and a streamed one."""
    path = write(folder, config)
    async with started(sys.executable, "-c", IMPORTED, "serve", "-c", path) as server:
        server.base = (await server.says("serving ")).rpartition(" on ")[2]
        await server.get("/ready")
        assert server.process.stdout
        server.process.send_signal(signal.SIGUSR1)
        assert int(await server.process.stdout.readline()) > 100
        replies = [await server.chat(model="one"), await server.chat(model="three", stream=True)]
        server.process.send_signal(signal.SIGUSR1)
        found = (await server.process.stdout.readline()).decode().split()
        server.process.terminate()
        await server.ends(within=10)
    assert [reply.status for reply in replies] == [200, 200]
    return found


async def test_the_first_question_imports_nothing(tmp_path: Path) -> None:
    """A server that says it is ready answers the first question as fast as the second."""
    workers = [answer(f"{number}.") for number in range(3)]
    async with Upstream(answer("Four."), *workers, stream("Fi", "ve.")) as upstream:
        assert await imported_by_the_first_questions(config_of(upstream), tmp_path) == []


async def test_litellm_is_there_before_the_first_question(tmp_path: Path) -> None:
    """Its import takes seconds, which nobody should wait for."""
    workers = [answer(f"{number}.") for number in range(3)]
    async with Upstream(answer("Four."), *workers, stream("Fi", "ve.")) as upstream:
        config = config_of(upstream)
        llm = {**config["llms"]["a"], "model": "openai/m", "client": "litellm", "api_key": "x"}
        found = await imported_by_the_first_questions({**config, "llms": dict.fromkeys("abc", llm)}, tmp_path)

    assert "litellm" not in found


async def test_the_address_of_an_llm_must_not_be_its_own(tmp_path: Path) -> None:
    """Its mixtures would ask themselves; it says so with file, line and key, whatever the port is by then."""
    port = free_port()
    llm = {"model": "hosted_vllm/m", "api_base": f"http://localhost:{port}/v1"}
    path = write(tmp_path, {**SCRIPTED, "llms": {**SCRIPTED["llms"], "me": llm}}, port=port)
    async with started(*COMMAND, "-c", path) as server:
        code = await server.ends(within=20)

    assert code == 2
    (said,) = server.lines
    assert re.match(r"mollm: \S+\.yaml:\d+: llms\.me\.api_base: this is where the server itself listens", said)


async def test_two_at_one_address(tmp_path: Path) -> None:
    """One listens where the file says; the other, even if it is started at the same moment, says so in one line."""
    port = free_port()
    path = write(tmp_path, SCRIPTED, port=port)
    async with started(*COMMAND, "-c", path) as first, started(*COMMAND, "-c", path) as second:
        ends = {asyncio.create_task(server.ends()): server for server in (first, second)}
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        loser = ends[done.pop()]
        winner = second if loser is first else first
        address = (await winner.says("serving ")).rpartition(" on ")[2]
        winner.process.terminate()
        code = await winner.ends(within=10)

    assert loser.process.returncode == 2
    assert loser.lines == [f"mollm: server: 127.0.0.1 port {port} cannot be listened on: Address already in use"]
    assert address == f"http://127.0.0.1:{port}"
    assert code == 0
    assert len(winner.lines) == 1, "it says what it serves, and nothing else"


async def test_beyond_loopback_only_with_keys_that_are_long(tmp_path: Path) -> None:
    """It does not start, and names the key by its place in the file, not by what it is."""
    path = write(tmp_path, SCRIPTED, api_keys=["long-enough-for-anybody", "too-short"])
    async with started(*COMMAND, "-c", path, "--host", "0.0.0.0") as server:  # noqa: S104 - refused
        code = await server.ends()

    place = f"{path}:12: server.api_keys[1]"
    assert code == 2
    assert server.lines == [f"mollm: {place}: a key of less than 16 characters, and 0.0.0.0 is not loopback"]


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has it")
def test_a_client_that_reads_no_more_loses_its_connection() -> None:
    """The kernel ends it after as long as a client may leave unread what was sent; connections have it, too."""
    with _bind("127.0.0.1", 0) as bound, socket.create_connection(bound.getsockname()):
        accepted, _ = bound.accept()
        with accepted:
            seconds = [found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) for found in (bound, accepted)]

    assert seconds == [LONGEST_SEND * 1000] * 2


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="this system takes as much as it likes")
def test_the_kernel_takes_little_for_a_slow_reader() -> None:
    """A client that reads slowly does not get megabytes of a stream put in store for it, however long that is."""
    stored = 0
    with _bind("127.0.0.1", 0) as bound, socket.create_connection(bound.getsockname()) as client:
        connection, _ = bound.accept()
        with connection:
            connection.setblocking(False)
            for _ in range(200):  # a client that has read this much is given a larger buffer
                with suppress(BlockingIOError):
                    while True:
                        stored += connection.send(b"x" * 65536)
                stored -= len(client.recv(65536))
    assert stored < 1 << 21  # half of it is what the kernel takes; without the option it takes four


def test_connections_are_kept_longer_than_clients_keep_theirs() -> None:
    """Else a client or a proxy, which keep one for a minute, would send into one that is being closed."""
    assert uvicorn_config(create_app(SCRIPTED)).timeout_keep_alive >= 60


KEY, HEADER = "sk-Heidelbeere", "Rosenholz"
CLIENTS: dict[str, dict[str, Any]] = {
    "langchain-openai": {"model": "openai/m", "client": "langchain-openai", "api_key": KEY},
    "litellm": {"model": "openai/m", "client": "litellm", "api_key": KEY},
    "ours": {"model": "hosted_vllm/m", "api_key": KEY, "headers": {"X-Team": HEADER}},
}


@pytest.mark.parametrize("client", CLIENTS)
async def test_the_log_is_the_servers_own(client: str, tmp_path: Path) -> None:
    """No line of a library, and nothing of a path or a key, whether the LLM answers or fails."""
    async with Upstream(answer("Four."), error(400, f"no, not with {KEY}")) as upstream:
        llm = {**CLIENTS[client], "api_base": upstream.base_url, "retries": 0}
        path = write(tmp_path, {**SCRIPTED, "llms": {"a": llm}})
        async with serving(path) as server:
            replies = [await server.chat(model="one") for _ in range(2)]
            server.process.terminate()
            code = await server.ends(within=20)

    assert [reply.status for reply in replies] == [200, 400]
    assert code == 0
    said = "\n".join(server.lines)
    assert not [word for word in (HEADER, KEY, upstream.base_url) if word in said]
    kinds = [line.split(" ", 2)[2] for line in server.lines]
    beginnings = (
        f"INFO serving {path} ",
        "INFO one: answered after ",
        "WARNING a",
        "WARNING one: failed after ",
    )
    assert len(kinds) == 4, said
    assert "no, not with" in kinds[2]
    assert all(line.startswith(beginning) for line, beginning in zip(kinds, beginnings, strict=True)), said


async def test_sigterm_lets_a_stream_finish(tmp_path: Path) -> None:
    """Meanwhile the server says that it is not ready, and takes nothing new; then it ends with 0."""
    more = asyncio.Event()
    async with Upstream(stream("Fo", more, "ur.")) as upstream:
        path = write(tmp_path, config_of(upstream), host="127.0.0.2", port=1)
        async with serving(path, "--host", "127.0.0.1", "--port", "0") as server, server.open(model="one") as reply:
            first = [await reply.event(), await reply.event()]
            server.process.terminate()
            await server.says("stopping")
            ready, health = await server.get("/ready"), await server.get("/health")
            refused = [await server.chat(model="one", stream=stream) for stream in (False, True)]
            more.set()
            rest = await reply.rest()
            code = await server.ends(within=10)

    assert server.base.startswith("http://127.0.0.1:")
    assert (ready.status, ready.body) == (503, {"status": "draining"})
    assert health.status == 200
    assert [told.status for told in refused] == [503, 503]
    assert all(int(told.headers["retry-after"]) >= 1 for told in refused)
    assert first[-1]["choices"][0]["delta"] == {"content": "Fo"}
    assert rest[0]["choices"][0]["delta"] == {"content": "ur."}
    assert rest[-1] == "[DONE]"
    assert code == 0
    assert "1 HTTP request has 30 s to finish" in "\n".join(server.lines)


async def test_what_takes_too_long_is_told_so(tmp_path: Path) -> None:
    """After `drain` seconds a stream ends with an error event, anything else with 503; exit code 0 all the same."""
    async with Upstream(stream("Fo", asyncio.Event(), "ur."), hang()) as upstream:
        path = write(tmp_path, config_of(upstream), drain=0.2)
        async with serving(path) as server, server.open(model="one") as reply:
            await reply.event()
            await reply.event()
            whole = asyncio.create_task(server.chat(model="one"))
            await upstream.request(2)
            server.process.terminate()
            rest = await reply.rest()
            unstreamed = await whole
            code = await server.ends(within=10)
        closed = [received.closed_early.is_set() for received in upstream.received]

    assert [event["error"]["code"] for event in rest] == ["overloaded"]
    assert unstreamed.status == 503
    assert closed == [True, True]
    assert code == 0


async def test_a_body_that_is_still_arriving_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """It would be let in no more, so it is refused as those that wait are; there is no traceback."""
    async with serving(write(tmp_path, SCRIPTED)) as server:
        host, port = server.base.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{")
        assert (await server.get("/health")).status == 200
        server.process.terminate()
        told = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        code = await server.ends(within=10)

    assert told.startswith(b"HTTP/1.1 503 ")
    assert b"the server is about to stop" in told
    assert code == 0
    assert "Traceback" not in "\n".join(server.lines)


async def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    """Whatever still runs is told that it may come again; there is no traceback."""
    async with Upstream(stream("Fo", asyncio.Event(), "ur."), hang()) as upstream:
        path = write(tmp_path, config_of(upstream))
        async with serving(path) as server, server.open(model="one") as reply:
            await reply.event()
            await reply.event()
            whole = asyncio.create_task(server.chat(model="one"))
            await upstream.request(2)
            server.process.terminate()
            await server.says("stopping")
            server.process.terminate()
            rest = await reply.rest()
            unstreamed = await whole
            code = await server.ends(within=10)
        for received in upstream.received:
            await asyncio.wait_for(received.closed_early.wait(), 1)

    assert [event["error"]["code"] for event in rest] == ["overloaded"]
    assert (unstreamed.status, unstreamed.body["error"]["code"]) == (503, "overloaded")
    assert code == 0
    assert len(server.lines) == 4
    assert "Traceback" not in "\n".join(server.lines)


SILENT = """
import socket, sys
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    while True:
        caller = server.accept()[0]
        caller.recv(65536)
        caller.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-type: text/event-stream\\r\\n\\r\\n" + sys.argv[1].encode())
"""


async def test_an_upstream_that_is_killed(tmp_path: Path) -> None:
    """What was shown ends with an error event, who comes next gets a status, and Ctrl-C ends the server with 130."""
    piece = 'data: {"choices": [{"index": 0, "delta": {"content": "Fo"}, "finish_reason": null}]}\n\n'
    async with started(sys.executable, "-c", SILENT, piece) as upstream:
        assert upstream.process.stdout
        port = int(await upstream.process.stdout.readline())
        llm = {"model": "hosted_vllm/m", "api_base": f"http://127.0.0.1:{port}/v1", "retries": 0}
        path = write(tmp_path, {**SCRIPTED, "llms": {"a": llm}})
        async with serving(path) as server, server.open(model="one") as reply:
            first = [await reply.event(), await reply.event()]
            upstream.process.kill()
            rest = await reply.rest()
            after = await server.chat(model="one")
            server.process.send_signal(signal.SIGINT)
            code = await server.ends(within=10)

    assert first[-1]["choices"][0]["delta"] == {"content": "Fo"}
    assert [event["error"]["code"] for event in rest] == ["answer_broke_off"]
    assert after.status == 502
    assert code == 130
    assert "Traceback" not in "\n".join(server.lines)


async def test_sighup_reads_the_file_again(tmp_path: Path) -> None:
    """A good one is in force at once, a broken one is named by its line, and of many signals the last counts."""
    path = write(tmp_path, SCRIPTED)
    several = {**SCRIPTED["mixtures"], "two": {"description": "Two.", "workers": ["a"]}}
    async with serving(path) as server:
        write(tmp_path, {**SCRIPTED, "mixtures": several, "router": {"fallback": "one"}})
        server.process.send_signal(signal.SIGHUP)
        await server.says("read again")
        new = await server.chat(model="two")
        path.write_text(path.read_text().replace("- a", "- nobody"))
        server.process.send_signal(signal.SIGHUP)
        refused = await server.says("stays as it was")
        kept = await server.chat(model="two")
        for number in range(10):
            name = f"number{number}"
            write(tmp_path, {**SCRIPTED, "mixtures": {name: several["two"]}})
            server.process.send_signal(signal.SIGHUP)
            await asyncio.sleep(0.01)
        while True:
            heard = len(server.said)  # before it is asked: what it says meanwhile is worth asking again
            if (await server.chat(model="number9")).status == 200:
                break
            await server.says_more(than=heard)
        server.process.terminate()
        code = await server.ends(within=10)

    assert (new.status, kept.status) == (200, 200)
    assert "mollm.yaml:" in refused
    assert "nobody" in "\n".join(server.lines)
    assert code == 0
