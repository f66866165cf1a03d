"""Chat completions: a conversation is continued, at once or as a stream of chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.server.chat.panels import check_panel
from mollm.server.chat.protocol import read_chat
from mollm.server.chat.replies import answer_headers, completion, dropped_headers
from mollm.server.chat.streaming import stream_answer
from mollm.server.wire import send_json

if TYPE_CHECKING:
    from starlette.types import Send

    from mollm.server.deployment import Deployment
    from mollm.server.handling import Handling


async def chat_completions(deployment: Deployment, handling: Handling, send: Send) -> None:
    """Answer one HTTP request."""
    asked = read_chat(await handling.read(), deployment.settings.forward)
    check_panel(asked, deployment.settings, deployment.mollm.catalog.panels)
    if asked.stream:
        await stream_answer(deployment, handling, asked, send)
        return
    async with handling:
        answer = await handling.ask(asked.conversation, **asked.options)
    headers = {**handling.headers, **answer_headers(answer), **dropped_headers(asked)}
    await send_json(send, completion(answer, asked), headers)
