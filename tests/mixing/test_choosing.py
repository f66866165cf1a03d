"""A mixture made for the question: who is chosen, within which limits, and what that never costs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import pytest

from mollm import MoLLM, create_graph, flow
from mollm.catalog import Catalog
from mollm.choosing import within
from mollm.cli.checks import check_config
from mollm.config.api_keys import KeyLimitsConfig
from mollm.config.load import load_config
from mollm.config.mixtures import MixtureConfig
from mollm.errors import ConfigError, LimitError, LimitReached
from mollm.events import Routed
from mollm.limits import worst_case
from mollm.llms.scripted import Reply, ScriptedLLM
from mollm.messages import question_of
from mollm.mixing.predicted import PredictedChooser
from mollm.options import Options
from mollm.plain import answer_from_plain
from mollm.pool import Pool
from mollm.run import Context, Run, fresh
from mollm.server.quotas import NOTHING, Amount, Quotas
from mollm.types import Choice
from tests.mixing.recorded import LLMS, predictor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mollm.calling.calls import Calls
    from mollm.types import Answer, Question

SUM, POEM = "What is 90 plus 93, and then minus 2?", "Write a lazy poem about snow in the evening."
PRICES = {"adder": 1.0, "poet": 4.0, "twin": 2.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained chooser."""
    path = tmp_path_factory.mktemp("chooser")
    predictor().save(path)
    return path


