"""The configuration in force: what answers, who may come in, and how it is read again."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from mollm.api import MoLLM
from mollm.config.load import load_config
from mollm.errors import MollmError, Overloaded
from mollm.observing.prometheus import Metrics
from mollm.server.admission import Admission, ClientGone
from mollm.server.auth import Keys
from mollm.server.failures import cause_of, report
from mollm.server.handling import Handling

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    from mollm.config.config import Config
    from mollm.routing.base import Router
    from mollm.server.admission import Receive

log = logging.getLogger("mollm.server")


class Deployment:
    """A configuration that is asked through HTTP, until another takes its place.

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
        loaded = load_config(config)
        # A socket stays where it was bound, whatever a file that is read later says of its host.
        self._source, self._host = config, host or loaded.server.host
        self._given: dict[str, Any] = {"llms": llms, "router": router}
        self.settings, self.keys = loaded.server, Keys(loaded, self._host)
        self.mollm = MoLLM(loaded, **self._given)
        self.created = int(time.time())
        self.admission = Admission(self.settings.max_in_flight, self.settings.queue)
        self.metrics = Metrics(self.admission)
        self._users: dict[MoLLM, int] = {self.mollm: 0}
        self._closing: set[asyncio.Future[None]] = set()

    async def start(self) -> None:
        """Build the router, which may have to be fitted."""
        await self.mollm.prepare()

    @asynccontextmanager
    async def handle(self, receive: Receive) -> AsyncGenerator[Handling, None]:
        """Let a request in; the block asks the `MoLLM` that is in force now.

        Raises:
            Overloaded: There is no room, or the server is about to stop.
            ClientGone: The client went away; what ran was cancelled.
        """
        begun, is_inside = time.monotonic(), False
        try:
            async with self.admission.slot(receive) as slot:
                is_inside, mollm = True, self.mollm
                self._users[mollm] += 1
                try:
                    yield Handling(mollm, slot, self.metrics, begun)
                finally:
                    self._users[mollm] -= 1
                    self._retire()
        except (Overloaded, ClientGone) as error:
            if not is_inside:
                self.metrics.failed(None, cause_of(error))
            raise

    async def reload(self) -> bool:
        """Read the configuration again; one that is wrong changes nothing, and the log says why."""
        try:
            config = await asyncio.to_thread(load_config, self._source)
            keys = Keys(config, self._host)
            mollm = await asyncio.to_thread(MoLLM, config, **self._given)
            await mollm.prepare()
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
        closing = [*self._closing, *(asyncio.ensure_future(mollm.aclose()) for mollm in self._users)]
        for error in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(error, Exception):
                report(error, "connections were closed")

    def _retire(self) -> None:
        # A configuration that was replaced answers what it was asked, and is closed then.
        if len(self._users) == 1:
            return
        for mollm, users in tuple(self._users.items()):
            if mollm is not self.mollm and not users:
                del self._users[mollm]
                task = asyncio.ensure_future(mollm.aclose())
                self._closing.add(task)
                task.add_done_callback(self._closed)

    def _closed(self, task: asyncio.Future[None]) -> None:
        self._closing.discard(task)
        if not task.cancelled() and (error := task.exception()):
            report(error, "a configuration that was replaced was closed")


def summary(config: Config) -> str:
    """Say in one line what is served."""
    counts = [(len(config.mixtures), "mixture"), (len(config.llms), "LLM")]
    counted = ", ".join(f"{count} {what}{'s' if count > 1 else ''}" for count, what in counts)
    return f"{config.path or 'a configuration'} ({counted}, {config.router_kind} router)"
