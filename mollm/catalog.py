"""What a configuration becomes: LLMs, prompts, mixtures and router, ready to be asked."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mollm.aggregation.base import Aggregator
from mollm.config.schema import MixtureConfig, WorkerConfig
from mollm.errors import ConfigError, PromptError, UnknownMixture
from mollm.llms.factory import LLMs
from mollm.loops import LoopThread
from mollm.prompts import load_prompt
from mollm.routing.chain import ChainRouter, llm_routers
from mollm.routing.fixed import FixedRouter
from mollm.routing.llm import AUTO_THRESHOLD, LLMRouter
from mollm.types import Settings
from mollm.workers import Rules, Worker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mollm.config.schema import Config, RouterSection
    from mollm.routing.base import Router

DEFAULT_PROMPTS = {
    "synthesize": "prompts/aggregator/default.md",
    "vote": "prompts/aggregator/default.md",
    "best": "prompts/aggregator/best.md",
}
DEFAULT_ROUTER_PROMPT = "prompts/router/default.md"


@dataclass(frozen=True, slots=True)
class Mixture:
    """A mixture ready to be asked."""

    name: str
    config: MixtureConfig
    workers: tuple[Worker, ...]
    """One per planned call of a layer, best first."""
    rules: Rules
    aggregator: Aggregator


class Catalog:
    """Everything a graph needs, built from one configuration.

    Attributes:
        llm_routers: Those that may ask an LLM once for a question that names no mixture; its worst case counts them.
    """

    def __init__(self, config: Config, llms: Mapping[str, Any] | None = None, router: Router | None = None) -> None:
        """Build LLMs and mixtures; nothing is opened, loaded or asked yet.

        Args:
            config: What to build.
            llms: LLMs to use instead of configured ones, by name.
            router: Takes the place of the configured one.

        Raises:
            ConfigError: Lists everything that is wrong.
        """
        self.config = config
        problems: list[str] = []
        self.mixtures: dict[str, Mixture] = {}
        self._alone: dict[str, Mixture] = {}
        for name, mixture in config.mixtures.items():
            try:
                self.mixtures[name] = _mixture(config, name, mixture)
            except PromptError as error:
                problems.append(str(error))
        self.llm_routers: tuple[LLMRouter, ...] = ()
        for section in config.router_sections:
            try:
                self.llm_routers += (_llm_router(config, section),) if section.kind == "llm" else ()
            except PromptError as error:
                problems.append(str(error))
        try:
            self.llms = LLMs(config, llms)
        except ConfigError as error:
            problems += error.problems
        if problems:
            raise ConfigError(problems)
        problems += [problem for name in self.llms if (problem := self._unpriced(name))]
        if problems:
            raise ConfigError(problems)
        self.loop_thread = LoopThread()
        self._building = threading.Lock()
        if router is not None:
            self.router, self.llm_routers = router, llm_routers(router)

    @cached_property
    def router(self) -> Router:
        """The one that was given, else the configuration's, built when first used."""
        return build_router(self.config)

    async def built_router(self) -> Router:
        """Return the router; fitting one takes seconds, so the event loop is not held up by it."""
        is_learned = any(section.kind == "learned" for section in self.config.router_sections)
        if is_learned and "router" not in self.__dict__:
            await asyncio.to_thread(self._build_router)
        return self.router

    def _build_router(self) -> None:
        with self._building:
            _ = self.router

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
            raise UnknownMixture(f"no mixture {name!r}; there are: {', '.join(self.mixtures)}")
        with self._building:
            if name not in self._alone:
                self.llms.add(name)
                if problem := self._unpriced(name):
                    raise ConfigError(problem)
                alone = MixtureConfig(description=f"{name} alone.", workers=[WorkerConfig(llm=name)])
                self._alone[name] = _mixture(self.config, name, alone)
        return self._alone[name]

    async def built_mixture(self, name: str) -> Mixture:
        """As `mixture`; building an LLM may load a library, so the event loop is not held up by it."""
        if name in self.mixtures or name in self._alone or name not in self.config.llms:
            return self.mixture(name)
        return await asyncio.to_thread(self.mixture, name)

    def _unpriced(self, name: str) -> str | None:
        if self.config.limits.cost_usd is None or self.llms[name].price is not None:
            return None
        place = self.config.place("limits", "cost_usd")
        return f"{place}: the LLM {name!r} has no price, so its cost cannot be bounded"

    async def aclose(self) -> None:
        """Close what was opened on the running event loop."""
        await self.llms.aclose()

    def close(self) -> None:
        """Stop the background loop and free the memory of embedded LLMs."""
        self.loop_thread.close()
        self.llms.unload()