def config(choose: Mapping[str, Any], mixture: Mapping[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
    """One mixture that has its workers chosen."""
    llms = {
        name: {"model": "scripted/x", "max_tokens": 100, "retries": 0, "price": {"input": 0.0, "output": price}}
        for name, price in {**PRICES, "guide": 1.0}.items()
    }
    chosen = {"choose": {"most": 2, "from": list(LLMS), **choose}}
    whole = {"description": "d", "workers": chosen, "aggregator": {"method": "vote"}, **(mixture or {})}
    return {"llms": llms, "mixtures": {"m": whole}, **sections}


def predicted(folder: Path, **choose: Any) -> dict[str, Any]:
    """Chosen by what was learned."""
    return {"path": str(folder), "quality_weight": 1.0, **choose}


ASKED = {"by": "router_llm", "llm": "guide"}


def fakes(guide: Any = "twin, adder") -> dict[str, ScriptedLLM]:
    """Workers who name themselves, and an LLM that picks some of them."""
    return {**{name: ScriptedLLM(f"The answer is {name}.") for name in LLMS}, "guide": ScriptedLLM(guide)}


def ask(configuration: dict[str, Any], question: str = SUM, guide: Any = "twin, adder", **options: Any) -> Answer:
    """Ask it."""
    with MoLLM(configuration, llms=fakes(guide)) as mollm:
        return mollm.ask(question, **options)


def workers(answer: Answer) -> list[str]:
    """Who proposed."""
    return [proposal.worker for proposal in answer.proposals]


# --- by what was learned


def test_the_workers_are_those_who_are_good_at_the_question(folder: Path) -> None:
    """In the order of what is predicted, with the reason; the twin fails where the adder does, so it is not second."""
    for_sum, for_poem = (ask(config(predicted(folder)), question) for question in (SUM, POEM))

    assert (workers(for_sum)[0], workers(for_poem)[0]) == ("adder", "poet")
    assert for_poem.choice is not None
    assert for_poem.choice.workers == tuple(workers(for_poem))
    assert for_poem.choice.by == "predicted"
    assert for_poem.choice.reason.startswith("predicted quality: poet (0.")


def test_one_worker_is_a_bypass(folder: Path) -> None:
    """With one call, in the role that it has for every mixture of one worker."""
    answer = ask(config(predicted(folder, most=1)), POEM)

    assert [(call.role, call.llm) for call in answer.breakdown] == [("bypass", "poet")]


def test_price_counts_what_is_left_of_the_weight_of_quality(folder: Path) -> None:
    """At 0 the cheapest answers alone."""
    answer = ask(config(predicted(folder, quality_weight=0.0)), POEM)

    assert workers(answer) == ["adder"]
    assert "quality weighs 0" in (answer.choice.reason if answer.choice else "")


def test_a_follow_up_is_read_with_the_message_before_it(folder: Path) -> None:
    """By itself it says nothing."""
    with MoLLM(config(predicted(folder, most=1)), llms=fakes()) as mollm:
        said = [POEM, "Here it is.", "And another?"]
        turns = [{"role": "assistant" if n % 2 else "user", "content": text} for n, text in enumerate(said)]
        assert workers(mollm.ask(turns)) == ["poet"]


# --- within limits


def test_the_worst_case_of_a_choice_is_counted_before_it_is_made(folder: Path) -> None:
    """So many calls, each to the dearest of those among whom is chosen."""
    catalog = Catalog(load_config(config(predicted(folder))), Pool(fakes()))

    worst = worst_case(catalog.plan("m")[0], catalog.llms)

    assert (worst.calls, worst.output_tokens) == (2, 200)
    assert worst.cost_usd == pytest.approx(2 * 100 * 4e-6)


def test_a_choice_is_narrowed_until_it_fits(folder: Path) -> None:
    """The best of it that the limits allow together; the others are named in the reason."""
    one = ask(config(predicted(folder), limits={"calls": 1}), POEM)
    cheap = ask(config(predicted(folder, most=1), limits={"cost_usd": 0.00015}), POEM)

    assert workers(one) == ["poet"]
    assert one.choice is not None
    assert "which the limits do not allow" in one.choice.reason
    assert workers(cheap) == ["adder"], "the poet is too dear, and somebody else is not"


def test_what_not_even_one_worker_may_take_is_refused(folder: Path) -> None:
    """With the arithmetic, and before whoever chooses is asked."""
    with pytest.raises(LimitError, match="mixture 'm' is not asked: it may take 100 output tokens at worst"):
        ask(config(predicted(folder), limits={"output_tokens": 50}))
    llms = fakes()
    with MoLLM(config(ASKED, limits={"output_tokens": 50}), llms=llms) as mollm, pytest.raises(LimitError):
        mollm.ask(SUM)
    assert not llms["guide"].requests


async def test_a_choice_is_narrowed_to_what_the_caller_has_left(folder: Path) -> None:
    """A key of a server that may not take two workers gets one; asking what fits refuses nobody, and takes nothing."""
    for tokens, expected in ((1000, 2), (200, 1)):
        quotas = Quotas()
        quotas.change({"k": KeyLimitsConfig(tokens_per_day=tokens)})
        quota = quotas.of("k")
        assert quota is not None
        use = quota.enter()
        async with MoLLM(config(predicted(folder)), llms=fakes()) as mollm:
            with use.question() as booking:
                answer = await mollm.arun(SUM, budget=booking)
        assert len(answer.proposals) == expected
        assert not quota.refusals
        assert quota.today.reserved == NOTHING


async def test_what_the_caller_has_not_left_for_one_worker_is_refused(folder: Path) -> None:
    """As for every mixture, with when to try again."""
    quotas = Quotas()
    quotas.change({"k": KeyLimitsConfig(tokens_per_day=1000)})
    quota = quotas.of("k")
    assert quota is not None
    quota.spent(quota.today, Amount(950, 0))
    async with MoLLM(config(predicted(folder)), llms=fakes()) as mollm:
        with quota.enter().question() as booking, pytest.raises(LimitReached, match=r"950 tokens of .* are used"):
            await mollm.arun(SUM, budget=booking)


def test_rules_are_lowered_to_what_so_few_can_meet() -> None:
    """A quorum of three is none where two were chosen; who writes the answer stays who it was."""
    section = {"choose": {"most": 3, "from": ["a", "b", "c", "d"], "by": "router_llm"}}
    rules = {"quorum": 3, "agree": 3, "enough": 3, "ask_first": 3}
    mixture = MixtureConfig.model_validate({"description": "d", "workers": section, **rules})

    two, one = mixture.of(["d", "b"]), mixture.of(["d"])

    assert (two.quorum, two.agree, two.enough, two.ask_first) == (2, 2, 2, 2)
    assert (one.quorum, one.agree, one.enough, one.ask_first) == (1, None, 1, 1)
    assert [worker.llm for worker in two.listed] == ["d", "b"]
    assert two.aggregator_llm == two.acting_llm == one.acting_llm == "a"


# --- by an LLM


def test_an_llm_chooses_by_what_the_llms_are_good_at() -> None:
    """It reads a description of each, and what it replies is who is asked, in its order."""
    configuration = config(ASKED)
    configuration["llms"]["poet"]["description"] = "Verse of\n  all kinds."
    llms = fakes("`poet`, adder")
    with MoLLM(configuration, llms=llms) as mollm:
        answer = mollm.ask(POEM)

    assert workers(answer) == ["poet", "adder"]
    assert [call.role for call in answer.breakdown] == ["router", "worker", "worker"]
    assert "poet: Verse of all kinds.\ntwin: scripted/x" in llms["guide"].requests[0].messages[0]["content"]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("I would take the poet.", "the reply of guide is no list of these LLMs, so the first 2 as listed"),
        ("", "guide failed"),
        (Reply(error=RuntimeError("boom")), "so the first 2 as listed"),
    ],
)
def test_a_bad_chooser_never_costs_the_answer(reply: Any, reason: str) -> None:
    """The workers are those that are listed first, and the reason says why."""
    answer = ask(config(ASKED), guide=reply)

    assert workers(answer) == ["adder", "poet"]
    assert answer.choice is not None
    assert reason in answer.choice.reason


