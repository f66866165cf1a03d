"""Through the OpenAI Agents SDK, over chat completions: runs, streams, tools, hand-overs, typed answers."""
# ruff: noqa: S101 - asserts are the point

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI
from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Served

set_tracing_disabled(True)
WEATHER = "What is the weather in Paris?"


class City(BaseModel):
    """A city in a country."""

    name: str
    country: str


@pytest.fixture
async def model(served: Served) -> AsyncIterator[OpenAIChatCompletionsModel]:
    """What is asked, as the SDK addresses it."""
    async with AsyncOpenAI(base_url=served.base_url, api_key=served.key, max_retries=0) as client:
        yield OpenAIChatCompletionsModel(model=served.model, openai_client=client)


def weather_tool(called: list[str]) -> Any:
    """A tool; `called` gets its arguments."""

    @function_tool
    def get_weather(location: str) -> str:
        """Tell the weather of a city."""
        called.append(location)
        return "Rain, 11 degrees."

    return get_weather


async def test_a_run_answers(model: OpenAIChatCompletionsModel) -> None:
    """And counts what it took."""
    result = await Runner.run(Agent(name="a", instructions="Be brief.", model=model), "What is 6 * 7?")

    assert "42" in result.final_output
    assert result.context_wrapper.usage.total_tokens > 0


async def test_a_run_is_streamed(model: OpenAIChatCompletionsModel) -> None:
    """Text comes in pieces."""
    result = Runner.run_streamed(Agent(name="a", model=model), "Count from 1 to 30.")
    pieces = [e.data.delta async for e in result.stream_events() if getattr(e, "data", None) and _is_text(e.data)]

    assert len(pieces) > 5
    assert "".join(pieces) == result.final_output


def _is_text(data: Any) -> bool:
    return bool(data.type == "response.output_text.delta")


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
async def test_a_loop_of_tools_ends_with_what_the_tool_said(
    model: OpenAIChatCompletionsModel, is_streamed: bool
) -> None:
    """Question, call, result, answer."""
    called: list[str] = []
    agent = Agent(name="a", model=model, tools=[weather_tool(called)])

    if is_streamed:
        result: Any = Runner.run_streamed(agent, WEATHER)
        async for _ in result.stream_events():
            pass
    else:
        result = await Runner.run(agent, WEATHER)

    assert called == ["Paris"]
    assert "Rain, 11 degrees." in result.final_output


async def test_a_call_that_is_required_is_made(model: OpenAIChatCompletionsModel) -> None:
    """For a question that needs none."""
    called: list[str] = []
    settings = ModelSettings(tool_choice="required")
    agent = Agent(name="a", model=model, tools=[weather_tool(called)], model_settings=settings)

    await Runner.run(agent, "Hello")

    assert len(called) == 1


async def test_an_agent_hands_over_to_another(model: OpenAIChatCompletionsModel) -> None:
    """The other one answers the person."""
    poet = Agent(name="Poet", handoff_description="Writes jokes.", model=model)
    desk = Agent(name="Desk", model=model, handoffs=[poet])

    result = await Runner.run(desk, "Please transfer me to the poet, who tells me a joke")

    assert result.last_agent.name == "Poet"
    assert len(result.final_output) > 10


async def test_an_answer_has_the_type_that_was_asked_for(model: OpenAIChatCompletionsModel) -> None:
    """By a strict JSON schema."""
    agent = Agent(name="a", model=model, output_type=City)

    result = await Runner.run(agent, "The city 'Oslo' in the country 'Norway'")

    assert isinstance(result.final_output, City)
