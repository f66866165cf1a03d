"""The file that is written: what the user's own says of LLMs, in the user's words, and one mixture."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import yaml

from mollm.config.places import parse_yaml
from mollm.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

RECORDED = (
    "The LLMs below are recorded answers. To be served, each needs the `model` that it stands for, such as "
    "`openai/gpt-4o`, and what that takes, such as `api_key`."
)
TUNE_AGAIN = (
    "The calibration is of the recorded ones, and is refused for others: tune again with those that are served."
)
KEPT = ("version", "llms", "limits", "privacy")
"""Sections of the user's file that a file with one mixture needs; what begins with `x-` is merged into them."""
WIDTH = 98
"""Columns of a comment."""


def fresh(text: str, name: str, section: Mapping[str, Any], comments: Sequence[str]) -> str:
    """Write a file with one mixture and those LLMs of `text` that it asks.

    Args:
        text: The user's file.
        name: Of the mixture.
        section: What it is.
        comments: Lines that stand above.
    """
    data = parse_yaml(text.encode(), "the configuration").data
    kept = {key: value for key, value in data.items() if key in KEPT}
    asked = {*(entry if isinstance(entry, str) else entry["llm"] for entry in section["workers"])}
    asked |= {section.get("aggregator", {}).get("llm")}
    kept["llms"] = {llm: settings for llm, settings in data["llms"].items() if llm in asked}
    wanted = {**kept, "mixtures": {name: section}}

    def verbatim() -> str:
        blocks = _blocks(_only(text, asked))
        parts = [block for key, block in blocks.items() if key in KEPT or key.startswith("x-")]
        return "\n\n".join([*parts, _dumped({"mixtures": {name: section}})])

    return _headed(comments, _faithful(verbatim, wanted))


def recorded(models: Mapping[str, str]) -> str:
    """A file of LLMs for who has none of their own: recorded ones, by name."""
    return _dumped({"llms": {name: {"model": model} for name, model in models.items()}})


def into(text: str, name: str, section: Mapping[str, Any], comments: Sequence[str]) -> str:
    """Write the file `text` with one mixture put in, in place of the one of that name if there is one.

    What the file says of that mixture for people and routers (`description`, `examples`, `arms`) stays. Where it was
    enough so far that there was one mixture, that one is the fallback.
    """
    data = parse_yaml(text.encode(), "the configuration").data
    before = data["mixtures"].get(name) or {}
    stays = {key: before[key] for key in ("description", "examples", "arms", "on_tools", "tools_llm") if key in before}
    section = {**section, **stays}
    mixtures = {**data["mixtures"], name: section}
    wanted = {**data, "mixtures": mixtures}
    router = data.get("router") or {}
    lacks = len(mixtures) > 1 and "general" not in mixtures and "fallback" not in router
    if lacks:
        wanted["router"] = {**router, "fallback": next(iter(data["mixtures"]))}

    def verbatim() -> str:
        added = "\n" + _dumped({"router": wanted["router"]}) if lacks and not router else ""
        return _put_in(text, name, section) + added

    return _headed(comments, _faithful(verbatim, wanted))


def _faithful(verbatim: Callable[[], str], wanted: Mapping[str, Any]) -> str:
    """The user's own lines, comments and all, if together they say what is wanted; else that alone."""
    try:
        text = verbatim()
        found = parse_yaml(text.encode(), "").data
        if {key: value for key, value in found.items() if not key.startswith("x-")} == {
            key: value for key, value in wanted.items() if not key.startswith("x-")
        }:
            return text
    except (ConfigError, ValueError, yaml.YAMLError):
        pass  # anchors that stand elsewhere, another style: what was read is written instead
    return _dumped(wanted)


def _mapping(node: yaml.Node | None) -> yaml.MappingNode:
    if not isinstance(node, yaml.MappingNode) or node.flow_style:
        raise ValueError("this is no mapping in block style")
    return node


def _blocks(text: str) -> dict[str, str]:
    """The lines of each section at the top of a file, without what stands between them."""
    root = _mapping(yaml.compose(text, yaml.SafeLoader))
    lines = text.splitlines(keepends=False)
    starts = [(key.value, key.start_mark.line) for key, _ in root.value]
    ends = [start for _, start in starts[1:]] + [len(lines)]
    return {key: _trimmed(lines[start:end]) for (key, start), end in zip(starts, ends, strict=True)}


def _only(text: str, llms: Collection[str | None]) -> str:
    """The file without the other LLMs, and without the comments above them."""
    root = _mapping(yaml.compose(text, yaml.SafeLoader))
    (key, listed) = next((key, value) for key, value in root.value if key.value == "llms")
    lines = text.splitlines(keepends=False)
    kept, above = lines[: key.start_mark.line + 1], key.start_mark.line + 1
    for name, (start, end) in _spans(lines, _mapping(listed)).items():
        last = start + len(_trimmed(lines[start:end]).splitlines())
        kept += lines[above:last] if name in llms else []
        above = last
    return "\n".join([*kept, *lines[above:]])


def _spans(lines: Sequence[str], mapping: yaml.MappingNode) -> dict[str, tuple[int, int]]:
    """The first line of each entry of a section, and the one after its last."""
    starts = [(key.value, key.start_mark.line) for key, _ in mapping.value]
    after = [start for _, start in starts[1:]] + [_end(lines, starts[-1][1], mapping.start_mark.column)]
    return {key: (start, end) for (key, start), end in zip(starts, after, strict=True)}


def _put_in(text: str, name: str, section: Mapping[str, Any]) -> str:
    root = _mapping(yaml.compose(text, yaml.SafeLoader))
    mixtures = _mapping(next(value for key, value in root.value if key.value == "mixtures"))
    lines = text.splitlines(keepends=False)
    indent = mixtures.start_mark.column
    spans = _spans(lines, mixtures)
    after = max(end for _, end in spans.values())
    start, end = spans.get(name, (after, after))
    block = textwrap.indent(_dumped({name: section}).rstrip("\n"), " " * indent).splitlines()
    rest = lines[start:end]
    between = rest[len(_trimmed(rest).splitlines()) :]
    return "\n".join([*lines[:start], *block, *between, *lines[end:]]) + "\n"


def _end(lines: Sequence[str], start: int, indent: int) -> int:
    """The number of the line after the block that begins at `start`."""
    last = start
    for number in range(start + 1, len(lines)):
        line = lines[number]
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if len(line) - len(line.lstrip(" ")) < max(1, indent):
            break
        last = number
    return last + 1


def _trimmed(lines: Sequence[str]) -> str:
    """The lines without blank ones and comments at their end, which belong to what follows."""
    kept = list(lines)
    while kept and (not kept[-1].strip() or kept[-1].lstrip().startswith("#")):
        kept.pop()
    return "\n".join(kept)


def _dumped(data: Mapping[str, Any]) -> str:
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=False, width=100)
    return text


class _Dumper(yaml.SafeDumper):
    """Writes values again wherever they stand, in place of anchors."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _headed(comments: Sequence[str], text: str) -> str:
    return "\n".join([*(line for comment in comments for line in commented(comment)), "", text.strip("\n"), ""])


def commented(text: str, width: int = WIDTH) -> list[str]:
    """Lines of a comment; no character of `text` ends one early. What is indented stays on one, to be copied."""
    safe = "".join(c if c.isprintable() else " " for c in text)
    if text.startswith("  "):
        return [f"# {safe}".rstrip()]
    wrapped = textwrap.wrap(safe, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    return [f"# {line}".rstrip() for line in wrapped or [""]]