def test_the_routers_llm_chooses_where_no_other_is_named() -> None:
    """One that no router asks has to be named."""
    router = {"kind": "llm", "llm": "guide", "fallback": "m"}
    llms = fakes(["m", "poet"])
    with MoLLM(config({"by": "router_llm"}, router=router), llms=llms) as mollm:
        assert workers(mollm.ask(SUM)) == ["poet"]
    with pytest.raises(ConfigError, match=r"choose\.llm: is required: the LLM that picks, since no router asks one"):
        load_config(config({"by": "router_llm"}))


class Broken:
    """A chooser with a mistake in it."""

    kind, candidates, most = "broken", LLMS, 2

    def __init__(self, found: Choice | Exception) -> None:
        """Return `found`, or raise it."""
        self._found = found

    def plan(self, question: Question) -> tuple[()]:  # noqa: ARG002 - as every chooser
        """Call nobody."""
        return ()

    async def choose(self, question: Question, calls: Calls) -> Choice:  # noqa: ARG002 - as every chooser
        """Do as it was told."""
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


@pytest.mark.parametrize(
    ("found", "expected", "reason"),
    [
        (ZeroDivisionError("oh"), ["adder", "poet"], "choosing failed (ZeroDivisionError: oh), so the first 2 as"),
        (Choice((), "broken", "x"), ["adder", "poet"], "nothing was chosen, so the first 2 as listed"),
        (Choice(("nobody", "twin", "twin"), "broken", "x"), ["twin"], "x"),
        (Choice(("twin", "poet", "adder"), "broken", "x"), ["twin", "poet"], "x"),
    ],
)
def test_whatever_a_chooser_says_workers_are_asked(found: Any, expected: list[str], reason: str) -> None:
    """Those among whom it may choose, and no more than it may."""
    with MoLLM(config(ASKED), llms=fakes()) as mollm:
        mollm.catalog.mixtures["m"] = replace(mollm.catalog.mixtures["m"], chooser=Broken(found))
        answer = mollm.ask(SUM)

    assert workers(answer) == expected
    assert answer.choice is not None
    assert answer.choice.reason.startswith(reason)


# --- one run


async def test_a_run_that_goes_on_asks_who_was_chosen() -> None:
    """Its plain form holds the choice, and whoever chooses is not asked again."""
    catalog = Catalog(load_config(config(ASKED)), Pool(fakes("twin, poet")))
    question = question_of([{"role": "user", "content": SUM}])
    context = Context(catalog, question, Options())
    run, name = await flow.step("route", fresh(Options()), context)
    stored = json.loads(json.dumps(run.to_plain()))

    later = Context(Catalog(load_config(config(ASKED)), Pool(fakes("adder"))), question, Options())
    run, _ = await flow.step(name, Run.from_plain(stored), later)

    assert [proposal.worker for proposal in run.proposals] == ["twin", "poet"]
    assert run.choice is not None
    assert run.choice.reason == "guide picks twin, poet"


@pytest.mark.parametrize("engine", ["auto", "graph"])
async def test_the_choice_is_told_and_kept(engine: Literal["auto", "graph"]) -> None:
    """As an event before anybody is asked, and in the answer; by the loop and by the graph."""
    events = []
    async with MoLLM(config(ASKED), llms=fakes(), engine=engine) as mollm:
        events = [event async for event in mollm.astream(SUM)]
        answer = await mollm.aask(SUM)

    [routed] = [event for event in events if isinstance(event, Routed)]
    assert routed.choice is not None
    assert answer.choice is not None
    assert routed.choice.workers == answer.choice.workers == ("twin", "adder")


