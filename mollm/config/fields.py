"""What the sections of a configuration have in common: how strict they are, and the types of their keys."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.fields import FieldInfo  # noqa: TC002 - pydantic evaluates the annotations

from mollm.config.masking import fields, shown

MAX_COUNT = 1_000_000_000
"""Of anything; a number that Python itself refuses to print would break the message about it."""


def _as_list(value: Any) -> Any:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise ValueError("must be text, or a list of text")
    return value


def _number_or_all(value: Any) -> Any:
    if value == "all" or (type(value) is int and 1 <= value <= MAX_COUNT):
        return value
    raise ValueError("must be a number of at least 1, or 'all'")


MAJORITY: Literal["majority"] = "majority"
"""More than half of those that were asked."""


def _votes_or_probability(value: Any) -> Any:
    if (
        value == MAJORITY
        or (type(value) is int and 2 <= value <= MAX_COUNT)
        or (type(value) is float and 0 < value < 1)
    ):
        return value
    raise ValueError("must be a number of at least 2, 'majority', or a probability above 0 and below 1")


T = TypeVar("T")
OneOrMoreOf: TypeAlias = Annotated[list[T], BeforeValidator(_as_list, json_schema_input_type=str | list[str])]
OneOrMore: TypeAlias = OneOrMoreOf[str]
NumberOrAll: TypeAlias = Annotated[
    int | Literal["all"], BeforeValidator(_number_or_all, json_schema_input_type=int | Literal["all"])
]
VotesOrProbability: TypeAlias = Annotated[
    int | float | Literal["majority"],
    BeforeValidator(_votes_or_probability),
    WithJsonSchema(
        {
            "anyOf": [
                {"minimum": 2, "maximum": MAX_COUNT, "type": "integer"},
                {"exclusiveMinimum": 0, "exclusiveMaximum": 1, "type": "number"},
                {"const": MAJORITY, "type": "string"},
            ]
        }
    ),
]
Count: TypeAlias = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Seconds: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]


ExtraBody: TypeAlias = Annotated[dict[str, Any], AfterValidator(fields), PlainSerializer(shown)]


def keys_of(section: type[BaseModel]) -> dict[str, FieldInfo]:
    """The keys of a section as a file has them; `from`, which is no name in Python, has another one there."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


class Section(BaseModel):
    """A mapping in the file: unknown keys are errors, and values are not converted."""

    # The input of a pydantic error may be a key.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Sampling(Section):
    """Request fields that an LLM and a worker both set; the worker's win."""

    temperature: float | None = Field(None, ge=0, le=2, description="Unset: a worker's LLM's, then the provider's.")
    top_p: float | None = Field(None, gt=0, le=1, description="As `temperature`.")
    stop: OneOrMore | None = Field(None, description="Texts at which the LLM stops.")
    seed: int | None = Field(None, ge=-(2**63), lt=2**63, description="Sampling seed, where the provider honors one.")
    extra_body: ExtraBody = Field({}, description="Further request fields, sent unchanged; texts are masked.")
