"""Pages, extensions and containers: under which names a server is asked, and who may read what it answers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm import load_config
from mollm.errors import ConfigError
from mollm.server.origins import Origins
from tests.server.served import Client, Reply, served, until
from tests.server.test_auth import BODY, FIRST, addressed, config, head, tell

PAGE = "https://app.example.org"


def origins(**server: Any) -> Origins:
    """What the section `server` lets in."""
    return Origins(load_config(config(**server)).server)


def problems(**server: Any) -> list[str]:
    """What is wrong with the section."""
    with pytest.raises(ConfigError) as caught:
        load_config(config(**server))
    return caught.value.problems


# Names of the server

OURS = [
    *("localhost", "localhost.", "LocalHost:8000", "app.localhost", "127.0.0.1", "127.0.0.1:8000", "127.1", "10.0.0.7"),
    *("[::1]", "[::1]:8000", "[fe80::1%25eth0]:80", "mollm", "mollm:8000", "0x7f.1", ""),
    *("host.docker.internal", "host.docker.internal:8000", "HOST.DOCKER.INTERNAL.:80", "host.containers.internal"),
]
FOREIGN = [
    *("evil.example", "evil.example:8000", "EVIL.example.", "localhost.evil.example", "127.0.0.1.evil.example"),
    *("host.docker.internal.evil.example", "internal.example", "docker.internal.co:80", "x@evil.example", "evil.local"),
]


@pytest.mark.parametrize("host", OURS)
def test_a_name_that_no_public_name_server_can_lead_here_is_ours(host: str) -> None:
    """This machine's own, what containers call it, and addresses, however they are written."""
    assert origins().has_host(host)


@pytest.mark.parametrize("host", FOREIGN)
def test_any_other_name_has_to_be_listed(host: str) -> None:
    """Whoever owns it could lead it here."""
    assert not origins().has_host(host)
    assert not origins(hosts=["mollm.example.org"]).has_host(host)
    assert origins(hosts="*").has_host(host)


def test_names_are_listed_as_people_write_them() -> None:
    """In any case, with a dot at the end, not in ASCII, with everything below them; a port says nothing."""
    known = origins(hosts=["Mollm.Example.ORG.", "*.b\u00fccher.example", ".corp.example", "192.168.0.7"])

    for host in ("mollm.example.org", "MOLLM.example.org.:8000", "a.b.xn--bcher-kva.example", "x.corp.example:1"):
        assert known.has_host(host)
    for host in ("example.org", "x.mollm.example.org", "xn--bcher-kva.example", "corp.example", "mollm.example.org.x"):
        assert not known.has_host(host)


async def test_a_container_asks_under_the_name_of_its_host() -> None:
    """Without a key and without a word in the configuration."""
    async with served(config()) as server:
        reply = await server.post("/v1/chat/completions", BODY, host="host.docker.internal:8000")

    assert reply.status == 200


async def test_a_page_without_an_address_is_told_what_it_is() -> None:
    """What stands in its `Origin` would be taken for a fault."""
    async with served(config()) as server:
        page = await server.post("/v1/chat/completions", BODY, origin="null")

    assert page.status == 403
    assert page.body["error"]["message"] == (
        "a page from a file or in a sandbox (origin 'null') is not let in; list its origin in server.origins"
    )


async def test_a_refusal_names_what_was_asked_and_the_key_to_set(caplog: pytest.LogCaptureFixture) -> None:
    """To the client and in the log; after the key was set it is let in, also on a server that runs."""
    async with served(config()) as server:
        host = await tell(server, addressed("mollm.example.org:8000", "/v1/models?key=x"))
        page = await server.post("/v1/chat/completions", BODY, origin=PAGE)
        said = [record.getMessage() for record in caplog.records]
        server.deployment.origins = origins(hosts=["mollm.example.org"], origins=[PAGE])
        after = await tell(server, addressed("mollm.example.org:8000", "/v1/models"))
        page_after = await server.post("/v1/chat/completions", BODY, origin=PAGE)

    assert (host.status, page.status, after.status, page_after.status) == (403, 403, 200, 200)
    assert host.body["error"]["message"] == (
        "the server was asked under the name mollm.example.org, which a page could have made to lead here; "
        "list it in server.hosts, or set server.api_keys"
    )
    assert page.body["error"]["message"] == f"a page of {PAGE} is not let in; list its origin in server.origins"
    assert said == [
        f"GET /v1/models: 403, {host.body['error']['message']}",
        f"POST /v1/chat/completions: 403, {page.body['error']['message']}",
    ]