def test_the_answer_of_a_graph_has_the_choice() -> None:
    """In its plain form as well."""
    graph = create_graph(config(ASKED), llms=fakes())

    found = graph.invoke({"messages": [("user", SUM)]})

    assert answer_from_plain(found["mollm"]).choice is not None


TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}


def test_proposals_of_a_turn_are_used_again_whoever_would_be_chosen_now() -> None:
    """The result of a tool asks no worker, and nobody who chooses."""
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    llms = fakes(["poet, twin", "one", "two"])
    with MoLLM(config(ASKED, {"tools_llm": "guide"}), llms=llms) as mollm:
        asked = [{"role": "user", "content": SUM}]
        first = mollm.ask(asked, tools=[TOOL])
        result = [{"role": "assistant", "content": None, "tool_calls": [call]}]
        result += [{"role": "tool", "tool_call_id": "c1", "content": "7"}]
        second = mollm.ask([*asked, *result], tools=[TOOL])

    assert first.choice is not None
    assert (workers(first), workers(second)) == (["poet", "twin"], ["poet", "twin"])
    assert (second.reused, second.text) == (True, "two")
    assert [call.role for call in second.breakdown] == ["tools"]


# --- what is wrong with it


def test_what_is_wrong_is_found_with_its_place(tmp_path: Path, folder: Path) -> None:
    """When the file is read, or checked."""
    path = tmp_path / "mollm.yaml"
    lines = [
        "llms: {adder: {model: scripted/x}, poet: {model: scripted/x}, odd: {model: scripted/x}}",
        "mixtures:",
        "  m:",
        "    description: d",
        "    workers:",
        "      choose:",
    ]
    own = f"path: {folder}"
    for more, key, expected in (
        (["most: 1", "from: [adder]", "path: nowhere"], "9: path", "nowhere: no learned chooser can be read there"),
        (["most: 1", "from: [adder, odd]", own], "8: from[1]", f"{folder} was trained without 'odd'"),
        (["most: 3", "from: [adder]", own], "7: most", "3 is more than there are to pick `from` (1)"),
        (["most: 1", "from: [adder, adder]", own], "8: from", "'adder' stands here twice"),
        (["most: 1", "from: [adder]", "quality_weight: 2"], "9: quality_weight", "must be less than or equal to 1"),
        (["most: 1", "from: [adder]"], "6: path", "is required: the folder of a chooser"),
        (["most: 1", "from: [adder]", "by: router_llm", "llm: poet", "path: x"], "11: path", "has no effect where"),
        (["most: 1", "from: [nobody]", own], "8: from[0]", "no LLM 'nobody'"),
        (["from: [adder]", own], "6: most", "is required"),
        (["most: 1", "from: [adder]", own, "least: 1"], "10: least", "unknown key; allowed: most, from, by, path"),
    ):
        line, _, name = key.partition(": ")
        path.write_text("\n".join([*lines, *(f"        {line}" for line in more)]))
        found = "\n".join(check_config(path).problems)
        assert f"{path}:{line}: mixtures.m.workers.choose.{name}: {expected}" in found, found


def test_a_path_is_found_beside_the_file(tmp_path: Path) -> None:
    """Wherever the command runs."""
    predictor().save(tmp_path / "learned")
    path = tmp_path / "mollm.yaml"
    path.write_text(json.dumps(config({"path": "learned"})))

    assert not check_config(path).problems
    chooser = Catalog(load_config(path)).mixtures["m"].chooser
    assert isinstance(chooser, PredictedChooser)
    assert chooser.quality_weight == 0.5


def test_check_warns_of_choices_that_limits_narrow_and_of_missing_prices(tmp_path: Path, folder: Path) -> None:
    """What can be used, but is probably not meant so."""
    configuration = config(predicted(folder, quality_weight=0.5), limits={"calls": 1})
    del configuration["llms"]["poet"]["price"]

    path = tmp_path / "mollm.yaml"
    path.write_text(json.dumps(configuration))
    report = check_config(path)

    assert not report.problems
    assert any("fewer workers are chosen then" in text for text in report.warnings)
    assert any("without a price poet counts as free" in text for text in report.warnings)
    assert report.catalog is not None
    assert len(within(report.catalog, report.catalog.mixtures["m"], (), question_of([]))) == len(LLMS)
