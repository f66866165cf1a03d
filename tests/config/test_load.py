"""A configuration is right, or everything wrong with it is named by file, line and key."""

from __future__ import annotations

import contextlib
import copy
import os
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm.config.config import Config
from mollm.config.files import default_path
from mollm.config.limits import LimitsConfig
from mollm.config.llms import LLMConfig, PriceConfig, TimeoutConfig
from mollm.config.load import load_config
from mollm.config.mixtures import AggregatorConfig, MixtureConfig, WorkerConfig
from mollm.config.routers import FixedRouterConfig, LearnedRouterConfig
from mollm.config.server import ServerConfig
from mollm.config.variables import expand
from mollm.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic import BaseModel

SECRET = "sk-very-secret"  # noqa: S105 - what must not show up
GIANT = 10**5000
"""More digits than Python prints."""
VOTES = "mixtures.chat.agree: must be a number of at least 2, 'majority', or a probability above 0 and below 1"
VALID: dict[str, Any] = {
    "llms": {
        "small": {"model": "scripted/yes", "timeout": {"total": 9}, "price": {"input": 1, "output": 2}},
        "large": {"model": "hosted_vllm/large", "api_base": ["http://a/v1", "http://b/v1"]},
    },
    "router": {"kind": "fixed", "fallback": "maths"},
    "mixtures": {
        "maths": {
            "description": "Sums.",
            "workers": ["small", {"llm": "large", "samples": 2}],
            "aggregator": {"method": "vote"},
        },
        "chat": {"description": "Talk.", "workers": [{"llm": "small"}]},
    },
    "limits": {"calls": 9},
}

LEARNED = {"kind": "learned", "path": "trained", "fallback": "maths"}


def put(config: dict[str, Any], dotted: str, value: object) -> None:
    """Set a value at a dotted key; `...` takes the key away."""
    *above, last = (int(part) if part.isdigit() else part for part in dotted.split("."))
    section: Any = config
    for part in above:
        section = section.setdefault(part, {}) if isinstance(section, dict) else section[part]
    if value is ...:
        del section[last]
    else:
        section[last] = value


def changed(changes: Mapping[str, object]) -> dict[str, Any]:
    """`VALID` with some of its keys set anew."""
    config = copy.deepcopy(VALID)
    for dotted, value in changes.items():
        put(config, dotted, value)
    return config


def problems(source: Any) -> list[str]:
    """Everything that is wrong with a configuration."""
    with pytest.raises(ConfigError) as caught:
        load_config(source)
    assert str(caught.value).splitlines() == caught.value.problems
    return caught.value.problems


def where(found: list[str]) -> list[str]:
    """File, line and key of each problem, without the folder."""
    return [": ".join(problem.split(": ")[:2]).rpartition("/")[2] for problem in found]


def written(folder: Path, text: str) -> Path:
    """A configuration file."""
    path = folder / "my.yaml"
    path.write_text(text, "utf-8")
    return path


