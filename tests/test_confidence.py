"""How probable an answer is, in the path that serves: whom it spares, where it is said, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import mollm
from mollm import MoLLM
from mollm.config.panels import remote_problems, told
from mollm.errors import AuthFailed, BadRequest, ConfigError
from mollm.final.calibration import Member
from mollm.final.calibration_file import read_calibration, text_of
from mollm.llms.scripted import Reply, ScriptedLLM
from mollm.plain import answer_from_plain
from mollm.run import Run
from tests.calibrations import made_up, written
from tests.server.served import config_of, served
from tests.test_flow import Case, play
from tests.upstream import Upstream, answer, error

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mollm.calling.base import Request
    from mollm.types import Answer

FOUR, FIVE = "The answer is 4.", "The answer is 5."
TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
SURE = {"content": [{"token": "4", "logprob": -0.01}]}
UNSURE = {"content": [{"token": "4", "logprob": -3.0}]}


def team(folder: Path, *, supports: dict[str, float] | None = None, **mixture: Any) -> dict[str, Any]:
    """Three workers and a boss, with a calibration: an answer has the odds v squared to 1 + u, where v give it and u
    the next one, times e to the power of what its givers support it with."""
    whole = {"description": "d", "workers": ["a", "b", "c"], "aggregator": {"llm": "boss"}, **mixture}
    config = {"llms": {n: {"model": "x/y", "retries": 0} for n in ("a", "b", "c", "boss")}, "mixtures": {"m": whole}}
    path = written(folder / "calibration.json", config, supports=supports)
    return {**config, "mixtures": {"m": {**whole, "calibration": str(path)}}}


def ask(config: dict[str, Any], *, options: Any = None, **scripts: Any) -> tuple[Answer, dict[str, ScriptedLLM]]:
    """Ask it, with LLMs that say what is given."""
    llms = {name: ScriptedLLM(scripts.get(name, FOUR)) for name in config["llms"]}
    with MoLLM(config, llms=llms) as asked:
        return asked.ask("How many?", **(options or {})), llms


def test_one_that_is_always_right_costs_one_call(tmp_path: Path) -> None:
    """In a lopsided mixture the strong one is asked first, and nobody after it: no second opinion, no aggregator."""
    config = team(tmp_path, supports={"a": 4.0}, ask_first=1, agree=0.9)

    found, llms = ask(config)

    assert (found.text, found.calls, len(found.proposals)) == (FOUR, 1, 1)
    assert found.confidence == pytest.approx(0.982, abs=1e-3)
    assert not any(llms[name].requests for name in ("b", "c", "boss"))
    assert found.degraded == ()


def test_one_that_is_not_sure_brings_in_the_next(tmp_path: Path) -> None:
    """As many as it takes; where all have been asked and it is not sure yet, the aggregator writes."""
    config = team(tmp_path, ask_first=1, agree=0.75)

    agreed, _ = ask(config)
    divided, llms = ask(config, b=FIVE, c="The answer is 6.", boss="It is 4.")

    assert agreed.calls == 2
    assert agreed.confidence == pytest.approx(0.8)
    assert divided.calls == 4
    assert divided.confidence == pytest.approx(1 / 3)
    assert divided.text == "It is 4."
    assert len(llms["boss"].requests) == 1


def test_how_sure_an_llm_is_of_its_words_decides_where_it_tells(tmp_path: Path) -> None:
    """Workers are asked for log-probabilities where the calibration uses them, and for none where it does not."""
    config = team(tmp_path, ask_first=1, agree=0.75)
    without, llms = ask(config)
    path = tmp_path / "calibration.json"
    member = Member(1.0, logprob=(-0.1, 0.1))
    own = read_calibration(path).digest
    path.write_text(text_of(made_up(dict.fromkeys("abc", member), base=2.0, digest=own, unlikely=1.0)), "utf-8")

    sure, asked = ask(config, a=Reply(FOUR, logprobs=SURE))
    unsure, _ = ask(config, a=Reply(FOUR, logprobs=UNSURE), b=Reply(FOUR, logprobs=UNSURE))

    assert "logprobs" not in llms["a"].requests[0].settings.payload()
    assert without.proposals[0].logprob is None
    assert asked["a"].requests[0].settings.payload()["logprobs"] is True
    assert sure.calls == 1
    assert sure.proposals[0].logprob == pytest.approx(-0.01)
    assert unsure.calls == 2
    assert unsure.proposals[0].logprob == pytest.approx(-3.0)


REFUSALS = [
    BadRequest("it does not take `logprobs`", refused=("logprobs",)),
    AuthFailed("access was refused", said="You are not allowed to request logprobs from this model."),
    BadRequest("the provider refused the request", said="Bad request"),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=["not taken", "not allowed", "without a word"])
def test_a_provider_that_tells_no_log_probabilities_answers_all_the_same(
    refusal: Exception, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is asked once more without them, in the same call, and never again with them; the log says so, once."""

    def script(request: Request) -> Reply:
        return Reply(error=refusal) if "logprobs" in request.settings.extra_body else Reply(FOUR)

    config = with_logprobs(tmp_path)
    llms = {name: ScriptedLLM(script) for name in config["llms"]}
    with MoLLM(config, llms=llms) as asked:
        first, second = asked.ask("How many?"), asked.ask("How many?")

    assert [p.error for p in (*first.proposals, *second.proposals)] == [None] * len([*first.proposals] * 2)
    assert first.confidence == second.confidence is not None
    assert first.calls == second.calls
    assert ["logprobs" in request.settings.extra_body for request in llms["a"].requests] == [True, False, False]
    assert caplog.text.count("a: answers without log-probabilities only; it is asked for no more of them") == 1


