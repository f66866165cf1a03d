"""The LLMs: built once, kept while some configuration names them as they are, closed when none does any more.

A new configuration keeps the LLMs that did not change, and with them their connections, their breakers and their
weights in memory.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from mollm.calling.attempt import ReliableLLM, Timeouts
from mollm.calling.bounds import Room
from mollm.calling.health import RetryBudget
from mollm.errors import ConfigError, UserError
from mollm.llms.circles import circle_in
from mollm.llms.factory import Shared, adopt, clients_of, folder_of, price_of, target_of
from mollm.messages import image_tokens
from mollm.options import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mollm.config.config import Config

    Identity = tuple[object, ...]


class Pool:
    """Every LLM in use; they share a budget for retries, and the room for their connections.

    Attributes:
        given: By name, LLMs that were brought.
        room: What the connections of all of them have to fit into.
    """

    def __init__(self, given: Mapping[str, Any] | None = None) -> None:
        """Start empty.

        Args:
            given: By name, LLMs to use instead of the configured client: anything that satisfies the `LLM`
                protocol, or a LangChain chat model. They are their owner's to close.
        """
        self.given = dict(given or {})
        self._shared = Shared()
        self._budget = RetryBudget()
        self.room = Room()
        self._lock, self._building = threading.Lock(), threading.RLock()
        self._built: dict[Identity, ReliableLLM] = {}

    def llms(self, config: Config) -> LLMs:
        """Build those that a mixture or the router uses, if they are not there yet; nothing is opened or loaded.

        Args:
            config: Describes them.

        Raises:
            ConfigError: Lists everything that keeps an LLM from being built.
        """
        problems = [
            f"llms={name!r}: the configuration names no such LLM" for name in self.given if name not in config.llms
        ]
        problems += filter(None, (circle_in(name, given, config) for name, given in self.given.items()))
        found = LLMs(self, config)
        for name in config.used_llms:
            try:
                found.add(name)
            except UserError as error:
                problems += error.problems if isinstance(error, ConfigError) else [str(error)]
        if problems:
            raise ConfigError(problems)
        return found

    def take(self, config: Config, name: str) -> tuple[Identity, ReliableLLM]:
        """Return the LLM `name` as `config` describes it, built if need be. Raises `UserError`."""
        identity = self._identity(config, name)
        with self._building:  # not the other lock: this may import a library, and an event loop waits for that one
            if identity not in self._built:
                built = self._build(config, name)
                with self._lock:
                    self._built[identity] = built
            return identity, self._built[identity]

    async def retire(self, living: Iterable[LLMs]) -> None:
        """Close the LLMs that none of `living` holds."""
        with self._lock:
            held = {identity for llms in living for identity in llms.identities}
            gone = [self._built.pop(identity) for identity in [*self._built] if identity not in held]
            kept = {id(client) for llm in self._built.values() for client in llm.clients}
            closing = [llm for llm in gone if kept.isdisjoint(map(id, llm.clients))]
            closed = {id(client) for llm in closing for client in llm.clients}
            unused = [key for key, local in self._shared.embedded.items() if id(local) in closed]
            unloading = [self._shared.embedded.pop(key) for key in unused]
        try:
            await self._close(closing)
        finally:
            for local in unloading:
                local.unload()

    async def prepare(self) -> None:
        """Open and import now what the first call would have to wait for."""
        for llm in list(self._built.values()):
            for client in llm.clients:
                if prepare := getattr(client, "prepare", None):
                    await prepare()

    async def aclose(self) -> None:
        """Close what was opened on the running event loop."""
        await self._close(list(self._built.values()))

    async def _close(self, llms: Iterable[ReliableLLM]) -> None:
        """Close all of them, also when one cannot be closed; then raise the first error."""
        first: Exception | None = None
        for llm in llms:
            if llm.name in self.given:
                continue
            try:
                await llm.aclose()
            except Exception as error:  # noqa: BLE001 - raised when the others are closed
                first = first or error
        if first:
            raise first

    def unload(self) -> None:
        """Free the memory of embedded LLMs."""
        for local in self._shared.embedded.values():
            local.unload()

    def _identity(self, config: Config, name: str) -> Identity:
        settings = config.llms[name]
        known = (
            name,
            settings.model_dump_json(),
            SecretStr(json.dumps(settings.extra_body, sort_keys=True, default=repr)),
        )
        return known if name in self.given else (*known, target_of(config, name), folder_of(config))

    def _build(self, config: Config, name: str) -> ReliableLLM:
        settings = config.llms[name]
        timeout, is_given = settings.timeout, name in self.given
        return ReliableLLM(
            name,
            [adopt(name, self.given[name])] if is_given else clients_of(config, name, self._shared),
            defaults=Settings(
                max_tokens=settings.max_tokens,
                temperature=settings.temperature,
                top_p=settings.top_p,
                stop=tuple(settings.stop) if settings.stop else None,
                seed=settings.seed,
                extra_body=settings.extra_body,
            ),
            timeouts=Timeouts(timeout.total, timeout.first_token, timeout.idle),
            retries=settings.retries,
            budget=self._budget,
            max_in_flight=settings.max_in_flight,
            room=self.room,
            price=price_of(settings),
            window=settings.context_window,
            dialect=None if is_given else settings.dialect,
            image_tokens=image_tokens(settings.model),
            collects=settings.stream == "always",
            moves_thoughts=settings.think_tags == "move",
            secrets=() if is_given else target_of(config, name).secrets,
        )


class LLMs(Mapping[str, ReliableLLM]):
    """The LLMs of one configuration, by name.

    Attributes:
        pool: Has them.
    """

    def __init__(self, pool: Pool, config: Config) -> None:
        self.pool, self._config = pool, config
        self._held: dict[str, tuple[Identity, ReliableLLM]] = {}

    @property
    def identities(self) -> Sequence[Identity]:
        """What the pool knows them by."""
        return [identity for identity, _ in list(self._held.values())]

    def add(self, name: str) -> ReliableLLM:
        """Hold one more, if it is not held yet: an LLM that no mixture uses may still be asked by its name.

        Raises:
            UserError: It cannot be used as it is configured.
        """
        if name not in self._held:
            self._held[name] = self.pool.take(self._config, name)
        return self._held[name][1]

    def __getitem__(self, name: str) -> ReliableLLM:
        return self._held[name][1]

    def __contains__(self, name: object) -> bool:
        return name in self._held

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._held))  # another may be added by a thread meanwhile

    def __len__(self) -> int:
        return len(self._held)
