"""What a graph is told by whoever runs it, or by the graph around it: options, and the thread."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mollm.config.problem import nearest
from mollm.errors import RequestError
from mollm.options import Options

ENTRY = "mollm"
"""The field of a context that holds the options, where the context is not for one graph alone."""
_NAMES = tuple(field.name for field in fields(Options))
_NOTHING = object()


def own_options(context: Any) -> Options | None:
    """Read the context that the graph itself was invoked with; None if there is none.

    It is an `Options`, a dictionary of its fields, or anything with an entry `mollm` that is one of the two.

    Raises:
        RequestError: An option is unknown, its value is of the wrong type, or there is nothing for us in the context.
    """
    if context is None or isinstance(context, Options):
        return context
    entry = _entry(context)
    if entry is _NOTHING:
        return _options(context, "context")
    if isinstance(context, Mapping) and (beside := [name for name in context if name in _NAMES]):
        raise RequestError(f"context: {', '.join(map(repr, beside))} and {ENTRY!r}: options stand in one place")
    return _options(entry, f"context.{ENTRY}")


def options_around(context: Any) -> Options:
    """Read the context of the graph around; whatever it holds beside `mollm` belongs to that graph.

    Raises:
        RequestError: `mollm` is not valid, or an option stands outside of it.
    """
    if context is None or isinstance(context, Options):
        return context or Options()
    entry = _entry(context)
    if entry is not _NOTHING:
        return _options(entry, f"context.{ENTRY}")
    if isinstance(context, Mapping) and (name := _meant_for_us(context)):
        hint = f"context={{{ENTRY!r}: {{'mixture': ...}}}}"
        raise RequestError(f"context: {name!r}: inside another graph, options stand under {ENTRY!r}: {hint}")
    return Options()


def configured_options(configurable: Mapping[str, Any]) -> Options | None:
    """Read the `configurable` that a graph was invoked with where it got no context; None if it holds none for us.

    Raises:
        RequestError: `mollm` is not valid, or an option stands outside of it.
    """
    if ENTRY in configurable:
        return _options(configurable[ENTRY], f"configurable.{ENTRY}")
    if name := _meant_for_us(configurable):
        raise RequestError(f"configurable: {name!r}: options are passed as the context: context={{'mixture': ...}}")
    return None


def _meant_for_us(given: Mapping[Any, Any]) -> str | None:
    """A key that can only be meant for us, maybe misspelled; nobody has declared the keys of a dictionary."""
    for name in given:
        if isinstance(name, str) and difflib.get_close_matches(name.lower(), (ENTRY, "mixture"), 1, 0.83):
            return name
    return None


def _entry(context: Any) -> Any:
    if isinstance(context, Mapping):
        return context.get(ENTRY, _NOTHING)
    return getattr(context, ENTRY, _NOTHING)


def _options(given: Any, where: str) -> Options:
    if given is None:
        return Options()
    if isinstance(given, Options):
        return given
    if not isinstance(given, Mapping):
        raise RequestError(f"{where}: {type(given).__name__} is neither an Options nor a dictionary of its fields")
    given = {name: value for name, value in given.items() if not _is_reserved(name)}
    if unknown := [name for name in given if name not in _NAMES]:
        raise RequestError(
            "\n".join(f"{where}: unknown option {name!r}{nearest(str(name), _NAMES)}" for name in unknown)
        )
    if not isinstance(named := given.get("mixture"), str | Mapping | None):
        raise RequestError(f"{where}.mixture: must be a text, or a panel for one request, not {type(named).__name__}")
    try:
        return _adapter().validate_python(given)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        said = problem["msg"].replace("Input should be", "must be")
        hint = "; LangChain's `convert_to_openai_tool` makes one" if problem["loc"][0] == "tools" else ""
        raise RequestError(f"{where}.{'.'.join(map(str, problem['loc']))}: {said}{hint}") from None


def _is_reserved(name: Any) -> bool:
    """A LangGraph server copies `configurable` into the context, with what LangGraph itself keeps there."""
    return name in ("thread_id", "checkpoint_id", "checkpoint_ns", "run_id") or str(name).startswith(
        ("__", "langgraph_")
    )


@cache
def _adapter() -> TypeAdapter[Options]:
    return TypeAdapter(Options)
