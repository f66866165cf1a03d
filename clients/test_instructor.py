"""Through instructor, in each of the ways in which it asks for typed answers."""
# ruff: noqa: S101 - asserts are the point

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import instructor
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Served

QUESTION: Any = [{"role": "user", "content": "The city 'Oslo' in the country 'Norway'"}]
MODES = [instructor.Mode.TOOLS, instructor.Mode.JSON, instructor.Mode.JSON_SCHEMA]


class City(BaseModel):
    """A city in a country."""

    name: str
    country: str


@pytest.fixture
def sdk(served: Served) -> Iterator[OpenAI]:
    """The client below it."""
    with OpenAI(base_url=served.base_url, api_key=served.key, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_an_answer_has_the_type_that_was_asked_for(sdk: OpenAI, served: Served, mode: Any) -> None:
    """Whichever way it is asked for."""
    client = instructor.from_openai(sdk, mode=mode)

    city = client.chat.completions.create(model=served.model, response_model=City, messages=QUESTION, max_retries=0)

    assert isinstance(city, City)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_a_typed_answer_is_streamed(sdk: OpenAI, served: Served, mode: Any) -> None:
    """It grows field by field."""
    client = instructor.from_openai(sdk, mode=mode)

    grown = list(client.chat.completions.create_partial(model=served.model, response_model=City, messages=QUESTION))

    assert len(grown) > 1
    assert City.model_validate(grown[-1].model_dump())


def test_without_a_type_it_is_a_chat(sdk: OpenAI, served: Served) -> None:
    """The completion as it is."""
    client = instructor.from_openai(sdk)

    said = client.chat.completions.create(
        model=served.model, response_model=None, messages=[{"role": "user", "content": "What is 6 * 7?"}]
    )

    assert "42" in said.choices[0].message.content


async def test_the_client_that_does_not_block_does_the_same(served: Served) -> None:
    """A typed answer."""
    async with AsyncOpenAI(base_url=served.base_url, api_key=served.key, max_retries=0) as sdk:
        client = instructor.from_openai(sdk)
        city = await client.chat.completions.create(model=served.model, response_model=City, messages=QUESTION)

    assert isinstance(city, City)