def test_the_example_is_valid() -> None:
    """What the tests below break works unbroken."""
    config = load_config(VALID)

    assert list(config.mixtures) == ["maths", "chat"]
    assert config.used_llms == ("small", "large")
    assert config.mixtures["maths"].planned == 3
    assert load_config(config) is config


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        # the shape
        ("llms", ..., "llms: is required"),
        ("mixtures", ..., "mixtures: is required"),
        ("llms", [], "llms: must be a valid dictionary"),
        ("mixtures.chat.description", ..., "mixtures.chat.description: is required"),
        ("mixtures.chat.workers", ..., "mixtures.chat.workers: is required"),
        ("mixtures.chat.workers", "small", "mixtures.chat.workers: must be a valid list"),
        ("mixtures.chat.workers", [[]], "mixtures.chat.workers[0]: must be a mapping of: temperature, top_p"),
        ("mixtures.chat.workers", [{}], "mixtures.chat.workers[0].llm: is required"),
        ("llms.small.timeout", 5, "llms.small.timeout: must be a mapping of: connect, total, first_token, idle"),
        ("llms.small.price", {"input": 1}, "llms.small.price.output: is required"),
        ("router", "fixed", "router: must be a mapping of: kind, fallback, arms, multi, threshold, "),
        ("limits", None, "limits: must be a mapping of: calls, output_tokens, cost_usd, seconds"),
        ("version", 2, "version: must be 1"),
        # no silent conversions
        ("mixtures.chat.quorum", "1", "mixtures.chat.quorum: must be a valid integer"),
        ("mixtures.chat.quorum", True, "mixtures.chat.quorum: must be a valid integer"),
        ("mixtures.chat.quorum", 1.0, "mixtures.chat.quorum: must be a valid integer"),
        ("mixtures.chat.shuffle", "yes", "mixtures.chat.shuffle: must be a valid boolean"),
        ("mixtures.chat.description", 2024, "mixtures.chat.description: must be a valid string"),
        # values that may be of several types
        ("router", {**LEARNED, "threshold": "high"}, "router.threshold: must be a valid number, or must be 'auto'"),
        ("mixtures.chat.examples", 3, "mixtures.chat.examples: must be a valid list, or must be a valid string"),
        ("mixtures.chat.examples", ["a", 3], "mixtures.chat.examples[1]: must be a valid string"),
        ("llms.small.stop", ["a", 3], "llms.small.stop[1]: must be a valid string"),
        # ranges
        ("llms.small.temperature", 2.1, "llms.small.temperature: must be less than or equal to 2"),
        ("llms.small.top_p", 0.0, "llms.small.top_p: must be greater than 0"),
        ("llms.small.max_tokens", 0, "llms.small.max_tokens: must be greater than or equal to 1"),
        ("llms.small.retries", 11, "llms.small.retries: must be less than or equal to 10"),
        ("llms.small.seed", 2**63, "llms.small.seed: must be less than"),
        ("llms.small.timeout.total", 0, "llms.small.timeout.total: must be greater than 0"),
        ("llms.small.timeout.total", float("inf"), "llms.small.timeout.total: must be a finite number"),
        ("llms.small.price.input", float("nan"), "llms.small.price.input: must be a finite number"),
        ("llms.small.price.output", float("inf"), "llms.small.price.output: must be a finite number"),
        ("limits.cost_usd", 0, "limits.cost_usd: must be greater than 0"),
        ("limits.cost_usd", float("inf"), "limits.cost_usd: must be a finite number"),
        ("limits.calls", 0, "limits.calls: must be greater than or equal to 1"),
        pytest.param("mixtures.chat.quorum", GIANT, "mixtures.chat.quorum: must be less than", id="quorum giant"),
        ("mixtures.chat.layers", 4, "mixtures.chat.layers: must be less than or equal to 3"),
        *(("mixtures.chat.agree", value, VOTES) for value in (1, 0, -2, 1.0, 0.0, 1.5, -0.5, float("nan"), True, "2")),
        pytest.param("mixtures.chat.agree", GIANT, VOTES, id="agree giant"),
        ("mixtures.chat.ask_first", 0, "mixtures.chat.ask_first: must be a number of at least 1, or 'all'"),
        pytest.param("mixtures.chat.widen", GIANT, "mixtures.chat.widen: must be a number", id="widen giant"),
        ("mixtures.chat.widen", "every", "mixtures.chat.widen: must be a number of at least 1, or 'all'"),
        ("mixtures.chat.widen", True, "mixtures.chat.widen: must be a number of at least 1, or 'all'"),
        ("mixtures.chat.aggregator.method", "votes", "mixtures.chat.aggregator.method: must be 'synthesize', 'vote'"),
        ("llms.small.client", "openai", "llms.small.client: must be 'openai_compatible', 'litellm' or"),
        ("llms.small.model", "yes", "llms.small.model: must be `provider/model`"),
        ("llms.small.model", "/yes", "llms.small.model: must be `provider/model`"),
        ("llms.small.model", "openai/", "llms.small.model: must be `provider/model`"),
        # keys of another type, which YAML never brings
        ("llms", {1: {"model": "scripted/x"}}, "llms[1]: a key must be text"),
        ("limits", {None: 1}, "limits: a key must be text"),
        # names
        ("llms.auto", {"model": "scripted/x"}, "llms.auto: the name 'auto' is reserved for the router"),
        ("mixtures.router", VALID["mixtures"]["chat"], "mixtures.router: the name 'router' is reserved"),
        ("mixtures.small", VALID["mixtures"]["chat"], "mixtures.small: an LLM has the name 'small' too"),
        ("llms.a b", {"model": "scripted/x"}, "llms.a b: a name is 1 to 128 letters, digits and any of '_.:@~+=-'"),
        ("llms.-a", {"model": "scripted/x"}, "llms.-a: a name is 1 to 128 letters"),
        ("mixtures.ü", VALID["mixtures"]["chat"], "mixtures.ü: a name is 1 to 128 letters"),
        (f"mixtures.{'x' * 129}", VALID["mixtures"]["chat"], f"mixtures.{'x' * 129}: a name is 1 to 128 letters"),
        *(
            (f"llms.{name}", {"model": "scripted/x"}, f"llms.{name}: a name is 1 to 128 letters")
            for name in ("small#2", "/a", "a/", "a//b", "a/-b", " a", "a ", "a?b", "a%2Fb", "{a}", "a,b", "a\\b", "")
        ),
        # references
        ("mixtures.chat.workers", ["smal"], "mixtures.chat.workers[0].llm: no LLM 'smal'; did you mean 'small'?"),
        ("mixtures.chat.workers", ["x"], "mixtures.chat.workers[0].llm: no LLM 'x'; allowed: small, large"),
        ("mixtures.chat.workers", ["chat"], "mixtures.chat.workers[0].llm: no LLM 'chat'; allowed: small, large"),
        ("mixtures.chat.aggregator.llm", "x", "mixtures.chat.aggregator.llm: no LLM 'x'"),
        ("mixtures.chat.aggregator.fallback_llm", "x", "mixtures.chat.aggregator.fallback_llm: no LLM 'x'"),
        ("mixtures.chat.tools_llm", "x", "mixtures.chat.tools_llm: no LLM 'x'"),
        ("router.fallback", "math", "router.fallback: no mixture 'math'; did you mean 'maths'?"),
        ("router.fallback", ..., "router: name the `fallback` mixture"),
        # counts that cannot be met
        ("mixtures.maths.enough", 4, "mixtures.maths.enough: 4 is more than the planned proposals (3)"),
        ("mixtures.maths.quorum", 4, "mixtures.maths.quorum: 4 is more than `enough` (3)"),
        ("mixtures.maths.agree", 4, "mixtures.maths.agree: 4 is more than the planned proposals (3)"),
        ("mixtures.maths.ask_first", 4, "mixtures.maths.ask_first: 4 is more than the planned proposals (3)"),
        ("mixtures.maths.grace", 2, "mixtures.maths.grace: has no effect: `enough` is unset"),
        # addresses
        ("llms.large.api_base", ..., "llms.large: 'hosted_vllm/large' needs an api_base"),
        ("llms.large.api_base", [], "llms.large: 'hosted_vllm/large' needs an api_base"),
        ("llms.large.model", "anthropic/x", "llms.large.api_base: the client litellm takes one address"),
        ("llms.large.client", "langchain-openai", "llms.large.api_base: the client langchain-openai takes one address"),
        # the router
        ("router.kind", "learned", "router.kind: a learned router needs `examples` in at least one mixture"),
        ("router", {**LEARNED, "threshold": 1.1}, "router.threshold: must be 'auto' or a number from 0 to 1"),
        ("router", {**LEARNED, "threshold": float("nan")}, "router.threshold: must be 'auto' or a number from 0 to 1"),
    ],
)  # fmt: skip
def test_each_mistake_has_its_message(key: str, value: object, message: str) -> None:
    """One thing wrong: named by the path of its key, with what is allowed."""
    found = problems(changed({key: value}))

    assert any(problem.startswith(message) for problem in found), found
    assert all(problem.startswith(message.split(":")[0].split("[")[0]) for problem in found), found


