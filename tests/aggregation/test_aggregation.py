"""Proposals to answer: who writes or picks it, what happens when that fails, and what the answer says of it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mollm import MoLLM
from mollm.aggregation.aggregate import aggregate
from mollm.aggregation.base import Brief, best_proposal
from mollm.aggregation.showing import CUT_OFF
from mollm.aggregation.writing import Writers
from mollm.assembling import AGGREGATORS
from mollm.calling.attempt import ReliableLLM
from mollm.calling.calls import Calls
from mollm.errors import AggregationError, BadRequest
from mollm.events import CallEnded, CallStarted, Token, Writing
from mollm.final.replies import final_answer
from mollm.fitting import SHORTENED, TOKENS_FOR_TEMPLATE, shorten
from mollm.llms.scripted import Reply, Script, ScriptedLLM
from mollm.messages import BYTES_PER_TOKEN_AT_LEAST, text_of
from mollm.observing.observers import NOBODY
from mollm.options import Settings
from mollm.prompts import parse_prompt
from mollm.types import Proposal, Written
from tests.clock import run_virtual

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.events import Event
    from mollm.types import Message

Method: TypeAlias = Literal["synthesize", "vote", "best"]

PROMPT = parse_prompt("Q: {{ question }}\n{{ proposals }}", "aggregator", "p.md")
QUESTION = "What is it?"
OPEN = ("It depends on what one calls a pile.", "Nobody has ever counted the sand.", "Piles come in many sizes.")
BROKEN = Reply(error=BadRequest("rejected"))
CUT = Reply("Half an ans", finish_reason="length")


class Heard:
    """A listener that notes the pieces of an answer."""

    def __init__(self) -> None:
        self.tokens: list[Token] = []

    def tell(self, event: Event) -> None:
        assert isinstance(event, Writing | CallStarted | CallEnded), f"an aggregator calls and writes, but {event} came"

    async def show(self, token: Token) -> None:
        self.tokens.append(token)

    @property
    def text(self) -> str:
        """What a reader has seen."""
        return "".join(token.text for token in self.tokens)


def proposals(*texts: str, truncated: Sequence[int] = ()) -> list[Proposal]:
    """What workers a, b, c ... have brought."""
    return [
        Proposal(worker, worker, 1, text, final_answer(text), truncated=index in truncated)
        for index, (worker, text) in enumerate(zip("abcdef", texts, strict=False))
    ]


class Stage:
    """An aggregator `boss` with a fallback `deputy`, each following a script where it has one."""

    def __init__(
        self,
        boss: Script | Sequence[Script] | None = "The answer.",
        deputy: Script | None = None,
        *,
        method: Method = "synthesize",
        settings: Settings = Settings(),
        shuffle: bool = False,
        window: int = 8192,
    ) -> None:
        self.fakes = {
            name: ScriptedLLM(script) for name, script in (("boss", boss), ("deputy", deputy)) if script is not None
        }
        self.calls = Calls(
            {name: ReliableLLM(name, fake, retries=0, window=window) for name, fake in self.fakes.items()}
        )
        self.aggregator = AGGREGATORS[method](
            Writers(
                "boss" if boss is not None else None,
                PROMPT,
                "deputy" if deputy is not None else None,
                settings,
                shuffle,
            )
        )

    def play(self, task: Brief) -> Written:
        """Aggregate."""
        return run_virtual(aggregate(self.aggregator, task, self.calls))

    @property
    def asked(self) -> str:
        """The last message that the boss got."""
        return text_of(self.fakes["boss"].requests[-1].messages[-1]["content"])

    @property
    def called(self) -> list[str]:
        """On whose behalf which LLM was called, in order."""
        return [f"{call.role} {call.llm}" for call in self.calls.spent]


def task(
    *texts: str,
    truncated: Sequence[int] = (),
    caller: Settings = Settings(),
    agreed: bool = False,
    planned: int | None = None,
    listener: Heard | None = None,
    messages: Sequence[Message] = ({"role": "user", "content": QUESTION},),
) -> Brief:
    """A question with the proposals that came for it."""
    found = proposals(*texts, truncated=truncated)
    count = len(found) if planned is None else planned
    return Brief(messages, found, caller, agreed, count, listener or NOBODY, listener is not None)


@pytest.mark.parametrize("listens", [False, True])
def test_the_aggregator_writes_the_answer(listens: bool) -> None:
    """From the question and all the proposals, in one call."""
    heard = Heard() if listens else None
    stage = Stage("It is a pile.")

    written = stage.play(task(*OPEN, listener=heard))

    assert written == Written({"role": "assistant", "content": "It is a pile."})
    assert stage.called == ["aggregator boss"]
    assert stage.asked.startswith(f"{QUESTION}\n\nQ: {QUESTION}\n<answer-")
    assert [stage.asked.find(text) for text in OPEN] == sorted(stage.asked.find(text) for text in OPEN)
    assert heard is None or heard.text == "It is a pile."


@pytest.mark.parametrize("method", ["synthesize", "vote", "best"])
@pytest.mark.parametrize("listens", [False, True])
def test_agreement_is_answered_verbatim(method: Method, listens: bool) -> None:
    """The earliest of those that agree is the answer, and no LLM is called."""
    heard = Heard() if listens else None
    stage = Stage(method=method)

    written = stage.play(task("I say 8.", "The answer is 7.", "7", agreed=True, listener=heard))

    assert written == Written({"role": "assistant", "content": "The answer is 7."}, proposed_by="b")
    assert stage.called == []
    assert heard is None or heard.text == "The answer is 7."


@pytest.mark.parametrize("method", ["synthesize", "vote", "best"])
def test_a_single_proposal_is_the_answer_and_says_so(method: Method) -> None:
    """There is nothing to aggregate; where more were planned the answer is degraded."""
    stage = Stage(method=method)

    assert stage.play(task(OPEN[0], planned=3)).degraded == ("only 1 of 3 proposals arrived",)
    assert stage.play(task(OPEN[0], planned=1)) == Written({"role": "assistant", "content": OPEN[0]}, proposed_by="a")
    assert stage.called == []


def test_a_truncated_proposal_ends_with_length() -> None:
    """What was cut off is not passed off as whole."""
    assert Stage().play(task(OPEN[0], truncated=[0])).finish_reason == "length"


@pytest.mark.parametrize("window", [8192, 500], ids=["whole", "shortened"])
def test_an_aggregator_is_told_which_proposal_was_cut_off(window: int) -> None:
    """Else it would take the end of one for the end of what there is to say."""
    stage = Stage(Reply("Well."), window=window, settings=Settings(max_tokens=1))

    stage.play(task("x" * 900, "y" * 900, truncated=[1]))

    x, y = (part.partition("\n</answer")[0] for part in stage.asked.split(" number=")[1:])
    assert CUT_OFF not in x
    assert y.endswith(CUT_OFF)
    assert (SHORTENED in y) == (window == 500)


@pytest.mark.parametrize(
    ("texts", "worker", "answer"),
    [
        (("8", "The answer is 7.", "7"), "b", "The answer is 7."),
        (("7", "8", "8", "7"), "a", "7"),
        (("8", "7", OPEN[0], "The answer is 7."), "b", "7"),
    ],
)
def test_a_vote_answers_with_the_largest_group(texts: tuple[str, ...], worker: str, answer: str) -> None:
    """Verbatim, the earliest of the group; of equal groups the earlier one."""
    stage = Stage(None, method="vote")

    assert stage.play(task(*texts)) == Written({"role": "assistant", "content": answer}, proposed_by=worker)


def test_a_vote_without_a_group_of_two() -> None:
    """It is synthesized where an LLM is named for that, else the first listed stands."""
    asked, not_asked = Stage("It is 9.", method="vote"), Stage(None, method="vote")

    assert asked.play(task("7", "8")).message["content"] == "It is 9."
    assert asked.called == ["aggregator boss"]
    assert not_asked.play(task("7", "8")).message["content"] == "7"
    assert not_asked.play(task(*OPEN)).message["content"] == OPEN[0]


@pytest.mark.parametrize("reply", ["2", "Answer 2 is best.", "**2**", "<answer number=2>", "2 of 3"])
def test_the_best_is_picked_by_its_number(reply: str) -> None:
    """The first number in the reply counts; the proposal is the answer, verbatim."""
    heard = Heard()
    stage = Stage(reply, method="best")

    written = stage.play(task(*OPEN, listener=heard))

    assert written == Written({"role": "assistant", "content": OPEN[1]}, proposed_by="b")
    assert heard.text == OPEN[1], "the number is not shown"


def test_the_number_counts_in_the_order_that_was_shown() -> None:
    """Shuffled proposals are numbered as the aggregator sees them."""
    stage = Stage("1", method="best", shuffle=True)

    for seed in range(8):
        written = stage.play(task(*OPEN, caller=Settings(seed=seed)))
        assert stage.asked.split("number=1>\n")[1].startswith(str(written.message["content"]))


@pytest.mark.parametrize("reply", ["0", "4", "none of them", "-", "9" * 5000])
def test_a_best_that_names_none_falls_back(reply: str) -> None:
    """A number that no proposal has is no choice, however long it is."""
    written = Stage(reply, method="best").play(task(*OPEN))

    assert written.message["content"] == OPEN[0]
    assert written.degraded == ("the aggregator boss named no proposal", "the best proposal (a) is the answer")


def test_who_picks_the_best_is_not_bound_by_the_callers_wishes() -> None:
    """Length, form and stop of the answer are meant for whoever writes it; the seed is for all."""
    stage = Stage("2", method="best", settings=Settings(temperature=0.5))
    caller = Settings(max_tokens=500, temperature=2.0, stop=["2"], seed=7, response_format={"type": "json_object"})

    stage.play(task(*OPEN, caller=caller))

    assert stage.fakes["boss"].requests[0].settings == Settings(max_tokens=1024, temperature=0.5, seed=7)


def test_who_writes_the_answer_is_bound_by_them() -> None:
    """What the caller sets wins over what the mixture sets."""
    stage = Stage("2", settings=Settings(temperature=0.5, max_tokens=9))
    caller = Settings(temperature=2.0, stop=["2"], seed=7, response_format={"type": "json_object"})

    stage.play(task(*OPEN, caller=caller))

    assert stage.fakes["boss"].requests[0].settings == replace(caller, max_tokens=9)


@pytest.mark.parametrize(
    ("boss", "reason"),
    [
        (BROKEN, "the aggregator boss: rejected"),
        (Reply(""), "the aggregator boss: the reply has no text"),
        (Reply(" \n"), "the aggregator boss: the reply has no text"),
        (Reply(message={"role": "assistant", "content": None, "reasoning_content": "Hm."}), "holds reasoning alone"),
        (Reply(finish_reason="content_filter"), "content filter"),
        (CUT, "the aggregator boss was cut off by its token limit"),
    ],
)
@pytest.mark.parametrize("deputy", [None, "From the deputy.", CUT, BROKEN])
def test_a_failed_aggregator_never_costs_the_answer(boss: Reply, reason: str, deputy: Script | None) -> None:
    """The fallback LLM writes it, else the best proposal is it; why stands in the answer."""
    stage = Stage(boss, deputy)

    written = stage.play(task("8", "The answer is 7.", "7"))

    assert reason in written.degraded[0]
    if deputy == "From the deputy.":
        assert written.message["content"] == "From the deputy."
        assert len(written.degraded) == 1
    else:
        assert written.message["content"] == "The answer is 7."
        assert written.degraded[-1] == "the best proposal (b) is the answer"
        assert len(written.degraded) == (2 if deputy is None else 3)
    assert stage.called == ["aggregator boss", *(["fallback deputy"] if deputy else [])]


def test_a_failure_before_the_first_token_is_not_seen() -> None:
    """A reader of the stream gets the fallback's answer alone, or the best proposal."""
    heard = Heard()

    written = Stage(BROKEN, "From the deputy.").play(task(*OPEN, listener=heard))
    assert heard.text == written.message["content"] == "From the deputy."

    heard = Heard()
    written = Stage(BROKEN, Reply("")).play(task(*OPEN, listener=heard))
    assert heard.text == written.message["content"] == OPEN[0]
    assert len(written.degraded) == 3


