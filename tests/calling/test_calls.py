"""The books of a request: what every call brought, took and cost, and who was told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm.calling.attempt import Price, ReliableLLM
from mollm.calling.base import Chunk, Completion, Request
from mollm.calling.calls import Allowance, Calls
from mollm.calling.streamed import StreamedReply
from mollm.errors import BadRequest, LimitError, LLMError, ProviderFailed, RateLimited, TimedOut, Unreachable
from mollm.events import CallEnded, CallStarted
from mollm.llms.scripted import Reply, Script, ScriptedLLM
from mollm.observing.observers import NOBODY
from mollm.types import Call, Failure, PlannedCall, Usage
from tests.clock import run_virtual

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.calling.calls import Outcome
    from mollm.events import Event, Token
    from mollm.types import Message

ASK = Request([{"role": "user", "content": "x" * 400}])
USED = Usage(1000, 100, 1100)
ESTIMATED = Usage(100, 0, 100, estimated=True)
"""Of a call that brought nothing: its prompt, at four characters a token."""


def calls_to(
    script: Script | Sequence[Script], *, deadline: float | None = None, watch: Watching | None = None
) -> Calls:
    """The books of a request that calls one LLM, `m`, priced 1 and 10 USD per million tokens."""
    llm = ReliableLLM("m", ScriptedLLM(script), retries=0, price=Price(1, 10))
    return Calls({"m": llm}, deadline=deadline, observer=watch or NOBODY)


class Watching:
    """Notes what it is told of every call."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def tell(self, event: Event) -> None:
        match event:
            case CallStarted(1, role, llm, request, is_answer):
                assert request is ASK
                self.told.append(f"{role} {llm}{' shown' if is_answer else ''}")
            case CallEnded(1, _, Completion() as completion, None):
                self.told.append(f"end {completion.text!r}")
            case CallEnded(1, _, None, error):
                self.told.append(f"error {type(error).__name__}")
            case _:
                raise AssertionError(event)

    async def show(self, token: Token) -> None:
        raise AssertionError(f"whoever asked for the pieces shows them, but {token} came")

    async def hear(self, chunk: Chunk) -> None:
        self.told.append(f"chunk {chunk.text!r}")


async def unheard(chunk: Chunk) -> None:
    """Nobody looks at the pieces."""


@pytest.mark.parametrize("streamed", [False, True])
def test_a_call_is_entered_with_what_it_took(streamed: bool) -> None:
    """Role, usage as the provider reports it, its price, the seconds."""
    calls = calls_to(Reply("yes", delay=3, usage=USED))

    attempt = run_virtual(calls.attempt("bypass", "m", ASK, show=unheard if streamed else None))

    assert attempt.completion is not None
    assert attempt.completion.text == "yes"
    assert attempt.error is None
    assert calls.spent == [attempt.call]
    assert (attempt.call.role, attempt.call.llm, attempt.call.error) == ("bypass", "m", None)
    assert attempt.call.usage == USED
    assert attempt.call.cost_usd == pytest.approx(0.002)
    assert attempt.call.seconds == pytest.approx(3)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_usage_that_did_not_come_is_estimated(streamed: bool) -> None:
    """From the characters of prompt and reply, and marked."""
    calls = calls_to("x" * 40)

    attempt = run_virtual(calls.attempt("worker", "m", ASK, show=unheard if streamed else None))

    assert attempt.call.usage == Usage(100, 10, 110, estimated=True)
    assert attempt.call.cost_usd == pytest.approx(0.0002)


