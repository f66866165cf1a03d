"""What calls would cost with `pyreqwest` as HTTP client in place of aiohttp, and which tests it fails.

    uv run --with pyreqwest python benchmarks/http_clients.py [--rounds 10] [--uvloop] [--unpinned]
    uv run --with pyreqwest python benchmarks/http_clients.py --tests tests/llms/test_openai_compatible.py ...

Both clients stand behind the same `OpenAICompatibleLLM`, as sessions that are handed to it, and ask the same loopback
upstream. Upstream and clients have a core each, where there are two; `--unpinned` lets the clients use all of them.
Rounds alternate, and each begins with the other client. CPU is that of the whole process, so the thread in which
pyreqwest works is counted; what the event loop's thread took of it is shown beside it. Ratios are pyreqwest's figure
divided by aiohttp's: the median over the rounds, with the smallest and the largest.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from overhead import QUESTION, WORKERS, config, merged, messages

from mollm import MoLLM
from mollm.calling import foreign, http
from mollm.calling.base import Request
from mollm.calling.bounds import CONNECTIONS
from mollm.errors import BadRequest, LLMError, ProviderFailed, TimedOut, Unreachable
from mollm.llms.openai_compatible import OpenAICompatibleLLM
from mollm.options import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator

    Run = Callable[[], Awaitable[object]]

HERE = Path(__file__).parent
CHUNKS = 200
CLIENTS = ("aiohttp", "pyreqwest")


# pyreqwest behind the seam


class PyreqwestSessions(http.Sessions):
    """Sessions of pyreqwest that look like aiohttp's, as far as `OpenAICompatibleLLM` looks."""

    async def _scope(self) -> AsyncGenerator[Any, None]:
        session = _Session(CONNECTIONS)
        try:
            yield session
        finally:
            self._open.pop(asyncio.get_running_loop(), None)
            await session.close()


class _Session:
    def __init__(self, connections: int) -> None:
        self.closed = False
        self._connections = connections
        self._clients: dict[float | None, Any] = {}

    def post(self, url: str, *, data: bytes, headers: dict[str, str], timeout: Any, allow_redirects: bool) -> _Exchange:
        assert not allow_redirects
        request = self._client(timeout.sock_connect).post(url).headers(headers).body_bytes(data)
        # By default the first 64 KiB of a body are held back until they are together: right for a whole reply only.
        if b'"stream":true' in data:
            request = request.streamed_read_buffer_limit(0)
        return _Exchange(request.build_streamed())

    def get(self, url: str, *, headers: dict[str, str], allow_redirects: bool) -> _Exchange:
        assert not allow_redirects
        return _Exchange(self._client(None).get(url).headers(headers).build_streamed())

    async def close(self) -> None:
        self.closed = True
        for client in self._clients.values():
            await client.close()

    def _client(self, connect_seconds: float | None) -> Any:
        # The time to connect is a setting of a client, not of a request, so each value has connections of its own.
        if connect_seconds not in self._clients:
            builder = importlib.import_module("pyreqwest.client").ClientBuilder()
            builder = builder.max_connections(self._connections).no_proxy().follow_redirects(False)
            if connect_seconds is not None:
                builder = builder.connect_timeout(timedelta(seconds=connect_seconds))
            self._clients[connect_seconds] = builder.build()
        return self._clients[connect_seconds]


class _Exchange:
    __slots__ = ("_request",)

    def __init__(self, request: Any) -> None:
        self._request = request

    async def __aenter__(self) -> _Response:
        return _Response(await self._request.__aenter__())

    async def __aexit__(self, *error: object) -> None:
        await self._request.__aexit__(*error)


class _Response:
    __slots__ = ("_reader", "_response", "content", "status")

    def __init__(self, response: Any) -> None:
        self.status: int = response.status
        self.content = self
        self._response, self._reader = response, response.body_reader

    @property
    def headers(self) -> Any:
        return self._response.headers

    @property
    def content_type(self) -> str:
        return (self._response.get_header("content-type") or "").partition(";")[0].strip().lower()

    @property
    def content_length(self) -> int | None:
        length = self._response.get_header("content-length")
        return int(length) if length else None

    async def read(self) -> bytes:
        return bytes(await self._response.bytes())

    async def readany(self) -> bytes:
        piece = await self._reader.read_chunk()
        return b"" if piece is None else bytes(piece)

    async def iter_any(self) -> AsyncIterator[bytes]:
        while (piece := await self._reader.read_chunk()) is not None:
            yield bytes(piece)


def errors() -> dict[str, type[LLMError]]:
    """Return what translating errors would need: pyreqwest's classes and ours."""
    pairs: dict[type[LLMError], str] = {
        TimedOut: "RequestTimeoutError",
        Unreachable: "NetworkError ClientClosedError",
        BadRequest: "BuilderError",
        ProviderFailed: "RequestError",
    }
    return {f"pyreqwest.{name}": cls for cls, names in pairs.items() for name in names.split()}


