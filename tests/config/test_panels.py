"""A panel for one request is checked as a mixture of the file is, is plain and of bounded size, and reaches no file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.config.fields import keys_of
from mollm.config.load import load_config
from mollm.config.mixtures import METHODS, MixtureConfig, PanelConfig
from mollm.config.panels import (
    KEYS,
    MOST_BYTES,
    MOST_KEYS,
    MOST_TOLD,
    NOT_REMOTE,
    forwarding_problems,
    panel_id,
    plain_panel,
    read_panel,
    remote_problems,
    told,
)
from mollm.config.parsing import _classes
from mollm.config.problems import warnings
from mollm.errors import ConfigError, LimitError, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

LLMS = {name: {"model": "scripted/x"} for name in ("a", "b", "judge")}
CONFIG = load_config({"llms": LLMS, "mixtures": {"m": {"description": "d", "workers": ["a"]}}})
FILE_ONLY = {"description", "examples", "arms"}
REMOTE = {
    *("workers", "workers.llm", "workers.system", "workers.samples", "workers.max_tokens", "workers.temperature"),
    *("workers.top_p", "workers.stop", "workers.seed", "workers.extra_body"),
    *("aggregator", "aggregator.method", "aggregator.llm", "aggregator.fallback_llm", "aggregator.max_tokens"),
    *("aggregator.temperature", "aggregator.analysis", "aggregator.analysis.llm", "aggregator.analysis.criteria"),
    *("aggregator.analysis.max_tokens", "review", "review.by", "review.criteria", "review.keep", "review.max_tokens"),
    *("ask_first", "agree", "widen", "widen_after", "enough", "quorum", "deadline", "layers", "shuffle", "on_tools"),
    *(
        "tools_llm",
        "grace",
        "alike",
        "logprobs",
        "aggregator.keep_above",
        "aggregator.guard",
        "privacy",
        "privacy.mask",
        "privacy.for",
    ),
}
"""What somebody may set through a network. Whoever adds a key decides here whether it is one of these, or stands in
`NOT_REMOTE`."""


def wrong(panel: dict[str, Any]) -> list[str]:
    """What is said of a panel, a line each."""
    return told(read_panel(CONFIG, plain_panel(panel, 16))[1]).splitlines()


def wrong_in_file(mixture: dict[str, Any]) -> list[str]:
    """What is said of the same as a mixture of a file, named as if it were a panel."""
    whole = {"llms": LLMS, "mixtures": {"m": {"description": "d", **mixture}}}
    try:
        load_config(whole)
    except ConfigError as error:
        return [problem.replace("mixtures.m", "mixture", 1) for problem in error.problems]
    return []


MISTAKES: list[tuple[str, Any]] = [
    ("workers", ["a", "jugde"]),
    ("workers", []),
    ("workers", [{"llm": "a", "temperature": 3, "smaples": 2}]),
    ("workers", [{}, None, 3]),
    ("workers", "a"),
    ("workers", [{"llm": "a", "extra_body": {"max_tokens": 9}}]),
    ("workers", [{"llm": "a", "system": "prompts/worker.md"}]),
    ("aggregator", {"method": "synthesise", "llm": "boss"}),
    ("aggregator", 3),
    ("aggregator", {"fallback_llm": "nobody"}),
    ("tools_llm", "x"),
    ("ask_first", 9),
    ("quorum", 9),
    ("agree", 1),
    ("deadline", -1),
    ("layers", 4),
    ("tools", "a"),
]


@pytest.mark.parametrize(("key", "value"), MISTAKES, ids=[f"{key}-{n}" for n, (key, _) in enumerate(MISTAKES)])
def test_what_is_wrong_is_said_in_the_words_of_a_file(key: str, value: Any) -> None:
    """The same sections, the same problems; only the place is another."""
    panel = {"workers": ["a", "b"], key: value}

    found = wrong(panel)

    assert found
    assert found == wrong_in_file(panel)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    """Shape, names, numbers and keys, each with its place in the request."""
    panel = {"workers": ["a", {"llm": "bb", "top_p": 7}], "aggregator": {"method": "x"}, "ask_first": 5, "wokers": []}

    assert wrong(panel) == [
        "mixture.wokers: unknown key; did you mean 'workers'?",
        "mixture.workers[1].top_p: must be less than or equal to 1",
        "mixture.workers[1].llm: no LLM 'bb'; did you mean 'b'?",
        "mixture.ask_first: 5 is more than the planned proposals (2)",
        "mixture.aggregator.method: must be 'synthesize', 'vote' or 'best'",
    ]


def test_a_panel_has_no_keys_that_only_routers_read() -> None:
    """And its workers are listed."""
    assert wrong({"workers": ["a"], "description": "d", "arms": {}, "examples": []}) == [
        f"mixture.{key}: a panel for one request has no such key; a mixture of the file has"
        for key in ("description", "arms", "examples")
    ]
    assert wrong({"workers": {"choose": {"most": 1, "from": ["a"], "path": "/etc"}}}) == [
        "mixture.workers: must be a list; workers are chosen for each question only in a mixture of the file"
    ]


def test_what_a_mixture_may_say_of_how_it_answers_a_panel_may_say() -> None:
    """A key that is added to one is added to the other."""
    assert keys_of(MixtureConfig).keys() - keys_of(PanelConfig).keys() == FILE_ONLY
    assert set(KEYS) == keys_of(PanelConfig).keys()


def _settable(section: type[BaseModel], key: tuple[str, ...] = ()) -> Iterator[str]:
    for name in keys_of(section):
        if name not in NOT_REMOTE and name != "choose":
            yield ".".join((*key, name))
            for inner in _classes(("mixtures", "m", *_indexed((*key, name)))):
                yield from _settable(inner, (*key, name))


def _indexed(key: tuple[str, ...]) -> Iterator[str | int]:
    for name in key:
        yield name
        if name == "workers":
            yield 0


def test_it_is_decided_of_every_key_whether_it_may_come_through_a_network() -> None:
    """None reads a file, runs code, or names an address."""
    assert set(_settable(PanelConfig)) <= REMOTE


@pytest.mark.parametrize("key", sorted(NOT_REMOTE))
def test_files_prompts_and_functions_are_refused_wherever_they_stand(key: str) -> None:
    """By name, at any depth, whatever the value; but a provider's own field may have such a name."""
    value = {"python": "os:system"} if key == "score" else "/etc/passwd"
    panel = {"workers": [{"llm": "a", key: value, "extra_body": {key: 1}}], "aggregator": {"analysis": {key: value}}}

    found = told(remote_problems(panel), ("mollm",)).splitlines()

    assert [line.partition(":")[0] for line in found] == [f"mollm.workers[0].{key}", f"mollm.aggregator.analysis.{key}"]


