"""The HTTP endpoints."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST

from mollm.errors import MollmError, UnknownMixture
from mollm.loops import all_of
from mollm.server.admission import ClientGone
from mollm.server.chat.protocol import ChatRequest, Prediction, Predictions, read_body, read_chat, read_predict
from mollm.server.chat.replies import answer_headers, completion, models, to_json
from mollm.server.chat.streaming import StreamedAnswer
from mollm.server.failures import problem_of, report, response_for
from mollm.server.openapi import fails, takes

if TYPE_CHECKING:
    from mollm.server.deployment import Deployment
    from mollm.types import Answer

AT_ONCE = 8
"""Questions of one list that are worked on at the same time."""

paths = APIRouter()


@paths.post("/v1/chat/completions", openapi_extra=takes(ChatRequest), responses=fails(), response_class=Response)
async def chat_completions(request: Request) -> Response:
    """Continue a conversation, at once or as a stream of chunks."""
    deployment = _deployment(request)
    asked = read_chat(await _body(request))
    if asked.stream:
        return StreamedAnswer(deployment, asked)
    async with deployment.handle(request.receive) as handling:
        answer = await handling.ask(asked.conversation, **asked.options)
    return _json(completion(answer, asked), headers=answer_headers(answer))


@paths.post(
    "/predict",
    openapi_extra=takes(Prediction, Predictions, list[Prediction]),
    responses=fails(),
    response_class=Response,
)
async def predict(request: Request) -> Response:
    """Answer a question, or each of a list, by the mixture (the expert) that suits it."""
    deployment = _deployment(request)
    queries = read_predict(await _body(request))
    async with deployment.handle(request.receive) as handling:
        if isinstance(queries, str):
            return _json(_prediction(await handling.ask(queries)))
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(query: str) -> Answer | Exception:
            try:
                async with slots:
                    return await handling.ask(query)
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
    deployment = _deployment(request)
    return _json({"object": "list", "data": list(models(deployment.mollm, deployment.created).values())})


@paths.get("/v1/models/{name:path}", responses=fails(401, 403, 404))
async def one_model(request: Request, name: str) -> Response:
    """Say what one of them is."""
    deployment = _deployment(request)
    found = models(deployment.mollm, deployment.created).get(name)
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
    if _deployment(request).admission.is_draining:
        return _json({"status": "draining"}, status=503)
    return _json({"status": "ready"})


@paths.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}, **fails(401, 403)})
async def metrics(request: Request) -> Response:
    """What Prometheus reads."""
    return Response(_deployment(request).metrics.page(), media_type=CONTENT_TYPE_LATEST)


async def failed(_: Request, error: Exception) -> Response:
    """Tell a client what went wrong."""
    # A coroutine, since Starlette would run a plain function in a thread.
    if isinstance(error, ClientGone):
        return Response(status_code=499)
    report(error)
    return response_for(problem_of(error))


FAILURES = (MollmError, ClientGone)
"""What `failed` handles."""


async def _body(request: Request) -> bytes:
    length = request.headers.get("content-length", "")
    most = _deployment(request).settings.max_body
    return await read_body(request.receive, int(length) if length.isdecimal() else None, most)


def _deployment(request: Request) -> Deployment:
    return cast("Deployment", request.app.state.deployment)


def _json(data: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(to_json(data), status, headers, "application/json")
