"""An LLM that makes the answer of the proposals, asked on the half that the search did not see."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from mollm.config.load import load_config
from mollm.evaluation.mixtures.rows import Row
from mollm.evaluation.mixtures.scores.exact import Exact
from mollm.evaluation.tuning.aggregating import Ceiling, with_aggregators
from mollm.evaluation.tuning.asking import ask_members
from mollm.evaluation.tuning.members import members_of
from mollm.evaluation.tuning.tune import section_of, table_of, tune

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mollm.evaluation.tuning.tune import Tuned

ROWS = [Row(str(n), f"What is {n}?", str(n), None, f"d:{n}") for n in range(40)]
CALLS = 2 * len(ROWS)


@asynccontextmanager
async def serving(*, writes_well: bool) -> AsyncIterator[str]:
    """A server whose LLMs know even numbers alone; whoever reads proposals knows all, or none."""

    async def reply(request: web.Request) -> web.Response:
        body = await request.json()
        text = json.dumps(body["messages"])
        number = int(re.findall(r"What is (\d+)\?", text)[0])
        is_aggregating = "It is" in text
        knows = writes_well if is_aggregating else number % 2 == 0
        said = number if knows else f"{number}.{1 + len(body['model'])}"
        message = {"role": "assistant", "content": f"It is {said}."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response({"id": "1", "object": "chat.completion", "model": "m", "choices": [choice]})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", reply)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


async def tuned(*, writes_well: bool, calls: int = 1000) -> tuple[Tuned, int]:
    """What comes of two LLMs and `synthesize`, and the calls that are left."""
    async with serving(writes_well=writes_well) as address:
        llms = {name: {"model": f"openai/{name}", "api_base": address} for name in ("a", "bb")}
        config = load_config({"llms": llms, "mixtures": {"m": {"description": "M.", "workers": ["a"]}}})
        members = members_of(config)
        alone = await ask_members(config, members, ROWS)
        found = tune((await table_of(ROWS, alone, Exact()))[0])
        ceiling = Ceiling(calls)
        after = await with_aggregators(found, ["synthesize"], config, members, ROWS, Exact(), ceiling)
        assert ceiling.calls is not None
        return after, ceiling.calls


async def test_one_that_is_better_is_taken() -> None:
    """The mixture is written with it, and the reason says by how much it is better than the best LLM alone."""
    found, left = await tuned(writes_well=True)

    assert found.is_mixture
    section = section_of(found, {"a": "a", "bb": "bb"}, "D.")
    assert section["aggregator"] == {"method": "synthesize", "llm": found.found.best_member}
    assert found.reason.startswith("With synthesize by a it is better than a alone on these 20 questions")
    assert left == 1000 - 20 * 3


async def test_one_that_is_no_better_is_left() -> None:
    """What stood before stands, and the evidence holds what was asked."""
    found, _ = await tuned(writes_well=False)

    assert not found.is_mixture
    assert [(tried.method, tried.verdict.kind) for tried in found.aggregated] == [("synthesize", "worse")]


async def test_no_more_is_asked_than_may_be() -> None:
    """A question is asked only if the most that it may take is left."""
    found, left = await tuned(writes_well=True, calls=8)

    assert len(found.aggregated[0].outcome.scores) == 2
    assert left == 2
