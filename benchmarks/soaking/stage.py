"""What a soak runs against: upstreams and `mollm serve`, each a process of its own, and what can be seen of them."""

from __future__ import annotations

import asyncio
import json
import math
import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httptools
from contestants import HERE, Place, Server, free_port, stopped, until_200
from load import percentile, resident_mib
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

SEED = 10
PLENTY = 20_000
"""Descriptors, where nothing else is asked for."""


@dataclass(frozen=True)
class Look:
    """What a process held at one moment."""

    mib: float
    descriptors: int
    threads: int
    tasks: dict[str, int]
    """asyncio tasks, by the name of their coroutine."""

    @property
    def task_count(self) -> int:
        return sum(self.tasks.values())


@dataclass(frozen=True)
class Bar:
    """One thing that has to hold, and whether it did."""

    what: str
    seen: str
    is_met: bool

    def row(self) -> str:
        return f"| {self.what} | {self.seen} | {'ok' if self.is_met else '**missed**'} |"


@dataclass
class Part:
    """What one part of the soak found."""

    title: str
    text: list[str] = field(default_factory=list)
    """Lines of the page, before the bars."""
    bars: list[Bar] = field(default_factory=list)

    def bar(self, what: str, seen: object, is_met: bool) -> None:
        """Note a bar."""
        bar = Bar(what, str(seen), is_met)
        self.bars.append(bar)
        print(f"  {'ok    ' if is_met else 'MISSED'} {what}: {seen}", file=sys.stderr, flush=True)

    def page(self) -> str:
        lines = [f"## {self.title}", "", *self.text, "", "| bar | seen | |", "|---|---|---|"]
        return "\n".join([*lines, *(bar.row() for bar in self.bars), ""])


@dataclass(frozen=True)
class Stage:
    """A server on its core, and upstreams, which share the other with the load."""

    server: Server
    port: int
    config: Path
    log: Path
    upstreams: list[subprocess.Popen[str]]

    async def look(self) -> Look:
        """See what the server's process holds."""
        tasks = self.config.parent / "tasks.json"
        tasks.unlink(missing_ok=True)
        self.server.process.send_signal(signal.SIGUSR1)
        until = time.monotonic() + 10
        while not tasks.exists() and time.monotonic() < until:  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.05)
        process = Path(f"/proc/{self.server.process.pid}")
        descriptors, threads = (len(list((process / name).iterdir())) for name in ("fd", "task"))
        counted = json.loads(tasks.read_text()) if tasks.exists() else {"no answer to SIGUSR1": 1}
        return Look(resident_mib([self.server.process.pid]), descriptors, threads, counted)

    async def metrics(self) -> Metrics:
        """Read what the server counted."""
        _, page = await get(self.port, "/metrics")
        samples = [s for family in text_string_to_metric_families(page.decode()) for s in family.samples]
        return Metrics([(s.name, s.labels, s.value) for s in samples])

    async def finish(self) -> list[Called]:
        """End the upstreams, and return what their books hold."""
        called = []
        for number, process in enumerate(self.upstreams):
            assert process.stdin
            process.stdin.close()
            await asyncio.to_thread(process.wait)
            with (self.config.parent / f"book-{number}").open() as lines:
                called += [Called(*json.loads(line)) for line in lines]
        return called


@dataclass(frozen=True, slots=True)
class Called:
    """A line of the upstream's book."""

    id: str
    model: str
    fault: str
    begun: float
    ended: float
    sent: int
    how: str
    ids: int


class Metrics:
    """The samples of one page."""

    def __init__(self, samples: list[tuple[str, dict[str, str], float]]) -> None:
        self._samples = samples

    def total(self, name: str, **labels: str) -> int:
        """Sum of the samples with these labels; `mollm_` stands before the name."""
        found = (v for n, ls, v in self._samples if n == f"mollm_{name}" and labels.items() <= ls.items())
        return round(sum(found))

    def by(self, name: str, label: str) -> Counter[str]:
        """The same for each value of a label."""
        counted: Counter[str] = Counter()
        for sample, labels, value in self._samples:
            if sample == f"mollm_{name}":
                counted[labels[label]] += round(value)
        return counted

    def since(self, before: Metrics) -> Metrics:
        """What was counted since."""
        old = {(name, *sorted(labels.items())): value for name, labels, value in before._samples}
        return Metrics([(n, ls, v - old.get((n, *sorted(ls.items())), 0.0)) for n, ls, v in self._samples])


