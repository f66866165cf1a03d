"""What lets a page in a browser read our responses: CORS."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.responses import Response

from mollm.server.failures import note, response_for
from mollm.server.origins import foreign_origin
from mollm.server.wire import header

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from mollm.server.origins import Origins

MAX_AGE = 600
"""Seconds for which a browser need not ask again whether it may ask."""
METHODS = "GET, HEAD, POST, DELETE"
USUAL_HEADERS = "authorization, content-type"

_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+(\s*,\s*[A-Za-z0-9!#$%&'*+.^_`|~-]+)*")
_BESIDES_OURS = (b"mcp-session-id", b"retry-after", b"www-authenticate", b"x-request-id")
"""Headers that a page may read beside those that begin with `x-mollm-`."""


class CORS:
    """The outermost middleware: it answers a browser that asks whether a page may ask, and lets pages read the rest.

    What an origin may do is said with errors, too: a page that cannot read them cannot tell what is wrong.
    """

    def __init__(self, app: ASGIApp, origins: Callable[[], Origins]) -> None:
        """Stand in front of `app`; `origins` gives those that are in force."""
        self._app, self._origins = app, origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        origins = self._origins()
        origin = header(scope, b"origin") if scope["type"] == "http" else ""
        if scope["type"] != "http" or not (origin or origins.are_listed):
            await self._app(scope, receive, send)
            return
        found = allowed(origin, origins)
        if origin and scope["method"] == "OPTIONS" and header(scope, b"access-control-request-method"):
            await _preflight(scope, found, origin)(scope, receive, send)
            return

        async def mark(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *marks(message["headers"], found)]
            await send(message)

        await self._app(scope, receive, mark)


def _preflight(scope: Scope, found: dict[str, str], origin: str) -> Response:
    varies = "origin, access-control-request-headers, access-control-request-private-network"
    if "access-control-allow-origin" not in found:
        refused = foreign_origin(origin)
        note(scope, refused)
        response = response_for(refused)
        response.headers["vary"] = varies
        return response
    wanted = header(scope, b"access-control-request-headers").strip()
    headers = {
        **found,
        "access-control-allow-methods": METHODS,
        "access-control-allow-headers": wanted if _NAMES.fullmatch(wanted) else USUAL_HEADERS,
        "access-control-max-age": str(MAX_AGE),
        "vary": varies,
    }
    if header(scope, b"access-control-request-private-network") == "true":
        headers["access-control-allow-private-network"] = "true"
    return Response(status_code=204, headers=headers)


def allowed(origin: str, origins: Origins) -> dict[str, str]:
    """Return the headers that tell a browser what pages of `origin` may do, an empty one where it names none."""
    if origins.is_public:
        return {"access-control-allow-origin": "*"}
    if not origin or not origins.has_origin(origin):
        return {"vary": "origin"}
    found = {"access-control-allow-origin": origin, "vary": "origin"}
    return {**found, "access-control-allow-credentials": "true"} if origins.trusts(origin) else found


def marks(sent: list[tuple[bytes, bytes]], found: dict[str, str]) -> list[tuple[bytes, bytes]]:
    """Return the headers to add to those that are `sent`, with what `allowed` has `found`."""
    marks = [(name.encode(), value.encode("latin-1")) for name, value in found.items()]
    readable = [name for name, _ in sent if name.startswith(b"x-mollm-") or name in _BESIDES_OURS]
    if readable and "access-control-allow-origin" in found:
        marks.append((b"access-control-expose-headers", b", ".join(readable)))
    return marks