def test_workers_send_only_fields_that_the_server_hands_on() -> None:
    """As the request itself; what is no worker is told elsewhere."""
    panel = {"workers": ["a", {"llm": "a", "extra_body": {"top_k": 5, "mock_response": "x"}}, {"extra_body": 3}, 4]}

    assert told([*forwarding_problems(panel, ["top_k"])]) == (
        "mixture.workers[1].extra_body.mock_response: this server hands on no such field (`server.forward`)"
    )
    assert not [*forwarding_problems({"workers": "x"}, [])]


def nested(depth: int) -> Any:
    """Lists in one another."""
    found: Any = []
    for _ in range(depth):
        found = [found]
    return found


@pytest.mark.parametrize(
    ("panel", "said"),
    [
        (3, "must be the name of a mixture, or a panel for one request"),
        (["a"], "or a panel for one request, as {.*}, not list"),
        ({"workers": ["a"], "aggregator": {"llm": "x" * 129}}, "a name in a panel has 128 characters"),
        ({"workers": ["a"], "k" * 129: 1}, "a name in a panel has 128 characters"),
        ({"workers": [{"llm": "a", "system": "x" * MOST_BYTES}]}, "a panel of more than 256 KiB"),
        ({"workers": ["a"], **{f"k{n}": 1 for n in range(MOST_KEYS)}}, "a panel of more than 300 keys"),
        ({"workers": ["a"], "x" * MOST_BYTES: 1}, "a panel of more than 256 KiB"),
        ({"workers": ["a"], "review": [0] * MOST_BYTES}, "a panel of more than 256 KiB"),
        ({"workers": ["a"], "review": nested(30)}, "a panel of more than 20 levels"),
        ({"workers": ["a"], 3: 4}, "a key in a panel must be text"),
        ({"workers": ["a"], "deadline": float("nan")}, "finite numbers"),
        ({"workers": [object()]}, "a panel is plain data"),
        ({"workers": [{"llm": "a", "extra_body": {"x": b"y"}}]}, "a panel is plain data"),
    ],
)
def test_what_is_no_panel_or_too_large_is_refused_before_it_is_read(panel: Any, said: str) -> None:
    """Bytes, keys, levels and names are bounded, since each costs whoever checks it."""
    with pytest.raises(RequestError, match=said):
        plain_panel(panel, 16)


