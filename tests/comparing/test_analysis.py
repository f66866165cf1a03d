"""Proposals are analyzed before the answer is written: who reads what, what it takes, and that it costs no answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mollm import MoLLM
from mollm.cli.checks import check_config
from mollm.errors import BadRequest, ConfigError, LimitError, ProviderFailed
from mollm.events import Analyzed, Arrived, Comparing, Done, Routed, Started, Token, Writing
from mollm.llms.scripted import Reply, ScriptedLLM
from mollm.options import Options
from mollm.types import Analysis, Point
from tests.clock import run_virtual
from tests.comparing.panel import CUT, GOOD, Panel, analysis, quoted, roles, said, shown


@pytest.mark.parametrize("seed", range(4))
async def test_the_writer_reads_the_proposals_and_how_they_compare(seed: int) -> None:
    """Both see the proposals shuffled and without names; a number means the same proposal in the answer's analysis."""

    def analyst(request: Any) -> str:
        number = shown(request)["from b"]
        return analysis(contradictions=[("One says b.", [number])], unique_points=[("And it alone.", [number])])

    panel = Panel(analyst=analyst)

    answer = await panel.ask(seed=seed)

    assert answer.analysis == Analysis(
        "analyst", contradictions=(Point("One says b.", ("b",)),), unique_points=(Point("And it alone.", ("b",)),)
    )
    assert (answer.text, answer.degraded) == ("It is so.", ())
    assert roles(answer) == ["analyst", "aggregator"]
    number = shown(panel.request())["from b"]
    assert quoted(panel.request()) == (
        f"Contradictions:\n- One says b. (answer {number})\nUnique points:\n- And it alone. (answer {number})"
    )


async def test_numbers_follow_the_order_that_the_writer_sees() -> None:
    """Reviewers have turned it around, and the analyst read another."""
    panel = Panel(
        {"review": {"by": ["judge"]}, "shuffle": False},
        analyst=analysis(unique_points=[("Only a.", [1]), ("Only c.", [3])]),
        # Asked in both orders, the judge puts c before b before a.
        scripts={"judge": ['{"ranking": [[3], [2], [1]]}', '{"ranking": [[1], [2], [3]]}']},
    )

    answer = await panel.ask()

    assert shown(panel.request("analyst")) == {"from a": 1, "from b": 2, "from c": 3}
    assert shown(panel.request()) == {"from c": 1, "from b": 2, "from a": 3}
    assert quoted(panel.request()) == "Unique points:\n- Only a. (answer 3)\n- Only c. (answer 1)"
    assert answer.analysis
    assert [point.proposals for point in answer.analysis.unique_points] == [("a",), ("c",)]


async def test_one_llm_sampled_twice_is_a_panel() -> None:
    """It proposes twice, compares and writes; the samples have names of their own."""

    def llm(request: Any) -> str:
        return GOOD if "blind_spots" in said(request) else "from a"

    panel = Panel(
        {"workers": [{"llm": "a", "samples": 2}], "aggregator": {"llm": None, "analysis": True}, "shuffle": False},
        scripts={"a": llm},
    )

    answer = await panel.ask()

    assert answer.analysis
    assert (answer.analysis.llm, answer.analysis.consensus[0].proposals) == ("a", ("a", "a#2"))
    assert panel.called == {"a": 4}
    assert answer.degraded == ()


async def test_the_aggregators_llm_is_the_analyst_unless_another_is_named() -> None:
    """At temperature 0, with the caller's seed, none of the caller's format, and by default its own limit."""
    panel = Panel({"aggregator": {"analysis": True, "temperature": 0.9}}, scripts={"boss": [GOOD, '{"a": 1}']})

    answer = await panel.ask(seed=7, response_format={"type": "json_object"}, max_tokens=99, temperature=0.5)

    assert answer.analysis
    assert answer.analysis.llm == "boss"
    settings = panel.request(number=0).settings
    assert (settings.temperature, settings.seed, settings.max_tokens) == (0.0, 7, 500)
    assert settings.response_format is None, "a scripted LLM is no server that is known to take a schema"


async def test_a_prompt_and_criteria_are_what_the_analyst_reads() -> None:
    """A prompt of one's own has both; the default says nothing of criteria where there are none."""
    prompt = "Compare for {{ question }}:\n{{ proposals }}\nby\n{{ criteria }}"
    mine = Panel({"aggregator": {"analysis": {"llm": "analyst", "prompt": prompt, "criteria": ["price", "risk"]}}})
    plain = Panel()

    await mine.ask()
    await plain.ask()

    assert "Compare for Hello?:\n<answer-" in said(mine.request("analyst"))
    assert said(mine.request("analyst")).endswith("by\n- price\n- risk")
    assert "in particular" not in said(plain.request("analyst"))


