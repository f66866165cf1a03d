"""What is asked, of whom, how often, and what is kept of it."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from mollm import MoLLM
from mollm.errors import RunError, Unreachable
from mollm.evaluation.mixtures.comparing.best import best_by
from mollm.evaluation.mixtures.gathering.asking import MOST_IN_A_ROW, Asker
from mollm.evaluation.mixtures.gathering.ceiling import Ceiling
from mollm.evaluation.mixtures.gathering.gather import Found, Gathering, gather
from mollm.evaluation.mixtures.gathering.journal import Journal
from mollm.evaluation.mixtures.rows import Row
from mollm.evaluation.mixtures.scores.exact import Exact
from mollm.evaluation.mixtures.scores.remembered import Remembered
from mollm.llms.scripted import Reply, ScriptedLLM
from tests.upstream import Upstream
from tests.upstream import answer as reply

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mollm.calling.base import Request
    from mollm.evaluation.mixtures.records import Gathered
    from mollm.types import Message, Question
    from tests.upstream import Received

SYSTEM = {"role": "system", "content": "Be brief."}
TALK = (SYSTEM, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"})
NUMBER = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
SAMPLED = {"temperature": 0.9, "seed": 7, "stop": ["END"], "top_p": 0.5, "max_tokens": 99}
PERSONA = 'You are the {{ mixture }} of "{{ description }}".\nWrite \\n, {{ "{{" }} and {{ "{%" }} as they are.'
MIXTURES: dict[str, dict[str, Any]] = {
    "personas": {"workers": ["a", {"llm": "b", "prompt": PERSONA}, {"llm": "b", "prompt": "Say {{ mixture }}."}]},
    "systems": {"workers": ["a", {"llm": "b", "system": "Obey.", "prompt": "A persona."}, {"llm": "b", **SAMPLED}]},
    "samples": {"workers": [{"llm": "seeded", "samples": 3}, {"llm": "seeded", "temperature": 0.1}, "b"]},
    "layers": {"workers": ["a", "b"], "layers": 2, "shuffle": False, "aggregator": {"method": "synthesize"}},
    "forms": {"workers": [{"llm": "a", "extra_body": {"response_format": NUMBER, "x": [1, {"y": None}]}}, "b"]},
    "single": {"workers": [{"llm": "a", "prompt": "Alone, {{ mixture }}."}]},
}


def row(number: int, conversation: Sequence[Message] = ()) -> Row:
    """A question whose answer is its number."""
    text = f"What is {number} + 0?"
    messages = (*conversation, {"role": "user", "content": text}) if conversation else ()
    return Row(str(number), text, str(number), None, f"data.jsonl:{number}", messages)


ROWS = [row(1), row(2, TALK), row(3, [SYSTEM])]


def described(mixtures: Mapping[str, Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """A configuration of these mixtures; they vote if they say nothing else, and `more` holds for all of them."""
    vote = {"description": "All & sundry.", "aggregator": {"method": "vote"}}
    sections = {name: {**vote, **section, **more} for name, section in mixtures.items()}
    llms: dict[str, Any] = {name: {"model": "scripted/x"} for name in ("a", "b", "c", "seeded")}
    llms["seeded"] |= {"seed": 5, "extra_body": {"min_p": 0.1}}
    return {"llms": llms, "mixtures": sections, "router": {"kind": "fixed", "fallback": next(iter(sections))}}


async def best_is_last(gathered: Gathered) -> str:
    """Name the last worker."""
    return list(gathered.alone)[-1]


async def gathered(
    mollm: MoLLM,
    rows: Sequence[Row],
    *,
    journal: Journal | None = None,
    ceiling: Ceiling | None = None,
    patience: float = 0.5,
    **what: Any,
) -> Found:
    """Ask everything of every mixture."""
    asker = Asker(mollm, journal or Journal(), ceiling or Ceiling(), patience)
    return await gather(asker, Gathering(rows, tuple(mollm.config.mixtures), **what))


def scripted(script: Any = "The answer is 1.") -> dict[str, ScriptedLLM]:
    """LLMs that all say the same, or what a script says."""
    return {name: ScriptedLLM(script) for name in ("a", "b", "c", "seeded")}


def sent(received: Sequence[Received]) -> Counter[str]:
    """The requests of an upstream, each as it was written, with how often it came."""
    calls = [r for r in received if r.method == "POST"]  # an LLM's window is asked for once
    bodies = [re.sub("answer-[0-9a-f]{8}", "answer-drawn", json.dumps(r.body)) for r in calls]  # the marks of fences
    return Counter(f"{r.path} {r.headers['Content-Length']} {body}" for r, body in zip(calls, bodies, strict=True))


def over_http(upstream: Upstream, config: dict[str, Any]) -> dict[str, Any]:
    """The same configuration with LLMs at an address."""
    llms = {
        name: {**llm, "model": f"openai/{name}", "api_base": upstream.base_url, "api_key": "k", "retries": 0}
        for name, llm in config["llms"].items()
    }
    return {**config, "llms": llms}


@pytest.mark.parametrize("name", MIXTURES)
async def test_what_goes_out_is_what_ask_sends(name: str) -> None:
    """To the byte: system prompts, personas, samples, layers, response formats, a single worker."""
    config = described({name: MIXTURES[name]})
    async with Upstream() as upstream:
        upstream.reply_to = lambda _: reply('{"answer": "4"}')
        async with MoLLM(over_http(upstream, config)) as mollm:
            for one in ROWS:
                await mollm.aask(one.asked, mixture=name)
            asked = sent(upstream.received)
            upstream.received.clear()

            found = await gathered(mollm, ROWS)

            assert sent(upstream.received) == asked
    assert all(record.error is None for records in found.gathered[0].alone.values() for record in records)


@pytest.mark.parametrize("name", [name for name in MIXTURES if name != "single"])
async def test_a_member_alone_is_sent_what_the_mixture_would_send_it(name: str) -> None:
    """Also where the mixture asks only the first, and the others have to be asked alone."""
    whole = described({name: MIXTURES[name]}, layers=1, aggregator={"method": "vote"})
    lazy = described({name: MIXTURES[name]}, layers=1, aggregator={"method": "vote"}, ask_first=1, enough=1)
    async with Upstream() as upstream:
        upstream.reply_to = lambda _: reply("The answer is 4.")
        async with MoLLM(over_http(upstream, whole)) as mollm:
            for one in ROWS:
                await mollm.aask(one.asked, mixture=name)
            planned = sent(upstream.received)
            upstream.received.clear()
        async with MoLLM(over_http(upstream, lazy)) as mollm:
            found = await gathered(mollm, ROWS)
            asked = sent(upstream.received)
    assert asked <= planned
    assert asked.total() == len(found.gathered[0].alone) * len(ROWS)  # samples of one LLM are one member


async def test_members_of_several_mixtures_are_asked_once() -> None:
    """Where they are sent the same; who is sent something else is asked for it."""
    mixtures: dict[str, Any] = {
        "one": {"workers": ["a", "b", "c"], "ask_first": 1, "enough": 1},
        "two": {"workers": ["c", "b", {"llm": "b", "prompt": "Be terse."}], "ask_first": 1, "enough": 1},
    }
    llms = scripted()
    async with MoLLM(described(mixtures), llms=llms) as mollm:
        found = await gathered(mollm, [row(1)])

    assert [list(one.alone) for one in found.gathered] == [["a", "b", "c"], ["c", "b", "b#2"]]
    assert {name: len(llm.requests) for name, llm in llms.items() if llm.requests} == {"a": 1, "b": 2, "c": 1}


READING: dict[str, dict[str, Any]] = {
    "writes": {"aggregator": {"llm": "c"}},
    "writes where nobody agrees": {"aggregator": {"method": "vote", "llm": "c"}},
    "reviews": {"review": {"by": ["c"]}, "aggregator": {"method": "best"}},
    "compares": {"aggregator": {"llm": "a", "analysis": {"llm": "c"}}},
}


@pytest.mark.parametrize("how", READING)
async def test_an_llm_that_only_reads_proposals_is_asked_alone(how: str) -> None:
    """Once, with what `mollm ask --mixture LLM` sends it: it could answer in place of the mixture."""
    config = described({"team": {"workers": ["a", {"llm": "b", "prompt": "Be brief."}], **READING[how]}})
    llms = scripted()
    async with MoLLM(config, llms=llms) as mollm:
        (one,) = (await gathered(mollm, ROWS)).gathered
        answered = [request for request in llms["c"].requests if request.is_answer]
        await mollm.aask(ROWS[1].asked, mixture="c")

    assert (list(one.alone), list(one.readers), list(one.members)) == (["a", "b"], ["c"], ["a", "b", "c"])
    assert [record.final for record in one.readers["c"]] == ["1"] * 3
    assert answered.count(llms["c"].requests[-1]) == 1


async def test_who_only_reads_is_not_asked_where_nobody_wants_it() -> None:
    """As for a calibration; and whoever works in another mixture with the same request is not asked again."""
    written: dict[str, Any] = {"workers": ["a", "b"], "aggregator": {"llm": "c"}}
    mixtures = {"team": written, "other": {"workers": ["b", "c"]}}
    llms = scripted()
    async with MoLLM(described(mixtures), llms=llms) as mollm:
        without = (await gathered(mollm, [row(1)], readers=False)).gathered[0]
        asked = len(llms["c"].requests)
        found = (await gathered(mollm, [row(1)])).gathered[0]

    assert without.readers == {}
    assert len(llms["c"].requests) == 2 * asked == 4  # it writes, and is a worker
    assert found.readers["c"][0].final == "1"


async def test_the_self_mixture_may_be_of_an_llm_that_only_writes() -> None:
    """Where it is the best one; and a mixture of samples that another LLM reads is not the self-mixture of these."""
    mixture: dict[str, Any] = {"workers": [{"llm": "a", "samples": 2}], "aggregator": {"llm": "c"}, "shuffle": False}
    llms = {**scripted("The answer is 2."), "c": ScriptedLLM("The answer is 1.")}
    async with MoLLM(described({"team": mixture}), llms=llms) as mollm:
        (one,) = (await gathered(mollm, [row(1)], best=best_by(Exact()))).gathered

    assert [proposal.worker for proposal in one.itself[0].proposals] == ["c", "c#2"]


async def test_a_member_that_nobody_waited_for_is_asked_alone() -> None:
    """A call that was cancelled is no answer, and no failure of the member; one that failed is."""
    config = described({"team": {"workers": ["a", "b", "c"], "enough": 1}})
    llms = {
        "a": ScriptedLLM("The answer is 1."),
        "b": ScriptedLLM([Reply("late", delay=60), Reply("The answer is 2.")]),
        "c": ScriptedLLM(lambda _: Unreachable("is down")),
    }
    config["llms"]["c"]["retries"] = 0
    async with MoLLM(config, llms=llms) as mollm:
        (one,) = (await gathered(mollm, [row(1)])).gathered

    assert one.answers[0].final == "1"
    assert one.alone["b"][0].final == "2"
    assert one.alone["c"][0].error == "is down"


async def test_the_self_mixture_is_the_best_member_asked_as_often_by_the_same_rules() -> None:
    """With its own prompt, the same aggregator, and a temperature where it has none."""
    mixture: dict[str, Any] = {
        "workers": ["a", "b", {"llm": "b", "prompt": "Be terse."}],
        "aggregator": {"llm": "c"},
        "shuffle": False,
    }
    llms = scripted()
    async with MoLLM(described({"team": mixture}), llms=llms) as mollm:
        before = await gathered(mollm, [row(1)])
        for llm in llms.values():
            llm.requests.clear()
        (one,) = (await gathered(mollm, [row(1)], best=best_is_last)).gathered

    assert before.gathered[0].why_not_itself == "it was not asked for"
    assert one.why_not_itself is None
    (itself,) = one.itself
    assert itself.calls == 4
    assert itself.degraded == ("asked at temperature 0.7, since b#2 has none",)
    assert [proposal.worker for proposal in itself.proposals] == ["b", "b#2", "b#3"]
    assert llms["b"].requests[2:] == [replace(llms["b"].requests[1], settings=llms["b"].requests[2].settings)] * 3
    assert {request.settings.temperature for request in llms["b"].requests[2:]} == {0.7}
    assert len(llms["c"].requests) == 3  # it writes twice, and answers alone
    assert llms["a"].requests[1:] == []


@pytest.mark.parametrize(
    ("workers", "why"),
    [(["a"], "the mixture has one worker"), ([{"llm": "a", "samples": 3}], "the mixture is one: it asks a alone")],
)
async def test_there_is_no_self_mixture_of_what_is_one(workers: list[Any], why: str) -> None:
    """It would be the same again."""
    async with MoLLM(described({"team": {"workers": workers}}), llms=scripted()) as mollm:
        (one,) = (await gathered(mollm, [row(1)], best=best_is_last)).gathered

    assert one.why_not_itself == why
    assert one.itself == ()
    assert list(one.alone) == ["a"]


async def test_the_best_member_has_the_most_right_answers_and_a_judge_is_asked_once() -> None:
    """Failures count as wrong, and questions without a usable reference for nobody."""
    asked = 0

    class Counting(Exact):
        async def score(self, row: Row, texts: Any) -> Any:
            nonlocal asked
            asked += len(texts)
            return await super().score(row, texts)

    llms = scripted()
    llms["b"] = ScriptedLLM(lambda request: f"The answer is {request.messages[-1]['content'].split()[2]}.")
    async with MoLLM(described({"team": {"workers": ["a", "b", "c"]}}), llms=llms) as mollm:
        (one,) = (
            await gathered(
                mollm, [row(1), row(2), replace(row(3), reference="I do not know whether it is so or not so.")]
            )
        ).gathered
    score = Remembered(Counting())

    assert [await best_by(score)(one) for _ in range(2)] == ["b", "b"]
    assert asked == 8  # three members and the mixture on two questions


@pytest.mark.parametrize("concurrency", [1, 3, 50])
async def test_results_do_not_depend_on_what_is_asked_at_the_same_time(concurrency: int) -> None:
    """Every record is in the order of the questions, whoever answered first."""
    first = {"workers": ["a", "b"], "ask_first": 1, "agree": 2}
    mixtures: dict[str, Any] = {"one": first, "two": {"workers": ["b", "c"]}}

    def script(request: Request) -> Reply:
        number = int(request.messages[-1]["content"].split()[2])
        return Reply(f"The answer is {number % 3}.", delay=(number * 7 % 5) / 1000)

    rows = [row(number) for number in range(12)]
    llms = scripted(script)
    async with MoLLM(described(mixtures), llms=llms) as mollm:
        found = await gathered(mollm, rows, concurrency=concurrency, best=best_is_last)

    for one in found.gathered:
        for records in (one.answers, one.itself, *one.alone.values()):
            assert [record.id for record in records] == [row.id for row in rows]
            assert [record.final for record in records] == [str(number % 3) for number in range(12)]
    assert {name: len(llm.requests) for name, llm in llms.items() if llm.requests} == {"a": 12, "b": 48, "c": 36}


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("most", [1, 2, 7, 12, 30])
async def test_no_call_goes_beyond_the_ceiling_and_none_below_it_is_held_back(most: int, concurrency: int) -> None:
    """The worst case of a question is held while it runs, and what it did not take is there for the next."""
    llms = scripted()
    # Two agree at once, so a question takes two calls of three, and one more for the member that was not asked.
    config = described({"team": {"workers": ["a", "b", "c"], "ask_first": 2, "agree": 2}})
    rows = [row(number) for number in range(5)]
    async with MoLLM(config, llms=llms) as mollm:
        ceiling = Ceiling(most)
        found = await gathered(mollm, rows, ceiling=ceiling, concurrency=concurrency)
    (one,) = found.gathered
    calls = sum(len(llm.requests) for llm in llms.values())

    assert calls == ceiling.calls <= most
    if concurrency == 1:
        assert calls == {1: 0, 2: 0, 7: 6, 12: 12, 30: 15}[most]
        assert list(one.unasked) == [str(n) for n in range(5)][calls // 3 :]
    assert bool(one.unasked) == (most < 15) == (found.reached is not None)
    assert set(one.unasked.values()) <= {f"the ceiling of {most} call{'s' * (most > 1)} was reached"}
    for number, one_row in enumerate(rows):
        is_asked = one_row.id not in one.unasked
        assert {records[number].error is None for records in (one.answers, *one.alone.values())} == {is_asked}


async def test_a_ceiling_is_spent_on_whole_questions() -> None:
    """Eight that are each asked of one mixture of four would take all of it, and none of them would count."""
    llms = scripted(lambda _: Reply("The answer is 1.", delay=0.01))
    config = described({f"of-{name}": {"workers": [name]} for name in llms})
    async with MoLLM(config, llms=llms) as mollm:
        found = await gathered(mollm, [row(number) for number in range(8)], ceiling=Ceiling(9), concurrency=8)

    assert [list(one.unasked) for one in found.gathered] == [[str(n) for n in range(2, 8)]] * 4


async def test_a_ceiling_of_money_holds_the_price_of_a_question(tmp_path: Path) -> None:
    """Counted as calls end; the journal of what it cut short is gone on with under another one."""
    config = described({"solo": {"workers": ["a"]}})
    config["llms"] = {"a": {"model": "scripted/1234", "max_tokens": 10, "price": {"input": 0, "output": 1_000_000}}}
    rows = [row(number) for number in range(4)]
    path = tmp_path / "j.jsonl"
    answered = []
    for most in (9.0, 12.0, 12.5, None):
        async with MoLLM(config) as mollm:
            journal = Journal.open(path, "q", "m")
            (one,) = (await gathered(mollm, rows, journal=journal, ceiling=Ceiling(None, most), concurrency=1)).gathered
            journal.close()
        answered.append(4 - len(one.unasked))

    # A question may cost 10 USD and costs 1: under 9 none is asked, under 12 three are, and then the last one.
    assert answered == [0, 3, 4, 4]


async def test_a_self_mixture_that_a_ceiling_cuts_short_is_left_out() -> None:
    """It is compared on all questions, or not at all."""
    async with MoLLM(described({"team": {"workers": ["a", "b"]}}), llms=scripted()) as mollm:
        ceiling = Ceiling(10)
        found = await gathered(mollm, [row(n) for n in range(4)], ceiling=ceiling, best=best_is_last, concurrency=1)
    (one,) = found.gathered

    assert ceiling.calls == 10
    assert one.itself == ()
    assert one.why_not_itself == "the ceiling of 10 calls was reached after 1 of 4 questions"
    assert found.reached == "the ceiling of 10 calls was reached"
    assert one.unasked == {}


async def test_a_journal_is_gone_on_with_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    """Whatever was answered, of mixtures, members and self-mixtures; what came of it is the same."""
    config = described({"team": {"workers": ["a", "b", "c"], "ask_first": 2, "agree": 2}})
    rows = [row(number) for number in range(4)]
    found = []
    counts = []
    for ceiling in (Ceiling(7), Ceiling(14), Ceiling(), Ceiling()):
        llms = scripted()
        journal = Journal.open(tmp_path / "j.jsonl", "q", "m")
        async with MoLLM(config, llms=llms) as mollm:
            found.append(await gathered(mollm, rows, journal=journal, ceiling=ceiling, best=best_is_last))
        journal.close()
        counts.append(sum(len(llm.requests) for llm in llms.values()))

    assert counts[0] <= 7
    assert sum(counts) == 4 * (3 + 2)
    assert counts[3] == 0
    assert found[3] == found[2]


async def test_a_question_that_a_recording_lacks_is_asked_of_nobody() -> None:
    """Where it is lacking; other mixtures are asked."""
    llms = scripted()
    async with MoLLM(described({"one": {"workers": ["a"]}, "two": {"workers": ["b"]}}), llms=llms) as mollm:
        found = await gathered(mollm, [row(1), row(2)], lacking={"one": {"2": "no answer of a"}})

    assert [dict(one.unasked) for one in found.gathered] == [{"2": "no answer of a"}, {}]
    assert found.gathered[0].answers[1].error == "not asked: no answer of a"
    assert {name: len(llm.requests) for name, llm in llms.items() if llm.requests} == {"a": 1, "b": 2}


async def test_a_dead_llm_is_named_and_does_not_end_the_evaluation() -> None:
    """Its answers are failures; those of others are there."""
    config = described({"team": {"workers": ["a", "b"]}})
    config["llms"]["b"]["retries"] = 0
    llms = {**scripted(), "b": ScriptedLLM(lambda _: Unreachable("nobody listens"))}
    rows = [row(number) for number in range(3)]
    async with MoLLM(config, llms=llms) as mollm:
        asker = Asker(mollm, Journal(), Ceiling())
        (one,) = (await gather(asker, Gathering(rows, ("team",)))).gathered

    assert [record.error for record in one.answers] == [None] * 3
    assert all(record.error for record in one.alone["b"])
    assert {llm for llm, _ in asker.failures} == {"b"}
    assert asker.failures.total() == 3


async def test_it_is_given_up_when_nobody_answers_any_more(tmp_path: Path) -> None:
    """With what happened last; what was answered before is in the journal."""
    config = described({"team": {"workers": ["a"]}})
    config["llms"]["a"]["retries"] = 0
    answers = 0

    def script(_: Request) -> Reply:
        nonlocal answers
        answers += 1
        return Reply("The answer is 1.") if answers <= 3 else Reply(error=Unreachable("nobody listens"))

    rows = [row(number) for number in range(100)]
    journal = Journal.open(tmp_path / "j.jsonl", "q", "m")
    async with MoLLM(config, llms={"a": ScriptedLLM(script)}) as mollm:
        with pytest.raises(RunError, match=rf"given up: {MOST_IN_A_ROW} questions in a row.*the last: "):
            await gathered(mollm, rows, journal=journal)
    journal.close()

    journal = Journal.open(tmp_path / "j.jsonl", "q", "m")
    assert sum(record.error is None for record in journal.records.values()) == 3
    journal.close()


async def test_a_few_questions_of_which_none_is_answered_are_an_error() -> None:
    """A report of zeros would look like an answer."""
    config = described({"team": {"workers": ["a"]}})
    config["llms"]["a"]["retries"] = 0
    async with MoLLM(config, llms={"a": ScriptedLLM(lambda _: Unreachable("nobody listens"))}) as mollm:
        with pytest.raises(RunError, match=r"nothing was answered at all; the first failure: .*nobody listens"):
            await gathered(mollm, [row(1), row(2)])


async def test_the_router_is_asked_once_for_each_question_and_its_failures_are_told() -> None:
    """None stands for a question that it failed on."""

    def router(question: Question) -> str:
        return {"1": "one", "2": "two"}[question.last.split()[2]]

    mixtures = {"one": {"workers": ["a"]}, "two": {"workers": ["b"]}}
    async with MoLLM(described(mixtures), llms=scripted(), router=router) as mollm:
        found = await gathered(mollm, [row(1), row(2), row(3)], routes=True)

    assert found.routes == ("one", "two", None)
    assert list(found.unrouted) == ["3"]
    assert found.unrouted["3"] == "the router failed: KeyError: '3'"
    assert [record.route for record in found.gathered[1].answers] == ["one", "two", None]


async def test_cancelling_leaves_a_whole_journal(tmp_path: Path) -> None:
    """As Ctrl-C does; no call goes on."""
    llms = scripted(lambda r: Reply("The answer is 1.", delay=0 if r.messages[-1]["content"] < "What is 5" else 60))
    journal = Journal.open(tmp_path / "j.jsonl", "q", "m")
    async with MoLLM(described({"team": {"workers": ["a", "b"]}}), llms=llms) as mollm:
        task = asyncio.create_task(gathered(mollm, [row(n) for n in range(10)], journal=journal))
        while len(journal.records) < 5:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    journal.close()

    assert llms["a"].cancelled == llms["b"].cancelled == 5
    again = Journal.open(tmp_path / "j.jsonl", "q", "m")
    assert len(again.records) == 5
    assert not again.is_torn
    again.close()
