"""An address is joined by its parts, or refused when the file is read: never a third thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from mollm.cli.checks import check_config
from mollm.config.addresses import ENDPOINT, BaseURL, ProxyURL
from mollm.config.load import load_config
from mollm.errors import ConfigError
from mollm.llms.factory import target_of
from mollm.pool import Pool

if TYPE_CHECKING:
    from pathlib import Path


def config_of(**llm: Any) -> Any:
    """One LLM with these settings, used by one mixture."""
    llms = {"m": {"model": "hosted_vllm/m", **llm}}
    return load_config({"llms": llms, "mixtures": {"x": {"description": "d", "workers": ["m"]}}})


@pytest.mark.parametrize(
    ("address", "called"),
    [
        ("http://127.0.0.1:8001/v1", "http://127.0.0.1:8001/v1/chat/completions"),
        ("http://127.0.0.1:8001/v1///", "http://127.0.0.1:8001/v1/chat/completions"),
        (" \thttp://h/v1\n", "http://h/v1/chat/completions"),
        ("\u00a0http://h/v1\u2003", "http://h/v1/chat/completions"),
        ("http://h", "http://h/chat/completions"),
        ("http://h?key=a/b", "http://h/chat/completions?key=a/b"),
        ("HTTPS://H.Example/V1", "https://h.example/V1/chat/completions"),
        ("http://h:/v1", "http://h/v1/chat/completions"),
        ("https://h/openai/v1?api-version=preview", "https://h/openai/v1/chat/completions?api-version=preview"),
        ("https://h/openai/v1/?a=b&c=%20d", "https://h/openai/v1/chat/completions?a=b&c=%20d"),
        ("http://h/v1?", "http://h/v1/chat/completions"),
        ("http://h/v1/chat/completions", "http://h/v1/chat/completions"),
        ("http://h/v1/chat/completions//", "http://h/v1/chat/completions"),
        ("http://h/v1/Chat/Completions", "http://h/v1/chat/completions"),
        ("https://h.services.ai.azure.com/models", "https://h.services.ai.azure.com/models/chat/completions"),
        ("http://h/v1/chat/completions/chat/completions", "http://h/v1/chat/completions"),
        ("http://h/v1/chat/completions/?v=1", "http://h/v1/chat/completions?v=1"),
        ("http://[::1]:8001/v1", "http://[::1]:8001/v1/chat/completions"),
        ("http://my_vllm-2:8000/v1", "http://my_vllm-2:8000/v1/chat/completions"),
        ("http://bücher.example/v1", "http://bücher.example/v1/chat/completions"),
        ("http://h./v1", "http://h./v1/chat/completions"),
        ("https://h/openai/deployments/a%20b", "https://h/openai/deployments/a%20b/chat/completions"),
    ],
)
def test_an_endpoint_is_joined_to_the_path(address: str, called: str) -> None:
    """The query stays behind it; what manuals and browsers have around an address is left out."""
    assert BaseURL.parse(address).join(ENDPOINT) == called


REFUSED = [
    ("", "is empty"),
    ("   ", "is empty"),
    ("127.0.0.1:8001/v1", "has no scheme; write `http://`"),
    ("localhost:8001", "has no scheme; write `http://`"),
    ("//h/v1", "has no scheme"),
    ("http:/h/v1", "has no scheme"),
    ("http:h", "has no scheme"),
    ("https//h/v1", "has no scheme"),
    ("/v1", "has no scheme"),
    ("s3ntinel", "has no scheme"),
    ("htp://h/v1", "neither `http://` nor `https://`"),
    ("ws://h/v1", "neither `http://` nor `https://`"),
    ("file:///v1", "neither `http://` nor `https://`"),
    ("unix:///run/llm.sock", "is a socket file"),
    ("http+unix://%2Frun%2Fllm.sock/v1", "is a socket file"),
    ("http://h/v1#x", "holds a `#`"),
    ("http://h/v1#", "holds a `#`"),
    ("http://user:s3ntinel@h/v1", "`api_key`, or into `headers`"),
    ("http://s3ntinel@h/v1", "`api_key`, or into `headers`"),
    ("http://user:s3ntinel@/v1", "names no host"),
    ("http://user:s3ntinel@h:port/v1", "holds a port"),
    ("http:///v1", "names no host"),
    ("http://", "names no host"),
    ("http://:8000/v1", "names no host"),
    ("http://h:port/v1", "holds a port"),
    ("http://h:-1/v1", "holds a port"),
    ("http://h:0/v1", "holds a port"),
    ("http://h:65536/v1", "holds a port"),
    ("http://h:\uff18000/v1", "holds a port"),
    ("http://h:" + "9" * 5000, "holds a port"),
    ("http://h /v1", "holds a space"),
    ("http://h/v 1", "holds a space"),
    ("http://h/v1\r\nx: y", "holds a space"),
    ("http://h/\u200bv1", "holds a space or a control character"),
    ("http://h\\v1", "holds a backslash"),
    ('"http://h/v1"', "stands in quotes"),
    ("http://[::1/v1", "no IPv6 address"),
    ("http://[::g]/v1", "no IPv6 address"),
    ("http://[::1]x/v1", "no IPv6 address"),
    ("http://::1/v1", "stands in brackets"),
    ("http://a..b/v1", "no name"),
    ("http://-!-/v1", "no name"),
    ("http://%41/v1", "no name"),
    (f"http://{'a' * 64}/v1", "no name"),
    ("http://h/v1/completions", "ends in `/completions`"),
    ("http://h/v1/responses/", "ends in `/responses`"),
    ("http://h/v1/messages?x=1", "ends in `/messages`"),
    ("http://h/v1/models", "ends in `/models`"),
    ("http://h/v1/chat", "ends in `/chat`"),
    ("http://h/v1/Completions", "ends in `/Completions`"),
    ("http://h/v1,http://g/v1", "holds a second one"),
    ("http://h/v1;https://g/v1", "holds a second one"),
]


@pytest.mark.parametrize(("address", "text"), REFUSED)
def test_what_is_no_address_is_refused_where_it_stands(
    address: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By file, line and key: a literal when the file is read, a variable's when the LLM is built; neither is shown."""
    path = tmp_path / "my.yaml"
    monkeypatch.setenv("MOLLM_BASE", address)
    for written in (address, "${MOLLM_BASE}"):
        quoted = "".join(f"\\u{ord(c):04x}" for c in written)
        path.write_text(
            f'llms:\n  a:\n    model: hosted_vllm/m\n    api_base: ["http://h/v1", "{quoted}"]\n'
            "mixtures: {m: {description: d, workers: [a]}}\n"
        )
        report = check_config(path)

        [problem] = report.problems
        assert problem.startswith(f"{path}:4: llms.a.api_base")
        assert f"the address {text}" in problem or text in problem
        assert "s3ntinel" not in problem


