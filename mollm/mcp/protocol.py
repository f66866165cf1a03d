"""What is done when a client lists tools or calls one, over whatever it speaks."""

from __future__ import annotations

import asyncio
import logging
import math
import traceback
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import anyio
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS, CallToolResult, ListToolsResult, TextContent

from mollm.catalog import unknown_mixture
from mollm.errors import ConfigError, MollmError, PromptError, RunError
from mollm.mcp.progress import Reporter, Steps
from mollm.mcp.tools import (
    AUTO,
    Asked,
    AskedAlone,
    Listed,
    Mixtures,
    Routed,
    mixtures_of,
    read,
    told,
    tools_of,
    way,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Mapping

    from mcp.server.context import ServerRequestContext
    from mcp_types import CallToolRequestParams, PaginatedRequestParams
    from pydantic import BaseModel

    from mollm.api import MoLLM
    from mollm.events import Observer
    from mollm.mcp.progress import Step
    from mollm.types import Answer, Route

    Context = ServerRequestContext[Any, Any]

log = logging.getLogger("mollm.mcp")

T = TypeVar("T")

LONGEST_END = 5.0
"""Seconds that a question may take to end once it is told to."""
STOPPING = "mollm is about to stop"


class Asking(Protocol):
    """Who answers: the configuration in force, and what stands in front of it."""

    @property
    def mollm(self) -> MoLLM:
        """The configuration in force."""

    async def ask(self, request: Any, question: str, observer: Observer, **options: Any) -> Answer:
        """Answer a question.

        Args:
            request: What the transport knows of it: an HTTP request, or None.
            question: The question.
            observer: Receives every event.
            options: `mixture` and `max_tokens`, as for `MoLLM.ask`.
        """

    async def route(self, request: Any, question: str) -> Route:
        """Pick the mixture that suits a question."""


class Tools:
    """The tools over a configuration, for any number of clients and calls at once."""

    def __init__(self, asking: Asking, pinned: str | None = None) -> None:
        """Call nobody yet.

        Args:
            asking: Who answers.
            pinned: The mixture that answers everything; None: the caller, or the router, picks one.
        """
        self._asking, self._pinned = asking, pinned
        self._running: set[asyncio.Task[Any]] = set()

    async def list(self, _: Context, __: PaginatedRequestParams | None = None) -> ListToolsResult:
        """List the tools of the configuration in force.

        Raises:
            MCPError: It no longer has the mixture that answers everything.
        """
        try:
            return ListToolsResult(tools=tools_of(self._asking.mollm.catalog, self._pinned))
        except MollmError as error:
            raise MCPError(INTERNAL_ERROR, said(error)) from None

    async def call(self, context: Context, call: CallToolRequestParams) -> CallToolResult:
        """Call one. Whatever goes wrong with it is its result, which the agent reads.

        Raises:
            MCPError: There is no such tool.
        """
        tool = {"ask": self._ask, "route": self._route, "mixtures": self._mixtures}.get(call.name)
        if tool is None or (self._pinned is not None and call.name != "ask"):
            raise MCPError(INVALID_PARAMS, f"there is no tool {whole(call.name)[:100]!r}")
        try:
            return await self._apart(tool(context, call.arguments))
        except Exception as error:  # noqa: BLE001 - told in our words
            return CallToolResult(content=[TextContent(text=whole(said(error)))], is_error=True)

    async def end(self) -> bool:
        """End the calls that are running, and wait for them, but not for ever; False: there was none."""
        running = set(self._running)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=LONGEST_END)
        return bool(running)

    async def _ask(self, context: Context, arguments: Mapping[str, Any] | None) -> CallToolResult:
        asked = read(Asked if self._pinned is None else AskedAlone, arguments)
        mixture = asked.mixture if isinstance(asked, Asked) else self._pinned
        async with self._reporting(context) as observer:
            answer = await self._asking.ask(
                context.request, asked.question, observer, mixture=self._known(mixture), max_tokens=asked.max_tokens
            )
        return _result(told(answer), answer.text)

    def _known(self, mixture: str | None) -> str | None:
        config = self._asking.mollm.config
        if mixture in (AUTO, self._pinned) or mixture in config.mixtures:
            return mixture
        raise unknown_mixture(config, str(mixture))  # an LLM has a name, too, and is not offered

    async def _route(self, context: Context, arguments: Mapping[str, Any] | None) -> CallToolResult:
        route = await self._asking.route(context.request, read(Routed, arguments).question)
        doubt = "" if route.is_sure else ", not sure"
        return _result(way(route), f"{route.mixture}{doubt}: {route.reason}")

    async def _mixtures(self, _: Context, arguments: Mapping[str, Any] | None) -> CallToolResult:
        read(Listed, arguments)
        found = mixtures_of(self._asking.mollm.catalog, self._pinned)
        lines = [f"{one.name}: {one.description} (calls at most: {one.calls})" for one in found]
        return _result(Mixtures(mixtures=found), "\n".join(lines))

    @asynccontextmanager
    async def _reporting(self, context: Context) -> AsyncGenerator[Observer, None]:
        async def report(step: Step) -> None:
            # Nothing is sent to a client that has not asked for it.
            await context.session.report_progress(step.done, step.of, step.words)

        reporter = Reporter(Steps(lambda: self._asking.mollm.catalog), report)
        task = asyncio.create_task(reporter.run())
        try:
            yield reporter
        finally:
            task.cancel()

    async def _apart(self, work: Coroutine[Any, Any, T]) -> T:
        # The SDK cancels over and over, on every turn of the event loop, which would cut short what closes connections.
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([task], timeout=LONGEST_END)
            if task.done() and not task.cancelled():
                task.exception()  # nobody is left to hear it
            raise
        if task.cancelled():
            raise RunError(STOPPING)
        return task.result()


def server_of(tools: Tools) -> Server[Any]:
    """Build the server that the SDK runs."""
    from mollm import __version__

    return Server[Any](
        "mollm",
        version=__version__,
        title="mollm",
        description="Mixtures of LLMs: a question in, one answer made of several out.",
        on_list_tools=tools.list,
        on_call_tool=tools.call,
        get_tool_input_schema=lambda _: None,  # no argument is said again in a header; else each call lists the tools
    )


def _result(structured: BaseModel, text: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=whole(text))], structured_content=structured.model_dump())


def said(error: Exception) -> str:
    """Say in our words what went wrong, and log what only whoever runs this is to know."""
    if isinstance(error, ConfigError | PromptError):
        log.error("a question needs what the configuration does not give: %s", error)
        return "the configuration cannot be used for this question; the log of mollm says why"
    if isinstance(error, MollmError):
        wait = getattr(error, "retry_after_seconds", None)
        known = "" if wait is None else f"; try again in {math.ceil(max(1, wait))} s"
        return f"{error}{known}"
    # The message of a foreign error may hold a prompt, a key, or what an upstream sent.
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.error("%s while a tool was called, at\n%s", type(error).__name__, frames)
    return "mollm failed to answer; its log says more"