def run_tests(arguments: list[str]) -> int:
    """Run tests with pyreqwest in aiohttp's place; they do not notice, except by what fails."""
    import pytest

    # All sessions, whoever makes them.
    http.Sessions._scope = PyreqwestSessions._scope  # type: ignore[assignment, method-assign] # noqa: SLF001
    foreign._CLASSES.update(errors())  # noqa: SLF001 - to be taken, it would need these rows
    return pytest.main(["-p", "no:xdist", "-o", "addopts=--strict-markers --strict-config -q", *arguments])


# What is measured


def sessions(client: str) -> http.Sessions:
    return http.Sessions() if client == "aiohttp" else PyreqwestSessions()


def bare_post(client: str, base: str) -> Callable[[str], Awaitable[str]]:
    """Return a call as the library itself makes it, nothing between."""
    url, headers = f"{base}/chat/completions", {"content-type": "application/json"}

    def body(text: str) -> bytes:
        return orjson.dumps({"model": "m", "messages": messages(text), "max_tokens": 256})

    if client == "aiohttp":
        held = http.Sessions()

        async def call(text: str) -> str:
            session = held.of_this_loop() or await held.get()
            async with session.post(url, data=body(text), headers=headers) as response:
                return text_of(await response.read())

        return call
    pyreqwest = importlib.import_module("pyreqwest.client").ClientBuilder().no_proxy().build()

    async def called(text: str) -> str:
        response = await pyreqwest.post(url).headers(headers).body_bytes(body(text)).build().send()
        return text_of(bytes(await response.bytes()))

    return called


def text_of(reply: bytes) -> str:
    return str(orjson.loads(reply)["choices"][0]["message"]["content"])


def bare_call(client: str, base: str) -> Run:
    """One POST by the library itself."""
    call = bare_post(client, base)
    return lambda: call(QUESTION)


def bare_mixture(client: str, base: str) -> Run:
    """Three at once by the library itself, then one that reads the answers."""
    call = bare_post(client, base)

    async def run() -> str:
        return await call(merged(await asyncio.gather(*(call(QUESTION) for _ in range(WORKERS)))))

    return run


def one_call(client: str, base: str) -> Run:
    """One call of `OpenAICompatibleLLM`."""
    llm = OpenAICompatibleLLM("m", api_base=base, sessions=sessions(client))
    request = Request(messages(QUESTION), Settings(max_tokens=256))
    return lambda: llm.complete(request)


def one_stream(model: str) -> Callable[[str, str], Run]:
    """Return a stream of `CHUNKS` chunks, written one by one by the model "paced", else all at once."""

    def make(client: str, base: str) -> Run:
        llm = OpenAICompatibleLLM(model, api_base=base, sessions=sessions(client))
        request = Request(messages(QUESTION), Settings(max_tokens=CHUNKS))

        async def run() -> int:
            return len([chunk async for chunk in llm.stream(request)])

        return run

    return make


def question(at_once: int) -> Callable[[str, str], Run]:
    """Return so many questions at once to a mixture of three workers and an aggregator."""

    def make(client: str, base: str) -> Run:
        llm = OpenAICompatibleLLM("m", api_base=base, sessions=sessions(client))
        mollm = MoLLM(config(base), llms={"m": llm})

        async def run() -> None:
            await asyncio.gather(*(mollm.aask(QUESTION, mixture="heap") for _ in range(at_once)))

        return run

    return make


WORK: dict[str, tuple[Callable[[str, str], Run], int, int]] = {
    "one POST, the library alone": (bare_call, 200, 1),
    "3 + 1 POSTs, the library alone": (bare_mixture, 60, 1),
    "one call": (one_call, 200, 1),
    f"a stream of {CHUNKS} chunks, a write for each": (one_stream("paced"), 2, CHUNKS),
    f"a stream of {CHUNKS} chunks in one burst": (one_stream("m"), 20, CHUNKS),
    "a whole question, 3 workers + aggregator": (question(1), 50, 1),
    "the same, 16 at once": (question(16), 6, 16),
}
"""Name, how it is made, how often it runs in a round, and by how much its CPU is divided."""


class Cost(NamedTuple):
    """What one run took, in µs."""

    cpu: float
    """Of all threads."""
    loop: float
    """Of the event loop's thread."""
    wall: float


