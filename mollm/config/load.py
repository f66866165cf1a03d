"""YAML, dictionary or `Config` in; a validated `Config` out.

Everything wrong is found in one pass and named by file, line and key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mollm.config.config import Config
from mollm.config.files import configuration_path, default_path
from mollm.config.parsing import parse
from mollm.config.places import Places, read_yaml
from mollm.config.problems import problems
from mollm.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


def load_config(
    source: str | Path | Mapping[str, Any] | Config | None = None, *, methods: Collection[str] = ()
) -> Config:
    """Read and validate a configuration.

    Args:
        source: A path, a dictionary of the same shape, a `Config`, or None for `default_path()`.
        methods: Names that `aggregator.method` may have beside those of the built-in aggregators.

    Raises:
        ConfigError: `problems` lists everything that is wrong, each with file, line (or key path) and key.
    """
    if isinstance(source, Config):
        return source
    if isinstance(source, Mapping):
        return _validated(dict(source), Places(), methods)
    path = default_path() if source is None else configuration_path(source)
    return _validated(*read_yaml(path), methods)


def _validated(data: Any, places: Places, methods: Collection[str]) -> Config:
    if not isinstance(data, dict):
        what = "empty" if data is None else "not a mapping"
        raise ConfigError(f"{places.path or 'configuration'}: {what}; it needs at least `llms` and `mixtures`")
    config, found, gaps = parse(data)
    found += [problem for problem in problems(config, methods) if not problem.follows_from(gaps)]
    if found:
        # Two routers of a chain may have one and the same problem.
        raise ConfigError(list(dict.fromkeys(f"{places.name(*problem.key)}: {problem.text}" for problem in found)))
    return config.located(places)
