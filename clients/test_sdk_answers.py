"""Through the openai SDK: answers, whole and streamed, and what shapes them."""
# ruff: noqa: S101 - asserts are the point

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from caller import Caller, all_of, done, text_of
from openai import AsyncOpenAI, BadRequestError
from pydantic import BaseModel
from samples import png

if TYPE_CHECKING:
    from conftest import Served


class Person(BaseModel):
    """What is asked for as JSON."""

    name: str
    age: int


def image(width: int, height: int) -> str:
    """Make an image as a data: URL."""
    return "data:image/png;base64," + base64.b64encode(png(width, height)).decode()


async def test_a_whole_answer_has_every_field_of_the_protocol(caller: Caller) -> None:
    """Text, role, the end, and usage that adds up."""
    completion = await caller.ask("What is 17 * 3?")

    (choice,) = completion.choices
    assert "51" in choice.message.content
    assert (completion.object, choice.message.role, choice.finish_reason) == ("chat.completion", "assistant", "stop")
    assert choice.message.tool_calls is None
    assert completion.id
    assert completion.created > 0
    sent = completion.model_dump(exclude_unset=True)["choices"][0]
    assert sent["message"]["refusal"] is None
    assert sent["logprobs"] is None
    usage = completion.usage
    assert usage.prompt_tokens > 0
    assert usage.completion_tokens > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


@pytest.mark.mollm
async def test_an_answer_names_the_mixture(caller: Caller) -> None:
    """The model of a response is the mixture that answered, also where the router picked it."""
    named, routed = await caller.ask("Hello"), await caller.ask("Hello", model="router")

    assert named.model == caller.model
    assert routed.model == "single"


@pytest.mark.mollm
async def test_minus_one_token_means_no_limit_of_the_callers(caller: Caller) -> None:
    """The request that many demos send is answered as it stands."""
    messages = [
        {"role": "system", "content": "You are a helpful AI assistant."},
        {"role": "user", "content": "Please tell me a joke."},
    ]

    completion = await caller.ask(messages, model="router", temperature=0.7, max_tokens=-1, stream=False)

    assert completion.choices[0].finish_reason == "stop"
    assert "?" in completion.choices[0].message.content


async def test_a_stream_says_what_the_whole_answer_says(caller: Caller) -> None:
    """Role first, text in pieces, a reason with the last chunk only, and no chunk without a choice."""
    question = "Count from 1 to 20."
    whole = await caller.ask(question)

    chunks = await caller.chunks(question)

    assert text_of(chunks) == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert all(len(chunk.choices) == 1 for chunk in chunks)
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert sum(bool(chunk.choices[0].delta.content) for chunk in chunks) >= 10
    assert all(chunk.usage is None for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == 1
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}


async def test_every_chunk_of_a_stream_carries_a_finish_reason(caller: Caller) -> None:
    """Null on all but the last: clients in other languages fail where it is missing."""
    chunks = await caller.chunks("Hello")

    assert all("finish_reason" in chunk.model_dump(exclude_unset=True)["choices"][0] for chunk in chunks)


async def test_a_stream_ends_with_the_usage_where_it_is_asked_for(caller: Caller) -> None:
    """One more chunk, with no choice."""
    *chunks, last = await caller.chunks("Hello", stream_options={"include_usage": True})

    assert last.choices == []
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens > 0
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


