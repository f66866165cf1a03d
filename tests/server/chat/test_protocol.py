"""What clients send is taken or refused, and a refusal says which field is wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.config.forwarding import FORBIDDEN, FORWARDED, is_settable
from mollm.errors import BadField
from mollm.messages import ROLES
from mollm.options import COUNTED, Options
from mollm.server.body import DATA, DEEPEST, LARGE, MOST_NAMES, MOST_PARTS, MOST_VALUES
from mollm.server.chat.protocol import ChatRequest, read_chat
from mollm.server.predict import MOST_QUESTIONS, read_predict
from tests.fuzz import cases
from tests.server.served import HI, config_of, served
from tests.upstream import Upstream, answer

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = st.text(st.characters(), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
WORDS = st.text(st.characters(codec="utf-8"), max_size=8)
PART = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, WORDS),
    st.just({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}),
    st.builds(lambda text: {"type": "video", "video": text}, WORDS),
)
CONTENT = WORDS | st.lists(PART, max_size=2)
MESSAGE = st.one_of(
    st.builds(lambda role, content: {"role": role, "content": content}, st.sampled_from(ROLES[:4]), CONTENT),
    st.builds(lambda content: {"role": "tool", "tool_call_id": "call_1", "content": content}, CONTENT),
    st.builds(
        lambda name, words: {"role": "assistant", "tool_calls": [{"function": {"name": name, "arguments": words}}]},
        WORDS,
        WORDS,
    ),
)
RIGHT: dict[str, st.SearchStrategy[Any]] = {
    "stream": st.none() | st.booleans(),
    "stream_options": st.none() | st.fixed_dictionaries({}, optional={"include_usage": st.none() | st.booleans()}),
    "max_tokens": st.none() | st.integers(-1, 10**9),
    "max_completion_tokens": st.none() | st.integers(-1, 10**9),
    "temperature": st.none() | st.floats(0, 2) | st.integers(0, 2),
    "top_p": st.none() | st.floats(0, 1),
    "stop": st.none() | WORDS | st.lists(WORDS, max_size=2),
    "seed": st.none() | st.integers(-(2**63), 2**63 - 1),
    "n": st.none() | st.integers(1, 128),
    "logprobs": st.just(True),
    "top_logprobs": st.none() | st.integers(0, 20),
    "response_format": st.none() | st.fixed_dictionaries({"type": WORDS}, optional={"json_schema": st.just({"x": 1})}),
    "tools": st.none() | st.lists(st.fixed_dictionaries({"type": WORDS}), max_size=2),
    "tool_choice": st.none() | WORDS | st.fixed_dictionaries({"type": WORDS}),
    "parallel_tool_calls": st.none() | st.booleans(),
    "presence_penalty": st.none() | st.floats(-2, 2),
    "frequency_penalty": st.none() | st.floats(-2, 2),
    "logit_bias": st.none() | st.dictionaries(st.sampled_from(["1", "str", "[x]"]), st.floats(-100, 100), max_size=2),
    "reasoning_effort": st.none() | WORDS,
    "mollm": st.none() | st.fixed_dictionaries({}, optional={"trace": st.booleans()}),
    "user": st.none() | WORDS,
}
REQUEST = st.fixed_dictionaries(
    {"model": st.text("ab/.-", min_size=1, max_size=9), "messages": st.lists(MESSAGE, min_size=1, max_size=3)},
    optional=RIGHT,
).filter(lambda request: request.get("logprobs") or not request.get("top_logprobs"))
PIECES = st.sampled_from(["role", "content", "tool_calls", "tool_call_id"])
SPOILED = st.builds(
    lambda request, fields, message: {
        **request,
        "messages": [{**request["messages"][0], **message}, *request["messages"]],
        **fields,
    },
    REQUEST,
    st.dictionaries(st.sampled_from([*RIGHT, "model", "messages"]), JSON, max_size=1),
    st.dictionaries(PIECES, JSON | st.lists(PART | JSON, max_size=2), max_size=1),
)
ANY_BODY = st.one_of(
    st.binary(max_size=40),
    JSON.map(lambda data: json.dumps(data).encode()),
    *[SPOILED.map(lambda data: json.dumps(data).encode())] * 4,
)


def chat(**fields: Any) -> bytes:
    """A body that is right but for `fields`."""
    return json.dumps({"model": "one", "messages": HI, **fields}).encode()


def refusal(read: Callable[[bytes], Any], body: bytes) -> BadField:
    """How reading `body` is refused."""
    with pytest.raises(BadField) as caught:
        read(body)
    return caught.value


@given(REQUEST)
def test_a_right_request_is_taken_and_can_be_asked(body: dict[str, Any]) -> None:
    """What OpenAI's rules allow is never refused, and becomes messages and options that can be sent on."""
    request = read_chat(json.dumps(body).encode())

    assert orjson.loads(orjson.dumps(request.conversation))
    assert {message["role"] for message in request.conversation} <= set(ROLES) - {"developer"}
    options = Options(**request.options)
    assert options.mixture == body["model"]
    assert orjson.dumps([options.writing.payload(), options.for_tools.payload()])
    assert request.wants_usage == bool((body.get("stream_options") or {}).get("include_usage"))
    assert request.wants_trace == bool((body.get("mollm") or {}).get("trace"))


