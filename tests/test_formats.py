"""Response formats: what is in one, what two answers in one have in common, and what a hostile schema may cost."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm.formats import LONGEST_FINAL, MAX_NODES, OPEN_TEXT, Format, format_of, unfenced, value_of

N: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def strict(schema: Any) -> Format:
    """The format of a strict schema."""
    return Format({"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}})


@pytest.mark.parametrize(
    "text",
    ['{"n": 7}', ' \n{"n": 7}\n', '```json\n{"n": 7}\n```', '```\n{"n": 7}```', '```JSON {"n": 7}```', '\ufeff{"n":7}'],
)
def test_json_is_read_with_what_may_stand_around_it(text: str) -> None:
    """White space, a byte order mark, a fence around all of it."""
    bare, problem = strict({**N, "additionalProperties": False}).read(text)

    assert (json.loads(bare), problem) == ({"n": 7}, None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("The answer is 7.", "it is not JSON"),
        ("", "it is not JSON"),
        ('Here it is: {"n": 7}', "it is not JSON"),
        ('{"n": 7}}', "it is not JSON"),
        ('{"n": 7', "it is not JSON"),
        ('{"n": NaN}', "it is not JSON"),
        ('```json\n{"n": 7}\n```\nDone.', "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ('{"n": "7"}', "it does not match the schema (properties/n/type)"),
        ("{}", "it does not match the schema (required)"),
        ("7", "it does not match the schema (type)"),
    ],
)
def test_what_is_not_in_the_format_is_named_in_our_words(text: str, problem: str) -> None:
    """And the text is left as it was."""
    assert strict(N).read(text) == (text, problem)


def test_which_formats_an_answer_is_held_to() -> None:
    """JSON mode, and a schema that is strict; what is no format for JSON is not read."""
    schema = {"name": "x", "schema": N}

    assert Format({"type": "json_object"}).is_held
    assert Format({"type": "json_schema", "json_schema": {**schema, "strict": True}}).is_held
    assert not Format({"type": "json_schema", "json_schema": schema}).is_held
    assert not Format({"type": "json_schema", "json_schema": {**schema, "strict": None}}).is_held
    assert Format({"type": "json_object"}).read("[7]")[1] == "it is no JSON object"
    for other in (None, {}, {"type": "text"}, {"type": "grammar", "grammar": "x"}, {"type": 7}, {"type": ["x"]}):
        assert format_of(other) is None


@pytest.mark.parametrize("broken", [None, [], "x", {"schema": 7, "strict": True}, {"strict": True}])
def test_a_format_that_is_broken_is_read_as_far_as_it_goes(broken: Any) -> None:
    """Whether it is refused is the provider's business."""
    found = Format({"type": "json_schema", "json_schema": broken})

    assert found.read("7") == ("7", None)
    assert found.read("x")[1] == "it is not JSON"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "any"},
        {"required": True},
        {"properties": []},
        {"$ref": "#/nowhere"},
        {"$ref": "#"},
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$id": "http://127.0.0.1:9/", "$ref": "schema.json"},
        {"patternProperties": {"^(a+)+$": False}},
        {"pattern": "(?=lookahead)"},
        {"multipleOf": 0},
        {"enum": list(range(MAX_NODES))},
        {"not": [[[]]]},
    ],
    ids=lambda schema: json.dumps(schema)[:30],
)
def test_what_cannot_be_checked_is_not_checked(schema: Any) -> None:
    """A broken schema, one that refers to elsewhere, one that is too large: nothing is fetched, and no answer fails."""
    assert strict(schema).read('"aaa"') == ('"aaa"', None)


def doubling(depth: int) -> dict[str, Any]:
    """A small schema with two to the power of `depth` ways through it."""
    steps = {f"s{i}": {"anyOf": [{"$ref": f"#/$defs/s{i + 1}"}] * 2} for i in range(depth)}
    return {"$ref": "#/$defs/s0", "$defs": {**steps, f"s{depth}": {"type": "string"}}}


