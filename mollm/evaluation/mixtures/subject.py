"""What is evaluated: the mixtures of a configuration, of some of its LLMs, or of a recording alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mollm.config.feedback import FeedbackConfig
from mollm.config.files import default_path, packaged_folder
from mollm.config.llms import LLMConfig
from mollm.config.load import load_config
from mollm.config.members import mixture_digest
from mollm.config.panels import read_panel, told
from mollm.config.places import Places
from mollm.config.routers import FixedRouterConfig
from mollm.errors import ConfigError, DataError
from mollm.llms.replay import ReplayLLM, find_recording, recorded_llms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from mollm.catalog import Catalog
    from mollm.config.config import Config
    from mollm.evaluation.mixtures.rows import Row

VOTE = "vote"
"""Name of a mixture that stands in no file."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is evaluated."""

    config: Config
    """That is asked."""
    original: Config
    """As it stands in its file: with its own LLMs in place of recorded ones."""
    mixtures: tuple[str, ...]
    name: str
    """Of the configuration, for people."""
    is_replayed: bool = False
    routes: bool = False
    """Whether the router is asked."""
    notes: tuple[str, ...] = field(default=())
    """What a reader of the report has to know."""
    unrecorded: Mapping[str, str] = field(default_factory=dict)
    """By mixture, what no recording holds of it, where it is replayed."""

    @property
    def judging(self) -> Config:
        """Of which a judge is an LLM: its own ones, and nothing that they are asked is kept for ratings."""
        return self.original.model_copy(update={"feedback": FeedbackConfig()})

    @property
    def digests(self) -> dict[str, str]:
        """Of each mixture, as its file describes it."""
        sections = self.original.mixtures
        return {name: mixture_digest(self.original, sections[name]) for name in self.mixtures}


def subject_of(
    config: Path | None,
    replay: Path | None = None,
    mixtures: Sequence[str] = (),
    workers: Sequence[str] = (),
    *,
    logprobs: bool = False,
) -> Subject:
    """Find out what is evaluated.

    Args:
        config: A file; None: the default one, or with `replay` none at all where only the packaged one is left.
        replay: A folder of recorded answers that take the place of LLMs.
        mixtures: Names; none: all that the configuration has.
        workers: LLMs, or recorded ones, that vote, in place of mixtures.
        logprobs: Workers are asked for log-probabilities, which a calibration may use.

    Raises:
        ConfigError: Something of this cannot be used; all of it is listed.
        RequestError: `workers` are none.
    """
    if loaded := recorded_alone(config, replay, workers):
        return Subject(loaded, loaded, tuple(loaded.mixtures), f"recorded answers in {replay}", is_replayed=True)
    original = load_config(config)
    if workers:
        original = _voting(original, workers)
    unknown = [name for name in mixtures if name not in original.mixtures]
    if unknown:
        raise ConfigError(f"--mixture {unknown[0]}: there is none; there are: {', '.join(original.mixtures)}")
    names = tuple(dict.fromkeys(mixtures)) or tuple(original.mixtures)
    asked = undisturbed(original, logprobs=logprobs)
    asks_llms = bool(original.router_llms)
    routes = not mixtures and original.router_kind != "fixed" and not (replay and asks_llms)
    notes = list(_notes(original, names, replay))
    if replay is not None:
        asked = replayed(asked, replay, names)
    name = str(original.path) if original.path else "a configuration"
    unrecorded = {} if replay is None else _unrecorded(original, names)
    return Subject(asked, original, names, name, replay is not None, routes, tuple(notes), unrecorded)


def lacking(catalog: Catalog, mixtures: Sequence[str], rows: Sequence[Row]) -> dict[str, dict[str, str]]:
    """By mixture, the questions that a recording lacks, by id, and why; none where nobody is recorded.

    Raises:
        DataError: There is no question that it has.
        ConfigError: A recording cannot be read.
    """
    found = {name: dict(_lacking(catalog, name, rows)) for name in mixtures}
    whole = [name for name in mixtures if len(found[name]) < len(rows)]
    if not whole:
        row = rows[0]
        raise DataError(f"no question of the data has recorded answers; {row.place}: {found[mixtures[0]][row.id]}")
    return found