def with_logprobs(folder: Path) -> dict[str, Any]:
    """A mixture with a calibration that uses log-probabilities."""
    config = team(folder, aggregator={"method": "vote"})
    path = folder / "calibration.json"
    whole = replace(read_calibration(path), weights={**read_calibration(path).weights, "unlikely": 1.0})
    path.write_text(text_of(whole), "utf-8")
    return config


def test_a_wrong_request_is_wrong_without_them_as_well(tmp_path: Path) -> None:
    """Then it has failed, and they are asked for the next time."""
    llm = ScriptedLLM(BadRequest("the provider refused the request", said="Bad request"))
    config = with_logprobs(tmp_path)
    others = {name: ScriptedLLM(FOUR) for name in config["llms"]}

    with MoLLM(config, llms={**others, "a": llm}) as asked:
        first = asked.ask("How many?")
        asked.ask("How many?")

    assert first.proposals[0].error is not None
    assert ["logprobs" in request.settings.extra_body for request in llm.requests] == [True, False, True, False]


def test_another_failure_is_not_taken_for_a_refusal(tmp_path: Path) -> None:
    """A key that is refused stays refused, and what a worker sets itself is not taken back."""
    llm = ScriptedLLM(AuthFailed("access was refused", said="no such key"))
    config = with_logprobs(tmp_path)
    others = {name: ScriptedLLM(FOUR) for name in config["llms"]}

    with MoLLM(config, llms={**others, "a": llm}) as asked:
        found = asked.ask("How many?")

    assert found.proposals[0].error is not None
    assert len(llm.requests) == 1


async def test_over_http_the_field_is_left_out_where_it_is_refused(tmp_path: Path) -> None:
    """The words of a server that does not know it are enough."""
    async with Upstream() as upstream:
        upstream.reply_to = lambda got: (
            error(400, "Unrecognized request argument supplied: logprobs") if "logprobs" in got.body else answer(FOUR)
        )
        config = config_of(upstream)
        config["mixtures"]["three"] |= {"aggregator": {"method": "vote"}}
        path = written(tmp_path / "c.json", config, "three")
        whole = replace(read_calibration(path), weights={**read_calibration(path).weights, "unlikely": 1.0})
        path.write_text(text_of(whole), "utf-8")
        config["mixtures"]["three"]["calibration"] = str(path)
        async with served(config) as server:
            reply = await server.chat(model="three")
            count = await server.metric("confidence_count", mixture="three")
            summed = await server.metric("confidence_sum", mixture="three")

    assert reply.status == 200
    assert float(reply.headers["x-mollm-confidence"]) == pytest.approx(summed, abs=1e-4)
    assert count == 1
    assert [("logprobs" in got.body) for got in upstream.received].count(False) == 3


@pytest.mark.parametrize(
    ("written_by_boss", "is_told"),
    [("So it is 4.", True), ("It is 5.", False), ("Nobody knows what a pile is.", False), ('{"answer": 4}', True)],
)
def test_the_probability_is_that_of_the_answer_that_leads(written_by_boss: str, is_told: bool, tmp_path: Path) -> None:
    """An answer that says something else has none: what is known of the leading one is not known of it."""
    found, _ = ask(team(tmp_path), c=FIVE, boss=written_by_boss)

    assert found.text == written_by_boss
    assert found.confidence == (pytest.approx(4 / 6) if is_told else None)


