"""Through LlamaIndex's `OpenAILike`: chat, streams, tools, an agent, typed answers."""
# ruff: noqa: S101 - asserts are the point

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

if TYPE_CHECKING:
    from conftest import Served

WEATHER = "What is the weather in Paris?"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # LlamaIndex warns of its own code


class City(BaseModel):
    """A city in a country."""

    name: str
    country: str


@pytest.fixture
def llm(served: Served) -> OpenAILike:
    """What is asked, as LlamaIndex addresses it."""
    return OpenAILike(
        model=served.model,
        api_base=served.base_url,
        api_key=served.key,
        is_chat_model=True,
        is_function_calling_model=True,
        max_retries=0,
    )


def weather_tool(called: list[str]) -> FunctionTool:
    """A tool; `called` gets its arguments."""

    def get_weather(location: str) -> str:
        """Tell the weather of a city."""
        called.append(location)
        return "Rain, 11 degrees."

    return FunctionTool.from_defaults(get_weather)


def test_a_chat_goes_on(llm: OpenAILike) -> None:
    """A second question knows the first."""
    messages = [
        ChatMessage(role="user", content="Hello, my name is Ada."),
        ChatMessage(role="assistant", content="Hello."),
        ChatMessage(role="user", content="What is my name?"),
    ]

    assert "Ada" in (llm.chat(messages).message.content or "")


async def test_a_stream_grows(llm: OpenAILike) -> None:
    """Blocking and not."""
    question = [ChatMessage(role="user", content="Count from 1 to 30.")]
    pieces = [piece.delta or "" for piece in llm.stream_chat(question)]
    others = [piece.delta or "" async for piece in await llm.astream_chat(question)]

    assert len(pieces) > 5
    assert len(others) > 5
    assert "29, 30" in "".join(pieces)


def test_a_tool_is_called(llm: OpenAILike) -> None:
    """And its arguments are parsed."""
    called: list[str] = []

    response = llm.predict_and_call([weather_tool(called)], user_msg=WEATHER)

    assert called == ["Paris"]
    assert "Rain" in str(response)


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
async def test_an_agent_ends_with_what_the_tool_said(llm: OpenAILike, is_streamed: bool) -> None:
    """Question, call, result, answer."""
    called: list[str] = []
    agent = FunctionAgent(tools=[weather_tool(called)], llm=llm, streaming=is_streamed)

    result = await agent.run(WEATHER)

    assert called == ["Paris"]
    assert "Rain, 11 degrees." in str(result)


def test_an_answer_has_the_type_that_was_asked_for(llm: OpenAILike) -> None:
    """By a call that is forced."""
    question = [ChatMessage(role="user", content="The city 'Oslo' in the country 'Norway'")]

    assert isinstance(llm.as_structured_llm(City).chat(question).raw, City)
