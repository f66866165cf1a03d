"""Fill a JSON schema with what a text says: how the scripted LLM makes arguments of tools and structured answers.

Numbers go to numbers in the order in which the text names them; quoted words and then names go to strings; what the
text says nothing about gets a phrase made of the property's name. The value is valid under the schema, as far as
tools and structured answers use schemas: references, choices, constants, ranges, lengths, a few formats.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

DEEPEST: Final = 6
"""Below so many objects nothing optional is filled, so that a schema that contains itself comes to an end."""

_QUOTED = re.compile(r"(?<!\w)(?:'([^']+)'|\"([^\"]+)\"|“([^”]+)”|`([^`]+)`)(?!\w)")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.]*\w)")
_NAME = re.compile(r"\b[A-Z][\w'-]*(?:\s+[A-Z][\w'-]*)*(?:,\s+[A-Z]{2}\b)?")
_PLACE = re.compile(r"\b(?:in|at|near|from|to)\s+(?:the\s+)?([\w-]+(?:\s+[\w-]+)?)")
_TOPIC = re.compile(r"\b(?:about|of|for|on)\s+(.+?)(?:[.,;?!]|$)")
_FORMATS: Final = {
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "date-time": "2026-01-31T12:00:00Z",
    "email": "someone@example.org",
    "uri": "https://example.org/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def fill(schema: Schema, text: str) -> Any:
    """Make a value that fits `schema`, from what `text` says."""
    return _Filler(schema, text).value(schema, "value", 0)


def numbers(text: str) -> list[float]:
    """Find the numbers that stand alone in a text, in order."""
    return [float(found) for found in _NUMBER.findall(text)]


def resolve(schema: Schema, root: Schema) -> Schema:
    """Follow a reference inside of `root`, and take the parts of an `allOf` as one."""
    reference = schema.get("$ref")
    if isinstance(reference, str):
        found: Any = root
        for key in reference.removeprefix("#").strip("/").split("/"):
            found = found.get(key, {}) if key else found
        schema = {**found, **{key: value for key, value in schema.items() if key != "$ref"}}
    for part in schema.get("allOf", ()):
        schema = {**resolve(part, root), **{key: value for key, value in schema.items() if key != "allOf"}}
    return schema


def words_of(name: str) -> list[str]:
    """Split `get_weather`, `getWeather` or a sentence into lower-case words."""
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    return re.findall(r"[^\W_]+", spaced.lower())


class _Filler:
    def __init__(self, root: Schema, text: str) -> None:
        self._root, self._text = root, text
        self._numbers = numbers(text)
        self._strings = _quotes(text) or _names(text)

    def value(self, schema: Schema, name: str, depth: int) -> Any:
        schema = resolve(schema, self._root)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._choice(list(schema["enum"]))
        options = schema.get("anyOf") or schema.get("oneOf")
        if options:
            return self._option([resolve(option, self._root) for option in options], name, depth)
        kind = schema.get("type")
        if isinstance(kind, list):
            return self._option([{**schema, "type": one} for one in kind], name, depth)
        kind = kind or ("object" if "properties" in schema else "string")
        fillers: dict[str, Callable[[], Any]] = {
            "object": lambda: self._object(schema, depth),
            "array": lambda: self._array(schema, name, depth),
            "integer": lambda: int(self._number(schema, step=1)),
            "number": lambda: self._number(schema, step=0.5),
            "boolean": lambda: not self._denies(name),
            "null": lambda: None,
        }
        return fillers.get(kind, lambda: self._string(schema, name))()

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        required = set(schema.get("required", ()))
        said = set(words_of(self._text))
        return {
            name: self.value(part, name, depth + 1)
            for name, part in schema.get("properties", {}).items()
            if name in required or (depth < DEEPEST and said & set(words_of(name)) and not self._denies(name))
        }

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        item = resolve(schema.get("items") or {"type": "string"}, self._root)
        least = schema.get("minItems", 0 if depth >= DEEPEST else 1)
        count = {"string": len(self._strings), "number": len(self._numbers), "integer": len(self._numbers)}
        wanted = min(max(least, count.get(item.get("type", "string"), 1)), schema.get("maxItems", 8))
        return [self.value(item, name, depth + 1) for _ in range(wanted)]

    def _option(self, options: list[Schema], name: str, depth: int) -> Any:
        real = [option for option in options if option.get("type") != "null"]
        if not real or (len(real) < len(options) and (self._denies(name) or depth >= DEEPEST)):
            return None
        return self.value(real[0], name, depth)

    def _choice(self, choices: list[Any]) -> Any:
        said = self._text.lower()
        return next((choice for choice in choices if str(choice).lower() in said), choices[0])

    def _number(self, schema: Schema, *, step: float) -> float:
        lowest, highest = schema.get("minimum"), schema.get("maximum")
        if (above := schema.get("exclusiveMinimum")) is not None:
            lowest = above + step
        if (below := schema.get("exclusiveMaximum")) is not None:
            highest = below - step
        found = self._numbers.pop(0) if self._numbers else float(schema.get("default") or lowest or 1)
        found = found if lowest is None else max(found, lowest)
        return found if highest is None else min(found, highest)

    def _string(self, schema: Schema, name: str) -> str:
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        found = self._strings.pop(0) if self._strings else self._phrase(name)
        least = int(schema.get("minLength", 0))
        return (found + "." * (least - len(found)))[: schema.get("maxLength")]

    def _phrase(self, name: str) -> str:
        named = " ".join(words_of(name)) or "text"
        if {"location", "city", "place", "country"} & set(words_of(name)) and (place := _PLACE.search(self._text)):
            return place[1]
        topic = _TOPIC.search(self._text)
        return f"The {named} about {topic[1] if topic else self._text.strip() or 'nothing'}"

    def _denies(self, name: str) -> bool:
        denied = rf"\b(?:no|not|without)\s+(?:a\s+|any\s+)?{re.escape(name)}\b"
        return re.search(denied, self._text, re.IGNORECASE) is not None


def _quotes(text: str) -> list[str]:
    return [next(filter(None, groups)) for groups in _QUOTED.findall(text)]


def _names(text: str) -> list[str]:
    found = []
    for sentence in re.split(r"(?<=[.?!])\s+", text):
        for match in _NAME.finditer(sentence):
            # A sentence begins with a capital letter whatever its first word is.
            name = match[0] if match.start() else " ".join(match[0].split()[1:])
            if name and name != "I":
                found.append(name)
    return found
