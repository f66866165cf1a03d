"""The response format that a caller asks for: whether a text is in it, and what a text in it says.

A schema comes from a caller whom nobody has to trust. Nothing that it refers to is fetched, its regular expressions
run in linear time, and the steps of checking are counted.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

MAX_STEPS = 50_000
"""Keywords of a schema that are applied for one `Format`, in tenths of a second; the rest is not checked."""
MAX_NODES = 10_000
"""Values in a schema; a larger one is not checked."""
OPEN_TEXT = 80
"""Characters; a longer string in an answer is prose, on which no two agree."""
LONGEST_FINAL = 200
"""Characters; a longer final answer is told by its digest."""

PATTERNS_KEPT = 16

_THOUGHT = frozenset(
    (
        *("analysis", "chainofthought", "cot", "explanation", "explanations", "justification", "rationale", "reason"),
        *("reasoning", "reasoningsteps", "scratchpad", "steps", "thinking", "thought", "thoughts", "work", "working"),
    )
)
"""Names of what an answer says about how it was found, which is not compared."""


class Format:
    """A response format for JSON.

    Attributes:
        is_held: An answer has to be in it. A schema that is not `strict` is a wish, as it is for OpenAI.
    """

    def __init__(self, response_format: Mapping[str, Any]) -> None:
        """Read what `is_json` accepts."""
        found = response_format.get("json_schema")
        schema = found if isinstance(found, dict) else {}
        self._is_object = response_format["type"] == "json_object"
        self._schema = schema.get("schema") if schema.get("strict") is True else None
        self.is_held = self._is_object or schema.get("strict") is True
        self._left = MAX_STEPS
        self._nodes = 0

    @property
    def starts(self) -> str:
        """The characters with which a text in it may start."""
        is_object = self._is_object or (isinstance(self._schema, dict) and self._schema.get("type") == "object")
        return "{" if is_object else '{["-0123456789tfn'

    def read(self, text: str) -> tuple[str, str | None]:
        """Return a text without the fence that may stand around it, and what keeps it from being in the format."""
        bare = unfenced(text)
        try:
            value = _parsed(bare)
        except (ValueError, RecursionError):
            return text, "it is not JSON"
        if self._is_object and not isinstance(value, dict):
            return text, "it is no JSON object"
        return bare, self._mismatch(value)

    def _mismatch(self, value: Any) -> str | None:
        if self._validator is None or self._left <= 0:
            return None
        count = _Count(self._left, 1 + self._nodes // 4)
        counting = _COUNT.set(count)
        try:
            error = next(self._validator.iter_errors(value), None)
        except Exception:  # noqa: BLE001 - a broken schema, a reference to nowhere, too many steps: not checked
            return None
        finally:
            self._left = count.left
            _COUNT.reset(counting)
        place = "/".join(map(str, error.absolute_schema_path))[:100] if error else ""
        return f"it does not match the schema ({place})" if error else None

    @cached_property
    def _validator(self) -> Validator | None:
        """None if there is nothing to check, or it cannot be checked: an answer then has to be JSON and no more."""
        if not isinstance(self._schema, dict):
            return None
        try:
            schema, self._nodes = _checkable(self._schema)
        except (ValueError, RecursionError):
            return None
        return _validator(schema, str(self._schema.get("$schema", "")))


def format_of(response_format: Mapping[str, Any] | None) -> Format | None:
    """Make a `Format`; None if JSON is not asked for."""
    if response_format and response_format.get("type") in ("json_object", "json_schema"):
        return Format(response_format)
    return None


def unfenced(text: str) -> str:
    """Take away white space and a Markdown fence around all of a text."""
    bare = text.strip().removeprefix("\ufeff")
    if len(bare) < 6 or not (bare.startswith("```") and bare.endswith("```")):
        return bare
    inner = bare[3:-3].strip()
    return inner[4:].lstrip() if inner[:4].lower() == "json" else inner


def value_of(text: str) -> str | None:
    """Bring an answer in JSON into one form, for comparing.

    Keys are sorted, equal numbers are written alike, and what the answer says about how it was found is left out.

    Returns:
        The JSON, or its digest where that is shorter; None if the answer holds open text, or says nothing.

    Raises:
        ValueError: It is not JSON.
    """
    try:
        value = _comparable(_parsed(unfenced(text)))
        found = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except _OpenText:
        return None
    if value in ({}, [], "", None):
        return None
    digest = hashlib.sha256(found.encode("utf-8", "surrogatepass")).hexdigest()
    return found if len(found) <= LONGEST_FINAL else f"sha256:{digest}"


class _OpenText(Exception):
    pass


class _TooMuch(Exception):
    pass


def _parsed(text: str) -> Any:
    return json.loads(text, parse_constant=_refused)


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _comparable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _comparable(item) for key, item in value.items() if not _is_thought(key)}
    if isinstance(value, list):
        return [_comparable(item) for item in value]
    if isinstance(value, str):
        if len(value) > OPEN_TEXT:
            raise _OpenText
        return " ".join(value.split())
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _is_thought(key: str) -> bool:
    return re.sub(r"[^a-z]", "", key.lower()) in _THOUGHT


def _checkable(schema: Any) -> tuple[Any, int]:
    """Copy a schema without the `$schema` of its parts, which would choose a validator that counts nothing.

    Returns:
        The schema, and how many values are in it.

    Raises:
        ValueError: It is too large, or has regular expressions for names.
    """
    nodes = 0

    def copied(value: Any) -> Any:
        nonlocal nodes
        nodes += 1
        if nodes > MAX_NODES:
            raise ValueError("it is too large")
        if isinstance(value, list):
            return [copied(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "patternProperties" in value:
            raise ValueError("names are not matched")
        return {key: copied(item) for key, item in value.items() if key != "$schema" or not isinstance(item, str)}

    return copied(schema), nodes


@dataclass(slots=True)
class _Count:
    left: int
    of_reference: int

    def take(self, steps: int) -> None:
        self.left -= steps
        if self.left <= 0:
            raise _TooMuch


_COUNT: ContextVar[_Count] = ContextVar("count")


def _validator(schema: dict[str, Any], draft: str) -> Validator:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for
    from jsonschema_specifications import REGISTRY  # the drafts themselves; it fetches nothing

    kind = validator_for({"$schema": draft}, default=Draft202012Validator)
    found: Validator = _counted(kind)(schema, registry=REGISTRY)
    return found


@cache
def _counted(kind: Any) -> Any:
    from jsonschema.validators import extend

    keywords = {name: _counting(name, applied) for name, applied in kind.VALIDATORS.items()}
    return extend(kind, {**keywords, "pattern": _counting("pattern", _matched)})


def _counting(name: str, applied: Any) -> Any:
    def keyword(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        count = _COUNT.get()
        count.take(_steps(name, value, instance, count.of_reference))
        return applied(validator, value, instance, schema)

    return keyword


def _steps(name: str, value: Any, instance: Any, of_reference: int) -> int:
    if name in ("$ref", "$dynamicRef", "$recursiveRef"):
        return of_reference  # it may search the whole schema
    if name == "enum" and isinstance(value, list):
        return 1 + len(value) // 10
    if name == "uniqueItems" and isinstance(instance, list):
        return 1 + len(instance) ** 2 // 4
    return 1


def _matched(validator: Any, expression: str, instance: Any, schema: Any) -> Iterator[ValidationError]:  # noqa: ARG001
    from jsonschema import ValidationError

    if isinstance(instance, str) and (pattern := _pattern(expression)) and not pattern.isinstance_python(instance):
        yield ValidationError("it does not match")


@lru_cache(PATTERNS_KEPT)
def _pattern(expression: str) -> Any:
    """Compile with the engine of pydantic, which takes linear time; None for what that does not know."""
    from pydantic_core import SchemaError, SchemaValidator, core_schema

    try:
        return SchemaValidator(core_schema.str_schema(pattern=expression))
    except SchemaError:
        return None