@settings(max_examples=cases(200))
@given(ANY_BODY)
def test_whatever_is_sent_is_a_request_or_a_refusal(body: bytes) -> None:
    """Nothing else is raised, and a refusal begins with the name of its field."""
    try:
        read_chat(body)
    except BadField as error:
        told, param = str(error), error.param
    else:
        return

    assert told.startswith(param or "the body")


@given(
    st.one_of(ANY_BODY, st.lists(st.fixed_dictionaries({"query": TEXT | JSON})).map(lambda d: json.dumps(d).encode()))
)
def test_whatever_is_sent_is_a_list_of_questions_or_a_refusal(body: bytes) -> None:
    """Nothing else is raised, and no question is empty."""
    try:
        found = read_predict(body)
    except BadField:
        return
    questions = [found] if isinstance(found, str) else found
    assert questions
    assert all(isinstance(question, str) and question for question in questions)


# Forbidden fields


def escaped(name: str) -> str:
    """The name as JSON may write it, without one of its letters."""
    return "".join(f"\\u{ord(letter):04X}" for letter in name)


STYLES: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper": str.upper,
    "dashes": lambda name: name.replace("_", "-"),
    "header": lambda name: name.replace("_", "-").title(),
}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
PLACES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "top": lambda bad: bad,
    "unknown field": lambda bad: {"extra_body": bad},
    "deep in an unknown field": lambda bad: {"x": [[{"y": {"z": [1, bad]}}]]},
    "tool_choice": lambda bad: {"tools": [TOOL], "tool_choice": {"type": "function", **bad}},
    "stream_options": lambda bad: {"stream_options": bad},
    "mollm": lambda bad: {"mollm": bad},
    "what is handed on": lambda bad: {"thinking": bad, "reasoning": {"x": [bad]}},
    "what looks like a tool": lambda bad: {"parameters": bad, "function": {"parameters": bad}},
    "what looks like data": lambda bad: {"x": {"messages": [bad], "tools": [bad], "metadata": bad}},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("value", ["http://evil", None, {}], ids=["text", "null", "object"])
def test_no_field_may_choose_an_address_a_key_or_headers(place: str, value: Any) -> None:
    """At any depth, in any spelling that some gateway would take, and the refusal names it as it was sent."""
    for name in sorted(FORBIDDEN):
        for style in STYLES.values():
            written = style(name)
            body = chat(**PLACES[place]({written: value}))

            error = refusal(read_chat, body)
            assert error.param == written
            assert str(error).startswith(f"{written}: addresses, keys and headers")
            hidden = body.replace(f'"{written}"'.encode(), f'"{escaped(written)}"'.encode())
            assert hidden != body
            assert refusal(read_chat, hidden).param == written


@pytest.mark.parametrize("read", [read_chat, read_predict])
@pytest.mark.parametrize("name", ["api_base", "base_url", "api_key", "extra_headers", "user_config"])
def test_both_endpoints_refuse_what_the_design_names(read: Callable[[bytes], Any], name: str) -> None:
    """These five at least, whatever becomes of the list."""
    body = json.dumps({"model": "one", "messages": HI, "query": "Hi", "more": [{name: "x"}]}).encode()

    assert refusal(read, body).param == name


