"""Where a calibration cannot be what a mixture needs; what its file holds shows when the mixture is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.config.problem import MIXTURES, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mollm.config.mixtures import MixtureConfig
    from mollm.config.places import KeyPath


def calibration_problems(name: str, mixture: MixtureConfig) -> Iterator[Problem]:
    """Find what is wrong with `calibration`, and with a probability in `agree`."""
    key: KeyPath = (*MIXTURES, name)
    agree, calibration, workers = (*key, "agree"), (*key, "calibration"), (*key, "workers")
    if mixture.sure is not None:
        if mixture.calibration is None:
            text = "a probability needs `calibration`: a file that `mollm eval mixtures --calibrate --out FILE` writes"
            yield Problem(agree, text, [agree, calibration])
        if mixture.alike is not None:
            alike: KeyPath = (*key, "alike")
            text = "cannot be used with a probability in `agree`, which is known of final answers alone"
            yield Problem(alike, text, [alike, agree])
        if mixture.quorum > 1:
            text = f"{mixture.quorum} is more than the proposals that may be sure enough for `agree` (1)"
            yield Problem((*key, "quorum"), text, [agree, (*key, "quorum")])
        if mixture.enough == 1 and mixture.grace is None:
            text = "has no effect: `enough` (1) ends the layer at the first proposal, sure or not"
            yield Problem(agree, text, [agree, (*key, "enough"), (*key, "grace")])
    if mixture.aggregator.keep_above is not None and (why := _why_not_kept(mixture)):
        keep, aggregator = (*key, "aggregator", "keep_above"), (*key, "aggregator")
        yield Problem(keep, why, [keep, aggregator, calibration, agree, workers])
    if mixture.calibration is None:
        return
    if mixture.choose:
        text = "cannot be used where workers are picked for each question; it holds for all of them, in listed order"
        yield Problem(calibration, text, [calibration, workers])
    if mixture.layers > 1:
        text = "cannot be used with several `layers`; it holds for workers that have not read each other"
        yield Problem(calibration, text, [calibration, (*key, "layers")])
    for index, worker in enumerate(mixture.listed):
        if worker.samples > 1:
            text = "cannot be calibrated: samples of one LLM have no answers of their own to learn from"
            yield Problem((*workers, index, "samples"), text, [calibration, (*workers, index, "samples")])
    if mixture.is_bypass:
        text = "has no effect: with a single proposal there is nothing that leads"
        yield Problem(calibration, text, [calibration, workers])


def _why_not_kept(mixture: MixtureConfig) -> str | None:
    """Say why no agreed proposal could be kept against the aggregator; None if one could."""
    if mixture.calibration is None:
        return "needs `calibration`: a file that `mollm eval mixtures --calibrate --out FILE` writes"
    if mixture.awaited == 1:
        return "has no effect on a single proposal"
    if mixture.on_tools in ("after", "every"):
        return None  # whatever is done without tools, with them an LLM writes the answer
    if why := _why_nobody_contradicts(mixture):
        return f"{why}; if it is for requests with tools, say `on_tools: after`"
    return None


def _why_nobody_contradicts(mixture: MixtureConfig) -> str | None:
    """Say why, without tools, no LLM writes an answer where a group is as probable; None if one does."""
    keep, method = mixture.aggregator.keep_above, mixture.aggregator.method
    if method == "vote":
        return "has no effect where `vote` takes what most agree on"
    if mixture.aggregator.score is not None:
        return "has no effect where a function of yours scores the proposals"
    if mixture.votes == 2:
        return "has no effect with `agree: 2`: where two agree, no aggregator is called"
    if mixture.sure is not None and keep is not None and mixture.sure <= keep:
        return f"has no effect with `agree: {mixture.sure:g}`: nobody is asked to aggregate what is as probable"
    return None
