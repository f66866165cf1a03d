"""Who may be a member: LLMs of a configuration, or the workers of a mixture; each asked alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mollm.config.mixtures import MixtureConfig, WorkerConfig
from mollm.config.places import read_yaml
from mollm.config.problem import nearest
from mollm.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mollm.config.config import Config


@dataclass(frozen=True, slots=True)
class Member:
    """One that can be asked alone."""

    name: str
    """Of the worker: the LLM, with `#2`, `#3` ... for a further one of it."""
    entry: Any
    """As a file lists it under `workers`, variables unresolved: the name of the LLM, or a mapping."""
    worker: WorkerConfig

    @property
    def mixture(self) -> MixtureConfig:
        """A mixture that asks it and nobody else."""
        return MixtureConfig(description=f"{self.name} alone", workers=[self.worker])


def members_of(config: Config, *, llms: Sequence[str] = (), mixture: str | None = None) -> list[Member]:
    """List who may be a member.

    Args:
        config: The configuration.
        llms: Names of LLMs; none: all of the file.
        mixture: Takes the workers of this mixture instead, with their prompts and settings.

    Raises:
        ConfigError: There is no such LLM, or mixture.
    """
    if mixture is not None:
        return _workers(config, mixture)
    for name in llms:
        if name not in config.llms:
            raise ConfigError(f"{config.place('llms')}: no LLM {name!r}{nearest(name, config.llms)}")
    return [Member(name, name, WorkerConfig(llm=name)) for name in dict.fromkeys(llms or config.llms)]


def _workers(config: Config, mixture: str) -> list[Member]:
    section = config.mixtures.get(mixture)
    if section is None:
        raise ConfigError(f"{config.place('mixtures')}: no mixture {mixture!r}{nearest(mixture, config.mixtures)}")
    found: list[Member] = []
    for worker, entry in zip(section.listed, _entries(config.path, mixture, section), strict=True):
        single = worker.model_copy(update={"samples": 1})
        plain = {key: value for key, value in entry.items() if key != "samples"} if isinstance(entry, dict) else entry
        for _ in range(worker.samples):
            number = 1 + sum(member.worker.llm == worker.llm for member in found)
            found.append(Member(worker.llm if number == 1 else f"{worker.llm}#{number}", plain, single))
    return found


def _entries(path: Path | None, mixture: str, section: MixtureConfig) -> list[Any]:
    """The workers as they are written in the file, variables unresolved."""
    if path is None or section.choose:
        return [worker.llm for worker in section.listed]
    listed: list[Any] = read_yaml(path)[0]["mixtures"][mixture]["workers"]
    return listed


def alone(config: Config, members: Sequence[Member]) -> Config:
    """The configuration with a mixture for each member alone, `m0`, `m1` ..., and a router that is not asked."""
    from mollm.config.routers import FixedRouterConfig

    mixtures: Mapping[str, MixtureConfig] = {f"m{index}": member.mixture for index, member in enumerate(members)}
    return config.model_copy(update={"mixtures": mixtures, "router": FixedRouterConfig(kind="fixed")})
