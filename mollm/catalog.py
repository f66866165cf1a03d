"""The mixtures and the router of one configuration."""

from __future__ import annotations

import asyncio
import difflib
import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from mollm import limits
from mollm.assembling import mixture_of
from mollm.combining import made_of, together
from mollm.config.arms import CURRENT
from mollm.config.mixtures import MixtureConfig, WorkerConfig
from mollm.embeddings.factory import build_embedder
from mollm.errors import ConfigError, PromptError, UnknownMixture
from mollm.options import Options
from mollm.panels import Panels
from mollm.pool import Pool
from mollm.routing import trained
from mollm.routing.base import plan_of
from mollm.routing.own import as_router
from mollm.routing.recent import moved
from mollm.routing.registry import build_arms, build_router, check_prompts, decision_of, planned_calls
from mollm.types import PlannedCall, Question

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mollm.aggregation.base import Aggregator
    from mollm.config.config import Config
    from mollm.embeddings.base import Embedder
    from mollm.embeddings.own import EmbedderLike
    from mollm.feedback.base import Store
    from mollm.mixture import Mixture
    from mollm.privacy.privacy import Privacy
    from mollm.routing.base import Router, RouterLike
    from mollm.routing.explaining import Neighbor
    from mollm.routing.likeness import Examples
    from mollm.types import Route

Plan: TypeAlias = tuple[PlannedCall, ...]

NOTHING, WITH_TOOLS, NO_OPTIONS = Question(()), Question((), has_tools=True), Options()


