"""`${VAR}` in every value; what only looks like it is an error, and nothing innocent is."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm.cli.checks import check_config
from mollm.config.filling import fill, typed
from mollm.config.load import load_config
from mollm.config.variables import expand, missing_variables, variables_in
from mollm.errors import ConfigError
from mollm.llms.factory import target_of
from mollm.llms.scripted import ScriptedLLM
from mollm.pool import Pool
from mollm.server.keys import Keys

if TYPE_CHECKING:
    from pathlib import Path

    from mollm.config.config import Config

LLM = {"model": "hosted_vllm/m", "api_base": "http://h/v1"}


def config_of(mixture: dict[str, Any] | None = None, llm: dict[str, Any] | None = None, **sections: Any) -> Config:
    """One LLM and one mixture, with what is given put in its place."""
    whole = {"description": "d", "workers": ["m"], **(mixture or {})}
    return load_config({"llms": {"m": {**LLM, **(llm or {})}}, "mixtures": {"x": whole}, **sections})


def problems(source: Any) -> list[str]:
    """Everything that is wrong with a configuration."""
    with pytest.raises(ConfigError) as caught:
        load_config(source)
    return caught.value.problems


@pytest.mark.parametrize(
    ("value", "filled"),
    [
        ("${A}", "1"),
        ("x${A}y${A}", "x1y1"),
        ("${EMPTY}", ""),
        ("${B}", "${A}"),
        ("${NONE:-d}", "d"),
        ("${NONE:-}", ""),
        ("${EMPTY:-d}", "d"),
        ("${A:-d}", "1"),
        ("${NONE:-a:-b $x {y/z}", "a:-b $x {y/z"),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("$${A}${A}", "${A}1"),
        ("$$", "$$"),
        ("$A {A} $5 ${1} ${} $", "$A {A} $5 ${1} ${} $"),
    ],
)
def test_a_variable_is_filled_in(value: str, filled: str) -> None:
    """Once: what it brings is not looked through again."""
    assert expand(value, "k", {"A": "1", "B": "${A}", "EMPTY": ""}) == filled


def test_every_missing_variable_is_named_once() -> None:
    """None that has a default."""
    value = "${A}${B:-x}${C}${A}$${D}"

    assert (variables_in(value), missing_variables(value, {})) == (["A", "B", "C"], ["A", "C"])
    with pytest.raises(ConfigError) as caught:
        expand(value, "k", {})
    assert caught.value.problems == [f"k: the environment variable {name} is not set" for name in "AC"]


def test_variables_stand_in_every_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """As text, number or truth value, whichever the key wants; text stays text where it is right."""
    for name, value in {"T": "text", "I": "7\n", "F": "0.5", "B": "False", "Y": "2024"}.items():
        monkeypatch.setenv(f"MOLLM_{name}", value)
    worker = {"llm": "${MOLLM_NONE:-m}", "samples": "${MOLLM_I}", "system": "${MOLLM_Y}", "stop": ["${MOLLM_T}"]}
    mixture = {"description": "a ${MOLLM_T}", "workers": [worker], "shuffle": "${MOLLM_B}", "ask_first": "${MOLLM_I}"}
    llm = {
        "model": "hosted_vllm/${MOLLM_T}",
        "temperature": "${MOLLM_F}",
        "max_tokens": "${MOLLM_NONE:-9}",
        "timeout": {"total": "${MOLLM_I}"},
        "price": {"input": "${MOLLM_NONE:-1e-3}", "output": "${MOLLM_NONE:-.5}"},
        "extra_body": {"user": "${MOLLM_T}", "deep": [{"x": "${MOLLM_I}"}]},
    }

    config = config_of(
        {**mixture, "widen": "${MOLLM_NONE:-all}"},
        llm,
        limits={"calls": "${MOLLM_NONE:-30}"},
        server={"port": "${MOLLM_NONE:-8000}", "max_body": "${MOLLM_NONE:-2} MiB"},
        version="${MOLLM_NONE:-1}",
    )

    found, built = config.llms["m"], config.mixtures["x"]
    assert (found.model, found.temperature, found.max_tokens, found.timeout.total) == ("hosted_vllm/text", 0.5, 9, 7)
    assert found.price
    assert (found.price.input, found.price.output) == (0.001, 0.5)
    assert found.extra_body == {"user": "text", "deep": [{"x": "7\n"}]}
    assert (built.description, built.shuffle, built.ask_first, built.widen) == ("a text", False, 7, "all")
    [first] = built.listed
    assert (first.llm, first.samples, first.system, first.stop) == ("m", 7, "2024", ["text"])
    assert (config.limits.calls, config.server.port, config.server.max_body) == (30, 8000, 2 << 20)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("7", 7), ("-7", -7), ("+7", 7), ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5), (" 7\n", 7), ("true", True)],
        *[(text, text) for text in ("", "yes", "no", "on", "12:30", "0x10", "1_000", "nan", "inf", "٣", "9" * 40)],
    ],
)
def test_a_variable_is_a_number_only_if_it_looks_like_one(text: str, value: object) -> None:
    """Nothing of what YAML has beyond that: `no` is text."""
    found = typed(text)

    assert (type(found), found) == (type(value), value)


def test_a_value_of_the_wrong_kind_says_where_it_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what stands in the file, not by what the variable holds."""
    monkeypatch.setenv("MOLLM_MANY", "s3ntinel")

    with pytest.raises(ConfigError) as caught:
        config_of({"quorum": "${MOLLM_MANY}"}, {"max_tokens": "${MOLLM_MANY}"}, router={"kind": "x", "fallback": "x"})

    assert caught.value.problems == [
        "llms.m.max_tokens: must be a valid integer; it is the value of `${MOLLM_MANY}`",
        "router.kind: must be 'fixed', 'learned', 'semantic', 'llm', 'python', 'chain' or 'ensemble'",
        "mixtures.x.quorum: must be a valid integer; it is the value of `${MOLLM_MANY}`",
    ]