SECTIONS: list[tuple[str, type[BaseModel], str]] = [
    ("", Config, "limts"),
    ("llms.small.", LLMConfig, "api_keys"),
    ("llms.small.timeout.", TimeoutConfig, "totals"),
    ("llms.small.price.", PriceConfig, "outputs"),
    ("router.", FixedRouterConfig, "fallbck"),
    ("mixtures.maths.", MixtureConfig, "worker"),
    ("mixtures.maths.workers.1.", WorkerConfig, "sample"),
    ("mixtures.maths.aggregator.", AggregatorConfig, "metod"),
    ("limits.", LimitsConfig, "call"),
    ("server.", ServerConfig, "ports"),
]


@pytest.mark.parametrize(("section", "model", "typo"), SECTIONS)
def test_an_unknown_key_is_refused_at_every_level(section: str, model: type[BaseModel], typo: str) -> None:
    """The nearest key is suggested, or all are listed."""
    place = section.replace(".1.", "[1].")

    [near] = problems(changed({f"{section}{typo}": 1}))
    [far] = problems(changed({f"{section}zzz": 1}))

    assert near.startswith(f"{place}{typo}: unknown key; did you mean '")
    assert far == f"{place}zzz: unknown key; allowed: {', '.join(model.model_fields)}"


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    """Each problem of a file with its line; those of the shape first, since the rest builds on it."""
    path = written(
        tmp_path,
        "llms:\n"
        "  a: {modle: x}\n"
        "  b:\n"
        "    model: nope\n"
        "    timeout: {total: -1}\n"
        "mixtures:\n"
        "  m:\n"
        "    description: ''\n"
        "    workers: []\n"
        "limits:\n"
        "  # a comment\n"
        "  calls: many\n",
    )

    found = problems(path)

    assert where(found) == [
        "my.yaml:2: llms.a.model",
        "my.yaml:2: llms.a.modle",
        "my.yaml:4: llms.b.model",
        "my.yaml:5: llms.b.timeout.total",
        "my.yaml:8: mixtures.m.description",
        "my.yaml:9: mixtures.m.workers",
        "my.yaml:12: limits.calls",
    ]


