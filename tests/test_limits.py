"""Ceilings of a request: worked out from the worst case, and refused before anything is called."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import pytest

from mollm.api import MoLLM
from mollm.catalog import NO_OPTIONS, NOTHING, Catalog
from mollm.config.limits import LimitsConfig
from mollm.config.load import load_config
from mollm.errors import LimitError
from mollm.limits import WorstCase, check, least, worst_case
from mollm.llms.scripted import ScriptedLLM
from mollm.messages import question_of
from mollm.options import Options
from mollm.prompts import FENCE_TOKENS

if TYPE_CHECKING:
    from mollm.types import Question

READ = 1310 + 2 * FENCE_TOKENS
"""Tokens of a prompt of 1,000, a template of 10, and two fenced proposals of 300 together."""
PRICE = {"input": 1.0, "output": 10.0}


def built(mixture: dict[str, Any], **llms: dict[str, Any]) -> Catalog:
    """A catalog of one mixture; `a`, `b` and `c` write 100, 200 and 400 tokens and have a price."""
    known = {
        name: {"model": "scripted/x", "max_tokens": tokens, "price": PRICE, **llms.get(name, {})}
        for name, tokens in (("a", 100), ("b", 200), ("c", 400))
    }
    whole = {"description": "d", **mixture}
    # 28 characters, which are 10 tokens at most.
    whole["aggregator"] = {"prompt": "Merge these: {{ proposals }}", **whole.get("aggregator", {})}
    return Catalog(load_config({"llms": known, "mixtures": {"m": whole}}))


def asked(tokens: int, *, has_tools: bool = False) -> Question:
    """A question of at most so many tokens."""
    return replace(question_of([]), tokens=tokens, has_tools=has_tools)


def worst(catalog: Catalog, question: Question = NOTHING, options: Options = NO_OPTIONS) -> WorstCase:
    """The most that the mixture may take."""
    return worst_case(catalog.plan("m", question, options)[0], catalog.llms)


def check_limits(
    limits: LimitsConfig, catalog: Catalog, question: Question = NOTHING, options: Options = NO_OPTIONS
) -> None:
    """Refuse what could exceed `limits`."""
    plan, arithmetic = catalog.plan("m", question, options)
    check(limits, plan, catalog.llms, "mixture 'm'", arithmetic)


@pytest.mark.parametrize(
    ("mixture", "calls", "tokens", "text"),
    [
        ({"workers": ["a"]}, 1, 100, "1 worker"),
        ({"workers": ["a", "b"]}, 3, 400, "2 proposals + 1 aggregator"),
        ({"workers": [{"llm": "a", "samples": 3}]}, 4, 400, "3 proposals + 1 aggregator"),
        ({"workers": ["a", "b"], "aggregator": {"method": "vote"}}, 2, 300, "2 proposals"),
        ({"workers": ["a", "b"], "aggregator": {"method": "vote", "llm": "c"}}, 3, 700, "2 proposals + 1 aggregator"),
        ({"workers": ["a", "b"], "aggregator": {"method": "best"}}, 3, 400, "2 proposals + 1 aggregator"),
        (
            {"workers": ["a", "b"], "aggregator": {"llm": "c", "fallback_llm": "b"}},
            4,
            900,
            "2 proposals + 1 aggregator + 1 fallback",
        ),
        ({"workers": ["a", "b"], "layers": 3}, 7, 1000, "2 proposals x 3 layers + 1 aggregator"),
        ({"workers": ["a"], "layers": 2}, 3, 300, "1 proposal x 2 layers + 1 aggregator"),
        ({"workers": ["a", {"llm": "b", "max_tokens": 7}]}, 3, 207, "2 proposals + 1 aggregator"),
        ({"workers": ["a", "b"], "aggregator": {"max_tokens": 7}}, 3, 307, "2 proposals + 1 aggregator"),
        ({"workers": ["a", "b"], "ask_first": 1, "enough": 1}, 3, 400, "2 proposals + 1 aggregator"),
    ],
)
def test_the_worst_case_is_counted(mixture: dict[str, Any], calls: int, tokens: int, text: str) -> None:
    """Every planned proposal of every layer, the aggregator and its fallback, each with its `max_tokens`."""
    catalog = built(mixture)

    found = worst(catalog)

    assert (found.calls, found.output_tokens) == (calls, tokens)
    assert catalog.plan("m")[1] == text


@pytest.mark.parametrize(
    ("mixture", "tokens"),
    [
        ({"workers": ["a"]}, 5),
        ({"workers": [{"llm": "a", "max_tokens": 50}]}, 5),
        ({"workers": ["a", "b"]}, 305),
        ({"workers": ["a", "b"], "aggregator": {"max_tokens": 50, "fallback_llm": "b"}}, 310),
        ({"workers": ["a", "b"], "aggregator": {"method": "best"}}, 400),
        ({"workers": ["a", "b"], "aggregator": {"method": "vote"}}, 300),
    ],
)
def test_the_callers_limit_is_that_of_whoever_writes(mixture: dict[str, Any], tokens: int) -> None:
    """It holds for the aggregator, its fallback, and the LLM of a bypass; workers and a judge keep their own."""
    catalog = built(mixture)

    assert worst(catalog, options=Options(max_tokens=5)).output_tokens == tokens


FORM = {"type": "json_object"}


@pytest.mark.parametrize(
    ("mixture", "calls", "tokens"),
    [
        ({"workers": ["a"]}, 1, 100),
        ({"workers": ["a", "b"], "aggregator": {"llm": "a"}}, 4, 600),
        ({"workers": ["a", "b"], "aggregator": {"llm": "c"}}, 4, 1100),
        ({"workers": ["a", "b"], "aggregator": {"method": "vote"}}, 3, 500),
    ],
)
def test_an_answer_written_anew_is_one_call_by_the_longest_and_dearest(
    mixture: dict[str, Any], calls: int, tokens: int
) -> None:
    """Whichever LLM will make it; only where a format has to be kept, and a mixture of one has nobody else."""
    catalog = built(mixture, b={"price": {"input": 1.0, "output": 1000.0}})

    found = worst(catalog, options=Options(response_format=FORM))

    assert (found.calls, found.output_tokens) == (calls, tokens)
    more = (found.cost_usd or 0) - (worst(catalog).cost_usd or 0)
    assert calls == 1 or more >= 1000.0 * (tokens - worst(catalog).output_tokens) / 1e6


def usd(*calls: tuple[int, int]) -> float:
    """Price of calls, each given by its tokens of input and output."""
    return sum(prompt * PRICE["input"] + output * PRICE["output"] for prompt, output in calls) / 1e6


@pytest.mark.parametrize(
    ("mixture", "cost"),
    [
        ({"workers": ["a"]}, usd((1000, 100))),
        ({"workers": ["a", "b"]}, usd((1000, 100), (1000, 200), (READ, 100))),
        ({"workers": ["a", "b"], "aggregator": {"method": "vote"}}, usd((1000, 100), (1000, 200))),
        (
            {"workers": ["a", "b"], "layers": 2, "aggregator": {"llm": "c"}},
            usd(
                (1000, 100),
                (1000, 200),
                (READ, 100),
                (READ, 200),
                (READ, 400),
            ),
        ),
    ],
)
def test_the_cost_is_that_of_the_real_prompt(mixture: dict[str, Any], cost: float) -> None:
    """Later layers and the aggregator read what the layer before may have written."""
    catalog = built(mixture)

    assert worst(catalog, asked(1000)).cost_usd == pytest.approx(cost)


def test_an_llm_without_a_price_makes_the_cost_unknown() -> None:
    """A sum with a part missing is no bound."""
    for name in ("a", "b"):
        catalog = built({"workers": ["a", "a"], "aggregator": {"llm": "b"}}, **{name: {"price": None}})
        assert worst(catalog).cost_usd is None


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"calls": 2}, "3 calls at worst (2 proposals + 1 aggregator), and limits.calls is 2"),
        (
            {"output_tokens": 399},
            "400 output tokens at worst (2 proposals + 1 aggregator), and limits.output_tokens is 399",
        ),
        (
            {"cost_usd": 0.0073},
            "0.007358 USD at worst (2 proposals + 1 aggregator), and limits.cost_usd is 0.0073",
        ),
    ],
)
def test_what_may_exceed_a_ceiling_is_refused_with_the_arithmetic(limits: dict[str, Any], text: str) -> None:
    """The message says which mixture, how much it may take, why, and what the ceiling is."""
    catalog = built({"workers": ["a", "b"]})

    with pytest.raises(LimitError) as caught:
        check_limits(LimitsConfig(**limits), catalog, asked(1000))

    assert str(caught.value) == f"mixture 'm' is not asked: it may take {text}"


def test_every_ceiling_that_may_be_exceeded_is_named() -> None:
    """All at once, so that one change of the file is enough."""
    catalog = built({"workers": ["a", "b"]})

    with pytest.raises(LimitError) as caught:
        check_limits(LimitsConfig(calls=1, output_tokens=1, cost_usd=1e-9), catalog)

    assert all(f"limits.{key} is" in str(caught.value) for key in ("calls", "output_tokens", "cost_usd"))


def test_a_ceiling_is_told_in_full() -> None:
    """A large number is not rounded away."""
    catalog = built({"workers": [{"llm": "a", "max_tokens": 1_234_568}]})

    with pytest.raises(LimitError, match=r"1234568 output tokens at worst .* is 1234567$"):
        check_limits(LimitsConfig(output_tokens=1_234_567), catalog)


def test_what_just_fits_is_let_through() -> None:
    """A ceiling may be reached."""
    catalog = built({"workers": ["a", "b"]})
    exact = LimitsConfig(calls=3, output_tokens=400, cost_usd=usd((0, 100), (0, 200), (READ - 1000, 100)))

    check_limits(exact, catalog)
    check_limits(LimitsConfig(), catalog)


def test_a_shorter_answer_may_fit_where_a_longer_one_does_not() -> None:
    """The caller's own `max_tokens` lowers the worst case."""
    catalog = built({"workers": ["a"]})
    limits = LimitsConfig(output_tokens=50)

    check_limits(limits, catalog, options=Options(max_tokens=50))
    with pytest.raises(LimitError):
        check_limits(limits, catalog)
    with pytest.raises(LimitError):
        check_limits(limits, catalog, options=Options(max_tokens=51))


