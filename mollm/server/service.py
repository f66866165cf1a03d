"""What the endpoints share: the configuration in force, who may come in, and what is counted."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

from mollm.api import MoLLM
from mollm.config import load_config
from mollm.errors import ConfigError, MollmError, Overloaded, PromptError
from mollm.server.admission import Admission, ClientGone
from mollm.server.failures import problem_of
from mollm.server.keys import Keys
from mollm.server.metrics import Metrics
from mollm.types import Done, Routed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from pathlib import Path

    from mollm.routing.base import Router
    from mollm.schema import Config
    from mollm.server.admission import Receive, Stay
    from mollm.types import Answer, Call, Event, Message, RequestOptions, Route, Token

log = logging.getLogger("mollm.server")


class Service:
    """A `MoLLM` that is asked through HTTP.

    Attributes:
        mollm: What answers; `reload` puts another in its place.
        settings: The section `server`.
        keys: Who is let in.
        created: Unix time at which the configuration was read.
    """

    def __init__(
        self,
        config: str | Path | Mapping[str, Any] | Config | None = None,
        *,
        host: str | None = None,
        llms: Mapping[str, Any] | None = None,
        router: Router | None = None,
    ) -> None:
        """Build everything; nothing listens and nothing is asked yet.

        Args:
            config: A YAML file, a dictionary of the same shape, or a `Config`; None as for the command.
            host: Where the server listens, if not where the configuration says.
            llms: LLMs to use instead of configured ones, by name.
            router: Picks the mixture instead of the configured router.

        Raises:
            ConfigError: Everything that is wrong with the configuration.
        """
        self._source, self._host = config, host
        self._given: dict[str, Any] = {"llms": llms, "router": router}
        loaded = load_config(config)
        self.settings, self.keys = loaded.server, Keys(loaded, host)
        self.mollm = MoLLM(loaded, **self._given)
        self.created = int(time.time())
        self.admission = Admission(self.settings.max_in_flight, self.settings.queue)
        self.metrics = Metrics(self.admission)
        self._users: dict[MoLLM, int] = {self.mollm: 0}
        self._closing: set[asyncio.Future[None]] = set()

    async def start(self) -> None:
        """Build the router, which may have to be fitted."""
        await self.mollm.runtime.built_router()

    @asynccontextmanager
    async def visit(self, receive: Receive) -> AsyncGenerator[Visit, None]:
        """Let a request in; the block asks the `MoLLM` that is in force now.

        Raises:
            Overloaded: There is no room, or the server is about to stop.
            ClientGone: The client went away; what ran was cancelled.
        """
        begun, is_inside = time.monotonic(), False
        try:
            async with self.admission.stay(receive) as stay:
                is_inside, mollm = True, self.mollm
                self._users[mollm] += 1
                try:
                    yield Visit(mollm, stay, self.metrics, begun)
                finally:
                    self._users[mollm] -= 1
                    self._retire()
        except (Overloaded, ClientGone) as error:
            if not is_inside:
                self.metrics.failed(None, _cause(error))
            raise

    async def reload(self) -> bool:
        """Read the configuration again; one that is wrong changes nothing, and the log says why."""
        try:
            config = await asyncio.to_thread(load_config, self._source)
            keys = Keys(config, self._host)
            mollm = await asyncio.to_thread(MoLLM, config, **self._given)
            await mollm.runtime.built_router()
        except Exception as error:  # noqa: BLE001 - whatever it is, what is in force goes on answering
            if not isinstance(error, MollmError):
                report(error, "the configuration was read again")
            log.error("the configuration stays as it was: %s", error if isinstance(error, MollmError) else "see above")
            self.metrics.reloaded(is_good=False)
            return False
        if (config.server.host, config.server.port) != (self.settings.host, self.settings.port):
            log.warning("server.host and server.port change with a restart only")
        self.settings, self.keys, self.mollm, self.created = config.server, keys, mollm, int(time.time())
        self.admission.resize(self.settings.max_in_flight, self.settings.queue)
        self._users[mollm] = 0
        self._retire()
        log.info("the configuration was read again: %s", summary(config))
        self.metrics.reloaded(is_good=True)
        return True

    async def aclose(self) -> None:
        """Close every connection to an LLM."""
        for mollm in tuple(self._users):
            await mollm.aclose()
        await asyncio.gather(*self._closing)

    def _retire(self) -> None:
        # A configuration that was replaced answers what it was asked, and is closed then.
        if len(self._users) == 1:
            return
        for mollm, users in tuple(self._users.items()):
            if mollm is not self.mollm and not users:
                del self._users[mollm]
                task = asyncio.ensure_future(mollm.aclose())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)


@dataclass(frozen=True, slots=True)
class Visit:
    """A request that was let in."""

    mollm: MoLLM
    stay: Stay
    metrics: Metrics
    begun: float
    """When it came, on the monotonic clock."""

    async def ask(
        self,
        question: str | Sequence[Message],
        recorder: Recorder | None = None,
        *,
        stream: bool = False,
        id: str | None = None,  # noqa: A002 - the field's name
        **options: Unpack[RequestOptions],
    ) -> Answer:
        """Answer `question` and count how that went. Arguments and errors are those of `MoLLM.arun`."""
        recorder = recorder or Recorder(self)
        try:
            await self.mollm.arun(question, recorder, stream=stream, id=id, **options)
        except asyncio.CancelledError:
            reason = self.stay.reason
            self.metrics.failed(recorder.mixture, _cause(reason) if reason else "cancelled")
            raise
        except Exception as error:
            problem = problem_of(error)
            self.metrics.failed(recorder.mixture, problem.cause)
            said = "; ".join(problem.message.splitlines())
            log.warning("%s: failed after %.3f s: %s", recorder.mixture or "not routed", recorder.seconds, said)
            raise
        answer = recorder.answer
        self.metrics.answered(answer, recorder.seconds)
        reasons = f", degraded: {'; '.join(answer.degraded)}" if answer.degraded else ""
        calls = "1 call" if answer.calls == 1 else f"{answer.calls} calls"
        log.info("%s: answered after %.3f s, %s%s", answer.mixture, recorder.seconds, calls, reasons)
        return answer


class Recorder:
    """A listener that keeps what is told of a question, and counts its calls.

    Attributes:
        route: The router's decision, once there is one.
        answer: The answer, once it is whole.
    """

    answer: Answer

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self.route: Route | None = None

    @property
    def mixture(self) -> str | None:
        """Which was picked."""
        return self.route.mixture if self.route else None

    @property
    def seconds(self) -> float:
        """Since the request came."""
        return time.monotonic() - self._visit.begun

    def tell(self, event: Event) -> None:
        """Hear what happened."""
        if isinstance(event, Routed):
            self.route = event.route
        elif isinstance(event, Done):
            self.answer = event.answer

    async def show(self, token: Token) -> None:
        """Hear a piece of the answer."""

    def account(self, call: Call) -> None:
        """Hear what a call took."""
        self._visit.metrics.call(call)


def _cause(error: Exception) -> str:
    return "client_gone" if isinstance(error, ClientGone) else problem_of(error).cause


def report(error: BaseException, what: str = "a request was answered") -> None:
    """Log a failure: of what is ours its message, of anything else where it came from, but not what it says."""
    if isinstance(error, ConfigError | PromptError):
        log.error("a request needs what the configuration does not give: %s", error)
    elif not isinstance(error, MollmError):
        # The message of a foreign error may hold a prompt, a key, or what an upstream sent.
        frames = "".join(traceback.format_tb(error.__traceback__))
        log.error("%s while %s, at\n%s", type(error).__name__, what, frames)


def summary(config: Config) -> str:
    """Say in one line what is served."""
    counts = [(len(config.mixtures), "mixture"), (len(config.llms), "LLM")]
    counted = ", ".join(f"{count} {what}{'s' if count > 1 else ''}" for count, what in counts)
    return f"{config.path or 'a configuration'} ({counted}, {config.router_kind} router)"
