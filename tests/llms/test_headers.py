"""HTTP headers that a configuration adds to the calls of an LLM."""

from __future__ import annotations

from typing import Any

import pytest

from mollm.config.headers import OWN
from mollm.config.load import load_config
from mollm.errors import ConfigError
from mollm.pool import Pool
from tests.llms.test_factory import ASK, built, config, problems
from tests.upstream import Upstream, answer, stream

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*`ReadOnly` qualifier:UserWarning"),
    pytest.mark.filterwarnings("ignore:Accessing the .* attribute on the instance is deprecated"),
]

CLIENTS = ["openai_compatible", "langchain-openai", "litellm"]


@pytest.mark.parametrize("client", CLIENTS)
async def test_every_client_sends_them(client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole and streamed, beside the key, with variables filled in and the white space around them gone."""
    monkeypatch.setenv("MOLLM_TEST_TENANT", "t-1\n")
    headers = {"X-Tenant": "${MOLLM_TEST_TENANT}", "api-key": "k2", "User-Agent": "mine/1"}
    async with Upstream(answer("Four."), stream("Four.")) as upstream:
        llm = {"model": "openai/m", "client": client, "api_base": upstream.base_url, "api_key": "k1"}
        llms = built(config(m={**llm, "headers": headers}))
        await llms["m"].complete(ASK)
        assert [chunk.text async for chunk in llms["m"].stream(ASK)]
        await llms.pool.aclose()

    for received in upstream.received:
        sent = {name.lower(): value for name, value in received.headers.items()}
        assert (sent["x-tenant"], sent["api-key"], sent["user-agent"]) == ("t-1", "k2", "mine/1")
        assert sent["authorization"] == "Bearer k1"
        assert sent["content-type"] == "application/json"


@pytest.mark.parametrize("client", ["openai_compatible", "langchain-openai"])
async def test_a_key_of_another_scheme_goes_alone(client: str) -> None:
    """Without `api_key` the header says who calls."""
    async with Upstream(answer("Four.")) as upstream:
        llm = {"model": "openai/m", "client": client, "api_base": upstream.base_url}
        llms = built(config(m={**llm, "headers": {"authorization": "Basic eA=="}}))
        await llms["m"].complete(ASK)
        await llms.pool.aclose()

    assert upstream.received[0].headers["Authorization"] == "Basic eA=="
    assert len([name for name in upstream.received[0].headers if name.lower() == "authorization"]) == 1


def wrong(headers: Any, **llm: Any) -> list[str]:
    """How a configuration with such headers is refused."""
    whole = {"model": "hosted_vllm/m", "api_base": "http://127.0.0.1:9/v1", "headers": headers, **llm}
    with pytest.raises(ConfigError) as caught:
        config(a=whole)
    return caught.value.problems


@pytest.mark.parametrize("name", sorted(OWN))
def test_how_a_call_is_sent_is_not_for_a_file_to_say(name: str) -> None:
    """Whatever the case of its letters."""
    for written in (name, name.title()):
        assert wrong({written: "x"}) == [
            f"llms.a.headers: {written!r} cannot be set: it says how a call is sent, which is not for a file to say"
        ]


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"X A": "x"}, "'X A' is no name of a header"),
        ({"": "x"}, "'' is no name of a header"),
        ({"X:": "x"}, "'X:' is no name of a header"),
        ({"X-\u00e4": "x"}, "is no name of a header"),
        ({"X-A": "x", "x-a": "y"}, "'x-a' and 'X-A' are the same header"),
        ({"X-A": "secret\r\nHost: x"}, "'X-A': a header holds one line of printable ASCII"),
        ({"X-A": "secret\u00e4"}, "'X-A': a header holds one line of printable ASCII"),
        ({"X-A": "secret\x00"}, "'X-A': a header holds one line of printable ASCII"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_what_no_header_can_be_is_refused_when_the_file_is_read(headers: dict[str, str], said: str) -> None:
    """By its name; the value, which may be a secret, is not told."""
    (problem,) = wrong(headers)

    assert problem.startswith("llms.a.headers: ")
    assert said in problem
    assert "secret" not in problem


def test_other_mistakes_are_named_as_well() -> None:
    """A value that is no text, a second key, and headers of what is not called by HTTP."""
    assert wrong({"X-A": 5}) == ["llms.a.headers.X-A: must be a valid string"]
    assert wrong({"Authorization": "x"}, api_key="k") == [
        "llms.a.headers: `api_key` is sent as Authorization too; leave one of them out"
    ]
    assert wrong({"X-A": "x"}, model="scripted/m") == [
        "llms.a.headers: 'scripted/m' is not called by HTTP, so it has no headers"
    ]


def test_a_variable_is_checked_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is not set, and one that holds what no header can; the latter is not told."""
    monkeypatch.setenv("MOLLM_TEST_BAD", "secret\r\nHost: x")
    monkeypatch.delenv("MOLLM_TEST_NONE", raising=False)
    headers = {"X-A": "${MOLLM_TEST_NONE}", "X-B": "${MOLLM_TEST_BAD}"}

    assert problems(config(a={"model": "hosted_vllm/m", "api_base": "http://127.0.0.1:9/v1", "headers": headers})) == [
        "llms.a.headers.X-A: the environment variable MOLLM_TEST_NONE is not set",
        "llms.a.headers.X-B: a header holds one line of printable ASCII",
    ]


def test_values_are_masked_and_another_value_makes_another_llm(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be keys: nothing shows them, and a new one is used."""
    llm = {"model": "hosted_vllm/m", "api_base": "http://127.0.0.1:9/v1", "headers": {"X-A": "${MOLLM_TEST_VALUE}"}}
    mixtures = {"m": {"description": "d", "workers": ["a"]}}
    pool, found = Pool(), []
    for value in ("secret-1", "secret-2", "secret-1"):
        monkeypatch.setenv("MOLLM_TEST_VALUE", value)
        loaded = load_config({"llms": {"a": llm}, "mixtures": mixtures})
        found.append(pool.llms(loaded)["a"])
    literal = load_config({"llms": {"a": {**llm, "headers": {"X-A": "secret-3"}}}, "mixtures": mixtures})

    assert found[0] is found[2]
    assert found[0] is not found[1]
    assert "secret" not in f"{literal!r}{literal.model_dump_json()}{literal.llms['a']}"
