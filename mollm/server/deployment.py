"""The configuration in force: what answers, who may come in, and how it is read again."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from mollm.api import MoLLM
from mollm.config.files import named_path
from mollm.config.load import load_config
from mollm.errors import MollmError
from mollm.observing.prometheus import Metrics
from mollm.server.admission import Admission
from mollm.server.audit import STANDARD_OUTPUT, Audit
from mollm.server.auth import caller_of
from mollm.server.body import Bodies
from mollm.server.circles import check_addresses
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

    from starlette.requests import Request
    from starlette.types import Receive, Scope

    from mollm.aggregation.base import Aggregator
    from mollm.config.config import Config
    from mollm.config.server import ServerConfig
    from mollm.embeddings.own import EmbedderLike
    from mollm.events import Observer
    from mollm.routing.base import RouterLike
    from mollm.server.descriptors import Descriptors
    from mollm.server.ledger import Ledger
    from mollm.server.quotas import Used

log = logging.getLogger("mollm.server")


class _ReadAgain(NamedTuple):
    """A configuration that is good, and what it needs; of files, those that are open already."""

    config: Config
    keys: Keys
    audit: Audit | None
    ledger: Ledger | None
    used: Used


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
        audit: Where a line is left of each HTTP request; None: nowhere.
    """

    def __init__(
        self,
        config: str | Path | Mapping[str, Any] | Config | None = None,
        *,
        host: str | None = None,
        llms: Mapping[str, Any] | None = None,
        router: RouterLike | None = None,
        embedder: EmbedderLike | None = None,
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
            embedder: An `Embedder`, or a function from texts to vectors, instead of the configured `embeddings`.
            aggregators: Aggregators beside the built-in ones, by `method`.
            observers: Are told what happens, for every question.
            utc: Returns the time, by which a day of a key's limits begins.

        Raises:
            ConfigError: Everything that is wrong with the configuration.
        """
        self._load = partial(load_config, methods=tuple(aggregators or ()), has_embedder=embedder is not None)
        loaded = self._load(config)
        # A socket stays where it was bound, whatever a file that is read later says of its host.
        self._source, self._host = config, host or loaded.server.host
        self.settings, self.keys = loaded.server, Keys(loaded, self._host)
        self.origins = Origins(self.settings)
        self.admission = Admission(*_bounds(self.settings), on_refusal=lambda: self.metrics.failed(None, "overloaded"))
        self.bodies = Bodies(self.settings.max_body, check=self.admission.check)
        self.audit: Audit | None = None
        self.metrics = Metrics(
            in_flight=lambda: self.admission.in_flight,
            waiting=lambda: self.admission.waiting,
            oldest=lambda: self.admission.oldest_seconds,
            llms=lambda: self.mollm.catalog.llms.values(),
            thresholds=lambda: self.mollm.catalog.thresholds(),
        )
        self.mollm = MoLLM(
            loaded, llms=llms, router=router, embedder=embedder, aggregators=aggregators, observers=observers
        )
        self.created = int(time.time())
        self._descriptors: Descriptors | None = None
        self._socket: tuple[str, int] | None = None
        # Last, since a file that is open has to be closed.
        self._ledger = ledger_of(loaded)
        self.quotas = Quotas(sink=self._ledger, utc=utc)
        self.quotas.change(loaded.server.limits_by_key, used_in(self._ledger))
        self.metrics.registry.register(KeyMetrics(self.quotas))

    def fit_into(self, descriptors: Descriptors) -> None:
        """Bound the connections to LLMs by what a process has descriptors for, also when it is read again."""
        self._descriptors = descriptors
        descriptors.fit(self.config)
        self.mollm.catalog.llms.pool.room.most = descriptors.for_llms

    def listens_on(self, host: str, port: int) -> None:
        """Take note of the socket's address, at which no LLM may be, also when the configuration is read again.

        Raises:
            ConfigError: One is.
        """
        self._socket = host, port
        check_addresses(self.config, host, port)

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
        self.audit = await self._audit_for(self.config)
        self.metrics.lateness.start()

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
            audit=self.audit,
        )

    async def reload(self) -> bool:
        """Read the configuration again; one that is wrong changes nothing, and the log says why."""
        try:
            found = await self._read_again()
        except Exception as error:  # noqa: BLE001 - whatever it is, what is in force goes on answering
            if not isinstance(error, MollmError):
                report(error, "the configuration was read again")
            log.error("the configuration stays as it was: %s", error if isinstance(error, MollmError) else "see above")
            self.metrics.reloaded(is_good=False)
            return False
        replaced = self.audit
        self._put_in_force(found)
        log.info("the configuration was read again: %s", summary(found.config))
        if replaced is not self.audit:
            await _close(replaced)
        return True

    async def _read_again(self) -> _ReadAgain:
        async with AsyncExitStack() as opened:  # what is new is closed where something behind it is wrong
            config = await asyncio.to_thread(self._load, self._source)
            if self._socket:
                check_addresses(config, *self._socket)
            keys = Keys(config, self._host)
            audit = await self._audit_for(config)
            if audit is not self.audit:
                opened.push_async_callback(_close, audit)
            ledger = self._ledger or await asyncio.to_thread(ledger_of, config)
            if ledger is not self._ledger:
                opened.push_async_callback(_close, ledger)
            used = await asyncio.to_thread(used_in, ledger)
            await self.mollm.ause(config)
            opened.pop_all()
        return _ReadAgain(config, keys, audit, ledger, used)

    def _put_in_force(self, found: _ReadAgain) -> None:
        before, settings = self.settings, found.config.server
        if (settings.host, settings.port) != (before.host, before.port):
            log.warning("server.host and server.port change with a restart only")
        if self._ledger and settings.usage != before.usage:
            log.warning("server.usage changes with a restart only")
        if settings.mcp != before.mcp:
            log.warning("server.mcp changes with a restart only")
        if found.ledger and not self._ledger:
            self.quotas.keep_in(found.ledger, found.used)
        self._ledger = found.ledger
        self.quotas.change(settings.limits_by_key, found.used)
        self.settings, self.keys, self.audit = settings, found.keys, found.audit
        self.origins, self.created = Origins(settings), int(time.time())
        self.admission.resize(*_bounds(settings))
        self.bodies.most = settings.max_body
        if self._descriptors:
            self._descriptors.fit(found.config)
        self.metrics.reloaded(is_good=True)
        self.metrics.keep(found.config.llms)

    async def _audit_for(self, config: Config) -> Audit | None:
        target = config.server.audit
        if self.audit is not None and target == self.settings.audit:
            return self.audit
        if target is None:
            return None
        if target != STANDARD_OUTPUT:
            target = str((config.path.parent if config.path else Path()) / named_path(target))
        place = config.place("server", "audit")
        return await asyncio.to_thread(Audit, target, place=place, on_drop=self.metrics.unaudited)

    async def aclose(self) -> None:
        """Close every connection to an LLM, and write what is not written yet."""
        self.metrics.lateness.stop()
        try:
            await self.mollm.aclose()
        except Exception as error:  # noqa: BLE001 - the server stops all the same
            report(error, "connections were closed")
        await _close(self.audit)
        await _close(self._ledger)


def deployment_of(request: Request) -> Deployment:
    """Return the deployment that an HTTP request has reached."""
    return cast("Deployment", request.app.state.deployment)


async def _close(file: Audit | Ledger | None) -> None:
    if file is not None:
        await asyncio.to_thread(file.close)


def _bounds(settings: ServerConfig) -> tuple[int, int, float]:
    return settings.max_in_flight, settings.queue, settings.queue_seconds


def summary(config: Config) -> str:
    """Say in one line what is served."""
    counts = [(len(config.mixtures), "mixture"), (len(config.llms), "LLM")]
    counted = ", ".join(f"{count} {what}{'s' if count > 1 else ''}" for count, what in counts)
    return f"{config.path or 'a configuration'} ({counted}, {config.router_kind} router)"
