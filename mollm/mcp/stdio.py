"""The process of `mollm mcp`: one client, which started it and speaks over its standard input and output."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from mcp.server.stdio import stdio_server

from mollm.api import MoLLM
from mollm.errors import MollmError
from mollm.logs import log_to_standard_error
from mollm.mcp.protocol import LONGEST_END, Tools, said, server_of

if TYPE_CHECKING:
    from pathlib import Path

    from mcp.server.lowlevel import Server

    from mollm.events import Observer
    from mollm.types import Answer, Route

log = logging.getLogger("mollm.mcp")

INTERRUPTED = 130
FAREWELL = 0.5
"""Seconds for what questions end with: the SDK writes it in a thread, and does not say when that is done."""


def serve(config: str | Path | None = None, *, mixture: str | None = None) -> NoReturn:
    """Serve a configuration until standard input ends or a signal comes, and end the process.

    Exits with 0 at the end of standard input or SIGTERM, and with 130 at Ctrl-C.

    Args:
        config: A YAML file; None as for the command.
        mixture: Answers every question, in place of the one that the caller or the router picks.

    Raises:
        UserError: The configuration cannot be used, or there is no such mixture.
    """
    log_to_standard_error()
    mollm = MoLLM(config)
    if mixture is not None:
        mollm.catalog.mixture(mixture)
    asyncio.run(_Process(mollm, mixture).run())
    raise AssertionError("the process has ended")


class _Process:
    """A server for one client, and what ends it."""

    def __init__(self, mollm: MoLLM, mixture: str | None) -> None:
        self._mollm = mollm
        self._tools = Tools(_Direct(mollm), mixture)
        self._exit_code = 0
        self._told_to_end = asyncio.Event()

    async def run(self) -> NoReturn:
        self._heed()
        preparing = asyncio.create_task(self._prepare())
        serving = asyncio.create_task(_speak(server_of(self._tools)))
        log.info("serving %r over standard input and output", self._mollm)
        told = asyncio.create_task(self._told_to_end.wait())
        await asyncio.wait([serving, told], return_when=asyncio.FIRST_COMPLETED)
        preparing.cancel()
        if serving.done() and (error := serving.exception()):
            said(error if isinstance(error, Exception) else RuntimeError())
            self._exit_code = 1
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_END):
                if await self._tools.end():
                    await asyncio.sleep(FAREWELL)
                await self._mollm.aclose()
        _leave(self._exit_code)

    async def _prepare(self) -> None:
        # Beside the handshake: a client waits for that a few seconds, and fitting a router may take longer.
        try:
            await self._mollm.prepare()
        except MollmError as error:
            log.error("questions cannot be answered: %s", error)

    def _heed(self) -> None:
        loop = asyncio.get_running_loop()
        with suppress(NotImplementedError):  # Windows, where a client ends what it started
            loop.add_signal_handler(signal.SIGTERM, self._end, 0)
            loop.add_signal_handler(signal.SIGINT, self._end, INTERRUPTED)

    def _end(self, exit_code: int) -> None:
        if self._told_to_end.is_set():
            _leave(exit_code)
        self._exit_code = exit_code
        self._told_to_end.set()


async def _speak(server: Server[Any]) -> None:
    """Speak with the client until it closes standard input, or reads no more."""
    try:
        # Whatever else is written to standard output goes to standard error meanwhile.
        async with stdio_server() as (reading, writing):
            await server.run(reading, writing, server.create_initialization_options())
    except* OSError:
        log.info("the client has gone")


def _leave(code: int) -> NoReturn:
    # A thread waits for the next line of standard input, and nothing but that line would end it.
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(code)


class _Direct:
    """Asks a configuration, with nothing in front of it but its own limits."""

    def __init__(self, mollm: MoLLM) -> None:
        self.mollm = mollm

    async def ask(self, request: Any, question: str, observer: Observer, **options: Any) -> Answer:
        del request  # there is one client
        answer = await self.mollm.arun(question, observer, **options)
        reasons = f", degraded: {'; '.join(answer.degraded)}" if answer.degraded else ""
        log.info("%s: answered after %.3f s, %d calls%s", answer.mixture, answer.seconds, answer.calls, reasons)
        return answer

    async def route(self, request: Any, question: str) -> Route:
        del request
        return await self.mollm.aroute(question)