def build_router(config: Config) -> Router:
    """Build the router; a learned one is loaded, read from the cache, or fitted on the examples.

    Raises:
        ConfigError: A learned router cannot be had.
        PromptError: The prompt of an LLM router cannot be used.
    """
    built = tuple(_router(config, section) for section in config.router_sections)
    return ChainRouter(built) if config.router_kind == "chain" else built[0]


def _router(config: Config, section: RouterSection) -> Router:
    if section.kind == "fixed":
        return FixedRouter(config.fallback)
    if section.kind == "llm":
        return _llm_router(config, section)
    from mollm.routing.learned import LearnedRouter

    if section.config.path:
        return LearnedRouter.load(section.config.path, threshold=section.config.threshold)
    return LearnedRouter.cached(config.examples(), fallback=config.fallback, threshold=section.config.threshold)


def _llm_router(config: Config, section: RouterSection) -> LLMRouter:
    threshold, reference = section.config.threshold, section.config.prompt or DEFAULT_ROUTER_PROMPT
    return LLMRouter(
        llm=section.config.llm or "",
        mixtures={name: mixture.description for name, mixture in config.mixtures.items()},
        fallback=config.fallback,
        prompt=load_prompt(config, reference, "router", config.place(*section.key, "prompt")),
        threshold=AUTO_THRESHOLD if threshold == "auto" else threshold,
    )


def _mixture(config: Config, name: str, mixture: MixtureConfig) -> Mixture:
    workers: list[Worker] = []
    for index, worker in enumerate(mixture.workers):
        where = config.place("mixtures", name, "workers", index, "prompt")
        persona = None
        if worker.prompt:
            prompt = load_prompt(config, worker.prompt, "worker", where)
            persona = prompt.render(mixture=name, description=mixture.description)
        before = sum(other.llm == worker.llm for other in workers)
        seed = worker.seed if worker.seed is not None or worker.llm not in config.llms else config.llms[worker.llm].seed
        workers += [_worker(worker, persona, seed, before + sample) for sample in range(worker.samples)]
    planned = len(workers)
    rules = Rules(
        ask_first=planned if mixture.ask_first == "all" else mixture.ask_first,
        agree=mixture.agree,
        widen=planned if mixture.widen == "all" else mixture.widen,
        widen_after=mixture.widen_after,
        enough=mixture.enough or planned,
        deadline=mixture.deadline,
    )
    return Mixture(name, mixture, tuple(workers), rules, _aggregator(config, name, mixture))


def _worker(worker: WorkerConfig, persona: str | None, seed: int | None, sample: int) -> Worker:
    settings = Settings(
        max_tokens=worker.max_tokens,
        temperature=worker.temperature,
        top_p=worker.top_p,
        stop=tuple(worker.stop) if worker.stop else None,
        # The same seed for every sample would make them equal, and equal answers agree.
        seed=None if seed is None else seed + sample,
        extra_body=worker.extra_body,
    )
    name = f"{worker.llm}#{sample + 1}" if sample else worker.llm
    return Worker(name, worker.llm, persona, worker.system, settings, sample)


def _aggregator(config: Config, name: str, mixture: MixtureConfig) -> Aggregator:
    aggregator = mixture.aggregator
    where = config.place("mixtures", name, "aggregator", "prompt")
    prompt = load_prompt(config, aggregator.prompt or DEFAULT_PROMPTS[aggregator.method], "aggregator", where)
    # Whoever picks the best is asked for a number; a worker of a later layer is asked for an answer.
    is_judge = aggregator.method == "best"
    return Aggregator(
        method=aggregator.method,
        llm=mixture.aggregator_llm,
        prompt=prompt,
        layer_prompt=load_prompt(config, DEFAULT_PROMPTS["synthesize"], "aggregator", where) if is_judge else None,
        fallback_llm=aggregator.fallback_llm,
        settings=Settings(max_tokens=aggregator.max_tokens, temperature=aggregator.temperature),
        shuffle=mixture.shuffle,
    )
