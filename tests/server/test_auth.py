"""Who is let in, with how much, and how long it may take."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import pytest_asyncio

from mollm import load_config
from mollm.errors import ConfigError
from mollm.server.app import create_app
from mollm.server.auth import OPEN
from mollm.server.body import BODY_SECONDS, MOST_HELD, SMALL
from mollm.server.deployment import Deployment
from mollm.server.keys import LEAST_LENGTH, Keys
from mollm.server.origins import is_loopback
from tests.clock import run_virtual
from tests.server.served import HI, Reply, config_of, served, until
from tests.upstream import Upstream, answer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.server.served import Client

on_one_loop = pytest.mark.asyncio(loop_scope="module")

FIRST, SECOND = "first-key-of-the-server", "second-key-of-the-server"
VARIABLE = "MOLLM_TEST_SERVER_KEY"
BODY = json.dumps({"model": "m", "messages": HI}).encode()
MAX_BODY = 2000
ALONE: dict[str, Any] = {"server": {"max_in_flight": 1, "queue": 0}}


def config(**server: Any) -> dict[str, Any]:
    """A server with one mixture, whose LLM always answers."""
    return {
        "llms": {"hidden-llm": {"model": "scripted/Four."}},
        "mixtures": {"m": {"description": "x", "workers": ["hidden-llm"]}},
        "server": server,
    }


def head(method: str = "POST", path: str = "/v1/chat/completions", **headers: object) -> bytes:
    """The beginning of a request; underscores in header names become dashes."""
    lines = [f"{method} {path} HTTP/1.1", "host: x", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


class Line:
    """A connection on which a client sends what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak through `writer`, hear through `reader`."""
        self._reader, self._writer = reader, writer

    def send(self, data: bytes) -> None:
        """Send a piece."""
        self._writer.write(data)

    async def reply(self) -> Reply:
        """Read one response."""
        async with asyncio.timeout(20):
            top = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in top[1:] if line)}
            return Reply(
                int(top[0].split()[1]), headers, await self._reader.readexactly(int(headers["content-length"]))
            )

    async def close(self) -> None:
        """Go away."""
        self._writer.close()
        await self._writer.wait_closed()


async def line(server: Client) -> Line:
    """Call the server."""
    host, _, port = server.base.removeprefix("http://").partition(":")
    return Line(*await asyncio.open_connection(host, int(port)))


async def tell(server: Client, *pieces: bytes) -> Reply:
    """Send some pieces and read what comes back, whether the request was at its end or not."""
    client = await line(server)
    try:
        for piece in pieces:
            client.send(piece)
        return await client.reply()
    finally:
        await client.close()


class Servers(NamedTuple):
    """One that asks for a key, and one that does not."""

    locked: Client
    open: Client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers() -> AsyncGenerator[Servers, None]:
    """Both take small bodies only."""
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv(VARIABLE, f"{SECOND}\n")
        keys = [FIRST, f"${{{VARIABLE}}}"]
        async with served(config(api_keys=keys)) as locked, served(config(max_body=MAX_BODY)) as open_:
            yield Servers(locked, open_)


# Keys


CLOSED = [
    ("POST", "/v1/chat/completions"),
    ("POST", "/predict"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/m"),
    ("GET", "/metrics"),
    ("GET", "/nope"),
    ("DELETE", "/v1/models"),
    ("GET", "/"),
    ("GET", "/health/"),
    ("GET", "//health"),
    ("GET", "/health/../v1/models"),
    ("GET", "/health%2F..%2Fv1%2Fmodels"),
    ("GET", "/v1/models?path=/health"),
    ("GET", "/docs/oauth2-redirect"),
]


SPELLINGS = (
    *("//metrics", "/METRICS", "/health/../metrics", "/health/..%2fmetrics", "/health/metrics", "/health;/metrics"),
    *("/%6detrics", "/docs/../v1/models", "http://x/metrics", "*", "/openapi.json/../metrics", "/metrics?/health"),
)


@on_one_loop
@pytest.mark.parametrize("path", SPELLINGS)
async def test_no_spelling_of_a_path_needs_no_key(servers: Servers, path: str) -> None:
    """Whatever a path is compared with, and whatever a client says of its own about the path."""
    foreign = {"x_original_url": "/health", "x_rewrite_url": "/health", "x_forwarded_prefix": "/metrics"}
    reply = await tell(servers.locked, head("GET", path, content_length=0, **foreign))

    assert reply.status == 401


@on_one_loop
@pytest.mark.parametrize(("method", "path"), CLOSED, ids=[" ".join(case) for case in CLOSED])
async def test_nothing_is_told_without_a_key(servers: Servers, method: str, path: str) -> None:
    """Not even which paths there are; the response is OpenAI's, and names the scheme."""
    reply = await tell(servers.locked, head(method, path, content_length=0))

    assert reply.status == 401
    assert reply.headers["www-authenticate"] == "Bearer"
    assert reply.body == {
        "error": {
            "message": "a key of this server is needed: Authorization: Bearer ...",
            "type": "invalid_request_error",
            "param": None,
            "code": "invalid_api_key",
        }
    }