@pytest.mark.parametrize("shown", [1, 2])
def test_what_was_shown_cannot_be_taken_back(shown: int) -> None:
    """After the first token a failure is an error, although there is a fallback."""
    heard = Heard()
    stage = Stage(Reply("One two three.", error=BadRequest("gone"), breaks_after=shown), "From the deputy.")

    with pytest.raises(AggregationError, match="the answer broke off: boss: gone"):
        stage.play(task(*OPEN, listener=heard))

    assert heard.text == "One two three."[: len("One two") if shown == 2 else len("One")]
    assert stage.called == ["aggregator boss"]


def test_tokens_are_shown_as_they_come() -> None:
    """Piece by piece, with the provider's deltas, and each before the next is read."""
    heard = Heard()

    written = Stage("One two three.").play(task(*OPEN, listener=heard))

    assert [token.text for token in heard.tokens if token.text] == ["One", " two", " three."]
    assert heard.tokens[0].delta == {"role": "assistant"}
    assert written.message == {"role": "assistant", "content": "One two three."}


def test_a_streamed_answer_that_is_cut_off_says_so() -> None:
    """It was seen already, so it stays; the reason stands beside it."""
    heard = Heard()

    written = Stage(CUT, "From the deputy.").play(task(*OPEN, listener=heard))

    assert heard.text == written.message["content"] == "Half an ans"
    assert written.finish_reason == "length"
    assert written.degraded == ("the aggregator boss was cut off by its token limit",)


