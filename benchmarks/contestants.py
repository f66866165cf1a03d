"""The servers that are measured: how each is installed, configured, started on its core and asked.

Whatever is foreign lives in a throw-away environment of its own, which uv makes on first use in a folder of temporary
files and later runs find again.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from load import Ask, Cell, load, process_tree, resident_mib
from revisions import environment
from upstream import word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
LITELLM = "litellm[proxy]==1.104.2"
TENSORZERO = "tensorzero==2026.6.0"
QUESTION = "Is a heap of sand without one grain still a heap? " * 4
WORKERS = 3
READY_SECONDS = 120
BYPASS, THREE, PROXY = ", bypass", ", 3 workers + aggregator", "LiteLLM proxy"
"""Names of contestants, the first two after that of the server."""


@dataclass
class Server:
    """A process under test, with what it took to be ready for the first request."""

    name: str
    process: subprocess.Popen[str]
    start_seconds: float = 0.0
    idle_mib: float = 0.0

    def pids(self) -> list[int]:
        """Return the process and what it started."""
        return process_tree(self.process.pid)

    def mebibytes(self) -> float:
        return resident_mib(self.pids())

    def is_ready(self, begun: float) -> Server:
        """Note how long it took since `begun` and how much memory that left."""
        self.start_seconds, self.idle_mib = time.perf_counter() - begun, self.mebibytes()
        return self


@dataclass(frozen=True)
class Contestant:
    """What is asked and measured: one model of one server."""

    name: str
    calls: str
    """Upstream calls for one request."""
    base: str = ""
    model: str = "m"
    paced: str = "paced"
    """The model whose upstream writes one chunk at a time."""
    key: str = ""
    server: Server | None = None
    """None where the upstream itself is asked."""

    def pids(self) -> list[int]:
        return self.server.pids() if self.server else []

    def ask(self, texts: int = 0, *, paced: bool = False) -> Ask:
        """Return a request for a whole answer, or for one of so many streamed texts."""
        body: dict[str, Any] = {"model": self.paced if paced else self.model, "max_tokens": texts or 256}
        body["messages"] = [{"role": "user", "content": QUESTION}]
        if texts:
            body["stream"] = True
        contains = word(0).encode() if texts else b"heap of sand"
        return Ask(f"{self.base}/chat/completions", body, contains, self.key, texts)

    async def load(self, concurrency: int, seconds: float) -> Cell:
        """Ask for whole answers."""
        return await load(self.ask(), concurrency=concurrency, seconds=seconds, pids=self.pids())


class Embedded(Contestant):
    """A library, which asks itself; how often is told over standard input. It has no address to stream from."""

    async def load(self, concurrency: int, seconds: float) -> Cell:
        assert self.server
        process = self.server.process
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{concurrency} {seconds}\n")
        process.stdin.flush()
        found = json.loads(await asyncio.to_thread(process.stdout.readline))
        return Cell(found["times"], [], found["wall"], found["cpu"], Counter(found["errors"]))


@dataclass(frozen=True)
class Place:
    """Where contestants run."""

    upstream: str
    """The upstream's address, up to and including `/v1`."""
    folder: Path
    """For configurations and logs."""
    core: int | None
    """The core of the server under test; None where there is only one."""

    def start(self, name: str, command: list[str], *, env: dict[str, str] | None = None, talks: bool = False) -> Server:
        """Start a process on the core of the server under test; what it prints goes to a file, unless it `talks`."""
        core = self.core

        def pin() -> None:
            if core is not None:
                os.sched_setaffinity(0, {core})

        with self.log(name).open("w") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if talks else log,
                stderr=log,
                text=True,
                env={**os.environ, **(env or {})},
                cwd=self.folder,  # `python -m` looks there first, and the checkout is not what every environment has
                preexec_fn=pin,
            )
        return Server(name, process)

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"


@contextmanager
def direct(place: Place) -> Iterator[list[Contestant]]:
    """Ask the upstream itself."""
    yield [Contestant("direct upstream", "1 call", place.upstream)]


@contextmanager
def relay(place: Place) -> Iterator[list[Contestant]]:
    """Through a relay of bytes."""
    port = place.upstream.rsplit(":", 1)[1].removesuffix("/v1")
    begun = time.perf_counter()
    server = place.start("relay", [sys.executable, str(HERE / "relay.py"), port], talks=True)
    with stopped(server.process):
        assert server.process.stdout
        base = server.process.stdout.readline().strip()
        yield [Contestant("relay of bytes", "1 call", base, server=server.is_ready(begun))]


@contextmanager
def mollm(place: Place, name: str = "mollm", python: str = sys.executable) -> Iterator[list[Contestant]]:
    """`mollm serve`: one process, which the bypass and the mixture of three share."""
    file = place.folder / "mollm.yaml"
    file.write_text(json.dumps(mollm_config(place.upstream)))  # JSON is YAML
    with mollm_serve(place, file, name=name, python=python) as (server, base):
        yield [
            Contestant(f"{name}{BYPASS}", "1 call", base, "one", "one-paced", server=server),
            Contestant(f"{name}{THREE}", "3 + 1 calls", base, "three", "three-paced", server=server),
        ]


