"""Plain data to a `Config`, whatever is wrong with its shape.

A value that is wrong gives way to its key's default, or to a stand-in where there is none, so that all the rest
can still be checked.
"""

from __future__ import annotations

import copy
import types
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from mollm.config.config import Config
from mollm.config.fields import keys_of
from mollm.config.filling import typed
from mollm.config.places import pattern_of, value_at
from mollm.config.problem import Problem, nearest, one_of
from mollm.config.routers import kind_of, with_kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from pydantic_core import ErrorDetails

    from mollm.config.places import KeyPath

MAX_PASSES = 8
"""One finds nearly everything; another is needed where pydantic looks no further, as below a wrong `kind`."""
STAND_INS: dict[KeyPath, Any] = {
    ("llms",): {"": {"model": "-/-"}},
    ("llms", "*"): {"model": "-/-"},
    ("llms", "*", "model"): "-/-",
    ("llms", "*", "price", "input"): 0,
    ("llms", "*", "price", "output"): 0,
    ("privacy", "mask"): ["email"],
    ("mixtures",): {"": {"description": "-", "workers": [""]}},
    ("mixtures", "*"): {"description": "-", "workers": [""]},
    ("mixtures", "*", "description"): "-",
    ("mixtures", "*", "workers"): [""],
    ("mixtures", "*", "workers", "*"): "",
    ("mixtures", "*", "workers", "*", "llm"): "",
    ("mixtures", "*", "workers", "choose"): {"most": 1, "from": [""]},
    ("mixtures", "*", "workers", "choose", "most"): 1,
    ("mixtures", "*", "workers", "choose", "from"): [""],
    ("mixtures", "*", "workers", "choose", "from", "*"): "",
    ("mixtures", "*", "aggregator", "score", "python"): "",
    ("embeddings", "kind"): "wordllama",
    ("router", "embedder", "kind"): "wordllama",
    ("router", "members", "*", "embedder", "kind"): "wordllama",
    ("router", "llm"): "",
    ("router", "path"): "",
    ("router", "members", "*"): {"kind": "learned"},
    ("router", "members", "*", "llm"): "",
    ("router", "members", "*", "path"): "",
    ("server", "api_keys", "*"): {"name": "-", "key": "-"},
    ("server", "api_keys", "*", "name"): "-",
}
"""What takes the place of a wrong value whose key has no default; `*` is any name or index."""
MESSAGES = {
    "invalid_key": "a key must be text",
    "missing": "is required",
    "string_pattern_mismatch": "must be `provider/model`, as in `openai/gpt-4.1` or `local/smollm2-135m`",
}
"""What is said instead of pydantic's own words, by its type of error."""
MOVED: dict[KeyPath, str] = {
    ("mixtures", "*", "tools"): "unknown key; `tools_llm` names the LLM that has the tools of a request"
}
"""What is said of a key that had another name."""
SHORT: dict[KeyPath, str] = {
    ("mixtures", "*", "workers", "*"): "the name of an LLM",
    ("server", "api_keys", "*"): "the key alone",
}
"""What text may stand for a whole section."""
A_KEY = "[key]"
"""Stands in a key path for a key that is no text, as in pydantic's."""


def parse(
    data: dict[str, Any], *, filled: Collection[KeyPath] = (), unknown: Collection[KeyPath] = ()
) -> tuple[Config, list[Problem], set[KeyPath]]:
    """Build a configuration.

    Args:
        data: What a file holds.
        filled: Keys of texts that variables brought: each is a number or a truth value where its key wants one.
        unknown: Keys whose values nobody knows, since a variable is missing; nothing is said about those.

    Returns:
        The configuration; what is wrong with the shape of `data`; and the keys that could not be read. What is
        found out about the configuration holds only where it follows from none of these keys.
    """
    try:
        return Config.model_validate(data), [], set(unknown)
    except ValidationError as error:
        data, failure = with_kind(copy.deepcopy(data)), error
    return _without_wrong_values(data, failure, filled, set(unknown))


