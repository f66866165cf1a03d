"""A YAML file as plain data, with the line on which every key stands.

`yaml.safe_load` alone has no bounds: a few hundred bytes of nested aliases unfold to gigabytes, and a key
written twice silently wins. Here size, depth and aliases are bounded and a repeated key is an error.
"""

from __future__ import annotations

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
            return dotted
        line = next((self.lines[key[:n]] for n in range(len(key), 0, -1) if key[:n] in self.lines), None)
        return f"{self.path}:{line}: {dotted}" if line else f"{self.path}: {dotted}"


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
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES // 1024} KiB, the most a configuration may be")
    data, lines = parse_yaml(raw, str(path))
    return data, Places(path, lines)


def parse_yaml(raw: bytes, name: str) -> tuple[Any, dict[KeyPath, int]]:
    """Parse `raw`; `name` is how messages call it. See `read_yaml`."""
    try:
        _check_events(raw, name)
        loader = yaml.SafeLoader(raw)
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
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{name}{line}: not valid YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"{name}: not valid YAML: {str(error).splitlines()[0]}") from error


def _check_events(raw: bytes, name: str) -> None:
    # Events come flat, before any tree is built, so depth is checked before recursion can overflow.
    depth = aliases = 0
    for event in yaml.parse(raw, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
        if depth > MAX_DEPTH or aliases > MAX_ALIASES:
            limit = f"{MAX_DEPTH} levels" if depth > MAX_DEPTH else f"{MAX_ALIASES} aliases"
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise ConfigError(f"{name}:{line}: more than {limit}, the most a file may have")


def _walk(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], name: str) -> None:
    lines.setdefault(path, node.start_mark.line + 1)
    if len(lines) > MAX_NODES or len(path) > MAX_DEPTH:
        raise ConfigError(f"{name}:{node.start_mark.line + 1}: unfolds to more than {MAX_NODES:,} values")
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError(f"{name}:{key.start_mark.line + 1}: a key must be a plain word")
            if key.value in seen:
                raise ConfigError(f"{name}:{key.start_mark.line + 1}: key {key.value!r} stands here twice")
            seen.add(key.value)
            lines[(*path, key.value)] = key.start_mark.line + 1
            _walk(value, (*path, key.value), lines, name)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*path, index), lines, name)
