"""What a configuration may say about the router: one class for each kind, and one for what may be a member."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, get_args

from pydantic import BaseModel, Field

from mollm.config.arms import Arms
from mollm.config.embeddings import EmbedderConfig
from mollm.config.fields import Section

Threshold: TypeAlias = Annotated[
    float | Literal["auto"],
    Field(description="Probability, 0 to 1, below which the fallback answers; `auto`: fitted, or 0.5 for an LLM."),
]
_MEMBER_KIND = "What it decides by, or scores by; no chain or ensemble has another one in it."
_KIND = "Unset: `learned` if any mixture has examples or `path` is set, else `fixed`."
LEAST_RECENT = 50
"""Questions; a share of fewer is an accident."""


class _Deciding(Section):
    """When what a router thinks likeliest is accepted."""

    kind: str
    threshold: Threshold = "auto"
    familiarity: float | Literal["auto"] = Field(
        "auto", description="What a question must be known by, 0 to 1, else the fallback answers; `auto`: fitted."
    )
    fallback_rate: float | None = Field(
        None, gt=0, lt=1, description="Share of recent questions to be in doubt: it moves the threshold; unset: fixed."
    )
    bounds: Annotated[list[float], Field(min_length=2, max_length=2)] = Field(
        [0.3, 0.9], description="The least and the highest threshold that `fallback_rate` may bring."
    )
    recent: int = Field(
        500, ge=LEAST_RECENT, le=100_000, description="How many questions are recent, for `fallback_rate`."
    )


class LearnedMemberConfig(_Deciding):
    """Decides by the examples of the mixtures."""

    kind: Literal["learned"] = Field(description=_MEMBER_KIND)
    path: str | None = Field(None, min_length=1, description="Folder of a trained router.")
    embedder: EmbedderConfig | None = Field(
        None,
        description="Vectors to learn from beside the words of the examples; with `path`: those it was trained on. "
        "As `embeddings`, or its kind alone. Unset: none, and with `path` what `embeddings` says.",
    )


class SemanticMemberConfig(_Deciding):
    """Decides by the examples that are nearest in meaning, or by the descriptions."""

    kind: Literal["semantic"] = Field(description=_MEMBER_KIND)
    embedder: EmbedderConfig | None = Field(
        None, description="As `embeddings`, or its kind alone. Unset: what `embeddings` says."
    )


class LLMMemberConfig(_Deciding):
    """Lets an LLM decide that reads the descriptions of the mixtures."""

    kind: Literal["llm"] = Field(description=_MEMBER_KIND)
    llm: str = Field(description="The LLM that picks.")
    prompt: str | None = Field(None, description="A prompt file, or (if it contains white space) the prompt itself.")


class PythonMemberConfig(_Deciding):
    """Lets a function, a scorer or a router of one's own decide."""

    kind: Literal["python"] = Field(description=_MEMBER_KIND)
    path: str = Field(description="Where it is, as `package.module:name`.")


MemberConfig: TypeAlias = Annotated[
    LearnedMemberConfig | SemanticMemberConfig | LLMMemberConfig | PythonMemberConfig, Field(discriminator="kind")
]
"""One router of a chain, or one scorer of an ensemble."""


class _Router(Section):
    kind: str
    fallback: str | None = Field(None, description="Unset: the mixture named `general`, or the only one.")
    arms: Arms = Field(
        {},
        description="Shares of the questions, 0 to 1 and together 1: of this router under `current`, and of trained "
        "routers by their folders.",
    )


class _PickingTwo(_Router):
    multi: bool = Field(False, description="Join a second mixture to the first where both are likely.")


class FixedRouterConfig(_Router):
    """Always picks the fallback."""

    kind: Literal["fixed"] = Field("fixed", description=_KIND)


class LearnedRouterConfig(LearnedMemberConfig, _PickingTwo):
    """Decides by the examples of the mixtures."""

    kind: Literal["learned"] = Field("learned", description=_KIND)


class SemanticRouterConfig(SemanticMemberConfig, _PickingTwo):
    """Decides by the examples that are nearest in meaning, or by the descriptions."""

    kind: Literal["semantic"] = Field("semantic", description=_KIND)


class LLMRouterConfig(LLMMemberConfig, _PickingTwo):
    """Lets an LLM decide that reads the descriptions of the mixtures."""

    kind: Literal["llm"] = Field("llm", description=_KIND)


class PythonRouterConfig(PythonMemberConfig, _PickingTwo):
    """Lets a function, a scorer or a router of one's own decide."""

    kind: Literal["python"] = Field("python", description=_KIND)


class ChainRouterConfig(_PickingTwo):
    """Asks its members in turn until one is sure."""

    kind: Literal["chain"] = Field("chain", description=_KIND)
    members: list[MemberConfig] = Field([], description="The routers of a chain, in the order in which they are asked.")


class EnsembleRouterConfig(_Deciding, _PickingTwo):
    """Adds up what its members think of every mixture."""

    kind: Literal["ensemble"] = Field("ensemble", description=_KIND)
    members: list[MemberConfig] = Field([], description="The scorers of an ensemble; all of them are asked.")
    weights: list[Annotated[float, Field(ge=0, allow_inf_nan=False)]] | None = Field(
        None, description="What each member counts for; unset: fitted where all can be refitted, else all the same."
    )


RouterConfig: TypeAlias = (
    FixedRouterConfig
    | LearnedRouterConfig
    | SemanticRouterConfig
    | LLMRouterConfig
    | PythonRouterConfig
    | ChainRouterConfig
    | EnsembleRouterConfig
)
Deciding: TypeAlias = (
    LearnedMemberConfig | SemanticMemberConfig | LLMMemberConfig | PythonMemberConfig | EnsembleRouterConfig
)
"""The sections whose scores are decided on."""


def kind_of(router: type[BaseModel]) -> str:
    """The value of `kind` that stands for a class of routers or members."""
    kind: str = get_args(router.model_fields["kind"].annotation)[0]
    return kind


ROUTERS: dict[str, type[RouterConfig]] = {kind_of(router): router for router in get_args(RouterConfig)}
"""Each kind of router with its class; the builders are in `mollm.routing.registry`."""


class RouterSection(NamedTuple):
    """One router that decides, or scores: the one under `router`, or a member of it."""

    key: tuple[str | int, ...]
    """Where it stands."""
    kind: Literal["fixed", "learned", "semantic", "llm", "python"]
    config: FixedRouterConfig | LearnedMemberConfig | SemanticMemberConfig | LLMMemberConfig | PythonMemberConfig


def with_kind(data: Any) -> Any:
    """Say in plain data which kind of router is meant, where the file does not.

    It is `learned` if any mixture has examples or a trained router is named, else `fixed`.
    """
    router = data.get("router", {}) if isinstance(data, dict) else None
    if not isinstance(router, dict) or router.get("kind") is not None:
        return data
    mixtures = data.get("mixtures")
    sections = mixtures.values() if isinstance(mixtures, dict) else ()
    has_examples = any(isinstance(mixture, dict) and mixture.get("examples") for mixture in sections)
    kind = "learned" if has_examples or router.get("path") else "fixed"
    return {**data, "router": {**router, "kind": kind}}