def test_a_longer_prompt_costs_more() -> None:
    """The same mixture is refused for a prompt that makes it too dear."""
    catalog = built({"workers": ["a"]})
    limits = LimitsConfig(cost_usd=usd((1000, 100)))

    check_limits(limits, catalog, asked(1000))
    with pytest.raises(LimitError, match="USD"):
        check_limits(limits, catalog, asked(1001))


def test_a_persona_is_part_of_the_prompt() -> None:
    """What a worker's prompt and system add is paid for with every call."""
    plain, long = built({"workers": ["a"]}), built({"workers": [{"llm": "a", "system": "x" * 3000}]})

    assert worst(long).cost_usd == pytest.approx((worst(plain).cost_usd or 0) + usd((1000, 0)))


def test_a_request_with_tools_is_one_call_to_the_llm_for_tools() -> None:
    """Its price is that of the LLM that answers it, be it dearer or cheaper than the mixture."""
    catalog = built({"workers": ["a", "b"], "on_tools": "alone", "tools_llm": "c"})

    found = worst(catalog, asked(10, has_tools=True))

    assert (found.calls, found.output_tokens) == (1, 400)
    assert found.cost_usd == pytest.approx(usd((10, 400)))
    with pytest.raises(LimitError, match="1 call with tools"):
        check_limits(LimitsConfig(output_tokens=399), catalog, asked(0, has_tools=True))


