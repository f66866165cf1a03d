"""The HTTP endpoints."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST

from mollm.errors import MollmError, RequestError, UnknownMixture
from mollm.server.admission import ClientGone
from mollm.server.failures import problem_of
from mollm.server.openapi import fails, takes
from mollm.server.protocol import ChatRequest, Prediction, Predictions, read_chat, read_predict
from mollm.server.replies import answer_headers, completion, models, to_json
from mollm.server.service import report
from mollm.server.streaming import StreamedAnswer
from mollm.tasks import all_of

if TYPE_CHECKING:
    from mollm.server.service import Service
    from mollm.types import Answer

BODY_SECONDS = 30.0
"""Until the body of a request must be there."""

AT_ONCE = 8
"""Questions of one list that are worked on at the same time."""

router = APIRouter()


class TooLarge(RequestError):
    """The body of a request is larger than the server takes."""


class TooSlow(RequestError):
    """The body of a request did not come in time."""


@router.post("/v1/chat/completions", openapi_extra=takes(ChatRequest), responses=fails(), response_class=Response)
async def chat_completions(request: Request) -> Response:
    """Continue a conversation, at once or as a stream of chunks."""
    service = _service(request)
    asked = read_chat(await _body(request, service.settings.max_body))
    if asked.stream:
        return StreamedAnswer(service, asked)
    async with service.visit(request.receive) as visit:
        answer = await visit.ask(asked.conversation, **asked.options)
    return _json(completion(answer, asked), headers=answer_headers(answer))


@router.post(
    "/predict",
    openapi_extra=takes(Prediction, Predictions, list[Prediction]),
    responses=fails(),
    response_class=Response,
)
async def predict(request: Request) -> Response:
    """Answer a question, or each of a list, by the mixture (the expert) that suits it."""
    service = _service(request)
    queries = read_predict(await _body(request, service.settings.max_body))
    async with service.visit(request.receive) as visit:
        if isinstance(queries, str):
            return _json(_prediction(await visit.ask(queries)))
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(query: str) -> Answer | Exception:
            try:
                async with slots:
                    return await visit.ask(query)
            except Exception as error:  # noqa: BLE001 - told in its place in the list
                report(error)
                return error

        found = await all_of([one(query) for query in queries])
    errors = [item for item in found if isinstance(item, Exception)]
    if len(errors) == len(found):
        raise errors[0]
    return _json([problem_of(item).body if isinstance(item, Exception) else _prediction(item) for item in found])


def _prediction(answer: Answer) -> dict[str, Any]:
    return {"expert": answer.mixture, "response": answer.text}


@router.get("/v1/models", responses=fails(401, 403))
async def list_models(request: Request) -> Response:
    """List what a request may name, each with what it is."""
    service = _service(request)
    return _json({"object": "list", "data": list(models(service.mollm, service.created).values())})


@router.get("/v1/models/{name:path}", responses=fails(401, 403, 404))
async def one_model(request: Request, name: str) -> Response:
    """Say what one of them is."""
    service = _service(request)
    found = models(service.mollm, service.created).get(name)
    if found is None:
        raise UnknownMixture(f"no mixture and no LLM {name!r}")
    return _json(found)


@router.head("/health", include_in_schema=False)
@router.get("/health")
async def health() -> Response:
    """Say that the process is alive."""
    return _json({"status": "ok"})


@router.head("/ready", include_in_schema=False)
@router.get("/ready", responses=fails(503))
async def ready(request: Request) -> Response:
    """Say whether requests are taken."""
    if _service(request).admission.is_draining:
        return _json({"status": "draining"}, status=503)
    return _json({"status": "ready"})


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}, **fails(401, 403)})
async def metrics(request: Request) -> Response:
    """What Prometheus reads."""
    return Response(_service(request).metrics.page(), media_type=CONTENT_TYPE_LATEST)


async def failed(_: Request, error: Exception) -> Response:
    """Tell a client what went wrong."""
    # A coroutine, since Starlette would run a plain function in a thread.
    if isinstance(error, ClientGone):
        return Response(status_code=499)
    report(error)
    problem = problem_of(error)
    if isinstance(error, TooLarge | TooSlow):
        problem = problem._replace(status=413 if isinstance(error, TooLarge) else 408)
    return _json(problem.body, status=problem.status, headers=problem.headers)


FAILURES = (MollmError, ClientGone)
"""What `failed` handles."""


async def _body(request: Request, most: int) -> bytes:
    length = request.headers.get("content-length", "")
    too_large = TooLarge(f"a body of more than {most} bytes")
    if length.isdecimal() and int(length) > most:
        raise too_large
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                part = message.get("body", b"")
                size += len(part)
                if size > most:
                    raise too_large
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise TooSlow(f"the body did not come within {BODY_SECONDS:.0f} seconds") from None


def _service(request: Request) -> Service:
    return cast("Service", request.app.state.service)


def _json(data: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(to_json(data), status, headers, "application/json")
