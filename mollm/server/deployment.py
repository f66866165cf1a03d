"""The configuration in force: what answers, who may come in, and how it is read again."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mollm.api import MoLLM
from mollm.config.files import named_path
from mollm.config.load import load_config
from mollm.errors import MollmError
from mollm.observing.prometheus import Metrics
from mollm.server.admission import Admission
from mollm.server.audit import STANDARD_OUTPUT, Audit
from mollm.server.auth import Keys, caller_of
from mollm.server.body import Bodies
from mollm.server.failures import report
from mollm.server.handling import Handling
from mollm.server.origins import Origins

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.types import Receive, Scope

    from mollm.aggregation.base import Aggregator
    from mollm.config.config import Config
    from mollm.config.server import ServerConfig
    from mollm.routing.base import RouterLike
    from mollm.server.descriptors import Descriptors
    from mollm.types import Observer

log = logging.getLogger("mollm.server")


class Deployment:
    """A configuration that is asked through HTTP, until another takes its place.

    Attributes:
        mollm: What answers.
        settings: The section `server`.
        keys: Who is let in.
        origins: Under which names, and from which pages.
        created: Unix time at which the configuration was read.
        admission: How many are let in at once.
        bodies: How much of what they sent is held.
        metrics: What was counted.
        audit: Where a line is left of each HTTP request; None: nowhere.
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
    ) -> None:
        """Build everything; nothing listens and nothing is asked yet.

        Args:
            config: A YAML file, a dictionary of the same shape, or a `Config`; None as for the command.
            host: Where the server listens, if not where the configuration says.
            llms: LLMs to use instead of configured ones, by name.
            router: Picks the mixture instead of the configured router.
            aggregators: Aggregators beside the built-in ones, by `method`.
            observers: Are told what happens, for every question.

        Raises:
            ConfigError: Everything that is wrong with the configuration.
        """
        self._methods = tuple(aggregators or ())
        loaded = load_config(config, methods=self._methods)
        # A socket stays where it was bound, whatever a file that is read later says of its host.
        self._source, self._host = config, host or loaded.server.host
        self.settings, self.keys = loaded.server, Keys(loaded, self._host)
        self.origins = Origins(self.settings)
        self.admission = Admission(*_bounds(self.settings), on_refusal=lambda: self.metrics.refused())
        self.bodies = Bodies(self.settings.max_body, check=self.admission.check)
        self.audit: Audit | None = None
        self.metrics = Metrics(
            in_flight=lambda: self.admission.in_flight,
            waiting=lambda: self.admission.waiting,
            oldest=lambda: self.admission.oldest_seconds,
            llms=lambda: self.mollm.catalog.llms.values(),
        )
        self.mollm = MoLLM(loaded, llms=llms, router=router, aggregators=aggregators, observers=observers)
        self.created = int(time.time())
        self._descriptors: Descriptors | None = None

    def fit_into(self, descriptors: Descriptors) -> None:
        """Bound the connections to LLMs by what a process has descriptors for, also when it is read again."""
        self._descriptors = descriptors
        descriptors.fit(self.config)
        self.mollm.catalog.llms.pool.room.most = descriptors.for_llms

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.mollm.config

    async def start(self) -> None:
        """Build and import what the first question would otherwise wait for, and open the audit log.

        Raises:
            ConfigError: It cannot be written.
        """
        await self.mollm.prepare()
        if self.audit is None:
            self.audit = self._audit_of(self.config)
        self.metrics.lateness.start()

    def handle(self, scope: Scope, receive: Receive) -> Handling:
        """Take up an HTTP request; what it asks is answered with the configuration that is in force then."""
        return Handling(
            scope,
            receive,
            caller=caller_of(scope),
            mollm=self.mollm,
            slot=self.admission.slot(receive),
            share=self.bodies.share(),
            metrics=self.metrics,
            audit=self.audit,
        )

    async def reload(self) -> bool:
        """Read the configuration again; one that is wrong changes nothing, and the log says why."""
        try:
            config = await asyncio.to_thread(load_config, self._source, methods=self._methods)
            keys = Keys(config, self._host)
            is_same = config.server.audit == self.settings.audit
            audit = self.audit if is_same else self._audit_of(config)
            try:
                await self.mollm.ause(config)
            except BaseException:
                await _closed(None if is_same else audit)
                raise
        except Exception as error:  # noqa: BLE001 - whatever it is, what is in force goes on answering
            if not isinstance(error, MollmError):
                report(error, "the configuration was read again")
            log.error("the configuration stays as it was: %s", error if isinstance(error, MollmError) else "see above")
            self.metrics.reloaded(is_good=False)
            return False
        if (config.server.host, config.server.port) != (self.settings.host, self.settings.port):
            log.warning("server.host and server.port change with a restart only")
        self.settings, self.keys, self.created = config.server, keys, int(time.time())
        replaced, self.audit = self.audit, audit
        self.origins = Origins(self.settings)
        self.admission.resize(*_bounds(self.settings))
        self.bodies.most = self.settings.max_body
        if self._descriptors:
            self._descriptors.fit(config)
        log.info("the configuration was read again: %s", summary(config))
        self.metrics.reloaded(is_good=True)
        self.metrics.keep(config.llms)
        await _closed(None if is_same else replaced)
        return True

    def _audit_of(self, config: Config) -> Audit | None:
        target = config.server.audit
        if target is None:
            return None
        if target != STANDARD_OUTPUT:
            target = str((config.path.parent if config.path else Path()) / named_path(target))
        return Audit(target, place=config.place("server", "audit"), on_drop=self.metrics.unaudited)

    async def aclose(self) -> None:
        """Close every connection to an LLM, and look no more how the event loop fares."""
        self.metrics.lateness.stop()
        try:
            await self.mollm.aclose()
        except Exception as error:  # noqa: BLE001 - the server stops all the same
            report(error, "connections were closed")
        await _closed(self.audit)


async def _closed(audit: Audit | None) -> None:
    if audit is not None:
        await asyncio.to_thread(audit.close)


def deployment_of(request: Request) -> Deployment:
    """Return the deployment that an HTTP request has reached."""
    return cast("Deployment", request.app.state.deployment)


def _bounds(settings: ServerConfig) -> tuple[int, int, float]:
    return settings.max_in_flight, settings.queue, settings.queue_seconds


def summary(config: Config) -> str:
    """Say in one line what is served."""
    counts = [(len(config.mixtures), "mixture"), (len(config.llms), "LLM")]
    counted = ", ".join(f"{count} {what}{'s' if count > 1 else ''}" for count, what in counts)
    return f"{config.path or 'a configuration'} ({counted}, {config.router_kind} router)"
