"""What whoever runs the server looks at: health, readiness and metrics."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST

from mollm.server.deployment import deployment_of
from mollm.server.openapi import fails
from mollm.server.wire import json_response

paths = APIRouter()


@paths.head("/health", include_in_schema=False)
@paths.get("/health")
async def health() -> Response:
    """Say that the process is alive."""
    return json_response({"status": "ok"})


@paths.head("/ready", include_in_schema=False)
@paths.get("/ready", responses=fails(503))
async def ready(request: Request) -> Response:
    """Say whether questions are taken."""
    if deployment_of(request).admission.is_draining:
        return json_response({"status": "draining"}, status=503)
    return json_response({"status": "ready"})


@paths.head("/metrics", include_in_schema=False)
@paths.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}, **fails(401, 403)})
async def metrics(request: Request) -> Response:
    """What Prometheus reads."""
    return Response(deployment_of(request).metrics.page(), media_type=CONTENT_TYPE_LATEST)