def test_what_leads_nowhere_is_said_at_once(tmp_path: Path) -> None:
    """Names and counts of all mixtures are checked in one pass, each with its line."""
    path = written(
        tmp_path,
        "llms:\n"
        "  a: {model: scripted/x}\n"
        "  m: {model: hosted_vllm/x}\n"
        "mixtures:\n"
        "  m:\n"
        "    description: One.\n"
        "    workers: [a, b]\n"
        "    quorum: 3\n"
        "  n:\n"
        "    description: Two.\n"
        "    workers:\n"
        "      - a\n"
        "      - llm: c\n"
        "        samples: 2\n"
        "    tools_llm: d\n"
        "    ask_first: 9\n",
    )

    found = problems(path)

    assert where(found) == [
        "my.yaml:5: mixtures.m",
        "my.yaml:3: llms.m",
        "my.yaml: router",
        "my.yaml:7: mixtures.m.workers[1].llm",
        "my.yaml:8: mixtures.m.quorum",
        "my.yaml:13: mixtures.n.workers[1].llm",
        "my.yaml:15: mixtures.n.tools_llm",
        "my.yaml:16: mixtures.n.ask_first",
    ]


def test_merged_keys_are_checked_where_they_are_used(tmp_path: Path) -> None:
    """An anchor and `<<` share settings; a mistake in them is named for every LLM that takes them."""
    path = written(
        tmp_path,
        "llms:\n"
        "  a: &shared {model: scripted/x, temperature: 1.5}\n"
        "  b:\n"
        "    <<: *shared\n"
        "    model: scripted/y\n"
        "mixtures:\n"
        "  m: {description: One., workers: [a, b]}\n",
    )

    config = load_config(path)
    assert (config.llms["b"].model, config.llms["b"].temperature) == ("scripted/y", 1.5)

    path.write_text(path.read_text().replace("1.5", "3.5"))
    assert [problem.split(": ")[0] for problem in problems(path)] == [f"{path}:2"] * 2


@pytest.mark.parametrize(("text", "what"), [("", "empty"), ("- a", "not a mapping"), ("word", "not a mapping")])
def test_a_file_that_is_no_mapping_is_told_what_it_needs(tmp_path: Path, text: str, what: str) -> None:
    """Empty, a list, a word."""
    path = written(tmp_path, text)

    assert problems(path) == [f"{path}: {what}; it needs at least `llms` and `mixtures`"]


@pytest.mark.parametrize("name", ["no.yaml", "~no_such_user/no.yaml", "a\0b", "x" * 300, "/"])
def test_a_file_that_cannot_be_read_is_named(name: str) -> None:
    """Whatever was typed after `--config`."""
    [found] = problems(name)

    assert found.startswith(f"{name}: cannot be read: ")


def test_names_may_look_like_anything_yaml_knows(tmp_path: Path) -> None:
    """A mixture named `no` or an LLM named `4` needs no quotes as a key."""
    path = written(tmp_path, "llms:\n  4: {model: scripted/x}\nmixtures:\n  no: {description: Nay., workers: ['4']}\n")

    assert load_config(path).mixtures["no"].listed[0].llm == "4"


@pytest.mark.parametrize(
    ("word", "reading"),
    [
        *[(word, "false") for word in ("no", "No", "off", "false")],
        *[(word, "true") for word in ("yes", "ON", "true")],
        *[(word, "null") for word in ("~", "null")],
        *[(word, "a number") for word in ("1.0", "4", "0x10", "12:30", "1_000", ".inf", "9" * 400)],
        ("2024-01-01", "a date"),
    ],
)
def test_a_word_that_yaml_reads_as_something_else_is_named(tmp_path: Path, word: str, reading: str) -> None:
    """Wherever a name or a text belongs: what stands there, what YAML makes of it, and what to do."""
    path = written(
        tmp_path,
        f"llms:\n  a: {{model: scripted/x, stop: [{word}]}}\n"
        "mixtures:\n"
        "  m:\n"
        f"    description: {word}\n"
        f"    workers: [{word}, {{llm: {word}}}]\n"
        f"    tools_llm: {word}\n"
        f"    aggregator: {{method: {word}}}\n"
        f"router: {{fallback: {word}, kind: {word}}}\n",
    )
    nullable = word in ("~", "null")

    found = problems(path)

    keys = ["2: llms.a.stop[0]", "9: router.kind", "5: mixtures.m.description", "6: mixtures.m.workers[0]"]
    keys += ["6: mixtures.m.workers[1].llm", "8: mixtures.m.aggregator.method"]
    keys += [] if nullable else ["9: router.fallback", "7: mixtures.m.tools_llm"]
    said = f"YAML reads `{word}` as {reading}, where text belongs; put it in quotes"
    kinds = {"9: router.kind"} if nullable else set()
    assert {f"{path}:{key}: {said}" for key in keys if key not in kinds} <= {*found}