@on_one_loop
async def test_some_paths_need_no_key(servers: Servers) -> None:
    """Those that an orchestrator or a reader of the docs asks for; they tell nothing of the configuration."""
    assert {"/health", "/ready", "/docs", "/openapi.json"} == OPEN
    for path in OPEN:
        reply = await servers.locked.get(path)

        assert reply.status == 200
        assert b"hidden-llm" not in reply.raw


@on_one_loop
@pytest.mark.parametrize(
    "header",
    [f"Bearer {FIRST}", f"Bearer {SECOND}", f"bearer {FIRST}", f"BEARER {FIRST}", f"Bearer   {FIRST}  "],
    ids=["first", "second, from the environment", "small", "capitals", "spaces"],
)
async def test_each_of_the_keys_lets_in(servers: Servers, header: str) -> None:
    """However the scheme is spelled; whatever page it comes from."""
    reply = await servers.locked.post("/v1/chat/completions", BODY, authorization=header, origin="https://x.example")

    assert reply.status == 200
    assert reply.body["choices"][0]["message"]["content"] == "Four."


WRONG = {
    "wrong": {"authorization": "Bearer wrong-key-of-the-server"},
    "empty": {"authorization": "Bearer "},
    "no key": {"authorization": "Bearer"},
    "beginning": {"authorization": f"Bearer {FIRST[:-1]}"},
    "longer": {"authorization": f"Bearer {FIRST}x"},
    "both": {"authorization": f"Bearer {FIRST} {SECOND}"},
    "capitals": {"authorization": f"Bearer {FIRST.upper()}"},
    "variable": {"authorization": f"Bearer ${{{VARIABLE}}}"},
    "no scheme": {"authorization": FIRST},
    "other scheme": {"authorization": f"Basic {FIRST}"},
    "other header": {"x_api_key": FIRST},
    "another header": {"api_key": FIRST},
    "cookie": {"cookie": f"authorization=Bearer {FIRST}"},
    "not ASCII": {"authorization": "Bearer f\u00fcrst"},
}