def _give_types(data: dict[str, Any], filled: Collection[KeyPath], error: ValidationError) -> bool:
    """Read what variables brought as the types that were wanted instead of text; return whether that changes anything.

    Where text is right it stays text: a description may be `2024`.
    """
    changed = False
    for key in [key for key in _shape_problems(error, data) if key in filled]:
        holder = value_at(data, key[:-1])
        text = value_at(holder, key[-1:])
        if isinstance(text, str) and not isinstance(value := typed(text), str):
            holder[key[-1]], changed = value, True
    return changed


def _without_wrong_values(
    data: dict[str, Any], error: ValidationError, filled: Collection[KeyPath], gaps: set[KeyPath]
) -> tuple[Config, list[Problem], set[KeyPath]]:
    problems: list[Problem] = []
    for _ in range(MAX_PASSES):
        if not _give_types(data, filled, error):
            found = _shape_problems(error, data)
            # What is wrong only since something was left out is not wrong with the file.
            known = gaps | _above(gaps)
            problems += [p for key, p in found.items() if key not in known and not p.follows_from(gaps)]
            if () in found:
                break
            gaps |= {_mend(data, key) for key in found}
        try:
            return Config.model_validate(data), problems, gaps
        except ValidationError as next_error:
            error = next_error
    return Config.model_validate({key: STAND_INS[key,] for key in ("llms", "mixtures")}), problems, {()}


def _mend(data: dict[str, Any], key: KeyPath) -> KeyPath:
    """Leave out the value at `key`, or put a stand-in in its place; return the key at which that was possible."""
    *above, last = key
    holder, pattern = value_at(data, tuple(above)), pattern_of(key)
    if holder is None:
        return key  # left out already, with all that was around it
    if last == A_KEY:
        for name in [name for name in holder if not isinstance(name, str)]:
            del holder[name]
    elif last == "kind" and key[0] == "router":
        holder[last] = _likely_kind(key[:-1], holder)
    elif pattern in STAND_INS and not _is_optional(key, data):
        holder[last] = copy.deepcopy(STAND_INS[pattern])
    elif isinstance(holder, list):
        return _mend(data, key[:-1])
    else:
        holder.pop(last, None)
    return key


def _is_optional(key: KeyPath, data: dict[str, Any]) -> bool:
    """The section of this key is complete without it."""
    fields = [keys_of(found).get(str(key[-1])) for found in _classes(key[:-1], data)]
    return bool(fields) and not any(field and field.is_required() for field in fields)


def _shape_problems(error: ValidationError, data: dict[str, Any]) -> dict[KeyPath, Problem]:
    """Say in our words what pydantic found, by the key that has to be mended."""
    found: dict[KeyPath, list[Problem]] = {}
    for item in error.errors(include_url=False, include_input=False):
        key, problem = _shape_problem(item, data)
        found.setdefault(key, []).append(problem)
    # A value that may be of several types has a problem for each, and the deepest knows best what was meant.
    above = _above(found)
    return {
        key: problems[0]._replace(
            text=", or ".join(dict.fromkeys(problem.text for problem in problems)),
            wants_text=any(problem.wants_text for problem in problems),
        )
        for key, problems in found.items()
        if key not in above
    }