def test_a_missing_variable_matters_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """In an LLM that a mixture or the router asks; not in one that nobody does, nor in one that was given."""
    monkeypatch.delenv("MOLLM_NONE", raising=False)
    lacking = {
        "model": "${MOLLM_NONE}",
        "api_key": "${MOLLM_NONE}",
        "max_tokens": "${MOLLM_NONE}",
        "pace": "${MOLLM_NONE}",
    }
    mixtures = {"x": {"description": "d", "workers": ["m"]}}
    unused = load_config({"llms": {"m": {"model": "scripted/x"}, "n": lacking}, "mixtures": mixtures})
    used = load_config({"llms": {"m": lacking}, "mixtures": mixtures})

    assert list(Pool().llms(unused)) == ["m"]
    assert list(Pool({"m": ScriptedLLM("x")}).llms(used)) == ["m"]
    with pytest.raises(ConfigError) as caught:
        Pool().llms(used)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        f"llms.m.{key}" for key in ("model", "max_tokens", "pace", "api_key")
    ]
    assert all(problem.endswith("the environment variable MOLLM_NONE is not set") for problem in caught.value.problems)


def test_a_missing_variable_of_the_server_matters_when_it_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever only asks needs no port."""
    monkeypatch.delenv("MOLLM_NONE", raising=False)

    config = config_of(server={"port": "${MOLLM_NONE}"})

    with pytest.raises(ConfigError, match=r"^server\.port: the environment variable MOLLM_NONE is not set$"):
        Keys(config)


def test_everything_that_is_missing_or_wrong_is_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By line and key, and what follows from a missing variable is not said of it."""
    monkeypatch.delenv("MOLLM_NONE", raising=False)
    path = tmp_path / "my.yaml"
    path.write_text(
        "llms:\n"
        "  a:\n"
        "    model: ${MOLLM_NONE}\n"
        "    api_base: $BASE\n"
        "    max_tokens: ${MOLLM_NONE}\n"
        "    retries: 99\n"
        "mixtures:\n"
        "  m:\n"
        "    description: Costs $5. ${MOLLM_NONE}\n"
        "    workers: [a]\n"
        "    quorum: ${MOLLM_NONE}\n"
        "    enough: ${MOLLM_NONE\n"
    )

    report = check_config(path)

    assert [problem.removeprefix(f"{path}:").split(";")[0] for problem in report.problems] == [
        "4: llms.a.api_base: this looks like a placeholder, and would be taken as it stands",
        "12: mixtures.m.enough: a `${` that begins no variable",
        "9: mixtures.m.description: the environment variable MOLLM_NONE is not set",
        "11: mixtures.m.quorum: the environment variable MOLLM_NONE is not set",
        "6: llms.a.retries: must be less than or equal to 10",
        "3: llms.a.model: the environment variable MOLLM_NONE is not set",
        "5: llms.a.max_tokens: the environment variable MOLLM_NONE is not set",
    ]


