"""What a request may name."""

from __future__ import annotations

import json
import re
import time
from urllib.parse import quote

from tests.server.served import Client, config_of, served
from tests.upstream import Upstream

CONFIG = {
    "llms": {"a": {"model": "scripted/Four."}, "b": {"model": "scripted/Five."}, "spare": {"model": "scripted/Six."}},
    "router": {"fallback": "judged"},
    "mixtures": {
        "single": {"description": "One worker.", "workers": ["b"]},
        "judged": {"description": "One is picked.", "workers": ["a", "b"], "aggregator": {"method": "best"}},
        "voted": {
            "description": "Most agree.",
            "workers": [{"llm": "a", "samples": 2}, "b"],
            "aggregator": {"method": "vote"},
        },
        "written": {"description": "One writes.", "workers": ["a", "b"], "aggregator": {"llm": "b"}},
    },
}

KINDS = {
    "auto": {"kind": "router", "description": "Picks one of the mixtures (fixed router)."},
    "router": {"kind": "router", "description": "The same as auto."},
    "single": {
        "kind": "mixture",
        "description": "One worker.",
        "workers": ["b"],
        "method": None,
        "aggregator": None,
    },
    "judged": {
        "kind": "mixture",
        "description": "One is picked.",
        "workers": ["a", "b"],
        "method": "best",
        "aggregator": "a",
    },
    "voted": {
        "kind": "mixture",
        "description": "Most agree.",
        "workers": ["a", "a", "b"],
        "method": "vote",
        "aggregator": None,
    },
    "written": {
        "kind": "mixture",
        "description": "One writes.",
        "workers": ["a", "b"],
        "method": "synthesize",
        "aggregator": "b",
    },
    "a": {"kind": "llm", "description": "scripted/Four., alone."},
    "b": {"kind": "llm", "description": "scripted/Five., alone."},
    "spare": {"kind": "llm", "description": "scripted/Six., alone."},
}
"""In the order of the list."""


async def check_entries(server: Client, begun: float) -> None:
    """The list and each entry by itself say the same."""
    listed = (await server.get("/v1/models")).body
    assert set(listed) == {"object", "data"}
    assert listed["object"] == "list"
    assert [entry["id"] for entry in listed["data"]] == list(KINDS)
    for entry in listed["data"]:
        assert set(entry) == {"id", "object", "created", "owned_by", "mollm"}
        assert (entry["object"], entry["owned_by"]) == ("model", "mollm")
        assert int(begun) <= entry["created"] <= time.time()
        assert entry["mollm"] == KINDS[entry["id"]]
        assert (await server.get(f"/v1/models/{entry['id']}")).body == entry


async def test_everything_that_may_be_named_is_listed_and_can_be_asked() -> None:
    """The router under both names, mixtures and LLMs, each with what it is; and each answers."""
    begun = time.time()
    async with served(CONFIG) as server:
        await check_entries(server, begun)

        for name in KINDS:
            assert (await server.chat(model=name)).status == 200


async def test_what_does_not_exist_is_not_found() -> None:
    """404 as OpenAI tells it, also for names with slashes; the message says what there is."""
    async with served(CONFIG) as server:
        mixtures = "single, judged, voted, written"
        for path, name, near in (
            ("gpt-4.1", "gpt-4.1", ""),
            ("meta/llama%20x", "meta/llama x", ""),
            ("Auto", "Auto", ""),
            ("spar", "spar", "; did you mean 'spare'?"),
        ):
            reply = await server.get(f"/v1/models/{path}")

            assert reply.status == 404
            assert reply.body["error"] == {
                "message": f"no mixture and no LLM {name!r}{near}; there are: {mixtures}; "
                "`auto` is the one that the router picks",
                "type": "invalid_request_error",
                "param": "model",
                "code": "model_not_found",
            }


PUBLIC = ["openai/gpt-4o", "ollama:qwen3:8b", "hf.co/org/Mix-GGUF:Q4_K_M", "@cf/meta/llama-3", "local/one", "a:cat:b"]


async def test_names_may_be_those_that_other_programs_use() -> None:
    """With provider and tag, of LLMs and of mixtures: listed, looked up with slashes raw or not, asked, counted."""
    llms = {name: {"model": "scripted/Four."} for name in PUBLIC}
    mixtures = {f"mix/{name}": {"description": "x", "workers": [name, {"llm": name}]} for name in PUBLIC}
    async with served({"llms": llms, "mixtures": mixtures, "router": {"fallback": f"mix/{PUBLIC[0]}"}}) as server:
        listed = [entry["id"] for entry in (await server.get("/v1/models")).body["data"]]
        for name in (*mixtures, *llms):
            raw, encoded = f"/v1/models/{name}", f"/v1/models/{quote(name, safe='')}"
            found = [(await server.get(path)).body for path in (raw, encoded, f"{raw}/")]
            reply = await server.chat(model=name, mollm={"trace": True})
            streamed = await server.chat(model=name, stream=True)

            assert name in listed
            assert [entry["id"] for entry in found] == [name] * 3
            assert (reply.body["model"], reply.headers["x-mollm-mixture"]) == (name, name)
            workers = [proposal["worker"] for proposal in reply.body["mollm"]["proposals"]]
            assert workers == [name.removeprefix("mix/"), f"{name.removeprefix('mix/')}#2"][: len(workers)]
            assert (streamed.text, streamed.headers["x-mollm-mixture"]) == ("Four.", name)
            assert await server.metric("requests_total", mixture=name) == 2


async def test_the_list_is_found_with_a_slash_and_by_its_head() -> None:
    """Clients put addresses together in different ways."""
    async with served(CONFIG) as server:
        listed = (await server.get("/v1/models")).body
        assert (await server.get("/v1/models/")).body == listed
        for path in ("/v1/models", "/v1/models/single", "/health", "/ready", "/metrics"):
            async with server.session.head(server.base + path) as response:
                assert (response.status, await response.read()) == (200, b"")
        question = {"model": "single", "messages": [{"role": "user", "content": "Hi"}]}
        assert (await server.post("/v1/chat/completions/", question)).status == 200
        assert (await server.post("/predict/", {"query": "Hi"})).status == 200


async def test_the_description_of_the_endpoints_is_whole() -> None:
    """Every reference leads somewhere, bounds are those that are checked, and a key is named as the way in."""
    async with Upstream() as upstream, served(config_of(upstream)) as server:
        found = (await server.get("/openapi.json")).body

    text = json.dumps(found)
    for reference in set(re.findall(r'"#/([^"]+)"', text)):
        place = found
        for part in reference.split("/"):
            place = place[part]
    chat = found["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert chat["properties"]["n"]["anyOf"][0] == {"type": "integer", "minimum": 1, "maximum": 128}
    assert "422" not in text, "nothing is refused with a status that is not described"
    assert "ValidationError" not in text
    assert found["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
