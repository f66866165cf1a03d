"""What `/openapi.json` says of the endpoints; bodies are read without FastAPI, so it has to be told.

The endpoints that answer questions are served in front of FastAPI's routing (`shortcut.py`). Here they are declared:
listed, and refused where the method is another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response
from pydantic import TypeAdapter

from mollm.server.chat.protocol import ChatRequest
from mollm.server.predict import Prediction, Predictions

if TYPE_CHECKING:
    from fastapi import FastAPI

SCHEMAS = "#/components/schemas/{model}"

ERRORS = {
    400: "The HTTP request cannot be answered as it stands.",
    401: "The key is missing or wrong.",
    403: "A page from another origin, or one under a foreign name, asks a server without keys.",
    404: "There is no such mixture or LLM.",
    408: "The body did not come in time.",
    413: "The body is too large.",
    429: "The LLMs have too many requests.",
    500: "The server failed.",
    502: "The LLMs failed.",
    503: "The server has as many questions as it takes, or is about to stop.",
    504: "The LLMs did not answer in time.",
}


def takes(*kinds: Any) -> dict[str, Any]:
    """Describe a body that is of one of `kinds`."""
    schemas = [TypeAdapter(kind).json_schema(ref_template=SCHEMAS) for kind in kinds]
    for schema in schemas:
        schema.pop("$defs", None)
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def fails(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe how an HTTP request may fail; in every way, if none is named."""
    return {status: {"description": ERRORS[status]} for status in statuses or ERRORS}


paths = APIRouter()


@paths.post("/v1/chat/completions", openapi_extra=takes(ChatRequest), responses=fails(), response_class=Response)
async def chat_completions() -> None:
    """Continue a conversation, at once or as a stream of chunks."""


@paths.post(
    "/predict",
    openapi_extra=takes(Prediction, Predictions, list[Prediction]),
    responses=fails(),
    response_class=Response,
)
async def predict() -> None:
    """Answer a question, or each of a list, by the mixture (the expert) that suits it."""


def describe(app: FastAPI) -> dict[str, Any]:
    """Build the document of `app`, once."""
    if not app.openapi_schema:
        found = get_openapi(title=app.title, version=app.version, routes=app.routes)
        parts = found.setdefault("components", {})
        schemas = parts.setdefault("schemas", {})
        for kind in (ChatRequest, Prediction, Predictions):
            schemas |= kind.model_json_schema(ref_template=SCHEMAS).get("$defs", {})
        schemas |= {"Prediction": Prediction.model_json_schema()}
        parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        for path in found["paths"].values():
            for method in path.values():
                method["responses"].pop("422", None)  # FastAPI's own; nothing here is read by it
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        found["security"] = [{}, {"key": []}]  # a server on loopback may have no keys
        app.openapi_schema = found
    return app.openapi_schema
