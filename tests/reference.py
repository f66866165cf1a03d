"""What is written from the classes in `mollm.config`: the tables of a page and the JSON Schema for editors.

`python -m tests.reference` writes both again, and what `tests/docstrings.py` writes from docstrings.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from mollm.config.config import Config
from mollm.config.routers import MemberConfig, RouterConfig
from tests.docstrings import ARCHITECTURE, REFERENCE, architecture_text, reference_text

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "configuration.md"
SCHEMA = ROOT / "mixtures" / "schema.json"

SECTIONS = {
    "The file": "Config",
    "`llms.NAME`": "LLMConfig",
    "`llms.NAME.timeout`": "TimeoutConfig",
    "`llms.NAME.price`": "PriceConfig",
    "`llms.NAME.pace`": "PaceConfig",
    "`router`": "RouterConfig",
    "`router.members[]`": "MemberConfig",
    "`embeddings`": "EmbeddingsConfig",
    "`mixtures.NAME`": "MixtureConfig",
    "`mixtures.NAME.workers[]`": "WorkerConfig",
    "`mixtures.NAME.workers`, chosen": "ChosenWorkers",
    "`mixtures.NAME.workers.choose`": "ChooseConfig",
    "`mixtures.NAME.aggregator`": "AggregatorConfig",
    "`mixtures.NAME.aggregator.analysis`": "AnalysisConfig",
    "`mixtures.NAME.review`": "ReviewConfig",
    "`mixtures.NAME.aggregator.score`": "ScoreConfig",
    "`limits`": "LimitsConfig",
    "`privacy`": "PrivacyConfig",
    "`feedback`": "FeedbackConfig",
    "`server`": "ServerConfig",
    "`server.api_keys[]`": "KeyConfig",
    "`server.api_keys[].limits`": "KeyLimitsConfig",
}
"""Heading of the page to the model whose keys stand under it."""
UNIONS = {
    "RouterConfig": [router.__name__ for router in get_args(RouterConfig)],
    "MemberConfig": [member.__name__ for member in get_args(get_args(MemberConfig)[0])],
}
"""What is one of several models, by its `kind`."""

HEAD = "| key | type | default | meaning |\n|---|---|---|---|\n"
HEAD_OF_UNION = "| key | of kind | type | default | meaning |\n|---|---|---|---|---|\n"
UNBOUNDED = 10**9
"""Larger bounds only keep numbers printable; nobody needs to read them."""
NAMES = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true` or `false`"}


def schema_text() -> str:
    """The JSON Schema as it is shipped."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **_with_variables(Config.model_json_schema())}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


VARIABLE = {"pattern": r"\$\{", "type": "string"}
"""What may stand in place of every number, every truth value and every text of a given form."""


