"""A YAML file as plain data, with the line on which every key stands.

`yaml.safe_load` alone has no bounds: a few hundred bytes of nested aliases unfold to gigabytes, and a key
written twice silently wins. Here size, depth and aliases are bounded and a repeated key is an error. Keys are
text, whatever they look like: a mixture may be named `no`, and `50256` is a key as JSON would write it.

Of several mappings merged by `<<: [*a, *b]` the first wins, as YAML's merge type says; in PyYAML the last does.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import yaml

from mollm.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

KeyPath: TypeAlias = tuple[str | int, ...]
_Pair: TypeAlias = tuple[yaml.ScalarNode, yaml.Node]


@dataclass(frozen=True, slots=True)
class Places:
    """Where the keys of a configuration stand."""

    path: Path | None = None
    """None for a configuration that did not come from a file."""
    lines: dict[KeyPath, int] = field(default_factory=dict)
    words: dict[KeyPath, str] = field(default_factory=dict)
    """What was written where YAML reads no text: `no` for false, `1.0` for a number."""

    def name(self, *key: str | int) -> str:
        """Name a key for a message: `file:line: key`, or the key's path alone."""
        dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).lstrip(".")
        if self.path is None:
            return dotted or "configuration"
        line = next((self.lines[key[:n]] for n in range(len(key), 0, -1) if key[:n] in self.lines), None)
        return f"{self.path}:{line}: {dotted}" if line else f"{self.path}: {dotted}"


def pattern_of(key: KeyPath) -> KeyPath:
    """The key with `*` for each index and each name of an LLM or a mixture."""
    named = key[:1] in (("llms",), ("mixtures",))
    return tuple("*" if isinstance(part, int) or (named and index == 1) else part for index, part in enumerate(key))


def value_at(data: Any, key: KeyPath) -> Any:
    """Return the value at `key`; None where there is none any more."""
    for part in key:
        try:
            data = data[part]
        except (LookupError, TypeError):
            return None
    return data


MERGE = "tag:yaml.org,2002:merge"
NO_TEXT = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "null", "timestamp"))
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
    data, lines, words = parse_yaml(raw, str(path))
    return data, Places(path, lines, words)


class Parsed(NamedTuple):
    """A YAML text as plain data; see `Places` for the rest."""

    data: Any
    lines: dict[KeyPath, int]
    words: dict[KeyPath, str]


def parse_yaml(raw: bytes, name: str) -> Parsed:
    """Parse `raw`; `name` is how messages call it. See `read_yaml`."""
    # `from None` throughout: the library's own errors quote the file, and with it a key that stands there.
    text = _decoded(raw, name)
    try:
        _check_events(text, name)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return Parsed(None, {}, {})
            tree = _Tree(name)
            tree.walk(node, ())
            return Parsed(loader.construct_document(node), tree.lines, tree.words)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}" if mark else name
        said = error.problem or error.context
        if said == "second occurrence":
            said = "the anchor that begins here has a name that another has"
        raise ConfigError(f"{place}: not valid YAML: {said}") from None
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


class _Tree:
    """The nodes of a file: merges are carried out, keys become text, and it is noted where everything stands."""

    def __init__(self, name: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self.words: dict[KeyPath, str] = {}
        self._name = name
        self._merging: set[yaml.MappingNode] = set()

    def walk(self, node: yaml.Node, path: KeyPath) -> None:
        """Go through everything below `node`, which stands at `path`."""
        self.lines.setdefault(path, _line(node))
        if len(path) > MAX_DEPTH:
            raise self._error(node, f"unfolds to more than {MAX_DEPTH} levels")
        if len(self.lines) > MAX_NODES:
            raise self._error(node, f"unfolds to more than {MAX_NODES:,} values")
        if isinstance(node, yaml.MappingNode):
            self._merge(node)
            for key, value in node.value:
                self.lines[(*path, key.value)] = _line(key)
                self.walk(value, (*path, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.walk(item, (*path, index))
        elif isinstance(node, yaml.ScalarNode) and node.style is None and node.tag in NO_TEXT:
            self.words[path] = node.value

    def _merge(self, node: yaml.MappingNode) -> None:
        """Put the pairs that `<<` stands for in front of the mapping's own, which win; the first of several wins."""
        self._merging.add(node)
        own, merge = self._pairs(node)
        pairs: dict[str, _Pair] = {}
        for source in self._sources(*merge) if merge else []:
            for key, value in source.value:
                pairs.setdefault(key.value, (key, value))
        node.value = [*{**pairs, **own}.values()]
        self._merging.discard(node)

    def _pairs(self, node: yaml.MappingNode) -> tuple[dict[str, _Pair], _Pair | None]:
        """The mapping's own pairs, and `<<` with what is merged, if it stands there."""
        own: dict[str, _Pair] = {}
        merge: _Pair | None = None
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._error(key, "a key must be a plain word")
            is_merge = key.tag == MERGE
            if merge if is_merge else key.value in own:
                raise self._error(key, f"key {key.value!r} stands here twice")
            if is_merge:
                merge = (key, value)
            else:
                word = yaml.ScalarNode("tag:yaml.org,2002:str", key.value, key.start_mark, key.end_mark)
                own[key.value] = (word, value)
        return own, merge

    def _sources(self, key: yaml.Node, merged: yaml.Node) -> list[yaml.MappingNode]:
        """The mappings that `<<` names, their own merges carried out."""
        sources: list[yaml.MappingNode] = []
        for source in merged.value if isinstance(merged, yaml.SequenceNode) else [merged]:
            if not isinstance(source, yaml.MappingNode):
                raise self._error(key, "`<<` needs a mapping, or a list of mappings, whose keys are taken over")
            if source in self._merging:
                raise self._error(key, "this mapping is merged into itself")
            self._merge(source)
            sources.append(source)
        return sources

    def _error(self, node: yaml.Node, problem: str) -> ConfigError:
        return ConfigError(f"{self._name}:{_line(node)}: {problem}")


def _line(node: yaml.Node) -> int:
    line: int = node.start_mark.line
    return line + 1