class Ledger:
    """A budget that notes what is taken from it, and what was called by then."""

    def __init__(self, llms: dict[str, ScriptedLLM], most: int) -> None:
        """Give `most` tokens."""
        self._llms, self._most = llms, most
        self.taken: list[tuple[int, int]] = []

    def allows(self, worst: WorstCase) -> bool:
        """Say whether there is so much."""
        return worst.output_tokens <= self._most

    def reserve(self, worst: WorstCase) -> None:
        """Take the worst case, or refuse it."""
        self.taken.append((worst.calls, sum(len(llm.requests) for llm in self._llms.values())))
        if worst.output_tokens > self._most:
            raise LimitError("there is not so much left")


@pytest.mark.parametrize("engine", ["auto", "graph"])
async def test_a_budget_is_asked_before_anybody_is_called(engine: Literal["auto", "graph"]) -> None:
    """First for the least that any mixture takes with the router's call, then for the mixture that was picked."""
    price = {"model": "scripted/x", "max_tokens": 100, "price": PRICE}
    config = {
        "llms": dict.fromkeys("abc", price),
        "mixtures": {
            "one": {"description": "d", "workers": ["a"]},
            "two": {"description": "d", "workers": ["a", "b"], "aggregator": {"method": "vote"}},
        },
        "router": {"kind": "llm", "llm": "c", "fallback": "one"},
    }
    found: list[list[tuple[int, int]]] = []
    for most in (50, 150, 1000):
        llms = {"a": ScriptedLLM("4"), "b": ScriptedLLM("4"), "c": ScriptedLLM("two")}
        async with MoLLM(config, llms=llms, engine=engine) as mollm:
            budget = Ledger(llms, most)
            if most < 1000:
                with pytest.raises(LimitError, match="not so much left"):
                    await mollm.arun("Hi", budget=budget)
            else:
                assert (await mollm.arun("Hi", budget=budget)).mixture == "two"
            found.append(budget.taken)

    assert found == [[(1, 0), (2, 0)], [(1, 0), (2, 0), (3, 1)], [(1, 0), (2, 0), (3, 1)]]


def test_the_least_of_several_is_the_least_of_each_kind() -> None:
    """One without a price says nothing about money, unless none has one."""
    cheap, short = WorstCase(5, 100, 0.1, 50), WorstCase(2, 900, 0.9, 10)
    unpriced = WorstCase(1, 10, None, 5, ("a",))

    assert least([cheap, short]) == WorstCase(2, 100, 0.1, 10)
    assert least([cheap, unpriced]) == WorstCase(1, 10, 0.1, 5)
    assert least([unpriced]) == unpriced
