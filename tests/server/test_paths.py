"""What is not served: the client is told what it probably meant, and the operator sees it in the log."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from mollm.server.app import create_app
from mollm.server.paths import SERVED, meant_by
from mollm.server.wire import shown
from tests.server.served import served
from tests.server.test_auth import config, head, tell

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.server.served import Client

on_one_loop = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncGenerator[Client, None]:
    """One without keys."""
    async with served(config(max_body=2000)) as client:
        yield client


CHAT = "/v1/chat/completions"
THERE_ARE = "; there are: m; `auto` is the one that the router picks"
MEANT = {
    "/v1/v1/chat/completions": "did you mean /v1/chat/completions? (a base URL ends in /v1, once)",
    "/v1/v1/models": "did you mean /v1/models? (a base URL ends in /v1, once)",
    "/chat/completions": f"did you mean {CHAT}?",
    "/models": "did you mean /v1/models?",
    "//v1/chat/completions": f"did you mean {CHAT}?",
    "/V1/Chat/Completions": f"did you mean {CHAT}?",
    "/api/v1/chat/completions": f"did you mean {CHAT}?",
    "/openai/v1/chat/completions": f"did you mean {CHAT}?",
    "/v1/chat/completions/chat/completions": f"did you mean {CHAT}?",
    "/v1/predict": "did you mean /predict?",
    "/api/chat": "Ollama's API is not served; set the client to OpenAI",
    "/api/generate": "Ollama's API is not served",
    "/api/tags": "Ollama's API is not served",
    "/v1/responses": f"the Responses API is not served; have the client use {CHAT}",
    "/responses": "the Responses API is not served",
    "/v1/completions": f"completions of a bare prompt are not served; use {CHAT}",
    "/v1/embeddings": "embeddings are not served",
    "/v1/messages": "Anthropic's API is not served",
    "/v1/messages/count_tokens": "Anthropic's API is not served",
    "/v1beta/models/gemini-2.5-pro:generateContent": "Gemini's API is not served",
    "/openai/deployments/gpt-4o/chat/completions": "Azure's paths are not served",
    "/v1/images/generations": "not served",
    "/v1": "its base URL ends in /v1",
    "/": "its base URL ends in /v1",
    "/nope": "there are POST /v1/chat/completions, GET /v1/models",
}


@on_one_loop
@pytest.mark.parametrize("path", MEANT)
async def test_a_client_that_went_wrong_is_told_where_to_go(
    server: Client, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In OpenAI's error object, and in one line of the log; nothing of the query or the body is in either."""
    reply = await tell(server, head("POST", f"{path}?key=secret", content_length=6), b"secret")

    assert (reply.status, reply.headers["content-type"]) == (404, "application/json")
    error = reply.body["error"]
    assert {**error, "message": None} == {
        "message": None,
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
    assert error["message"].startswith(f"there is no POST {path}: ")
    assert MEANT[path] in error["message"]
    (line,) = [record.getMessage() for record in caplog.records if record.name == "mollm.server"]
    assert line == f"POST {path}: 404, {error['message'].removeprefix(f'there is no POST {path}: ')}"
    assert "secret" not in line


@on_one_loop
@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("PUT", "/predict", "POST"),
        ("POST", "/v1/models", "GET"),
        ("DELETE", "/v1/models/m", "GET"),
        ("POST", "/metrics", "GET"),
    ],
)
async def test_a_method_that_a_path_does_not_have_is_told_with_those_it_has(
    server: Client, method: str, path: str, allowed: str, caplog: pytest.LogCaptureFixture
) -> None:
    """405 with `Allow`, the error object, and a line in the log; OPTIONS asks for just that."""
    reply = await tell(server, head(method, path, content_length=0))

    assert (reply.status, reply.headers["allow"]) == (405, allowed)
    said = f"there is no {method} {path}: this path takes {allowed}"
    assert reply.body["error"] == {"message": said, "type": "invalid_request_error", "param": None, "code": None}
    assert [record.getMessage() for record in caplog.records] == [f"{method} {path}: 405, this path takes {allowed}"]
    async with server.session.options(server.base + path) as response:
        assert (response.status, response.headers["allow"]) == (204, allowed)


@on_one_loop
@pytest.mark.parametrize("has_stream", [False, True], ids=["unstreamed", "streamed"])
async def test_a_model_that_does_not_exist_leaves_one_line(
    server: Client, has_stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """With method, path, status and what there is."""
    reply = await server.chat(model="gpt\r\n-4o", stream=has_stream)
    missing = await server.get("/v1/models/gpt-4o")

    assert reply.status == missing.status == 404
    assert [record.getMessage() for record in caplog.records] == [
        "POST /v1/chat/completions: 404, no mixture and no LLM 'gpt\\r\\n-4o'" + THERE_ARE,
        "GET /v1/models/gpt-4o: 404, no mixture and no LLM 'gpt-4o'" + THERE_ARE,
    ]


@on_one_loop
async def test_a_body_that_is_too_large_leaves_a_line(server: Client, caplog: pytest.LogCaptureFixture) -> None:
    """With the bound, which somebody may want to raise."""
    await tell(server, head(content_length=10**9))

    assert [record.getMessage() for record in caplog.records] == [
        "POST /v1/chat/completions: 413, a body of more than 2000 bytes"
    ]


@given(st.text(max_size=4000))
def test_whatever_is_asked_for_is_told_in_one_short_line(path: str) -> None:
    """Of printable ASCII."""
    for said in (meant_by(path), shown(path)):
        assert said.isascii()
        assert said.isprintable()
        assert len(said) < 1000


@on_one_loop
async def test_the_paths_that_are_named_are_those_that_are_served() -> None:
    """And no others."""
    described: dict[str, Any] = create_app(config()).openapi()["paths"]
    found = {path: "/".join(methods).upper() for path, methods in described.items()}

    assert {**found, "/docs": "GET", "/openapi.json": "GET"} == SERVED
    for path, method in SERVED.items():
        assert re.fullmatch(r"GET|POST|DELETE", method), path


@on_one_loop
async def test_a_path_of_control_characters_is_cleaned(server: Client, caplog: pytest.LogCaptureFixture) -> None:
    """A log of lines stays one, and a terminal is told nothing."""
    caplog.set_level(logging.DEBUG)
    reply = await tell(server, head("GET", "/a%0d%0aINFO%1b[31m%e2%80%ae" + "x" * 500))

    (line,) = [record.getMessage() for record in caplog.records if record.name == "mollm.server"]
    assert line.startswith(f"GET /a??INFO?[31m?{'x' * 186}...: 404, there are ")
    assert reply.body["error"]["message"].startswith(f"there is no GET /a??INFO?[31m?{'x' * 186}...: there are ")