async def measure(base: str, rounds: int) -> dict[str, list[dict[str, Cost]]]:
    """Return per work and round what each client cost."""
    found: dict[str, list[dict[str, Cost]]] = {}
    for name, (make, times, parts) in WORK.items():
        runs = {client: make(client, base) for client in CLIENTS}
        for run in runs.values():
            for _ in range(max(2, times // 5)):
                await run()
        gc.collect()
        gc.freeze()
        found[name] = []
        for number in range(rounds):
            order = CLIENTS if number % 2 == 0 else CLIENTS[::-1]
            found[name].append({client: await cost(runs[client], times, parts) for client in order})
    return found


async def cost(run: Run, times: int, parts: int) -> Cost:
    before = time.process_time(), time.thread_time(), time.perf_counter()
    for _ in range(times):
        await run()
    after = time.process_time(), time.thread_time(), time.perf_counter()
    return Cost(*((end - begin) * 1e6 / (times * parts) for begin, end in zip(before, after, strict=True)))


def table(found: dict[str, list[dict[str, Cost]]]) -> str:
    """Print medians of the rounds, and the ratios."""
    lines = ["| | aiohttp, CPU µs | pyreqwest, CPU µs | of it on the event loop | CPU, ratio | wall time, ratio |"]
    lines.append("|---|---:|---:|---:|---:|---:|")
    for name, rounds in found.items():
        one, other = ([each[client] for each in rounds] for client in CLIENTS)
        medians = [statistics.median(values) for values in ([c.cpu for c in one], [c.cpu for c in other])]
        medians.append(statistics.median(c.loop for c in other))
        cells = [f"{median:.1f}" for median in medians]
        cells.append(ratio([b.cpu / a.cpu for a, b in zip(one, other, strict=True)]))
        cells.append(ratio([b.wall / a.wall for a, b in zip(one, other, strict=True)]))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def ratio(found: list[float]) -> str:
    return f"{statistics.median(found):.2f} ({min(found):.2f}-{max(found):.2f})"


# What a process with one client takes


def footprint(client: str, base: str) -> dict[str, float]:
    """Import the library, make a call, and return CPU ms of both, resident MiB and threads."""
    begun = time.process_time()
    asyncio.run(_once(client, base))
    cpu = time.process_time() - begun
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("VmRSS", "Threads"))}
    return {"cpu_ms": cpu * 1e3, "mib": int(fields["VmRSS"]) / 1024, "threads": int(fields["Threads"])}


async def _once(client: str, base: str) -> None:
    await bare_post(client, base)(QUESTION)


def footprints(base: str, processes: int = 40) -> str:
    """Ask once from each of many processes, and count those that a signal ended."""
    lines = ["| a process that asks once | CPU ms of import and call | resident MiB | threads | ended by a signal |"]
    lines.append("|---|---:|---:|---:|---:|")
    for client in CLIENTS:
        command = [sys.executable, "-W", "ignore", __file__, "--footprint", client, base]
        ended = [subprocess.run(command, check=False, capture_output=True) for _ in range(processes)]
        found = [json.loads(process.stdout) for process in ended]
        cells = [f"{statistics.median(each[key] for each in found):.0f}" for key in ("cpu_ms", "mib", "threads")]
        killed = sum(process.returncode < 0 for process in ended)
        lines.append(f"| {client} | {' | '.join(cells)} | {killed} of {processes} |")
    return "\n".join(lines)


@contextmanager
def upstream(*, pinned: bool) -> Iterator[str]:
    """Start the upstream on the first core, where there are several; move to the second if `pinned`."""
    command = [sys.executable, str(HERE / "upstream.py")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdin
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(process.pid, {cores[0]})
        os.sched_setaffinity(0, {cores[1]} if pinned else set(cores))
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait()


def main() -> None:
    """Measure and print, or run tests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--uvloop", action="store_true", help="run the clients on uvloop, as the server does")
    parser.add_argument("--unpinned", action="store_true", help="let the clients use all cores")
    parser.add_argument("--tests", nargs=argparse.REMAINDER, help="run these with pyreqwest in aiohttp's place")
    parser.add_argument("--footprint", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.tests is not None:
        raise SystemExit(run_tests(arguments.tests))
    warnings.simplefilter("ignore")
    if arguments.footprint:
        print(json.dumps(footprint(*arguments.footprint)), flush=True)
        return
    cores = len(os.sched_getaffinity(0))
    with upstream(pinned=not arguments.unpinned) as base:
        loop = "uvloop" if arguments.uvloop else "asyncio"
        runner: Callable[..., Any] = importlib.import_module(loop).run
        print(table(runner(measure(base, arguments.rounds))))
        print("\n" + footprints(base))
    place = "unpinned" if arguments.unpinned else "pinned"
    shape = f"{cores} cores, {place}, {platform.machine()}, Python {platform.python_version()}, {loop}"
    print(f"\n{arguments.rounds} rounds, {shape}, {date.today().isoformat()}.")


if __name__ == "__main__":
    main()
