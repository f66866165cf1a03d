"""Through the openai SDK: tools, their calls and their results."""
# ruff: noqa: S101 - asserts are the point

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import openai
import pytest
from pydantic import BaseModel

if TYPE_CHECKING:
    from caller import Caller


def tool(name: str, description: str, **properties: Any) -> dict[str, Any]:
    """Describe a function whose every argument is required, as strictly as `.stream` demands."""
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    function = {"name": name, "description": description, "parameters": parameters, "strict": True}
    return {"type": "function", "function": function}


WEATHER: Final = tool("get_weather", "Tell the weather of a city.", location={"type": "string"})
CLOCK: Final = tool("local_clock", "Tell the time of day in a city.", city={"type": "string"})
QUESTION: Final = "What is the weather in Paris?"


class GetWeather(BaseModel):
    """Tell the weather of a city."""

    location: str
    unit: str | None


async def test_a_tool_is_called_and_its_result_answered(caller: Caller) -> None:
    """The whole round: question, call, result, answer."""
    asked = await caller.ask(QUESTION, tools=[WEATHER])

    (choice,) = asked.choices
    (call,) = choice.message.tool_calls
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    assert (call.type, call.function.name) == ("function", "get_weather")
    assert json.loads(call.function.arguments) == {"location": "Paris"}

    result = {"role": "tool", "tool_call_id": call.id, "content": "Rain, 11 degrees."}
    messages = [{"role": "user", "content": QUESTION}, choice.message.model_dump(exclude_none=True), result]
    answered = await caller.ask(messages, tools=[WEATHER])
    assert "Rain, 11 degrees." in answered.choices[0].message.content
    assert answered.choices[0].finish_reason == "stop"


async def test_a_result_is_answered_where_tools_are_offered_no_more(caller: Caller) -> None:
    """The last message is a tool's, and the request names no tool."""
    call = {"id": "a1", "type": "function", "function": {"name": "get_weather", "arguments": '{"location": "Paris"}'}}
    messages = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a1", "content": [{"type": "text", "text": "Snow."}]},
    ]

    assert "Snow." in (await caller.ask(messages)).choices[0].message.content


async def test_a_tool_call_is_streamed_in_pieces(caller: Caller) -> None:
    """Name and id once, arguments bit by bit, and `tool_calls` as the reason."""
    chunks = await caller.chunks(QUESTION, tools=[WEATHER])

    pieces = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    assert [piece.function.name for piece in pieces if piece.function.name] == ["get_weather"]
    assert len([piece.id for piece in pieces if piece.id]) == 1
    assert len(pieces) > 2
    assert json.loads("".join(piece.function.arguments or "" for piece in pieces)) == {"location": "Paris"}
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


async def test_the_sdks_own_accumulator_puts_tool_calls_together(caller: Caller) -> None:
    """Two calls in one stream, each with its own arguments."""
    question = "What are the weather and the time on the clock in Paris?"

    _, completion = await caller.run(question, tools=[WEATHER, CLOCK])

    calls = completion.choices[0].message.tool_calls
    assert [call.function.name for call in calls] == ["get_weather", "local_clock"]
    assert [json.loads(call.function.arguments) for call in calls] == [{"location": "Paris"}, {"city": "Paris"}]


async def test_one_call_at_a_time_where_asked(caller: Caller) -> None:
    """`parallel_tool_calls` is handed on."""
    question = "What are the weather and the time on the clock in Paris?"

    completion = await caller.ask(question, tools=[WEATHER, CLOCK], parallel_tool_calls=False)

    assert len(completion.choices[0].message.tool_calls) == 1


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("none", []),
        ("auto", []),
        ("required", ["get_weather"]),
        ({"type": "function", "function": {"name": "local_clock"}}, ["local_clock"]),
    ],
    ids=["none", "auto", "required", "named"],
)
async def test_tool_choice_is_heeded(caller: Caller, choice: Any, called: list[str]) -> None:
    """A question that needs no tool calls one only where the caller insists."""
    completion = await caller.ask("Hello", tools=[WEATHER, CLOCK], tool_choice=choice)

    calls = completion.choices[0].message.tool_calls or []
    assert [call.function.name for call in calls] == called
    assert bool(completion.choices[0].message.content) == (not called)


async def test_arguments_are_parsed_into_a_class(caller: Caller) -> None:
    """`pydantic_function_tool` and `.parse`: strict schemas come through unchanged."""
    completion = await caller.parse(QUESTION, tools=[openai.pydantic_function_tool(GetWeather)])

    (call,) = completion.choices[0].message.tool_calls
    assert isinstance(call.function.parsed_arguments, GetWeather)
    assert call.function.parsed_arguments.location == "Paris"


async def test_a_tool_may_have_arguments_named_like_settings(caller: Caller) -> None:
    """What a tool takes is the caller's own business."""
    fetch = tool("fetch_page", "Fetch a page of the web.", base_url={"type": "string"}, headers={"type": "string"})

    completion = await caller.ask("Fetch the page 'https://example.org/'", tools=[fetch])

    arguments = json.loads(completion.choices[0].message.tool_calls[0].function.arguments)
    assert arguments["base_url"] == "https://example.org/"


async def test_log_probabilities_are_given_beside_tools(caller: Caller) -> None:
    """A request with tools goes to a single LLM, so what needs one is not refused, on a panel either."""
    completion = await caller.ask("Hello", tools=[WEATHER], logprobs=True)

    assert completion.choices[0].logprobs.content


@pytest.mark.mollm
@pytest.mark.panel
async def test_a_panel_proposes_once_in_a_loop_of_tools(caller: Caller) -> None:
    """The workers are asked for the question, not for the result; and for a forced call not at all."""
    asked = await caller.raw(QUESTION, tools=[WEATHER])
    message = asked.parse().choices[0].message.model_dump(exclude_none=True)
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "Rain."}
    answered = await caller.raw([{"role": "user", "content": QUESTION}, message, result], tools=[WEATHER])
    forced = await caller.raw(QUESTION, tools=[WEATHER], tool_choice="required")

    told = [
        [found.headers.get(f"x-mollm-{name}") for name in ("on-tools", "reused", "calls")]
        for found in (asked, answered, forced)
    ]
    assert told == [["after", None, "4"], ["after", "true", "1"], ["alone", None, "1"]]
