"""The kinds of routers: for each the class of its section in the configuration, and who builds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from mollm.config.schema import MemberConfig, RouterConfig, packaged_folder
from mollm.errors import PromptError
from mollm.prompts import load_prompt
from mollm.routing.base import plan_of
from mollm.routing.chain import ChainRouter
from mollm.routing.decision import Decision, ScoringRouter
from mollm.routing.fixed import FixedRouter

if TYPE_CHECKING:
    from mollm.config.schema import Config
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
            if section.kind == "llm":
                _prompt(section.config, config, section.key)
        except PromptError as error:
            problems.append(str(error))
    return problems


def planned_calls(config: Config, question: Question) -> tuple[PlannedCall, ...]:
    """The calls that the configured router may make; nothing is fitted to find out.

    Raises:
        PromptError: The prompt of an LLM router cannot be used.
    """
    asking = [section for section in config.router_sections if section.kind == "llm"]
    return tuple(call for s in asking for call in plan_of(_llm(s.config, config, s.key), question))


def decision_of(config: Config) -> Decision:
    """What is done about the scores of a scorer that takes the place of the configured router."""
    return _decision(config.router, config)


def _fixed(section: RouterConfig, config: Config, key: Key) -> Router:  # noqa: ARG001 - as every builder
    return FixedRouter(config.fallback)


def _learned(section: RouterConfig | MemberConfig, config: Config, key: Key) -> Router:  # noqa: ARG001 - as every builder
    from mollm.routing.learned import LearnedScorer

    if section.path:
        scorer = LearnedScorer.load(section.path)
    else:
        shipped = packaged_folder() / SHIPPED
        scorer = LearnedScorer.cached(config.examples(), fallback=config.fallback, shipped=shipped)
    return ScoringRouter(scorer, scorer.decision(section.threshold))


def _llm(section: RouterConfig | MemberConfig, config: Config, key: Key) -> Router:
    from mollm.routing.llm import LLMScorer

    descriptions = {name: mixture.description for name, mixture in config.mixtures.items()}
    scorer = LLMScorer(section.llm or "", descriptions, _prompt(section, config, key))
    return ScoringRouter(scorer, _decision(section, config))


def _chain(section: RouterConfig, config: Config, key: Key) -> Router:
    members = enumerate(section.members)
    return ChainRouter(tuple(ROUTERS[member.kind][1](member, config, (*key, "members", i)) for i, member in members))


def _prompt(section: RouterConfig | MemberConfig, config: Config, key: Key) -> Prompt:
    return load_prompt(config, section.prompt or DEFAULT_PROMPT, "router", config.place(*key, "prompt"))


def _decision(section: RouterConfig | MemberConfig, config: Config) -> Decision:
    return Decision(config.fallback) if section.threshold == "auto" else Decision(config.fallback, section.threshold)


ROUTERS: dict[str, tuple[type[RouterConfig | MemberConfig], Builder]] = {
    "fixed": (RouterConfig, _fixed),
    "learned": (RouterConfig, _learned),
    "llm": (RouterConfig, _llm),
    "chain": (RouterConfig, _chain),
}
"""Kind to its section and its builder."""
