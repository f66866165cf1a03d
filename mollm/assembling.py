"""From a section of the configuration to a mixture, and from two mixtures to one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mollm.aggregation.acting import Acting
from mollm.aggregation.base import picks
from mollm.aggregation.best import Best
from mollm.aggregation.guarding import Guard
from mollm.aggregation.highest import Highest
from mollm.aggregation.rewriting import Rewriter
from mollm.aggregation.synthesize import Synthesize
from mollm.aggregation.vote import Vote
from mollm.aggregation.writing import Writers
from mollm.comparing.analysis import Analyst
from mollm.comparing.inquiry import Inquiry
from mollm.comparing.judge import Judge
from mollm.comparing.review import Review
from mollm.config.imported import imported
from mollm.config.mixtures import AggregatorConfig
from mollm.errors import ConfigError, PromptError, UnknownMixture
from mollm.mixing.registry import build_chooser
from mollm.mixture import Mixture
from mollm.options import Settings
from mollm.prompts import load_prompt
from mollm.workers import Rules, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mollm.aggregation.base import Aggregator
    from mollm.config.config import Config
    from mollm.config.mixtures import MixtureConfig, WorkerConfig

AGGREGATORS: dict[str, Callable[[Writers], Aggregator]] = {"synthesize": Synthesize, "vote": Vote, "best": Best}
DEFAULT_PROMPTS = {"best": "prompts/aggregator/best.md"}
DEFAULT_PROMPT = "prompts/aggregator/default.md"
TOOLS_PROMPT = "prompts/aggregator/tools.md"
FORM_PROMPT = "prompts/aggregator/form.md"
ANALYST_PROMPT = "prompts/analyst/default.md"
REVIEWER_PROMPT = "prompts/reviewer/default.md"
GUARD_PROMPT = "prompts/aggregator/guard.md"
STREAMED_PROMPT = "prompts/aggregator/guard_streamed.md"


def mixture_of(config: Config, name: str, section: MixtureConfig, aggregators: Mapping[str, Aggregator]) -> Mixture:
    """Build the mixture of a section.

    Args:
        config: The configuration.
        name: Of the mixture.
        section: What it says of the mixture.
        aggregators: Aggregators beside the built-in ones, by `method`.

    Raises:
        ConfigError: Its aggregator was not given, or its chooser or its score cannot be used.
        PromptError: A prompt cannot be used.
    """
    method = section.aggregator.method
    if method not in aggregators and method not in AGGREGATORS:
        where = config.place("mixtures", name, "aggregator", "method")
        raise ConfigError(f"{where}: {method!r} was not given; hand it over as `aggregators={{{method!r}: ...}}`")
    where = config.place("mixtures", name, "aggregator", "prompt")
    prompt = load_prompt(config, section.aggregator.prompt or default_prompt(method), "aggregator", where)
    max_tokens = {llm: config.llms[llm].max_tokens for llm in section.llms}
    writers = Writers(
        llm=section.aggregator_llm,
        prompt=prompt,
        fallback_llm=section.aggregator.fallback_llm,
        settings=Settings(max_tokens=section.aggregator.max_tokens, temperature=section.aggregator.temperature),
        shuffle=section.shuffle,
        max_tokens=max_tokens,
    )
    workers = workers_of(config, name, section)
    again = replace(writers, prompt=load_prompt(config, FORM_PROMPT, "aggregator", where))
    # An aggregator that picks is asked for a number; a worker of a later layer is asked for an answer.
    is_judge = method == "best"
    return Mixture(
        name=name,
        description=section.description,
        workers=workers,
        rules=rules_of(section),
        method=method,
        aggregator=aggregators[method] if method in aggregators else _aggregator(section, writers),
        llm=section.aggregator_llm,
        layer_prompt=load_prompt(config, DEFAULT_PROMPT, "aggregator", where) if is_judge else prompt,
        on_tools=section.on_tools or ("alone" if section.is_bypass else "after"),
        tools_llm=section.acting_llm,
        acting=_acting(config, name, section, writers),
        max_tokens=max_tokens,
        rewriter=Rewriter(again, tuple(dict.fromkeys(worker.llm for worker in workers))),
        guard=_guard(config, name, section, writers),
        shuffle=section.shuffle,
        review=_review(config, name, section, max_tokens),
        analyst=_analyst(config, name, section, max_tokens),
        judge=_judge(config, name, section),
        chooser=build_chooser(section.choose, config, name),
    )


def _review(config: Config, name: str, section: MixtureConfig, max_tokens: Mapping[str, int]) -> Review | None:
    review = section.review
    if review is None or section.is_bypass:
        return None
    where = config.place("mixtures", name, "review", "prompt")
    prompt = load_prompt(config, review.prompt or REVIEWER_PROMPT, "reviewer", where)
    if review.criteria and "criteria" not in prompt.template.placeholders:
        where = config.place("mixtures", name, "review", "criteria")
        raise PromptError(f"{where}: has no effect: the prompt has no placeholder {{{{ criteria }}}}")
    return Review(
        tuple(section.reviewers),
        Inquiry(
            "reviewer",
            prompt,
            tuple(review.criteria),
            # The temperature is the LLM's own: some refuse any other, and would never have a voice.
            Settings(max_tokens=review.max_tokens),
            max_tokens,
            shuffle=section.shuffle,
            deadline=section.deadline,
        ),
        by_workers=review.by == "workers",
        widen_after=section.widen_after,
    )


def _analyst(config: Config, name: str, section: MixtureConfig, max_tokens: Mapping[str, int]) -> Analyst | None:
    analysis, llm = section.aggregator.analysis, section.analyst
    if analysis is None or llm is None:
        return None
    where = config.place("mixtures", name, "aggregator", "analysis", "prompt")
    inquiry = Inquiry(
        "analyst",
        load_prompt(config, analysis.prompt or ANALYST_PROMPT, "analyst", where),
        tuple(analysis.criteria),
        Settings(max_tokens=analysis.max_tokens, temperature=0.0),
        max_tokens,
        shuffle=section.shuffle,
        deadline=section.deadline,
    )
    return Analyst(llm, inquiry)


def _guard(config: Config, name: str, section: MixtureConfig, writers: Writers) -> Guard | None:
    if section.aggregator.guard == "none":
        return None
    where = config.place("mixtures", name, "aggregator", "guard")
    again, further = (
        replace(writers, prompt=load_prompt(config, file, "aggregator", where), shuffle=False)
        for file in (GUARD_PROMPT, STREAMED_PROMPT)
    )
    # Only an LLM that may write an answer is told.
    named = (section.aggregator_llm, section.aggregator.fallback_llm, section.acting_llm)
    return Guard(again, further, tuple(dict.fromkeys(filter(None, named))))


def _aggregator(section: MixtureConfig, writers: Writers) -> Aggregator:
    return Highest() if section.aggregator.score else AGGREGATORS[section.aggregator.method](writers)


def _judge(config: Config, name: str, section: MixtureConfig) -> Judge | None:
    """Who scores the proposals. Raises `ConfigError` if there is no such function."""
    score = section.aggregator.score
    if score is None:
        return None
    try:
        return Judge.of(imported(score.python, config.path), score.python, score.seconds)
    except ConfigError as error:
        where = config.place("mixtures", name, "aggregator", "score", "python")
        raise ConfigError(f"{where}: {error}") from error


def _acting(config: Config, name: str, section: MixtureConfig, writers: Writers) -> Acting:
    prompt = load_prompt(config, TOOLS_PROMPT, "aggregator", config.place("mixtures", name, "on_tools"))
    return Acting(replace(writers, llm=section.acting_llm, prompt=prompt, role="tools"))


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
        "aggregator": aggregator,
        "ask_first": "all",
        "agree": None,
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


def default_prompt(method: str) -> str:
    """The default prompt for a method of aggregating."""
    return DEFAULT_PROMPTS.get(method, DEFAULT_PROMPT)


def rules_of(mixture: MixtureConfig) -> Rules:
    """The rules by which the workers of a mixture are asked."""
    planned = mixture.planned
    return Rules(
        ask_first=planned if mixture.ask_first == "all" else mixture.ask_first,
        agree=mixture.agree,
        widen=planned if mixture.widen == "all" else mixture.widen,
        widen_after=mixture.widen_after,
        enough=mixture.enough or planned,
        grace=mixture.grace or 0.0,
        quorum=mixture.quorum,
        deadline=mixture.deadline,
        layers=mixture.layers,
    )


def workers_of(config: Config, name: str, mixture: MixtureConfig) -> tuple[Worker, ...]:
    """The workers of a mixture, one for each sample.

    Raises:
        PromptError: A prompt cannot be used.
    """
    workers: list[Worker] = []
    for index, worker in enumerate(mixture.listed):
        where = config.place("mixtures", name, "workers", index, "prompt")
        persona = None
        if worker.prompt:
            prompt = load_prompt(config, worker.prompt, "worker", where)
            persona = prompt.render(mixture=name, description=mixture.description)
        before = sum(other.llm == worker.llm for other in workers)
        seed = worker.seed if worker.seed is not None or worker.llm not in config.llms else config.llms[worker.llm].seed
        workers += [_worker(worker, persona, seed, before + sample) for sample in range(worker.samples)]
    return tuple(workers)


def _worker(worker: WorkerConfig, persona: str | None, seed: int | None, sample: int) -> Worker:
    settings = Settings(
        max_tokens=worker.max_tokens,
        temperature=worker.temperature,
        top_p=worker.top_p,
        stop=tuple(worker.stop) if worker.stop else None,
        # The same seed for every sample would make them equal, and equal answers agree.
        seed=None if seed is None else seed + sample,
        extra_body=worker.extra_body,
    )
    name = f"{worker.llm}#{sample + 1}" if sample else worker.llm
    return Worker(name, worker.llm, persona, worker.system, settings, sample)
