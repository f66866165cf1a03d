"""`/v1/models`: what a question may name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response  # noqa: TC002 - FastAPI evaluates the annotations

from mollm.catalog import unknown_mixture
from mollm.config.names import PANEL
from mollm.config.panels import FORM
from mollm.server.deployment import deployment_of
from mollm.server.openapi import fails
from mollm.server.wire import json_response

if TYPE_CHECKING:
    from mollm.config.config import Config

paths = APIRouter()


@paths.head("/v1/models", include_in_schema=False)
@paths.get("/v1/models", responses=fails(401, 403))
async def list_models(request: Request) -> Response:
    """List what `model` may name, each with what it is."""
    deployment = deployment_of(request)
    return json_response({"object": "list", "data": list(models(deployment.config, deployment.created).values())})


@paths.head("/v1/models/{name:path}", include_in_schema=False)
@paths.get("/v1/models/{name:path}", responses=fails(401, 403, 404))
async def one_model(request: Request, name: str) -> Response:
    """Say what one of them is."""
    deployment = deployment_of(request)
    found = models(deployment.config, deployment.created)
    if name not in found:
        raise unknown_mixture(deployment.config, name)
    return json_response(found[name])


def models(config: Config, created: int) -> dict[str, dict[str, Any]]:
    """Everything a question may name, with what it is."""
    routed = {"kind": "router", "description": f"Picks one of the mixtures ({config.router_kind} router)."}
    found: dict[str, dict[str, Any]] = {"auto": routed, "router": {**routed, "description": "The same as auto."}}
    for name, mixture in config.mixtures.items():
        found[name] = {
            "kind": "mixture",
            "description": mixture.description,
            "workers": [worker.llm for worker in mixture.listed for _ in range(worker.samples)],
            "method": None if mixture.is_bypass else mixture.aggregator.method,
            "aggregator": mixture.aggregator_llm,
        }
    if config.server.panels:
        text = "Workers and an aggregator that the request brings, as `mollm`: " + FORM
        found[PANEL] = {"kind": "panel", "description": text}
    for name, llm in config.llms.items():
        found[name] = {"kind": "llm", "description": f"{llm.model}, alone."}
    return {
        name: {"id": name, "object": "model", "created": created, "owned_by": "mollm", "mollm": what}
        for name, what in found.items()
    }