def unknown_mixture(config: Config, name: str) -> UnknownMixture:
    """Say that nothing has this name, which name is like it, and which mixtures there are."""
    near = difflib.get_close_matches(name, [*config.mixtures, *config.llms], n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    return UnknownMixture(f"no mixture and no LLM {name!r}{meant}; there are: {', '.join(config.mixtures)}")


def _privacy_of(config: Config, pool: Pool | None) -> Privacy | None:
    if config.privacy is None:
        return None
    from mollm.privacy.privacy import Privacy

    return Privacy(config, config.privacy, pool.given if pool else ())


class Catalog:
    """The mixtures, LLMs and router of one configuration. It never changes, but some parts are built on first use.

    Attributes:
        config: The configuration that it was built from.
        llms: The LLMs that a mixture or the router uses, by name.
        mixtures: The mixtures of the configuration, by name.
        panels: Those that questions bring.
        feedback: Keeps the answers; None where none are kept.
        privacy: Conceals values from LLMs; None where nothing is concealed.
    """

    def __init__(
        self,
        config: Config,
        pool: Pool | None = None,
        *,
        router: RouterLike | None = None,
        embedder: EmbedderLike | None = None,
        aggregators: Mapping[str, Aggregator] | None = None,
        feedback: Store | None = None,
    ) -> None:
        """Build LLMs and mixtures; nothing is opened, loaded or called yet.

        Args:
            config: The configuration.
            pool: Holds the LLMs; None: a new pool.
            router: Replaces the configured router.
            embedder: Replaces the section `embeddings`.
            aggregators: Aggregators beside the built-in ones, by `method`.
            feedback: Keeps the answers; None: nobody does.

        Raises:
            ConfigError: Lists everything that is wrong.
        """
        self.config, self.feedback = config, feedback
        self._aggregators = dict(aggregators or {})
        self._embedder = self._adopted(embedder)
        self._configured: Embedder | None = None
        self._alone: dict[str, Mixture] = {}
        self._joined: dict[tuple[str, str], Mixture] = {}
        self._building = threading.RLock()
        self.mixtures: dict[str, Mixture] = {}
        problems: list[str] = []
        for name, mixture in config.mixtures.items():
            try:
                embedder = self._vectors() if mixture.alike is not None else None
                self.mixtures[name] = mixture_of(self.config, name, mixture, self._aggregators, embedder)
            except ConfigError as error:
                problems += error.problems
            except PromptError as error:
                problems.append(str(error))
        if router is None:
            problems += [*check_prompts(config), *trained.problems(config)]
        try:
            self.llms = (pool or Pool()).llms(config)
        except ConfigError as error:
            problems += error.problems
        self.privacy: Privacy | None = None
        try:
            self.privacy = _privacy_of(config, pool)
        except ConfigError as error:
            problems += error.problems
        if problems:
            raise ConfigError(problems)
        problems += [problem for name in self.llms if (problem := self._unpriced(name))]
        problems += self._uncounted()
        if problems:
            raise ConfigError(problems)
        self.panels = Panels(config, self.llms, self._aggregators, self._vectors)
        if router is not None:
            self.router = as_router(router, decision_of(config))

    @staticmethod
    def _adopted(embedder: EmbedderLike | None) -> Embedder | None:
        if embedder is None:
            return None
        from mollm.embeddings.own import adopt  # NumPy takes a tenth of a second, and a fixed router needs none

        return adopt(embedder)

    def _vectors(self) -> Embedder | None:
        """What mixtures compare texts with; None where there is nothing.

        All of them share it, and so do panels: an address is asked over the same few connections by everybody.

        Raises:
            ConfigError: It cannot be used as it is configured.
        """
        if self._embedder is not None or self.config.embeddings is None:
            return self._embedder
        with self._building:
            if self._configured is None:
                self._configured = build_embedder(self.config.embeddings, self.config, ("embeddings",))
            return self._configured

    async def aclose(self) -> None:
        """Close the connections that mixtures opened for vectors, on the running event loop."""
        if close := getattr(self._configured, "aclose", None):
            await close()

    @cached_property
    def router(self) -> Router:
        """The router that was given, else the configured one, built on first use."""
        return build_router(self.config, self._embedder)

    def thresholds(self) -> dict[str, float]:
        """The thresholds that recent questions set, by the key of their router; none of one that is not built yet."""
        return dict(moved(self.__dict__.get("router")))

    @cached_property
    def routers(self) -> Mapping[str, Router]:
        """The routers that share the traffic, by arm; without arms the router alone, as `current`."""
        return {CURRENT: self.router, **build_arms(self.config, self._embedder)}

    async def built_router(self, arm: str = CURRENT) -> Router:
        """Return the router of an arm, without blocking the event loop: fitting one takes seconds."""
        is_quick = "router" in self.__dict__ or all(s.kind in ("fixed", "llm") for s in self.config.router_sections)
        if "routers" not in self.__dict__ and (self.config.router.arms or not is_quick):
            await asyncio.to_thread(self._build_routers)
        return self.routers[arm]

    def _build_routers(self) -> None:
        with self._building:
            _ = self.routers

    def mixture(self, name: str) -> Mixture:
        """Return the mixture of that name; the name of an LLM stands for a mixture of that LLM alone.

        Raises:
            UnknownMixture: Nothing has this name.
            UserError: The LLM, which no mixture uses, cannot be used as it is configured.
        """
        found = self.mixtures.get(name) or self._alone.get(name)
        if found is not None:
            return found
        if name not in self.config.llms:
            raise unknown_mixture(self.config, name)
        with self._building:
            if name not in self._alone:
                self.llms.add(name)
                if problem := self._unpriced(name):
                    raise ConfigError(problem)
                alone = MixtureConfig(description=f"{name} alone.", workers=[WorkerConfig(llm=name)])
                self._alone[name] = mixture_of(self.config, name, alone, self._aggregators)
        return self._alone[name]

    def made(self, mixture: Mixture, llms: Sequence[str]) -> Mixture:
        """The mixture that is made for a question of some of the workers of one that has them chosen.

        Raises:
            UnknownMixture: One of the LLMs is no worker of it (any more).
        """
        return made_of(mixture, self.config.mixtures[mixture.name], llms)

    async def built_mixture(self, name: str) -> Mixture:
        """Like `mixture`, without blocking the event loop: building an LLM may load a library."""
        if name in self.mixtures or name in self._alone or name not in self.config.llms:
            return self.mixture(name)
        return await asyncio.to_thread(self.mixture, name)

    async def built_for(self, route: Route, panel: Mapping[str, Any] | None = None) -> Mixture:
        """The mixture of a route, with the second one joined to it where it has one; or the `panel` of the request."""
        if panel is not None:
            return await self.panels.mixture(panel)
        if route.second is None:
            return await self.built_mixture(route.mixture)
        both = route.mixture, route.second
        with self._building:
            if both not in self._joined:
                one, other = (self.mixtures[name] for name in both)
                self._joined[both] = together(self.config, one, other, self._aggregators)
        return self._joined[both]

    def nearest(self, text: str) -> tuple[Neighbor, ...]:
        """The examples of the configuration that are most like a text; the first time takes a second for thousands.

        Raises:
            ConfigError: A file of examples is missing or cannot be read.
        """
        with self._building:
            return self._examples.nearest(text)

    @cached_property
    def _examples(self) -> Examples:
        from mollm.routing.likeness import Examples

        return Examples(self.config.examples())

    def plan(self, name: str, question: Question = NOTHING, options: Options = NO_OPTIONS) -> tuple[Plan, str]:
        """Plan a question that the router sends to the mixture `name`.

        Returns:
            Every call that may be made, and in words where they come from.
        """
        mixture = self.mixture(name)
        before = self.plan_before(mixture, question)
        counted = [limits.routers(before), mixture.arithmetic(question, options)]
        return (*before, *mixture.plan(question, options)), " + ".join(filter(None, counted))

    def plan_before(self, mixture: Mixture, question: Question) -> Plan:
        """The calls that may be made before a worker is asked: those of the router, and of who chooses the workers."""
        chosen = mixture.chooser.plan(question) if mixture.chooser else ()
        return (*self._router_plan(question), *chosen)

    async def hold(self, plan: Iterable[PlannedCall]) -> None:
        """Build the LLMs that only a plan names; that may load a library, so it runs in a thread."""
        for name in {name for planned in plan for name in planned.llms}:
            if name not in self.llms and name in self.config.llms:
                await asyncio.to_thread(self.llms.add, name)

    def _router_plan(self, question: Question) -> Plan:
        # A router that calls nobody need not be fitted for this.
        if "router" in self.__dict__:
            return plan_of(self.router, question)
        return planned_calls(self.config, question)

    def _unpriced(self, name: str) -> str | None:
        if self.config.limits.cost_usd is None or self.llms[name].price is not None:
            return None
        place = self.config.place("limits", "cost_usd")
        return f"{place}: the LLM {name!r} has no price, so its cost cannot be bounded"

    def _uncounted(self) -> list[str]:
        """What keeps the keys of a server from the limits of their days."""
        unpriced = [name for name in self.llms if self.llms[name].price is None]
        if not unpriced:
            return []
        key = "cost_usd_per_day"
        numbers = [n for n, k in enumerate(self.config.server.api_keys) if k.limits.cost_usd_per_day is not None]
        places = [self.config.place("server", "api_keys", number, "limits", key) for number in numbers]
        return [f"{place}: {', '.join(unpriced)} has no price, so the cost cannot be bounded" for place in places]
