"""Replies of every provider's kind in one form, whole and streamed."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm.calling import shapes
from mollm.calling.attempt import ReliableLLM
from mollm.calling.base import Chunk, Completion, Request
from mollm.calling.streamed import StreamedReply
from mollm.errors import EmptyReply, LLMError, ProviderFailed
from mollm.llms.scripted import ScriptedLLM
from mollm.options import Settings
from mollm.types import Usage
from tests.clock import run_virtual

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from mollm.types import Message

TOOLS = Settings(tools=[{"type": "function", "function": {"name": "look"}}])
ASK = Request([{"role": "user", "content": "2+2?"}], is_answer=True)
ASK_WITH_TOOLS = Request(ASK.messages, TOOLS, is_answer=True)
LOOK = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def whole(
    message: Message, *, reason: str | None = "stop", request: Request = ASK_WITH_TOOLS, **options: Any
) -> Completion:
    """A whole reply in one form."""
    return shapes.whole(request, Completion(message, reason), **options)


def passed_on(
    *deltas: Message, reason: str | None = "stop", request: Request = ASK_WITH_TOOLS, **options: Any
) -> list[Chunk]:
    """The chunks of a streamed reply in one form."""

    async def sent() -> AsyncGenerator[Chunk, None]:
        for delta in deltas:
            yield Chunk(delta)
        yield Chunk(finish_reason=reason)

    async def collected() -> list[Chunk]:
        return [chunk async for chunk in shapes.streamed(request, sent(), **options)]

    return asyncio.run(collected())


def streamed(*deltas: Message, **options: Any) -> Completion:
    """A streamed reply in one form, put together again."""
    reply = StreamedReply()
    for chunk in passed_on(*deltas, **options):
        reply.add(chunk)
    return reply.completion(Usage())


def said(content: Any = None, **fields: Any) -> Message:
    """An assistant's message."""
    return {"role": "assistant", "content": content, **fields}


