"""Whatever is wrong with a configuration, nothing of it hides the rest, and nothing is said that is not so."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from mollm.config.config import Config
from mollm.config.fields import keys_of
from mollm.config.load import load_config
from mollm.config.parsing import STAND_INS, parse
from mollm.config.routers import ROUTERS, MemberConfig, kind_of
from mollm.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

VALID: dict[str, Any] = {
    "version": 1,
    "llms": {
        "a": {"model": "scripted/yes", "price": {"input": 1, "output": 2}, "timeout": {"total": 9}},
        "b": {"model": "hosted_vllm/b", "api_base": ["http://1/v1", "http://2/v1"]},
        "c": {"model": "replay/recorded", "pace": {"latency": 1}},
    },
    "router": {
        "kind": "chain",
        "fallback": "maths",
        "members": [{"kind": "learned", "threshold": 0.5}, {"kind": "llm", "llm": "a"}],
    },
    "mixtures": {
        "maths": {"description": "Sums.", "examples": ["1 + 1?"], "workers": ["a", {"llm": "b", "samples": 2}]},
        "chat": {
            "description": "Talk.",
            "examples": ["Hello!"],
            "workers": [{"llm": "a"}, {"llm": "b"}],
            "aggregator": {"method": "synthesize", "llm": "a"},
        },
    },
    "limits": {"calls": 9},
    "server": {"port": 80},
}


class Fault(NamedTuple):
    """One thing wrong with `VALID`."""

    key: str
    """Where it is put."""
    value: Any
    """`...` takes the key away."""
    message: str
    """How what is said about it begins."""
    hides: str = ""
    """What cannot be known beside it; another fault there is no fault then."""


FAULTS = [
    Fault("version", 2, "version: must be 1"),
    Fault("lmits", {}, "lmits: unknown key; did you mean 'limits'?"),
    Fault("llms.a", "yes", "llms.a: must be a mapping of"),
    Fault("llms.a.model", ..., "llms.a.model: is required"),
    Fault("llms.a.modle", "x/y", "llms.a.modle: unknown key; did you mean 'model'?"),
    Fault("llms.a.retries", 11, "llms.a.retries: must be less than or equal to 10"),
    Fault("llms.a.price.output", ..., "llms.a.price.output: is required"),
    Fault("llms.a.timeout.total", 0, "llms.a.timeout.total: must be greater than 0"),
    Fault("llms.c.pace.latency", "long", "llms.c.pace.latency: must be a valid number"),
    Fault("llms.c.pace", "slow", "llms.c.pace: must be 'recorded', or must be a mapping of: latency"),
    Fault("llms.c.client", "litellm", "llms.c.pace: only recorded answers", hides="llms.c.pace"),
    Fault("llms.a.stop", ["x", 3], "llms.a.stop[1]: must be a valid string"),
    Fault("llms.b.model", "b", "llms.b.model: must be `provider/model`", hides="llms.b.api_base"),
    Fault("llms.b.model", "anthropic/b", "llms.b.api_base: the client litellm takes one", hides="llms.b.api_base"),
    Fault("llms.b.api_base", ..., "llms.b: 'hosted_vllm/b' needs an api_base"),
    Fault("llms.b.api_base", [3], "llms.b.api_base[0]: must be a valid string"),
    Fault("llms.auto", {"model": "scripted/x"}, "llms.auto: the name 'auto' is reserved"),
    Fault("llms.ü", {"model": "scripted/x"}, "llms.ü: a name is 1 to 128 letters"),
    Fault("llms.chat", {"model": "scripted/x"}, "mixtures.chat: an LLM has the name 'chat' too"),
    Fault("llms", [], "llms: must be a valid dictionary", hides="mixtures"),
    Fault("router", "chain", "router: must be a mapping of: kind, fallback"),
    Fault(
        "router.kind",
        "chian",
        "router.kind: must be 'fixed', 'learned', 'semantic', 'llm', 'python', 'chain' or 'ensemble'",
    ),
    Fault("router.fallback", "math", "router.fallback: no mixture 'math'; did you mean 'maths'?"),
    Fault("router.fallback", ["maths"], "router.fallback: must be a valid string"),
    Fault("router.fallback", ..., "router: name the `fallback` mixture"),
    Fault("router.fallbck", "maths", "router.fallbck: unknown key; did you mean 'fallback'?"),
    Fault("router.members", "learned", "router.members: must be a valid list"),
    Fault("router.members", [], "router.members: a chain needs at least one member", hides="router.kind"),
    Fault("router.members.0", "learned", "router.members[0]: must be a mapping of: kind, threshold, familiarity"),
    Fault("router.members.0.kind", ..., "router.members[0].kind: is required"),
    Fault("router.members.0.kind", "fixed", "router.members[0].kind: must be 'learned', 'semantic', 'llm' or 'python'"),
    Fault("router.members.0.threshold", 1.5, "router.members[0].threshold: must be 'auto' or a number from 0 to 1"),
    Fault("router.members.0.threshold", "half", "router.members[0].threshold: must be a valid number, or must be"),
    Fault("router.members.0.fallback", "chat", "router.members[0].fallback: unknown key"),
    Fault("router.members.1.llm", "nobody", "router.members[1].llm: no LLM 'nobody'", hides="llms"),
    Fault("router.members.1.llm", 7, "router.members[1].llm: must be a valid string"),
    Fault("router.members.1.path", "x", "router.members[1].path: a router of kind 'llm' has no such key"),
    Fault("mixtures.maths", 5, "mixtures.maths: must be a mapping of: description"),
    Fault("mixtures.maths.description", ..., "mixtures.maths.description: is required"),
    Fault("mixtures.maths.examples", 5, "mixtures.maths.examples: must be a valid list, or must be a valid string"),
    Fault("mixtures.maths.examples", ["a", 5], "mixtures.maths.examples[1]: must be a valid string"),
    Fault("mixtures.maths.worker", [], "mixtures.maths.worker: unknown key; did you mean 'workers'?"),
    Fault("mixtures.maths.workers", ..., "mixtures.maths.workers: is required", hides="mixtures.maths.quorum"),
    Fault("mixtures.maths.workers.0", 3, "mixtures.maths.workers[0]: must be a mapping", hides="mixtures.maths.quorum"),
    Fault("mixtures.maths.workers.0", "nobody", "mixtures.maths.workers[0].llm: no LLM 'nobody'", hides="llms"),
    Fault("mixtures.maths.workers.1.llm", ..., "mixtures.maths.workers[1].llm: is required"),
    Fault("mixtures.maths.workers.1.top_p", 2, "mixtures.maths.workers[1].top_p: must be less than or equal to 1"),
    Fault(
        "mixtures.maths.workers.1.samples", "two", "mixtures.maths.workers[1].samples", hides="mixtures.maths.quorum"
    ),
    Fault("mixtures.maths.quorum", 4, "mixtures.maths.quorum: 4 is more than `enough` (3)"),
    Fault("mixtures.maths.quorum", "all", "mixtures.maths.quorum: must be a valid integer"),
    Fault("mixtures.maths.deadline", "soon", "mixtures.maths.deadline: must be a valid number"),
    Fault("mixtures.maths.ask_first", 0, "mixtures.maths.ask_first: must be a number of at least 1, or 'all'"),
    Fault("mixtures.chat.tools_llm", "phantom", "mixtures.chat.tools_llm: no LLM 'phantom'", hides="llms"),
    Fault("mixtures.chat.aggregator", "a", "mixtures.chat.aggregator: must be a mapping of: method"),
    Fault("mixtures.chat.aggregator.method", "votes", "mixtures.chat.aggregator.method: must be 'synthesize', 'vote'"),
    Fault("mixtures.chat.aggregator.method", 1, "mixtures.chat.aggregator.method: must be a valid string"),
    Fault("mixtures.chat.aggregator.llm", "ghost", "mixtures.chat.aggregator.llm: no LLM 'ghost'", hides="llms"),
    Fault(
        "mixtures.none",
        {"description": "x", "workers": ["a"]},
        "mixtures.none: the router's LLM replies",
        hides="router",
    ),
    Fault("limits", None, "limits: must be a mapping of: calls"),
    Fault("limits.calls", "many", "limits.calls: must be a valid integer"),
    Fault("limits.call", 9, "limits.call: unknown key; did you mean 'calls'?"),
    Fault("server.port", 70_000, "server.port: must be less than or equal to 65535"),
    Fault("server.max_body", "4 bytes", "server.max_body: must be a number of bytes"),
]


def lies_in(inner: str, outer: str) -> bool:
    """The key `inner` is the key `outer`, or below it."""
    return f"{inner}.".startswith(f"{outer}.")


def are_independent(faults: tuple[Fault, ...]) -> bool:
    """None of them takes the place of another, or makes it impossible to know."""
    for one, other in itertools.permutations(faults, 2):
        if lies_in(one.key, other.key) or (one.hides and lies_in(other.key, one.hides)):
            return False
    return True


def broken(faults: tuple[Fault, ...]) -> dict[str, Any]:
    """`VALID` with these faults."""
    config = copy.deepcopy(VALID)
    for fault in faults:
        *above, last = [int(part) if part.isdigit() else part for part in fault.key.split(".")]
        section: Any = config
        for part in above:
            section = section[part]
        if fault.value is ...:
            del section[last]
        else:
            section[last] = fault.value
    return config


def problems(config: dict[str, Any]) -> list[str]:
    """Everything that is said about a configuration."""
    with pytest.raises(ConfigError) as caught:
        load_config(config)
    return caught.value.problems


def said_exactly(faults: tuple[Fault, ...]) -> None:
    """Each fault is named, and nothing else is said."""
    found = problems(broken(faults))

    for fault in faults:
        assert [text for text in found if text.startswith(fault.message)], (faults, found)
    assert len(found) == len(faults), (faults, found)


def test_the_example_is_valid() -> None:
    """What the tests below break works unbroken."""
    assert load_config(VALID).router_kind == "chain"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.key}-{fault.message.rpartition(':')[2]}")
def test_one_fault_is_one_problem(fault: Fault) -> None:
    """It is named by its key, and nothing follows from it."""
    said_exactly((fault,))


def test_two_faults_are_both_said() -> None:
    """Whichever two they are, of the same section or not."""
    for pair in itertools.combinations(FAULTS, 2):
        if are_independent(pair):
            said_exactly(pair)


@given(
    st.lists(st.sampled_from(FAULTS), min_size=3, max_size=5, unique_by=lambda fault: fault.message)
    .map(tuple)
    .filter(are_independent)
)
def test_several_faults_are_all_said(faults: tuple[Fault, ...]) -> None:
    """However many there are."""
    said_exactly(faults)


def required(section: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Patterns of the keys of a section, and of the sections in it, that have no default."""
    for name, field in keys_of(section).items():
        key = (*above, name)
        if field.is_required():
            yield key
        yield from inner(field.annotation, key)