async def test_several_names_have_to_be_ours_each() -> None:
    """Whichever a proxy would have taken; none at all is what old programs send."""
    async with served(config()) as server:
        request = addressed("localhost", "/v1/models")
        for first, second in (("evil.example", "localhost"), ("localhost", "evil.example")):
            both = request.replace(b"host: localhost\r\n", f"host: {first}\r\nhost: {second}\r\n".encode())
            assert (await tell(server, both)).status == 403
        none = request.replace(b"host: localhost\r\n", b"").replace(b"HTTP/1.1", b"HTTP/1.0")
        assert (await tell(server, none)).status == 200


# Origins of pages

LISTED: dict[str, list[str | None]] = {
    PAGE: [PAGE, "HTTPS://App.Example.org", "https://app.example.org:443/"],
    "http://app.example.org:8080": ["http://app.example.org:8080", "http://app.example.org:*", "http://*:8080"],
    "chrome-extension://abcdefghijklmnop": ["chrome-extension://abcdefghijklmnop", "chrome-extension://*"],
    "moz-extension://2c127fa4-62c7-7e4f-90e5-472b45eecfdc": ["moz-extension://*"],
    "https://a.b.example.org": ["https://*.example.org", "https://*"],
    "https://xn--bcher-kva.example": ["https://b\u00fccher.example"],
    "app://obsidian.md": ["app://obsidian.md"],
    "null": ["null", None],
}
NOT_LISTED = {
    "https://app.example.org": ["http://app.example.org", "https://app.example.org:8443", "https://example.org"],
    "https://app.example.org.evil.example": [PAGE, "https://*.example.org", "https://app.example.*.x"],
    "https://evil.example/app.example.org": ["https://*.example.org", "https://*"],
    "https://example.org": ["https://*.example.org"],
    "https://evilexample.org": ["https://*.example.org"],
    "http://app.example.org:80x": ["http://app.example.org:*"],
    "moz-extension://x": ["chrome-extension://*"],
    "null": ["https://null"],
}


@pytest.mark.parametrize("origin", LISTED)
def test_an_origin_is_listed_as_people_write_it(origin: str) -> None:
    """With or without what a browser leaves out; a star stands for one part."""
    for written in LISTED[origin]:
        assert origins(origins=[written]).has_origin(origin)


@pytest.mark.parametrize("origin", NOT_LISTED)
def test_what_only_looks_like_a_listed_origin_is_not(origin: str) -> None:
    """Another scheme, port or site."""
    for written in NOT_LISTED[origin]:
        assert not origins(origins=[written]).has_origin(origin)


@given(st.text())
def test_what_is_no_origin_is_not_listed_by_a_pattern(origin: str) -> None:
    """Whatever a client sends, and nothing is raised."""
    known = origins(origins=["https://*", "chrome-extension://*"])

    begins = origin.lower().startswith(("https://", "chrome-extension://"))
    assert not known.has_origin(origin) or begins or "localhost" in origin.lower() or "127." in origin
    assert known.has_host(origin) in (True, False)


def test_what_is_no_name_and_no_origin_is_refused_with_its_place() -> None:
    """A page by its path, an origin without a scheme, a name with one."""
    wrong = ["https://app.example.org/x", "app.example.org", "https://u:p@x.org", "", "https://", "https://*.*.org"]
    assert [problem.partition(": ")[0] for problem in problems(origins=wrong)] == [
        f"server.origins[{number}]" for number in range(len(wrong))
    ]
    wrong = ["http://x.org", "x.org:80", "x.org/y", "", "*x.org", "x.*.org", "a b"]
    assert [problem.partition(": ")[0] for problem in problems(hosts=wrong)] == [
        f"server.hosts[{number}]" for number in range(len(wrong))
    ]