FORMS = [
    pytest.param(said("Four."), said("Four."), id="plain"),
    pytest.param(said([{"type": "text", "text": "Fo"}, {"type": "text", "text": "ur."}]), said("Four."), id="parts"),
    pytest.param(said(["Fo", {"type": "output_text", "text": "ur."}, None]), said("Four."), id="mixed parts"),
    pytest.param(said({"type": "text", "text": "Four."}), said("Four."), id="one part"),
    pytest.param(said([{"type": "text", "text": {"value": "Four."}}]), said("Four."), id="text with a value"),
    pytest.param(
        said([THINKING, {"type": "text", "text": "Four."}]),
        said("Four.", reasoning_content="Hm."),
        id="a thinking part",
    ),
    pytest.param(
        said([{"type": "thinking", "thinking": "Hm.", "signature": "s"}, {"type": "text", "text": "Four."}]),
        said(
            "Four.",
            reasoning_content="Hm.",
            thinking_blocks=[{"type": "thinking", "thinking": "Hm.", "signature": "s"}],
        ),
        id="a signed thinking part",
    ),
    pytest.param(
        said([{"type": "text", "text": "Four."}, {"type": "reference", "reference_ids": [1]}]),
        said("Four.", references=[{"type": "reference", "reference_ids": [1]}]),
        id="references",
    ),
    pytest.param(
        said([{"type": "text", "text": "See: "}, IMAGE]),
        said([{"type": "text", "text": "See: "}, IMAGE]),
        id="an image",
    ),
    pytest.param(
        said([{"type": "text", "text": "Hm: "}, {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": 1}}]),
        said("Hm: ", tool_calls=[LOOK]),
        id="a call among the parts",
    ),
    pytest.param(said("Four.", reasoning="Hm."), said("Four.", reasoning_content="Hm."), id="reasoning"),
    pytest.param(said("Four.", thinking="Hm."), said("Four.", reasoning_content="Hm."), id="thinking"),
    pytest.param(
        said("Four.", reasoning="Hm.", reasoning_content="Hm."), said("Four.", reasoning_content="Hm."), id="twice"
    ),
    pytest.param(
        said("Four.", reasoning="Hm.", reasoning_details=[{"type": "reasoning.text", "text": "Hm.", "signature": "s"}]),
        said(
            "Four.",
            reasoning_content="Hm.",
            reasoning_details=[{"type": "reasoning.text", "text": "Hm.", "signature": "s"}],
        ),
        id="with details",
    ),
    pytest.param(
        said("Four.", reasoning={"effort": "low"}), said("Four.", reasoning={"effort": "low"}), id="no thought"
    ),
    pytest.param(said("<think>Hm.</think>\nFour."), said("Four.", reasoning_content="Hm."), id="tags"),
    pytest.param(said(["<think>Hm.</think>", "Four."]), said("Four.", reasoning_content="Hm."), id="tags in parts"),
    pytest.param(said(tool_calls=[LOOK]), said(tool_calls=[LOOK]), id="calls"),
    pytest.param(said("", tool_calls=[LOOK]), said("", tool_calls=[LOOK]), id="calls beside an empty text"),
    pytest.param(
        said(tool_calls=[{"id": "c1", "function": {"name": "look", "arguments": {"at": 1}}}]),
        said(tool_calls=[LOOK]),
        id="arguments as an object",
    ),
    pytest.param(
        said("Four.", tool_calls=[], function_call=None, refusal=None, audio=None), said("Four."), id="empty fields"
    ),
    pytest.param(
        said("Four.", annotations=[1], further={"k": None}),
        said("Four.", annotations=[1], further={"k": None}),
        id="unknown fields",
    ),
]


@pytest.mark.parametrize(("given", "expected"), FORMS)
def test_a_message_has_one_form(given: Message, expected: Message) -> None:
    """Whole, and as a stream of one piece."""
    found = whole(given).message
    assert {key: value for key, value in found.items() if value is not None} == {
        key: value for key, value in expected.items() if value is not None
    }
    assert found["content"] == expected["content"]
    assert streamed(given).message == expected


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        ([{"content": [{"type": "text", "text": "Fo"}]}, {"content": "ur."}], said("Four.")),
        ([{"content": "Fo"}, {"content": [{"type": "text", "text": "ur."}]}], said("Four.")),
        (
            [{"content": [THINKING]}, {"content": [{"type": "text", "text": "Fo"}]}, {"content": "ur."}],
            said("Four.", reasoning_content="Hm."),
        ),
        ([{"reasoning": "H"}, {"reasoning": "m."}, {"content": "Four."}], said("Four.", reasoning_content="Hm.")),
        (
            [
                {"reasoning": "H", "reasoning_content": "H"},
                {"reasoning": "m.", "reasoning_content": "m."},
                {"content": "4"},
            ],
            said("4", reasoning_content="Hm."),
        ),
        (
            [
                {"reasoning": "Hm.", "reasoning_details": [{"type": "reasoning.text", "text": "Hm.", "index": 0}]},
                {"reasoning_details": [{"type": "reasoning.text", "text": "Hm.", "signature": "s", "index": 0}]},
                {"content": "4"},
            ],
            said(
                "4",
                reasoning_content="Hm.",
                reasoning_details=[
                    {"type": "reasoning.text", "text": "Hm.", "index": 0},
                    {"type": "reasoning.text", "text": "Hm.", "signature": "s", "index": 0},
                ],
            ),
        ),
        (
            [{"content": "See: "}, {"content": [IMAGE]}, {"content": "!"}],
            said([{"type": "text", "text": "See: "}, IMAGE, {"type": "text", "text": "!"}]),
        ),
        ([{"content": "", "tool_calls": None}, {"content": "Four.", "tool_calls": []}], said("Four.")),
        (
            [{"function_call": {"name": "look", "arguments": ""}}, {"function_call": {"arguments": '{"at": 1}'}}],
            said(tool_calls=[LOOK]),
        ),
    ],
)
def test_pieces_have_one_form(deltas: list[Message], expected: Message) -> None:
    """Also where a provider changes its form on the way."""
    found = streamed({"role": "assistant"}, *deltas).message

    for call in found.get("tool_calls", ()):
        call["id"] = "c1"
    assert found == expected


def test_a_plain_reply_is_not_touched() -> None:
    """Neither copied nor looked at twice."""
    completion = Completion({"role": "assistant", "content": "Four.", "annotations": None}, "stop", Usage(1, 2, 3))
    assert shapes.whole(ASK, completion) is completion


@pytest.mark.parametrize("content", [7, True, 1.5, {"answer": 4}, [7], [["Four."]], [{"a": 1}]])
def test_content_that_cannot_be_read_is_a_failure(content: Any) -> None:
    """Not an empty answer, and not the digits of something else."""
    with pytest.raises(ProviderFailed, match="content"):
        whole(said(content))
    with pytest.raises(ProviderFailed, match="content"):
        streamed({"content": content})


def test_the_old_way_to_call_a_function_is_the_new_one() -> None:
    """A `function_call`, of which a reader of today knows nothing."""
    (call,) = whole(said(function_call={"name": "look", "arguments": '{"at": 1}'}), reason="function_call").message[
        "tool_calls"
    ]

    assert {**call, "id": "c1"} == LOOK


@pytest.mark.parametrize("reason", ["stop", "function_call", None, "tool_calls"])
def test_a_reply_that_calls_tools_says_so(reason: str | None) -> None:
    """Agents look at the finish reason, and would take `stop` for the end."""
    assert whole(said(tool_calls=[LOOK]), reason=reason).finish_reason == "tool_calls"
    assert streamed({"tool_calls": [{"index": 0, **LOOK}]}, reason=reason).finish_reason == "tool_calls"


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_another_finish_reason_stays(reason: str) -> None:
    """A call that was cut off is none that ended."""
    assert whole(said(tool_calls=[LOOK]), reason=reason).finish_reason == reason
    assert streamed({"tool_calls": [{"index": 0, **LOOK}]}, reason=reason).finish_reason == reason


def test_without_tools_a_reply_stopped() -> None:
    """A call that small LLMs invent changes nothing about the text beside it."""
    assert whole(said("Four.", tool_calls=[LOOK]), request=ASK).finish_reason == "stop"


def test_thoughts_can_be_left_in_the_text() -> None:
    """For whoever asked for tags."""
    reply = "<think>Hm.</think>Four."
    assert whole(said(reply), moves_thoughts=False).message == said(reply)
    assert streamed({"content": reply}, moves_thoughts=False).message == said(reply)


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "Hm.", "Four.", " ", "\n", "<", "`"]), max_size=6),
    st.lists(st.integers(0, 50), max_size=5),
)
def test_whole_and_streamed_are_the_same(words: list[str], cuts: list[int]) -> None:
    """But for a closing tag alone, which a stream can only learn of too late."""
    reply = "".join(words)
    places = [0, *sorted(min(cut, len(reply)) for cut in cuts), len(reply)]
    deltas: list[Message] = [{"content": reply[a:b]} for a, b in pairwise(places)]

    def of(outcome: Any) -> Any:
        try:
            message = outcome().message
        except LLMError as error:
            return type(error)
        return (message["content"] or "", message.get("reasoning_content"))

    def checked() -> Completion:
        found = whole(said(reply))
        if not found.text.strip():
            raise EmptyReply("")
        return found

    if reply.lstrip().startswith("<think>") or "</think>" not in reply:
        assert of(lambda: streamed(*deltas)) == of(checked)


