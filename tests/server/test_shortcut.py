"""Questions are served in front of FastAPI's routing, and nothing of an ASGI application is lost by that."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from fastapi import FastAPI
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

from mollm.server import create_app
from tests.server.served import HI

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONFIG: dict[str, Any] = {
    "llms": {"a": {"model": "scripted/Four."}},
    "mixtures": {"one": {"description": "One.", "workers": ["a"]}},
}
CHAT = {"model": "one", "messages": HI}
PREDICT = {"query": "Hi"}


class Reply(NamedTuple):
    """What came back, and what the application noted of it."""

    status: int
    headers: dict[str, str]
    body: bytes
    scope: Scope


async def post(app: ASGIApp, path: str, body: Any, *, root_path: str = "") -> Reply:
    """Post a document to an application that no server runs."""
    sent: list[MutableMapping[str, Any]] = []
    left = [{"type": "http.request", "body": json.dumps(body).encode()}]

    async def receive() -> Message:
        return left.pop(0) if left else {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": "POST", "path": root_path + path, "root_path": root_path}
    scope.update(query_string=b"", headers=[])
    await app(scope, receive, send)
    named = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Reply(sent[0]["status"], named, b"".join(message.get("body", b"") for message in sent), scope)


def is_answered(path: str, body: bytes) -> bool:
    """The LLM's answer is in it, in the form of the endpoint."""
    found = json.loads(body)
    return bool((found["response"] if path == "/predict" else found["choices"][0]["message"]["content"]) == "Four.")


@pytest.mark.parametrize(("path", "body"), [("/v1/chat/completions", CHAT), ("/predict", PREDICT)])
async def test_fastapis_routing_is_not_on_the_way(path: str, body: Any) -> None:
    """It takes as long as everything else, so questions go past it; whatever else there is still takes it."""
    app = create_app(CONFIG)
    reply = await post(app, path, body)
    elsewhere = await post(app, "/v1/completions", body)

    assert (reply.status, elsewhere.status) == (200, 404)
    assert is_answered(path, reply.body)
    assert ("router" in reply.scope, "router" in elsewhere.scope) == (False, True)


@pytest.mark.parametrize(("path", "body"), [("/v1/chat/completions", CHAT), ("/predict", PREDICT)])
async def test_it_is_served_where_it_is_mounted(path: str, body: Any) -> None:
    """In an application of somebody else, under a path of theirs, and behind a proxy that says which."""
    app = create_app(CONFIG)
    outer = FastAPI()
    outer.mount("/experts", app)
    mounted = await post(outer, f"/experts{path}", body)
    proxied = await post(app, path, body, root_path="/behind")

    assert (mounted.status, proxied.status) == (200, 200)
    assert is_answered(path, mounted.body)
    assert is_answered(path, proxied.body)


async def test_middleware_of_the_application_sees_questions_too() -> None:
    """Whoever adds some to what `create_app` gives finds it in front of every endpoint."""

    class Signature:
        def __init__(self, app: ASGIApp) -> None:
            self._app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            async def sign(message: Message) -> None:
                if message["type"] == "http.response.start":
                    message["headers"] = [*message["headers"], (b"x-signed", b"yes")]
                await send(message)

            await self._app(scope, receive, sign)

    app = create_app(CONFIG)
    app.add_middleware(Signature)
    replies = [await post(app, "/v1/chat/completions", CHAT), await post(app, "/predict", {"query": ""})]

    assert [reply.status for reply in replies] == [200, 400]
    assert all(reply.headers["x-signed"] == "yes" for reply in replies)


async def test_a_limit_of_an_application_in_front_is_told_as_ours() -> None:
    """It ends the body while it is read; the client gets 413, not a failure of the server."""
    app = RequestBodyLimitMiddleware(create_app(CONFIG), max_body_size=10)
    reply = await post(app, "/v1/chat/completions", CHAT)

    assert reply.status == 413
    assert json.loads(reply.body)["error"]["message"] == "the body is too large"