# What a browser is told


async def preflight(server: Client, origin: str, **headers: str) -> Reply:
    """Ask as a browser does before it sends JSON."""
    asked = {"access_control_request_method": "POST", "origin": origin, **headers}
    named = {name.replace("_", "-"): value for name, value in asked.items()}
    async with server.session.options(f"{server.base}/v1/chat/completions", headers=named) as response:
        return Reply(response.status, response.headers, await response.read())


WANTED = "authorization,content-type,x-stainless-lang"


@pytest.mark.parametrize("keys", [[], [FIRST]], ids=["open", "locked"])
async def test_a_listed_page_asks_and_reads_the_answer(keys: list[str]) -> None:
    """Its browser asks first, without a key, and is told what may be sent; then every response can be read."""
    async with served(config(origins=[PAGE], api_keys=keys, max_body=2000)) as server:
        asked = await preflight(
            server, PAGE, access_control_request_headers=WANTED, access_control_request_private_network="true"
        )
        key = {"authorization": f"Bearer {FIRST}"} if keys else {}
        replies = [
            await server.post("/v1/chat/completions", BODY, origin=PAGE, **key),
            await server.post("/v1/chat/completions", BODY[:-1] + b', "stream": true}', origin=PAGE, **key),
            await server.post("/v1/chat/completions", b"{", origin=PAGE, **key),
            await server.post("/v1/chat/completions", b" " * 2001, origin=PAGE, **key),
            await server.get("/nope", origin=PAGE, **key),
            await server.get("/predict", origin=PAGE, **key),
            *([await server.get("/v1/models", origin=PAGE)] if keys else []),
        ]

    assert (asked.status, asked.raw) == (204, b"")
    assert asked.headers["access-control-allow-headers"] == WANTED
    assert "POST" in asked.headers["access-control-allow-methods"]
    assert asked.headers["access-control-allow-private-network"] == "true"
    assert "access-control-request-headers" in asked.headers["vary"]
    assert [reply.status for reply in replies] == [200, 200, 400, 413, 404, 405, *([401] if keys else [])]
    for reply in (asked, *replies):
        assert reply.headers["access-control-allow-origin"] == PAGE
        assert reply.headers["access-control-allow-credentials"] == "true"
        assert "origin" in reply.headers["vary"]
    for reply in replies[:2]:
        assert "x-mollm-mixture" in reply.headers["access-control-expose-headers"]


class Held:
    """An LLM that never answers."""

    async def complete(self, _: Any) -> Any:
        await asyncio.Event().wait()

    stream = complete

    async def aclose(self) -> None:
        """Close nothing."""


def broken(_: str) -> str:
    """A router with a mistake."""
    raise RuntimeError("a mistake")


async def test_a_full_and_a_failing_server_can_be_read_as_well() -> None:
    """503 with the time to wait, and 500: a page that cannot read them cannot tell what is wrong."""
    settings = config(origins=[PAGE], max_in_flight=1, queue=0)
    async with served(settings, llms={"hidden-llm": Held()}) as server:
        first = asyncio.create_task(server.post("/v1/chat/completions", BODY))
        await until(lambda: server.deployment.admission.in_flight)
        full = await server.post("/v1/chat/completions", BODY, origin=PAGE)
        first.cancel()
        await asyncio.wait([first])
    async with served(settings, router=broken) as server:
        failing = await server.post("/v1/chat/completions", BODY.replace(b'"m"', b'"auto"'), origin=PAGE)

    assert (full.status, failing.status) == (503, 500)
    assert full.headers["access-control-expose-headers"].split(", ") == ["retry-after", "x-request-id"]
    assert full.headers["access-control-allow-origin"] == failing.headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize("keys", [[], [FIRST]], ids=["open", "locked"])