@pytest.mark.parametrize(("word", "reading"), [("no", "false"), ("1.0", "a number"), ("2024-01-01", "a date")])
def test_a_word_where_a_text_or_a_list_of_them_belongs_is_named(tmp_path: Path, word: str, reading: str) -> None:
    """As a text of its own, which such a key takes as well."""
    path = written(
        tmp_path,
        f"llms:\n  a: {{model: scripted/x, stop: {word}}}\n"
        f"mixtures:\n  m: {{description: d, workers: [{{llm: a, stop: {word}}}]}}\n"
        f"server: {{hosts: {word}, origins: [{word}], forward: {word}}}\n",
    )

    said = f"YAML reads `{word}` as {reading}, where text belongs; put it in quotes"
    assert {*problems(path)} == {
        f"{path}:2: llms.a.stop: {said}",
        f"{path}:4: mixtures.m.workers[0].stop: {said}",
        f"{path}:5: server.hosts: {said}",
        f"{path}:5: server.origins[0]: {said}",
        f"{path}:5: server.forward: {said}",
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("2024-01-01", "YAML reads this as a date"),
        ("2024-01-01T10:00:00Z", "YAML reads this as a date"),
        (".nan", "nan is no number in JSON"),
        ("-.inf", "-inf is no number in JSON"),
        ("!!binary aGk=", "JSON has no bytes"),
        ("!!set {a}", "JSON has no set"),
    ],
)
def test_further_fields_are_what_json_can_hold(tmp_path: Path, value: str, text: str) -> None:
    """At any depth, for an LLM and for a worker; else a call would fail, or send something else."""
    path = written(
        tmp_path,
        f"llms:\n  a: {{model: scripted/x, extra_body: {{k: [1, {{deep: {value}}}]}}}}\n"
        f"mixtures:\n  m: {{description: d, workers: [{{llm: a, extra_body: {{k: {value}}}}}]}}\n",
    )

    first, second = problems(path)
    assert first.startswith(f"{path}:2: llms.a.extra_body.k[1].deep: {text}")
    assert second.startswith(f"{path}:4: mixtures.m.workers[0].extra_body.k: {text}")


def test_further_fields_that_hold_themselves_are_refused() -> None:
    """As only a dictionary of Python can."""
    loop: dict[str, Any] = {}
    loop["k"] = [loop]
    llms = {"a": {"model": "scripted/x", "extra_body": loop}}

    with pytest.raises(ConfigError, match="is nested more than 20 levels deep"):
        load_config({"llms": llms, "mixtures": {"m": {"description": "d", "workers": ["a"]}}})


def test_an_anchor_that_stands_twice_is_named(tmp_path: Path) -> None:
    """And not called an occurrence of something."""
    path = written(tmp_path, "x-a: &a {seed: 1}\nx-b: &a {seed: 2}\nllms: {}\nmixtures: {}\n")

    assert problems(path) == [f"{path}:2: not valid YAML: the anchor that begins here has a name that another has"]


def test_a_number_where_a_key_belongs_is_not_shown(tmp_path: Path) -> None:
    """It may be the key."""
    path = written(
        tmp_path, "llms:\n  a: {model: x/y, api_key: 12345678}\nmixtures: {m: {description: d, workers: [a]}}\n"
    )

    assert problems(path) == [
        f"{path}:2: llms.a.api_key: YAML reads this as a number, where text belongs; put it in quotes"
    ]


def test_what_is_left_empty_is_named(tmp_path: Path) -> None:
    """YAML reads it as null."""
    path = written(tmp_path, "llms:\n  a: {model: scripted/x}\nmixtures:\n  m:\n    description:\n    workers:\n")

    assert problems(path) == [
        f"{path}:5: mixtures.m.description: must be a valid string; nothing stands here, which YAML reads as null",
        f"{path}:6: mixtures.m.workers: must be a valid list; nothing stands here, which YAML reads as null",
    ]


def test_a_key_of_ones_own_holds_what_is_merged_elsewhere(tmp_path: Path) -> None:
    """Nothing below it is looked at, or filled in; anywhere else such a key is unknown."""
    path = written(
        tmp_path,
        "x-shared: &shared {temperature: 0.5, api_key: '${MOLLM_NONE_AT_ALL}', anything: [$X, no]}\n"
        "x-: 5\n"
        "x-llm: &llm {retries: 0}\n"
        "llms:\n"
        "  a: {<<: *llm, model: scripted/x}\n"
        "mixtures:\n"
        "  m: {description: d, workers: [a]}\n",
    )
    assert load_config(path).llms["a"].retries == 0

    path.write_text(path.read_text().replace("x-llm: &llm {", "shared: &llm {x-y: 1, "))
    assert problems(path) == [
        f"{path}:3: llms.a.x-y: unknown key; allowed: {', '.join(LLMConfig.model_fields)}",
        f"{path}:3: shared: unknown key; allowed: {', '.join(Config.model_fields)}; "
        "what is only merged elsewhere stands under a key that begins with `x-`",
    ]
    assert load_config({**VALID, "x-mine": object()}) == load_config(VALID)


def test_a_hexadecimal_giant_is_refused(tmp_path: Path) -> None:
    """A number that Python will not print is still named as one that is too large."""
    path = written(tmp_path, f"llms:\n  a: {{model: scripted/x, max_tokens: 0x{'f' * 6000}}}\nmixtures: {{}}\n")

    assert problems(path)[0] == f"{path}:2: llms.a.max_tokens: must be less than or equal to 1000000000"