SCHEMA = {
    "type": "object",
    "properties": {name: {"type": "object", "properties": {"api_key": {"type": "string"}}} for name in FORBIDDEN},
    "required": sorted(FORBIDDEN),
}
NAMED = {written: "http://x" for name in FORBIDDEN for written in (name, name.upper(), name.replace("_", "-"))}
"""Every forbidden name, as somebody's data may have it."""


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [TOOL, {"type": "function", "function": {"name": "get", "parameters": SCHEMA}}]},
        {"tools": [{**TOOL, **NAMED, "extra_content": {"google": NAMED}}]},
        {"tools": [{"type": "function", "function": {"name": "f", **NAMED}}]},
        {"functions": [{"name": "f", "parameters": SCHEMA}]},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}},
        {"response_format": {"type": "json_object", "schema": SCHEMA}},
        {"guided_json": SCHEMA},
        {"structured_outputs": {"json": SCHEMA}},
        {"json_schema": SCHEMA},
        {"metadata": {"authorization": "x", "nested": [NAMED]}},
        {"documents": [{"title": "x", **NAMED}]},
        {"chat_template_kwargs": {"documents": [NAMED]}},
        {"messages": [{"role": "user", "content": "Hi", **NAMED}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", **NAMED}]}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": ""}, **NAMED}]}]},
        {"messages": [{"role": "user", "content": "What is an api_key? And headers?"}]},
        {"messages": [{"role": "assistant", "content": "", "tool_calls": []}, *HI], "user": "authorization"},
        {"heading": 1, "api": {"key": 1, "base": 2}, "my_headers": {}, "headers_": 3},
    ],
    ids=lambda fields: f"{'+'.join(fields)} {len(str(fields))}",
)
def test_the_callers_own_words_may_be_called_anything(fields: dict[str, Any]) -> None:
    """Arguments of a tool, the shape of an answer, what is said, texts, and names that only look alike."""
    request = read_chat(chat(**fields))

    known = fields.keys() & ChatRequest.model_fields.keys()
    assert {name: getattr(request, name) for name in known} == {name: fields[name] for name in known}


@pytest.mark.parametrize("data", ["text", 5, None, [], {}, [["x"]]], ids=str)
def test_fields_of_data_may_hold_anything(data: Any) -> None:
    """Whatever stands where a list or an object is usual, nothing breaks."""
    for name in DATA - ChatRequest.model_fields.keys():
        assert read_chat(chat(**{name: data}))


# Nesting


def nested(levels: int) -> Any:
    """A list of lists; 1 is an empty one."""
    found: list[Any] = []
    for _ in range(levels - 1):
        found = [found]
    return found


NESTS: dict[str, tuple[int, Callable[[Any], dict[str, Any]]]] = {
    "unknown field": (1, lambda deep: {"x": deep}),
    "message": (3, lambda deep: {"messages": [{**HI[0], "x": deep}]}),
    "metadata": (2, lambda deep: {"metadata": {"x": deep}}),
    "tool": (3, lambda deep: {"tools": [{**TOOL, "x": deep}]}),
    "schema of a tool": (0, lambda deep: {"tools": [{"function": {"name": "f", "parameters": deep}}]}),
    "schema of an answer": (0, lambda deep: {"response_format": {"type": "x", "json_schema": {"schema": deep}}}),
}
"""How many levels are around it, and where it is put."""


@pytest.mark.parametrize("place", NESTS)
def test_what_is_nested_too_deeply_is_refused(place: str) -> None:
    """So many levels and no more, by our rule first and by the parser's in the end."""
    around, put = NESTS[place]

    assert read_chat(chat(**put(nested(DEEPEST - around))))
    for levels in (DEEPEST - around + 1, 500):
        error = refusal(read_chat, chat(**put(nested(levels))))
        assert str(error) == f"the body is nested more than {DEEPEST} levels deep"


@pytest.mark.parametrize("levels", [1_500, 500_000])
@pytest.mark.parametrize("read", [read_chat, read_predict])
@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}")], ids=["lists", "objects"])
def test_a_bomb_of_brackets_is_refused(
    read: Callable[[bytes], Any], brackets: tuple[bytes, bytes], levels: int
) -> None:
    """However many there are, closed or not."""
    opening, closing = brackets

    for body in (opening * levels, opening * levels + b"1" + closing * levels):
        assert str(refusal(read, body)).startswith("the body is not JSON")


def many(count: int) -> bytes:
    """So many lists, in a list."""
    return b"[" + b",".join([b"[]"] * (count - 1)) + b"]"


