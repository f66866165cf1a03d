"""Through `ChatOpenAI`: what a LangChain program does with a mixture."""
# ruff: noqa: S101 - asserts are the point

from __future__ import annotations

from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

if TYPE_CHECKING:
    from conftest import Served

QUESTION = "What is the weather in Paris?"


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


@tool
def get_weather(location: str) -> str:
    """Tell the weather of a city."""
    return f"Rain in {location}."


def chat(served: Served, **options: Any) -> ChatOpenAI:
    """Build what a program builds: another base URL, and the mixture as the model."""
    given = {"base_url": served.base_url, "api_key": served.key, "model": served.model, "max_retries": 0}
    return ChatOpenAI(**{**given, **options})


def test_invoke_answers(served: Served) -> None:
    """With text, usage, the reason and the name of the mixture."""
    message = chat(served, temperature=0.7, max_tokens=100).invoke(
        [SystemMessage("You are a helpful AI assistant."), HumanMessage("Please tell me a joke.")]
    )

    assert isinstance(message, AIMessage)
    assert "?" in message.text
    assert message.usage_metadata["total_tokens"] > 0
    assert message.response_metadata["finish_reason"] == "stop"
    assert message.response_metadata["model_name"] == served.model


async def test_ainvoke_answers(served: Served) -> None:
    """The same on an event loop."""
    assert "51" in (await chat(served).ainvoke("What is 17 * 3?")).text


def test_batch_answers_each(served: Served) -> None:
    """Several questions at once, in order."""
    messages = chat(served).batch([f"What is {number} * 2?" for number in (4, 5, 6)])

    assert ["8." in messages[0].text, "10." in messages[1].text, "12." in messages[2].text] == [True] * 3


def test_stream_gives_pieces(served: Served) -> None:
    """Many chunks that add up, usage among them where asked."""
    chunks = list(chat(served, stream_usage=True).stream("Count from 1 to 20."))

    whole = reduce(add, chunks)
    assert whole.text.endswith("19, 20.")
    assert sum(bool(chunk.text) for chunk in chunks) >= 10
    assert whole.usage_metadata["total_tokens"] > 0
    assert whole.response_metadata["finish_reason"] == "stop"


async def test_astream_gives_pieces(served: Served) -> None:
    """The same on an event loop, without usage where it is not asked for."""
    chunks = [chunk async for chunk in chat(served, stream_usage=False).astream("Count from 1 to 20.")]

    whole = reduce(add, chunks)
    assert whole.text.endswith("19, 20.")
    assert whole.usage_metadata is None


def test_bind_tools_makes_a_round(served: Served) -> None:
    """Question, call, result, answer."""
    bound = chat(served).bind_tools([get_weather])

    asked = bound.invoke(QUESTION)
    (call,) = asked.tool_calls
    answered = bound.invoke([HumanMessage(QUESTION), asked, get_weather.invoke(call)])

    assert (call["name"], call["args"]) == ("get_weather", {"location": "Paris"})
    assert asked.response_metadata["finish_reason"] == "tool_calls"
    assert "Rain in Paris." in answered.text


def test_tool_calls_are_streamed(served: Served) -> None:
    """The pieces of a call become one call."""
    whole = reduce(add, chat(served).bind_tools([get_weather]).stream(QUESTION))

    assert [(call["name"], call["args"]) for call in whole.tool_calls] == [("get_weather", {"location": "Paris"})]


def test_a_tools_failure_is_answered(served: Served) -> None:
    """What the tool said comes to the LLM, whatever it is."""
    call = {"name": "get_weather", "args": {"location": "Paris"}, "id": "a1", "type": "tool_call"}
    failed = ToolMessage("Error: no such city.", tool_call_id="a1", status="error")

    answer = (
        chat(served)
        .bind_tools([get_weather])
        .invoke([HumanMessage(QUESTION), AIMessage("", tool_calls=[call]), failed])
    )

    assert "no such city" in answer.text


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_structured_output_is_parsed(served: Served, method: str) -> None:
    """By each of the three ways, from a class or a schema."""
    question = "As JSON: the person is 'Ada Lovelace', 36 years old."
    if method == "json_mode":
        question = "Give me JSON with the keys 'name' and 'age'."

    parsed = (
        chat(served)
        .with_structured_output(Person.model_json_schema() if method == "json_mode" else Person, method=method)
        .invoke(question)
    )

    if method == "json_mode":
        assert set(parsed) == {"name", "age"}
    else:
        assert parsed == Person(name="Ada Lovelace", age=36)


async def test_structured_output_is_streamed(served: Served) -> None:
    """The last of the partial objects is whole."""
    structured = chat(served).with_structured_output(Person.model_json_schema())

    found = [part async for part in structured.astream("The person is 'Ada Lovelace', 36 years old.")]

    assert found[-1] == {"name": "Ada Lovelace", "age": 36}


def test_a_wrong_key_raises_the_sdks_error(served: Served) -> None:
    """LangChain hands the SDK's exception on."""
    with pytest.raises(openai.AuthenticationError):
        chat(served, api_key="not-the-key").invoke("Hello")


@pytest.mark.panel
def test_a_panel_refuses_several_choices(served: Served) -> None:
    """Before anything is asked."""
    with pytest.raises(openai.BadRequestError):
        chat(served, n=2).invoke("Hello")


@pytest.mark.mollm
def test_response_headers_are_shown(served: Served) -> None:
    """`include_response_headers` brings what mollm tells in headers, also of a stream."""
    asked = chat(served, include_response_headers=True)

    whole, streamed = asked.invoke("Hello"), reduce(add, asked.stream("Hello"))

    assert whole.response_metadata["headers"]["x-mollm-mixture"] == served.model
    assert whole.response_metadata["headers"]["x-mollm-calls"] == ("4" if served.is_panel else "1")
    assert streamed.response_metadata["headers"]["x-mollm-mixture"] == served.model


@pytest.mark.mollm
def test_a_mixture_is_picked_by_the_router(served: Served) -> None:
    """`auto` as the model."""
    assert chat(served, model="auto").invoke("Hello").response_metadata["model_name"] == "single"
