"""A function of one's own scores the proposals, the best one is the answer, and a bad function never costs it."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm import MoLLM, create_graph, load_config
from mollm.aggregation.base import Brief, Picked, best_proposal
from mollm.aggregation.highest import Highest
from mollm.calling.calls import Calls
from mollm.cli.printing.explanation import print_explanation
from mollm.comparing import judge
from mollm.comparing.judge import Judge
from mollm.errors import ConfigError, LimitError, SandboxError
from mollm.events import Comparing, Token
from mollm.llms.scripted import Reply, ScriptedLLM
from mollm.messages import question_of
from mollm.plain import answer_from_plain, to_plain
from mollm.types import Proposal, Question
from tests.clock import run_virtual
from tests.server.served import served

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mollm.calling.base import Request
    from mollm.events import Event
    from mollm.types import Answer

HERE = __name__
SCORES = {"from a": 0.25, "from b": 0.75, "from c": 0.5}


def by_table(question: Question, proposal: Proposal) -> float:
    """What stands in a table."""
    assert question.last == "Which?"
    return SCORES[proposal.text]


async def by_table_later(question: Question, proposal: Proposal) -> float:
    """The same, on the event loop."""
    await asyncio.sleep(0.01)
    return by_table(question, proposal)


async def hang(question: Question, proposal: Proposal) -> float:  # noqa: ARG001
    """One of them takes for ever."""
    await asyncio.sleep(10_000 if proposal.worker == "b" else 0)
    return SCORES[proposal.text]


RELEASED = threading.Event()


def block(question: Question, proposal: Proposal) -> float:  # noqa: ARG001
    """As `hang`, in a thread."""
    if proposal.worker == "b":
        RELEASED.wait(30)
    return SCORES[proposal.text]


def fail(question: Question, proposal: Proposal) -> float:  # noqa: ARG001
    """All of them fail."""
    raise ValueError("s3cr3t of the function")


def one_argument(question: Question) -> float:  # noqa: ARG001
    """Not what is called."""
    return 1.0


NOT_A_FUNCTION = 7


FORM = {
    "type": "json_schema",
    "json_schema": {"name": "n", "strict": True, "schema": {"type": "object", "required": ["n"]}},
}


class Table:
    """An object that is called, and a coroutine function at that."""

    async def __call__(self, question: Question, proposal: Proposal) -> float:
        return by_table(question, proposal)


TABLE = Table()


def config(function: str = "by_table", mixture: dict[str, Any] | None = None, **score: Any) -> dict[str, Any]:
    """Three scripted workers, and a score."""
    aggregator = {"method": "best", "score": {"python": f"{HERE}:{function}", **score}}
    whole = {"description": "x", "workers": ["a", "b", "c"], "aggregator": aggregator, **(mixture or {})}
    llms = {name: {"model": f"scripted/from {name}", "retries": 0} for name in "abc"}
    return {"llms": llms, "mixtures": {"m": whole}}


def ask(whole: dict[str, Any], **options: Any) -> Answer:
    """Ask on an event loop of its own, with real time."""

    async def run() -> Answer:
        async with MoLLM(whole, **({"llms": options.pop("llms")} if "llms" in options else {})) as mollm:
            return await mollm.aask("Which?", **options)

    return asyncio.run(run())


@pytest.mark.parametrize("function", ["by_table", "by_table_later", "TABLE"])
def test_the_highest_score_is_the_answer(function: str) -> None:
    """Word for word, without a call beside those of the workers, and every score can be seen."""
    answer = ask(config(function))

    assert (answer.text, answer.calls, answer.degraded) == ("from b", 3, ())
    assert {p.worker: p.score for p in answer.proposals} == {"a": 0.25, "b": 0.75, "c": 0.5}
    assert answer_from_plain(to_plain(answer)) == answer


def test_no_call_is_planned_for_it() -> None:
    """A limit of three calls is enough for three workers."""
    assert ask({**config(), "limits": {"calls": 3}}).text == "from b"
    with pytest.raises(LimitError, match="3 proposals"):
        ask({**config(), "limits": {"calls": 2}})


def test_the_graph_and_a_stream_do_the_same() -> None:
    """The graph keeps the scores in its state; a stream shows the winner, and tells of no LLM that would compare."""
    graph = create_graph(config())
    state = asyncio.run(graph.ainvoke({"messages": [("user", "Which?")]}))

    async def stream() -> list[Event]:
        async with MoLLM(config()) as mollm:
            return [event async for event in mollm.astream("Which?")]

    events = asyncio.run(stream())

    assert state["messages"][-1].content == "from b"
    assert [p["score"] for p in sorted(state["mollm"]["proposals"], key=lambda p: p["worker"])] == [0.25, 0.75, 0.5]
    assert "".join(event.text for event in events if isinstance(event, Token)) == "from b"
    assert not any(isinstance(event, Comparing) for event in events)


@pytest.mark.parametrize(
    ("returned", "score", "why"),
    [
        (3, 3.0, ""),
        (True, 1.0, ""),
        (np.float32(0.5), 0.5, ""),
        (None, None, "returned None, which is no finite number"),
        (float("nan"), None, "returned nan, which is no finite number"),
        (float("inf"), None, "returned inf, which is no finite number"),
        ("0.9", None, "returned a str, which is no finite number"),
        ([1.0], None, "returned a list, which is no finite number"),
        (10**400, None, "returned a int, which is no finite number"),
        (ValueError("s3cr3t"), None, "raised ValueError"),
        (TimeoutError(), None, "raised TimeoutError"),
        (StopIteration(), None, "raised RuntimeError"),
        (SystemExit(3), None, "raised "),
        (asyncio.CancelledError(), None, "raised "),
        (SandboxError("nothing isolates here"), None, ": nothing isolates here"),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_what_is_no_score_is_none_and_says_why(returned: Any, score: float | None, why: str, is_async: bool) -> None:
    """Whatever it returns or raises; what an error says is for the log alone."""

    def given_back(question: Question, proposal: Proposal) -> Any:  # noqa: ARG001
        if isinstance(returned, BaseException):
            raise returned
        return returned

    async def given_back_later(question: Question, proposal: Proposal) -> Any:
        return given_back(question, proposal)

    scored, reasons = _scored(given_back_later if is_async else given_back, [Proposal("a", "a", 1, "x")])

    assert scored[0].score == score
    assert type(scored[0].score) in (float, type(None))
    assert len(reasons) == bool(why)
    assert all(reason.startswith("no score for a: own:fn") and why in reason for reason in reasons)
    assert "s3cr3t" not in "".join(reasons)


def _scored(
    function: Callable[..., Any], proposals: list[Proposal], seconds: float = 5.0
) -> tuple[list[Proposal], tuple[str, ...]]:
    """Score proposals without the rest of a question."""

    async def run() -> tuple[list[Proposal], tuple[str, ...]]:
        question = question_of([{"role": "user", "content": "Which?"}])
        until = asyncio.get_running_loop().time() + 60
        return await Judge.of(function, "own:fn", seconds).score(question, proposals, until)

    return asyncio.run(run())


def test_one_that_hangs_costs_its_own_score_alone() -> None:
    """It is cancelled after its seconds, or left behind where it is a thread, and the best of the others is taken."""
    later = ask(config("hang", seconds=0.2))
    blocked = ask(config("block", seconds=0.2))
    RELEASED.set()

    for answer, name in ((later, "hang"), (blocked, "block")):
        assert answer.text == "from c"
        assert answer.degraded == (f"no score for b: {HERE}:{name} took more than 0.2 s",)


def test_what_hangs_leaves_time_for_the_answer() -> None:
    """Of what `limits.seconds` leaves, a quarter is kept, whatever `seconds` of the score says."""

    mollm = MoLLM({**config("hang", seconds=900), "limits": {"seconds": 40}})
    assert mollm.catalog.router, "built before: a virtual clock does not wait for threads"

    async def run() -> tuple[Answer, float]:
        return await mollm.aask("Which?"), asyncio.get_running_loop().time()

    answer, seconds = run_virtual(run())

    assert answer.text == "from c"
    assert 29 < seconds < 31


def test_where_all_fail_the_best_by_count_is_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    """It says so; clients read the kind of the error, the log has what it says."""
    llms = {name: ScriptedLLM(f"The answer is {n}.") for name, n in zip("abc", (1, 2, 2), strict=True)}
    answer = ask(config("fail"), llms=llms)

    assert answer.text == "The answer is 2."
    assert answer.degraded[:3] == tuple(f"no score for {name}: {HERE}:fail raised ValueError" for name in "abc")
    assert answer.degraded[3:] == ("no proposal has a score", "the best proposal (b) is the answer")
    assert "s3cr3t of the function" in caplog.text


def test_nobody_is_asked_where_there_is_nothing_to_choose() -> None:
    """One proposal that arrived is the answer, and so is one on which enough agree."""
    broken = ScriptedLLM(Reply(error=RuntimeError("no")))
    alone = ask(config("fail"), llms={"a": ScriptedLLM("from a"), "b": broken, "c": broken})
    same = {name: ScriptedLLM("The answer is 4.") for name in "abc"}
    agreed = ask(config("fail", {"agree": 2}), llms=same)

    assert (alone.text, alone.degraded) == ("from a", ("only 1 of 3 proposals arrived",))
    assert (agreed.text, agreed.degraded) == ("The answer is 4.", ())


def test_the_llm_for_tools_reads_the_proposals_without_scores() -> None:
    """With tools nobody takes a proposal as it is, so none is scored."""
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    answer = ask(config("fail"), tools=[tool])

    assert answer.on_tools == "after"
    assert answer.degraded == ()
    assert [p.score for p in answer.proposals] == [None] * 3


def test_workers_are_asked_for_the_form_and_the_winner_keeps_it() -> None:
    """As with any other aggregator that picks."""
    llms = {name: ScriptedLLM('{"n": 1}') for name in "abc"}
    answer = ask(config("fail"), llms=llms, response_format=FORM)

    assert answer.text == '{"n": 1}'
    assert all(llm.requests[0].settings.response_format == FORM for llm in llms.values())


def test_proposals_are_scored_side_by_side_within_a_bound() -> None:
    """So many at once, in threads of their own."""
    most, running, lock = 0, 0, threading.Lock()

    def slow(question: Question, proposal: Proposal) -> float:  # noqa: ARG001
        nonlocal most, running
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.05)
        with lock:
            running -= 1
        return 1.0

    scored, _ = _scored(slow, [Proposal(f"w{n}", "a", 1, "x") for n in range(2 * judge.AT_ONCE + 1)])

    assert 2 <= most <= judge.AT_ONCE
    assert all(p.score == 1.0 for p in scored)


def test_threads_that_never_return_are_counted() -> None:
    """A function that hangs on every question takes so many threads and no more."""
    release = threading.Event()
    before = threading.active_count()
    own = Judge.of(lambda question, proposal: release.wait(30), "own:fn", 0.01)  # noqa: ARG005

    async def run() -> list[str]:
        question = question_of([{"role": "user", "content": "Which?"}])
        until = asyncio.get_running_loop().time() + 60
        proposals = [Proposal(f"w{n}", "a", 1, "x") for n in range(judge.MOST_THREADS + 3)]
        return list((await own.score(question, proposals, until))[1])

    reasons = asyncio.run(run())
    started = threading.active_count() - before
    release.set()

    assert started <= judge.MOST_THREADS
    assert sum("64 calls of own:fn have not returned yet" in reason for reason in reasons) == 3


def test_cancelling_the_question_cancels_the_score() -> None:
    """A coroutine is not left running."""
    cancelled = []

    async def slow(question: Question, proposal: Proposal) -> float:  # noqa: ARG001
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(proposal.worker)
            raise
        return 1.0

    async def run() -> None:
        question = question_of([{"role": "user", "content": "Which?"}])
        until = asyncio.get_running_loop().time() + 60
        own = Judge.of(slow, "own:fn", 50)
        task = asyncio.create_task(own.score(question, [Proposal(w, w, 1, "x") for w in "ab"], until))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert sorted(cancelled) == ["a", "b"]


PROPOSALS = st.lists(
    st.builds(
        Proposal,
        worker=st.text("abc", min_size=1),
        llm=st.just("a"),
        layer=st.just(1),
        text=st.sampled_from(["x", "y"]),
        final=st.sampled_from([None, "1", "2"]),
        truncated=st.booleans(),
        score=st.none() | st.sampled_from([0.0, 0.5, 1.0]),
    ),
    min_size=1,
    max_size=6,
)


@given(PROPOSALS)
def test_ties_are_broken_as_everywhere(proposals: list[Proposal]) -> None:
    """The highest score wins; among several of it the best by count, and among all where none has one."""

    async def pick() -> Picked:
        return await Highest().aggregate(Brief((), proposals), Calls({}))

    picked = asyncio.run(pick())
    scores = [p.score for p in proposals if p.score is not None]
    tied = [p for p in proposals if p.score == max(scores)] if scores else proposals

    assert picked.proposal is best_proposal(tied)
    assert bool(picked.degraded) == (not scores)


# How it is configured.


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"aggregator": {"score": {"python": "a:b"}}}, "score: has no effect with `method: synthesize`; set"),
        ({"aggregator": {"method": "vote", "score": {"python": "a:b"}}}, "no effect with `method: vote`"),
        ({"workers": ["a"]}, "score: has no effect where there is one proposal"),
        ({"workers": ["a"], "layers": 2}, "score: has no effect where there is one proposal"),
        ({"enough": 1}, "score: has no effect where there is one proposal"),
        ({"review": {}}, "review: has no effect beside `aggregator.score`"),
        ({"aggregator": {"prompt": "{{ question }} {{ proposals }}"}}, "aggregator.prompt: has no effect beside"),
        ({"aggregator": {"analysis": True}}, "aggregator.analysis: has no effect beside `score`"),
        ({"aggregator": {"score": {"python": "no reference"}}}, "score.python: must be `package.module:function`"),
        ({"aggregator": {"score": {}}}, "score.python: is required"),
        ({"aggregator": {"score": {"python": "a:b", "second": 3}}}, "did you mean 'seconds'?"),
        ({"aggregator": {"score": {"python": "a:b", "seconds": 0}}}, "score.seconds"),
    ],
)
def test_what_has_no_effect_is_an_error(changes: dict[str, Any], problem: str) -> None:
    """When the file is read, by the key that is to be mended."""
    whole = config()
    mixture = whole["mixtures"]["m"]
    aggregator = changes.pop("aggregator", {})
    mixture["aggregator"] = aggregator if "method" in aggregator else {**mixture["aggregator"], **aggregator}
    if problem.startswith("score: has no effect with `method: synthesize`"):
        mixture["aggregator"] = aggregator
    with pytest.raises(ConfigError) as error:
        load_config({**whole, "mixtures": {"m": {**mixture, **changes}}})
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("scoring:hihgest", "has no attribute 'hihgest'; did you mean 'highest'?"),
        ("scorign:highest", "No module named 'scorign'; did you mean 'scoring'?"),
        ("broken:highest", "ZeroDivisionError"),
        (f"{HERE}:one_argument", "cannot be called with a question and a proposal: too many positional arguments"),
        (f"{HERE}:NOT_A_FUNCTION", "is no function but of the type 'int'"),
    ],
)
def test_a_function_that_cannot_be_used_is_found_when_it_is_loaded(
    reference: str, problem: str, tmp_path: Path
) -> None:
    """By file, line and key, with the name that was meant."""
    (tmp_path / "scoring.py").write_text("def highest(question, proposal): return 1.0\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    path = tmp_path / "m.yaml"
    path.write_text(
        f"llms: {{a: {{model: scripted/x}}}}\nmixtures:\n  m:\n    description: x\n    workers: [a, a]\n"
        f'    aggregator:\n      method: best\n      score: {{python: "{reference}"}}\n'
    )
    with pytest.raises(ConfigError) as error:
        MoLLM(path)

    assert f"{path}:8: mixtures.m.aggregator.score.python: " in str(error.value)
    assert problem in str(error.value)


def test_a_module_lies_beside_the_file(tmp_path: Path) -> None:
    """Of two files in two folders each has its own, or is told that it cannot."""
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "scoring_beside.py").write_text(f"def own(question, proposal): return '{name}' in proposal.text\n")
        (folder / "m.yaml").write_text(
            "llms: {a: {model: scripted/one}, b: {model: scripted/two}}\nmixtures:\n  m:\n    description: x\n"
            '    workers: [a, b]\n    aggregator: {method: best, score: {python: "scoring_beside:own"}}\n'
        )
    with MoLLM(tmp_path / "one" / "m.yaml") as mollm:
        assert mollm.ask("Which?").text == "one"
    with pytest.raises(ConfigError, match="another 'scoring_beside' was imported before"):
        MoLLM(tmp_path / "two" / "m.yaml")


def test_the_llm_of_the_aggregator_has_the_tools() -> None:
    """It is called for nothing else."""
    whole = config()
    whole["mixtures"]["m"]["aggregator"]["llm"] = "c"

    assert load_config(whole).mixtures["m"].acting_llm == "c"
    assert load_config(config()).mixtures["m"].aggregator_llm is None


def test_an_explanation_shows_the_scores(capsys: pytest.CaptureFixture[str]) -> None:
    """Beside each proposal, and why the winner is the answer."""
    print_explanation(ask(config()), load_config(config()))
    printed = capsys.readouterr().err

    assert "score 0.75" in printed
    assert "b's proposal, word for word, the highest score" in printed


async def test_the_server_answers_with_the_winner() -> None:
    """At once and streamed; a client reads which proposals have no score, and nothing of what the function says."""
    whole = config()
    whole["mixtures"]["none"] = {**config("fail")["mixtures"]["m"]}
    whole["router"] = {"fallback": "m"}
    question = [{"role": "user", "content": "Which?"}]
    async with served(whole) as server:
        reply = await server.chat(model="m", messages=question)
        streamed = await server.chat(model="m", messages=question, stream=True)
        unscored = await server.chat(model="none", messages=question)

    assert reply.body["choices"][0]["message"]["content"] == "from b"
    assert b"from b" in streamed.raw
    assert "no proposal has a score" in unscored.headers["x-mollm-degraded"]
    assert "s3cr3t" not in str(unscored.headers) + unscored.raw.decode()


def test_a_winner_that_is_not_in_the_format_is_written_anew() -> None:
    """As where an LLM picks it; what was planned for that is counted before."""

    def worker(request: Request) -> str:
        return '{"n": 2}' if "from b" in str(request.messages) else "from b"

    llms = {"a": ScriptedLLM("from a"), "b": ScriptedLLM(worker), "c": ScriptedLLM("from c")}
    answer = ask(config(), llms=llms, response_format=FORM)

    assert answer.text == '{"n": 2}'
    assert answer.calls == 4
    assert "what b wrote is not in the response format" in answer.degraded[0]
