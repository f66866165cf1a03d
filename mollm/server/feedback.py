"""`/feedback`: what clients say of answers that are kept; of those of their own key alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response  # noqa: TC002 - FastAPI evaluates the annotations
from pydantic import Field, ValidationError

from mollm.errors import UnknownAnswer
from mollm.feedback.base import MOST_NOTE, MOST_TEXT
from mollm.server.body import Body, bad_field, read_json
from mollm.server.deployment import deployment_of
from mollm.server.failures import EXPECTED, failed
from mollm.server.openapi import fails, takes
from mollm.server.wire import json_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mollm.api import MoLLM
    from mollm.server.handling import Handling

LONGEST_ID = 1000
"""Characters."""


class Feedback(Body):
    """What somebody says of an answer."""

    id: str = Field(min_length=1, max_length=LONGEST_ID)
    score: float = Field(ge=-1, le=1, allow_inf_nan=False)
    better: str | None = Field(None, max_length=MOST_TEXT)
    note: str | None = Field(None, max_length=MOST_NOTE)


paths = APIRouter()


@paths.post("/feedback", openapi_extra=takes(Feedback), responses=fails(400, 401, 403, 404, 408, 413, 429, 503))
async def rate(request: Request) -> Response:
    """Rate an answer that is kept; a rating that it has is replaced."""

    async def rated(handling: Handling, mollm: MoLLM) -> dict[str, Any]:
        given = read_feedback(await handling.read())
        await mollm.afeedback(given.id, given.score, given.better, given.note, key=handling.caller.name)
        return {"id": given.id, "score": given.score}

    return await _handled(request, "/feedback", "rated", rated)


@paths.delete("/feedback/{id:path}", responses=fails(401, 403, 404, 429, 503))
async def delete(request: Request, id: str) -> Response:  # noqa: A002 - an answer has an id
    """Delete an answer that is kept, with its question and its rating."""

    async def deleted(handling: Handling, mollm: MoLLM) -> dict[str, Any]:
        await mollm.adelete_feedback(id, key=handling.caller.name)
        return {"id": id, "deleted": True}

    return await _handled(request, "/feedback/{id}", "deleted", deleted)


def read_feedback(body: bytes) -> Feedback:
    """Read the body of `POST /feedback`. Raises `BadField`."""
    try:
        return Feedback.model_validate(read_json(body))
    except ValidationError as error:
        raise bad_field(error) from None


async def _handled(
    request: Request, path: str, outcome: str, work: Callable[[Handling, MoLLM], Awaitable[dict[str, Any]]]
) -> Response:
    """Do what an HTTP request wants, count it toward the minute of its key, and leave a line in the audit log.

    Args:
        request: The HTTP request.
        path: Of it, for that line: an id in it would be a word of the client's.
        outcome: For that line, where nothing fails.
        work: Returns what is responded.
    """
    deployment = deployment_of(request)
    handling = deployment.handle({**request.scope, "path": path}, request.receive)
    failure: BaseException | None = None
    try:
        handling.count()
        if deployment.mollm.catalog.feedback is None:
            raise UnknownAnswer("no answers are kept here: `feedback.kind` is none")
        response = json_response(await work(handling, deployment.mollm))
    except EXPECTED as error:
        failure, response = error, failed(request.scope, error)
    except BaseException as error:
        failure = error
        raise
    finally:
        handling.close(failure, outcome)
    response.headers.update(handling.headers)
    return response
