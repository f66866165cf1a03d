"""From the configuration to LLMs that can be called: every key has its effect."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mollm.calling.base import Request
from mollm.config.load import load_config
from mollm.errors import ConfigError, ProviderFailed, TimedOut, Unreachable
from mollm.llms.scripted import Reply, Script, ScriptedLLM
from mollm.options import Settings
from mollm.pool import LLMs, Pool
from mollm.types import Usage
from tests.clock import run_virtual
from tests.upstream import Upstream, answer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mollm.config.config import Config

ASK = Request([{"role": "user", "content": "2 + 2?"}])


def config(**llms: dict[str, Any]) -> Config:
    """A configuration whose one mixture uses all these LLMs."""
    mixtures = {"all": {"description": "d", "workers": list(llms)}}
    return load_config({"llms": llms, "mixtures": mixtures})


def built(source: Config, given: dict[str, Any] | None = None) -> LLMs:
    """The LLMs of a configuration, in a pool of their own."""
    return Pool(given).llms(source)


def problems(source: Config, given: dict[str, Any] | None = None) -> list[str]:
    """What keeps the LLMs from being built."""
    with pytest.raises(ConfigError) as caught:
        built(source, given)
    return caught.value.problems


@pytest.mark.parametrize(
    ("settings", "model"),
    [
        ({"model": "hosted_vllm/owner/m"}, "owner/m"),
        ({"model": "openai/m"}, "m"),
        ({"model": "anything/m", "client": "openai_compatible"}, "m"),
        ({"model": "openai/m", "client": "langchain-openai"}, "m"),
    ],
)
async def test_what_an_llm_is_set_to_is_sent(
    settings: dict[str, Any], model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Address, key, the provider's name of the model and every setting of the file reach the server."""
    monkeypatch.setenv("MOLLM_TEST_KEY", "k3y")
    writing = {"max_tokens": 5, "temperature": 0.5, "top_p": 0.25, "stop": "END", "seed": 3}
    async with Upstream(answer("Four.")) as upstream:
        monkeypatch.setenv("MOLLM_TEST_PORT", upstream.base_url.split(":")[2].split("/")[0])
        address = {"api_base": "http://127.0.0.1:${MOLLM_TEST_PORT}/v1", "api_key": "${MOLLM_TEST_KEY}"}
        llms = built(config(m={**settings, **writing, **address, "extra_body": {"top_k": 7}}))

        completion = await llms["m"].complete(ASK)
        await llms.pool.aclose()

    [received] = upstream.received
    assert completion.text == "Four."
    assert received.path == "/v1/chat/completions"
    assert received.headers["Authorization"] == "Bearer k3y"
    sent = {**writing, "stop": ["END"], "model": model, "top_k": 7, "messages": ASK.messages}
    renamed = {"max_completion_tokens": "max_tokens"}
    assert sent.items() <= {renamed.get(key, key): value for key, value in received.body.items()}.items()


async def test_several_addresses_share_the_calls() -> None:
    """A call goes where the fewest are in flight."""
    async with Upstream(answer(), answer()) as one, Upstream(answer(), answer()) as other:
        llms = built(config(m={"model": "hosted_vllm/m", "api_base": [one.base_url, other.base_url]}))

        await asyncio.gather(*(llms["m"].complete(ASK) for _ in range(4)))
        await llms.pool.aclose()

    assert (len(one.received), len(other.received)) == (2, 2)


async def test_without_a_key_none_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Least of all somebody else's, from the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    for client in ("openai_compatible", "langchain-openai"):
        async with Upstream(answer()) as upstream:
            llms = built(config(m={"model": "openai/m", "client": client, "api_base": upstream.base_url}))
            await llms["m"].complete(ASK)
            await llms.pool.aclose()

        assert "sk-of-openai" not in str(upstream.received)


def only(script: Script | Sequence[Script], **settings: Any) -> tuple[ScriptedLLM, LLMs]:
    """An LLM of these settings that follows a script."""
    fake = ScriptedLLM(script)
    return fake, built(config(m={"model": "openai/m", **settings}), {"m": fake})


def test_retries_are_those_of_the_file() -> None:
    """0 tries once."""
    for retries in (0, 3):
        fake, llms = only(ProviderFailed("x"), retries=retries)
        with pytest.raises(ProviderFailed):
            run_virtual(llms["m"].complete(ASK))
        assert len(fake.requests) == 1 + retries


