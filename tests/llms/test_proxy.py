"""Calls through a proxy: the one that the file names, with its login, and no other."""

from __future__ import annotations

from typing import Any

import pytest

from mollm.calling.base import Request
from mollm.config.load import load_config
from mollm.errors import ConfigError, LLMError
from mollm.pool import Pool
from tests.proxy import Proxy
from tests.upstream import Upstream, answer, stream

ASK = Request([{"role": "user", "content": "2 + 2?"}])
CLIENTS = ["openai_compatible", "langchain-openai"]
PASSWORD = "p@ss/w%2F:#?"  # noqa: S105 - everything that an address could stumble over


def config_of(**llm: Any) -> Any:
    """One LLM with these settings, used by one mixture."""
    llms = {"m": {"model": "openai/m", "retries": 0, **llm}}
    return load_config({"llms": llms, "mixtures": {"x": {"description": "d", "workers": ["m"]}}})


async def ask(streamed: bool = False, **llm: Any) -> None:
    """Call one LLM with these settings."""
    llms = Pool().llms(config_of(**llm))
    try:
        if streamed:
            async for _ in llms["m"].stream(ASK):
                pass
        else:
            await llms["m"].complete(ASK)
    finally:
        await llms.pool.aclose()


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("streamed", [False, True])
async def test_calls_go_through_the_proxy_with_its_login(
    client: str, streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """User and password are taken from variables as they are, whatever characters they have."""
    monkeypatch.setenv("MOLLM_USER", "me")
    monkeypatch.setenv("MOLLM_PASSWORD", f"{PASSWORD}\n")
    async with Upstream(stream("Four.") if streamed else answer("Four.")) as upstream, Proxy(f"me:{PASSWORD}") as proxy:
        through = f"http://${{MOLLM_USER}}:${{MOLLM_PASSWORD}}@{proxy.address}"
        await ask(streamed, client=client, api_base=upstream.base_url, api_key="k3y", proxy=through)

    [received] = upstream.received
    assert proxy.asked == [f"{upstream.base_url}/chat/completions"]
    assert proxy.refused == 0
    assert received.headers["Authorization"] == "Bearer k3y"
    assert "proxy-authorization" not in {name.lower() for name in received.headers}


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_whole_address_may_be_one_variable(client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then special characters are written with `%`, as everywhere."""
    async with Upstream(answer("Four.")) as upstream, Proxy("me:p@ss") as proxy:
        monkeypatch.setenv("MOLLM_PROXY", f" http://me:p%40ss@{proxy.address}/\n")
        await ask(client=client, api_base=upstream.base_url, proxy="${MOLLM_PROXY}")

    assert len(proxy.asked) == 1


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_wrong_login_is_a_failure_that_shows_no_password(client: str) -> None:
    """The call fails as the proxy says."""
    async with Upstream(answer("Four.")) as upstream, Proxy("me:right") as proxy:
        with pytest.raises(LLMError) as caught:
            await ask(client=client, api_base=upstream.base_url, proxy=f"http://me:s3ntinel@{proxy.address}")

    assert (proxy.refused, upstream.received) == (1, [])
    assert "s3ntinel" not in str(caught.value)
    assert "check `proxy`" in str(caught.value)


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_proxy_that_is_down_is_named_as_the_reason(client: str) -> None:
    """The upstream behind it is not called directly instead."""
    async with Proxy() as proxy:
        gone = proxy.address
    async with Upstream(answer("Four.")) as upstream:
        with pytest.raises(LLMError) as caught:
            await ask(client=client, api_base=upstream.base_url, proxy=f"http://me:s3ntinel@{gone}")

    assert upstream.received == []
    assert "s3ntinel" not in str(caught.value)
    if client == "openai_compatible":
        assert "check `proxy`" in str(caught.value)


@pytest.mark.parametrize("client", CLIENTS)
async def test_proxies_of_the_environment_are_not_used(client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key goes where the file says and nowhere else; with `proxy` it goes through that one alone."""
    async with Upstream(answer("Four."), answer("Four.")) as upstream, Proxy() as foreign, Proxy() as own:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://{foreign.address}")
            monkeypatch.setenv(name.upper(), f"http://{foreign.address}")
        await ask(client=client, api_base=upstream.base_url)
        await ask(client=client, api_base=upstream.base_url, proxy=f"http://{own.address}")

    assert (len(foreign.asked), len(own.asked), len(upstream.received)) == (0, 1, 2)


@pytest.mark.parametrize(
    ("proxy", "text"),
    [
        ("socks5://me:s3ntinel@host:1080", "is a SOCKS proxy"),
        ("proxy.example:3128", "has no scheme; write `http://`"),
        ("http://me:s3ntinel@host:port", "holds a port that is no number"),
        ("http://host:3128/s3ntinel", "a proxy has no path"),
        ("http://me:s3ntinel@", "names no host"),
        ("http://me:s3ntinel/x@host:3128", "holds a port that is no number"),
        ("http://me:s3ntinel#x@host:3128", "holds a `#`, behind which nothing is sent; write `%23`"),
        ("http://me:s3ntinel日@host", "that HTTP cannot send"),
    ],
)
def test_what_is_no_proxy_is_refused(proxy: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the file is read, or when the variable is; the message shows nothing of it."""
    monkeypatch.setenv("MOLLM_PROXY", proxy)
    for written in (proxy, "${MOLLM_PROXY}"):
        with pytest.raises(ConfigError) as caught:
            Pool().llms(config_of(api_base="http://h/v1", proxy=written))

        assert str(caught.value).startswith("llms.m.proxy: the address ")
        assert text in str(caught.value)
        assert "s3ntinel" not in str(caught.value)


@pytest.mark.parametrize("written", ["", " ", "${MOLLM_NONE:-}"])
async def test_an_empty_proxy_is_none(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So one file serves with a proxy and without one."""
    monkeypatch.delenv("MOLLM_NONE", raising=False)
    async with Upstream(answer("Four.")) as upstream:
        await ask(api_base=upstream.base_url, proxy=written)

    assert len(upstream.received) == 1


@pytest.mark.parametrize("model", ["anthropic/x", "local/x.gguf", "scripted/x", "replay/x"])
def test_a_client_that_takes_no_proxy_says_so(model: str) -> None:
    """Rather than call past it."""
    with pytest.raises(ConfigError, match=r"^llms\.m\.proxy: the client \S+ takes no proxy; `openai_compatible` and"):
        config_of(model=model, proxy="http://host:3128")


def test_a_proxy_is_masked_everywhere() -> None:
    """In every form in which a configuration is printed."""
    config = config_of(api_base="http://h/v1", proxy="http://me:s3ntinel@host:3128")
    llms = Pool().llms(config)

    forms = [repr(config), str(config), config.model_dump_json(), str(config.model_dump()), repr(llms.identities)]
    assert "s3ntinel" not in "".join(forms)