async def test_a_page_that_is_not_listed_is_told_so(keys: list[str]) -> None:
    """Its browser gets no leave, and whoever looks at the network sees why; nothing can be read."""
    async with served(config(origins=["https://other.example"], api_keys=keys)) as server:
        asked = await preflight(server, PAGE)
        key = {"authorization": f"Bearer {FIRST}"} if keys else {}
        reply = await server.post("/v1/chat/completions", BODY, origin=PAGE, **key)
        plain = await server.post("/v1/chat/completions", BODY, **key)

    assert (asked.status, asked.body["error"]["code"]) == (403, "foreign_origin")
    assert reply.status == (200 if keys else 403)
    for found in (asked, reply, plain):
        assert not [name for name in found.headers if name.lower().startswith("access-control-")]
        assert "origin" in found.headers["vary"]


async def test_any_page_may_ask_where_any_is_listed_but_none_sends_what_a_browser_keeps() -> None:
    """With a star the response is the same for all, so it does not vary, and no credentials go with it."""
    async with served(config(origins="*")) as server:
        replies = [
            reply
            for origin in (PAGE, "null", "chrome-extension://x", "http://localhost:3000")
            for reply in (
                await preflight(server, origin),
                await server.post("/v1/chat/completions", BODY, origin=origin),
            )
        ]

    assert [reply.status for reply in replies] == [204, 200] * 4
    for reply in replies:
        assert reply.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in reply.headers


@pytest.mark.parametrize(
    ("listed", "origin"),
    [
        (["null"], "null"),
        (["https://*.example.org"], "https://x.example.org"),
        (["chrome-extension://*"], "chrome-extension://x"),
        ([], "http://localhost:3000"),
        ([], "http://app.localhost:3000"),
        ([], "tauri://localhost"),
    ],
    ids=str,
)
async def test_a_page_that_is_not_listed_letter_by_letter_may_ask_and_no_more(listed: list[str], origin: str) -> None:
    """It reads answers; what a browser keeps for a page is sent by those alone that are listed as they are."""
    async with served(config(origins=listed)) as server:
        for reply in (await preflight(server, origin), await server.post("/predict", {"query": "x"}, origin=origin)):
            assert reply.status in (200, 204)
            assert reply.headers["access-control-allow-origin"] == origin
            assert "access-control-allow-credentials" not in reply.headers


@pytest.mark.parametrize("wanted", ["", "x y", "a,,b", "a\tb: c", "\u00e4", "x" * 9 + "\x7f"])
async def test_what_a_browser_wants_to_send_is_repeated_only_if_it_is_names(wanted: str) -> None:
    """Anything else gets the usual two."""
    async with served(config()) as server:
        request = head(
            "OPTIONS", origin="http://localhost", access_control_request_method="POST", content_length=0
        ).replace(b"\r\n\r\n", b"\r\naccess-control-request-headers: " + wanted.encode("latin-1") + b"\r\n\r\n")
        client = await asyncio.open_connection("127.0.0.1", int(server.base.rpartition(":")[2]))
        client[1].write(request)
        top = (await client[0].readuntil(b"\r\n\r\n")).decode("latin-1")
        client[1].close()

    if top.startswith("HTTP/1.1 204"):
        assert "access-control-allow-headers: authorization, content-type\r\n" in top
    else:
        assert top.startswith("HTTP/1.1 400")  # httptools finds it no header at all


async def test_options_without_a_page_is_no_question_of_a_browser() -> None:
    """It asks which methods there are; a server with keys tells nobody without one."""
    async with served(config(api_keys=[FIRST])) as server:
        async with server.session.options(f"{server.base}/v1/models") as response:
            assert response.status == 401
        headers = {"authorization": f"Bearer {FIRST}"}
        async with server.session.options(f"{server.base}/v1/models", headers=headers) as response:
            assert (response.status, response.headers["allow"]) == (204, "GET")
        assert json.loads((await server.get("/health")).raw) == {"status": "ok"}