def inner(annotation: Any, key: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The same for what stands at a key."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from required(annotation, key)
    else:
        is_collection = getattr(annotation, "__origin__", None) in (dict, list)
        for argument in get_args(annotation):
            yield from inner(argument, (*key, "*") if is_collection else key)


def test_every_required_key_has_a_stand_in() -> None:
    """Without one a missing key would hide what else is wrong. A missing `kind` is guessed."""
    assert {key for key in required(Config) if key[-1] != "kind"} <= STAND_INS.keys()


STOOD_IN_FOR = [
    *("llms", "llms.a", "llms.a.model", "llms.a.price.input", "llms.a.price.output"),
    *("mixtures", "mixtures.maths", "mixtures.maths.description", "mixtures.maths.workers"),
    *("mixtures.maths.workers.1", "mixtures.maths.workers.1.llm", "router.members.1", "router.members.1.llm"),
]


@pytest.mark.parametrize("key", STOOD_IN_FOR)
def test_a_stand_in_is_never_taken_for_what_was_written(key: str) -> None:
    """Whatever is wrong with a value, there is one problem, and it is not with what took its place."""
    for value in (object(), None, [], [[]], 10**5000):
        found = problems(broken((Fault(key, value, ""),)))

        assert len(found) == 1, (value, found)
        assert found[0].startswith(key.replace(".1", "[1]"))


def test_the_keys_of_a_router_of_unknown_kind_are_checked_all_the_same() -> None:
    """It is taken for the kind that has most of its keys; that some belong to another is not said."""
    router = {"kind": "lerned", "fallback": "maths", "path": "x", "threshold": "high", "prompt": "y", "zzz": 1}

    assert problems({**VALID, "router": router}) == [
        "router.kind: must be 'fixed', 'learned', 'semantic', 'llm', 'python', 'chain' or 'ensemble'",
        "router.threshold: must be a valid number, or must be 'auto'",
        "router.zzz: unknown key; allowed: kind, fallback, arms, multi, threshold, familiarity, fallback_rate, bounds, "
        "recent, path, embedder",
    ]


def test_a_kind_that_is_left_out_stays_what_it_is_beside_a_fault() -> None:
    """Examples that cannot be read are examples: the router is a learned one, and its keys are its own."""
    mixtures = copy.deepcopy(VALID["mixtures"])
    mixtures["maths"]["examples"] = 5
    del mixtures["chat"]["examples"]

    found = problems({**VALID, "mixtures": mixtures, "router": {"fallback": "maths", "threshold": 0.5}})

    assert found == ["mixtures.maths.examples: must be a valid list, or must be a valid string"]


def test_what_no_key_can_be_read_of_is_one_problem() -> None:
    """A key that UTF-8 cannot write stops pydantic; what it says is passed on, and no more is known."""
    [found] = problems({**VALID, "\ud800": 1})

    assert found.startswith("configuration: ")


@pytest.mark.parametrize("key", [None, 5, True, 1.5])
def test_a_key_that_is_no_text_is_a_problem(key: object) -> None:
    """Whatever stands below it, an unknown key included, of which no class can say what was meant."""
    found = problems({**VALID, "llms": {**VALID["llms"], key: {"aggregator": None}}})

    assert any(line.endswith("a key must be text") for line in found)


def test_each_kind_of_router_has_a_class() -> None:
    """The one that stands for it in a file; members are a choice of them, without a fallback of their own."""
    members = get_args(get_args(MemberConfig)[0])

    assert list(ROUTERS) == ["fixed", "learned", "semantic", "llm", "python", "chain", "ensemble"]
    assert all(issubclass(ROUTERS[kind_of(member)], member) for member in members)
    assert not any("fallback" in member.model_fields for member in members)


def test_a_valid_configuration_is_parsed_once() -> None:
    """Nothing is left out of it."""
    config, found, gaps = parse(VALID)

    assert (found, gaps) == ([], set())
    assert config == load_config(VALID)
