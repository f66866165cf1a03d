"""A YAML file as plain data, with the line on which every key stands.

`yaml.safe_load` alone has no bounds: a few hundred bytes of nested aliases unfold to gigabytes, and a key
written twice silently wins. Here size, depth and aliases are bounded and a repeated key is an error. Keys are
text, whatever they look like: a mixture may be named `no`, and `50256` is a key as JSON would write it.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from mollm.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

KeyPath: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Places:
    """Where the keys of a configuration stand."""

    path: Path | None = None
    """None for a configuration that did not come from a file."""
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def name(self, *key: str | int) -> str:
        """Name a key for a message: `file:line: key`, or the key's path alone."""
        dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).lstrip(".")
        if self.path is None:
            return dotted or "configuration"
        line = next((self.lines[key[:n]] for n in range(len(key), 0, -1) if key[:n] in self.lines), None)
        return f"{self.path}:{line}: {dotted}" if line else f"{self.path}: {dotted}"


MERGE = "tag:yaml.org,2002:merge"
MAX_BYTES = 1024 * 1024
MAX_DEPTH = 20
MAX_ALIASES = 100
MAX_NODES = 50_000
"""Counted with aliases unfolded, so a bomb is measured by what it would become."""


def read_yaml(path: Path) -> tuple[Any, Places]:
    """Read `path`.

    Returns:
        The data, and the places of its keys.

    Raises:
        ConfigError: The file is missing, too large, not YAML, too deep, unfolds to too much, or repeats a key.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES // 1024} KiB, the most a configuration may be")
    data, lines = parse_yaml(raw, str(path))
    return data, Places(path, lines)


def parse_yaml(raw: bytes, name: str) -> tuple[Any, dict[KeyPath, int]]:
    """Parse `raw`; `name` is how messages call it. See `read_yaml`."""
    # `from None` throughout: the library's own errors quote the file, and with it a key that stands there.
    text = _decoded(raw, name)
    try:
        _check_events(text, name)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            lines: dict[KeyPath, int] = {}
            if node is None:
                return None, lines
            _walk(node, (), lines, name)
            return loader.construct_document(node), lines
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}" if mark else name
        raise ConfigError(f"{place}: not valid YAML: {error.problem or error.context}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{name}:{line}: not valid YAML: the control character #x{error.character:02x}") from None


def _decoded(raw: bytes, name: str) -> str:
    encoding = "utf-16" if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name}:{line}: not UTF-8 text") from None


class _Loader(yaml.SafeLoader):
    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, ValueError):
            problem = f"this is no {node.tag.rsplit(':', 1)[-1]}, though it looks like one; put text in quotes"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None


# A lone `=` has a type of its own in YAML 1.1, which PyYAML finds and then cannot read.
_Loader.add_constructor("tag:yaml.org,2002:value", lambda _, node: str(node.value))


def _check_events(text: str, name: str) -> None:
    # Events come flat, before any tree is built, so depth is checked before recursion can overflow.
    depth = aliases = nodes = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        depth += isinstance(event, yaml.CollectionStartEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        nodes += isinstance(event, yaml.NodeEvent)
        counts = ((depth, MAX_DEPTH, "levels"), (aliases, MAX_ALIASES, "aliases"), (nodes, 2 * MAX_NODES, "values"))
        for count, most, what in counts:
            if count > most:
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise ConfigError(f"{name}:{line}: more than {most:,} {what}, the most a file may have")


def _walk(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], name: str) -> None:
    place = f"{name}:{node.start_mark.line + 1}"
    lines.setdefault(path, node.start_mark.line + 1)
    if len(path) > MAX_DEPTH:
        raise ConfigError(f"{place}: unfolds to more than {MAX_DEPTH} levels")
    if len(lines) > MAX_NODES:
        raise ConfigError(f"{place}: unfolds to more than {MAX_NODES:,} values")
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for index, (key, value) in enumerate(node.value):
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError(f"{name}:{line}: a key must be a plain word")
            if key.value in seen:
                raise ConfigError(f"{name}:{line}: key {key.value!r} stands here twice")
            seen.add(key.value)
            lines[(*path, key.value)] = line
            if key.tag != MERGE:
                word = yaml.ScalarNode("tag:yaml.org,2002:str", key.value, key.start_mark, key.end_mark)
                node.value[index] = (word, value)
            _walk(value, (*path, key.value), lines, name)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*path, index), lines, name)