def test_open_text_and_mixtures_without_a_calibration_have_none(tmp_path: Path) -> None:
    """Nobody knows."""
    config = team(tmp_path)
    open_text, _ = ask(config, **dict.fromkeys("abc", "That depends on what one calls a pile."))
    del config["mixtures"]["m"]["calibration"]
    without, _ = ask(config)

    assert (open_text.confidence, without.confidence) == (None, None)


CASES = {
    "sure alone": ({"ask_first": 1, "agree": 0.75}, {"a": Reply(FOUR, delay=1)}),
    "sure together": ({"ask_first": 2, "agree": 0.75}, {}),
    "never sure": ({"ask_first": 1, "agree": 0.9}, {"b": Reply(FIVE), "c": Reply("What is a pile?")}),
    "not asked to be": ({"ask_first": "all"}, {"a": Reply(error=BadRequest("no")), "c": Reply(FIVE, delay=2)}),
    "open text": ({"ask_first": 1, "agree": 0.75}, dict.fromkeys("abc", Reply("What is a pile?"))),
    "late": ({"ask_first": 1, "agree": 0.9, "widen_after": 1, "deadline": 5}, {"a": Reply(FOUR, delay=9)}),
}


@pytest.mark.parametrize(("mixture", "replies"), CASES.values(), ids=CASES)
def test_the_loop_and_the_graph_say_the_same(
    mixture: dict[str, Any], replies: dict[str, Reply], tmp_path: Path
) -> None:
    """Events, calls, state and answer, the probability among them."""
    config = team(tmp_path, supports={"b": 1.0}, **mixture)["mixtures"]["m"]
    said = {**dict.fromkeys("abc", Reply(FOUR)), **replies, "boss": Reply("It is 4.")}
    case = Case(said, {"shuffle": False, **{name: value for name, value in config.items() if name != "description"}})

    loop, graph = play(case, "loop"), play(case, "graph")

    assert loop.error is None
    assert loop.events == graph.events
    assert loop.asked == graph.asked
    ours, theirs = ({**(seen.run or {}), "seconds": 0} for seen in (loop, graph))
    assert ours["confidence"] == theirs["confidence"]
    assert (ours["confidence"] is None) == all(
        reply.text.endswith("?") for reply in said.values() if reply != said["boss"]
    )
    assert [p["final"] for p in ours["proposals"]] == [p["final"] for p in theirs["proposals"]]


async def test_a_run_that_is_resumed_keeps_it(tmp_path: Path) -> None:
    """It stands in the state, as a number, and the answer has it whoever goes on."""
    from langgraph.checkpoint.memory import InMemorySaver

    config = team(tmp_path)
    llms = {name: ScriptedLLM(FOUR) for name in config["llms"]}
    graph: Any = mollm.create_graph(config, llms=llms, checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "t"}}

    await graph.ainvoke({"messages": [("user", "How many?")]}, thread, interrupt_before=["aggregate"])
    state = (await graph.aget_state(thread)).values["run"]
    result = await graph.ainvoke(None, thread)

    assert Run.from_plain(json.loads(json.dumps(state))).confidence == state["confidence"] == pytest.approx(0.9)
    assert answer_from_plain(result["mollm"]).confidence == pytest.approx(0.9)
    del state["confidence"]
    assert Run.from_plain(state).confidence is None, "a state of before there was one"


def test_the_next_request_of_a_turn_has_it_as_well(tmp_path: Path) -> None:
    """Proposals that are used again say of the answer what they said before."""
    config = team(tmp_path)
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    boss = [Reply(message=message, finish_reason="tool_calls"), Reply("It is 4.")]
    llms = {name: ScriptedLLM(FOUR) for name in "abc"} | {"boss": ScriptedLLM(boss)}
    question: list[dict[str, Any]] = [{"role": "user", "content": "How many?"}]

    with MoLLM(config, llms=llms) as asked:
        first = asked.ask(question, tools=[TOOL])
        step = [*question, message, {"role": "tool", "tool_call_id": "c1", "content": "4"}]
        second = asked.ask(step, tools=[TOOL])

    assert (first.finish_reason, first.confidence) == ("tool_calls", None)
    assert second.reused
    assert second.confidence == pytest.approx(0.9)


def other_worker(config: dict[str, Any]) -> None:
    """Ask somebody else."""
    config["mixtures"]["m"]["workers"] = ["a", "b", "boss"]


def other_order(config: dict[str, Any]) -> None:
    """Ask the same in another order."""
    config["mixtures"]["m"]["workers"] = ["b", "a", "c"]


