"""Who the members of a mixture are, and the panels by which one of them is asked alone, or several times."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from mollm.config.members import SAMPLING, mixture_digest
from mollm.config.panels import KEYS, OwnPanel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mollm.catalog import Catalog
    from mollm.config.config import Config
    from mollm.config.mixtures import MixtureConfig
    from mollm.mixture import Mixture
    from mollm.workers import Worker

TEMPERATURE = 0.7
"""Of a member that is asked several times and has none: equal answers would tell nothing."""


@dataclass(frozen=True, slots=True)
class Member:
    """A worker of a mixture; further samples of it are the same member."""

    name: str
    worker: Worker
    key: str
    """The same for members of several mixtures that are sent the same: they are asked once."""

    @property
    def panel(self) -> OwnPanel:
        """Asks it alone, with the very request of the worker."""
        asks = {"logprobs": True} if self.worker.wants_logprobs else {}
        return OwnPanel({"workers": [_as_listed(self.worker)], **asks})


def members_of(mixture: Mixture, config: Config) -> dict[str, Member]:
    """The members of a mixture by name, in listed order; of one that chooses its workers, all that may be chosen."""
    found: dict[str, Member] = {}
    for worker in mixture.workers:
        # The seed tells samples apart, which are one member all the same.
        identity = _digest(_sent(worker, config, has_seed=False))
        if identity not in found:
            found[identity] = Member(worker.name, worker, _digest(_sent(worker, config)))
    return {member.name: member for member in found.values()}


def readers_of(catalog: Catalog, name: str) -> dict[str, Member]:
    """The LLMs that read the proposals of a mixture and are no workers, by name: what the best of them says alone is
    there for one call, and without the workers."""
    workers = {worker.name for worker in catalog.mixtures[name].workers}
    found: dict[str, Member] = {}
    for llm in catalog.config.mixtures[name].readers:
        (worker,) = catalog.mixture(llm).workers
        called = llm if llm not in workers else f"{llm} (no worker)"
        found[called] = Member(called, worker, _digest(_sent(worker, catalog.config)))
    return found


def themselves(section: MixtureConfig, member: Member, temperature: float | None) -> OwnPanel:
    """The self-mixture: a member, asked as often as the mixture has workers, by the same rules.

    Args:
        section: The mixture.
        member: One of its members.
        temperature: Takes the place of the member's; None: its own.
    """
    planned = section.planned
    listed = section.of([member.worker.llm] * planned) if section.choose else section
    worker = member.worker
    if temperature is not None:
        worker = replace(worker, settings=replace(worker.settings, temperature=temperature))
    plain = listed.model_dump(mode="json", include={*KEYS}, exclude_defaults=True, by_alias=True)
    plain["workers"] = [{**_as_listed(worker), "samples": planned}]
    aggregator = plain.get("aggregator", {})
    if section.aggregator_llm is not None:  # unset, it would be the first worker's
        aggregator = plain["aggregator"] = {**aggregator, "llm": section.aggregator_llm}
    if plain.pop("calibration", None) is not None:  # it is of other workers, and so all are asked
        aggregator.pop("keep_above", None)
        plain |= {"ask_first": "all", "agree": section.votes} if section.sure is not None else {}
    return OwnPanel(plain)


def warmed(member: Member, config: Config) -> float | None:
    """The temperature that a member needs so that its samples differ; None where it has one."""
    own = member.worker.settings.temperature
    own = config.llms[member.worker.llm].temperature if own is None else own
    return None if own else TEMPERATURE


def mixtures_digest(catalog: Catalog) -> str:
    """A digest of all that bears on what the mixtures of a configuration say, prompts included."""
    config = catalog.config
    return _digest(
        [
            [
                name,
                mixture_digest(config, config.mixtures[name]),
                [_sent(worker, config) for worker in mixture.workers],
                list(_prompts(config, config.mixtures[name])),
            ]
            for name, mixture in catalog.mixtures.items()
        ]
    )


def router_digest(config: Config) -> str:
    """A digest of what a router decides by, as far as it stands in the configuration."""
    texts = {name: mixture.description for name, mixture in config.mixtures.items()}
    return _digest([config.router.model_dump(mode="json"), texts, config.examples()])


def _prompts(config: Config, section: MixtureConfig) -> Iterator[str]:
    """What stands in the prompts of a mixture that no worker reads, where they are files."""
    for of in (section.aggregator, section.review, section.aggregator.analysis):
        reference = of.prompt if of else None
        path = config.find(reference.strip()) if reference and reference.strip() else None
        if path is not None:
            yield hashlib.sha256(path.read_bytes()).hexdigest()


def _as_listed(worker: Worker) -> dict[str, Any]:
    settings = worker.settings
    found: Mapping[str, Any] = {
        "llm": worker.llm,
        # As a literal: it is filled in already, and may hold what a template would read.
        "prompt": None if worker.persona is None else _literal(worker.persona),
        "system": worker.system,
        "max_tokens": settings.max_tokens,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "stop": list(settings.stop) if settings.stop else None,
        "seed": settings.seed,
        "extra_body": settings.extra_body or None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _literal(text: str) -> str:
    """A template that renders as `text`, whatever stands in it."""
    escapes = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})
    return f'{{{{ "{text.translate(escapes)}" }}}}'


def _sent(worker: Worker, config: Config, *, has_seed: bool = True) -> list[Any]:
    """What tells the requests of a worker from those of another."""
    settings = worker.settings.payload()
    if not has_seed:
        settings.pop("seed", None)
    llm = config.llms[worker.llm]
    of_llm = llm.model_dump(mode="json", include=set(SAMPLING))
    return [worker.llm, worker.persona, worker.system, settings, of_llm, llm.extra_body, worker.wants_logprobs]


def _digest(value: Any) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=repr)).hexdigest()