@pytest.mark.parametrize(
    "llm",
    [
        {"model": "openai/m"},
        {"model": "anthropic/m"},
        {"model": "ollama/m"},
        {"model": "hosted_vllm/m", "client": "litellm"},
        {"model": "openai/m", "client": "langchain-openai"},
        {"model": "local/x.gguf"},
        {"model": "scripted/x"},
    ],
)
def test_no_client_takes_what_is_no_address(llm: dict[str, str]) -> None:
    """Whoever would call it, if anybody does."""
    with pytest.raises(ConfigError, match=r"^llms\.m\.api_base: the address has no scheme"):
        config_of(**llm, api_base="localhost:11434")


def test_litellm_is_given_what_its_provider_expects() -> None:
    """OpenAI's SDK adds the endpoint; other providers have their own idea of an address, and so it stays."""
    base = "https://h.example/models/chat/completions"

    def called(model: str, address: str) -> str:
        [found] = target_of(config_of(model=model, client="litellm", api_base=address), "m").bases
        return str(found)

    assert called("openai/m", base) == "https://h.example/models"
    assert called("azure_ai/m", f"{base}?api-version=1") == f"{base}?api-version=1"
    assert called("azure/m", "https://h.example/?api-version=1") == "https://h.example?api-version=1"
    for model in ("openai/m", "hosted_vllm/m"):
        with pytest.raises(ConfigError, match="use `client: openai_compatible`"):
            config_of(model=model, client="litellm", api_base="http://h/v1?x=1")


def test_an_address_that_stands_twice_is_called_as_one(tmp_path: Path) -> None:
    """However it is written; `check` says so."""
    path = tmp_path / "my.yaml"
    path.write_text(
        "llms: {m: {model: hosted_vllm/m, api_base: ['http://h/v1', 'http://H/v1/', 'http://i/v1']}}\n"
        "mixtures: {x: {description: d, workers: [m]}}\n"
    )

    assert [str(base) for base in target_of(load_config(path), "m").bases] == ["http://h/v1", "http://i/v1"]
    assert check_config(path).warnings == (
        f"{path}:1: llms.m.api_base: an address stands here twice; it is called as one",
    )


