"""What a configuration holds and does not show."""

from __future__ import annotations

import copy
import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mollm import MoLLM, create_graph, load_config
from mollm.config.llms import LLMConfig
from mollm.config.masking import MASK, Address
from mollm.errors import ConfigError
from mollm.llms.factory import target_of
from tests.fuzz import cases
from tests.upstream import Upstream, answer, error

if TYPE_CHECKING:
    from pathlib import Path

    from mollm.config import Config

SECRET = "hunter2hunter2"  # noqa: S105 - not one


def config(address: str = "http://127.0.0.1:9/v1", **llm: Any) -> dict[str, Any]:
    """One LLM in one mixture."""
    described = {"model": "hosted_vllm/m", "api_base": address, "retries": 0, "context_window": 8192, **llm}
    return {"llms": {"a": described}, "mixtures": {"m": {"description": "One.", "workers": ["a"]}}}


def printed(read: Config) -> str:
    """Everything that shows a configuration."""
    llm, mixture = read.llms["a"], read.mixtures["m"]
    forms = [read, [read], read.llms, llm, llm.api_base, llm.extra_body, [*llm.extra_body.values()], mixture.workers]
    forms += [read.model_dump(), llm.model_dump(), copy.deepcopy(read), read.model_copy()]
    texts = [f"{form} {form!r}" for form in forms]
    return "\n".join([*texts, read.model_dump_json(), str(read.model_dump(mode="json"))])


BODIES: list[dict[str, Any]] = [
    {"token": SECRET},
    {"user": f"me:{SECRET}"},
    {"nested": {"list": [{"Authorization": f"Bearer {SECRET}"}, [SECRET]]}},
    {"password": 123456789},
    {"auth": {"pins": [123456789]}},
]


@pytest.mark.parametrize("body", BODIES, ids=str)
def test_no_text_of_extra_body_is_printed(body: dict[str, Any]) -> None:
    """Under whatever name, in an LLM's and in a worker's; what is a number or true is shown, but for a secret."""
    data = config(extra_body=body | {"top_k": 20, "deep": {"on": True}})
    data["mixtures"]["m"]["workers"] = [{"llm": "a", "extra_body": body}]
    read = load_config(data)

    text = printed(read)
    assert SECRET not in text
    assert "123456789" not in text
    assert MASK in text
    assert "'top_k': 20" in text
    assert "'on': True" in text


def test_what_a_variable_brings_into_extra_body_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is filled in when the file is read."""
    monkeypatch.setenv("MOLLM_TEST", SECRET)
    read = load_config(config(extra_body={"plain": "is ${MOLLM_TEST}"}))

    assert read.llms["a"].extra_body == {"plain": f"is {SECRET}"}
    assert SECRET not in printed(read)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://host:1/v1?key=" + SECRET, f"http://host:1/v1?{MASK}"),
        ("http://host:1/v1", "http://host:1/v1"),
        ("${BASE}/v1", "${BASE}/v1"),
        (f"http://user:{SECRET}@host/v1", f"http://{MASK}@host/v1"),
        (f"user:{SECRET}@host", f"{MASK}@host"),
        (f"http://user:{SECRET}/a@host/v1?b#c", f"http://{MASK}@host/v1?{MASK}"),
        (f"http://user:a?{SECRET}@host", f"http://{MASK}"),
    ],
)
def test_an_address_is_shown_without_its_secrets(address: str, shown: str) -> None:
    """User, password and query are masked, also in an address that cannot be used; the rest is of help."""
    llm = LLMConfig(model="hosted_vllm/m", api_base=[address])

    assert repr(llm.api_base) == str([shown])
    assert shown in f"{llm}"
    assert shown in llm.model_dump_json()
    assert llm.api_base == [address]


@pytest.mark.parametrize("form", ["http://{}@host/v1", "http://u:{}@h/v1", "https://h/v1?k={}", "u:{}@h", "{}@h?{}"])
@settings(max_examples=cases(50))
@given(before=st.text("a@:/?#[]\\\n ", max_size=8), after=st.text("a@:/?#[]\\\n ", max_size=8))
@example(before="://", after="")
@example(before="", after="?")
@example(before="#", after="@")
@example(before="", after="://")
def test_no_password_is_in_the_print_of_an_address(form: str, before: str, after: str) -> None:
    """Whatever stands around it, also what ends a host or begins a query."""
    assert SECRET not in repr(Address(form.format(*[f"{before}{SECRET}{after}"] * 2)))


@pytest.mark.parametrize("key", [None, "sk-0123456789"])
@pytest.mark.parametrize("model", ["hosted_vllm/m", "openai/m", "mistral/m"])
@pytest.mark.parametrize("client", [None, "litellm", "langchain-openai", "openai_compatible"])
def test_a_login_in_an_address_is_an_error_that_says_where_it_belongs(
    client: str | None, model: str, key: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every client, literal or from a variable, with a key or without; found before anything is called."""
    extras = "".join(f", {name}: {value}" for name, value in (("client", client), ("api_key", key)) if value)
    monkeypatch.setenv("MOLLM_TEST", f"http://user:{SECRET}@host/v1")
    for address in (f"http://user:{SECRET}@host/v1", "${MOLLM_TEST}"):
        path = tmp_path / "mollm.yaml"
        path.write_text(
            f'llms:\n  a: {{model: {model}, api_base: "{address}"{extras}}}\n'
            "mixtures: {m: {description: x, workers: [a]}}\n"
        )
        with pytest.raises(ConfigError, match="holds a user or a password; write those into `api_key`") as caught:
            MoLLM(path)

        assert f"{path}:2: llms.a.api_base" in str(caught.value)
        assert SECRET not in str(caught.value)


