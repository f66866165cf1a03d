"""YAML, dictionary or `Config` in; a validated `Config` out.

Everything wrong is found in one pass and named by file, line and key.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from mollm.config.config import Config
from mollm.config.files import configuration_path, default_path
from mollm.config.filling import fill, is_later
from mollm.config.parsing import parse
from mollm.config.places import Places, read_yaml, value_at
from mollm.config.problems import problems
from mollm.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from mollm.config.filling import Filled
    from mollm.config.problem import Problem


def load_config(
    source: str | Path | Mapping[str, Any] | Config | None = None,
    *,
    methods: Collection[str] = (),
    has_embedder: bool = False,
) -> Config:
    """Read and validate a configuration.

    Args:
        source: A path, a dictionary of the same shape, a `Config`, or None for `default_path()`.
        methods: Names that `aggregator.method` may have beside those of the built-in aggregators.
        has_embedder: An embedder that is no part of the configuration takes the place of the section `embeddings`.

    Raises:
        ConfigError: `problems` lists everything that is wrong, each with file, line (or key path) and key.
    """
    if isinstance(source, Config):
        return source
    if isinstance(source, Mapping):
        return _validated(dict(source), Places(), methods, has_embedder=has_embedder)
    path = default_path() if source is None else configuration_path(source)
    return _validated(*read_yaml(path), methods, has_embedder=has_embedder)


def _validated(data: Any, places: Places, methods: Collection[str], *, has_embedder: bool) -> Config:
    if not isinstance(data, dict):
        what = "empty" if data is None else "not a mapping"
        raise ConfigError(f"{places.path or 'configuration'}: {what}; it needs at least `llms` and `mixtures`")
    shared = {key for key in data if isinstance(key, str) and key.startswith("x-")}
    filled = fill({key: value for key, value in data.items() if key not in shared})
    lacking = [problem for problem in filled.unset if not _matters_later(problem)]
    unknown = {problem.key for problem in (*filled.unset, *filled.mistakes)}
    config, found, gaps = parse(filled.data, filled=filled.written, unknown=unknown)
    found = [*filled.mistakes, *lacking, *(_explained(problem, filled, places) for problem in found)]
    wrong = problems(config, methods, has_embedder=has_embedder)
    found += [problem for problem in wrong if not problem.follows_from(gaps)]
    later = [problem for problem in filled.unset if _matters_later(problem)]
    if found:
        found += [problem for problem in later if problem.key[:1] == ("llms",) and problem.key[1] in config.used_llms]
        # Two routers of a chain may have one and the same problem.
        raise ConfigError(list(dict.fromkeys(f"{places.name(*problem.key)}: {problem.text}" for problem in found)))
    return config.located(places, [(problem.key, problem.text) for problem in later])


def _matters_later(problem: Problem) -> bool:
    """Only where the LLM, or the server, in whose section a variable is missing is built."""
    return problem.key[0] in ("llms", "server")


def _explained(problem: Problem, filled: Filled, places: Places) -> Problem:
    """Say where a value came from that is not what stands in the file."""
    word, value = places.words.get(problem.key), value_at(filled.data, problem.key)
    if written := filled.written.get(problem.key):
        return problem._replace(text=f"{problem.text}; it is the value of `{written}`")
    if word is None or not (problem.wants_text or isinstance(value, bool | date | None)):
        return problem
    if not word:
        return problem._replace(text=f"{problem.text}; nothing stands here, which YAML reads as null")
    shown = "this" if is_later(problem.key) else f"`{word}`"  # a number may be a key
    reading = f"YAML reads {shown} as {_reading(value)}"
    if problem.wants_text:
        return problem._replace(text=f"{reading}, where text belongs; put it in quotes")
    return problem._replace(text=f"{problem.text}; {reading}")


def _reading(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, date):
        return "a date"
    return "a number"
