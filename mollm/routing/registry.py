"""The kinds of routers: for each the class of its section in the configuration, and who builds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from mollm.config.files import packaged_folder
from mollm.config.routers import (
    ChainRouterConfig,
    FixedRouterConfig,
    LearnedMemberConfig,
    LearnedRouterConfig,
    LLMMemberConfig,
    LLMRouterConfig,
)
from mollm.errors import PromptError
from mollm.prompts import load_prompt
from mollm.routing.base import plan_of
from mollm.routing.chain import ChainRouter
from mollm.routing.decision import Decision, ScoringRouter
from mollm.routing.fixed import FixedRouter

if TYPE_CHECKING:
    from mollm.config.config import Config
    from mollm.config.routers import RouterConfig
    from mollm.prompts import Prompt
    from mollm.routing.base import Router
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
        ConfigError: A learned router cannot be had.
        PromptError: The prompt of an LLM router cannot be used.
    """
    return ROUTERS[config.router_kind][1](config.router, config, ("router",))


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
    asking = [_llm(s.config, config, s.key) for s in config.router_sections if isinstance(s.config, LLMMemberConfig)]
    return tuple(call for router in asking for call in plan_of(router, question))


def decision_of(config: Config) -> Decision:
    """What is done about the scores of a scorer that takes the place of the configured router."""
    own = config.router
    return _decision(own.threshold if isinstance(own, LearnedMemberConfig | LLMMemberConfig) else "auto", config)


def _fixed(section: FixedRouterConfig, config: Config, key: Key) -> Router:  # noqa: ARG001 - as every builder
    return FixedRouter(config.fallback)


def _learned(section: LearnedMemberConfig, config: Config, key: Key) -> Router:  # noqa: ARG001 - as every builder
    from mollm.routing.learned import LearnedScorer

    if section.path:
        scorer = LearnedScorer.load(section.path)
    else:
        shipped = packaged_folder() / SHIPPED
        scorer = LearnedScorer.cached(config.examples(), fallback=config.fallback, shipped=shipped)
    return ScoringRouter(scorer, scorer.decision(section.threshold))


def _llm(section: LLMMemberConfig, config: Config, key: Key) -> Router:
    from mollm.routing.llm import LLMScorer

    descriptions = {name: mixture.description for name, mixture in config.mixtures.items()}
    scorer = LLMScorer(section.llm, descriptions, _prompt(section, config, key))
    return ScoringRouter(scorer, _decision(section.threshold, config))


def _chain(section: ChainRouterConfig, config: Config, key: Key) -> Router:
    members = enumerate(section.members)
    return ChainRouter(tuple(ROUTERS[member.kind][1](member, config, (*key, "members", i)) for i, member in members))


def _prompt(section: LLMMemberConfig, config: Config, key: Key) -> Prompt:
    return load_prompt(config, section.prompt or DEFAULT_PROMPT, "router", config.place(*key, "prompt"))


def _decision(threshold: float | Literal["auto"], config: Config) -> Decision:
    return Decision(config.fallback) if threshold == "auto" else Decision(config.fallback, threshold)


ROUTERS: dict[str, tuple[type[RouterConfig], Builder]] = {
    "fixed": (FixedRouterConfig, _fixed),
    "learned": (LearnedRouterConfig, _learned),
    "llm": (LLMRouterConfig, _llm),
    "chain": (ChainRouterConfig, _chain),
}
"""Kind to the class of its section and its builder."""