def mollm_config(upstream: str) -> dict[str, Any]:
    """Mixtures of one worker, and of three and an aggregator, on an LLM that answers at once and one that is paced."""
    llms = {name: {"model": f"hosted_vllm/{name}", "api_base": upstream, "max_tokens": 256} for name in ("m", "paced")}
    mixtures: dict[str, Any] = {}
    for name, suffix in (("m", ""), ("paced", "-paced")):
        mixtures[f"one{suffix}"] = {"description": "One.", "workers": [name]}
        mixtures[f"three{suffix}"] = {"description": "Three.", "workers": [{"llm": name, "samples": WORKERS}]}
    for llm in llms.values():
        llm["context_window"] = 32768
    return {"llms": llms, "mixtures": mixtures, "router": {"kind": "fixed", "fallback": "one"}}


@contextmanager
def mollm_serve(
    place: Place, file: Path, env: dict[str, str] | None = None, *, name: str = "mollm", python: str = sys.executable
) -> Iterator[tuple[Server, str]]:
    """Run `mollm serve` on a file; yield it, ready, and its address."""
    port = free_port()
    begun = time.perf_counter()
    # The interpreter of an environment, not a wrapper: the process that is started is the one measured.
    command = [python, "-m", "mollm", "serve", "--config", str(file), "--port", str(port)]
    server = place.start(name, command, env=env)
    with stopped(server.process):
        until_200(f"http://127.0.0.1:{port}/ready", server.process, place.log(name))
        yield server.is_ready(begun), f"http://127.0.0.1:{port}/v1"


@contextmanager
def litellm(place: Place) -> Iterator[list[Contestant]]:
    """LiteLLM's proxy, one worker, one call."""
    python = environment("litellm", LITELLM)
    key = "sk-" + secrets.token_hex(24)
    models = [
        {"model_name": name, "litellm_params": {"model": f"openai/{name}", "api_base": place.upstream, "api_key": "x"}}
        for name in ("m", "paced")
    ]
    file = place.folder / "litellm.yaml"
    file.write_text(json.dumps({"model_list": models, "general_settings": {"master_key": key}}))
    port = free_port()
    begun = time.perf_counter()
    command = [str(python.parent / "litellm"), "--config", str(file), "--host", "127.0.0.1", "--port", str(port)]
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    server = place.start("litellm", [*command, "--num_workers", "1"], env=env)
    with stopped(server.process):
        until_200(f"http://127.0.0.1:{port}/health/liveliness", server.process, place.log("litellm"))
        base = f"http://127.0.0.1:{port}/v1"
        yield [Contestant(PROXY, "1 call", base, key=key, server=server.is_ready(begun))]


@contextmanager
def tensorzero(place: Place) -> Iterator[list[Contestant]]:
    """TensorZero's mixture-of-n, a library, in a process of its own."""
    python = environment("tensorzero", TENSORZERO)
    file = place.folder / "tensorzero.toml"
    file.write_text(tensorzero_config(place.upstream))
    begun = time.perf_counter()
    command = [str(python), str(HERE / "embedded.py"), str(file)]
    server = place.start("tensorzero", command, env={"UPSTREAM_KEY": "x"}, talks=True)
    with stopped(server.process):
        assert server.process.stdout
        if server.process.stdout.readline().strip() != "ready":
            raise SystemExit(f"tensorzero did not start:\n{place.log('tensorzero').read_text()[-2000:]}")
        name = "TensorZero mixture-of-n, in process"
        yield [Embedded(name, "3 + 1 calls", server=server.is_ready(begun))]


def tensorzero_config(upstream: str) -> str:
    """Three candidates and a fuser on one model."""
    candidates = [f"candidate{number}" for number in range(WORKERS)]
    lines = ["gateway.observability.enabled = false", "[models.m]", 'routing = ["up"]', "[models.m.providers.up]"]
    lines += ['type = "openai"', 'model_name = "m"', f'api_base = "{upstream}/"']
    lines += ['api_key_location = "env::UPSTREAM_KEY"', "[functions.ask]", 'type = "chat"']
    for candidate in candidates:
        lines += [f"[functions.ask.variants.{candidate}]", 'type = "chat_completion"', 'model = "m"']
    lines += ["[functions.ask.variants.mixture]", 'type = "experimental_mixture_of_n"']
    lines += [f"candidates = {json.dumps(candidates)}", "[functions.ask.variants.mixture.fuser]", 'model = "m"']
    return "\n".join(lines) + "\n"


CONTESTANTS: dict[str, Callable[[Place], Any]] = {
    "direct": direct,
    "relay": relay,
    "mollm": mollm,
    "litellm": litellm,
    "tensorzero": tensorzero,
}


@contextmanager
def stopped(process: subprocess.Popen[str]) -> Iterator[None]:
    """Stop the process at the end."""
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()


def until_200(url: str, process: subprocess.Popen[str], log: Path) -> None:
    """Wait until an address answers 200."""
    end = time.perf_counter() + READY_SECONDS
    while time.perf_counter() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2) as response:
                if response.status == 200:
                    return
        except (OSError, urllib.error.URLError):
            pass
        time.sleep(0.05)
    raise SystemExit(f"{url} does not answer 200; the end of {log}:\n{log.read_text()[-3000:]}")


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