CROWDS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "unknown field": (1, lambda crowd: b'"x": ' + crowd),
    "schema of an answer": (
        1,
        lambda crowd: b'"response_format": {"type": "json_schema", "json_schema": {"schema": ' + crowd + b"}}",
    ),
    "metadata": (1, lambda crowd: b'"metadata": {"x": ' + crowd + b"}"),
    "schemas of tools": (
        10,
        lambda crowd: b'"tools": [' + b",".join([b'{"function": {"parameters": ' + crowd + b"}}"] * 10) + b"]",
    ),
}
"""How often a crowd is put, and where."""


@pytest.mark.parametrize("place", CROWDS)
def test_more_parts_than_can_be_looked_through_are_refused(place: str) -> None:
    """So many in the whole body, wherever they stand: looking through them holds up everybody else."""
    times, put = CROWDS[place]

    def body(parts: int) -> bytes:
        start = b'{"model": "one", "messages": [{"role": "user", "content": "Hi"}], '
        return start + put(many(parts // times)) + b"}"

    assert read_chat(body(MOST_PARTS - 100))
    for parts in (MOST_PARTS + 100, 2 * MOST_PARTS):
        error = refusal(read_chat, body(parts))
        assert str(error) == f"the body holds more than {MOST_PARTS} lists and objects"
    assert str(refusal(read_predict, many(MOST_PARTS + 1))) == str(error)


async def test_the_deepest_body_that_is_taken_is_also_answered() -> None:
    """What comes after the check counts and sends it without trouble."""
    async with Upstream(*[answer("Four.")] * len(NESTS)) as upstream, served(config_of(upstream)) as server:
        for around, put in NESTS.values():
            reply = await server.post("/v1/chat/completions", chat(**put(nested(DEEPEST - around))))

            assert reply.status == 200


# Fields


WRONG: dict[str, list[Any]] = {
    "model": [None, 5, "", "x" * 257, ["one"]],
    "messages": [None, [], "Hi", {}, 5],
    "stream": [1, "true", []],
    "stream_options": [5, [], "x"],
    "max_tokens": [-2, 1.5, "5", True, 10**9 + 1, 10**40],
    "max_completion_tokens": [-2, 1.5, "5", True, 10**9 + 1],
    "temperature": [-0.1, 2.1, "1", True],
    "top_p": [-0.1, 1.1, "1"],
    "stop": [5, [5], {}, [None]],
    "seed": [1.5, "1", 2**63, -(2**63) - 1, True],
    "n": [0, 129, 1.5, "2", True],
    "logprobs": [1, "true"],
    "top_logprobs": [-1, 21, 1.5, 3],
    "response_format": ["text", [], 5],
    "tools": [{}, "x", [5], ["x"], [[]]],
    "tool_choice": [5, []],
    "parallel_tool_calls": [1, "no"],
    "presence_penalty": [-2.1, 2.1, "0"],
    "frequency_penalty": [-2.1, 2.1, "0"],
    "logit_bias": [5, [], {"1": "x"}, {"1": None}],
    "reasoning_effort": [5, {}],
    "mollm": [5, True, {"trace": 1}, {"trace": None}],
}


def test_every_field_has_wrong_values() -> None:
    """A new field is to be put into the table."""
    assert set(WRONG) == set(ChatRequest.model_fields)


@pytest.mark.parametrize("field", WRONG)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(field: str) -> None:
    """The param is the field, or a place inside it, and the message begins with it."""
    for value in WRONG[field]:
        error = refusal(read_chat, chat(**{field: value}))

        assert error.param is not None, value
        assert error.param == field or error.param.startswith((f"{field}.", f"{field}[")), value
        assert str(error).startswith(error.param)


@pytest.mark.parametrize(
    ("missing", "hint"), [("model", ": `auto`, or a name that /v1/models lists"), ("messages", "")]
)
def test_what_is_missing_is_named(missing: str, hint: str) -> None:
    """The model and the messages have to be there."""
    body = {name: value for name, value in {"model": "one", "messages": HI}.items() if name != missing}

    error = refusal(read_chat, json.dumps(body).encode())

    assert (error.param, str(error)) == (missing, f"{missing}: is required{hint}")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the body is not JSON: "),
        (b"{", "the body is not JSON: "),
        (b"{'model': 1}", "the body is not JSON: "),
        (b'{"model": NaN}', "the body is not JSON: "),
        (b'{"model": "\\ud800"}', "the body is not JSON: "),
        (b'\xff{"model": 1}', "the body is not JSON: "),
        (b'\xef\xbb\xbf{"model": 1}', "the body is not JSON: "),
        (b"[]", "the body is not a JSON object"),
        (b"null", "the body is not a JSON object"),
        (b'"Hi"', "the body is not a JSON object"),
    ],
    ids=["empty", "cut", "quotes", "NaN", "half a pair", "not UTF-8", "byte order mark", "list", "null", "text"],
)
def test_what_is_no_json_object_is_refused(body: bytes, said: str) -> None:
    """In our words, with the place, and without a piece of what was sent."""
    error = refusal(read_chat, body)

    assert str(error).startswith(said)
    assert error.param is None
    assert error.__cause__ is None, "it would hold the body"


CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CUSTOM = {"id": "call_2", "type": "custom", "custom": {"name": "run", "input": "print(4)"}}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
MESSAGES: list[tuple[str, Any, str]] = [
    ("no object", 5, "messages[1]: must be an object"),
    ("a text", "Hi", "messages[1]: must be an object"),
    (
        "no role",
        {"content": "x"},
        "messages[1].role: must be one of system, developer, user, assistant, tool, function",
    ),
    ("foreign role", {"role": "bot", "content": "x"}, "messages[1].role: must be one of "),
    ("role of another kind", {"role": ["user"], "content": "x"}, "messages[1].role: must be one of "),
    ("no content", {"role": "user"}, "messages[1].content: is required"),
    ("null content", {"role": "system", "content": None}, "messages[1].content: is required"),
    ("number", {"role": "user", "content": 5}, "messages[1].content: must be a text or a list of parts"),
    ("object", {"role": "assistant", "content": {}}, "messages[1].content: must be a text or a list of parts"),
    ("part as text", {"role": "user", "content": ["x"]}, "messages[1].content[0]: must be an object with a `type`"),
    ("part, no type", {"role": "user", "content": [{"text": "x"}]}, "messages[1].content[0]: must be an object with "),
    ("part, odd type", {"role": "user", "content": [{"type": 5}]}, "messages[1].content[0]: must be an object with "),
    (
        "second part",
        {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "text"}]},
        "messages[1].content[1].text: must be a text",
    ),
    (
        "image as text",
        {"role": "user", "content": [{"type": "image_url", "image_url": "data:image/png;base64,AA=="}]},
        "messages[1].content[0].image_url: must be an object with a `url`",
    ),
    (
        "image without url",
        {"role": "user", "content": [{"type": "image_url", "image_url": {"detail": "low"}}]},
        "messages[1].content[0].image_url: must be an object with a `url`",
    ),
    ("tool, no id", {"role": "tool", "content": "4"}, "messages[1].tool_call_id: is required"),
    ("tool, odd id", {"role": "tool", "content": "4", "tool_call_id": 4}, "messages[1].tool_call_id: is required"),
    *(
        (f"tool calls: {kind}", {"role": "assistant", "tool_calls": calls}, "messages[1].tool_calls: each needs a ")
        for kind, calls in {
            "text": "x",
            "list of texts": ["x"],
            "no function": [{"id": "1"}],
            "custom, and no function": [CUSTOM, {"id": "1", "type": "function"}],
            "no arguments": [CALL, {"function": {"name": "f"}}],
            "arguments parsed": [{"function": {"name": "f", "arguments": {}}}],
            "odd name": [{"function": {"name": 5, "arguments": "{}"}}],
        }.items()
    ),
]


@pytest.mark.parametrize(("message", "said"), [case[1:] for case in MESSAGES], ids=[case[0] for case in MESSAGES])
def test_a_wrong_message_is_refused_by_its_place(message: Any, said: str) -> None:
    """Which message, which field of it, and what it should be."""
    error = refusal(read_chat, chat(messages=[*HI, message]))

    assert str(error).startswith(said)
    assert error.param == said.partition(":")[0]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "", "name": "kim"},
        {"role": "user", "content": [{"type": "text", "text": "x"}, IMAGE]},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}]},
        {"role": "system", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]},
        {"role": "assistant", "content": None, "tool_calls": [CALL, CALL], "refusal": None},
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "assistant", "content": "", "tool_calls": [CALL, CUSTOM]},
        {"role": "assistant", "content": None, "refusal": "No."},
        {"role": "assistant", "content": "x", "tool_calls": None, "reasoning_content": "Hm."},
        {"role": "tool", "content": [{"type": "text", "text": "4"}], "tool_call_id": "call_1"},
        {"role": "function", "content": "4", "name": "f"},
        {"role": "function", "content": None, "name": "g"},
        {"role": "developer", "content": "x"},
    ],
    ids=lambda message: f"{message['role']} {'+'.join(sorted(set(message) - {'role'}))} {message.get('content')!r:.9}",
)
def test_a_message_of_openais_form_is_taken_as_it_is(message: dict[str, Any]) -> None:
    """With every field it has, also those that only its provider knows."""
    request = read_chat(chat(messages=[*HI, message]))

    role = "system" if message["role"] == "developer" else message["role"]
    assert request.conversation == [*HI, {**message, "role": role}]
    assert request.messages == [*HI, message], "what was sent is not changed"