def other_setting(config: dict[str, Any]) -> None:
    """Ask one at another temperature."""
    config["mixtures"]["m"]["workers"] = ["a", {"llm": "b", "temperature": 1.0}, "c"]


def other_file(config: dict[str, Any]) -> None:
    """Name a file that is not there."""
    config["mixtures"]["m"]["calibration"] = "nowhere.json"


def too_sure(config: dict[str, Any]) -> None:
    """Ask for more than is ever stated."""
    config["mixtures"]["m"]["agree"] = 0.95


REFUSED: list[tuple[Callable[[dict[str, Any]], None], str]] = [
    (other_worker, "mixtures.m.calibration: FILE was fitted for other workers: without boss and with c; fit it again"),
    (other_order, "mixtures.m.calibration: FILE was fitted for them in another order: a, b, c; fit it again"),
    (other_setting, "mixtures.m.calibration: FILE was fitted when a worker had another model, prompt or sampling"),
    (other_file, "mixtures.m.calibration: no file 'nowhere.json'"),
    (too_sure, "mixtures.m.agree: 0.95 is never reached: 0.9000 is the most that FILE says when all have agreed"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED, ids=[change.__name__ for change, _ in REFUSED])
def test_a_calibration_of_something_else_is_refused(
    change: Callable[[dict[str, Any]], None], message: str, tmp_path: Path
) -> None:
    """When the mixture is built, by its key; what differs is told as far as it shows."""
    config = team(tmp_path)
    change(config)

    with pytest.raises(ConfigError) as caught:
        MoLLM(config)

    assert message.replace("FILE", str(tmp_path / "calibration.json")) in str(caught.value)


def test_a_broken_file_is_told_with_its_key(tmp_path: Path) -> None:
    """And with the place in the configuration that names it."""
    config = team(tmp_path)
    path = tmp_path / "calibration.json"
    path.write_text(path.read_text("utf-8").replace('"format": 2', '"format": 0'), "utf-8")

    with pytest.raises(ConfigError, match=r"mixtures\.m\.calibration: .*calibration\.json: format: must be 2, not 0"):
        MoLLM(config)


NONSENSE: dict[str, tuple[dict[str, Any], str]] = {
    "no calibration": ({"calibration": None, "agree": 0.9}, "agree: a probability needs `calibration`"),
    "quorum": ({"agree": 0.9, "quorum": 2}, "quorum: 2 is more than the proposals that may be sure enough"),
    "enough": ({"agree": 0.9, "enough": 1}, "agree: has no effect: `enough` (1) ends the layer"),
    "layers": ({"layers": 2}, "calibration: cannot be used with several `layers`"),
    "samples": ({"workers": [{"llm": "a", "samples": 2}]}, "workers[0].samples: cannot be calibrated"),
    "alone": ({"workers": ["a"]}, "calibration: has no effect: with a single proposal"),
    "chosen": (
        {"workers": {"choose": {"most": 2, "from": ["a", "b", "c"], "by": "router_llm", "llm": "boss"}}},
        "calibration: cannot be used where workers are picked for each question",
    ),
}


@pytest.mark.parametrize(("keys", "message"), NONSENSE.values(), ids=NONSENSE)
def test_what_cannot_work_is_an_error_at_load(keys: dict[str, Any], message: str, tmp_path: Path) -> None:
    """By its key, before a file is read."""
    config = team(tmp_path)
    config["mixtures"]["m"] |= keys
    if config["mixtures"]["m"]["calibration"] is None:
        del config["mixtures"]["m"]["calibration"]

    with pytest.raises(ConfigError) as caught:
        MoLLM(config)

    assert f"mixtures.m.{message}" in str(caught.value)


def test_only_a_panel_of_the_program_itself_names_a_file(tmp_path: Path) -> None:
    """One from a network may not, whatever the file is."""
    config = team(tmp_path)
    panel = {name: config["mixtures"]["m"][name] for name in ("workers", "aggregator", "calibration")}
    llms = {name: ScriptedLLM(FOUR) for name in config["llms"]}

    with MoLLM(config, llms=llms) as asked:
        own = asked.ask("How many?", mixture=panel)

    assert own.confidence == pytest.approx(0.9)
    assert told(remote_problems(panel)) == (
        "mixture.calibration: cannot be set here: only the configuration may name files and prompts"
    )


def test_a_state_from_before_it_was_said_why_a_layer_ended_goes_on() -> None:
    """It said whether they agreed, and that still ends the question."""
    state = Run("1", ended="agreed").to_plain()
    del state["ended"]

    assert Run.from_plain({**state, "agreed": True}).agreed
    assert not Run.from_plain({**state, "agreed": False}).agreed
