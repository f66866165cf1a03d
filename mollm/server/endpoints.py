"""The HTTP endpoints."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST

from mollm.errors import MollmError, UnknownMixture
from mollm.server.admission import ClientGone
from mollm.server.failures import problem_of, report, told
from mollm.server.openapi import fails, takes
from mollm.server.protocol import ChatRequest, Prediction, Predictions, read_body, read_chat, read_predict
from mollm.server.replies import answer_headers, completion, models, to_json
from mollm.server.streaming import StreamedAnswer
from mollm.tasks import all_of

if TYPE_CHECKING:
    from mollm.server.current import Current
    from mollm.types import Answer

AT_ONCE = 8
"""Questions of one list that are worked on at the same time."""

paths = APIRouter()


@paths.post("/v1/chat/completions", openapi_extra=takes(ChatRequest), responses=fails(), response_class=Response)
async def chat_completions(request: Request) -> Response:
    """Continue a conversation, at once or as a stream of chunks."""
    current = _current(request)
    asked = read_chat(await _body(request))
    if asked.stream:
        return StreamedAnswer(current, asked)
    async with current.visit(request.receive) as visit:
        answer = await visit.ask(asked.conversation, **asked.options)
    return _json(completion(answer, asked), headers=answer_headers(answer))


@paths.post(
    "/predict",
    openapi_extra=takes(Prediction, Predictions, list[Prediction]),
    responses=fails(),
    response_class=Response,
)
async def predict(request: Request) -> Response:
    """Answer a question, or each of a list, by the mixture (the expert) that suits it."""
    current = _current(request)
    queries = read_predict(await _body(request))
    async with current.visit(request.receive) as visit:
        if isinstance(queries, str):
            return _json(_prediction(await visit.ask(queries)))
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(query: str) -> Answer | Exception:
            try:
                async with slots:
                    return await visit.ask(query)
            except Exception as error:  # noqa: BLE001 - told in its place in the list
                return error

        found = await all_of([one(query) for query in queries])
    errors = [item for item in found if isinstance(item, Exception)]
    if len(errors) == len(found):
        raise errors[0]
    for error in errors:
        report(error)
    return _json([problem_of(item).body if isinstance(item, Exception) else _prediction(item) for item in found])


def _prediction(answer: Answer) -> dict[str, Any]:
    return {"expert": answer.mixture, "response": answer.text}


@paths.get("/v1/models", responses=fails(401, 403))
async def list_models(request: Request) -> Response:
    """List what a request may name, each with what it is."""
    current = _current(request)
    return _json({"object": "list", "data": list(models(current.mollm, current.created).values())})


@paths.get("/v1/models/{name:path}", responses=fails(401, 403, 404))
async def one_model(request: Request, name: str) -> Response:
    """Say what one of them is."""
    current = _current(request)
    found = models(current.mollm, current.created).get(name)
    if found is None:
        raise UnknownMixture(f"no mixture and no LLM {name!r}")
    return _json(found)


@paths.head("/health", include_in_schema=False)
@paths.get("/health")
async def health() -> Response:
    """Say that the process is alive."""
    return _json({"status": "ok"})


@paths.head("/ready", include_in_schema=False)
@paths.get("/ready", responses=fails(503))
async def ready(request: Request) -> Response:
    """Say whether requests are taken."""
    if _current(request).admission.is_draining:
        return _json({"status": "draining"}, status=503)
    return _json({"status": "ready"})


@paths.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}, **fails(401, 403)})
async def metrics(request: Request) -> Response:
    """What Prometheus reads."""
    return Response(_current(request).metrics.page(), media_type=CONTENT_TYPE_LATEST)


async def failed(_: Request, error: Exception) -> Response:
    """Tell a client what went wrong."""
    # A coroutine, since Starlette would run a plain function in a thread.
    if isinstance(error, ClientGone):
        return Response(status_code=499)
    report(error)
    return told(problem_of(error))


FAILURES = (MollmError, ClientGone)
"""What `failed` handles."""


async def _body(request: Request) -> bytes:
    length = request.headers.get("content-length", "")
    most = _current(request).settings.max_body
    return await read_body(request.receive, int(length) if length.isdecimal() else None, most)


def _current(request: Request) -> Current:
    return cast("Current", request.app.state.current)


def _json(data: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(to_json(data), status, headers, "application/json")
