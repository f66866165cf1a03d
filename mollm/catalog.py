"""The mixtures and the router of one configuration."""

from __future__ import annotations

import asyncio
import difflib
import threading
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from mollm import limits
from mollm.aggregation.acting import Acting
from mollm.aggregation.base import picks
from mollm.aggregation.best import Best
from mollm.aggregation.rewriting import Rewriter
from mollm.aggregation.synthesize import Synthesize
from mollm.aggregation.vote import Vote
from mollm.aggregation.writing import Writers
from mollm.config.arms import CURRENT
from mollm.config.mixtures import AggregatorConfig, MixtureConfig, WorkerConfig
from mollm.errors import ConfigError, PromptError, UnknownMixture
from mollm.mixing.registry import build_chooser
from mollm.mixture import Mixture
from mollm.options import Options, Settings
from mollm.pool import Pool
from mollm.prompts import load_prompt
from mollm.routing import trained
from mollm.routing.base import plan_of
from mollm.routing.own import as_router
from mollm.routing.registry import build_arms, build_router, check_prompts, decision_of, planned_calls
from mollm.types import PlannedCall, Question
from mollm.workers import Rules, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mollm.aggregation.base import Aggregator
    from mollm.config.config import Config
    from mollm.feedback.base import Store
    from mollm.routing.base import Router, RouterLike
    from mollm.routing.explaining import Neighbor
    from mollm.routing.likeness import Examples
    from mollm.types import Route

Plan: TypeAlias = tuple[PlannedCall, ...]

AGGREGATORS: dict[str, Callable[[Writers], Aggregator]] = {"synthesize": Synthesize, "vote": Vote, "best": Best}
DEFAULT_PROMPTS = {"best": "prompts/aggregator/best.md"}
DEFAULT_PROMPT = "prompts/aggregator/default.md"
TOOLS_PROMPT = "prompts/aggregator/tools.md"
FORM_PROMPT = "prompts/aggregator/form.md"
NOTHING, WITH_TOOLS, NO_OPTIONS = Question(()), Question((), has_tools=True), Options()


