"""A whole configuration, and what follows from its sections together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import ConfigDict, Field, PrivateAttr, model_validator

from mollm.config.arms import CURRENT
from mollm.config.embeddings import EmbedderConfig
from mollm.config.feedback import FeedbackConfig
from mollm.config.fields import Section
from mollm.config.files import find, read_examples
from mollm.config.limits import LimitsConfig
from mollm.config.llms import LLMConfig
from mollm.config.mixtures import MixtureConfig
from mollm.config.places import KeyPath, Places
from mollm.config.privacy import PrivacyConfig
from mollm.config.routers import (
    ChainRouterConfig,
    EnsembleRouterConfig,
    FixedRouterConfig,
    LLMMemberConfig,
    RouterConfig,
    RouterSection,
    with_kind,
)
from mollm.config.server import ServerConfig
from mollm.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mollm.config.embeddings import EmbeddingsConfig


def _any_of(schema: dict[str, Any]) -> None:
    # `kind` may be left out, and then a router is valid as one of several kinds.
    schema["anyOf"] = schema.pop("oneOf")
    del schema["discriminator"], schema["default"]


class Config(Section):
    """A whole configuration."""

    # Left out by `load_config`: what is only there to be merged elsewhere.
    model_config = ConfigDict(json_schema_extra={"patternProperties": {"^x-": {}}})

    version: Literal[1] = Field(1, description="Of this format.")
    llms: dict[str, LLMConfig] = Field(min_length=1, description="The LLMs, by name.")
    router: RouterConfig = Field(
        FixedRouterConfig(), discriminator="kind", json_schema_extra=_any_of, description="How a mixture is picked."
    )
    embeddings: EmbedderConfig | None = Field(
        None, description="Where the vectors of texts come from, for whatever needs some; a kind alone, or a section."
    )
    mixtures: dict[str, MixtureConfig] = Field(min_length=1, description="The mixtures, by name.")
    limits: LimitsConfig = Field(LimitsConfig(), description="The most that one question may take.")
    privacy: PrivacyConfig | None = Field(None, description="What is masked before an LLM reads it; unset: nothing.")
    feedback: FeedbackConfig = Field(FeedbackConfig(), description="Whether answers are kept to be rated.")
    server: ServerConfig = Field(ServerConfig(), description="How `mollm serve` listens.")

    _places: Places = PrivateAttr(default_factory=Places)
    _unset: tuple[tuple[KeyPath, str], ...] = PrivateAttr(())

    @model_validator(mode="before")
    @classmethod
    def _with_kind(cls, data: Any) -> Any:
        return with_kind(data)

    def located(self, places: Places, unset: Iterable[tuple[KeyPath, str]] = ()) -> Self:
        """Remember where its keys stand, and which variables are missing of what is built later; returns itself."""
        self._places, self._unset = places, tuple(unset)
        return self

    def unset(self, *section: str) -> list[str]:
        """The variables that are missing from a section, `llms` and a name or `server`, each with its place."""
        return [f"{self.place(*key)}: {text}" for key, text in self._unset if key[: len(section)] == section]

    @property
    def path(self) -> Path | None:
        """The file it was read from."""
        return self._places.path

    def place(self, *key: str | int) -> str:
        """Name a key for a message: file and line where known, else its path."""
        return self._places.name(*key)

    @property
    def fallback(self) -> str:
        """The mixture that answers when the router does not know."""
        if self.router.fallback is not None:
            return self.router.fallback
        return "general" if "general" in self.mixtures else next(iter(self.mixtures))

    @property
    def router_kind(self) -> Literal["fixed", "learned", "semantic", "llm", "python", "chain", "ensemble"]:
        """The kind of the router, also where the file does not name one."""
        return self.router.kind

    @property
    def router_sections(self) -> tuple[RouterSection, ...]:
        """The routers that decide, or score, in the order in which they are asked."""
        if not isinstance(self.router, ChainRouterConfig | EnsembleRouterConfig):
            return (RouterSection(("router",), self.router.kind, self.router),)
        members = enumerate(self.router.members)
        return tuple(RouterSection(("router", "members", index), member.kind, member) for index, member in members)

    @property
    def router_llms(self) -> tuple[str, ...]:
        """LLMs that the router may call, each once."""
        asking = [router for _, _, router in self.router_sections if isinstance(router, LLMMemberConfig)]
        return tuple(dict.fromkeys(router.llm for router in asking))

    @property
    def standing_in(self) -> frozenset[str]:
        """Mixtures that answer in place of others, as arms of theirs."""
        return frozenset(arm for mixture in self.mixtures.values() for arm in mixture.arms) - {CURRENT}

    @property
    def used_llms(self) -> tuple[str, ...]:
        """LLMs that some mixture or the router may call, in the file's order."""
        used = {name for mixture in self.mixtures.values() for name in mixture.llms} | {*self.router_llms}
        return tuple(name for name in self.llms if name in used)

    def embedder_of(self, section: RouterSection) -> tuple[EmbeddingsConfig, KeyPath] | None:
        """Where the vectors of a router come from, and the key that says so; None where nothing does."""
        own = getattr(section.config, "embedder", None)
        if own is not None:
            return own, (*section.key, "embedder")
        return (self.embeddings, ("embeddings",)) if self.embeddings else None

    def find(self, name: str) -> Path | None:
        """Find a file that the configuration names: see `files.find`."""
        return find(name, beside=self.path)

    def examples(self) -> dict[str, list[str]]:
        """Read the examples of every mixture that has some; blank ones do not count.

        Raises:
            ConfigError: A file of examples is missing or cannot be read.
        """
        found = {name: self._examples_of(name, mixture.examples) for name, mixture in self.mixtures.items()}
        return {name: examples for name, examples in found.items() if examples}

    def _examples_of(self, name: str, examples: list[str] | str) -> list[str]:
        if isinstance(examples, list):
            return [text for text in examples if text.strip()]
        path = self.find(examples)
        if path is None:
            raise ConfigError(f"{self.place('mixtures', name, 'examples')}: no file {examples!r}")
        return read_examples(path)
