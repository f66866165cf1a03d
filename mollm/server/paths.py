"""What is said to a client that asks for a path that is not served: mostly its base URL is another than it thinks."""

from __future__ import annotations

import re

SERVED = {
    "/v1/chat/completions": "POST",
    "/v1/models": "GET",
    "/v1/models/{name}": "GET",
    "/predict": "POST",
    "/feedback": "POST",
    "/feedback/{id}": "DELETE",
    "/health": "GET",
    "/ready": "GET",
    "/metrics": "GET",
    "/docs": "GET",
    "/openapi.json": "GET",
}
"""Paths and their methods, beside HEAD and OPTIONS."""
CHAT, MODELS = "/v1/chat/completions", "/v1/models"

BASE = "a base URL ends in /v1, once"

_AZURE = "openai/deployments/"
_ENDS = {"chat/completions": CHAT, "models": MODELS, "predict": "/predict"}
_OTHERS = (
    (r"v1/v1(/|$)", BASE),
    (r"(openai/)?(v1/)?responses(/|$)", f"the Responses API is not served; have the client use {CHAT}"),
    (r"(mcp|sse)(/|$)", "the Model Context Protocol is served at /mcp where server.mcp is true"),
    (r"(v1/)?(completions|engines)(/|$)", f"completions of a bare prompt are not served; use {CHAT}"),
    (r"(v1/|api/)?embed(dings)?(/|$)", "embeddings are not served"),
    (r"(v1/)?(rerank|score|moderations|images|audio|files|batches|assistants|threads|realtime)(/|$)", "not served"),
    (r"(v1/|anthropic/)*(messages|complete)(/|$)", f"Anthropic's API is not served; use OpenAI's, {CHAT}"),
    (r"v1(alpha|beta)/|.*:(stream)?generatecontent$", f"Gemini's API is not served; use OpenAI's, {CHAT}"),
    (_AZURE, f"Azure's paths are not served; set the client to OpenAI with a base URL in /v1: {CHAT}"),
    (
        r"api/(chat|generate|tags|show|version|ps|pull)(/|$)",
        f"Ollama's API is not served; set the client to OpenAI with a base URL in /v1: {CHAT}",
    ),
    (r"(completion|generate|infill|props|slots|tokenize|detokenize|ws|api)(/|$)", f"use {CHAT}"),
    (r"(v1)?$", f"a client asks {CHAT}; its base URL ends in /v1"),
)
"""How a path begins, without its slash and in lower case, and what is said of it."""


def meant_by(path: str) -> str:
    """Say what whoever asks for this path probably meant, or what there is."""
    plain = "/".join(part for part in path.lower().split("/") if part)
    meant = next((served for end, served in _ENDS.items() if f"/{plain}".endswith(f"/{end}")), None)
    if meant and not plain.startswith(_AZURE):
        return f"did you mean {meant}? ({'it stands at the top' if meant == '/predict' else BASE})"
    hint = next((said for begin, said in _OTHERS if re.match(begin, plain)), None)
    return hint or "there are " + ", ".join(f"{method} {served}" for served, method in SERVED.items())