NOT_CLOSED = ["${NOPE", "${NOPE:?err}", "${NOPE-x}", "${NOPE:+x}", "${env:NOPE}", "${NOPE:-${A}}", "${a.b}", "${NOPE }"]
WORDS = [
    *("$NOPE", "$nope", "$env:NOPE", "$(cat key)", "`cat key`", "%NOPE%", "{{NOPE}}", "{{ NOPE }}", "{NOPE}"),
    *("<your key>", "<NOPE>", "${NOPE:-<your key>}"),
]
ELSEWHERE = [
    *("os.environ/NOPE", 'os.environ["NOPE"]', 'os.getenv("NOPE")', "process.env.NOPE", "env:NOPE", "env.NOPE"),
    *("env/NOPE", "ENV[NOPE]", "secrets.NOPE", "secret:NOPE", "op://vault/item", "file:///run/key", "${{ secrets.X }}"),
    *(
        "YOUR_API_KEY",
        "your-api-key",
        "your_key_here",
        "sk-your-key",
        "INSERT_KEY_HERE",
        "sk-...",
        "sk-xxxx",
    ),
    *("[api key]", "${NOPE:-YOUR_KEY}"),
]


@pytest.mark.parametrize("value", [*NOT_CLOSED, *WORDS, *ELSEWHERE, "${1}", "${}", "${ NOPE}"])
def test_a_key_that_looks_like_a_placeholder_is_refused(value: str) -> None:
    """It would be sent as it stands, and the provider would answer 401. The value is not shown."""
    for key in ("api_key",):
        [found] = problems(
            {"llms": {"m": {**LLM, key: value}}, "mixtures": {"x": {"description": "d", "workers": ["m"]}}}
        )

        assert found.startswith(f"llms.m.{key}: ")
        assert "write `${NAME}` or `${NAME:-default}`" in found
        assert "sk-" not in found


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("model", f"openai/{value}") for value in (*NOT_CLOSED, "$NOPE", "<model>", "{model}", "{{model}}")],
        ("model", "os.environ/MODEL"),
        *[("api_base", f"http://{value}/v1") for value in (*NOT_CLOSED, "$HOST:8000", "%HOST%", "{host}", "<host>")],
        *[("api_base", value) for value in (*WORDS, "os.environ/BASE")],
        *[("proxy", f"http://{value}@proxy:3128") for value in ("$USER:$PASS", "${USER:$PASS", "<user>:<password>")],
        *[("retries", value) for value in ("$N", "${N", "{{N}}", "<number>")],
    ],
)
def test_a_setting_that_looks_like_a_placeholder_is_refused(key: str, value: str) -> None:
    """Also in the middle of an address or a name."""
    found = problems({"llms": {"m": {**LLM, key: value}}, "mixtures": {"x": {"description": "d", "workers": ["m"]}}})

    assert any(f"llms.m.{key}: " in problem and "write `${NAME}`" in problem for problem in found), found


@pytest.mark.parametrize("value", ["${NOPE", "${NOPE:?x}", "${env:NOPE}", "${NOPE:-${A}}"])
def test_a_broken_variable_in_a_text_is_refused(value: str) -> None:
    """It says how the text itself is written."""
    for key in ("description", "prompt", "system"):
        worker = {"llm": "m", **({key: f"Use {value} here."} if key != "description" else {})}
        whole = {"description": f"Use {value}." if key == "description" else "d", "workers": [worker]}

        [found] = problems({"llms": {"m": LLM}, "mixtures": {"x": whole}})

        assert found.endswith("and `$${` where `${` itself is meant")