def unknown_mixture(config: Config, name: str) -> UnknownMixture:
    """Say that nothing has this name, which name is like it, and which mixtures there are."""
    near = difflib.get_close_matches(name, [*config.mixtures, *config.llms], n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    return UnknownMixture(f"no mixture and no LLM {name!r}{meant}; there are: {', '.join(config.mixtures)}")


class Catalog:
    """The mixtures, LLMs and router of one configuration. It never changes, but some parts are built on first use.

    Attributes:
        config: The configuration that it was built from.
        llms: The LLMs that a mixture or the router uses, by name.
        mixtures: The mixtures of the configuration, by name.
        feedback: Keeps the answers; None where none are kept.
    """

    def __init__(
        self,
        config: Config,
        pool: Pool | None = None,
        *,
        router: RouterLike | None = None,
        aggregators: Mapping[str, Aggregator] | None = None,
        names: Iterable[str] | None = None,
        feedback: Store | None = None,
    ) -> None:
        """Build LLMs and mixtures; nothing is opened, loaded or called yet.

        Args:
            config: The configuration.
            pool: Holds the LLMs; None: a new pool.
            router: Replaces the configured router.
            aggregators: Aggregators beside the built-in ones, by `method`.
            names: LLMs to build; None: those that a mixture or the router uses.
            feedback: Keeps the answers; None: nobody does.

        Raises:
            ConfigError: Lists everything that is wrong.
        """
        self.config, self.feedback = config, feedback
        self._aggregators = dict(aggregators or {})
        self._alone: dict[str, Mixture] = {}
        self._joined: dict[tuple[str, str], Mixture] = {}
        self._building = threading.RLock()
        self.mixtures: dict[str, Mixture] = {}
        problems: list[str] = []
        for name, mixture in config.mixtures.items():
            try:
                self.mixtures[name] = self._mixture(name, mixture)
            except ConfigError as error:
                problems += error.problems
            except PromptError as error:
                problems.append(str(error))
        if router is None:
            problems += [*check_prompts(config), *trained.problems(config)]
        try:
            self.llms = (pool or Pool()).llms(config, names)
        except ConfigError as error:
            problems += error.problems
        if problems:
            raise ConfigError(problems)
        problems += [problem for name in self.llms if (problem := self._unpriced(name))]
        problems += self._uncounted()
        if problems:
            raise ConfigError(problems)
        if router is not None:
            self.router = as_router(router, decision_of(config))

    @cached_property
    def router(self) -> Router:
        """The router that was given, else the configured one, built on first use."""
        return build_router(self.config)

    @cached_property
    def routers(self) -> Mapping[str, Router]:
        """The routers that share the traffic, by arm; without arms the router alone, as `current`."""
        return {CURRENT: self.router, **build_arms(self.config)}

    async def built_router(self, arm: str = CURRENT) -> Router:
        """Return the router of an arm, without blocking the event loop: fitting one takes seconds."""
        if "routers" not in self.__dict__:
            is_quick = all(section.kind in ("fixed", "llm") for section in self.config.router_sections)
            is_slow = (not is_quick and "router" not in self.__dict__) or bool(self.config.router.arms)
            await (asyncio.to_thread(self._build_routers) if is_slow else asyncio.sleep(0))
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
                self._alone[name] = self._mixture(name, alone)
        return self._alone[name]

    def made(self, mixture: Mixture, llms: Sequence[str]) -> Mixture:
        """The mixture that is made for a question of some of the workers of one that has them chosen.

        Raises:
            UnknownMixture: One of the LLMs is no worker of it (any more).
        """
        workers = {worker.llm: worker for worker in mixture.workers}
        if gone := [name for name in llms if name not in workers]:
            raise UnknownMixture(f"mixture {mixture.name!r} has no worker {', '.join(map(repr, gone))} to choose")
        made = self.config.mixtures[mixture.name].of(llms)
        return replace(
            mixture,
            workers=tuple(workers[name] for name in llms),
            rules=rules_of(made),
            llm=made.aggregator_llm,
            tools_llm=made.acting_llm,
            rewriter=replace(mixture.rewriter, workers=tuple(llms)),
            chooser=None,
            made_of=mixture,
        )

    async def built_mixture(self, name: str) -> Mixture:
        """Like `mixture`, without blocking the event loop: building an LLM may load a library."""
        if name in self.mixtures or name in self._alone or name not in self.config.llms:
            return self.mixture(name)
        return await asyncio.to_thread(self.mixture, name)

    async def built_for(self, route: Route) -> Mixture:
        """The mixture of a route, with the second one joined to it where it has one."""
        if route.second is None:
            return await self.built_mixture(route.mixture)
        both = route.mixture, route.second
        with self._building:
            if both not in self._joined:
                self._joined[both] = self._join(*both)
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

    def _join(self, first: str, second: str) -> Mixture:
        """The workers of two mixtures, all of whom are asked, under one aggregator."""
        found = self._mixture(
            first, joined(self.config, first, second, is_picked=picks(self.mixtures[first].aggregator))
        )
        workers = both_asked(self.mixtures[first].workers, self.mixtures[second].workers)
        count = len(workers)
        rules = replace(found.rules, ask_first=count, enough=count, quorum=min(found.rules.quorum, count))
        return replace(found, name=f"{first} + {second}", workers=workers, rules=rules)

    def _acting(self, name: str, mixture: MixtureConfig, writers: Writers) -> Acting:
        where = self.config.place("mixtures", name, "on_tools")
        prompt = load_prompt(self.config, TOOLS_PROMPT, "aggregator", where)
        return Acting(replace(writers, llm=mixture.acting_llm, prompt=prompt, role="tools"))

    def _mixture(self, name: str, mixture: MixtureConfig) -> Mixture:
        config = self.config
        method = mixture.aggregator.method
        where = config.place("mixtures", name, "aggregator", "prompt")
        # An aggregator that picks is asked for a number; a worker of a later layer is asked for an answer.
        is_judge = method == "best"
        if method not in self._aggregators and method not in AGGREGATORS:
            where = config.place("mixtures", name, "aggregator", "method")
            raise ConfigError(f"{where}: {method!r} was not given; hand it over as `aggregators={{{method!r}: ...}}`")
        prompt = load_prompt(config, mixture.aggregator.prompt or default_prompt(method), "aggregator", where)
        max_tokens = {llm: config.llms[llm].max_tokens for llm in mixture.llms}
        writers = Writers(
            llm=mixture.aggregator_llm,
            prompt=prompt,
            fallback_llm=mixture.aggregator.fallback_llm,
            settings=Settings(max_tokens=mixture.aggregator.max_tokens, temperature=mixture.aggregator.temperature),
            shuffle=mixture.shuffle,
            max_tokens=max_tokens,
        )
        workers = workers_of(config, name, mixture)
        again = replace(writers, prompt=load_prompt(config, FORM_PROMPT, "aggregator", where))
        return Mixture(
            name=name,
            description=mixture.description,
            workers=workers,
            rules=rules_of(mixture),
            method=method,
            aggregator=self._aggregators[method] if method in self._aggregators else AGGREGATORS[method](writers),
            llm=mixture.aggregator_llm,
            layer_prompt=load_prompt(config, DEFAULT_PROMPT, "aggregator", where) if is_judge else prompt,
            on_tools=mixture.on_tools or ("alone" if mixture.is_bypass else "after"),
            tools_llm=mixture.acting_llm,
            acting=self._acting(name, mixture, writers),
            max_tokens=max_tokens,
            rewriter=Rewriter(again, tuple(dict.fromkeys(worker.llm for worker in workers))),
            shuffle=mixture.shuffle,
            chooser=build_chooser(mixture.choose, config, name),
        )


def default_prompt(method: str) -> str:
    """The default prompt for a method of aggregating."""
    return DEFAULT_PROMPTS.get(method, DEFAULT_PROMPT)


def joined(config: Config, first: str, second: str, *, is_picked: bool) -> MixtureConfig:
    """Two mixtures as one that asks all workers of both; nobody can agree with those who answer another part.

    The aggregator is the first one's. Where that picks a proposal, which would answer half of the question, it is the
    second one's, or else an LLM that writes.
    """
    one, other = config.mixtures[first], config.mixtures[second]
    aggregator, spare = one.aggregator, other.aggregator
    if is_picked and spare.method not in ("vote", "best"):
        aggregator = spare.model_copy(update={"llm": spare.llm or other.listed[0].llm})
    elif is_picked:
        aggregator = AggregatorConfig(llm=aggregator.llm, fallback_llm=aggregator.fallback_llm)
    changes = {
        "workers": [*one.listed, *other.listed],
        "aggregator": aggregator,
        "ask_first": "all",
        "agree": None,
        "widen_after": None,
        "enough": None,
        "quorum": max(one.quorum, other.quorum),
        "deadline": max(one.deadline, other.deadline),
    }
    return one.model_copy(update=changes)


def both_asked(first: Sequence[Worker], second: Sequence[Worker]) -> tuple[Worker, ...]:
    """The workers of two mixtures, each with a name of its own; one that both have is asked once."""
    workers = list(first)
    for worker in second:
        if any(replace(worker, name=known.name, sample=known.sample) == known for known in first):
            continue
        before = sum(other.llm == worker.llm for other in workers)
        name = f"{worker.llm}#{before + 1}" if before else worker.llm
        workers.append(replace(worker, name=name, sample=before))
    return tuple(workers)


def rules_of(mixture: MixtureConfig) -> Rules:
    """The rules by which the workers of a mixture are asked."""
    planned = mixture.planned
    return Rules(
        ask_first=planned if mixture.ask_first == "all" else mixture.ask_first,
        agree=mixture.agree,
        widen=planned if mixture.widen == "all" else mixture.widen,
        widen_after=mixture.widen_after,
        enough=mixture.enough or planned,
        quorum=mixture.quorum,
        deadline=mixture.deadline,
        layers=mixture.layers,
    )


def workers_of(config: Config, name: str, mixture: MixtureConfig) -> tuple[Worker, ...]:
    """The workers of a mixture, one for each sample.

    Raises:
        PromptError: A prompt cannot be used.
    """
    workers: list[Worker] = []
    for index, worker in enumerate(mixture.listed):
        where = config.place("mixtures", name, "workers", index, "prompt")
        persona = None
        if worker.prompt:
            prompt = load_prompt(config, worker.prompt, "worker", where)
            persona = prompt.render(mixture=name, description=mixture.description)
        before = sum(other.llm == worker.llm for other in workers)
        seed = worker.seed if worker.seed is not None or worker.llm not in config.llms else config.llms[worker.llm].seed
        workers += [_worker(worker, persona, seed, before + sample) for sample in range(worker.samples)]
    return tuple(workers)


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
