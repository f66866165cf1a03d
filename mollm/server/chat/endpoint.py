"""Chat completions: a conversation is continued, at once or as a stream of chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.server.chat.protocol import read_chat
from mollm.server.chat.replies import answer_headers, completion, dropped_headers
from mollm.server.chat.streaming import stream_answer
from mollm.server.wire import send_json

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from mollm.server.deployment import Deployment


async def chat_completions(deployment: Deployment, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one HTTP request."""
    with deployment.bodies.share() as share:
        asked = read_chat(await share.read(scope, receive), deployment.settings.forward)
        owner = deployment.keys.owner(scope)
        if asked.stream:
            await stream_answer(deployment, asked, owner, receive, send)
            return
        async with deployment.handle(receive) as handling:
            answer = await handling.ask(asked.conversation, owner=owner, **asked.options)
    await send_json(send, completion(answer, asked), {**answer_headers(answer), **dropped_headers(asked)})
