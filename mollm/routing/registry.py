"""The kinds of routers: for each the class of its section in the configuration, and who builds it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeGuard

from mollm.config.arms import CURRENT
from mollm.config.files import packaged_folder
from mollm.config.imported import imported
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
from mollm.routing.own import FunctionRouter, as_router, as_scorer
from mollm.routing.recent import Recent
from mollm.routing.trained import adopted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mollm.config.config import Config
    from mollm.config.routers import MemberConfig, RouterConfig
    from mollm.embeddings.base import Embedder
    from mollm.prompts import Prompt
    from mollm.routing.base import Router, Scorer
    from mollm.routing.semantic import SemanticScorer
    from mollm.routing.weighing import Refit, Weighed
    from mollm.types import PlannedCall, Question

Key: TypeAlias = tuple[str | int, ...]
Builder: TypeAlias = Callable[[Any, "Given", Key], "Router"]
"""Takes a section, what else there is to build of, and the section's key, for messages. Raises `RunError` where vectors
cannot be had now."""

DEFAULT_PROMPT = "prompts/router/default.md"
SHIPPED = "mixtures/router"
"""Folder, among the packaged files, of the router fitted on the packaged examples."""


class Given(NamedTuple):
    """What routers are built of beside their sections."""

    config: Config
    embedder: Embedder | None = None
    """Takes the place of the section `embeddings`."""


def build_router(config: Config, embedder: Embedder | None = None) -> Router:
    """Build the router; a learned one is loaded, read from the cache, or fitted on the examples.

    Args:
        config: Says which.
        embedder: Takes the place of its section `embeddings`.

    Raises:
        ConfigError: A learned router cannot be had, or what a section of kind `python` names.
        PromptError: The prompt of an LLM router cannot be used.
    """
    return _built(config.router, Given(config, embedder), ("router",))


def build_arms(config: Config, embedder: Embedder | None = None) -> dict[str, Router]:
    """Load the trained routers that share the traffic with the configured one, by their folders.

    Arguments are those of `build_router`.

    Raises:
        ConfigError: One of them cannot be had, or picks mixtures that the configuration does not have.
    """
    found: dict[str, Router] = {}
    for folder in config.router.arms:
        if folder != CURRENT:
            key = ("router", "arms", folder)
            section, place = LearnedMemberConfig(kind="learned", path=folder), config.place(*key)
            try:
                found[folder] = _built(section, Given(config, embedder), key)
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
    given = Given(config)
    asking: list[Router | Scorer] = []
    for section in config.router_sections:
        if isinstance(section.config, LLMMemberConfig):
            asking.append(_llm(section.config, given, section.key))
        elif isinstance(section.config, PythonMemberConfig):
            asking.append(_python(section.config, given, section.key))
    return tuple(call for router in asking for call in plan_of(router, question))


def decision_of(config: Config) -> Decision:
    """What is done about the scores of a scorer that takes the place of the configured router."""
    own = config.router
    return _decision(own, config) if isinstance(own, Deciding) else Decision(config.fallback, multi=_multi(config))


def _built(section: Any, given: Given, key: Key) -> Router:
    """Build the router of a section, or what tries it again with each question where its vectors cannot be had yet."""
    build = partial(ROUTERS[section.kind][1], section, given, key)
    try:
        return build()
    except RunError:
        from mollm.routing.deferred import DeferredRouter

        meanwhile = _without_vectors(section, given, key) if isinstance(section, EnsembleRouterConfig) else None
        return DeferredRouter(section.kind, given.config.fallback, build, meanwhile)


def _fixed(section: FixedRouterConfig, given: Given, key: Key) -> Router:  # noqa: ARG001 - as every builder
    return FixedRouter(given.config.fallback)


def _learned(section: LearnedMemberConfig, given: Given, key: Key) -> ScoringRouter:
    from mollm.routing.learned import LearnedScorer

    config = given.config
    embedder = _embedder(section, given, key) if section.path or section.embedder else None
    if section.path:
        where = config.place(*key) if key[1:2] == ("arms",) else config.place(*key, "path")
        scorer = adopted(section.path, config, where, embedder)
    else:
        shipped, examples = packaged_folder() / SHIPPED, config.examples()
        scorer = LearnedScorer.cached(examples, fallback=config.fallback, shipped=shipped, embedder=embedder)
    return ScoringRouter(scorer, _decision(section, config, scorer.decision()), _recent(section))


def _semantic(section: SemanticMemberConfig, given: Given, key: Key) -> ScoringRouter:
    config, embedder = given.config, _embedder(section, given, key)
    scorer = _semantic_scorer(config.examples(), embedder, config)
    return ScoringRouter(scorer, _decision(section, config, scorer.decision()), _recent(section))


def _semantic_scorer(
    examples: Mapping[str, Sequence[str]], embedder: Embedder | None, config: Config
) -> SemanticScorer:
    from mollm.routing.semantic import SemanticScorer

    assert embedder is not None  # noqa: S101 - a configuration without one is refused
    descriptions = {name: mixture.description for name, mixture in config.mixtures.items()}
    return SemanticScorer.of(examples, embedder, fallback=config.fallback, descriptions=descriptions)


def _embedder(section: LearnedMemberConfig | SemanticMemberConfig, given: Given, key: Key) -> Embedder | None:
    if given.embedder is not None and section.embedder is None:
        return given.embedder
    found = given.config.embedder_of(RouterSection(key, section.kind, section))
    return build_embedder(found[0], given.config, found[1]) if found else None


def _llm(section: LLMMemberConfig, given: Given, key: Key) -> ScoringRouter:
    from mollm.routing.llm import LLMScorer

    config = given.config
    offered = {name: mixture for name, mixture in config.mixtures.items() if name not in config.standing_in}
    descriptions = {name: mixture.description for name, mixture in offered.items()}
    scorer = LLMScorer(section.llm, descriptions, _prompt(section, config, key))
    return ScoringRouter(scorer, _decision(section, config), _recent(section))


def _python(section: PythonMemberConfig, given: Given, key: Key) -> Router:
    imported = _imported(section, given.config, key)
    try:
        router = as_router(imported, _decision(section, given.config))
    except ConfigError as error:
        raise ConfigError(f"{given.config.place(*key, 'path')}: {error}") from error
    recent = _recent(section)
    return replace(router, recent=recent) if isinstance(router, ScoringRouter | FunctionRouter) else router


def _chain(section: ChainRouterConfig, given: Given, key: Key) -> Router:
    members = enumerate(section.members)
    return ChainRouter(tuple(_built(member, given, (*key, "members", i)) for i, member in members))


def _ensemble(section: EnsembleRouterConfig, given: Given, key: Key) -> Router:
    scorers = [_scorer(member, given, (*key, "members", i)) for i, member in enumerate(section.members)]
    return _weighed_router(section, scorers, _weighed(section, given, key), given.config)


def _without_vectors(section: EnsembleRouterConfig, given: Given, key: Key) -> Router | None:
    """An ensemble of the members that can be built now; None where none can."""
    from mollm.routing.weighing import relative

    scorers: list[tuple[Scorer, float]] = []
    weights: list[float] = []
    for index, member in enumerate(section.members):
        with suppress(RunError):
            scorers.append(_scorer(member, given, (*key, "members", index)))
            weights.append(section.weights[index] if section.weights else 1.0)
    return _weighed_router(section, scorers, relative(weights), given.config) if any(weights) else None


def _weighed_router(
    section: EnsembleRouterConfig, scorers: Sequence[tuple[Scorer, float]], weighed: Weighed, config: Config
) -> Router:
    from mollm.routing.ensemble import EnsembleScorer, Member

    members = tuple(Member(s, weight, known) for (s, known), weight in zip(scorers, weighed.weights, strict=True))
    fitted = Decision(config.fallback, weighed.threshold, familiarity=weighed.familiarity)
    ensemble = EnsembleScorer(members, tuple(config.mixtures))
    return ScoringRouter(ensemble, _decision(section, config, fitted), _recent(section))


def _scorer(section: Any, given: Given, key: Key) -> tuple[Scorer, float]:
    """The scorer of a section, and the familiarity below which it does not know a question.

    Raises:
        ConfigError: As `build_router`.
        RunError: Its vectors cannot be had now.
    """
    if isinstance(section, PythonMemberConfig):
        imported = _imported(section, given.config, key)
        try:
            return as_scorer(imported), 0.0 if section.familiarity == "auto" else section.familiarity
        except ConfigError as error:
            raise ConfigError(f"{given.config.place(*key, 'path')}: {error}") from error
    router = SCORING[section.kind](section, given, key)
    return router.scorer, router.decision.familiarity


def _weighed(section: EnsembleRouterConfig, given: Given, key: Key) -> Weighed:
    from mollm.embeddings.remembered import RememberedEmbedder
    from mollm.routing.features import shortened
    from mollm.routing.weighing import cached, digest_of, equal, relative, weigh

    config, members = given.config, list(enumerate(section.members))
    if section.weights is not None:
        return relative(section.weights)
    able = [(index, member) for index, member in members if _refitted(member)]
    if len(members) == 1 or len(able) < len(members):
        return equal(len(members))
    examples = config.examples()
    texts = [shortened(text.strip()) for known in examples.values() for text in known]
    made = [_embedder(member, given, (*key, "members", i)) if _needs_vectors(member) else None for i, member in able]
    embedders = [embedder and RememberedEmbedder(embedder, texts) for embedder in made]
    refits = [_refit(member, embedder, config) for (_, member), embedder in zip(able, embedders, strict=True)]
    vectors = [[embedder.name, embedder.digest] for embedder in embedders if embedder]
    sections = [member.model_dump(mode="json") for _, member in able]
    digest = digest_of(examples, [config.fallback, vectors, *sections])
    return cached(digest, len(refits), lambda: weigh(refits, examples))


def _refitted(section: MemberConfig) -> TypeGuard[LearnedMemberConfig | SemanticMemberConfig]:
    """Whether the examples say all that a member scores by."""
    is_learned = isinstance(section, LearnedMemberConfig) and not section.path
    return is_learned or isinstance(section, SemanticMemberConfig)


def _needs_vectors(section: LearnedMemberConfig | SemanticMemberConfig) -> bool:
    return isinstance(section, SemanticMemberConfig) or bool(section.embedder)


def _refit(section: LearnedMemberConfig | SemanticMemberConfig, embedder: Embedder | None, config: Config) -> Refit:
    if isinstance(section, SemanticMemberConfig):
        return lambda examples: _semantic_scorer(examples, embedder, config)
    from mollm.routing.learned import LearnedScorer

    return lambda examples: LearnedScorer.of_examples(examples, fallback=config.fallback, embedder=embedder)


def _imported(section: PythonMemberConfig, config: Config, key: Key) -> Any:
    try:
        return imported(section.path, config.path)
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


SCORING: dict[str, Callable[[Any, Given, Key], ScoringRouter]] = {
    "learned": _learned,
    "semantic": _semantic,
    "llm": _llm,
}
"""Kind of a member whose scorer is ours to its builder."""
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
