"""What is wrong with how a mixture has its proposals ranked, analyzed and scored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.config.imported import REFERENCE
from mollm.config.problem import MIXTURES, Problem, unknown_llm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mollm.config.comparing import AnalysisConfig, ReviewConfig, ScoreConfig
    from mollm.config.config import Config
    from mollm.config.mixtures import MixtureConfig
    from mollm.config.places import KeyPath

LEAST_WORKERS = 3
"""With fewer, no worker has two proposals of others to put in order."""


def comparing_problems(config: Config, name: str, mixture: MixtureConfig) -> Iterator[Problem]:
    """Find names that lead nowhere, and what has no effect."""
    key = (*MIXTURES, name)
    if mixture.review:
        yield from _review_problems(config, key, mixture, mixture.review)
    if mixture.aggregator.analysis:
        yield from _analysis_problems(config, key, mixture, mixture.aggregator.analysis)
    if mixture.aggregator.score:
        yield from _score_problems(key, mixture, mixture.aggregator.score)


def _review_problems(config: Config, key: KeyPath, mixture: MixtureConfig, review: ReviewConfig) -> Iterator[Problem]:
    where, by, method = (*key, "review"), (*key, "review", "by"), (*key, "aggregator", "method")
    if mixture.awaited == 1:
        yield Problem(where, "has no effect on a single proposal", [where, *_counted(key)])
    elif mixture.aggregator.method == "vote":
        yield Problem(where, "has no effect where `vote` counts who agrees; `best` takes the first", [where, method])
    elif review.by == "workers" and mixture.awaited < LEAST_WORKERS:
        in_all = "in all" if mixture.planned < LEAST_WORKERS else "when `enough` have arrived"
        text = (
            f"a worker ranks the proposals of others, and there are {mixture.awaited} {in_all}; name LLMs that review"
        )
        yield Problem(by, text, [where, by, *_counted(key)])
    if mixture.aggregator.method == "best" and not (mixture.aggregator.llm or mixture.aggregator.fallback_llm):
        for field in ("prompt", "max_tokens", "temperature"):
            if field in mixture.aggregator.model_fields_set:
                text = "has no effect where the first of the review is taken, without an LLM"
                yield Problem((*key, "aggregator", field), text, [(*key, "aggregator"), where])
    if review.by == "workers":
        return
    if not review.by:
        yield Problem(by, "must be `workers`, or name an LLM at least", [by])
    for index, llm in enumerate(review.by):
        if llm not in config.llms:
            yield unknown_llm((*by, index), llm, config.llms)
        elif llm in review.by[:index]:
            yield Problem((*by, index), f"{llm!r} stands here twice; a reviewer has one voice", [by])
        elif mixture.awaited > 1 and _others(mixture, llm) < LEAST_WORKERS - 1:
            text = f"{llm!r} ranks the proposals of others, and there are {_others(mixture, llm)}: it is never asked"
            yield Problem((*by, index), text, [by, (*key, "workers")])


def _counted(key: KeyPath) -> list[KeyPath]:
    """What says how many proposals there are to compare."""
    return [(*key, field) for field in ("workers", "enough", "grace")]


def _others(mixture: MixtureConfig, llm: str) -> int:
    """The most proposals that are not of this LLM."""
    return min(mixture.planned, sum(worker.samples for worker in mixture.listed if worker.llm != llm))


def _analysis_problems(
    config: Config, key: KeyPath, mixture: MixtureConfig, analysis: AnalysisConfig
) -> Iterator[Problem]:
    aggregator = mixture.aggregator
    where, method = (*key, "aggregator", "analysis"), (*key, "aggregator", "method")
    if mixture.awaited == 1:
        yield Problem(where, "has no effect on a single proposal", [where, *_counted(key)])
    elif aggregator.method == "vote":
        yield Problem(where, "has no effect where `vote` counts who agrees", [where, method])
    elif aggregator.method == "best" and mixture.review:
        text = "has no effect where the first of the review is taken: nobody reads it"
        yield Problem(where, text, [where, method, (*key, "review")])
    if analysis.llm is not None and analysis.llm not in config.llms:
        yield unknown_llm((*where, "llm"), analysis.llm, config.llms)


def _score_problems(key: KeyPath, mixture: MixtureConfig, score: ScoreConfig) -> Iterator[Problem]:
    """Find what the shape of a score alone does not show, and settings that have no effect beside it."""
    aggregator, section = mixture.aggregator, (*key, "aggregator")
    where, method = (*section, "score"), (*section, "method")
    if not REFERENCE.fullmatch(score.python):
        python = (*where, "python")
        yield Problem(python, "must be `package.module:function`, as in `my.scoring:passed_tests`", [python])
    if aggregator.method != "best":
        text = f"has no effect with `method: {aggregator.method}`; set `method: best`, which takes the best proposal"
        yield Problem(where, text, [where, method])
        return
    if mixture.awaited == 1:
        yield Problem(where, "has no effect where there is one proposal", [where, method, *_counted(key)])
    idle = {"prompt": aggregator.prompt, "analysis": aggregator.analysis}
    for setting in (setting for setting, value in idle.items() if value is not None):
        beside = (*section, setting)
        text = "has no effect beside `score`: the score picks the proposal, and no LLM reads them"
        yield Problem(beside, text, [beside, where, method])
    if mixture.review is not None:
        review = (*key, "review")
        yield Problem(review, "has no effect beside `aggregator.score`; leave one of them out", [review, where, method])
