"""What is wrong about the router of a configuration whose shape is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.config.embedder_problems import embedder_problems
from mollm.config.imported import REFERENCE
from mollm.config.problem import MIXTURES, Problem, nearest, unknown_llm
from mollm.config.routers import (
    ChainRouterConfig,
    EnsembleRouterConfig,
    FixedRouterConfig,
    LearnedMemberConfig,
    LLMMemberConfig,
    PythonMemberConfig,
    SemanticMemberConfig,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mollm.config.config import Config
    from mollm.config.places import KeyPath
    from mollm.config.routers import Deciding, RouterSection

IDLE_IN_ENSEMBLE = ("threshold", "fallback_rate", "bounds", "recent")
"""Keys of a member that only scores: one decision is made, by those of the ensemble."""


def router_problems(config: Config, *, has_embedder: bool) -> Iterator[Problem]:
    """Find what the shape of the router alone does not show."""
    router, key = config.router, ("router", "fallback")
    if router.fallback is not None and router.fallback not in config.mixtures:
        near = nearest(router.fallback, config.mixtures)
        yield Problem(key, f"no mixture {router.fallback!r}{near}", [key, MIXTURES])
    if router.fallback is None and len(config.mixtures) > 1 and "general" not in config.mixtures:
        text = (
            "name the `fallback` mixture, the one that answers when the router does not know; "
            f"allowed: {', '.join(config.mixtures)}"
        )
        yield Problem(("router",), text, [key, MIXTURES])
    if isinstance(router, ChainRouterConfig | EnsembleRouterConfig) and not router.members:
        members = ("router", "members")
        article = "an" if router.kind == "ensemble" else "a"
        yield Problem(members, f"{article} {router.kind} needs at least one member", [members, ("router", "kind")])
    if isinstance(router, EnsembleRouterConfig):
        yield from _ensemble_problems(router)
        yield from _threshold_problems(("router",), router)
    for section in config.router_sections:
        yield from _section_problems(config, section, has_embedder=has_embedder)


def _ensemble_problems(router: EnsembleRouterConfig) -> Iterator[Problem]:
    key, members = ("router", "weights"), ("router", "members")
    if router.weights is not None and len(router.weights) != len(router.members):
        text = f"{len(router.weights)} weights for {len(router.members)} members; each has one"
        yield Problem(key, text, [key, members])
    elif router.weights is not None and router.members and not any(router.weights):
        yield Problem(key, "one of them must be above 0", [key])
    for index, member in enumerate(router.members):
        for name in IDLE_IN_ENSEMBLE:
            if name in member.model_fields_set:
                where = (*members, index, name)
                text = f"a member of an ensemble only scores; set `router.{name}`"
                yield Problem(where, text, [where, ("router", "kind")])


def _threshold_problems(key: KeyPath, router: Deciding) -> Iterator[Problem]:
    for name, value in (("threshold", router.threshold), ("familiarity", router.familiarity)):
        if value != "auto" and not 0 <= value <= 1:
            where = (*key, name)
            yield Problem(where, "must be 'auto' or a number from 0 to 1", [where])
    bounds, rate = (*key, "bounds"), (*key, "fallback_rate")
    if not 0 <= router.bounds[0] <= router.bounds[1] <= 1:
        yield Problem(bounds, "must be two numbers from 0 to 1, the lesser one first", [bounds])
    if router.fallback_rate is None:
        for name in ("bounds", "recent"):
            if name in router.model_fields_set:
                yield Problem((*key, name), "has no effect without `fallback_rate`", [(*key, name), rate])


def _section_problems(config: Config, section: RouterSection, *, has_embedder: bool) -> Iterator[Problem]:
    key, _, router = section
    kind = (*key, "kind")
    if isinstance(router, FixedRouterConfig):
        return
    yield from _threshold_problems(key, router)
    if isinstance(router, LearnedMemberConfig | SemanticMemberConfig) and router.embedder:
        yield from embedder_problems((*key, "embedder"), router.embedder)
    if isinstance(router, SemanticMemberConfig):
        if config.embedder_of(section) is None and not has_embedder:
            text = "a semantic router needs vectors; say under `embeddings` where they come from"
            yield Problem(kind, text, [kind, (*key, "embedder"), ("embeddings",)])
    elif isinstance(router, LearnedMemberConfig):
        examples = [(*MIXTURES, name, "examples") for name in config.mixtures]
        if not router.path and not any(mixture.examples for mixture in config.mixtures.values()):
            text = "a learned router needs `examples` in at least one mixture"
            yield Problem(kind, text, [kind, (*key, "path"), MIXTURES, *examples])
    elif isinstance(router, LLMMemberConfig):
        llm = (*key, "llm")
        if router.llm not in config.llms:
            yield unknown_llm(llm, router.llm, config.llms)
        for name in config.mixtures:
            if name.casefold() == "none":
                text = "the router's LLM replies 'none' where no mixture suits"
                yield Problem((*MIXTURES, name), text, [kind, MIXTURES])
    elif isinstance(router, PythonMemberConfig) and not REFERENCE.fullmatch(router.path):
        where = (*key, "path")
        yield Problem(where, "must be `package.module:name`, as in `my.routing:by_word`", [where])


def needs_no_examples(section: RouterSection) -> bool:
    """Whether a router may pick a mixture that has none."""
    router = section.config
    if isinstance(router, LearnedMemberConfig):
        return bool(router.path)
    return isinstance(router, SemanticMemberConfig | LLMMemberConfig | PythonMemberConfig)