# Streams


class Thinker(ScriptedLLM):
    """Streams the given deltas, one a second, and then ends or fails."""

    def __init__(self, deltas: Sequence[Message], error: Exception | None = None) -> None:
        super().__init__("x")
        self.deltas, self.error, self.streams = deltas, error, 0

    async def stream(self, request: Request) -> AsyncGenerator[Chunk, None]:  # noqa: ARG002 - the interface
        self.streams += 1
        for delta in self.deltas:
            await asyncio.sleep(1)
            yield Chunk(delta)
        if self.error:
            raise self.error
        yield Chunk(finish_reason="stop")


async def heard(llm: ReliableLLM, request: Request) -> list[tuple[float, str, str]]:
    """What comes when: seconds, thought and text."""
    clock = asyncio.get_running_loop().time
    return [
        (clock(), chunk.delta.get("reasoning_content", ""), chunk.text)
        async for chunk in llm.stream(request)
        if chunk.delta
    ]


@pytest.mark.parametrize(
    "deltas",
    [
        [{"reasoning_content": "a"}, {"reasoning_content": "b"}, {"content": "Four."}],
        [{"reasoning": "a"}, {"reasoning": "b"}, {"content": "Four."}],
        [{"content": "<think>a"}, {"content": "b"}, {"content": "</think>Four."}],
        [{"content": [{"type": "thinking", "thinking": "a"}]}, {"thinking": "b"}, {"content": "Four."}],
    ],
)
def test_thoughts_of_an_answer_are_shown_as_they_come(deltas: list[Message]) -> None:
    """They are something to see; nobody looks at nothing for minutes."""
    found = run_virtual(heard(ReliableLLM("m", Thinker(deltas)), ASK))

    assert [found[0], found[-1]] == [(1, "a", ""), (3, "", "Four.")]


def test_thoughts_alone_are_no_answer() -> None:
    """The stream ends with the failure, and it is not tried again after something was shown."""
    thinker = Thinker([{"reasoning_content": "a"}, {"content": "\n"}])

    with pytest.raises(EmptyReply, match="reasoning alone") as caught:
        run_virtual(heard(ReliableLLM("m", thinker, retries=2), ASK))

    assert caught.value.code == "reasoning_only"
    assert thinker.streams == 1


def test_a_thought_that_is_never_closed_is_no_answer() -> None:
    """It was cut off before the answer began, also where it stands between tags."""
    llm = ReliableLLM("m", ScriptedLLM("<think>Hm. The sum"))
    with pytest.raises(EmptyReply, match="reasoning alone"):
        run_virtual(llm.complete(ASK))
    with pytest.raises(EmptyReply, match="reasoning alone"):
        run_virtual(heard(llm, ASK))


def test_what_was_shown_is_not_tried_again() -> None:
    """A stream that fails after a thought fails; before one it is tried again."""
    shown = Thinker([{"reasoning_content": "a"}], ProviderFailed("gone"))
    held = Thinker([{"role": "assistant"}], ProviderFailed("gone"))
    for thinker, streams in ((shown, 1), (held, 2)):
        with pytest.raises(ProviderFailed, match="gone"):
            run_virtual(heard(ReliableLLM("m", thinker, retries=1), ASK))
        assert thinker.streams == streams


def test_a_stream_is_closed_when_its_reader_leaves() -> None:
    """The connection of an LLM behind it as well."""
    fake = ScriptedLLM("one two three")

    async def run() -> None:
        chunks = ReliableLLM("m", fake).stream(ASK)
        await anext(chunks)
        await chunks.aclose()

    run_virtual(run())
    assert fake.cancelled == 1
