"""What a configuration may say about a mixture."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field, WithJsonSchema

from mollm.config.fields import Count, NumberOrAll, Sampling, Seconds, Section
from mollm.types import OnTools

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
    llm: str | None = Field(None, description="Unset: the first worker's; `vote` then never calls one.")
    prompt: str | None = Field(None, description="A prompt file, or (if it contains white space) the prompt itself.")
    fallback_llm: str | None = Field(
        None, description="Called where `llm` fails; unset: the best proposal is then the answer."
    )
    max_tokens: Count | None = Field(None, description="Unset: the LLM's.")
    temperature: float | None = Field(None, ge=0, le=2, description="Unset: the LLM's.")


Worker: TypeAlias = Annotated[WorkerConfig, BeforeValidator(_worker, json_schema_input_type=str | WorkerConfig)]


class MixtureConfig(Section):
    """A named set of workers and an aggregator."""

    description: str = Field(min_length=1, description="What it is for; prompts and routers read it.")
    examples: list[str] | str = Field([], description="Questions that belong here: a list, or a file, one per line.")
    workers: list[Worker] = Field(min_length=1, description="Listed best first.")
    aggregator: AggregatorConfig = Field(AggregatorConfig(), description="How proposals become the answer.")
    ask_first: NumberOrAll = Field("all", description="How many calls start at once.")
    agree: Count | None = Field(None, ge=2, description="Stop when so many have the same final answer; unset: never.")
    widen: NumberOrAll = Field(1, description="How many more start when all have settled without agreement.")
    widen_after: Seconds | None = Field(None, description="Seconds after which the next start without waiting.")
    enough: Count | None = Field(None, description="Go on when so many have arrived; unset: all that were planned.")
    quorum: Count = Field(1, description="Fewer proposals at the end of a layer are an error.")
    deadline: Seconds = Field(120, description="Seconds for a layer; no worker is waited for longer.")
    layers: int = Field(1, ge=1, le=3, description="Rounds; a later one reads the proposals of the one before.")
    shuffle: bool = Field(True, description="Shuffle the proposals that the aggregator reads.")
    on_tools: OnTools | None = Field(
        None,
        description="What a request with tools gets: `after`: the workers propose, then the LLM for tools acts on what "
        "they say; `every`: they propose again after each result of a tool; `alone`: that LLM acts without them. "
        "Unset: `after` with several workers, else `alone`.",
    )
    tools_llm: str | None = Field(None, description="Has the tools of a request; unset: the LLM of the aggregator.")

    @property
    def planned(self) -> int:
        """Proposals in one layer when all of them are asked."""
        return sum(worker.samples for worker in self.workers)

    @property
    def is_bypass(self) -> bool:
        """Exactly one planned proposal in one layer: nothing to aggregate."""
        return self.planned == 1 and self.layers == 1

    @property
    def aggregator_llm(self) -> str | None:
        """The LLM that aggregates, if any can be called."""
        if self.is_bypass:
            return None
        if self.aggregator.llm is None and self.aggregator.method != "vote":
            return self.workers[0].llm
        return self.aggregator.llm

    @property
    def acting_llm(self) -> str:
        """The LLM that has the tools of a request."""
        return self.tools_llm or self.aggregator_llm or self.workers[0].llm

    @property
    def llms(self) -> tuple[str, ...]:
        """Every LLM it may call, each once."""
        names = [worker.llm for worker in self.workers]
        names += [name for name in (self.aggregator_llm, self.aggregator.fallback_llm) if name]
        return tuple(dict.fromkeys([*names, self.acting_llm]))