DRAFT = "https://json-schema.org/draft/2020-12/schema"
HOSTILE = {
    "ways": (doubling(60), "7"),
    "regular expression": ({"pattern": "^(a+)+$"}, json.dumps("a" * 40_000 + "b")),
    "regular expression in a part with a draft": (
        {"properties": {"x": {"$schema": DRAFT, "pattern": "^(a+)+$"}}},
        json.dumps({"x": "a" * 40 + "b"}),
    ),
    "regular expression in a root that is referred to": (
        {"$schema": DRAFT, "pattern": "^(a+)+$", "properties": {"x": {"$ref": "#"}}},
        json.dumps({"x": "a" * 40 + "b"}),
    ),
    "anchors": ({"allOf": [{"$ref": "#z"}] * 4000, "$defs": {"z": {"$anchor": "z", "type": "integer"}}}, "7"),
    "unique": ({"uniqueItems": True}, json.dumps([{"a": i} for i in range(5000)])),
    "enumeration": ({"items": {"enum": list(range(9000))}}, json.dumps([8999] * 20_000)),
    "spaces": (N, "```" + " " * 1_000_000),
    "fences": (N, "```" * 300_000),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_schema_or_answer_costs_little(case: str) -> None:
    """However it is made: steps are counted, and expressions take linear time."""
    schema, text = HOSTILE[case]
    form = strict(schema)
    begun = time.process_time()

    for _ in range(3):
        form.read(text)

    assert time.process_time() - begun < 3


def test_an_ordinary_pattern_is_checked() -> None:
    """Anywhere in the string, as JSON Schema has it."""
    form = strict({"properties": {"day": {"type": "string", "pattern": "-[0-9]{2}$"}}})

    assert form.read('{"day": "2026-11-27"}')[1] is None
    assert form.read('{"day": "27 November"}')[1] == "it does not match the schema (properties/day/pattern)"


def test_the_draft_that_a_schema_names_applies() -> None:
    """In draft 4 `exclusiveMaximum` is true or false."""
    form = strict({"$schema": "http://json-schema.org/draft-04/schema#", "maximum": 5, "exclusiveMaximum": True})

    assert form.read("5")[1] == "it does not match the schema (maximum)"
    assert form.read("4")[1] is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"n": 7, "m": 1}', '{"m":1,"n":7.0}'),
        ('{"n": 7}', '```json\n{"n": 7}\n```'),
        ('{"reasoning": "Three and four.", "n": 7}', '{"reasoning": "Count them.", "n": 7}'),
        ('{"chainOfThought": ["a"], "answer": "B"}', '{"chain_of_thought": [], "answer": " B "}'),
        ("7", "7.0"),
    ],
)
def test_answers_that_say_the_same_are_equal(one: str, other: str) -> None:
    """Whatever their order, their white space, and how they were found."""
    assert value_of(one) == value_of(other) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"n": 7}', '{"n": 8}'),
        ('{"n": 7}', '{"n": "7"}'),
        ('{"n": 7}', '{"m": 7}'),
        ('{"n": 1}', '{"n": true}'),
        ('{"answer": 7, "unit": "kg"}', '{"answer": 7, "unit": "g"}'),
        ("[1, 2]", "[2, 1]"),
        (json.dumps(list(range(200))), json.dumps([*range(199), 0])),
    ],
)
def test_answers_that_differ_are_told_apart(one: str, other: str) -> None:
    """In any field that is not a thought."""
    assert value_of(one) != value_of(other)


@pytest.mark.parametrize(
    "text", [json.dumps({"story": "x" * (OPEN_TEXT + 1)}), '{"reasoning": "x"}', "{}", "[]", "null", '""']
)
def test_open_text_and_nothing_have_no_value(text: str) -> None:
    """Nobody can agree on them."""
    assert value_of(text) is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(VALUES, st.sampled_from(["{}", " {}\n", "```json\n{}\n```", "```\n{}\n```"]))
def test_any_value_survives_its_frame(value: Any, frame: str) -> None:
    """It reads as what it is, and has the same value with and without a fence."""
    text = json.dumps(value)
    framed = frame.replace("{}", text, 1)

    assert json.loads(unfenced(framed)) == value
    assert value_of(framed) == value_of(text)
    assert len(value_of(text) or "") <= max(LONGEST_FINAL, len("sha256:") + 64)


@given(st.text(max_size=200), VALUES)
def test_reading_never_raises(text: str, schema: Any) -> None:
    """Whatever the text and the schema are."""
    strict(schema).read(text)
    Format({"type": "json_object"}).read(text)
    strict(schema).read("[1, {}]")
