"""What a configuration may say about the router: one class for each kind, and members for chains of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, get_args

from pydantic import BaseModel, Field

from mollm.config.fields import Section

Threshold: TypeAlias = Annotated[
    float | Literal["auto"],
    Field(description="Probability, 0 to 1, below which the fallback answers; `auto`: fitted, or 0.5 for an LLM."),
]
_MEMBER_KIND = "What it decides by; a chain has no chain in it."
_KIND = "Unset: `learned` if any mixture has examples or `path` is set, else `fixed`."


class LearnedMemberConfig(Section):
    """Decides by the examples of the mixtures."""

    kind: Literal["learned"] = Field(description=_MEMBER_KIND)
    threshold: Threshold = "auto"
    path: str | None = Field(None, description="Folder of a trained router.")


class LLMMemberConfig(Section):
    """Lets an LLM decide that reads the descriptions of the mixtures."""

    kind: Literal["llm"] = Field(description=_MEMBER_KIND)
    threshold: Threshold = "auto"
    llm: str = Field(description="The LLM that picks.")
    prompt: str | None = Field(None, description="A prompt file, or (if it contains white space) the prompt itself.")


MemberConfig: TypeAlias = Annotated[LearnedMemberConfig | LLMMemberConfig, Field(discriminator="kind")]
"""One router of a chain; a chain has no chain in it."""


class _Router(Section):
    kind: str
    fallback: str | None = Field(None, description="Unset: the mixture named `general`, or the only one.")


class FixedRouterConfig(_Router):
    """Always picks the fallback."""

    kind: Literal["fixed"] = Field("fixed", description=_KIND)


class LearnedRouterConfig(LearnedMemberConfig, _Router):
    """Decides by the examples of the mixtures."""

    kind: Literal["learned"] = Field("learned", description=_KIND)


class LLMRouterConfig(LLMMemberConfig, _Router):
    """Lets an LLM decide that reads the descriptions of the mixtures."""

    kind: Literal["llm"] = Field("llm", description=_KIND)


class ChainRouterConfig(_Router):
    """Asks its members in turn until one is sure."""

    kind: Literal["chain"] = Field("chain", description=_KIND)
    members: list[MemberConfig] = Field([], description="The routers of a chain, in the order in which they are asked.")


RouterConfig: TypeAlias = FixedRouterConfig | LearnedRouterConfig | LLMRouterConfig | ChainRouterConfig


def kind_of(router: type[BaseModel]) -> str:
    """The value of `kind` that stands for a class of routers or members."""
    kind: str = get_args(router.model_fields["kind"].annotation)[0]
    return kind


ROUTERS: dict[str, type[RouterConfig]] = {kind_of(router): router for router in get_args(RouterConfig)}
"""Each kind of router with its class; the builders are in `mollm.routing.registry`."""


class RouterSection(NamedTuple):
    """One router that decides: the one under `router`, or a member of its chain."""

    key: tuple[str | int, ...]
    """Where it stands."""
    kind: Literal["fixed", "learned", "llm"]
    config: FixedRouterConfig | LearnedMemberConfig | LLMMemberConfig


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