def _shape_problem(item: ErrorDetails, data: dict[str, Any]) -> tuple[KeyPath, Problem]:
    kind, loc = item["type"], _untagged(item["loc"])
    text = item["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    text = MESSAGES.get(kind, text[0].lower() + text[1:])
    wants_text = kind in ("string_type", "literal_error", "union_tag_invalid") or text.startswith("must be text")
    key, holder = _real_key(loc, data), _real_key(loc[:-1], data)
    if kind == "invalid_key" or loc[-1:] == (A_KEY,):
        holder = holder if kind == "invalid_key" else _real_key(loc[:-2], data)
        return (*holder, A_KEY), Problem(key, MESSAGES["invalid_key"], [])
    if kind == "missing":
        return _missing((*holder, loc[-1]), data)
    if kind == "extra_forbidden":
        return _unknown((*holder, loc[-1]), data)
    if kind in ("model_type", "model_attributes_type"):
        names = dict.fromkeys(name for found in _classes(key) for name in keys_of(found))
        short = SHORT.get(pattern_of(key))
        wants_text = short is not None
        text = f"must be a mapping of: {', '.join(names)}{f', or {short}' if short else ''}"
    elif kind == "union_tag_not_found":
        key, text = (*key, "kind"), MESSAGES["missing"]
    elif kind == "union_tag_invalid":
        key, text = (*key, "kind"), f"must be {one_of([kind_of(found) for found in _classes(key)])}"
    return key, Problem(key, text, [], wants_text=wants_text)


def _missing(key: KeyPath, data: dict[str, Any]) -> tuple[KeyPath, Problem]:
    if key[0] != "router":
        return key, Problem(key, MESSAGES["missing"], [])
    llms = data.get("llms")
    text = f"kind 'llm' needs `llm`, the LLM that picks; allowed: {', '.join(llms if isinstance(llms, dict) else ())}"
    if key[-1] == "path":
        text = "kind 'python' needs `path`, what decides, as `package.module:name`"
    return key, Problem(key[:-1], text, [(*key[:-1], "kind")])


def _unknown(key: KeyPath, data: dict[str, Any]) -> tuple[KeyPath, Problem]:
    name, sections = str(key[-1]), _classes(key[:-1], data)
    if not sections:  # below a key that is no text: that one has to be mended first
        return key, Problem(key, "unknown key", [])
    (section,) = sections
    owners = [kind_of(other) for other in _classes(key[:-1]) if name in keys_of(other)]
    if owners:
        text = f"a router of kind {kind_of(section)!r} has no such key; it belongs to {' or '.join(map(repr, owners))}"
        return key, Problem(key, text, [(*key[:-1], "kind")])
    if hint := MOVED.get(pattern_of(key)):
        return key, Problem(key, hint, [])
    near = nearest(name, keys_of(section))
    if len(key) == 1 and near.startswith("; allowed") and isinstance(data.get(name), dict | list):
        near += "; what is only merged elsewhere stands under a key that begins with `x-`"
    return key, Problem(key, f"unknown key{near}", [])


def _untagged(loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Leave out the kinds of routers, which pydantic puts behind the key whose class depends on them."""
    loc = (*loc[:1], *loc[2:]) if loc[:1] == ("router",) else loc
    return (*loc[:3], *loc[4:]) if loc[:2] == ("router", "members") else loc


def _real_key(loc: tuple[str | int, ...], data: Any) -> KeyPath:
    """Leave out the names of types, which pydantic adds to a location; the user's own keys are those in `data`."""
    key: list[str | int] = []
    for part in loc:
        if isinstance(data, dict | list) and (part in data if isinstance(data, dict) else isinstance(part, int)):
            data = data[part]  # type: ignore[index] # checked above
            key.append(part)
    return tuple(key)


def _above(keys: Iterable[KeyPath]) -> set[KeyPath]:
    return {key[:length] for key in keys for length in range(len(key))}


def _classes(key: KeyPath, data: Any = None) -> list[type[BaseModel]]:
    """Return the classes of which the section at `key` may be; with `data`, the one of which it is."""
    found: list[Any] = [Config]
    for part in key:
        found = list(dict.fromkeys(inner for annotation in found for inner in _inside(annotation, part)))
    classes = [item for item in found if isinstance(item, type) and issubclass(item, BaseModel)]
    if data is None or len(classes) < 2:
        return classes
    return [item for item in classes if kind_of(item) == value_at(data, (*key, "kind"))]


def _inside(annotation: Any, part: str | int) -> Iterator[Any]:
    if get_origin(annotation) is dict or (get_origin(annotation) is list and not isinstance(part, str)):
        return _alternatives(get_args(annotation)[-1])
    is_section = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    field = keys_of(annotation).get(str(part)) if is_section else None
    return _alternatives(field.annotation) if field else iter(())


def _alternatives(annotation: Any) -> Iterator[Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _alternatives(arguments[0])
    elif origin in (Union, types.UnionType):
        for argument in arguments:
            yield from _alternatives(argument)
    else:
        yield annotation


def _likely_kind(key: KeyPath, section: dict[str, Any]) -> str:
    """Return the kind of router that has most of the keys that stand in `section`."""
    return kind_of(max(_classes(key), key=lambda found: len(keys_of(found).keys() & section.keys())))