BAD: dict[str, Any] = {
    "prose": "They mostly agree.",
    "prose around it": f"Here it is: {GOOD}",
    "a list": "[]",
    "not all lists": '{"consensus": []}',
    "no list": GOOD.replace("[]", "{}"),
    "number zero": analysis(consensus=[("x", [0])]),
    "an unknown number": analysis(consensus=[("x", [1, 4])]),
    "a number as text": GOOD.replace("[1, 2]", '["1"]'),
    "a truth value": GOOD.replace("[1, 2]", "[true]"),
    "a fraction": GOOD.replace("[1, 2]", "[1.0]"),
    "a huge number": GOOD.replace("[1, 2]", "[" + "9" * 5000 + "]"),
    "an empty point": analysis(consensus=[("  ", [1])]),
    "a point without a word": analysis(consensus=[("...", [1])]),
    "a long point": analysis(consensus=[("x" * 4001, [1])]),
    "many points": analysis(consensus=[("x", [1])] * 41),
    "a point that is a text": GOOD.replace('{"point": "Nobody says why.", "answers": []}', '"why"'),
    "half a surrogate pair": GOOD.replace("greet", "\\ud800"),
    "deeply nested": "[" * 100_000,
    "much too long": " " * 200_001 + GOOD,
    "nothing": "",
    "cut off": CUT,
    "a failure": ProviderFailed("down"),
    "an error of its own": ZeroDivisionError(),
}


@pytest.mark.parametrize("reply", BAD.values(), ids=BAD)
async def test_a_bad_analysis_never_costs_the_answer(reply: Any) -> None:
    """It is left out, the answer says so without a word of the analyst's, and is written from the proposals."""
    panel = Panel(analyst=reply)

    answer = await panel.ask()

    assert (answer.text, answer.analysis) == ("It is so.", None)
    (why,) = answer.degraded
    assert why.startswith("the proposals were not analyzed: ")
    assert not any(word in why for word in ("mostly", "greet", "99999"))
    assert sorted(shown(panel.request())) == ["from a", "from b", "from c"]
    assert "comparison" not in said(panel.request())


@pytest.mark.parametrize("reply", [f"```json\n{GOOD}\n```", f"\n{GOOD}\n", GOOD.replace("\n", "")])
async def test_a_fence_around_an_analysis_is_no_mistake(reply: str) -> None:
    """Nor is white space."""
    assert (await Panel(analyst=reply).ask()).analysis


@pytest.mark.parametrize(("deadline", "seconds", "waited"), [(9, 300, 9), (120, 60, 30)])
def test_an_analyst_that_hangs_is_waited_for_no_longer_than_it_may(deadline: int, seconds: int, waited: int) -> None:
    """No longer than a layer, and for half of the time that is left: the answer is still to be written."""
    panel = Panel({"deadline": deadline}, analyst=Reply(GOOD, delay=1000), limits={"seconds": seconds})

    async def ask() -> float:
        answer = await panel.ask()
        assert answer.degraded == ("the proposals were not analyzed: analyst did not reply in the time there was",)
        assert answer.text == "It is so."
        (call,) = [call for call in answer.breakdown if call.role == "analyst"]
        assert call.error
        assert call.error.message == "cancelled: the time to compare was over"
        return asyncio.get_running_loop().time()

    assert run_virtual(ask()) == waited
    assert panel.llms["analyst"].cancelled == 1


async def test_an_analyst_that_cancels_itself_is_an_ordinary_failure() -> None:
    """A library below it may do that; it is nobody's wish that the question ends."""

    def cancel(_: Any) -> str:
        raise asyncio.CancelledError

    answer = await Panel(analyst=cancel).ask()

    assert answer.degraded == ("the proposals were not analyzed: the call to analyst cancelled itself",)


def test_whoever_gives_a_question_up_ends_the_analysis() -> None:
    """The call is cancelled with the question, and nothing is written."""
    panel = Panel(analyst=Reply(GOOD, delay=50))

    async def ask() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(panel.ask(), 5)

    run_virtual(ask())

    assert panel.llms["analyst"].cancelled == 1
    assert "boss" not in panel.called