INNOCENT_TEXTS = [
    *("It costs $5, or $x.", "{{ description }}", "a `b` c", "%PATH%", "<tag>", "env:prod", "os.environ/X", "your key"),
    *(
        "echo $HOME $1 $(date) ${1} ${#a} ${@} ${!x} ${}",
        "$${HOME} in a shell",
        "{name} {0} {{'a'}}",
        "100%",
        "...",
        "xxxx",
    ),
]


@pytest.mark.parametrize("text", INNOCENT_TEXTS)
def test_what_people_and_llms_read_may_be_about_code(text: str) -> None:
    """Descriptions, examples, prompts, system messages and request fields are left as they are."""
    worker = {
        "llm": "m",
        "prompt": f"About {text} and",
        "system": text,
        "stop": [text],
        "extra_body": {"x": {"y": text}},
    }
    config = config_of({"description": text, "examples": [text], "workers": [worker]}, {"stop": text})

    built, said = config.mixtures["x"], text.replace("$${", "${")
    [first] = built.listed
    assert (built.description, built.examples, first.prompt) == (said, [said], f"About {said} and")
    assert (first.system, first.stop, first.extra_body) == (said, [said], {"x": {"y": said}})


@pytest.mark.parametrize(
    "key",
    [
        *("EMPTY", "none", "dummy", "unused", "ollama", "lm-studio", "sk-no-key-required", "not-needed", "changeme"),
        *("sk-proj-Ab_c-D.e$f", "a$b", "AIza%41b%", "environment", "my-key", "abc{d}e", "secretkey", "yourkey1", "x"),
    ],
)
def test_a_key_that_a_server_may_have_is_sent(key: str) -> None:
    """Whatever stands in it, as long as it is not as a whole what a manual shows."""
    assert target_of(config_of(llm={"api_key": key}), "m").key == key


@pytest.mark.parametrize(
    "address",
    ["http://h/v1?sig=%7Bid%7D%2F", "http://h/~me/v1", "http://your-server.example/v1", "http://env.example/v1"],
)
def test_an_address_may_hold_what_addresses_hold(address: str) -> None:
    """Percent signs and names that begin like a placeholder."""
    assert str(target_of(config_of(llm={"api_base": address}), "m").bases[0]) == address


# Keys


