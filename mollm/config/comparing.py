"""What a configuration may say about comparing proposals before the answer is written."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from mollm.config.fields import Count, OneOrMore, Seconds, Section


def _analysis(value: Any) -> Any:
    return {} if value is True else None if value is False else value


def _all(value: Any) -> Any:
    if value != "all":
        raise ValueError(
            "must be `all`: dropping proposals by rank or agreement was measured to cost 0.11 to 0.13 of quality on "
            "contested questions"
        )
    return value


def _workers_or_llms(value: Any) -> Any:
    if value != "workers" and not isinstance(value, list):
        raise ValueError("must be `workers`, or a list of LLMs")
    return value


def _said(value: list[str]) -> list[str]:
    if not all(text.strip() for text in value):
        raise ValueError("a criterion has to say something; leave an empty one out")
    return value


Criteria: TypeAlias = Annotated[OneOrMore, AfterValidator(_said)]


class AnalysisConfig(Section):
    """An LLM compares the proposals, and who writes the answer reads what it found."""

    llm: str | None = Field(None, description="Unset: the LLM of the aggregator.")
    prompt: str | None = Field(None, description="A prompt file, or (if it contains white space) the prompt itself.")
    criteria: Criteria = Field([], description="What the proposals are compared by, beside the question.")
    max_tokens: Count | None = Field(None, description="Unset: the LLM's.")


Analysis: TypeAlias = Annotated[
    AnalysisConfig | None, BeforeValidator(_analysis, json_schema_input_type=bool | AnalysisConfig | None)
]


Reviewers: TypeAlias = Annotated[
    Literal["workers"] | list[str],
    BeforeValidator(_workers_or_llms, json_schema_input_type=Literal["workers"] | list[str]),
]


class ReviewConfig(Section):
    """Reviewers rank the proposals of others, without knowing whose they are."""

    by: Reviewers = Field("workers", description="`workers`: each ranks the proposals of the others; or LLMs.")
    criteria: Criteria = Field([], description="What the proposals are ranked by, beside the question.")
    prompt: str | None = Field(None, description="A prompt file, or (if it contains white space) the prompt itself.")
    keep: Annotated[Literal["all"], BeforeValidator(_all, json_schema_input_type=Literal["all"])] = Field(
        "all", description="No proposal is dropped by its rank."
    )
    max_tokens: Count | None = Field(None, description="Unset: the LLM's.")


class ScoreConfig(Section):
    """A function of one's own scores each proposal, and the best one is the answer."""

    python: str = Field(
        description="The function, as `package.module:function`; its module may lie beside the file. It takes the "
        "question and a proposal, and returns a number, the higher the better."
    )
    seconds: Seconds = Field(60, description="Seconds for one proposal; one that takes longer has no score.")
