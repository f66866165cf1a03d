"""Which part of a conversation is routed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.calling.base import text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.calling.calls import Calls
    from mollm.routing.base import Router
    from mollm.types import Message, Route


async def route_conversation(router: Router, messages: Sequence[Message], calls: Calls) -> Route:
    """Route the last user message; the router is given the one before it as well.

    A follow-up such as "and in Rust?" says nothing by itself; with the question before it, it does.
    """
    before, last = ["", "", *(text_of(m.get("content")) for m in messages if m.get("role") == "user")][-2:]
    return await router.route(last, calls, before=before)