def test_alternatives_of_tokens_need_the_probabilities() -> None:
    """`top_logprobs` alone would ask for nothing."""
    for fields in ({"top_logprobs": 2}, {"top_logprobs": 2, "logprobs": False}, {"top_logprobs": 2, "logprobs": None}):
        error = refusal(read_chat, chat(**fields))

        assert (error.param, str(error)) == ("top_logprobs", "top_logprobs needs logprobs to be true")


# /predict


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({}, "query", "query: is required"),
        ({"query": None}, "query", "query: must be a valid string"),
        ({"query": ""}, "query", "query: string should have at least 1 character"),
        ({"query": []}, "query", "query: list should have at least 1 item"),
        ({"query": ["x", 5]}, "query[1]", "query[1]: must be a valid string"),
        ({"query": ["x"] * (MOST_QUESTIONS + 1)}, "query", "query: list should have at most 1024 items"),
        ([], None, "the body: list should have at least 1 item"),
        ([{"query": "x"}, {}], "[1].query", "[1].query: is required"),
        ([{"query": "x"}, "x"], "[1]", "[1]: must be an object"),
        ([{"query": "x"}] * (MOST_QUESTIONS + 1), None, "the body: list should have at most 1024 items"),
        ("Hi", None, "the body: must be an object"),
        (None, None, "the body: must be an object"),
    ],
    ids=[
        "nothing",
        "null",
        "empty",
        "no-list",
        "no-text",
        "many",
        "no-item",
        "no-query",
        "text",
        "many-items",
        "a-text",
        "nothing-at-all",
    ],
)
def test_a_wrong_question_is_refused_by_its_place(body: Any, param: str | None, said: str) -> None:
    """Which one it was, and what it should be."""
    error = refusal(read_predict, json.dumps(body).encode())

    assert error.param == param
    assert str(error).startswith(said)


def test_questions_are_read_in_each_of_three_forms() -> None:
    """One; a list of texts; a list of objects."""
    assert read_predict(b'{"query": "a", "more": 1}') == "a"
    assert read_predict(b'{"query": ["a", "b"]}') == ["a", "b"]
    assert read_predict(b'[{"query": "a"}, {"query": "b"}]') == ["a", "b"]
    assert len(read_predict(json.dumps([{"query": "x"}] * MOST_QUESTIONS).encode())) == MOST_QUESTIONS


def test_a_stop_that_is_empty_is_none() -> None:
    """Providers refuse an empty text; a blank one is one that may be written."""
    assert "stop" not in read_chat(chat(stop="")).options
    assert read_chat(chat(stop=" ")).options["stop"] == " "