@pytest.mark.parametrize("listens", [False, True])
def test_an_answer_as_short_as_the_caller_wants_is_no_failure(listens: bool) -> None:
    """Cut off at the caller's own `max_tokens` is what the caller asked for."""
    stage = Stage(CUT, "From the deputy.")

    written = stage.play(task(*OPEN, caller=Settings(max_tokens=3), listener=Heard() if listens else None))

    assert written == Written({"role": "assistant", "content": "Half an ans"}, "length")
    assert stage.called == ["aggregator boss"]


def test_the_message_is_the_aggregators_own() -> None:
    """Further fields of it are kept, streamed or not."""
    message = {"role": "assistant", "content": "It is a pile.", "reasoning_content": "Hm."}

    for listener in (None, Heard()):
        assert Stage(Reply(message=message)).play(task(*OPEN, listener=listener)).message == message


def order_of(stage: Stage, seed: int | None) -> list[int]:
    """In which order the aggregator sees the proposals."""
    stage.play(task(*OPEN, caller=Settings(seed=seed)))
    return sorted(range(len(OPEN)), key=lambda index: stage.asked.find(OPEN[index]))


def test_proposals_are_shuffled_by_the_seed() -> None:
    """The same seed gives the same order, others give others, and without `shuffle` it is as listed."""
    shuffled, listed = Stage(shuffle=True), Stage(shuffle=False)

    assert all(order_of(shuffled, seed) == order_of(shuffled, seed) for seed in range(8))
    assert len({tuple(order_of(shuffled, seed)) for seed in range(50)}) == 6
    assert all(order_of(listed, seed) == [0, 1, 2] for seed in (None, 1, 2, 3))


