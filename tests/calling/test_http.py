"""Connections, and what a server does before it says that it is ready."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest

from mollm.calling.http import Sessions
from tests.upstream import Upstream, answer

FIRST_CALL = """
import asyncio, json, sys
from mollm.calling.base import Request
from mollm.calling.http import Sessions
from mollm.llms.openai_compatible import OpenAICompatibleLLM

async def main():
    sessions = Sessions()
    llm = OpenAICompatibleLLM("m", api_base=sys.argv[1], sessions=sessions)
    before = "aiohttp" in sys.modules
    await sessions.prepare()
    prepared = set(sys.modules)
    await llm.complete(Request([{"role": "user", "content": "Hi"}]))
    await sessions.aclose()
    print(json.dumps([before, "aiohttp" in prepared, sorted(set(sys.modules) - prepared)]))

asyncio.run(main())
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_the_first_call_imports_nothing(host: str) -> None:
    """After `prepare` all that a call needs is there; before it nothing was, so that `import mollm` stays cheap."""
    async with Upstream(answer()) as upstream:
        base = upstream.base_url.replace("127.0.0.1", host)
        command = [sys.executable, "-c", FIRST_CALL, base]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        printed, _ = await process.communicate()

    assert json.loads(printed) == [False, True, []]


async def test_preparing_does_not_stop_the_event_loop() -> None:
    """The imports run elsewhere; what runs on the loop goes on, and the session is open afterwards."""
    sessions = Sessions()
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    await sessions.prepare()
    counting.cancel()

    assert turns > 0
    assert sessions.of_this_loop() is not None
    await sessions.aclose()