@pytest.mark.parametrize(
    ("mixture", "options"),
    [
        ({"agree": 2}, {}),
        ({"enough": 1, "grace": 1, "ask_first": 1, "widen_after": 100}, {}),
        ({"on_tools": "alone"}, {"tools": [{"type": "function", "function": {"name": "f"}}]}),
        ({"aggregator": {"analysis": False}}, {}),
    ],
    ids=["they agree", "one arrived", "tools alone", "off"],
)
async def test_nobody_is_asked_where_there_is_nothing_to_compare(
    mixture: dict[str, Any], options: dict[str, Any]
) -> None:
    """Nor is anything said of it."""
    same = dict.fromkeys("abc", "So it is 7.\nFinal answer: 7") if "agree" in mixture else {}
    panel = Panel(mixture, scripts=same)

    answer = await panel.ask(**options)

    assert "analyst" not in panel.called
    assert (answer.analysis, answer.degraded) == (None, ())


def test_an_analysis_stands_in_the_stream_before_who_writes() -> None:
    """The question says that it compares, then what it found; and the answer still streams."""
    panel = Panel(analyst=Reply(GOOD, delay=2.0), scripts={"boss": "One word after the other."})

    async def listen() -> list[Any]:
        return [event async for event in panel.mollm.astream("Hello?")]

    events = run_virtual(listen())

    kinds = [type(event) for event in events]
    assert kinds == [Routed, *[Started] * 3, *[Arrived] * 3, Comparing, Analyzed, Writing, *[Token] * 6, Done]
    assert events[kinds.index(Comparing)].llms == ("analyst",)
    assert events[kinds.index(Analyzed)].analysis == events[-1].answer.analysis
    assert "".join(event.text for event in events if isinstance(event, Token)) == "One word after the other."


async def test_best_picks_among_proposals_that_were_compared() -> None:
    """Who picks reads the analysis as who writes does."""
    panel = Panel({"aggregator": {"method": "best"}, "shuffle": False}, scripts={"boss": "2"})

    answer = await panel.ask()

    assert answer.text == "from b"
    assert (
        quoted(panel.request()) == "Consensus:\n- All of them greet. (answers 1, 2)\nBlind spots:\n- Nobody says why."
    )


async def test_an_aggregator_of_ones_own_is_given_the_analysis() -> None:
    """As it is, with the names of the workers."""

    class Mine:
        async def aggregate(self, brief: Any, _: Any) -> str:
            return "; ".join(point.text for point in brief.analysis.points)

    panel = Panel({"aggregator": {"method": "mine"}}, options={"aggregators": {"mine": Mine()}})

    assert (await panel.ask()).text == "All of them greet.; Nobody says why."


async def test_only_the_last_layer_is_analyzed() -> None:
    """Workers of a later layer read proposals through the same prompt, and no analysis."""
    prompt = "{{ proposals }}\n{% if analysis %}COMPARED {{ analysis }}{% endif %}"
    panel = Panel({"layers": 2, "aggregator": {"prompt": prompt}})

    answer = await panel.ask()

    assert panel.called == {"a": 2, "b": 2, "c": 2, "analyst": 1, "boss": 1}
    assert "COMPARED" not in said(panel.request("a"))
    assert "COMPARED <comparison-" in said(panel.request())
    assert answer.analysis


def test_an_analysis_is_counted_before_anybody_is_asked() -> None:
    """Its call, and what it adds to the prompt of who writes."""
    panel = Panel(limits={"calls": 4})

    with pytest.raises(LimitError, match=r"3 proposals \+ 1 analyst \+ 1 aggregator"):
        run_virtual(panel.ask())
    assert panel.called == {}

    question = Panel().mollm.catalog.mixtures["m"]
    without = Panel({"aggregator": {"analysis": False}}).mollm.catalog.mixtures["m"]
    more = Panel({"aggregator": {"analysis": {"llm": "analyst", "criteria": ["x" * 300]}}}).mollm.catalog.mixtures["m"]
    asked = _question()
    plans = [{call.role: call for call in m.plan(asked, Options())} for m in (without, question, more)]
    assert [plan["aggregator"].prompt_tokens - plans[0]["aggregator"].prompt_tokens for plan in plans] == [0, 620, 620]
    assert "analyst" not in plans[0]
    assert plans[2]["analyst"].prompt_tokens >= plans[1]["analyst"].prompt_tokens + 100
    assert plans[1]["analyst"].max_tokens == 500


def _question() -> Any:
    from mollm.messages import question_of

    return question_of([{"role": "user", "content": "Hello?"}])


