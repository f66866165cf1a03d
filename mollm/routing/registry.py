"""The kinds of routers: for each the class of its section in the configuration, and who builds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from mollm.config.arms import CURRENT
from mollm.config.files import packaged_folder
from mollm.config.routers import (
    ChainRouterConfig,
    Deciding,
    EnsembleRouterConfig,
    FixedRouterConfig,
    LearnedMemberConfig,
    LearnedRouterConfig,
    LLMMemberConfig,
    LLMRouterConfig,
    PythonMemberConfig,
    PythonRouterConfig,
    RouterSection,
    SemanticMemberConfig,
    SemanticRouterConfig,
)
from mollm.embeddings.factory import build_embedder
from mollm.errors import ConfigError, PromptError, RunError
from mollm.prompts import load_prompt
from mollm.routing.base import plan_of
from mollm.routing.chain import ChainRouter
from mollm.routing.decision import Decision, ScoringRouter
from mollm.routing.fixed import FixedRouter
from mollm.routing.own import FunctionRouter, as_router, as_scorer, imported
from mollm.routing.recent import Recent
from mollm.routing.trained import adopted, folder_of

if TYPE_CHECKING:
    from mollm.config.config import Config
    from mollm.config.routers import RouterConfig
    from mollm.embeddings.base import Embedder
    from mollm.prompts import Prompt
    from mollm.routing.base import Router, Scorer
    from mollm.routing.weighing import Refit, Weighed
    from mollm.types import PlannedCall, Question

Key: TypeAlias = tuple[str | int, ...]
Builder: TypeAlias = Callable[[Any, "Config", Key], "Router"]
"""Takes a section, the configuration that it stands in, and its key, for messages."""

DEFAULT_PROMPT = "prompts/router/default.md"
SHIPPED = "mixtures/router"
"""Folder, among the packaged files, of the router fitted on the packaged examples."""


def build_router(config: Config) -> Router:
    """Build the router; a learned one is loaded, read from the cache, or fitted on the examples.

    Raises:
        ConfigError: A learned router cannot be had, or what a section of kind `python` names.
        PromptError: The prompt of an LLM router cannot be used.
    """
    return ROUTERS[config.router_kind][1](config.router, config, ("router",))


def build_arms(config: Config) -> dict[str, Router]:
    """Load the trained routers that share the traffic with the configured one, by their folders.

    Raises:
        ConfigError: One of them cannot be had, or picks mixtures that the configuration does not have.
    """
    found: dict[str, Router] = {}
    for folder in config.router.arms:
        if folder != CURRENT:
            key = ("router", "arms", folder)
            section, place = LearnedMemberConfig(kind="learned", path=folder), config.place(*key)
            try:
                found[folder] = _learned(section, config, key)
            except ConfigError as error:
                problems = [text if text.startswith(place) else f"{place}: {text}" for text in error.problems]
                raise ConfigError(problems) from error
    return found


def check_prompts(config: Config) -> list[str]:
    """Find what is wrong with the prompts of LLM routers, without building a router."""
    problems = []
    for section in config.router_sections:
        try:
            if isinstance(section.config, LLMMemberConfig):
                _prompt(section.config, config, section.key)
        except PromptError as error:
            problems.append(str(error))
    return problems


def planned_calls(config: Config, question: Question) -> tuple[PlannedCall, ...]:
    """The calls that the configured router may make; nothing is fitted to find out.

    Raises:
        PromptError: The prompt of an LLM router cannot be used.
    """
    asking: list[Router | Scorer] = []
    for section in config.router_sections:
        if isinstance(section.config, LLMMemberConfig):
            asking.append(_llm(section.config, config, section.key))
        elif isinstance(section.config, PythonMemberConfig):
            asking.append(_python(section.config, config, section.key))
    return tuple(call for router in asking for call in plan_of(router, question))


def decision_of(config: Config) -> Decision:
    """What is done about the scores of a scorer that takes the place of the configured router."""
    own = config.router
    return _decision(own, config) if isinstance(own, Deciding) else Decision(config.fallback, multi=_multi(config))


def _fixed(section: FixedRouterConfig, config: Config, key: Key) -> Router:  # noqa: ARG001 - as every builder
    return FixedRouter(config.fallback)


def _learned(section: LearnedMemberConfig, config: Config, key: Key) -> Router:
    from mollm.routing.learned import LearnedScorer

    embedder = _embedder(section, config, key) if section.path or section.embedder else None
    examples = {} if section.path else config.examples()

    def build() -> Router:
        if section.path:
            scorer = LearnedScorer.load(folder_of(section.path, config), embedder=embedder)
            scorer = adopted(scorer, config, config.place(*key, "path"))
        else:
            shipped = packaged_folder() / SHIPPED
            scorer = LearnedScorer.cached(examples, fallback=config.fallback, shipped=shipped, embedder=embedder)
        return ScoringRouter(scorer, _decision(section, config, scorer.decision()), _recent(section))

    return _now_or_later(section.kind, config, build)


def _semantic(section: SemanticMemberConfig, config: Config, key: Key) -> Router:
    from mollm.routing.semantic import SemanticScorer

    embedder = _embedder(section, config, key)
    assert embedder is not None  # noqa: S101 - a configuration without one is refused
    examples = config.examples()
    descriptions = {name: mixture.description for name, mixture in config.mixtures.items()}

    def build() -> Router:
        scorer = SemanticScorer.of(examples, embedder, fallback=config.fallback, descriptions=descriptions)
        return ScoringRouter(scorer, _decision(section, config, scorer.decision()), _recent(section))

    return _now_or_later(section.kind, config, build)


def _embedder(section: LearnedMemberConfig | SemanticMemberConfig, config: Config, key: Key) -> Embedder | None:
    found = config.embedder_of(RouterSection(key, section.kind, section))
    return build_embedder(found[0], config, found[1]) if found else None


def _now_or_later(kind: str, config: Config, build: Callable[[], Router]) -> Router:
    try:
        return build()
    except RunError:
        from mollm.routing.deferred import DeferredRouter

        return DeferredRouter(kind, config.fallback, build)


def _llm(section: LLMMemberConfig, config: Config, key: Key) -> Router:
    from mollm.routing.llm import LLMScorer

    offered = {name: mixture for name, mixture in config.mixtures.items() if name not in config.standing_in}
    descriptions = {name: mixture.description for name, mixture in offered.items()}
    scorer = LLMScorer(section.llm, descriptions, _prompt(section, config, key))
    return ScoringRouter(scorer, _decision(section, config), _recent(section))


def _python(section: PythonMemberConfig, config: Config, key: Key) -> Router:
    router = as_router(_imported(section, config, key), _decision(section, config))
    recent = _recent(section)
    return replace(router, recent=recent) if isinstance(router, ScoringRouter | FunctionRouter) else router


def _chain(section: ChainRouterConfig, config: Config, key: Key) -> Router:
    members = enumerate(section.members)
    return ChainRouter(tuple(ROUTERS[member.kind][1](member, config, (*key, "members", i)) for i, member in members))


def _ensemble(section: EnsembleRouterConfig, config: Config, key: Key) -> Router:
    from mollm.routing.ensemble import EnsembleScorer, Member

    scorers = [_scorer(member, config, (*key, "members", i)) for i, member in enumerate(section.members)]
    weighed = _weighed(section, config)
    members = zip(scorers, weighed.weights, strict=True)
    ensemble = EnsembleScorer(tuple(Member(s, weight, known) for (s, known), weight in members), tuple(config.mixtures))
    fitted = Decision(config.fallback, weighed.threshold, familiarity=weighed.familiarity)
    return ScoringRouter(ensemble, _decision(section, config, fitted), _recent(section))


def _scorer(section: Any, config: Config, key: Key) -> tuple[Scorer, float]:
    """The scorer of a section, and the familiarity below which it does not know a question."""
    if isinstance(section, PythonMemberConfig):
        given = _imported(section, config, key)
        try:
            return as_scorer(given), 0.0 if section.familiarity == "auto" else section.familiarity
        except ConfigError as error:
            raise ConfigError(f"{config.place(*key, 'path')}: {error}") from error
    router = ROUTERS[section.kind][1](section, config, key)
    if not isinstance(router, ScoringRouter):  # its vectors cannot be had yet, and what it scores by is not known
        raise ConfigError(f"{config.place(*key)}: its vectors cannot be had now, and an ensemble has all its members")
    return router.scorer, router.decision.familiarity


def _weighed(section: EnsembleRouterConfig, config: Config) -> Weighed:
    from mollm.routing.weighing import cached, digest_of, equal, relative, weigh

    if section.weights is not None:
        return relative(section.weights)
    refits = [REFITS[m.kind](m, config) if m.kind in REFITS else None for m in section.members]
    able = [refit for refit in refits if refit]
    if len(able) < len(refits) or len(refits) == 1:
        return equal(len(refits))
    examples = config.examples()
    digest = digest_of(examples, [config.fallback, *(member.model_dump(mode="json") for member in section.members)])
    return cached(digest, len(able), lambda: weigh(able, examples))


def _refit_learned(section: LearnedMemberConfig, config: Config) -> Refit | None:
    from mollm.routing.learned import LearnedScorer

    return None if section.path else lambda examples: LearnedScorer.fit(examples, fallback=config.fallback)


REFITS: dict[str, Callable[[Any, Config], Refit | None]] = {"learned": _refit_learned}
"""Kind to what refits a member on examples; None where this one was fitted on others."""


def _imported(section: PythonMemberConfig, config: Config, key: Key) -> Any:
    try:
        return imported(section.path)
    except ConfigError as error:
        raise ConfigError(f"{config.place(*key, 'path')}: {error}") from error


def _prompt(section: LLMMemberConfig, config: Config, key: Key) -> Prompt:
    return load_prompt(config, section.prompt or DEFAULT_PROMPT, "router", config.place(*key, "prompt"))


def _decision(section: Deciding, config: Config, fitted: Decision | None = None) -> Decision:
    """What a section says is done about scores, and for what it leaves open, what was fitted."""
    fitted = fitted or Decision(config.fallback)
    return replace(
        fitted,
        threshold=fitted.threshold if section.threshold == "auto" else section.threshold,
        familiarity=fitted.familiarity if section.familiarity == "auto" else section.familiarity,
        multi=_multi(config),
    )


def _recent(section: Deciding) -> Recent | None:
    if section.fallback_rate is None:
        return None
    low, high = section.bounds
    return Recent(section.fallback_rate, (low, high), section.recent)


def _multi(config: Config) -> bool:
    return not isinstance(config.router, FixedRouterConfig) and config.router.multi


ROUTERS: dict[str, tuple[type[RouterConfig], Builder]] = {
    "fixed": (FixedRouterConfig, _fixed),
    "learned": (LearnedRouterConfig, _learned),
    "semantic": (SemanticRouterConfig, _semantic),
    "llm": (LLMRouterConfig, _llm),
    "python": (PythonRouterConfig, _python),
    "chain": (ChainRouterConfig, _chain),
    "ensemble": (EnsembleRouterConfig, _ensemble),
}
"""Kind to the class of its section and its builder."""