def test_a_method_may_be_one_that_python_brings() -> None:
    """Its name is as good as those of the built-in ones; another is refused, and all are named."""
    own = changed({"mixtures.chat.aggregator.method": "mine"})

    assert load_config(own, methods=("mine",)).mixtures["chat"].aggregator.method == "mine"
    assert problems(own) == ["mixtures.chat.aggregator.method: must be 'synthesize', 'vote' or 'best'"]
    with pytest.raises(ConfigError, match=r"method: must be 'synthesize', 'vote', 'best' or 'other'$"):
        load_config(own, methods=["other"])


def test_a_worker_may_be_a_name() -> None:
    """The short form is the long form with nothing but `llm`."""
    short, long = (load_config(changed({"mixtures.chat.workers": [w]})) for w in ("small", {"llm": "small"}))

    assert short == long
    assert short.mixtures["chat"].is_bypass


def test_addresses_and_stops_may_be_one_or_several() -> None:
    """A single one is a list of one."""
    config = load_config(changed({"llms.large.api_base": "http://a/v1", "llms.large.stop": "END"}))

    assert config.llms["large"].api_base == ["http://a/v1"]
    assert config.llms["large"].stop == ["END"]
    assert load_config(VALID).llms["large"].api_base == ["http://a/v1", "http://b/v1"]


@pytest.mark.parametrize(
    ("changes", "fallback"),
    [
        ({}, "maths"),
        ({"router.fallback": "chat"}, "chat"),
        ({"router": {}, "mixtures.maths": ...}, "chat"),
        ({"router": {}, "mixtures.general": VALID["mixtures"]["chat"]}, "general"),
        ({"mixtures.general": VALID["mixtures"]["chat"]}, "maths"),
    ],
)
def test_the_fallback_is_the_one_named_or_general_or_the_only_one(changes: dict[str, Any], fallback: str) -> None:
    """Only with several mixtures, none of them `general`, must it be named."""
    assert load_config(changed(changes)).fallback == fallback


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"router.kind": ...}, "fixed"),
        ({"router.kind": ..., "mixtures.chat.examples": ["Hello!"]}, "learned"),
        ({"mixtures.chat.examples": ["Hello!"]}, "fixed"),
        ({"router.kind": ..., "router.path": "trained"}, "learned"),
        ({"router.kind": "learned", "router.path": "trained"}, "learned"),
    ],
)
def test_examples_or_a_path_make_the_router_a_learned_one(changes: dict[str, Any], kind: str) -> None:
    """Unless its kind is named."""
    assert load_config(changed(changes)).router_kind == kind


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"model": "hosted_vllm/a/b", "api_base": "http://x/v1"}, "openai_compatible"),
        ({"model": "openai/x", "api_base": "http://x/v1"}, "openai_compatible"),
        ({"model": "openai/x"}, "litellm"),
        ({"model": "anthropic/x"}, "litellm"),
        ({"model": "local/smollm2-135m"}, "local"),
        ({"model": "scripted/yes"}, "scripted"),
        ({"model": "openai/x", "client": "langchain-openai"}, "langchain-openai"),
        ({"model": "hosted_vllm/x", "client": "litellm"}, "litellm"),
    ],
)
def test_the_client_follows_from_the_model_unless_named(settings: dict[str, Any], kind: str) -> None:
    """The first segment of `model` is the provider; the rest, slashes and all, is the provider's name for it."""
    llm = load_config(changed({"llms.large": settings})).llms["large"]

    assert llm.kind == kind
    assert f"{llm.provider}/{llm.model_name}" == settings["model"]


@pytest.mark.parametrize(
    ("changes", "aggregator", "tools"),
    [
        ({"mixtures.maths.aggregator": {}}, "small", "small"),
        ({"mixtures.maths.aggregator": {"method": "best"}}, "small", "small"),
        ({"mixtures.maths.aggregator": {"method": "vote"}}, None, "small"),
        ({"mixtures.maths.aggregator": {"method": "vote", "llm": "large"}}, "large", "large"),
        ({"mixtures.maths.workers": ["large"]}, None, "large"),
        ({"mixtures.maths.tools_llm": "large"}, None, "large"),
    ],
)
def test_the_aggregator_is_the_first_workers_llm_unless_named(
    changes: dict[str, Any], aggregator: str | None, tools: str
) -> None:
    """A vote calls none, a single worker needs none; a request with tools goes to whichever there is."""
    mixture = load_config(changed(changes)).mixtures["maths"]

    assert mixture.aggregator_llm == aggregator
    assert mixture.acting_llm == tools


def test_llms_that_only_aggregate_or_stand_in_are_used() -> None:
    """An LLM counts as used wherever a mixture may call it."""
    config = load_config(
        {
            "llms": {name: {"model": "scripted/x"} for name in ("unused", "tools", "back", "writer", "worker")},
            "mixtures": {
                "m": {
                    "description": "One.",
                    "workers": [{"llm": "worker", "samples": 2}],
                    "aggregator": {"llm": "writer", "fallback_llm": "back"},
                    "tools_llm": "tools",
                }
            },
        }
    )

    assert config.used_llms == ("tools", "back", "writer", "worker")


