"""Which part of a conversation is routed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.llms.base import text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.routing.base import Router
    from mollm.types import Message, Route


async def route_conversation(router: Router, messages: Sequence[Message], *, fallback: str) -> Route:
    """Route the last user message; where that leads to `fallback`, the last two joined.

    A follow-up such as "and in Rust?" says nothing by itself; with the question before it, it does.
    """
    asked = [text_of(m.get("content")) for m in messages if m.get("role") == "user"]
    route = await router.route(asked[-1] if asked else "")
    if route.mixture == fallback and len(asked) > 1:
        joined = await router.route(f"{asked[-2]}\n{asked[-1]}")
        if joined.mixture != fallback:
            return joined
    return route
