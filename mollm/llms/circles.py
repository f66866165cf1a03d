"""LLMs that are brought and would ask the mixtures that they are to answer for, as far as that can be seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mollm.config.config import Config

if TYPE_CHECKING:
    from collections.abc import Iterator

_PARTS = ("bound", "runnable", "steps", "fallbacks")
"""Where LangChain's runnables keep those that they are made of."""
_DEEPEST = 8


def circle_in(name: str, given: Any, config: Config) -> str | None:
    """Say what is wrong with an LLM that is a graph of mixtures, or holds the graph of this configuration."""
    if _origin_of(given) is not None:
        as_llm = 'RunnableLambda(lambda messages, **_: {"messages": messages}) | graph | (lambda s: s["messages"][-1])'
        return f"llms={name!r}: a graph of mixtures takes and returns a state, and is no LLM; one is `{as_llm}`"
    if any(_is_same(origin, config) for origin in _origins(given)):
        return f"llms={name!r}: holds the graph of this configuration, whose mixtures would ask themselves"
    return None


def _origin_of(given: Any) -> Config | None:
    """The configuration of a graph of mixtures; None for anything else."""
    origin = getattr(given, "origin_config", None)
    return origin if isinstance(origin, Config) else None


def _is_same(origin: Config, config: Config) -> bool:
    return origin is config or (origin.path is not None and origin.path == config.path) or origin == config


def _origins(given: Any, deepest: int = _DEEPEST) -> Iterator[Config]:
    """The configurations of the graphs that a runnable is made of."""
    if origin := _origin_of(given):
        yield origin
    for part in _PARTS if deepest else ():
        found = getattr(given, part, None)
        for inner in found if isinstance(found, list | tuple) else [found]:
            if hasattr(inner, "ainvoke"):
                yield from _origins(inner, deepest - 1)