def test_defaults_are_those_of_the_documentation() -> None:
    """What a short file means."""
    config = load_config(
        {"llms": {"a": {"model": "scripted/x"}}, "mixtures": {"m": {"description": "d", "workers": ["a"]}}}
    )
    llm, mixture = config.llms["a"], config.mixtures["m"]

    assert (llm.max_tokens, llm.retries, llm.max_in_flight, llm.temperature) == (1024, 2, None, None)
    assert llm.timeout == TimeoutConfig(connect=5, total=120, first_token=60, idle=30)
    assert (mixture.ask_first, mixture.widen, mixture.agree, mixture.enough) == ("all", 1, None, None)
    assert (mixture.quorum, mixture.deadline, mixture.layers, mixture.shuffle) == (1, 120, 1, True)
    assert (mixture.aggregator.method, mixture.aggregator.fallback_llm) == ("synthesize", None)
    assert config.limits == LimitsConfig(calls=16, output_tokens=None, cost_usd=None, seconds=300)
    assert (config.router_kind, config.fallback) == ("fixed", "m")
    learned = load_config(changed({"router": LEARNED})).router
    assert isinstance(learned, LearnedRouterConfig)
    assert learned.threshold == "auto"


def test_variables_are_filled_in() -> None:
    """Anywhere in a text, several times; what is no variable stays."""
    environ = {"A": "1", "B_2": "${A}", "EMPTY": ""}

    assert expand("x${A}y${A}", "k", environ) == "x1y1"
    assert expand("${B_2}", "k", environ) == "${A}"
    assert expand("$A {A} ${} ${1} ${EMPTY}", "k", environ) == "$A {A} ${} ${1} "
    with pytest.raises(ConfigError, match=r"^llms\.a: the environment variable C is not set$"):
        expand("${A}${C}", "llms.a", environ)


def test_a_variable_stays_as_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a configuration reads no environment, so nothing of it can show up in print."""
    monkeypatch.setenv("MOLLM_TEST_KEY", SECRET)

    config = load_config(changed({"llms.large.api_key": "${MOLLM_TEST_KEY}", "llms.small.api_key": "${MISSING}"}))

    key = config.llms["large"].api_key
    assert key
    assert key.get_secret_value() == "${MOLLM_TEST_KEY}"
    assert SECRET not in repr(config) + config.model_dump_json()


BREAKAGES: list[dict[str, Any]] = [
    {"llms.large.modle": 1},
    {"llms.large.api_key": [SECRET]},
    {"llms.large.api_key": {"value": SECRET}},
    {"llms.large.temperature": 9},
    {"llms.large.api_base": []},
    {"llms.large": SECRET},
    {"llms.large.model": SECRET},
    {"mixtures.maths.workers": [3]},
    {"mixtures.maths.quorum": 9},
    {"limits.calls": SECRET},
    {"router.kind": SECRET},
]


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_no_error_shows_a_key(breakage: dict[str, Any]) -> None:
    """Neither the message nor the traceback holds what was written where a key may stand."""
    with pytest.raises(ConfigError) as caught:
        load_config(changed({"llms.large.api_key": SECRET, **breakage}))

    assert SECRET not in "".join(traceback.format_exception(caught.value)) + repr(caught.value.problems)


def test_no_print_of_a_configuration_shows_a_key() -> None:
    """A literal key is masked in every form a configuration is printed in."""
    config = load_config(changed({"llms.large.api_key": SECRET}))

    forms = [repr(config), str(config), config.model_dump_json(), str(config.model_dump()), repr(config.llms["large"])]
    assert SECRET not in "".join(forms)
    assert "**********" in config.model_dump_json()


def test_the_default_is_named_here_or_packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`$MOLLM_CONFIG` wins over `mollm.yaml` in the working directory, which wins over the packaged file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MOLLM_CONFIG", raising=False)

    assert default_path().parts[-2:] == ("mixtures", "local.yaml")
    (tmp_path / "mollm.yaml").touch()
    assert str(default_path()) == "mollm.yaml"
    monkeypatch.setenv("MOLLM_CONFIG", "other.yaml")
    assert str(default_path()) == "other.yaml"
    assert problems(None) == ["other.yaml: cannot be read: No such file or directory"]


def test_a_file_is_found_beside_the_configuration_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Explicit path, then the YAML file's folder, then the working directory, then the packaged ones."""
    beside, here = tmp_path / "beside", tmp_path / "here"
    for folder in (beside, here):
        (folder / "prompts" / "aggregator").mkdir(parents=True)
    monkeypatch.chdir(here)
    config = load_config(
        written(beside, "llms: {a: {model: scripted/x}}\nmixtures: {m: {description: d, workers: [a]}}\n")
    )
    name = "prompts/aggregator/default.md"

    packaged = config.find(name)
    assert packaged is not None
    assert packaged.is_file()
    assert not packaged.is_relative_to(tmp_path)
    (here / name).touch()
    assert config.find(name) == here / name
    (beside / name).touch()
    assert config.find(name) == beside / name
    assert config.find(str(here / name)) == here / name
    assert config.find(str(here / "nothing.md")) is None
    assert load_config(VALID).find(name) == here / name