async def test_tokens_come_while_the_answer_is_written(caller: Caller) -> None:
    """The first word is here long before the last: 800 tokens take 0.8 s at least."""
    begun = time.monotonic()
    arrivals = [
        time.monotonic() - begun
        async for chunk in caller.each("Write 800 words", max_tokens=1000)
        if chunk.choices[0].delta.content
    ]

    assert len(arrivals) >= 100
    assert arrivals[-1] - arrivals[0] > 0.4
    assert arrivals[-1] - arrivals[len(arrivals) // 2] > 0.2


async def test_the_sdks_own_accumulator_puts_a_stream_together(caller: Caller) -> None:
    """`chat.completions.stream` ends with a completion."""
    events, completion = await caller.run("Count from 1 to 5.", stream_options={"include_usage": True})

    assert completion.choices[0].message.content.endswith("1, 2, 3, 4, 5.")
    assert completion.usage.total_tokens > 0
    assert "".join(event.delta for event in events if event.type == "content.delta").endswith("5.")


@pytest.mark.panel
@pytest.mark.mollm
async def test_the_aggregator_answers_and_no_worker_is_heard(caller: Caller) -> None:
    """What a panel says is what its aggregator made of three proposals, streamed or not."""
    whole, chunks = await caller.ask("Hello"), await caller.chunks("Hello")

    for text in (whole.choices[0].message.content, text_of(chunks)):
        assert text == "Weighing 3 answers: Hello! How can I help you today?"


async def test_a_conversation_is_answered_as_one(caller: Caller) -> None:
    """Earlier messages count."""
    messages = [
        {"role": "user", "content": "My name is Alice."},
        {"role": "assistant", "content": "Hello Alice!"},
        {"role": "user", "content": "What is my name?"},
    ]

    assert "Alice" in (await caller.ask(messages)).choices[0].message.content


@pytest.mark.parametrize("role", ["system", "developer"])
async def test_a_system_message_is_heeded(caller: Caller, role: str) -> None:
    """Under both of its names."""
    messages = [
        {"role": role, "content": "Always respond with exactly two words."},
        {"role": "user", "content": "Say hello."},
    ]

    completion = await caller.ask(messages)

    assert len(completion.choices[0].message.content.split()) == 2


async def test_text_beyond_ascii_arrives_letter_for_letter(caller: Caller) -> None:
    """In both directions, also where a stream cuts between letters."""
    said = "Grüße an 你好啊集团 und 🦊🦊, « naïve »."

    assert said in (await caller.ask(f"Repeat after me: {said}")).choices[0].message.content
    assert said in text_of(await caller.chunks(f"Repeat after me: {said}"))


async def test_images_reach_the_llm(caller: Caller) -> None:
    """As data: URLs, several of them, streamed or not."""
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": image(8, 5)}},
        {"type": "image_url", "image_url": {"url": image(13, 21), "detail": "low"}},
    ]

    for text in ((await caller.ask(parts)).choices[0].message.content, text_of(await caller.chunks(parts))):
        assert "8 by 5 pixels" in text
        assert "13 by 21 pixels" in text


async def test_an_answer_is_parsed_into_a_class(caller: Caller) -> None:
    """`.parse` with a JSON schema made of a pydantic class, whole and streamed."""
    question = "The person is 'Ada Lovelace', 36 years old."

    completion = await caller.parse(question, response_format=Person)
    _, streamed = await caller.run(question, response_format=Person)

    for found in (completion, streamed):
        assert found.choices[0].message.parsed == Person(name="Ada Lovelace", age=36)


async def test_a_json_schema_shapes_the_answer(caller: Caller) -> None:
    """`response_format` in full, without the SDK's help."""
    schema = {
        "type": "object",
        "properties": {"mood": {"enum": ["sad", "glad"]}, "score": {"type": "integer", "minimum": 1, "maximum": 5}},
        "required": ["mood", "score"],
        "additionalProperties": False,
    }
    shape = {"type": "json_schema", "json_schema": {"name": "review", "schema": schema, "strict": True}}

    completion = await caller.ask("I am so glad, it is a 9!", response_format=shape)

    assert json.loads(completion.choices[0].message.content) == {"mood": "glad", "score": 5}


async def test_json_mode_gives_an_object(caller: Caller) -> None:
    """`json_object`; and `text` changes nothing."""
    question = "Give me JSON with the keys 'title' and 'year'."

    as_json = await caller.ask(question, response_format={"type": "json_object"})
    as_text = await caller.ask("Hello", response_format={"type": "text"})

    assert set(json.loads(as_json.choices[0].message.content)) == {"title", "year"}
    assert "Hello" in as_text.choices[0].message.content


async def test_a_seed_repeats_an_answer(caller: Caller) -> None:
    """The same seed, the same joke; another seed, another joke."""
    first, again, other = [
        (await caller.ask("Tell me a joke.", seed=seed)).choices[0].message.content for seed in (1, 1, 2)
    ]

    assert first == again != other


async def test_an_answer_ends_before_a_stop_sequence(caller: Caller) -> None:
    """One or several, streamed or not."""
    whole = await caller.ask("Count from 1 to 20.", stop=" 7")
    chunks = await caller.chunks("Count from 1 to 20.", stop=["nothing of it", " 5,"])

    assert whole.choices[0].message.content.endswith("5, 6,")
    assert whole.choices[0].finish_reason == "stop"
    assert text_of(chunks).endswith("3, 4,")


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_an_answer_is_as_long_as_it_may_be(caller: Caller, name: str) -> None:
    """Under both names; the reason is `length`, streamed or not."""
    whole = await caller.ask("Write 100 words", **{name: 5})
    chunks = await caller.chunks("Write 100 words", **{name: 5})

    assert whole.choices[0].finish_reason == chunks[-1].choices[0].finish_reason == "length"
    assert len(whole.choices[0].message.content.split()) <= 5
    assert text_of(chunks) == whole.choices[0].message.content