def test_a_whole_number_may_be_written_with_a_point() -> None:
    """JSON knows one kind of number only, and some languages write 100.0 for 100."""
    asked = read_chat(b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": 100.0, "n": 2.0}')

    assert asked.options["max_tokens"] == 100
    assert type(asked.options["n"]) is int


# Fields that are handed on, and those that are not


def test_what_a_provider_knows_is_handed_on_and_the_rest_is_named() -> None:
    """As it was sent; what is null was not sent."""
    sent = {"top_k": 5, "thinking": {"type": "enabled"}, "chat_template_kwargs": {"enable_thinking": False}}
    request = read_chat(chat(**sent, reasoning_effort="low", user="u", store=False, min_p=None, logit_bias=None))

    assert request.options["extra_body"] == {**sent, "reasoning_effort": "low"}
    assert request.dropped == ("store", "user")


@pytest.mark.parametrize("forward", [[], ["user"], ["user", "Top_K"]], ids=str)
def test_the_configuration_says_what_is_handed_on(forward: list[str]) -> None:
    """By its exact name, and nothing else."""
    sent = {"top_k": 5, "user": "u", "reasoning_effort": "low", "Top_K": 6}
    request = read_chat(chat(**sent), forward)

    assert request.options["extra_body"] == {name: sent[name] for name in forward}
    assert request.dropped == tuple(sorted(sent.keys() - set(forward)))


@given(st.dictionaries(TEXT, JSON, max_size=4), st.lists(TEXT, max_size=3))
def test_every_field_reaches_somebody_or_is_named(fields: dict[str, Any], forward: list[str]) -> None:
    """No field is lost without a word, and none is both."""
    fields = {name: value for name, value in fields.items() if name not in ChatRequest.model_fields}
    try:
        request = read_chat(chat(**fields), forward)
    except BadField:  # half of a character, or a number that JSON does not know
        return

    handed_on = request.options["extra_body"]
    assert not handed_on.keys() & set(request.dropped)
    assert handed_on.keys() | set(request.dropped) == {name for name, value in fields.items() if value is not None}


def test_what_is_handed_on_by_default_can_be_set_by_anybody() -> None:
    """None of these chooses an address, counts, or has an option of its own."""
    assert all(map(is_settable, FORWARDED))
    assert not any(map(is_settable, COUNTED | FORBIDDEN | (ChatRequest.model_fields.keys() - {"reasoning_effort"})))


INSTRUCTIONS = """timeout mock_response callbacks success_callback num_retries max_retries cache caching base_url
organization azure_scope vertex_location aws_region_name extra_query extra_body drop_params client api_version
context_window_fallback_dict input_cost_per_token litellm_metadata ssl_verify langfuse_secret _skip_mcp_handler
proxy_server_request region_name model_info mock_timeout stream_timeout request_timeout Api-Base silent_model
no-log allowed_openai_params additional_drop_params deployment_id custom_prompt_dict anthropic_issuer_url
apiBase baseURL extraHeaders maxTokens mockResponse max_new_tokens max_output_tokens n_predict num_predict
max_tokens_to_sample num_return_sequences"""
HARMLESS = """user metadata store service_tier prediction web_search_options top_a typical_p min_tokens ignore_eos
stop_token_ids bad_words thinking_budget max_thinking_tokens mirostat dry_multiplier num_ctx keep_alive grammar lora
cache_prompt id_slot provider transforms plugins models safety_settings prompt_cache_retention allowed_token_ids
skip_special_tokens truncate_prompt_tokens return_token_ids session_id vllm_xargs mm_processor_kwargs priority"""


def test_instructions_to_a_client_library_are_told_from_settings_of_an_llm() -> None:
    """The former would be followed here; the latter go to the provider."""
    assert [name for name in INSTRUCTIONS.split() if is_settable(name)] == []
    assert [name for name in HARMLESS.split() if not is_settable(name)] == []


@pytest.mark.parametrize("place", ["%s", '"reasoning": {%s}', '"metadata": {"a": 1}, "x": [{"y": {%s}}]'], ids=str)
def test_more_fields_than_anybody_sends_are_refused(place: str) -> None:
    """Wherever names are looked at: 300,000 of them, in 4 MiB, kept everybody else waiting for seconds."""

    def body(names: int) -> bytes:
        fields = ", ".join(f'"field-{number}": 1' for number in range(names))
        return f'{{"model": "one", "messages": [{{"role": "user", "content": "Hi"}}], {place % fields}}}'.encode()

    assert read_chat(body(MOST_NAMES - 100))
    assert str(refusal(read_chat, body(MOST_NAMES + 1))) == f"the body holds more than {MOST_NAMES} names of fields"


def test_a_large_body_is_a_few_long_texts() -> None:
    """Many small values would take twenty times its bytes; photographs do not."""
    photo = "A" * (LARGE + 1)
    assert read_chat(chat(messages=[{"role": "user", "content": [{"type": "text", "text": photo}]}]))

    for crowd in (b"1," * MOST_VALUES, b'"",' * MOST_VALUES, b"[]," * MOST_VALUES, b'{"":[]},' * MOST_VALUES):
        body = (b'{"x": [' + crowd + b"1]}").ljust(LARGE + 1)
        assert str(refusal(read_chat, body)) == f"a body of more than 4 MiB holds more than {MOST_VALUES} values"