class _Get(asyncio.Protocol):
    def __init__(self, path: str) -> None:
        self._path, self.body = path, b""
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._parser: Any = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # what TCP gives
        self._transport = transport
        transport.write(f"GET {self._path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, part: bytes) -> None:
        self.body += part

    def on_message_complete(self) -> None:
        self._finish(self._parser.get_status_code())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the name is asyncio's
        self._finish(0)

    def _finish(self, status: int) -> None:
        if not self.done.done():
            self.done.set_result(status)
            self._transport.close()


async def get(port: int, path: str) -> tuple[float, bytes]:
    """Return the seconds that a page took, and the page; infinite where it did not come within 30 s."""
    begun, page = time.monotonic(), _Get(path)
    try:
        async with asyncio.timeout(30):
            await asyncio.get_running_loop().create_connection(lambda: page, "127.0.0.1", port)
            status = await page.done
    except (OSError, TimeoutError):
        status = 0
    return (time.monotonic() - begun if status == 200 else math.inf), page.body


@dataclass
class Health:
    """How long `/health` took, in seconds, and how late the load itself was meanwhile, which is part of that."""

    taken: list[float] = field(default_factory=list)
    late: float = 0.0

    @property
    def longest(self) -> float:
        return max(self.taken)

    def words(self) -> str:
        """Return the figures."""
        p50, p99 = (percentile(self.taken, percent) * 1e3 for percent in (50, 99))
        figures = f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, at most {self.longest * 1e3:.0f} ms"
        return f"{figures}; the load itself was late by {self.late * 1e3:.0f} ms at most"


@contextmanager
def watching(port: int, every: float = 0.25) -> Iterator[Health]:
    """Ask for `/health` again and again while the block runs."""
    health = Health()
    begun = 0.0

    async def watch() -> None:
        nonlocal begun
        while True:
            begun = time.monotonic()
            health.taken.append((await get(port, "/health"))[0])
            ended, begun = time.monotonic(), math.inf
            await asyncio.sleep(every)
            health.late = max(health.late, time.monotonic() - ended - every)

    task = asyncio.get_running_loop().create_task(watch())
    try:
        yield health
    finally:
        task.cancel()
        if begun < math.inf:  # one is still waited for
            health.taken.append(time.monotonic() - begun)


SHORT = {"connect": 0.5, "first_token": 1, "idle": 0.5, "total": 2}
"""Seconds of `timeout` where upstreams hang; the load, and not the waits, is then what is in flight."""


def config_of(addresses: dict[str, str], *, impatient: bool) -> dict[str, Any]:
    """Mixtures of one and of three workers, and with one worker that is dead or deaf."""
    llm: dict[str, Any] = {"api_base": addresses["up"], "max_tokens": 256, "context_window": 32768}
    patient = {**llm, "context_window": 400_000}
    if impatient:
        llm["timeout"] = SHORT
    llms = {name: {**llm, "model": f"hosted_vllm/{name}"} for name in ("a", "b", "c", "writer")}
    llms |= {name: {**llm, "model": f"hosted_vllm/{name}", "api_base": addresses[name]} for name in ("dead", "deaf")}
    llms |= {name: {**patient, "model": f"hosted_vllm/{name}"} for name in ("long", "paced")}
    llms["big"] = {**patient, "model": "hosted_vllm/big", "api_base": addresses["big"]}
    written = {"method": "synthesize", "llm": "writer"}
    mixtures = {
        "one": {"description": "One worker.", "workers": ["a"]},
        "three": {"description": "Three.", "workers": ["a", "b", "c"], "aggregator": written},
        "lame": {"description": "One refuses connections.", "workers": ["a", "b", "dead"], "aggregator": written},
        "stuck": {"description": "One accepts none.", "workers": ["a", "b", "deaf"], "aggregator": written},
        "large": {
            "description": "For long prompts.",
            "workers": [{"llm": "big", "samples": 3}],
            "aggregator": {"method": "synthesize", "llm": "big"},
        },
    }
    router = {"kind": "fixed", "fallback": "three"}
    return {"llms": llms, "mixtures": mixtures, "router": router}


@contextmanager
def staged(descriptors: int | None = None, *, impatient: bool = False) -> Iterator[Stage]:
    """Start the server and two upstreams, one of them for long prompts alone; stop them at the end."""
    cores = sorted(os.sched_getaffinity(0))
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # of the load, and of the upstreams, which inherit it
    env = {"PYTHONPATH": str(HERE)}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, upstreams = Path(name), []
        beside = Place("", folder, cores[0])
        for number in range(2):
            command = [sys.executable, "-m", "soaking.upstream", str(folder / f"book-{number}"), str(SEED)]
            process = beside.start(f"upstream-{number}", command, env=env, talks=True).process
            stack.enter_context(stopped(process))
            upstreams.append(process)
        first, second = (json.loads(process.stdout.readline()) for process in upstreams if process.stdout)
        config, port = folder / "mollm.yaml", free_port()
        config.write_text(json.dumps(config_of({**first, "big": second["up"]}, impatient=impatient)))  # JSON is YAML
        place = Place(first["up"], folder, cores[1] if len(cores) > 1 else None)
        launcher = [sys.executable, "-m", "soaking.launcher", str(config), str(port), str(folder / "tasks.json")]
        began = time.perf_counter()
        server = place.start("mollm", [*launcher, str(descriptors or min(PLENTY, most))], env=env)
        stack.enter_context(stopped(server.process))
        until_200(f"http://127.0.0.1:{port}/ready", server.process, place.log("mollm"))
        yield Stage(server.is_ready(began), port, config, place.log("mollm"), upstreams)