@pytest.mark.parametrize(
    ("llm", "text"),
    [
        ({"api_base": "http://h:8000"}, "the address has no path; most servers answer below `/v1`"),
        ({"model": "scripted/x", "api_base": "http://h/v1"}, "nothing is called there"),
    ],
)
def test_an_address_that_is_probably_not_meant_so_is_a_warning(llm: dict[str, str], text: str, tmp_path: Path) -> None:
    """It is used as it stands."""
    settings = ", ".join(f"{key}: '{value}'" for key, value in {"model": "hosted_vllm/m", **llm}.items())
    path = tmp_path / "my.yaml"
    path.write_text(f"llms:\n  m: {{{settings}}}\nmixtures: {{x: {{description: d, workers: [m]}}}}\n")

    report = check_config(path)

    assert report.problems == ()
    assert report.warnings[0].startswith(f"{path}:2: llms.m.api_base: {text}")


HOSTS = st.from_regex(r"[a-z0-9]([a-z0-9_-]{0,20}[a-z0-9])?(\.[a-z0-9]{1,10}){0,3}", fullmatch=True) | st.sampled_from(
    ["127.0.0.1", "[::1]", "[2001:db8::1]", "bücher.example", "LOCALHOST"]
)
PATHS = st.lists(st.from_regex(r"[A-Za-z0-9._~%:@!$&'()*+,;=-]{0,8}", fullmatch=True), max_size=4).map(
    lambda parts: "".join(f"/{part}" for part in parts).replace("%", "%25")
)
QUERIES = st.just("") | st.from_regex(r"\?[A-Za-z0-9._~:@!$&'()*+,;=/?-]{0,20}", fullmatch=True)


@given(st.sampled_from(["http", "https"]), HOSTS, st.none() | st.integers(1, 65535), PATHS, st.integers(0, 2), QUERIES)
def test_any_address_is_joined_to_one_endpoint(
    scheme: str, host: str, port: int | None, path: str, endpoints: int, query: str
) -> None:
    """Host, port, path and query are what they were, with the endpoint once in between."""
    path = path.rstrip("/")
    if path.endswith(("/completions", "/responses", "/embeddings", "/messages")):
        return
    authority = host if port is None else f"{host}:{port}"

    found = BaseURL.parse(f"{scheme}://{authority}{path}{ENDPOINT * endpoints}/{query}").join(ENDPOINT)

    assert found == f"{scheme}://{authority.lower()}{path}{ENDPOINT}{query if query != '?' else ''}"
    assert URL(found).path.count(ENDPOINT) == 1
    assert str(URL(found).host) in authority.lower()


PIECES = st.lists(
    st.sampled_from(
        ["http", "https", "://", ":", "/", "//", "@", "?", "#", "[", "]", "%", "::1", "h", ".", "..", "v1", "8000", "=",
         "\\", " ", "\n",
         "\0", "é", "日", "ß", "xn--", "\u202e", "\ud800", "$", "{", "}", "-", "_", ENDPOINT, "user:pw@"]
    ),
    max_size=12,
).map("".join)  # fmt: skip


@given(st.text(max_size=40) | PIECES.map(lambda rest: f"http://{rest}") | PIECES)
@example("http://\u2100/")
@example("http://ﬀ.example")
@example("http://h/%")
@example("http://XN--")
def test_any_text_is_an_address_that_can_be_called_or_is_refused(text: str) -> None:
    """What is accepted is an address to the library that calls it, too; nothing else is ever raised."""
    try:
        base = BaseURL.parse(text)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - either is right
        return
    url = URL(base.join(ENDPOINT))

    assert url.host
    assert url.scheme in ("http", "https")
    assert url.user is None
    assert url.path.endswith(ENDPOINT)


@given(st.text(max_size=40) | PIECES.map(lambda rest: f"http://{rest}") | PIECES)
def test_any_text_is_a_proxy_or_is_refused(text: str) -> None:
    """Its login survives being written into an address."""
    try:
        proxy = ProxyURL.parse(text)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - either is right
        return

    assert ProxyURL.parse(proxy.url) == proxy
    assert URL(proxy.url).host


@given(PIECES)
def test_any_api_base_is_used_or_a_config_error(text: str) -> None:
    """From the file to the client."""
    try:
        Pool().llms(config_of(api_base=text))
    except ConfigError as error:
        assert all(problem.startswith("llms.m.api_base: ") for problem in error.problems)  # noqa: PT017