def test_without_a_seed_no_order_is_preferred() -> None:
    """Every order comes up."""
    shuffled = Stage(shuffle=True)

    assert len({tuple(order_of(shuffled, None)) for _ in range(100)}) == 6


def test_the_fallback_sees_the_same_proposals_behind_another_fence() -> None:
    """Same order, new delimiter: the first LLM may have shown its own to whoever wrote a proposal."""
    stage = Stage(BROKEN, "From the deputy.", shuffle=True)

    stage.play(task(*OPEN, caller=Settings(seed=3)))

    first, second = (text_of(fake.requests[0].messages[-1]["content"]) for fake in stage.fakes.values())
    mark = first.split("<answer-")[1][:8]
    other = second.split("<answer-")[1][:8]
    assert mark != other
    assert first.replace(mark, other) == second


@pytest.mark.parametrize(
    ("texts", "truncated", "best"),
    [
        (("8", "7", "7"), [], 1),
        (("8", "7", "7"), [1], 2),
        (("8", "7", "7"), [1, 2], 1),
        (("8", "7"), [], 0),
        (("8", "7"), [0], 1),
        (OPEN, [], 0),
        (OPEN, [0, 1], 2),
        (OPEN, [0, 1, 2], 0),
        ((OPEN[0], "7", "7"), [], 1),
    ],
)
def test_the_best_proposal(texts: tuple[str, ...], truncated: list[int], best: int) -> None:
    """Largest group, then not truncated, then earliest listed."""
    found = proposals(*texts, truncated=truncated)

    assert best_proposal(found) is found[best]


TEXTS = st.lists(st.text(max_size=60), min_size=1, max_size=6)


@given(TEXTS, st.integers(-50, 300))
@example(texts=[SHORTENED], room=0)
def test_shortened_texts_fit(texts: list[str], room: int) -> None:
    """Together they take no more than the room there is, but for the marks of those that are cut."""
    short = shorten(texts, room)

    cut = [after for after in short if after.endswith(SHORTENED)]
    assert len(short) == len(texts)
    assert sum(map(len, short)) <= max(0, room) + len(SHORTENED) * len(cut)
    if all(len(text) > len(SHORTENED) for text in cut):
        assert sum(map(len, short)) <= max(0, room)
    for before, after in zip(texts, short, strict=True):
        assert after == before or (after.endswith(SHORTENED) and before.startswith(after.removesuffix(SHORTENED)))