def test_more_workers_than_calls_are_refused_before_anything_else() -> None:
    """Whatever they are."""
    with pytest.raises(LimitError, match=r"it takes 1000 proposals alone, and limits\.calls is 16"):
        plain_panel({"workers": [object()] * 1000}, 16)


def test_only_so_many_problems_are_told() -> None:
    """A list of thousands helps nobody."""
    found = wrong({"workers": ["a"], **{f"k{n}": 1 for n in range(100)}})

    assert len(found) == MOST_TOLD + 1
    assert found[-1] == "and 80 more"


def test_variables_and_templates_stay_what_they_are() -> None:
    """What the environment holds is nobody's who asks, and a system message is no template."""
    text = "${HOME} {{ question }} {% for x in y %}"

    section, problems = read_panel(CONFIG, plain_panel({"workers": [{"llm": "a", "system": text}]}, 16))

    assert not problems
    assert section.listed[0].system == text


@pytest.mark.parametrize(("panels", "told_of"), [(False, True), (True, False)])
def test_an_llm_that_only_panels_can_ask_is_no_mistake(*, panels: bool, told_of: bool) -> None:
    """`mollm check` warns of LLMs that no mixture uses, unless requests may bring panels."""
    whole = {"llms": LLMS, "mixtures": {"m": {"description": "d", "workers": ["a"]}}, "server": {"panels": panels}}

    assert any("llms.judge: no mixture uses this LLM" in text for text in warnings(load_config(whole))) == told_of


def test_what_was_given_does_not_change_what_was_taken() -> None:
    """A panel is copied; tuples are lists, as in JSON."""
    workers: list[Any] = [{"llm": "a", "stop": ("x",)}]
    given: dict[str, Any] = {"workers": workers}

    panel = plain_panel(given, 16)
    workers.append("b")

    assert panel == {"workers": [{"llm": "a", "stop": ["x"]}]}
    assert panel_id(panel) == panel_id({"workers": [{"stop": ["x"], "llm": "a"}]}) != panel_id(plain_panel(given, 16))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from([*LLMS, *METHODS]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(REMOTE)) | st.text(), inner),
    max_leaves=8,
)


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from([*KEYS, "prompt"]) | st.text(max_size=5), VALUES, max_size=5))
def test_no_garbage_is_answered_by_anything_but_a_refusal(given: dict[str, Any]) -> None:
    """Read, or refused in words; what is read keeps what was given."""
    try:
        panel = plain_panel(given, 16)
    except (RequestError, LimitError):
        return
    section, problems = read_panel(CONFIG, panel)
    remote_problems(panel)
    assert problems or {"description", *panel} == section.model_fields_set
    assert bool(told(problems)) == bool(problems)