def _lacking(catalog: Catalog, name: str, rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    members = (*catalog.mixtures[name].candidates, *catalog.config.mixtures[name].readers)
    clients = [client for llm in members for client in catalog.llms[llm].clients]
    recorded = [client for client in clients if isinstance(client, ReplayLLM)]
    for row in rows:
        why = next((why for client in recorded if (why := client.lacks(row.question))), None)
        if why is not None:
            yield row.id, why


def undisturbed(config: Config, *, logprobs: bool) -> Config:
    """Mixtures answer for themselves, and nothing that is asked here is kept for ratings."""
    changes = {"arms": {}, **({"logprobs": True} if logprobs else {})}
    sections = {name: section.model_copy(update=changes) for name, section in config.mixtures.items()}
    return config.model_copy(update={"mixtures": sections, "feedback": FeedbackConfig()})


def _notes(config: Config, names: Sequence[str], replay: Path | None) -> Iterator[str]:
    arms = [name for name in names if config.mixtures[name].arms]
    if arms:
        yield f"{', '.join(arms)}: asked itself, without the mixtures that share its questions"
    if replay is None:
        return
    yield f"answers are those recorded in {replay}: their time is not that of an LLM, and each question has one sample"
    for name, what in _unrecorded(config, names).items():
        yield f"{name}: {what} cannot be replayed: such a call returned its LLM's recorded answer to the question"
    if config.router_llms:
        yield "the router asks an LLM, which cannot be replayed: no question was routed"


def _unrecorded(config: Config, names: Sequence[str]) -> dict[str, str]:
    """What no recording holds of mixtures whose LLMs read more than the question."""
    found = {}
    for name in names:
        section = config.mixtures[name]
        writers = [] if section.aggregator_llm is None else [f"what {section.aggregator_llm} writes as aggregator"]
        writers += ["reviews"] if section.review else []
        writers += ["an analysis"] if section.analyst else []
        writers += ["later layers"] if section.layers > 1 else []
        if writers:
            found[name] = ", ".join(writers)
    return found


def _voting(config: Config, workers: Sequence[str]) -> Config:
    section, problems = read_panel(config, {"workers": list(workers), "aggregator": {"method": "vote"}})
    if problems:
        raise ConfigError(told(problems, ("--workers",)))
    limits = config.limits.model_copy(update={"calls": max(config.limits.calls, section.planned)})
    section = section.model_copy(update={"description": "A vote."})
    changes = {"mixtures": {VOTE: section}, "limits": limits, "router": FixedRouterConfig()}
    return config.model_copy(update=changes)


def recorded_alone(config: Path | None, replay: Path | None, workers: Sequence[str] = ()) -> Config | None:
    """A vote of all recorded LLMs where there is a recording and no configuration but the packaged one, else None.

    Args:
        config: The file that was named.
        replay: The recording.
        workers: These vote, also beside a configuration that nobody named.

    Raises:
        ConfigError: The folder holds no recording, or none of a worker.
    """
    is_packaged = config is None and default_path().is_relative_to(packaged_folder())
    if replay is None or config is not None or not (workers or is_packaged):
        return None
    return _recorded(replay, workers)


def _recorded(folder: Path, workers: Sequence[str]) -> Config:
    """A vote of all recorded LLMs, or of some."""
    there = recorded_llms(folder)
    if not there:
        raise ConfigError(f"--replay {folder}: holds no recording: a questions.jsonl and an LLM.jsonl for each LLM")
    names = list(workers) or there
    models = {name: {"model": f"replay/{folder.absolute()}/{name}"} for name in names}
    missing = [name for name in names if name not in there]
    if missing:
        raise ConfigError(f"--replay {folder}: no answers of {', '.join(missing)}; there are: {', '.join(there)}")
    plain: dict[str, Any] = {
        "llms": models,
        "mixtures": {VOTE: {"description": "A vote.", "workers": names, "aggregator": {"method": "vote"}}},
        "limits": {"calls": max(16, len(names))},
    }
    return load_config(plain)


def replayed(config: Config, folder: Path, names: Sequence[str]) -> Config:
    """Recorded answers in place of the LLMs of some mixtures; no other LLM is asked."""
    needed = list(dict.fromkeys(llm for name in names for llm in config.mixtures[name].llms))
    unused = LLMConfig(model="scripted/unused")
    llms, problems = dict.fromkeys(config.llms, unused), []
    for name in needed:
        settings = config.llms[name]
        stem = recorded_as(folder, config, name)
        if stem is None:
            used = ", ".join(mixture for mixture in names if name in config.mixtures[mixture].llms)
            tried = " or ".join(f"{stem}.jsonl" for stem in _stems(config, name))
            problems.append(f"--replay {folder}: no answers of {name}, which {used} asks: there is no {tried}")
            continue
        changes = {"model": f"replay/{folder.absolute()}/{stem}", "client": None, "api_base": None, "api_key": None}
        llms[name] = settings.model_copy(update={**changes, "headers": {}, "proxy": None, "pace": None, "retries": 0})
    if problems:
        there = ", ".join(recorded_llms(folder)) or "none at all"
        raise ConfigError([*problems, f"recorded are: {there}; --mixture leaves out mixtures that ask others"])
    # What is missing of addresses and keys matters to nobody here.
    return config.model_copy(update={"llms": llms}).located(Places(config.path))


def recorded_as(folder: Path, config: Config, llm: str) -> str | None:
    """Under which name a folder has recorded answers of an LLM; None: it has none."""
    return next((stem for stem in _stems(config, llm) if _is_recorded(folder, stem)), None)


def _stems(config: Config, llm: str) -> list[str]:
    return list(dict.fromkeys((llm, llm.rpartition("/")[2], config.llms[llm].model.rpartition("/")[2])))


def _is_recorded(folder: Path, stem: str) -> bool:
    try:
        find_recording(f"{folder.absolute()}/{stem}", folder, stem)
    except ConfigError:
        return False
    return True
