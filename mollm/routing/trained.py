"""A router trained elsewhere, beside the mixtures of a configuration: does it pick what there is?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mollm.config.files import is_folder, named_path
from mollm.config.routers import LearnedMemberConfig
from mollm.errors import ConfigError
from mollm.routing import artifacts, versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from mollm.config.config import Config
    from mollm.embeddings.base import Embedder
    from mollm.routing.learned import LearnedScorer

NAMED = 5
"""Names that a message has."""


def folder_of(path: str, config: Config) -> Path:
    """The folder that `path` means: in that of the configuration's file, else in the working directory."""
    folder = named_path(path)
    if not folder.is_absolute() and config.path is not None and is_folder(config.path.parent / folder):
        return config.path.parent / folder
    return folder


def adopted(path: str, config: Config, where: str, embedder: Embedder | None = None) -> LearnedScorer:
    """Load a trained router, with the fallback of the configuration that uses it.

    Args:
        path: As the configuration has it.
        config: Whose mixtures it may pick.
        where: Names the key that `path` stands under, for messages.
        embedder: In place of the one that it was trained with.

    Raises:
        ConfigError: It cannot be loaded, or may pick what is no mixture of the configuration.
        RunError: The embedder failed.
    """
    from mollm.routing.learned import LearnedScorer

    try:
        scorer = LearnedScorer.load(folder_of(path, config), embedder=embedder)
    except ConfigError as error:
        raise ConfigError([f"{where}: {problem}" for problem in error.problems]) from error
    if problem := _lacking(scorer.mixtures, config):
        raise ConfigError(f"{where}: {problem}")
    return replace(scorer, fallback=config.fallback)


def problems(config: Config) -> Iterator[str]:
    """What is wrong with the trained routers of a configuration, as far as their manifests tell."""
    for where, folder in _trained(config):
        try:
            mixtures = _mixtures(folder)
        except ConfigError as error:
            yield from (f"{where}: {problem}" for problem in error.problems)
            continue
        if problem := _lacking(mixtures, config):
            yield f"{where}: {problem}"


def never_picked(config: Config) -> Iterator[str]:
    """Warn of mixtures that no trained router knows, where nothing else routes."""
    folders = [folder for _, folder in _trained(config)]
    if not folders or len(folders) < len(config.router_sections):
        return
    try:
        known = {config.fallback, *(name for folder in folders for name in _mixtures(folder))}
    except ConfigError:  # a problem, which says more
        return
    for name in config.mixtures:
        if name not in known:
            yield f"{config.place('mixtures', name)}: the trained router does not know it; it can be asked by name"


def _trained(config: Config) -> Iterator[tuple[str, Path]]:
    for section in config.router_sections:
        if isinstance(section.config, LearnedMemberConfig) and section.config.path:
            yield config.place(*section.key, "path"), folder_of(section.config.path, config)


def _mixtures(folder: Path) -> list[str]:
    mixtures = artifacts.manifest(versions.in_force(folder)).get("mixtures")
    if not isinstance(mixtures, list):
        raise ConfigError(f"{folder}: its contents do not make a router; train it again")
    return [str(name) for name in mixtures]


def _lacking(mixtures: Iterable[str], config: Config) -> str:
    lacking = [name for name in mixtures if name not in config.mixtures]
    if not lacking:
        return ""
    shown = ", ".join(repr(name) for name in lacking[:NAMED]) + (", ..." if len(lacking) > NAMED else "")
    which = "which is no mixture here" if len(lacking) == 1 else f"{len(lacking)} names that are no mixtures here"
    there = ", ".join(config.mixtures)
    return f"this router picks {shown}, {which}; there are: {there}. Add what is missing, or train it on others"
