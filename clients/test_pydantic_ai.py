"""Through pydantic-ai, whose agents run their loops of tools against a mixture."""
# ruff: noqa: S101 - asserts are the point

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

if TYPE_CHECKING:
    from conftest import Served

WEATHER = "What is the weather in Paris?"


class City(BaseModel):
    """A city in a country."""

    name: str
    country: str


@pytest.fixture
def model(served: Served) -> OpenAIChatModel:
    """What is asked, as pydantic-ai addresses it."""
    return OpenAIChatModel(served.model, provider=OpenAIProvider(base_url=served.base_url, api_key=served.key))


def weather_agent(model: OpenAIChatModel, called: list[str]) -> Agent[None, str]:
    """An agent with one tool; `called` gets its arguments."""
    agent = Agent(model, system_prompt="Be brief.")

    @agent.tool_plain
    def get_weather(location: str) -> str:
        """Tell the weather of a city."""
        called.append(location)
        return "Rain, 11 degrees."

    return agent


async def test_a_chat_goes_on(model: OpenAIChatModel) -> None:
    """A second question knows the first."""
    agent = Agent(model)

    first = await agent.run("Hello, my name is Ada.")
    second = await agent.run("What is my name?", message_history=first.all_messages())

    assert "Ada" in second.output
    assert first.usage.input_tokens > 0


async def test_a_stream_grows(model: OpenAIChatModel) -> None:
    """The text comes in pieces."""
    async with Agent(model).run_stream("Count from 1 to 30.") as stream:
        pieces = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]

    assert len(pieces) > 5
    assert "29, 30" in "".join(pieces)


async def test_a_loop_of_tools_ends_with_what_the_tool_said(model: OpenAIChatModel) -> None:
    """Question, call, result, answer."""
    called: list[str] = []

    result = await weather_agent(model, called).run(WEATHER)

    assert called == ["Paris"]
    assert "Rain, 11 degrees." in result.output


async def test_a_streamed_loop_of_tools_does_too(model: OpenAIChatModel) -> None:
    """With the calls put together from their pieces."""
    called: list[str] = []

    async with weather_agent(model, called).run_stream(WEATHER) as stream:
        said = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]

    assert called == ["Paris"]
    assert "Rain, 11 degrees." in "".join(said)


@pytest.mark.parametrize("kind", [ToolOutput, NativeOutput, PromptedOutput])
async def test_an_answer_has_the_type_that_was_asked_for(model: OpenAIChatModel, kind: Any) -> None:
    """By a call that is forced, by a JSON schema, and by asking for JSON."""
    result = await Agent(model, output_type=kind(City)).run("The city 'Oslo' in the country 'Norway'")

    assert isinstance(result.output, City)


async def test_a_typed_answer_may_need_a_tool_first(model: OpenAIChatModel) -> None:
    """A loop of tools that ends with the schema."""
    called: list[str] = []
    agent = weather_agent(model, called)

    result = await agent.run(WEATHER, output_type=NativeOutput(City))

    assert called == ["Paris"]
    assert isinstance(result.output, City)