def test_examples_are_a_list_or_a_file(tmp_path: Path) -> None:
    """One question a line; blank lines and comments do not count, nor does a byte order mark."""
    (tmp_path / "talk.txt").write_bytes("\ufeff# talk\n Hello! \n\n  # more\nHow are you?\r\n".encode())
    path = written(
        tmp_path,
        "llms: {a: {model: scripted/x}}\n"
        "router: {kind: fixed, fallback: talk}\n"
        "mixtures:\n"
        "  talk: {description: d, workers: [a], examples: talk.txt}\n"
        "  sums: {description: d, workers: [a], examples: ['1 + 1?', ' ']}\n"
        "  other: {description: d, workers: [a]}\n",
    )

    assert load_config(path).examples() == {"talk": ["Hello!", "How are you?"], "sums": ["1 + 1?"]}


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("none.txt", None, "no file 'none.txt'"),
        ("x" * 300, None, "no file"),
        ("latin.txt", "ä".encode("latin-1"), "not UTF-8 text"),
        ("large.txt", b"x" * (4 * 1024 * 1024 + 1), "larger than 4 MiB"),
    ],
)
def test_examples_that_cannot_be_read_are_an_error(tmp_path: Path, name: str, content: bytes | None, text: str) -> None:
    """A missing file is named with the line of its key, a bad one by its own name."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    path = written(
        tmp_path,
        "llms: {a: {model: scripted/x}}\n"
        f"mixtures:\n  m:\n    description: d\n    workers: [a]\n    examples: {name}\n",
    )
    config = load_config(path)

    with pytest.raises(ConfigError, match=text) as caught:
        config.examples()

    assert str(caught.value).startswith(f"{tmp_path / name}: " if content else f"{path}:6: mixtures.m.examples: ")


KEYS = st.sampled_from(sorted({name for _, model, _ in SECTIONS for name in model.model_fields}))
ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.binary(max_size=3)
    | st.sampled_from(["small", "large", "maths", "chat", "all", "auto", "vote", "fixed", "openai/x", "~x/y", "\ud800"])
)
ANYTHING = st.recursive(
    ATOMS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | ATOMS, inner, max_size=4),
    max_leaves=12,
)


def accepts(data: dict[Any, Any]) -> None:
    """Whatever is given is a configuration, or refused as one."""
    try:
        config = load_config(data)
    except ConfigError as error:
        assert all(error.problems)  # noqa: PT017 - either is right
    else:
        assert config.fallback in config.mixtures
        assert set(config.used_llms) <= set(config.llms)


@given(st.dictionaries(KEYS | ATOMS, ANYTHING))
def test_any_dictionary_is_a_configuration_or_a_config_error(data: dict[Any, Any]) -> None:
    """No dictionary, however nested, raises anything else."""
    accepts(data)


PLACES = st.sampled_from(
    [
        *[f"{section}{name}" for section, model, _ in SECTIONS for name in model.model_fields],
        *["llms.new", "mixtures.new", "llms.small", "mixtures.chat", "mixtures.chat.workers.0"],
    ]
)


@given(st.dictionaries(PLACES, ANYTHING, min_size=1, max_size=3))
def test_any_change_to_a_configuration_is_one_or_a_config_error(changes: dict[str, Any]) -> None:
    """Nor does a configuration in which anything stands in any place."""
    data = copy.deepcopy(VALID)
    for dotted, value in changes.items():
        with contextlib.suppress(LookupError, TypeError, AttributeError):
            put(data, dotted, value)

    accepts(data)


def test_reading_a_configuration_leaves_the_environment_alone() -> None:
    """Nor does it change what it was given."""
    before, environ = copy.deepcopy(VALID), dict(os.environ)

    load_config(VALID)

    assert before == VALID
    assert environ == dict(os.environ)


def test_an_unknown_key_does_not_hide_the_rest() -> None:
    """What else is wrong is told in the same breath."""
    llms = {"a": {"model": "scripted/x", "max_token": 5}}
    mixtures = {"m": {"description": "x", "workers": ["b"], "worker": 7}}

    with pytest.raises(ConfigError) as caught:
        load_config({"llms": llms, "mixtures": mixtures})

    found = str(caught.value)
    assert "llms.a.max_token: unknown key; did you mean 'max_tokens'?" in found
    assert "mixtures.m.worker: unknown key; did you mean 'workers'?" in found
    assert "mixtures.m.workers[0].llm: no LLM 'b'" in found
