"""A reply that is one of several names: what is asked for, how it is read, and how it is weighed."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm.routing.choice import ALTERNATIVES, constraint, mentioned, read, read_several, shares

OPTIONS = ("coding", "car", "car-rental", "none")


def logprobs(*places: dict[str, float]) -> dict[str, Any]:
    """OpenAI's form; a place maps tokens to probabilities, the token that was written first."""
    content = []
    for place in places:
        entries = [{"token": token, "logprob": math.log(likely)} for token, likely in place.items()]
        content.append({**entries[0], "top_logprobs": entries})
    return {"content": content}


def test_each_server_is_held_to_the_names_in_its_own_way() -> None:
    """vLLM by a choice, llama.cpp by a grammar; where nothing is known, nothing is sent that could be rejected."""
    weighed = {"logprobs": True, "top_logprobs": ALTERNATIVES}

    assert constraint(OPTIONS, "vllm") == {"structured_outputs": {"choice": list(OPTIONS)}, **weighed}
    grammar = 'root ::= "coding" | "car" | "car-rental" | "none"'
    assert constraint(OPTIONS, "llama_cpp") == {"grammar": grammar, **weighed}
    assert constraint(OPTIONS, None) == {}


def test_a_list_of_names_is_held_to_as_many_as_may_be() -> None:
    """The name of one that has a dot in it stands for itself."""
    names = ("gpt-4.1", "org/b")

    asked = constraint(names, "vllm", 3)["structured_outputs"]["regex"]
    grammar = 'root ::= name (", " name){0,2}\nname ::= "gpt-4.1" | "org/b"'

    assert constraint(names, "llama_cpp", 3) == {"grammar": grammar}
    assert constraint(names, None, 3) == {}
    assert re.fullmatch(asked, "org/b, gpt-4.1, org/b")
    for wrong in ("", "gpt-431", "org/b,gpt-4.1", "org/b, org/b, org/b, org/b"):
        assert not re.fullmatch(asked, wrong)


@pytest.mark.parametrize(
    ("reply", "names"),
    [
        ("car, coding", ("car", "coding")),
        ("1. car\n2. Coding", ("car", "coding")),
        ("- `car`;\n- car", ("car",)),
        ("car", ("car",)),
        ("car and coding", ()),
        ("car, trains", ()),
        ("I pick car, coding", ()),
        (" \n", ()),
    ],
)
def test_a_list_is_read_or_nothing_is(reply: str, names: tuple[str, ...]) -> None:
    """Each name once, in order; one part that is no name makes a guess of all the others."""
    assert read_several(reply, OPTIONS) == names


@pytest.mark.parametrize(
    ("reply", "option"),
    [
        ("coding", "coding"),
        ("Coding", "coding"),
        (" coding.\n", "coding"),
        ('"coding"', "coding"),
        ("**coding**", "coding"),
        ("`car-rental`", "car-rental"),
        ("(None)", "none"),
        ("\u201cCar\u201d!", "car"),
        ("coding, car", None),
        ("coding or car", None),
        ("I think it is coding", None),
        ("Answer: coding", None),
        ("codin", None),
        ("codings", None),
        ("cooking", None),
        ("...", None),
        ("", None),
    ],
)
def test_a_reply_is_one_name_or_nothing(reply: str, option: str | None) -> None:
    """Case, quotes, markdown and punctuation are forgiven; more words, or another name, are not."""
    assert read(reply, OPTIONS) == option


def test_names_that_differ_in_decoration_or_case_alone_are_told_apart() -> None:
    """The exact one wins; a reply that could be either is neither."""
    options = ("Code", "code", "code_")

    assert [read(option, options) for option in options] == list(options)
    assert read("CODE", options) is None


def test_names_are_mentioned_as_words() -> None:
    """A name inside a longer one does not count."""
    assert mentioned("Either Coding or car-rental, no scar.", OPTIONS) == ["coding", "car-rental"]
    assert mentioned("encoding", OPTIONS) == []


