"""What a configuration may say about a mixture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, Tag, WithJsonSchema

from mollm.config.arms import Arms
from mollm.config.comparing import Analysis, ReviewConfig, ScoreConfig
from mollm.config.fields import MAJORITY, Count, NumberOrAll, Sampling, Seconds, Section, VotesOrProbability
from mollm.types import OnTools

if TYPE_CHECKING:
    from collections.abc import Sequence

METHODS: tuple[str, ...] = ("synthesize", "vote", "best")
"""Of aggregators; `load_config` takes the names of further ones."""


def _worker(value: Any) -> Any:
    return {"llm": value} if isinstance(value, str) else value


class WorkerConfig(Sampling):
    """One LLM with its prompt and settings inside a mixture."""

    llm: str = Field(description="Name of the LLM; a worker may also be given as this name alone.")
    prompt: str | None = Field(None, description="A prompt file, or (if it contains white space) the prompt itself.")
    system: str | None = Field(None, description="Replaces the caller's system message.")
    samples: int = Field(1, ge=1, le=64, description="How many times it is asked; each time is a proposal of its own.")
    max_tokens: Count | None = Field(None, description="Unset: the LLM's.")


class AggregatorConfig(Section):
    """How proposals become the answer."""

    method: Annotated[str, WithJsonSchema({"enum": list(METHODS), "type": "string"})] = Field(
        "synthesize", description="Write the answer, take the one most agree on, or let the LLM pick one."
    )
    llm: str | None = Field(
        None, description="Unset: the first worker's; `vote`, and `best` of reviewed proposals, then call none."
    )
    prompt: str | None = Field(None, description="A prompt file, or (if it contains white space) the prompt itself.")
    fallback_llm: str | None = Field(
        None, description="Called where `llm` fails; unset: the best proposal is then the answer."
    )
    max_tokens: Count | None = Field(None, description="Unset: the LLM's.")
    temperature: float | None = Field(None, ge=0, le=2, description="Unset: the LLM's.")
    guard: Literal["none", "facts"] = Field(
        "none",
        description="`facts`: those on which most proposals agree have to stand in an answer that an LLM writes.",
    )
    keep_above: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Probability from which on the proposal of a group that agrees is the answer although the LLM "
        "contradicts it; needs `calibration`.",
    )
    analysis: Analysis = Field(
        None, description="`true`, or how an LLM compares the proposals before the answer is written."
    )
    score: ScoreConfig | None = Field(
        None, description="For `best`: a function of your own that scores each proposal, in place of the LLM."
    )


Worker: TypeAlias = Annotated[WorkerConfig, BeforeValidator(_worker, json_schema_input_type=str | WorkerConfig)]


class ChooseConfig(Section):
    """How the workers are picked for each question."""

    most: Count = Field(description="Workers at most; fewer where a further one is not worth its price, or a limit.")
    candidates: list[str] = Field(
        min_length=1, alias="from", description="LLMs among which it picks; the order that counts where it cannot."
    )
    by: Literal["predicted", "router_llm"] = Field(
        "predicted", description="The quality that recorded scores predict, or an LLM that reads the descriptions."
    )
    path: str | None = Field(None, description="Folder of a trained chooser, for `predicted`.")
    quality_weight: float = Field(
        0.5, ge=0, le=1, description="For `predicted`: 1 counts quality alone, 0 price alone."
    )
    llm: str | None = Field(None, description="For `router_llm`: the LLM that picks; unset: the router's.")


class ChosenWorkers(Section):
    """Workers that are picked for each question, in place of a list."""

    choose: ChooseConfig = Field(description="How they are picked.")


def _form(value: Any) -> str:
    return "[chosen]" if isinstance(value, dict | ChosenWorkers) else "[listed]"


Workers: TypeAlias = Annotated[
    Annotated[list[Worker], Field(min_length=1), Tag("[listed]")] | Annotated[ChosenWorkers, Tag("[chosen]")],
    Discriminator(_form),
]
"""The tags stand in the locations of pydantic's errors, and no key of a file looks like them."""


class Described(Section):
    """What routers and people read of a mixture."""

    description: str = Field(min_length=1, description="What it is for; prompts and routers read it.")
    examples: list[str] | str = Field([], description="Questions that belong here: a list, or a file, one per line.")


