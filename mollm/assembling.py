"""From a section of the configuration to a mixture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from mollm.aggregation.acting import Acting
from mollm.aggregation.best import Best
from mollm.aggregation.guarding import Guard
from mollm.aggregation.highest import Highest
from mollm.aggregation.keeping import Keeping
from mollm.aggregation.rewriting import Rewriter
from mollm.aggregation.synthesize import Synthesize
from mollm.aggregation.vote import Vote
from mollm.aggregation.writing import Writers
from mollm.asking import Rules
from mollm.calibrated import calibration_of
from mollm.comparing.analysis import Analyst
from mollm.comparing.inquiry import Inquiry
from mollm.comparing.judge import Judge
from mollm.comparing.review import Review
from mollm.config.effect_problems import NEEDS_VECTORS
from mollm.config.imported import imported
from mollm.embeddings.alike import MOST_SECONDS, SHARE, Alike
from mollm.errors import ConfigError, PromptError
from mollm.mixing.registry import build_chooser
from mollm.mixture import Mixture
from mollm.options import Settings
from mollm.prompts import load_prompt
from mollm.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mollm.aggregation.base import Aggregator
    from mollm.config.config import Config
    from mollm.config.mixtures import MixtureConfig, WorkerConfig
    from mollm.embeddings.base import Embedder
    from mollm.prompts import Prompt
    from mollm.prompts import Role as PromptRole
    from mollm.types import Role

AGGREGATORS: dict[str, Callable[[Writers], Aggregator]] = {"synthesize": Synthesize, "vote": Vote, "best": Best}
DEFAULT_PROMPTS = {"best": "prompts/aggregator/best.md"}
DEFAULT_PROMPT = "prompts/aggregator/default.md"
TOOLS_PROMPT = "prompts/aggregator/tools.md"
FORM_PROMPT = "prompts/aggregator/form.md"
ANALYST_PROMPT = "prompts/analyst/default.md"
REVIEWER_PROMPT = "prompts/reviewer/default.md"
GUARD_PROMPT = "prompts/aggregator/guard.md"
STREAMED_PROMPT = "prompts/aggregator/guard_streamed.md"


def mixture_of(
    config: Config,
    name: str,
    section: MixtureConfig,
    aggregators: Mapping[str, Aggregator],
    embedder: Embedder | None = None,
) -> Mixture:
    """Build the mixture of a section.

    Args:
        config: The configuration.
        name: Of the mixture.
        section: What it says of the mixture.
        aggregators: Aggregators beside the built-in ones, by `method`.
        embedder: Makes vectors of texts, where the mixture compares some; None: nothing does.

    Raises:
        ConfigError: Its aggregator was not given, or its chooser, its score or its embedder cannot be used.
        PromptError: A prompt cannot be used.
    """
    method = section.aggregator.method
    if method not in aggregators and method not in AGGREGATORS:
        where = config.place("mixtures", name, "aggregator", "method")
        raise ConfigError(f"{where}: {method!r} was not given; hand it over as `aggregators={{{method!r}: ...}}`")
    return _Assembly(config, name, section, embedder).mixture(aggregators.get(method))


@dataclass(frozen=True)
class _Assembly:
    """The parts of a mixture, each from what its section says."""

    config: Config
    name: str
    section: MixtureConfig
    embedder: Embedder | None

    def mixture(self, aggregator: Aggregator | None) -> Mixture:
        """All parts; `aggregator`: the one that was given, None: a built-in one."""
        section, workers = self.section, workers_of(self.config, self.name, self.section)
        calibration = calibration_of(self.config, self.name, section, workers)
        if section.logprobs or (calibration is not None and calibration.uses_logprobs):
            workers = tuple(replace(worker, wants_logprobs=True) for worker in workers)
        # An aggregator that picks is asked for a number; a worker of a later layer is asked for an answer.
        is_asked_for_number = section.aggregator.method == "best"
        form = self.prompt(FORM_PROMPT, "aggregator", "aggregator", "prompt")
        plain = self.prompt(DEFAULT_PROMPT, "aggregator", "aggregator", "prompt")
        return Mixture(
            name=self.name,
            description=section.description,
            workers=workers,
            rules=rules_of(section),
            method=section.aggregator.method,
            aggregator=self.aggregator if aggregator is None else aggregator,
            llm=section.aggregator_llm,
            layer_prompt=plain if is_asked_for_number else self.writers.prompt,
            on_tools=section.on_tools or ("alone" if section.is_bypass else "after"),
            tools_llm=section.acting_llm,
            acting=self.acting,
            max_tokens=self.max_tokens,
            rewriter=Rewriter(replace(self.writers, prompt=form), tuple(dict.fromkeys(w.llm for w in workers))),
            guard=self.guard,
            alike=self.alike,
            keeping=None if section.aggregator.keep_above is None else Keeping(section.aggregator.keep_above),
            shuffle=section.shuffle,
            review=self.review,
            analyst=self.analyst,
            calibration=calibration,
            judge=self.judge,
            chooser=build_chooser(section.choose, self.config, self.name),
        )

    def place(self, *key: str) -> str:
        """Where a key of the section stands."""
        return self.config.place("mixtures", self.name, *key)

    def prompt(self, reference: str, role: PromptRole, *key: str) -> Prompt:
        """Load the prompt that a key names, or that is used where it names none."""
        return load_prompt(self.config, reference, role, self.place(*key))

    @cached_property
    def max_tokens(self) -> dict[str, int]:
        """By LLM, the most tokens of a reply."""
        return {llm: self.config.llms[llm].max_tokens for llm in self.section.llms}

    @cached_property
    def writers(self) -> Writers:
        """Who writes the answer."""
        aggregator = self.section.aggregator
        reference = aggregator.prompt or default_prompt(aggregator.method)
        return Writers(
            llm=self.section.aggregator_llm,
            prompt=self.prompt(reference, "aggregator", "aggregator", "prompt"),
            fallback_llm=aggregator.fallback_llm,
            settings=Settings(max_tokens=aggregator.max_tokens, temperature=aggregator.temperature),
            shuffle=self.section.shuffle,
            max_tokens=self.max_tokens,
        )

    @property
    def aggregator(self) -> Aggregator:
        """Makes the answer of the proposals."""
        aggregator = self.section.aggregator
        return Highest() if aggregator.score else AGGREGATORS[aggregator.method](self.writers)

    @property
    def acting(self) -> Acting:
        """Lets the LLM for tools read the proposals."""
        prompt = self.prompt(TOOLS_PROMPT, "aggregator", "on_tools")
        return Acting(replace(self.writers, llm=self.section.acting_llm, prompt=prompt, role="tools"))

    @property
    def guard(self) -> Guard | None:
        """Holds answers to the facts of the proposals."""
        if self.section.aggregator.guard == "none":
            return None
        again, further = (
            replace(self.writers, prompt=self.prompt(file, "aggregator", "aggregator", "guard"), shuffle=False)
            for file in (GUARD_PROMPT, STREAMED_PROMPT)
        )
        # Only an LLM that may write an answer is told.
        named = (self.section.aggregator_llm, self.section.aggregator.fallback_llm, self.section.acting_llm)
        return Guard(again, further, tuple(dict.fromkeys(filter(None, named))))

    @property
    def alike(self) -> Alike | None:
        """Compares open texts."""
        if self.section.alike is None or self.section.is_bypass:
            return None
        if self.embedder is None:
            raise ConfigError(f"{self.place('alike')}: {NEEDS_VECTORS}")
        return Alike(self.embedder, self.section.alike, min(MOST_SECONDS, SHARE * self.section.deadline))

    @property
    def review(self) -> Review | None:
        """Ranks the proposals."""
        review = self.section.review
        if review is None or self.section.is_bypass:
            return None
        prompt = self.prompt(review.prompt or REVIEWER_PROMPT, "reviewer", "review", "prompt")
        # The temperature is the LLM's own: some refuse any other, and would never have a voice.
        settings = Settings(max_tokens=review.max_tokens)
        inquiry = self.inquiry("reviewer", prompt, review.criteria, settings, "review", "criteria")
        return Review(
            tuple(self.section.reviewers),
            inquiry,
            by_workers=review.by == "workers",
            widen_after=self.section.widen_after,
        )

    @property
    def analyst(self) -> Analyst | None:
        """Compares the proposals."""
        analysis, llm = self.section.aggregator.analysis, self.section.analyst
        if analysis is None or llm is None:
            return None
        prompt = self.prompt(analysis.prompt or ANALYST_PROMPT, "analyst", "aggregator", "analysis", "prompt")
        settings = Settings(max_tokens=analysis.max_tokens, temperature=0.0)
        where = ("aggregator", "analysis", "criteria")
        return Analyst(llm, self.inquiry("analyst", prompt, analysis.criteria, settings, *where))

    def inquiry(self, role: Role, prompt: Prompt, criteria: Sequence[str], settings: Settings, *key: str) -> Inquiry:
        """What reviewers and the analyst are asked. Raises `PromptError` if criteria, at `key`, go unread."""
        if criteria and "criteria" not in prompt.template.placeholders:
            raise PromptError(f"{self.place(*key)}: has no effect: the prompt has no placeholder {{{{ criteria }}}}")
        return Inquiry(
            role,
            prompt,
            tuple(criteria),
            settings,
            self.max_tokens,
            shuffle=self.section.shuffle,
            deadline=self.section.deadline,
        )

    @property
    def judge(self) -> Judge | None:
        """Scores the proposals. Raises `ConfigError` if there is no such function."""
        score = self.section.aggregator.score
        if score is None:
            return None
        try:
            return Judge.of(imported(score.python, self.config.path), score.python, score.seconds)
        except ConfigError as error:
            where = self.place("aggregator", "score", "python")
            raise ConfigError(f"{where}: {error}") from error


def default_prompt(method: str) -> str:
    """The default prompt for a method of aggregating."""
    return DEFAULT_PROMPTS.get(method, DEFAULT_PROMPT)


def rules_of(mixture: MixtureConfig) -> Rules:
    """The rules by which the workers of a mixture are asked."""
    planned = mixture.planned
    return Rules(
        ask_first=planned if mixture.ask_first == "all" else mixture.ask_first,
        agree=mixture.votes,
        majority=mixture.majority,
        sure=mixture.sure,
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