def test_the_first_token_that_tells_them_apart_decides() -> None:
    """Its probability is the chosen name's, that of another name's beginning is the other's."""
    found = shares(OPTIONS, "coding", logprobs({"cod": 0.75, "no": 0.25}, {"ing": 0.01, "ex": 0.99}))

    assert found == pytest.approx({"coding": 0.75, "car": 0.0, "car-rental": 0.0, "none": 0.25})


def test_tokens_that_lead_on_are_followed() -> None:
    """A name that begins like another is decided by a later token."""
    found = shares(OPTIONS, "car-rental", logprobs({"car": 0.8, "cod": 0.2}, {"-": 0.5, "</s>": 0.5}, {"rental": 1.0}))

    assert found is not None
    assert found["coding"] == pytest.approx(0.2)
    assert found["car-rental"] == pytest.approx(0.4 + 0.2)
    assert found["car"] == pytest.approx(0.2), "the end of the reply is no token of either, so both have half of it"


def test_a_token_that_begins_several_names_counts_for_each() -> None:
    """They share its probability equally."""
    found = shares(("coding", "car", "none"), "none", logprobs({"no": 0.4, "c": 0.6}))

    assert found == pytest.approx({"coding": 0.3, "car": 0.3, "none": 0.4})


def test_what_the_llm_would_rather_have_said_tells_nothing() -> None:
    """A name forced on an LLM that wanted to write something else is no likelier than the others."""
    found = shares(OPTIONS, "coding", logprobs({"cod": 0.01, "The": 0.5, "Sure": 0.3}))

    assert found is not None
    assert found["coding"] == pytest.approx(0.01 + 0.99 / 4)
    assert sum(found.values()) == pytest.approx(1.0)


def test_case_and_leading_space_of_a_token_do_not_count() -> None:
    """They are other ways to write the same name."""
    found = shares(OPTIONS, "coding", logprobs({"": 1.0}, {" cod": 0.5, "Cod": 0.3, "NO": 0.2}))

    assert found == pytest.approx({"coding": 0.8, "car": 0.0, "car-rental": 0.0, "none": 0.2})


@pytest.mark.parametrize(
    "given_back",
    [
        None,
        [],
        "text",
        {},
        {"content": None},
        {"content": [None]},
        {"content": [{"token": "coding"}]},
        {"content": [{"token": "coding", "logprob": "high"}]},
        {"content": [{"token": None, "logprob": -1.0}]},
        {"content": [{"token": "coding", "logprob": 0.0, "top_logprobs": [7]}]},
        logprobs({"**": 1.0}, {"coding": 1.0}),
        logprobs({"token_id:17": 1.0}),
        logprobs({"car": 1.0}),
    ],
)
def test_what_cannot_be_read_has_no_probabilities(given_back: Any) -> None:
    """Whatever a server sends, nothing is raised."""
    assert shares(OPTIONS, "coding", given_back) is None


@given(
    st.sampled_from(OPTIONS),
    st.lists(
        st.dictionaries(
            st.sampled_from(["c", "ca", "r", "-", "od", "cod", "car", "no", "The", " ", "Car"]),
            st.floats(-100, 1),
            min_size=1,
            max_size=5,
        ),
        max_size=3,
    ),
)
def test_probabilities_are_probabilities(chosen: str, others: list[dict[str, float]]) -> None:
    """Each lies between 0 and 1 and their sum is 1, whatever else the LLM might have written."""
    tokens = [chosen[:2], chosen[2:]]
    content = [
        {
            "token": token,
            "logprob": -0.7,
            "top_logprobs": [{"token": t, "logprob": p} for t, p in (others[i].items() if i < len(others) else ())],
        }
        for i, token in enumerate(tokens)
    ]

    found = shares(OPTIONS, chosen, {"content": content})

    assert found is not None
    assert set(found) == set(OPTIONS)
    assert all(0.0 <= share <= 1.0 for share in found.values())
    assert sum(found.values()) == pytest.approx(1.0)
