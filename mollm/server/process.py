"""The process of `mollm serve` and `mollm mcp --http`: one socket, uvicorn, and the signals.

SIGTERM lets running HTTP requests finish and exits with 0, Ctrl-C does the same and exits with 130, a second one
of either stops at once. SIGHUP reads the configuration again.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import uvicorn

from mollm.calling.shortage import descriptor_limit
from mollm.errors import ConfigError
from mollm.logs import log_to_standard_error
from mollm.server.app import app_of, mcp_app_of
from mollm.server.clients import Clients
from mollm.server.deployment import Deployment, summary
from mollm.server.descriptors import Descriptors, QuietAboutDescriptors
from mollm.server.entrance import Entrance
from mollm.server.outlet import LONGEST_SEND

if TYPE_CHECKING:
    from pathlib import Path

    from fastapi import FastAPI

log = logging.getLogger("mollm.server")

INTERRUPTED = 130
BACKLOG = 2048
ACCEPTED_AT_ONCE = 64
"""Connections taken in one turn of the event loop. uvloop takes one from each socket that it listens on, so in a burst
they would pile up, `/health` among them, behind the questions that every turn works on; it is given the same again."""
MOST_UNSENT = 128 * 1024
"""Bytes that the kernel takes for a client beyond what is on its way to it."""


def serve(config: str | Path | None = None, *, host: str | None = None, port: int | None = None) -> int:
    """Serve a configuration until a signal ends it, and return the exit code.

    Args:
        config: A YAML file; None as for the command.
        host: Instead of the configured one.
        port: Instead of the configured one; 0 takes any that is free.

    Raises:
        ConfigError: The configuration cannot be served, or the address cannot be listened on.
    """
    log_to_standard_error()
    deployment = Deployment(config, host=host)
    return _run(deployment, app_of(deployment), host, port)


def serve_mcp(
    config: str | Path | None = None, *, mixture: str | None = None, host: str | None = None, port: int | None = None
) -> int:
    """Serve the Model Context Protocol and nothing else, as `serve` does.

    Args:
        config: A YAML file; None as for the command.
        mixture: Answers every question, in place of the one that the caller or the router picks.
        host: As for `serve`.
        port: As for `serve`.

    Raises:
        UserError: As for `serve`; the SDK is not installed, or there is no such mixture.
    """
    log_to_standard_error()
    deployment = Deployment(config, host=host)
    return _run(deployment, mcp_app_of(deployment, mixture), host, port)


def _run(deployment: Deployment, app: FastAPI, host: str | None, port: int | None) -> int:
    settings = deployment.settings
    bound = _bind(host or settings.host, settings.port if port is None else port)
    with bound, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        deployment.listens_on(*bound.getsockname()[:2])
        return runner.run(_Process(deployment, app, bound).run())


class _Process:
    """A server and what ends it."""

    def __init__(self, deployment: Deployment, app: FastAPI, bound: socket.socket) -> None:
        self._deployment, self._socket = deployment, bound
        count = min(ACCEPTED_AT_ONCE, (descriptor_limit() or sys.maxsize) // 16)
        self._sockets = [bound, *(bound.dup() for _ in range(count - 1))]
        clients = Clients()
        self._server = uvicorn.Server(uvicorn_config(app, clients))
        deployment.fit_into(Descriptors(clients))
        self._exit_code = 0
        self._ending: asyncio.Task[None] | None = None
        self._reloading: asyncio.Task[None] | None = None
        self._has_changed = False

    async def run(self) -> int:
        self._heed()
        asyncio.get_running_loop().set_exception_handler(QuietAboutDescriptors())
        await self._deployment.start()
        _settle()
        serving = asyncio.create_task(self._server.serve(sockets=self._sockets))
        while not self._server.started and not serving.done():  # noqa: ASYNC110 - uvicorn offers nothing to wait for
            await asyncio.sleep(0.01)
        self._heed()  # once more: uvicorn has set handlers of its own, which would close the socket at once
        if not serving.done():
            log.info("serving %s on %s", summary(self._deployment.config), _address(self._socket))
        await serving
        return self._exit_code

    def _heed(self) -> None:
        loop = asyncio.get_running_loop()
        with suppress(NotImplementedError):  # Windows; uvicorn's own handlers stay
            loop.add_signal_handler(signal.SIGTERM, self._end, 0)
            loop.add_signal_handler(signal.SIGINT, self._end, INTERRUPTED)
            loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _end(self, exit_code: int) -> None:
        if self._ending is not None:
            logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # it would show a traceback for all that is cut off
            self._server.should_exit = self._server.force_exit = True
            self._deployment.admission.end()
            return
        self._exit_code = exit_code
        self._ending = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        admission, seconds = self._deployment.admission, self._deployment.settings.drain
        if running := admission.in_flight:
            counted = f"{running} HTTP request{'s have' if running > 1 else ' has'}"
            log.info("stopping; %s %g s to finish; a second signal stops at once", counted, seconds)
        self._deployment.bodies.end()
        await admission.drained(seconds)
        self._server.should_exit = True

    def _reload(self) -> None:
        self._has_changed = True
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.create_task(self._read_again())

    async def _read_again(self) -> None:
        while self._has_changed:  # a file that changes while it is read is read once more
            self._has_changed = False
            await self._deployment.reload()


def uvicorn_config(app: FastAPI, clients: Clients | None = None) -> uvicorn.Config:
    """How uvicorn runs an application of ours; `clients` bounds the connections."""
    entrance = partial(Entrance, gate=app.state.gate, clients=clients or Clients())
    return uvicorn.Config(
        app,
        http=entrance,  # type: ignore[arg-type] # uvicorn calls it as it would a class
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        lifespan="on",
        ws="none",
        # Longer than clients and proxies keep an idle connection, or they would send into one that is being closed.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
        backlog=BACKLOG,
    )


def _settle() -> None:
    # What was imported stays, so the collector need not look at it again; with that and a higher threshold a request
    # takes 8 % less CPU.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _bind(host: str, port: int) -> socket.socket:
    # With the protocol named asyncio turns Nagle's delay off; it would cost 40 ms a reply.
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; a client that reads no more loses its connection as well
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(LONGEST_SEND * 1000))
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # Linux and macOS; else the kernel takes megabytes for a slow reader
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MOST_UNSENT)
        bound.bind((host, port))
        bound.listen(BACKLOG)  # the address is ours from here on; two that are only bound do not see each other
    except OSError as error:
        bound.close()
        raise ConfigError(f"server: {host} port {port} cannot be listened on: {error.strerror}") from error
    return bound


def _address(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return None
    return uvloop.Loop
