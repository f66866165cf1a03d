"""The configuration in force: what answers, who may come in, and how it is read again."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, cast

from mollm.api import MoLLM
from mollm.config.load import load_config
from mollm.errors import MollmError
from mollm.observing.prometheus import Metrics
from mollm.server.admission import Admission
from mollm.server.auth import caller_of
from mollm.server.body import Bodies
from mollm.server.failures import report
from mollm.server.handling import Handling
from mollm.server.key_metrics import KeyMetrics
from mollm.server.keys import Keys
from mollm.server.ledger import ledger_of, used_in
from mollm.server.origins import Origins
from mollm.server.quotas import Quotas, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from starlette.requests import Request
    from starlette.types import Receive, Scope

    from mollm.aggregation.base import Aggregator
    from mollm.config.config import Config
    from mollm.routing.base import RouterLike
    from mollm.server.ledger import Ledger
    from mollm.types import Observer

log = logging.getLogger("mollm.server")


class Deployment:
    """A configuration that is asked through HTTP, until another takes its place.

    Attributes:
        mollm: What answers.
        settings: The section `server`.
        keys: Who is let in.
        quotas: How much each of them may use, and does.
        origins: Under which names, and from which pages.
        created: Unix time at which the configuration was read.
        admission: How many are let in at once.
        bodies: How much of what they sent is held.
        metrics: What was counted.
    """

    def __init__(
        self,
        config: str | Path | Mapping[str, Any] | Config | None = None,
        *,
        host: str | None = None,
        llms: Mapping[str, Any] | None = None,
        router: RouterLike | None = None,
        aggregators: Mapping[str, Aggregator] | None = None,
        observers: Sequence[Observer] = (),
        utc: Callable[[], datetime] = utc_now,
    ) -> None:
        """Build everything; nothing listens and nothing is asked yet.

        Args:
            config: A YAML file, a dictionary of the same shape, or a `Config`; None as for the command.
            host: Where the server listens, if not where the configuration says.
            llms: LLMs to use instead of configured ones, by name.
            router: Picks the mixture instead of the configured router.
            aggregators: Aggregators beside the built-in ones, by `method`.
            observers: Are told what happens, for every question.
            utc: Returns the time, by which a day of a key's limits begins.

        Raises:
            ConfigError: Everything that is wrong with the configuration.
        """
        self._methods = tuple(aggregators or ())
        loaded = load_config(config, methods=self._methods)
        # A socket stays where it was bound, whatever a file that is read later says of its host.
        self._source, self._host = config, host or loaded.server.host
        self.settings, self.keys = loaded.server, Keys(loaded, self._host)
        self.origins = Origins(self.settings)
        self.admission = Admission(self.settings.max_in_flight, self.settings.queue)
        self.bodies = Bodies(self.settings.max_body)
        self.metrics = Metrics(in_flight=lambda: self.admission.in_flight, waiting=lambda: self.admission.waiting)
        self.mollm = MoLLM(loaded, llms=llms, router=router, aggregators=aggregators, observers=observers)
        self.created = int(time.time())
        # Last, since a file that is open has to be closed.
        self._ledger = ledger_of(loaded)
        self.quotas = Quotas(sink=self._ledger, utc=utc)
        self.quotas.change(loaded.server.limits_by_key, used_in(self._ledger))
        self.metrics.registry.register(KeyMetrics(self.quotas))

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.mollm.config

    async def start(self) -> None:
        """Build and import what the first question would otherwise wait for."""
        await self.mollm.prepare()

    def handle(self, scope: Scope, receive: Receive) -> Handling:
        """Take up an HTTP request; what it asks is answered with the configuration that is in force then."""
        caller = caller_of(scope)
        return Handling(
            scope,
            receive,
            caller=caller,
            quota=self.quotas.of(caller.name),
            mollm=self.mollm,
            slot=self.admission.slot(receive),
            share=self.bodies.share(),
            metrics=self.metrics,
        )

    async def reload(self) -> bool:
        """Read the configuration again; one that is wrong changes nothing, and the log says why."""
        opened: Ledger | None = None
        try:
            config = await asyncio.to_thread(load_config, self._source, methods=self._methods)
            keys = Keys(config, self._host)
            opened = None if self._ledger else await asyncio.to_thread(ledger_of, config)
            used = await asyncio.to_thread(used_in, self._ledger or opened)
            await self.mollm.ause(config)
        except Exception as error:  # noqa: BLE001 - whatever it is, what is in force goes on answering
            if opened:
                await asyncio.to_thread(opened.close)
            if not isinstance(error, MollmError):
                report(error, "the configuration was read again")
            log.error("the configuration stays as it was: %s", error if isinstance(error, MollmError) else "see above")
            self.metrics.reloaded(is_good=False)
            return False
        if (config.server.host, config.server.port) != (self.settings.host, self.settings.port):
            log.warning("server.host and server.port change with a restart only")
        if self._ledger and config.server.usage != self.settings.usage:
            log.warning("server.usage changes with a restart only")
        if opened:
            self._ledger = opened
            self.quotas.keep_in(opened, used)
        self.quotas.change(config.server.limits_by_key, used)
        self.settings, self.keys, self.created = config.server, keys, int(time.time())
        self.origins = Origins(self.settings)
        self.admission.resize(self.settings.max_in_flight, self.settings.queue)
        self.bodies.most = self.settings.max_body
        log.info("the configuration was read again: %s", summary(config))
        self.metrics.reloaded(is_good=True)
        return True

    async def aclose(self) -> None:
        """Close every connection to an LLM, and write what keys have used."""
        try:
            await self.mollm.aclose()
        except Exception as error:  # noqa: BLE001 - the server stops all the same
            report(error, "connections were closed")
        if self._ledger:
            await asyncio.to_thread(self._ledger.close)


def deployment_of(request: Request) -> Deployment:
    """Return the deployment that an HTTP request has reached."""
    return cast("Deployment", request.app.state.deployment)


def summary(config: Config) -> str:
    """Say in one line what is served."""
    counts = [(len(config.mixtures), "mixture"), (len(config.llms), "LLM")]
    counted = ", ".join(f"{count} {what}{'s' if count > 1 else ''}" for count, what in counts)
    return f"{config.path or 'a configuration'} ({counted}, {config.router_kind} router)"