def test_what_is_masked_is_kept() -> None:
    """Copies, pickles and `load_config(config.model_dump())` have the values themselves."""
    body = {"token": SECRET, "nested": [{"key": 7}]}
    read = load_config(config(f"http://host/v1?key={SECRET}", extra_body=body))
    llm = read.llms["a"]

    for again in (
        load_config(read.model_dump()),
        copy.deepcopy(read),
        load_config(read.model_dump(exclude_unset=True)),
    ):
        assert again == read
        assert SECRET not in printed(again)
        assert str(target_of(again, "a").bases[0]) == f"http://host/v1?key={SECRET}"
    assert pickle.loads(pickle.dumps(llm)) == llm  # noqa: S301 - our own


@pytest.mark.parametrize("dumper", [yaml.SafeDumper, yaml.Dumper])
def test_what_is_masked_is_written_as_yaml(dumper: type[yaml.SafeDumper]) -> None:
    """As plain text and numbers, as `model_dump()` has them, to be read again."""
    read = load_config(config(f"http://host/v1?key={SECRET}", extra_body={"a": SECRET, "tokens": [7]}))

    text = yaml.dump(read.model_dump(), Dumper=dumper)

    assert "!!" not in text
    assert load_config(yaml.safe_load(text)) == read


async def test_what_is_masked_is_sent() -> None:
    """The upstream gets fields and query as they stand in the file, from an LLM and from a worker."""
    async with Upstream(answer("Four.")) as upstream:
        data = config(f"{upstream.base_url}?key={SECRET}", extra_body={"token": SECRET, "pin": 7})
        data["mixtures"]["m"]["workers"] = [{"llm": "a", "extra_body": {"more": {"secret": [SECRET]}}}]
        async with MoLLM(data) as mollm:
            assert (await mollm.aask("2 + 2?")).text == "Four."

        (received,) = upstream.received
        assert received.query == f"key={SECRET}"
        assert {name: received.body[name] for name in ("token", "pin", "more")} == {
            "token": SECRET,
            "pin": 7,
            "more": {"secret": [SECRET]},
        }


async def test_nothing_that_is_built_shows_them() -> None:
    """Mixtures, what the pool knows LLMs by, and what an upstream repeats of an address."""
    async with Upstream(error(400, f"no such key: {SECRET}")) as upstream:
        data = config(f"{upstream.base_url}?key={SECRET}", extra_body={"x": SECRET + "x"})
        data["mixtures"]["m"]["workers"] = [{"llm": "a", "extra_body": {"y": SECRET + "y"}}]
        async with MoLLM(data) as mollm:
            with pytest.raises(Exception, match="refused") as caught:
                await mollm.aask("Hi")
            catalog = mollm.catalog
            target = target_of(mollm.config, "a")
            forms = [mollm, catalog.mixtures, catalog.llms.identities, target, caught.value, vars(caught.value)]

    assert SECRET not in "".join(f"{form} {form!r}" for form in forms)


async def test_tracers_are_not_told() -> None:
    """Callbacks get the fields of a call with the mask in place of what the file says; a caller's own are shown."""
    from langchain_core.callbacks import BaseCallbackHandler

    told: list[Any] = []

    class Tracer(BaseCallbackHandler):
        def on_chat_model_start(self, *_: Any, **named: Any) -> None:
            told.append(named["invocation_params"])

    async with Upstream(answer("Four.")) as upstream:
        data = config(upstream.base_url, extra_body={"x": SECRET})
        data["mixtures"]["m"]["workers"] = [{"llm": "a", "extra_body": {"y": [SECRET], "pin": 7}}]
        graph = create_graph(data)
        context = {"extra_body": {"z": "mine"}}
        await graph.ainvoke({"messages": [("user", "Hi")]}, {"callbacks": [Tracer()]}, context=context)

        sent = upstream.received[0].body
        assert (sent["x"], sent["y"], sent["z"]) == (SECRET, [SECRET], "mine")
    (params,) = told
    assert (params["y"], params["pin"], params["z"]) == ([MASK], MASK, "mine")
    assert SECRET not in json.dumps(params)


async def test_another_secret_is_another_llm() -> None:
    """A configuration that differs in nothing else than what is masked is put in force."""
    async with Upstream(answer("1"), answer("2")) as upstream:
        async with MoLLM(config(upstream.base_url, extra_body={"token": "old"})) as mollm:
            await mollm.aask("Hi")
            await mollm.ause(config(upstream.base_url, extra_body={"token": "new"}))
            await mollm.aask("Hi")

        assert [received.body["token"] for received in upstream.received] == ["old", "new"]


def test_pydantics_own_errors_show_no_input() -> None:
    """Whoever builds the classes by hand gets errors that can be printed."""
    for data in ({"api_key": SECRET, "wrong": SECRET}, {"api_base": {"x": SECRET}}, {"extra_body": [SECRET]}):
        with pytest.raises(ValidationError) as caught:
            LLMConfig.model_validate({"model": "hosted_vllm/m", **data})
        assert SECRET not in f"{caught.value} {caught.value!r}"


def test_a_body_that_contains_itself_is_named() -> None:
    """Masking ends where reading ends."""
    body: dict[str, Any] = {}
    body["again"] = body

    with pytest.raises(ConfigError, match="nested more than"):
        load_config(config(extra_body=body))
