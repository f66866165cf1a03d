"""Who may be a member: LLMs of a configuration, or the workers of a mixture; all are asked side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mollm.config.load import load_config
from mollm.config.mixtures import AggregatorConfig, MixtureConfig, WorkerConfig
from mollm.config.places import read_yaml
from mollm.config.problem import nearest
from mollm.config.routers import FixedRouterConfig
from mollm.errors import ConfigError
from mollm.evaluation.mixtures.subject import Subject, recorded_alone, recorded_as, replayed, undisturbed
from mollm.llms.replay import recorded_llms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from mollm.config.config import Config

NAME = "candidates"
"""Of the mixture of all of them, which stands in no file."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One that may be a member."""

    worker: WorkerConfig
    entry: Any
    """As a file lists it under `workers`, variables unresolved: the name of the LLM, or a mapping."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """All that may be members."""

    subject: Subject
    """Asks them side by side, as one mixture whose only layer waits for all."""
    by_name: Mapping[str, Candidate]
    """By the name of the worker: the LLM, with `#2`, `#3` ... for a further one of it."""
    unrecorded: tuple[str, ...]
    """LLMs that were left out, since a recording has no answers of them."""

    most: int
    """Of them that a question may ask, by the limits of the file."""

    @property
    def entries(self) -> dict[str, Any]:
        """By name, how a file lists each."""
        return {name: candidate.entry for name, candidate in self.by_name.items()}


def candidates_of(
    config: Path | None,
    replay: Path | None = None,
    *,
    llms: Sequence[str] = (),
    mixture: str | None = None,
    logprobs: bool = False,
) -> Candidates:
    """List who may be a member.

    Args:
        config: The file; None: the default one, or with `replay` none at all where only the packaged one is left.
        replay: A folder of recorded answers that take the place of LLMs; who was not recorded is left out.
        llms: Names of LLMs; none: all of the file.
        mixture: Takes the workers of this mixture instead, with their prompts and settings; further samples of one are
            the same candidate.
        logprobs: They are asked for log-probabilities, which a calibration may use.

    Raises:
        ConfigError: There is no such LLM, mixture or recording.
    """
    alone = recorded_alone(config, replay)
    original = alone or load_config(config)
    listed = list(_workers(original, mixture) if mixture is not None else _llms(original, llms))
    found = [one for one in listed if replay is None or recorded_as(replay, original, one.worker.llm)]
    left = tuple(dict.fromkeys(one.worker.llm for one in listed if one not in found))
    if not found and replay is not None:
        there = ", ".join(recorded_llms(replay)) or "none at all"
        raise ConfigError(f"--replay {replay}: holds answers of none of {', '.join(left)}; recorded are: {there}")
    whole = _beside(original, [one.worker for one in found])
    asked = undisturbed(whole, logprobs=logprobs)
    if replay is not None:
        asked = replayed(asked, replay, [NAME])
    described = f"recorded answers in {replay}" if alone else str(original.path or "a configuration")
    subject = Subject(asked, whole, (NAME,), described, replay is not None)
    return Candidates(subject, dict(_named(found)), left, original.limits.calls)


def _llms(config: Config, names: Sequence[str]) -> Iterator[Candidate]:
    for name in names:
        if name not in config.llms:
            raise ConfigError(f"{config.place('llms')}: no LLM {name!r}{nearest(name, config.llms)}")
    for name in dict.fromkeys(names or config.llms):
        yield Candidate(WorkerConfig(llm=name), name)


def _workers(config: Config, mixture: str) -> Iterator[Candidate]:
    section = config.mixtures.get(mixture)
    if section is None:
        raise ConfigError(f"{config.place('mixtures')}: no mixture {mixture!r}{nearest(mixture, config.mixtures)}")
    seen: list[WorkerConfig] = []
    for worker, entry in zip(section.listed, _entries(config.path, mixture, section), strict=True):
        single = worker.model_copy(update={"samples": 1})
        plain = {key: value for key, value in entry.items() if key != "samples"} if isinstance(entry, dict) else entry
        if single not in seen:
            seen.append(single)
            yield Candidate(single, plain)


def _entries(path: Path | None, mixture: str, section: MixtureConfig) -> list[Any]:
    """The workers as they are written in the file, variables unresolved."""
    if path is None or section.choose:
        return [worker.llm for worker in section.listed]
    listed: list[Any] = read_yaml(path)[0]["mixtures"][mixture]["workers"]
    return listed


def _beside(config: Config, workers: list[WorkerConfig]) -> Config:
    """The configuration with one mixture, of all candidates; what a question may take is a matter of mixtures."""
    section = MixtureConfig(description="All.", workers=workers, aggregator=AggregatorConfig(method="vote"))
    limits = {"calls": max(config.limits.calls, len(workers)), "output_tokens": None, "cost_usd": None}
    changes = {"limits": config.limits.model_copy(update=limits), "router": FixedRouterConfig()}
    return config.model_copy(update={"mixtures": {NAME: section}, **changes})


def _named(candidates: Sequence[Candidate]) -> Iterator[tuple[str, Candidate]]:
    names = served_names([candidate.worker.llm for candidate in candidates])
    yield from zip(names, candidates, strict=True)


def served_names(llms: Sequence[str]) -> list[str]:
    """The names that workers of these LLMs have in a mixture that lists them."""
    counts = [llms[: number + 1].count(llm) for number, llm in enumerate(llms)]
    return [llm if count == 1 else f"{llm}#{count}" for llm, count in zip(llms, counts, strict=True)]