@pytest.mark.one_llm
async def test_log_probabilities_come_with_every_token(caller: Caller) -> None:
    """`logprobs` and `top_logprobs`, streamed or not."""
    whole = await caller.ask("Count from 1 to 5.", logprobs=True, top_logprobs=2)
    chunks = await caller.chunks("Count from 1 to 5.", logprobs=True, top_logprobs=2)

    streamed = [entry for chunk in chunks if (told := chunk.choices[0].logprobs) for entry in told.content]
    for entries in (whole.choices[0].logprobs.content, streamed):
        assert "".join(entry.token for entry in entries) == "1, 2, 3, 4, 5."
        assert all(entry.logprob < 0 and len(entry.top_logprobs) == 2 for entry in entries)


@pytest.mark.one_llm
async def test_n_choices_come_from_one_request(caller: Caller) -> None:
    """Each with its index, its text and its end, streamed or not."""
    whole = await caller.ask("Tell me a joke.", n=3, seed=1)
    chunks = await caller.chunks("Tell me a joke.", n=3, seed=1, stream_options={"include_usage": True})

    assert [choice.index for choice in whole.choices] == [0, 1, 2]
    texts = [choice.message.content for choice in whole.choices]
    assert len(set(texts)) == 3
    assert [text_of(chunks, index) for index in range(3)] == texts
    ends = [choice.index for chunk in chunks for choice in chunk.choices if choice.finish_reason == "stop"]
    assert sorted(ends) == [0, 1, 2]
    assert chunks[-1].usage.completion_tokens >= 3


@pytest.mark.panel
@pytest.mark.parametrize("options", [{"n": 2}, {"logprobs": True}, {"logprobs": True, "top_logprobs": 2}], ids=str)
async def test_several_llms_refuse_what_needs_a_single_one(caller: Caller, options: dict[str, Any]) -> None:
    """A 400 before anything is asked, streamed or not."""
    with pytest.raises(BadRequestError):
        await caller.ask("Hello", **options)
    with pytest.raises(BadRequestError):
        await caller.chunks("Hello", **options)


async def test_what_equals_the_default_always_passes(caller: Caller) -> None:
    """Clients send defaults without being asked to."""
    completion = await caller.ask(
        "Hello", n=1, logprobs=False, temperature=1, top_p=1, presence_penalty=0, frequency_penalty=0, stop=None
    )

    assert completion.choices[0].finish_reason == "stop"


async def test_fields_that_do_not_matter_here_are_ignored(caller: Caller) -> None:
    """Some of the protocol, some unheard of."""
    completion = await caller.ask(
        "Hello",
        user="someone",
        store=False,
        metadata={"purpose": "none"},
        service_tier="auto",
        prompt_cache_key="one",
        verbosity="low",
        extra_body={"unheard_of": {"deep": [1, 2]}},
    )

    assert completion.choices[0].finish_reason == "stop"


async def test_thoughts_come_beside_the_answer(caller: Caller) -> None:
    """`reasoning_content` of an LLM that thinks, and `reasoning_effort` that makes it."""
    whole = await caller.ask("Hello", model="deepseek-r", reasoning_effort="low")
    chunks = await caller.chunks("Hello", model="deepseek-r", reasoning_effort="low")

    thoughts = whole.choices[0].message.reasoning_content
    assert thoughts.startswith("First")
    assert "".join(getattr(c.choices[0].delta, "reasoning_content", None) or "" for c in chunks) == thoughts
    assert text_of(chunks) == whole.choices[0].message.content


async def test_many_at_once_each_get_their_own_answer(served: Served) -> None:
    """Sixteen questions in flight, half of them streamed."""
    async with AsyncOpenAI(base_url=served.base_url, api_key=served.key, max_retries=0) as sdk:
        caller = Caller(sdk, served.model)

        async def one(number: int) -> str:
            question = f"Repeat after me: {number} bottles"
            if number % 2:
                return text_of(await caller.chunks(question))
            return (await caller.ask(question)).choices[0].message.content

        texts = await asyncio.gather(*map(one, range(100, 116)))

    assert all(f"{number} bottles" in text for number, text in enumerate(texts, 100))


async def test_who_stops_reading_can_ask_again(caller: Caller) -> None:
    """A stream that is closed early leaves the connection pool usable."""
    for _ in range(3):
        stream = await caller.ask("Write 800 words", stream=True, max_tokens=1000)
        await done(stream.close())

    assert "Hello" in text_of(await all_of(await caller.ask("Hello", stream=True)))