def _with_variables(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_with_variables(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if not ({"enum", "const", "pattern"} & schema.keys() or schema.get("type") in ("integer", "number", "boolean")):
        return {name: _with_variables(inner) for name, inner in schema.items()}
    told = {name: schema[name] for name in ("title", "description", "default") if name in schema}
    form = {name: inner for name, inner in schema.items() if name not in told}
    return {**told, "anyOf": [form, VARIABLE]}


def page_text(page: str) -> str:
    """The page with its tables as they should be."""
    return re.sub(r"^(#+ (.+)\n(?:(?!\|)[^#\n].*\n|\n)*)((?:\|.*\n)+)", _with_table, page, flags=re.MULTILINE)


def table(model: str) -> str:
    """The table of a model's keys: required ones first, those of LLMs and workers alike last."""
    if model in UNIONS:
        return _union_table(UNIONS[model])
    found = Config.model_json_schema()
    fields = found if model == "Config" else found["$defs"][model]
    required = fields.get("required", [])
    shared = found["$defs"]["LLMConfig"]["properties"].keys() & found["$defs"]["WorkerConfig"]["properties"].keys()
    names = sorted(fields["properties"], key=lambda name: (name not in required, name in shared))
    return HEAD + "".join(_row(name, fields["properties"][name], name in required) for name in names)


def _union_table(models: list[str]) -> str:
    """One table for all of them: a key stands in it once, with the kinds that have it."""
    found = [Config.model_json_schema()["$defs"][model] for model in models]
    kinds = [section["properties"]["kind"]["const"] for section in found]
    rows = ""
    for name in dict.fromkeys(name for section in found for name in section["properties"]):
        having = [(kind, section) for kind, section in zip(kinds, found, strict=True) if name in section["properties"]]
        section = having[0][1]
        field = section["properties"][name]
        if name == "kind":
            field = {**field, "enum": kinds, "default": None}
        of = ", ".join(f"`{kind}`" for kind, _ in having) if len(having) < len(kinds) else "every"
        rows += _row(name, field, name in section.get("required", [])).replace(" | ", f" | {of} | ", 1)
    return HEAD_OF_UNION + rows


def _with_table(match: re.Match[str]) -> str:
    before, heading, rows = match.groups()
    return f"{before}{table(SECTIONS[heading]) if heading in SECTIONS else rows}"


def _row(name: str, field: dict[str, Any], is_required: bool) -> str:
    default = "required" if is_required else _default(field["default"]) if "default" in field else "as below"
    meaning = field.get("description") or _of(field["$ref"])["description"]  # left out where it is its section's
    kind = " or ".join(dict.fromkeys(_kinds(field)))
    return f"| `{name}` | {kind} | {default} | {meaning} |\n"


def _of(reference: str) -> dict[str, Any]:
    found: dict[str, Any] = Config.model_json_schema()["$defs"][reference.rpartition("/")[2]]
    return found


def _default(value: Any) -> str:
    if value is None:
        return "unset"
    if isinstance(value, dict):
        return "as below" if value else "`{}`"
    return f"`{value:g}`" if type(value) is float else f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _kinds(field: dict[str, Any]) -> Iterator[str]:
    for choice in field.get("anyOf", field.get("oneOf", [field])):
        if "$ref" in choice:
            yield f"keys [below](#{_anchor(choice['$ref'].rpartition('/')[2])})"
        elif "const" in choice or "enum" in choice:
            values = choice.get("enum", [choice.get("const")])
            yield ", ".join(f"`{value}`" for value in values)
        elif choice["type"] == "array":
            yield f"list of {' or '.join(dict.fromkeys(_kinds(choice['items'])))}"
        elif choice["type"] == "object":
            yield (
                f"names to {' or '.join(_kinds(inner))}"
                if isinstance(inner := choice["additionalProperties"], dict)
                else "keys of its own"
            )
        elif choice["type"] != "null":
            yield NAMES[choice["type"]] + _bounds(choice)


def _bounds(choice: dict[str, Any]) -> str:
    least, most = choice.get("minimum"), choice.get("maximum", UNBOUNDED)
    above = f", above {choice['exclusiveMinimum']:g}" if "exclusiveMinimum" in choice else ""
    above += f" and below {choice['exclusiveMaximum']:g}" if "exclusiveMaximum" in choice else ""
    if least is not None and abs(least) <= UNBOUNDED:
        return f", {least:g} to {most:g}" if most < UNBOUNDED else f", at least {least:g}"
    return f"{above}, up to {most:g}" if most < UNBOUNDED else above


def _anchor(model: str) -> str:
    heading = next(heading for heading, name in SECTIONS.items() if model in (name, *UNIONS.get(name, ())))
    return re.sub(r"[^a-z0-9_ -]", "", heading.lower()).replace(" ", "-")


if __name__ == "__main__":
    SCHEMA.write_text(schema_text(), "utf-8")
    PAGE.write_text(page_text(PAGE.read_text("utf-8")), "utf-8")
    REFERENCE.write_text(reference_text(), "utf-8")
    ARCHITECTURE.write_text(architecture_text(ARCHITECTURE.read_text("utf-8")), "utf-8")