@on_one_loop
@pytest.mark.parametrize("case", WRONG)
async def test_anything_else_is_no_key(servers: Servers, case: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is to be the whole key, in its header, under its scheme; the log says where it came, but not what it was."""
    headers = "".join(f"{k.replace('_', '-')}: {v}\r\n" for k, v in WRONG[case].items())
    request = head(content_length=len(BODY)).replace(b"host: x\r\n", b"host: x\r\n" + headers.encode("latin-1"))

    reply = await tell(servers.locked, request, BODY)

    assert (reply.status, reply.body["error"]["code"]) == (401, "invalid_api_key")
    has_key = case in ("wrong", "beginning", "longer", "both", "capitals", "variable", "not ASCII")
    text = "the key is none of this server's" if has_key else "a key of this server is needed"
    assert reply.body["error"]["message"] == f"{text}: Authorization: Bearer ..."
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == f"POST /v1/chat/completions: 401, {text}: Authorization: Bearer ..."


@on_one_loop
async def test_a_key_in_the_address_is_no_key(servers: Servers) -> None:
    """Addresses are logged on their way."""
    reply = await servers.locked.get(f"/v1/models?api_key={FIRST}&key={FIRST}")

    assert reply.status == 401


@on_one_loop
@pytest.mark.parametrize("expect", [{}, {"expect": "100-continue"}], ids=["at once", "after 100"])
async def test_who_has_no_key_sends_no_body(servers: Servers, expect: dict[str, str]) -> None:
    """The refusal comes on the headers alone; nothing of the terabyte they announce is waited for."""
    reply = await tell(servers.locked, head(content_length=10**12, **expect))

    assert reply.status == 401


@on_one_loop
async def test_no_key_is_in_the_log(servers: Servers, caplog: pytest.LogCaptureFixture) -> None:
    """Neither those of the server nor what was tried in their place, whatever happens to the request."""
    caplog.set_level(logging.DEBUG)
    tried = "tried-key-of-somebody"

    for key in (FIRST, SECOND, tried):
        for path, body in (("/v1/chat/completions", BODY), ("/v1/chat/completions", b"{"), ("/nope", b"")):
            await servers.locked.post(path, body, authorization=f"Bearer {key}")

    assert not any(key in f"{caplog.text}{caplog.records}" for key in (FIRST, SECOND, tried))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *((host, True) for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost")),
        *((host, False) for host in ("0.0.0.0", "::", "192.168.0.7", "::ffff:192.168.0.7", "10.0.0.1")),  # noqa: S104 - not bound
        *((host, False) for host in ("example.com", "localhost.example.com", "127.0.0.1.example.com", "", "127.1")),
    ],
    ids=str,
)
def test_loopback_is_what_nobody_outside_can_reach(host: str, expected: bool) -> None:
    """A name other than localhost may lead anywhere."""
    assert is_loopback(host) == expected


def keys(*values: str, listens: str = "127.0.0.1", host: str | None = None) -> Keys:
    """The keys of a configuration that says where it listens; `host` is what the command says."""
    return Keys(load_config(config(api_keys=list(values), host=listens)), host)


def problems(*values: str, **where: Any) -> list[str]:
    """What is wrong with them."""
    with pytest.raises(ConfigError) as caught:
        keys(*values, **where)
    return caught.value.problems


def test_on_loopback_no_key_is_needed_and_any_will_do() -> None:
    """One that is short keeps other programs out at least; without one nobody is known."""
    assert not keys()
    assert not keys().caller("")
    assert keys("k")
    assert keys("k").caller("k")
    assert not keys("k").caller("")


@pytest.mark.parametrize(
    "where",
    [{"listens": "0.0.0.0"}, {"host": "0.0.0.0"}, {"listens": "192.168.0.7", "host": "0.0.0.0"}],  # noqa: S104 - not bound
    ids=["in the file", "by the command", "both"],
)
def test_beyond_loopback_keys_are_needed_and_long(where: dict[str, str]) -> None:
    """Sixteen characters, each of them, blanks around it not counted; what the command says wins."""
    long, short = "x" * LEAST_LENGTH, "y" * (LEAST_LENGTH - 1)

    assert LEAST_LENGTH == 16
    assert keys(long, **where).caller(long)
    assert problems(**where) == [
        "server.api_keys: 0.0.0.0 is not loopback, so a key of 16 characters or more is needed"
    ]
    for values in ((short, long, f"  {short}\n"), (f"{short} ", long, short)):
        assert problems(*values, **where) == [
            f"server.api_keys[{number}]: a key of less than 16 characters, and 0.0.0.0 is not loopback"
            for number in (0, 2)
        ]


def test_a_file_for_the_world_may_be_served_on_loopback() -> None:
    """What the command says wins in this direction too."""
    assert not keys(listens="0.0.0.0", host="127.0.0.1")  # noqa: S104 - not bound


def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also as a part of one; what is not set, and what is empty, is named, all at once."""
    monkeypatch.setenv(VARIABLE, "from-the-environment")
    monkeypatch.setenv("MOLLM_TEST_EMPTY", " ")
    monkeypatch.delenv("MOLLM_TEST_MISSING", raising=False)

    found = keys(f"${{{VARIABLE}}}", f"a-{{x}}-${{{VARIABLE}}}")
    assert found.caller("from-the-environment")
    assert found.caller("a-{x}-from-the-environment")
    assert not found.caller(f"${{{VARIABLE}}}")
    assert problems("${MOLLM_TEST_MISSING}", "fine", "", "${MOLLM_TEST_EMPTY}") == [
        "server.api_keys[0]: the environment variable MOLLM_TEST_MISSING is not set",
        "server.api_keys[2]: the key is empty",
        "server.api_keys[3]: the key is empty",
    ]


def test_a_key_that_no_client_can_send_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the words in which an LLM's is, which do not repeat it."""
    monkeypatch.setenv(VARIABLE, "line\nbreak")

    assert problems("Bearer abc", "'abc'", "f\u00fcrst", f"${{{VARIABLE}}}") == [
        "server.api_keys[0]: the key begins with `Bearer`, which is put in front of it anyway; leave that out",
        "server.api_keys[1]: the key stands in quotes that are part of it; leave them out",
        "server.api_keys[2]: the key holds a control character, or one that no key has; copy it again",
        f"server.api_keys[3]: the value of {VARIABLE} holds a control character, or one that no key has; copy it again",
    ]


def test_no_key_is_in_what_keeps_a_server_from_being_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever builds it, and neither in what is shown of keys."""
    monkeypatch.setenv(VARIABLE, "secret-short")
    bad = config(api_keys=["secret-also", f"${{{VARIABLE}}}"], host="0.0.0.0")  # noqa: S104 - not bound

    for build in (
        create_app,
        Deployment,
        lambda found: Deployment(config(api_keys=["secret-also"]), host=found["server"]["host"]),
    ):
        with pytest.raises(ConfigError) as caught:
            build(bad)
        assert "secret" not in f"{caught.value}{caught.value!r}"
    known = keys("secret-also")
    assert "secret" not in f"{known!r}{vars(known)}{load_config(config(api_keys=['secret-also']))!r}"


# Pages of other origins


@on_one_loop
@pytest.mark.parametrize(
    "origin",
    ["http://localhost:3000", "http://127.0.0.1", "https://127.0.0.2:8443", "http://[::1]:8000", "HTTP://LOCALHOST"],
)
async def test_without_keys_pages_of_this_machine_are_let_in(servers: Servers, origin: str) -> None:
    """As programs are, which name no origin."""
    reply = await servers.open.post("/v1/chat/completions", BODY, origin=origin)

    assert reply.status == 200


@on_one_loop
@pytest.mark.parametrize(
    "origin",
    [
        "https://example.com",
        "http://example.com:8000",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://localhost@example.com",
        "http://192.168.0.7",
        "null",
        "file://",
        "localhost",
        "http://[",
        "http://[localhost]",
        "http://[::1",
        "chrome-extension://abcdef",
        "\xff",
    ],
)
async def test_without_keys_pages_of_other_origins_are_not(servers: Servers, origin: str) -> None:
    """Any page in a browser on this machine could spend money here; what cannot be read is foreign too."""
    request = head(content_length=10**12).replace(b"\r\n\r\n", b"\r\norigin: " + origin.encode("latin-1") + b"\r\n\r\n")

    reply = await tell(servers.open, request)

    assert (reply.status, reply.body["error"]["code"]) == (403, "foreign_origin")


NAMES = ["evil.example", "evil.example:8000", "EVIL.example.", "127.0.0.1.evil.example", "localhost.evil.example:80"]


@on_one_loop
@pytest.mark.parametrize("path", ["/v1/models", "/metrics"])
@pytest.mark.parametrize("host", NAMES)
async def test_without_keys_a_page_whose_name_was_made_to_lead_here_is_not_let_in(
    servers: Servers, path: str, host: str
) -> None:
    """To the browser it is of the same origin, so it names none; the name of the server gives it away."""
    reply = await tell(servers.open, addressed(host, path))

    assert (reply.status, reply.body["error"]["code"]) == (403, "foreign_origin")


@on_one_loop
@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:8000", "LOCALHOST:1", "app.localhost", "testserver", "mollm:8000"),
        *("127.0.0.1", "127.0.0.1:8000", "[::1]:8000", "[::1]", "192.168.0.7:8000"),
    ],
)
async def test_without_keys_any_other_name_of_the_server_will_do(servers: Servers, host: str) -> None:
    """Addresses, this machine's own name, and names that no public name server can lead here."""
    for path in ("/v1/models", "/metrics"):
        assert (await tell(servers.open, addressed(host, path))).status == 200


@on_one_loop
@pytest.mark.parametrize("host", NAMES)
async def test_with_keys_the_name_of_the_server_does_not_matter(servers: Servers, host: str) -> None:
    """A page does not have the key."""
    request = addressed(host, "/v1/models")

    assert (await tell(servers.locked, request)).status == 401
    with_key = request.replace(b"\r\n\r\n", f"\r\nauthorization: Bearer {FIRST}\r\n\r\n".encode())
    assert (await tell(servers.locked, with_key)).status == 200


def addressed(host: str, path: str) -> bytes:
    """A request to a server of that name."""
    return head("GET", path).replace(b"host: x\r\n", f"host: {host}\r\n".encode())


# Bodies


@on_one_loop
async def test_a_body_may_be_as_large_as_it_says(servers: Servers) -> None:
    """To the byte, in one piece or in chunks."""
    body = BODY.ljust(MAX_BODY)

    whole = await tell(servers.open, head(content_length=MAX_BODY), body)
    chunked = await tell(servers.open, head(transfer_encoding="chunked"), *chunks(body, 700), b"0\r\n\r\n")

    assert (whole.status, chunked.status) == (200, 200)


def chunks(data: bytes, size: int) -> list[bytes]:
    """The data as chunks of HTTP."""
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    return [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]


@on_one_loop
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/predict"])
@pytest.mark.parametrize("length", [MAX_BODY + 1, 10**15], ids=["by one byte", "by far"])
async def test_a_body_that_says_to_be_too_large_is_refused_unread(servers: Servers, path: str, length: int) -> None:
    """Nothing of it is sent, and the refusal is there."""
    reply = await tell(servers.open, head(path=path, content_length=length))

    assert reply.status == 413
    assert reply.body["error"]["message"] == f"a body of more than {MAX_BODY} bytes"
    assert reply.body["error"]["type"] == "invalid_request_error"


@on_one_loop
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/predict"])
async def test_a_body_that_grows_too_large_is_refused_while_it_comes(servers: Servers, path: str) -> None:
    """One that does not say how long it is: the end is not waited for."""
    reply = await tell(servers.open, head(path=path, transfer_encoding="chunked"), *chunks(b" " * (MAX_BODY + 1), 500))

    assert reply.status == 413
    assert reply.body["error"]["message"] == f"a body of more than {MAX_BODY} bytes"


@on_one_loop
async def test_a_client_that_goes_away_with_its_body_is_forgotten(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is asked, nothing is logged as a failure, and the next one is answered."""
    asked = [await servers.open.metric("requests_total", mixture=mixture) for mixture in ("m", "")]
    before = asyncio.all_tasks()
    client = await line(servers.open)
    client.send(head(transfer_encoding="chunked") + chunks(BODY, len(BODY))[0])  # whole, but for the word that it is
    await until(lambda: asyncio.all_tasks() - before)
    reading = asyncio.all_tasks() - before
    await client.close()
    await until(lambda: all(task.done() for task in reading))

    assert [task.exception() for task in reading] == [None]
    assert [await servers.open.metric("requests_total", mixture=mixture) for mixture in ("m", "")] == asked
    assert (await servers.open.post("/v1/chat/completions", BODY)).status == 200
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("pieces", "pause"),
    [([], 0.0), ([BODY[:-1]], 0.0), ([BODY[at : at + 1] for at in range(len(BODY))], 4.0)],
    ids=["nothing", "all but the last byte", "drop by drop"],
)
def test_a_body_that_does_not_come_in_time_is_not_waited_for(pieces: list[bytes], pause: float) -> None:
    """408 after half a minute for the whole of it: a client that sends a little now and then gets no more time."""
    left = list(pieces)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.Event().wait()
        await asyncio.sleep(pause)
        return {"type": "http.request", "body": left.pop(0), "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> float:
        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": [], "query_string": b""}
        await create_app(config())(scope, receive, send)
        return asyncio.get_running_loop().time()

    seconds = run_virtual(run())

    assert seconds == pytest.approx(BODY_SECONDS) == 30
    assert sent[0]["status"] == 408
    error = json.loads(sent[1]["body"])["error"]
    assert error["message"] == "the body did not come within 30 seconds"
    assert error["type"] == "invalid_request_error"


async def test_a_body_that_comes_slowly_holds_no_place() -> None:
    """A server with a single place answers others while clients still send what they ask."""
    async with Upstream(answer("Four.")) as upstream, served(config_of(upstream, **ALONE)) as server:
        slow = [await line(server) for _ in range(3)]
        for client in slow:
            client.send(head(content_length=len(BODY)) + BODY[:-1])
        reply = await server.chat(model="one")
        for client in slow:
            await client.close()

    assert reply.status == 200


# What all bodies take together


async def test_bodies_take_so_much_together_and_no_more() -> None:
    """Whoever finds no room is told when to come back, and small ones are always read; what ends makes room."""
    body = BODY.ljust(SMALL + 1)
    async with served(config()) as server:
        bodies = server.deployment.bodies
        bodies.take(MOST_HELD - len(body))
        fits = await server.post("/v1/chat/completions", body)
        bodies.take(1)
        full = [await server.post(path, body) for path in ("/v1/chat/completions", "/predict")]
        small = await server.post("/v1/chat/completions", BODY.ljust(SMALL))
        bodies.give(1)
        again = await server.post("/v1/chat/completions", body)
        bodies.give(MOST_HELD - len(body))
        bodies.take(MOST_HELD)  # nothing is held that was given back

    assert [reply.status for reply in (fits, small, again)] == [200, 200, 200]
    assert [(reply.status, reply.headers["retry-after"]) for reply in full] == [(503, "5")] * 2
    assert full[0].body["error"]["code"] == "overloaded"
    assert full[0].body["error"]["message"] == (
        "the bodies of the HTTP requests in flight take 256 MiB, which is all there is room for"
    )


async def test_three_photographs_are_no_large_body() -> None:
    """As clients send them: base64 in one text each, of 8 MiB; the LLM gets all of it."""
    photo = {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + "A" * (8 << 20)}}
    question = [{"role": "user", "content": [{"type": "text", "text": "Which one?"}, photo, photo, photo]}]
    async with Upstream(answer("Four.")) as upstream, served(config_of(upstream)) as server:
        reply = await server.chat(model="one", messages=question)

    assert (reply.status, reply.body["choices"][0]["message"]["content"]) == (200, "Four.")
    assert upstream.received[0].body["messages"] == question