@pytest.mark.parametrize(
    ("timeout", "reply", "ends"),
    [
        ({"total": 7}, Reply("x", delay=100), 7),
        ({"total": 9, "first_token": 3}, Reply("x", delay=100), 3),
    ],
)
def test_timeouts_are_those_of_the_file(timeout: dict[str, float], reply: Reply, ends: float) -> None:
    """`total` for every call, `first_token` for a streamed one."""
    _, llms = only(reply, timeout=timeout, retries=0)

    async def run() -> float:
        with pytest.raises(TimedOut):
            if "first_token" in timeout:
                await anext(llms["m"].stream(ASK))
            else:
                await llms["m"].complete(ASK)
        return asyncio.get_running_loop().time()

    assert run_virtual(run()) == pytest.approx(ends)


def test_calls_at_once_are_those_of_the_file() -> None:
    """Four calls of a second, two at a time."""
    _, llms = only(Reply("x", delay=1), max_in_flight=2)

    async def run() -> float:
        await asyncio.gather(*(llms["m"].complete(ASK) for _ in range(4)))
        return asyncio.get_running_loop().time()

    assert run_virtual(run()) == pytest.approx(2)


def test_price_and_window_are_those_of_the_file() -> None:
    """Without them there is no price, and a window of 8192."""
    usage = Usage(1_000_000, 100_000, 1_100_000)
    _, priced = only("x", price={"input": 1, "output": 10}, context_window=100)
    plain = built(config(m={"model": "scripted/x"}))

    assert priced["m"].cost(usage) == pytest.approx(2)
    assert run_virtual(priced["m"].context_window()) == 100
    assert plain["m"].cost(usage) is None
    assert run_virtual(plain["m"].context_window()) == 8192


def test_a_model_that_litellm_knows_has_its_price() -> None:
    """Unless the file says otherwise."""
    usage = Usage(1_000_000, 0, 1_000_000)
    known, own = (
        built(config(m={"model": "openai/gpt-4.1", **price}))["m"].cost(usage)
        for price in ({}, {"price": {"input": 123, "output": 0}})
    )

    assert known is not None
    assert 0 < known < 100
    assert own == pytest.approx(123)


def test_what_is_not_set_is_not_sent() -> None:
    """Only `max_tokens` always is."""
    fake, llms = only("x")

    run_virtual(llms["m"].complete(ASK))

    assert fake.requests[0].settings == Settings(max_tokens=1024)


def test_retries_of_all_llms_come_from_one_budget() -> None:
    """An outage of several providers at once is not made worse."""
    fakes = {name: ScriptedLLM(ProviderFailed("x")) for name in "abc"}
    llms = built(config(**{name: {"model": "openai/m", "retries": 5} for name in fakes}), fakes)

    async def run() -> None:
        for llm in llms.values():
            with pytest.raises(ProviderFailed):
                await llm.complete(ASK)

    run_virtual(run())
    assert sum(len(fake.requests) for fake in fakes.values()) == len(fakes) + 10


def test_only_what_is_used_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is not set is no error for an LLM that no mixture uses."""
    monkeypatch.delenv("MOLLM_NONE", raising=False)
    unused = {"model": "hosted_vllm/m", "api_base": "${MOLLM_NONE}", "api_key": "${MOLLM_NONE}"}
    source = load_config(
        {
            "llms": {"used": {"model": "scripted/yes"}, "unused": unused},
            "mixtures": {"m": {"description": "d", "workers": ["used"]}},
        }
    )

    llms = built(source)

    assert list(llms) == ["used"]
    assert len(llms) == 1
    assert "unused" not in llms
    assert run_virtual(llms["used"].complete(ASK)).text == "yes"


def test_every_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every LLM, and every key of it, without the values of those that are set."""
    monkeypatch.setenv("MOLLM_SET", "sk-secret")
    for name in ("MOLLM_ONE", "MOLLM_TWO", "MOLLM_THREE"):
        monkeypatch.delenv(name, raising=False)

    found = problems(
        config(
            a={"model": "hosted_vllm/m", "api_base": ["${MOLLM_ONE}", "${MOLLM_TWO}"], "api_key": "${MOLLM_SET}"},
            b={"model": "anthropic/m", "api_key": "${MOLLM_SET}${MOLLM_THREE}"},
        )
    )

    assert found == [
        "llms.a.api_base: the environment variable MOLLM_ONE is not set",
        "llms.a.api_base: the environment variable MOLLM_TWO is not set",
        "llms.b.api_key: the environment variable MOLLM_THREE is not set",
    ]