WRONG = [
    ({"aggregator": {"method": "vote", "analysis": True}}, "aggregator.analysis: has no effect where `vote` counts"),
    ({"workers": ["a"], "aggregator": {"analysis": True}}, "aggregator.analysis: has no effect on a single proposal"),
    (
        {"aggregator": {"method": "best", "llm": "b", "analysis": True}, "review": {"by": ["a"]}},
        "aggregator.analysis: has no effect where the first of the review is taken",
    ),
    ({"aggregator": {"analysis": {"llm": "d"}}}, "aggregator.analysis.llm: no LLM 'd'"),
    ({"aggregator": {"analysis": {"criterion": "x"}}}, "criterion"),
    ({"aggregator": {"analysis": {"max_tokens": 0}}}, "aggregator.analysis.max_tokens"),
    ({"aggregator": {"analysis": {"prompt": "Compare {{ proposals }} {{ analysis }}"}}}, "unknown placeholder"),
    ({"aggregator": {"analysis": {"prompt": "Compare them."}}}, "the placeholder {{ proposals }} is missing"),
    (
        {"aggregator": {"analysis": {"prompt": "Compare {{ proposals }}", "criteria": ["price"]}}},
        "aggregator.analysis.criteria: has no effect: the prompt has no placeholder {{ criteria }}",
    ),
]


@pytest.mark.parametrize(("mixture", "problem"), WRONG)
def test_an_analysis_without_effect_is_an_error_at_load(mixture: dict[str, Any], problem: str, tmp_path: Any) -> None:
    """With the file, the line and the key."""
    import yaml

    whole = {"description": "d", "workers": ["a", "b", "c"], **mixture}
    data = {"llms": {name: {"model": "scripted/x"} for name in "abc"}, "mixtures": {"m": whole}}
    path = tmp_path / "mollm.yaml"
    path.write_text(yaml.safe_dump(data))

    (found,) = check_config(path).problems

    assert problem in found
    assert "mixtures.m.aggregator.analysis" in found or "mixtures.m.aggregator" in found
    assert f"{path}:" in found or "placeholder" in found
    with pytest.raises(ConfigError):
        MoLLM(path)


def test_an_llm_that_only_analyzes_is_used() -> None:
    """The file is not said to have one that nobody asks."""
    panel = Panel()

    assert "analyst" in panel.mollm.catalog.config.used_llms
    assert "analyst" in panel.mollm.catalog.config.mixtures["m"].llms


@pytest.mark.parametrize("method", ["synthesize", "best"])
def test_two_mixtures_that_answer_together_keep_the_analysis(method: str) -> None:
    """Also where the first would have picked a proposal, which answers half of the question, and an LLM now writes."""
    from mollm.types import Route

    llms = {name: ScriptedLLM(f"from {name}") for name in "abcw"} | {"analyst": ScriptedLLM(GOOD)}
    config = {
        "llms": {name: {"model": "scripted/x", "max_tokens": 50, "retries": 0} for name in llms},
        "mixtures": {
            "one": {
                "description": "d",
                "workers": ["a", "b"],
                "aggregator": {"method": method, "llm": "w", "analysis": {"llm": "analyst"}},
            },
            "two": {"description": "d", "workers": ["c", "b"], "aggregator": {"method": "vote"}},
        },
        "router": {"fallback": "one"},
    }
    both = Route("one", {}, "mine", "both", second="two")
    with MoLLM(config, llms=llms, router=lambda _: both) as mollm:
        answer = mollm.ask("Hi")

    assert answer.text == "from w"
    assert answer.analysis
    assert len(answer.proposals) == 3
    assert roles(answer) == ["analyst", "aggregator"]


@pytest.mark.parametrize(("most", "asked"), [(2, 1), (1, 0)])
def test_workers_that_are_chosen_are_analyzed_as_those_that_are_listed(most: int, asked: int) -> None:
    """Unless only one was chosen."""
    llms = {name: ScriptedLLM(f"from {name}") for name in "abc"} | {
        "guide": ScriptedLLM(", ".join("abc"[:most])),
        "analyst": ScriptedLLM(GOOD),
    }
    config = {
        "llms": {name: {"model": "scripted/x", "max_tokens": 50, "retries": 0} for name in llms},
        "mixtures": {
            "m": {
                "description": "d",
                "workers": {"choose": {"most": 2, "from": list("abc"), "by": "router_llm", "llm": "guide"}},
                "aggregator": {"analysis": {"llm": "analyst"}},
            }
        },
    }
    with MoLLM(config, llms=llms) as mollm:
        answer = mollm.ask("Hi")

    assert len(answer.proposals) == most
    assert len(llms["analyst"].requests) == asked
    assert bool(answer.analysis) is bool(asked)
    assert answer.degraded == ()


async def test_an_analyst_that_refuses_is_left_out() -> None:
    """With what its provider said of it in our words."""
    answer = await Panel(analyst=BadRequest("rejected", status=400)).ask()

    assert answer.degraded == ("the proposals were not analyzed: analyst: rejected",)