class PanelConfig(Section):
    """Workers and an aggregator: what a mixture of the file and a panel for one request have in common."""

    workers: Workers = Field(description="Listed best first, or `choose`: picked for each question.")
    aggregator: AggregatorConfig = Field(AggregatorConfig(), description="How proposals become the answer.")
    ask_first: NumberOrAll = Field("all", description="How many calls start at once.")
    agree: VotesOrProbability | None = Field(
        None,
        description="Stop when so many have the same final answer, when more than half of those asked have "
        "(`majority`), or when the one that leads is right with this probability, which needs `calibration`; unset: "
        "never.",
    )
    calibration: str | None = Field(
        None,
        description="File that `mollm eval mixtures --calibrate` wrote for these workers; answers then say how "
        "probable it is that they are right.",
    )
    logprobs: bool = Field(
        False,
        description="Ask workers for the log-probabilities of their replies, where their LLMs tell them: "
        "`logprob` of a proposal is their mean, and a calibration may use it.",
    )
    alike: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Cosine of the vectors of two open texts from which on they agree; needs `embeddings`. Unset: "
        "texts without a final answer agree with no other.",
    )
    widen: NumberOrAll = Field(1, description="How many more start when all have settled without agreement.")
    widen_after: Seconds | None = Field(None, description="Seconds after which the next start without waiting.")
    enough: Count | None = Field(None, description="Go on when so many have arrived; unset: all that were planned.")
    grace: Seconds | None = Field(
        None, description="Seconds more for calls that run when `enough` have arrived; unset: none."
    )
    review: ReviewConfig | None = Field(None, description="How reviewers rank the proposals; unset: nobody does.")
    quorum: Count = Field(1, description="Fewer proposals at the end of a layer are an error.")
    deadline: Seconds = Field(120, description="Seconds for a layer; no worker is waited for longer.")
    layers: int = Field(1, ge=1, le=3, description="Rounds; a later one reads the proposals of the one before.")
    shuffle: bool = Field(True, description="Shuffle the proposals that the aggregator, an analyst and reviewers read.")
    on_tools: OnTools | None = Field(
        None,
        description="What a request with tools gets: `after`: the workers propose, then the LLM for tools acts on what "
        "they say; `every`: they propose again after each result of a tool; `alone`: that LLM acts without them. "
        "Unset: `after` with several workers, else `alone`.",
    )
    tools_llm: str | None = Field(None, description="Has the tools of a request; unset: the LLM of the aggregator.")

    @property
    def votes(self) -> int | None:
        """How many equal final answers `agree` asks for; None where it asks for none."""
        return self.agree if isinstance(self.agree, int) else None

    @property
    def majority(self) -> bool:
        """Whether `agree` asks for more than half of those that were asked."""
        return self.agree == MAJORITY

    @property
    def sure(self) -> float | None:
        """The probability that `agree` asks for; None where it asks for none."""
        return self.agree if isinstance(self.agree, float) else None

    @property
    def choose(self) -> ChooseConfig | None:
        """How its workers are picked; None where they are listed."""
        return self.workers.choose if isinstance(self.workers, ChosenWorkers) else None

    @property
    def listed(self) -> list[WorkerConfig]:
        """The workers, or those among which they are picked."""
        if isinstance(self.workers, ChosenWorkers):
            return [WorkerConfig(llm=name) for name in self.workers.choose.candidates]
        return self.workers

    @property
    def planned(self) -> int:
        """Proposals in one layer when all of them are asked."""
        return self.choose.most if self.choose else sum(worker.samples for worker in self.listed)

    @property
    def awaited(self) -> int:
        """The most proposals of one layer that there are when the answer is made of them."""
        return self.planned if self.enough is None or self.grace is not None else min(self.enough, self.planned)

    @property
    def is_bypass(self) -> bool:
        """Exactly one planned proposal in one layer: nothing to aggregate."""
        return self.planned == 1 and self.layers == 1

    @property
    def aggregator_llm(self) -> str | None:
        """The LLM that aggregates, if any can be called."""
        if self.is_bypass:
            return None
        if self.aggregator.llm is None and not self.picks_without:
            return self.listed[0].llm
        return self.aggregator.llm

    @property
    def picks_without(self) -> bool:
        """Whether the answer is picked without an LLM that aggregates, unless one is named."""
        is_ranked = self.review is not None or self.aggregator.score is not None
        return self.aggregator.method == "vote" or (self.aggregator.method == "best" and is_ranked)

    @property
    def reviewers(self) -> list[str]:
        """The LLMs that rank the proposals, one for each review; none where nobody does."""
        if self.review is None:
            return []
        if self.review.by == "workers":
            return [worker.llm for worker in self.listed for _ in range(worker.samples)]
        return self.review.by

    @property
    def analyst(self) -> str | None:
        """The LLM that compares the proposals, if one does."""
        analysis = self.aggregator.analysis
        return (analysis.llm or self.aggregator_llm or self.listed[0].llm) if analysis and not self.is_bypass else None

    @property
    def readers(self) -> tuple[str, ...]:
        """The LLMs that read proposals and are no workers, each once: who aggregates, reviews, or compares."""
        names = [self.aggregator_llm, *self.reviewers, self.analyst]
        workers = {worker.llm for worker in self.listed}
        return tuple(dict.fromkeys(name for name in names if name and name not in workers))

    @property
    def acting_llm(self) -> str:
        """The LLM that has the tools of a request."""
        return self.tools_llm or self.aggregator_llm or self.listed[0].llm

    @property
    def llms(self) -> tuple[str, ...]:
        """Every LLM it may call, each once."""
        names = [worker.llm for worker in self.listed]
        asking = self.choose.llm if self.choose else None
        names += [name for name in (self.aggregator_llm, self.aggregator.fallback_llm, asking) if name]
        names += [*self.reviewers, *([self.analyst] if self.analyst else [])]
        return tuple(dict.fromkeys([*names, self.acting_llm]))


class MixtureConfig(PanelConfig, Described):
    """A named set of workers and an aggregator."""

    arms: Arms = Field(
        {},
        description="Shares of its questions, 0 to 1 and together 1: of this mixture under `current`, and of other "
        "mixtures, which answer in its place.",
    )

    def of(self, llms: Sequence[str]) -> Self:
        """The mixture that is made for a question of these LLMs.

        Who aggregates and who has the tools is as in the mixture that chooses, and numbers that so few workers cannot
        meet are lowered.
        """
        count = len(llms)
        on_tools = self.on_tools or ("alone" if self.is_bypass else "after")
        changes = {
            "workers": [WorkerConfig(llm=name) for name in llms],
            "aggregator": self.aggregator.model_copy(update={"llm": self.aggregator_llm}),
            "on_tools": on_tools,
            "tools_llm": self.tools_llm if self.is_bypass and on_tools == "alone" else self.acting_llm,
            "quorum": min(self.quorum, count),
            "agree": None if count == 1 else min(self.votes, count) if self.votes else self.agree,
            "enough": min(self.enough, count) if self.enough else None,
            "ask_first": "all" if self.ask_first == "all" else min(self.ask_first, count),
        }
        return self.model_copy(update=changes)
