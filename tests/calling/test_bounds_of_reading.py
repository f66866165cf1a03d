"""The work on what an upstream sends is linear in its length, whatever it consists of and however it is cut."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mollm.calling import quoting, shapes
from mollm.calling.base import Chunk, Request
from mollm.calling.reading import ReplyReader
from mollm.calling.replies import check_reply
from mollm.calling.translate import from_status
from mollm.errors import LLMError
from mollm.llms.openai_compatible import LARGE, OpenAICompatibleLLM
from mollm.options import Settings
from mollm.printable import printable
from tests.fuzz import cases
from tests.upstream import Received, Reply, Upstream, answer
from tests.work import LINEAR, growth, repeated

if TYPE_CHECKING:
    from collections.abc import Callable

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
PLAIN = Request(({"role": "user", "content": "Hi"},), Settings())
TOOLS = Request(({"role": "user", "content": "Hi"},), Settings(tools=(TOOL,)))


def raw(text: str) -> None:
    """As the body of a reply."""
    body = text.encode("utf-8", "surrogatepass")
    for front in (b"", b'{"choices":[{"message":{"content":', b'{"choices":[{"message":{"content":"'):
        with suppress(LLMError):
            ReplyReader({}, None).completion(front + body, PLAIN)


def content(text: str) -> None:
    """As the text of a reply, and as its thoughts."""
    for request in (PLAIN, TOOLS):
        for message in ({"content": text}, {"content": f"<think>{text}"}, {"content": "x", "reasoning": text}):
            with suppress(LLMError):
                body = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
                completion = shapes.whole(request, ReplyReader({}, None).completion(body, request))
                check_reply(request, "stop", completion.message)


def calls(text: str) -> None:
    """As the arguments of a tool call, its name, and the text that a call is read from."""
    functions = ({"name": "f", "arguments": text}, {"name": text}, {"name": "f", "arguments": {"a": text}})
    messages: list[dict[str, Any]] = [{"tool_calls": [{"id": "1", "function": function}]} for function in functions]
    for message in [*messages, {"content": f"<tool_call>{text}"}, {"content": '{"name": "f", "arguments": ' + text}]:
        with suppress(LLMError):
            body = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
            shapes.whole(TOOLS, ReplyReader({}, None).completion(body, TOOLS))


def events(text: str) -> None:
    """As bytes of a stream that come in pieces."""
    body = text.encode("utf-8", "surrogatepass")
    for front in (b"", b"data: ", b'data: {"choices":[{"delta":{"content":"'):
        reader = ReplyReader({}, None)
        with suppress(LLMError):
            for start in range(0, len(body), 64):
                for data in reader.events((front if start == 0 else b"") + body[start : start + 64]):
                    with suppress(LLMError):
                        reader.chunk(data)


def streamed(text: str) -> None:
    """As the text of a stream that comes in pieces, after a thought has begun, and as arguments."""
    for request in (PLAIN, TOOLS):
        for before in ("", "<think>"):
            pieces = [{"content": piece} for piece in (before, *(text[n : n + 16] for n in range(0, len(text), 16)))]
            _shaped(request, pieces)
    call = {"index": 0, "id": "1"}
    _shaped(
        TOOLS,
        [
            {"tool_calls": [{**call, "function": {"name": "f", "arguments": text[n : n + 16]}}]}
            for n in range(0, len(text), 16)
        ],
    )


def _shaped(request: Request, deltas: list[dict[str, Any]]) -> None:
    made = shapes.Shapes(request, moves_thoughts=True, is_whole=False)
    with suppress(LLMError):
        for delta in deltas:
            made.piece(Chunk(delta))
        made.rest()


def refusal(text: str) -> None:
    """As what an upstream says of an error, which is quoted, and shown in a terminal."""
    for body in (text.encode("utf-8", "surrogatepass"), json.dumps({"error": {"message": text}}).encode()):
        for status in (400, 429, 500):
            error = from_status(status, {}, body, "a")
            quoting.quoted(error.said, PLAIN, ("a secret key",))
    printable(text)


READERS = (raw, content, calls, events, streamed, refusal)
PIECES = (
    *' \t\n\r\xa0\u2028"\\{}[],:<`.-1a@%é\ud83d',
    *('\\"', '{"', '{"a":', "[{", "}{", ',{"', "\r\n", "a ", "a\n", "1e", "nan", "inf ", "12345 "),
    *("<think>", "</think>", "<think", "</", "</think", "```", "```json\n{", "<tool_call>", "</tool_call>"),
    *("<function=", "[TOOL_CALLS]", "<|", "|>", "data:", "data: \n", 'data:"\n', "data: {\n", "data: a\n"),
    *("data: {}\n\n", "event: error\n", "{\n", "\\u0041", "\\n", "%41", "&#65;", "&amp;", "0x41 ", "00 "),
    *("sk-", "Bearer ", "key: ", "key=", "http://", "http://a", "://a@", "password ", "token ", "maximum context "),
    *("please try again in 1s ", "1 s ", '{"error":', "error: ", "retry "),
)


@pytest.mark.parametrize("reader", READERS, ids=[reader.__name__ for reader in READERS])
@pytest.mark.parametrize("piece", PIECES, ids=ascii)
def test_work_is_linear(reader: Callable[[str], None], piece: str) -> None:
    """Of one thing again and again; of four times as much, about four times the work."""
    assert growth(reader, repeated("", piece, "")) < LINEAR


SOME = st.sampled_from(PIECES) | st.text(max_size=4)


@settings(max_examples=cases(60))
@given(
    reader=st.sampled_from(READERS),
    before=st.lists(SOME, max_size=3).map("".join),
    pieces=st.lists(SOME, min_size=1, max_size=3).map("".join).filter(bool),
    after=st.lists(SOME, max_size=2).map("".join),
)
@example(reader=raw, before='{"a": "', pieces='\\"', after="")
@example(reader=raw, before='"', pieces='\\"', after="")
@example(reader=events, before="", pieces="data: \n", after="")
@example(reader=streamed, before="", pieces="\xa0", after="")
@example(reader=streamed, before="a", pieces="\u2028", after="</think>")
def test_work_is_linear_in_whatever_is_repeated(
    reader: Callable[[str], None], before: str, pieces: str, after: str
) -> None:
    """Several things together, with a beginning and an end."""
    assert growth(reader, repeated(before, pieces, after)) < LINEAR


async def test_a_large_reply_is_read_in_a_thread() -> None:
    """The event loop goes on; a small one is read at once."""
    async with Upstream() as upstream:
        text = "It is so. " * (LARGE // 10 + 1)

        def reply(received: Received) -> Reply:
            return answer(text if received.body["messages"][0]["content"] == "long" else "short")

        upstream.reply_to = reply
        llm = OpenAICompatibleLLM("m", api_base=upstream.base_url)
        used: list[bool] = []
        try:
            for asked, said in (("short", "short"), ("long", text)):
                request = Request(({"role": "user", "content": asked},), Settings())
                before = len(_threads())
                assert (await llm.complete(request)).message["content"] == said
                used.append(len(_threads()) > before)
        finally:
            await llm.aclose()
        assert used == [False, True]


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("asyncio_")]