@pytest.mark.parametrize("end", ["\n", "\r\n", " ", "\t", "\u00a0", " \n "])
def test_white_space_around_a_key_is_left_out(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file and `echo` bring it along, and no header can hold it; also between two variables."""
    monkeypatch.setenv("MOLLM_KEY", f"{end}sk-1{end}")

    for key in (f"{end}sk-1{end}", "${MOLLM_KEY}", " ${MOLLM_KEY} ", "sk${MOLLM_NONE:--}1"):
        assert target_of(config_of(llm={"api_key": key}), "m").key == "sk-1"
    assert target_of(config_of(llm={"api_key": "${MOLLM_KEY}${MOLLM_KEY}"}), "m").key == "sk-1sk-1"


UNFILLED = ["${NOPE}", "${NOPE:-none}", "a${NOPE}", "os.environ/NOPE"]


@pytest.mark.parametrize("value", UNFILLED)
@pytest.mark.parametrize("key", ["model", "api_base", "api_key", "headers"])
def test_a_variable_that_was_not_filled_in_itself_is_refused(
    key: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a program that starts this one with its own file of variables; only where the LLM is used."""
    monkeypatch.setenv("MOLLM_V", value)
    written = {"model": "hosted_vllm/${MOLLM_V}", "api_base": "http://${MOLLM_V}/v1", "api_key": "${MOLLM_V}"}
    llm = {**LLM, key: written.get(key, {"x-key": "Bearer ${MOLLM_V}"})}

    with pytest.raises(ConfigError) as caught:
        target_of(config_of(llm=llm), "m")

    assert "the value of MOLLM_V looks like a placeholder" in caught.value.problems[0]
    assert value not in str(caught.value)
    load_config({"llms": {"m": LLM, "n": llm}, "mixtures": {"x": {"description": "d", "workers": ["m"]}}})


@pytest.mark.parametrize("value", ["YOUR_API_KEY", "<your key>", "$OTHER", "env:OTHER", "sk-..."])
def test_a_key_in_a_variable_that_nobody_has_set_right_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a file of variables has it before it is edited."""
    monkeypatch.setenv("MOLLM_KEY", value)

    with pytest.raises(ConfigError, match="the value of MOLLM_KEY looks like a placeholder"):
        target_of(config_of(llm={"api_key": "${MOLLM_KEY}"}), "m")


@pytest.mark.parametrize("value", UNFILLED)
def test_what_people_and_llms_read_may_come_from_a_variable(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in there is filled in twice, and nobody is asked at the wrong place because of it."""
    monkeypatch.setenv("MOLLM_V", value)

    found = config_of({"workers": [{"llm": "m", "system": "Write ${MOLLM_V}"}]})

    assert found.mixtures["x"].listed[0].system == f"Write {value}"


@pytest.mark.parametrize("bad", ["\n", "\0", "\x7f", "\r\nx: y", "\u200b", "\u2019", "日", "é", "\ud800"])
def test_a_key_that_no_header_can_hold_is_refused(bad: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its place, and by the variable it came from; never by its value."""
    key = f"s3ntinel{bad}s3ntinel"
    shape = "holds a control character, or one that no key has; copy it again"

    assert problems({"llms": {"m": {**LLM, "api_key": key}}, "mixtures": {}})[-1] == f"llms.m.api_key: the key {shape}"
    if bad in ("\0", "\ud800"):  # which no variable can hold
        return
    monkeypatch.setenv("MOLLM_KEY", key)
    with pytest.raises(ConfigError) as caught:
        target_of(config_of(llm={"api_key": "${MOLLM_KEY}"}), "m")
    assert caught.value.problems == [f"llms.m.api_key: the value of MOLLM_KEY {shape}"]


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("Bearer sk-1", "begins with `Bearer`"),
        ("Authorization: Bearer sk-1", "begins with `Authorization:`"),
        ('"sk-1"', "stands in quotes"),
        ("'sk-1'", "stands in"),
    ],
)
def test_what_is_put_around_a_key_by_mistake_is_named(key: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Provider and gateway would only say 401."""
    monkeypatch.setenv("MOLLM_KEY", key)

    with pytest.raises(ConfigError, match=rf"^llms\.m\.api_key: the value of MOLLM_KEY {text}"):
        target_of(config_of(llm={"api_key": "${MOLLM_KEY}"}), "m")


@pytest.mark.parametrize("key", ["", " ", "${MOLLM_NONE:-}", "${MOLLM_BLANK}"])
def test_an_empty_key_is_none(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`check` says so, since it may be a variable that was forgotten."""
    monkeypatch.setenv("MOLLM_BLANK", "\n")
    path = tmp_path / "my.yaml"
    path.write_text(
        f"llms:\n  m: {{model: hosted_vllm/m, api_base: 'http://h/v1', api_key: '{key}'}}\n"
        "mixtures: {x: {description: d, workers: [m]}}\n"
    )

    assert target_of(load_config(path), "m").key is None
    assert check_config(path).warnings == (f"{path}:2: llms.m.api_key: the key is empty, so none is sent",)


PIECES = st.lists(
    st.sampled_from(["$", "$$", "{", "}", "${", "A", ":-", ":", "-", "_", "1", " ", "{{", "<", ">", "%", "é", "\n"]),
    max_size=12,
).map("".join)  # fmt: skip


@given(PIECES | st.text(max_size=20))
def test_a_text_whose_dollars_are_doubled_stands_for_itself(text: str) -> None:
    """Whatever it holds: that is how a text is written that is about variables."""
    assert expand(text.replace("${", "$${"), "k", {}) == text


@given(
    st.recursive(
        PIECES | st.none() | st.integers(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PIECES, inner, max_size=3),
        max_leaves=8,
    )
)
def test_filling_in_leaves_alone_what_it_was_given(data: Any) -> None:
    """Nor does it ever fail: what is wrong is told."""
    before = copy.deepcopy(data)

    found = fill(data, {"A": "1"})

    assert data == before
    assert all(problem.text for problem in (*found.unset, *found.mistakes))


def test_a_dictionary_that_holds_itself_is_a_config_error() -> None:
    """As Python makes it; YAML cannot."""
    data: dict[str, Any] = {"llms": {"m": {"model": "scripted/x"}}}
    data["mixtures"] = {"x": {"description": "d", "workers": ["m"]}, "y": data}

    assert problems(data)
