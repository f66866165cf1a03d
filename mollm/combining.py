"""Mixtures made of others: of some of the workers of one, or of the workers of two."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mollm.aggregation.base import picks
from mollm.assembling import mixture_of, rules_of
from mollm.config.mixtures import AggregatorConfig
from mollm.errors import UnknownMixture

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mollm.aggregation.base import Aggregator
    from mollm.config.config import Config
    from mollm.config.mixtures import MixtureConfig
    from mollm.mixture import Mixture
    from mollm.workers import Worker


def made_of(mixture: Mixture, section: MixtureConfig, llms: Sequence[str]) -> Mixture:
    """The mixture that is made of some of the workers of one that has them chosen; `section` is what it is built from.

    Raises:
        UnknownMixture: One of the LLMs is no worker of it (any more).
    """
    workers = {worker.llm: worker for worker in mixture.workers}
    if gone := [name for name in llms if name not in workers]:
        raise UnknownMixture(f"mixture {mixture.name!r} has no worker {', '.join(map(repr, gone))} to choose")
    made = section.of(llms)
    return replace(
        mixture,
        workers=tuple(workers[name] for name in llms),
        rules=rules_of(made),
        llm=made.aggregator_llm,
        tools_llm=made.acting_llm,
        rewriter=replace(mixture.rewriter, workers=tuple(llms)),
        review=mixture.review.of(llms) if mixture.review else None,
        chooser=None,
        made_of=mixture,
    )


def together(config: Config, first: Mixture, second: Mixture, aggregators: Mapping[str, Aggregator]) -> Mixture:
    """The workers of two mixtures, all of whom are asked, under one aggregator; raises as `mixture_of`."""
    section = _joined(config, first.name, second.name, is_picked=picks(first.aggregator))
    found = mixture_of(config, first.name, section, aggregators)
    workers = _both_asked(first.workers, second.workers)
    count = len(workers)
    rules = replace(found.rules, ask_first=count, enough=count, quorum=min(found.rules.quorum, count))
    return replace(found, name=f"{first.name} + {second.name}", workers=workers, rules=rules)


def _joined(config: Config, first: str, second: str, *, is_picked: bool) -> MixtureConfig:
    """Two mixtures as one that asks all workers of both.

    Nobody can agree with those who answer another part, or be ranked among them, so there is no review.

    The aggregator is the first one's. Where that picks a proposal, which would answer half of the question, it is the
    second one's, or else an LLM that writes.
    """
    one, other = config.mixtures[first], config.mixtures[second]
    aggregator, spare = one.aggregator, other.aggregator
    if is_picked and spare.method not in ("vote", "best"):
        aggregator = spare.model_copy(update={"llm": spare.llm or other.listed[0].llm})
    elif is_picked:
        aggregator = AggregatorConfig(
            llm=aggregator.llm, fallback_llm=aggregator.fallback_llm, analysis=aggregator.analysis
        )
    changes = {
        "workers": [*one.listed, *other.listed],
        "aggregator": aggregator.model_copy(update={"keep_above": None}),
        "ask_first": "all",
        "agree": None,
        "alike": None,
        "calibration": None,
        "widen_after": None,
        "enough": None,
        "review": None,
        "grace": None,
        "quorum": max(one.quorum, other.quorum),
        "deadline": max(one.deadline, other.deadline),
    }
    return one.model_copy(update=changes)


def _both_asked(first: Sequence[Worker], second: Sequence[Worker]) -> tuple[Worker, ...]:
    """The workers of two mixtures, each with a name of its own; one that both have is asked once."""
    workers = list(first)
    for worker in second:
        if any(replace(worker, name=known.name, sample=known.sample) == known for known in first):
            continue
        before = sum(other.llm == worker.llm for other in workers)
        name = f"{worker.llm}#{before + 1}" if before else worker.llm
        workers.append(replace(worker, name=name, sample=before))
    return tuple(workers)