@pytest.mark.parametrize(
    ("error", "usage"),
    [
        (BadRequest("x", status=422), Usage()),
        (RateLimited("x", status=429), Usage()),
        (Unreachable("x"), Usage()),
        (ProviderFailed("x", status=500), Usage()),
        (TimedOut("x"), ESTIMATED),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_failure_is_returned_and_entered(error: LLMError, usage: Usage, streamed: bool) -> None:
    """One that was turned away cost nothing; one that ran and brought nothing was paid for."""
    calls = calls_to(error)

    attempt = run_virtual(calls.attempt("worker", "m", ASK, show=unheard if streamed else None))

    assert attempt.completion is None
    assert isinstance(attempt.error, type(error))
    assert calls.spent == [attempt.call]
    assert attempt.call.error == Failure(error.kind, error.status, "x")
    assert attempt.call.usage == usage


@pytest.mark.parametrize(("reply", "kind"), [(Reply(""), "empty"), (Reply(finish_reason="content_filter"), "refused")])
def test_a_reply_of_nothing_was_paid_for(reply: Reply, kind: str) -> None:
    """The provider has read the prompt."""
    calls = calls_to(reply)

    attempt = run_virtual(calls.attempt("worker", "m", ASK))

    assert attempt.call.error is not None
    assert attempt.call.error.kind == kind
    assert attempt.call.usage == ESTIMATED


def test_what_was_written_before_a_stream_broke_is_paid_for() -> None:
    """Estimated from what came."""
    calls = calls_to(Reply("12345678 rest", error=ProviderFailed("gone"), breaks_after=1))
    shown: list[str] = []

    async def show(chunk: Chunk) -> None:
        shown.append(chunk.text)

    attempt = run_virtual(calls.attempt("aggregator", "m", ASK, show=show))

    assert "".join(shown) == "12345678"
    assert attempt.error is not None
    assert attempt.call.usage == Usage(100, 2, 102, estimated=True)


def test_a_cancelled_call_is_entered() -> None:
    """Its prompt is estimated; its seconds are those it ran."""
    calls = calls_to(Reply("late", delay=100))

    async def run() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(calls.attempt("worker", "m", ASK), 2)
        assert calls.spent[0].seconds == pytest.approx(2)

    run_virtual(run())
    assert [(call.usage, call.error and call.error.kind) for call in calls.spent] == [(ESTIMATED, "cancelled")]


def test_calls_are_entered_as_they_end() -> None:
    """Not in the order in which they began."""
    calls = Calls(
        {name: ReliableLLM(name, ScriptedLLM(Reply("x", delay=at))) for name, at in (("slow", 2), ("quick", 1))}
    )

    async def run() -> None:
        await asyncio.gather(calls.attempt("worker", "slow", ASK), calls.attempt("worker", "quick", ASK))

    run_virtual(run())
    assert [call.llm for call in calls.spent] == ["quick", "slow"]
    assert all(call.cost_usd is None for call in calls.spent), "no price, no cost"


@pytest.mark.parametrize(
    ("requests", "own", "ends"), [(None, 5.0, 5), (5.0, None, 5), (5.0, 9.0, 5), (9.0, 5.0, 5), (None, None, 120)]
)
@pytest.mark.parametrize("streamed", [False, True])
def test_the_earlier_deadline_holds(requests: float | None, own: float | None, ends: float, streamed: bool) -> None:
    """The request's and the call's own; without either the LLM's own time."""
    calls = calls_to(Reply("late", delay=1000), deadline=requests)

    async def run() -> tuple[Outcome, float]:
        attempt = await calls.attempt("worker", "m", ASK, deadline=own, show=unheard if streamed else None)
        return attempt, asyncio.get_running_loop().time()

    attempt, at = run_virtual(run())
    assert isinstance(attempt.error, TimedOut)
    assert at == pytest.approx(60 if streamed and ends == 120 else ends)


def test_every_chunk_is_shown_before_the_next_is_read() -> None:
    """A reader that is slow holds the stream, so nothing piles up."""
    fake = ScriptedLLM("one two three")
    calls = Calls({"m": ReliableLLM("m", fake)})
    log: list[str] = []

    async def show(chunk: Chunk) -> None:
        log.append(f"begin {chunk.text}")
        await asyncio.sleep(20)
        log.append(f"end {chunk.text}")

    attempt = run_virtual(calls.attempt("aggregator", "m", ASK, show=show))

    assert attempt.error is None, "the reader's time is not the provider's"
    assert [entry.split()[0] for entry in log] == ["begin", "end"] * (len(log) // 2)
    assert [entry.split()[1] for entry in log if entry.startswith("end ") and entry != "end "] == [
        "one",
        "two",
        "three",
    ]


def test_a_reader_that_goes_away_closes_the_stream() -> None:
    """Its error ends the call, and the connection is given back."""
    fake = ScriptedLLM("one two three")
    calls = Calls({"m": ReliableLLM("m", fake)})

    async def show(chunk: Chunk) -> None:
        raise ConnectionResetError(chunk.text)

    with pytest.raises(ConnectionResetError):
        run_virtual(calls.attempt("aggregator", "m", ASK, show=show))

    assert fake.cancelled == 1


@pytest.mark.parametrize(
    ("script", "streamed", "told"),
    [
        ("one two", False, ["worker m", "end 'one two'"]),
        (
            "one two",
            True,
            ["worker m shown", "chunk ''", "chunk 'one'", "chunk ' two'", "chunk ''", "end 'one two'"],
        ),
        (BadRequest("x"), False, ["worker m", "error BadRequest"]),
        (BadRequest("x"), True, ["worker m shown", "error BadRequest"]),
        (
            Reply("one two", error=ProviderFailed("x"), breaks_after=1),
            True,
            ["worker m shown", "chunk ''", "chunk 'one'", "error ProviderFailed"],
        ),
    ],
)
def test_whoever_watches_is_told_once(script: Script, streamed: bool, told: list[str]) -> None:
    """A start, the pieces of a streamed reply, and one end."""
    watch = Watching()
    calls = calls_to(script, watch=watch)

    run_virtual(calls.attempt("worker", "m", ASK, show=watch.hear if streamed else None))

    assert watch.told == told


def test_whoever_watches_is_told_of_a_cancellation() -> None:
    """It is the end of the call."""
    watch = Watching()
    calls = calls_to(Reply("late", delay=100), watch=watch)

    async def run() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(calls.attempt("worker", "m", ASK), 2)

    run_virtual(run())
    assert watch.told == ["worker m", "error CancelledError"]


def together(*deltas: Message, **last: Any) -> Completion:
    """The reply that these pieces make."""
    reply = StreamedReply()
    for delta in deltas:
        reply.add(Chunk(delta))
    reply.add(Chunk(**last))
    return reply.completion(Usage(estimated=True))


def test_pieces_of_text_are_joined() -> None:
    """Content and reasoning each for itself; what comes once stays as it is; the role does not pile up."""
    completion = together(
        {"role": "assistant", "reasoning_content": "Hm, "},
        {"role": "assistant", "reasoning_content": "well."},
        {"content": "The "},
        {"content": "answer.", "refusal": None, "annotations": [{"a": 1}]},
        {"annotations": [{"b": 2}]},
        finish_reason="stop",
        usage=USED,
    )

    assert completion == Completion(
        {
            "role": "assistant",
            "content": "The answer.",
            "reasoning_content": "Hm, well.",
            "annotations": [{"a": 1}, {"b": 2}],
        },
        "stop",
        USED,
    )


def test_a_reply_of_no_pieces_is_empty() -> None:
    """With the estimate for its usage."""
    assert together() == Completion({"role": "assistant", "content": None}, None, Usage(estimated=True))


def call(index: int | None = None, **fields: Any) -> Message:
    """A delta with a piece of a tool call."""
    return {"tool_calls": [{**({} if index is None else {"index": index}), **fields}]}


def function(arguments: str, name: str | None = None) -> Message:
    """The part that names the function and goes on with its arguments."""
    return {"arguments": arguments, **({"name": name} if name else {})}


LOOK = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}


def test_further_fields_of_a_tool_call_are_kept() -> None:
    """Some providers want back what they put there."""
    message = together(call(0, **LOOK, extra_content={"google": {"thought_signature": "x"}})).message

    assert message["tool_calls"] == [{**LOOK, "extra_content": {"google": {"thought_signature": "x"}}}]


@given(st.lists(st.text()), st.lists(st.text()))
def test_no_character_is_lost(contents: list[str], arguments: list[str]) -> None:
    """However the pieces are cut."""
    pieces: list[Message] = [{"content": text} for text in contents]
    pieces += [call(0, function=function(text)) for text in arguments]

    message = together(*pieces).message

    assert (message["content"] or "") == "".join(contents)
    assert not arguments or message["tool_calls"][0]["function"]["arguments"] == "".join(arguments)


def test_log_probabilities_are_joined() -> None:
    """Token after token; other things a provider may put there are left out."""
    reply = StreamedReply()
    for logprobs in ({"content": [{"token": "a"}]}, None, {"content": None}, {"content": [{"token": "b"}]}):
        reply.add(Chunk({"content": "x"}, logprobs=logprobs))

    assert reply.completion(Usage()).logprobs == {"content": [{"token": "a"}, {"token": "b"}]}


def test_a_call_that_one_of_several_may_make_is_made_once() -> None:
    """By whichever; a call that only one may make is used up first, and what was spent is subtracted."""
    own, shared = PlannedCall("fallback", "a", 10, 1), PlannedCall("fallback", "b", 10, 1, others=("a", "c"))

    left = Allowance([own, shared])
    left.take("fallback", "a", 10)
    assert [left.has("fallback", name, 10) for name in "abcd"] == [True, True, True, False]
    assert not left.has("fallback", "c", 11)
    left.take("fallback", "c", 5)
    assert not any(left.has("fallback", name, 1) for name in "abc")
    with pytest.raises(LimitError, match="more calls than it planned"):
        left.take("fallback", "b", 1)

    spent = Call("fallback", "c", Usage(1, 5, 6), None, 1.0)
    assert not Allowance([shared], [spent]).has("fallback", "b", 1)
    assert Allowance([own, shared], [spent]).has("fallback", "a", 10)