def test_an_llm_that_is_given_needs_nothing_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its variables nor its weights; its settings hold."""
    monkeypatch.delenv("MOLLM_NONE", raising=False)
    fakes = {"a": ScriptedLLM("yes"), "b": ScriptedLLM("yes")}
    llms = built(
        config(
            a={"model": "hosted_vllm/m", "api_base": "${MOLLM_NONE}", "max_tokens": 7}, b={"model": "local/none.gguf"}
        ),
        fakes,
    )

    run_virtual(llms["a"].complete(ASK))

    assert fakes["a"].requests[0].settings == Settings(max_tokens=7)
    assert list(llms) == ["a", "b"]


async def test_a_langchain_chat_model_may_be_given() -> None:
    """Any of them."""
    from langchain_core.language_models import FakeListChatModel

    llms = built(config(m={"model": "openai/m"}), {"m": FakeListChatModel(responses=["Four."])})

    assert (await llms["m"].complete(ASK)).text == "Four."


def test_what_cannot_be_used_as_an_llm_is_refused() -> None:
    """Together with names that the file does not know, and everything else that is wrong."""
    source = config(a={"model": "openai/m"}, b={"model": "local/none.gguf"})

    found = problems(source, {"a": object(), "c": ScriptedLLM("x")})

    assert found[0] == "llms='c': the configuration names no such LLM"
    assert found[1].startswith("llms='a': object is neither a LangChain chat model nor has `complete`")
    assert found[2].startswith("llms.b.model: local/none.gguf: no file")
    assert len(found) == 3


def test_weights_are_looked_for_beside_the_file(tmp_path: Path) -> None:
    """A relative path begins where the YAML file lies; what is wrong is named with its line."""
    (tmp_path / "my.gguf").write_bytes(b"GGUF")
    path = tmp_path / "my.yaml"
    path.write_text(
        "llms:\n"
        "  a: {model: local/my.gguf}\n"
        "  b: {model: local/my.gguf, temperature: 1.0}\n"
        "  c: {model: local/none.gguf}\n"
        "  d: {model: local/my.yaml}\n"
        "mixtures: {m: {description: d, workers: [a, b, c, d]}}\n"
    )

    missing, foreign = problems(load_config(path))

    assert missing.startswith(f"{path}:4: llms.c.model: local/none.gguf: no file {tmp_path / 'none.gguf'}")
    assert foreign == f"{path}:5: llms.d.model: local/my.yaml: {path} is not a GGUF file"


async def test_closing_gives_back_every_connection() -> None:
    """It may be done twice, and the LLMs can be used again after it."""
    async with Upstream(answer("one"), answer("two")) as upstream:
        llms = built(config(m={"model": "hosted_vllm/m", "api_base": upstream.base_url}))

        assert (await llms["m"].complete(ASK)).text == "one"
        await llms.pool.aclose()
        await llms.pool.aclose()
        assert (await llms["m"].complete(ASK)).text == "two"
        await llms.pool.aclose()
        llms.pool.unload()

    assert upstream.connections == 2


class Owned(ScriptedLLM):
    """An LLM that notes that it was closed."""

    is_closed = False

    async def aclose(self) -> None:
        """Note it."""
        self.is_closed = True


async def test_closing_leaves_alone_what_was_given() -> None:
    """It is its owner's; what the configuration made is closed beside it, and the given one answers as before."""
    owned = Owned("mine")
    async with Upstream(answer("one"), answer("two")) as upstream:
        llms = built(
            config(m={"model": "hosted_vllm/m", "api_base": upstream.base_url}, o={"model": "x/y"}), {"o": owned}
        )
        await llms["m"].complete(ASK)
        await llms.pool.aclose()
        await llms["m"].complete(ASK)
        text = (await llms["o"].complete(ASK)).text
        await llms.pool.aclose()

    assert upstream.connections == 2
    assert (text, owned.is_closed) == ("mine", False)


async def test_an_address_where_nobody_listens_is_unreachable() -> None:
    """By the name of the LLM, and without the key that was to be sent."""
    async with Upstream() as upstream:
        address = upstream.base_url
    llms = built(config(m={"model": "hosted_vllm/m", "api_base": address, "api_key": "sk-secret", "retries": 0}))

    with pytest.raises(Unreachable) as caught:
        await llms["m"].complete(ASK)
    await llms.pool.aclose()

    assert str(caught.value).startswith("m: ")
    assert "sk-secret" not in str(caught.value)