@given(TEXTS, st.integers(-50, 300))
def test_short_texts_stay_whole(texts: list[str], room: int) -> None:
    """Nothing is cut that fits its equal share, nor anything at all where there is room for all."""
    short = shorten(texts, room)

    for before, after in zip(texts, short, strict=True):
        assert after == before or len(before) > max(0, room) // len(texts)
    assert short == texts or sum(map(len, texts)) > room


@given(TEXTS, st.integers(0, 300))
def test_long_texts_are_cut_alike(texts: list[str], room: int) -> None:
    """No text pays for another: those that are cut keep the same length, give or take one character."""
    kept = [len(after) for before, after in zip(texts, shorten(texts, room), strict=True) if after != before]

    assert not kept or max(kept) - min(kept) <= 1


@given(st.lists(st.text("abc \n", min_size=1, max_size=400), min_size=2, max_size=4), st.integers(70, 600))
def test_nothing_is_shortened_silently(texts: list[str], window: int) -> None:
    """Either the aggregator saw every proposal whole, or the answer says that it did not; and what it saw fits."""
    stage = Stage(Reply("Well."), window=window, settings=Settings(max_tokens=1))
    rest = len(f"{QUESTION}\n\nQ: {QUESTION}\n") + 60 * len(texts)

    written = stage.play(task(*texts))

    if any("leaves no room" in reason for reason in written.degraded):
        assert text_of(written.message["content"]) in texts, (
            "nothing of them would have been left, so one is taken whole"
        )
        return
    said = written.degraded == ("proposals were shortened to fit the window of boss",)
    assert said or written.degraded == ()
    assert said or all(text.strip() in stage.asked for text in texts)
    room = (window - 1 - TOKENS_FOR_TEMPLATE) * BYTES_PER_TOKEN_AT_LEAST
    if room >= rest:
        assert len(stage.asked) <= room + len(SHORTENED) * len(texts)


def test_the_window_is_that_of_whoever_is_asked() -> None:
    """A fallback with a larger window sees everything, and then nothing was shortened for the answer."""
    stage = Stage(BROKEN, "From the deputy.")
    calls = Calls(
        {
            name: ReliableLLM(name, fake, retries=0, window=window)
            for (name, fake), window in zip(stage.fakes.items(), (1200, 8192), strict=True)
        }
    )
    long = ["x" * 900, "y" * 900]

    written = run_virtual(aggregate(stage.aggregator, task(*long), calls))

    small, large = (text_of(fake.requests[0].messages[-1]["content"]) for fake in stage.fakes.values())
    assert SHORTENED in small
    assert all(text in large for text in long)
    assert written.degraded == ("the aggregator boss: rejected",)


def test_room_is_left_for_the_answer() -> None:
    """What the caller lets the answer have is not filled with proposals."""
    texts = ["x" * 4000, "y" * 4000]

    for limit, is_whole in ((100, True), (6000, False)):
        stage = Stage("Well.")
        written = stage.play(task(*texts, caller=Settings(max_tokens=limit)))
        assert (written.degraded == ()) is is_whole
        assert all(text in stage.asked for text in texts) is is_whole


async def test_a_streamed_reply_that_never_becomes_json_takes_time_in_proportion_to_its_length() -> None:
    """It is held back piece by piece, and no piece is looked at again with every further one."""
    config: dict[str, Any] = {
        "llms": {"a": {"model": "x/y", "retries": 0}, "b": {"model": "x/y", "retries": 0}},
        "mixtures": {
            "m": {"description": "d", "workers": ["a", {"llm": "a", "samples": 2}], "aggregator": {"llm": "b"}}
        },
    }
    llms = {"a": ScriptedLLM('{"x": 1}'), "b": ScriptedLLM("word " * 20_000)}
    before = time.process_time()
    async with MoLLM(config, llms=llms) as mollm:
        told = [event async for event in mollm.astream("Hm?", response_format={"type": "json_object"})]
    assert time.process_time() - before < 8
    assert told[-1].answer.text == '{"x": 1}'  # type: ignore[union-attr]
