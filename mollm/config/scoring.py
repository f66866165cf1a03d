"""What a configuration may say about scoring proposals, and what is wrong about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from mollm.config.fields import Seconds, Section
from mollm.config.imported import REFERENCE
from mollm.config.problem import MIXTURES, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mollm.config.mixtures import MixtureConfig
    from mollm.config.places import KeyPath


class ScoreConfig(Section):
    """A function of one's own scores each proposal, and the best one is the answer."""

    python: str = Field(
        description="The function, as `package.module:function`; its module may lie beside the file. It takes the "
        "question and a proposal, and returns a number, the higher the better."
    )
    seconds: Seconds = Field(60, description="Seconds for one proposal; one that takes longer has no score.")


def score_problems(name: str, mixture: MixtureConfig) -> Iterator[Problem]:
    """Find what the shape of a score alone does not show, and settings that have no effect beside it."""
    aggregator, score = mixture.aggregator, mixture.aggregator.score
    if score is None:
        return
    section: KeyPath = (*MIXTURES, name, "aggregator")
    key, method = (*section, "score"), (*section, "method")
    if not REFERENCE.fullmatch(score.python):
        where = (*key, "python")
        yield Problem(where, "must be `package.module:function`, as in `my.scoring:passed_tests`", [where])
    if aggregator.method != "best":
        text = f"has no effect with `method: {aggregator.method}`; set `method: best`, which takes the best proposal"
        yield Problem(key, text, [key, method])
        return
    if mixture.awaited == 1:
        counted = [(*MIXTURES, name, field) for field in ("workers", "enough", "grace")]
        yield Problem(key, "has no effect where there is one proposal", [key, method, *counted])
    idle = {"prompt": aggregator.prompt, "analysis": aggregator.analysis}
    for setting in (setting for setting, value in idle.items() if value is not None):
        where = (*section, setting)
        text = "has no effect beside `score`: the score picks the proposal, and no LLM reads them"
        yield Problem(where, text, [where, key, method])
    if mixture.review is not None:
        where = (*MIXTURES, name, "review")
        yield Problem(where, "has no effect beside `aggregator.score`; leave one of them out", [where, key, method])
