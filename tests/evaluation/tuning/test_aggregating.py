"""An LLM that makes the answer of the proposals, asked on the half that the search did not see."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from mollm.api import MoLLM
from mollm.evaluation.mixtures.gathering.asking import Asker
from mollm.evaluation.mixtures.gathering.ceiling import Ceiling
from mollm.evaluation.mixtures.gathering.journal import Journal
from mollm.evaluation.mixtures.rows import Row
from mollm.evaluation.mixtures.scores.exact import Exact
from mollm.evaluation.tuning.aggregating import with_aggregators
from mollm.evaluation.tuning.candidates import candidates_of
from mollm.evaluation.tuning.tune import section_of, tune
from tests.evaluation.tuning import pools
from tests.upstream import Upstream, answer

if TYPE_CHECKING:
    from pathlib import Path

    from mollm.evaluation.tuning.tune import Tuned
    from tests.upstream import Received, Reply

ROWS = [Row(str(n), f"What is {n}?", str(n), None, f"d:{n}") for n in range(40)]
RIGHT = [row.reference for row in ROWS]
SAID: list[str | None] = [said if number % 2 == 0 else "0.5" for number, said in enumerate(RIGHT)]


def replies(*, writes_well: bool) -> Upstream:
    """LLMs that know even numbers alone; whoever reads proposals knows all, or none."""

    def reply(received: Received) -> Reply:
        text = json.dumps(received.body["messages"])
        number = int(re.findall(r"What is (\d+)\?", text)[0])
        knows = writes_well if "It is" in text else number % 2 == 0
        return answer(f"It is {number if knows else '0.5'}.")

    upstream = Upstream()
    upstream.reply_to = reply
    return upstream


async def tuned(folder: Path, *, writes_well: bool, calls: int = 1000) -> tuple[Tuned, Asker]:
    """What comes of two LLMs and `synthesize`, and who asked."""
    found = tune(pools.table_of({"a": SAID, "bb": SAID}, RIGHT))
    async with replies(writes_well=writes_well) as upstream:
        llms = {name: {"model": f"openai/{name}", "api_base": upstream.base_url} for name in ("a", "bb")}
        path = folder / "mollm.yaml"
        path.write_text(json.dumps({"llms": llms, "mixtures": {"m": {"description": "M.", "workers": ["a"]}}}))
        candidates = candidates_of(path)
        workers = {name: one.worker for name, one in candidates.by_name.items()}
        async with MoLLM(candidates.subject.config) as mollm:
            asker = Asker(mollm, Journal(), Ceiling(calls))
            return await with_aggregators(found, ["synthesize"], asker, workers, ROWS, Exact()), asker


async def test_one_that_is_better_is_taken(tmp_path: Path) -> None:
    """The mixture is written with it, and the reason says by how much it is better than the best LLM alone."""
    found, asker = await tuned(tmp_path, writes_well=True)

    assert found.is_mixture
    section = section_of(found, {"a": "a", "bb": "bb"}, "D.")
    assert section["aggregator"] == {"method": "synthesize", "llm": found.found.best_member}
    assert found.reason.startswith("With synthesize by a it is better than a alone on these 20 questions")
    assert asker.ceiling.calls == 20 * 3


async def test_one_that_is_no_better_is_left(tmp_path: Path) -> None:
    """What stood before stands, and the evidence holds what was asked."""
    found, _ = await tuned(tmp_path, writes_well=False)

    assert not found.is_mixture
    assert [(tried.method, tried.verdict.kind) for tried in found.aggregated] == [("synthesize", "worse")]


async def test_no_more_is_asked_than_may_be(tmp_path: Path) -> None:
    """A question is asked only if the most that it may take is left."""
    found, asker = await tuned(tmp_path, writes_well=True, calls=8)

    assert len(found.aggregated[0].outcome.scores) == 2
    assert asker.ceiling.calls == 6
