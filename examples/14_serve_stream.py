"""Stream answers from a web application: one object for the process, `astream` per request, a lost client ends it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing

from mollm import MoLLM
from mollm.events import Token

config = {
    "llms": {"guide": {"model": "scripted/Take the ferry at nine and walk along the shore."}},
    "mixtures": {"travel": {"description": "Travel.", "workers": ["guide"]}},
}


async def body(mollm: MoLLM, question: str) -> AsyncIterator[str]:
    """Yield what a web framework sends as `text/event-stream`; closing it stops the calls that still run."""
    async with aclosing(mollm.astream(question)) as events:
        async for event in events:
            if isinstance(event, Token) and event.text:
                yield f"data: {json.dumps({'text': event.text})}\n\n"
    yield "data: [DONE]\n\n"


async def visit(mollm: MoLLM, visitor: str) -> None:
    async for line in body(mollm, f"What shall {visitor} see?"):
        print(visitor, line.strip())


async def main() -> None:
    async with MoLLM(config) as mollm:
        await asyncio.gather(visit(mollm, "Ann"), visit(mollm, "Ben"))


asyncio.run(main())
