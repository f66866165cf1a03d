"""The tools as an agent reads them: what each is for, what goes in, and what comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

from mcp_types import Tool, ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from mollm.config.names import ROUTED
from mollm.errors import RequestError
from mollm.limits import worst_case

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.fields import FieldInfo

    from mollm.catalog import Catalog
    from mollm.types import Answer, Route

AUTO = ROUTED[0]
"""What stands for the router in place of a mixture's name."""

ASK = (
    "Have several LLMs answer a question side by side, and get one answer made of what they say. That takes longer and "
    "costs more than an answer of your own: worth it where a mistake is expensive, where reasonable people would "
    "disagree, or where you want a second opinion."
)
ROUTE = "See which mixture of LLMs `ask` would give a question to, how sure that is, and why. None of them is asked."
MIXTURES = (
    "List the mixtures of LLMs that `ask` knows: what each is for, and the most that one question to it can take."
)

_Arguments = TypeVar("_Arguments", bound=BaseModel)


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class AskedAlone(_In):
    """What `ask` takes where one mixture answers everything."""

    question: str = Field(
        min_length=1, description="Complete in itself: nothing else of your conversation is read by those who answer."
    )
    max_tokens: int | None = Field(None, ge=1, description="The most tokens that the answer may have.")


class Asked(AskedAlone):
    """What `ask` takes where there are several."""

    mixture: str = Field(AUTO, description="Which mixture answers; `auto`: the one that suits the question is picked.")


class Routed(_In):
    """What `route` takes."""

    question: str = Field(min_length=1, description="As for `ask`.")


class Listed(_In):
    """What `mixtures` takes: nothing."""


class Told(BaseModel):
    """What `ask` brings."""

    text: str = Field(description="The answer.")
    mixture: str = Field(description="Which mixture answered.")
    agreement: float | None = Field(
        description="The share of the proposals with the same final answer as most, 0 to 1; null: they have none."
    )
    confidence: float | None = Field(
        description="How probable it is that the answer is right, 0 to 1; null: nobody has measured that."
    )
    degraded: list[str] = Field(description="Why this is not the answer that was planned; empty: it is.")
    calls: int = Field(description="Calls to LLMs.")
    cost_usd: float | None = Field(description="What they cost; null: their prices are not known.")
    seconds: float = Field(description="How long it took.")


class Way(BaseModel):
    """What `route` brings."""

    mixture: str = Field(description="Which mixture would answer.")
    probabilities: dict[str, float] = Field(description="Of each mixture, 0 to 1; empty: the router has no opinion.")
    reason: str = Field(description="Why, in words.")
    is_sure: bool = Field(description="False: nobody knows, and the mixture is the one for such questions.")


class Mixture(BaseModel):
    """One of those that `mixtures` brings."""

    name: str
    description: str = Field(description="What it is for.")
    workers: int = Field(description="LLMs that are asked side by side at most.")
    calls: int = Field(description="Calls to LLMs at most.")
    output_tokens: int = Field(description="Tokens that they write at most.")
    cost_usd: float | None = Field(description="At most, without the question itself; null: prices are not known.")


class Mixtures(BaseModel):
    """What `mixtures` brings."""

    mixtures: list[Mixture]


class _Plain(GenerateJsonSchema):
    """Schemas without titles, which only repeat the names and are read with every question that an agent answers."""

    def field_title_should_be_set(self, schema: Any) -> Literal[False]:
        del schema
        return False

    def model_schema(self, schema: Any) -> dict[str, Any]:
        return {
            key: value for key, value in super().model_schema(schema).items() if key not in ("title", "description")
        }


def tools_of(catalog: Catalog, pinned: str | None) -> list[Tool]:
    """Describe the tools; `pinned`: the one mixture that answers everything."""
    found = mixtures_of(catalog, pinned)
    lines = "\n".join(f"- {one.name}: {' '.join(one.description.split())} ({_most(one)})" for one in found)
    if pinned is not None:
        return [_tool("ask", "Ask a panel of LLMs", f"{ASK}\n\nWho answers:\n{lines}", AskedAlone, Told)]
    ask = _tool("ask", "Ask a panel of LLMs", f"{ASK}\n\nMixtures:\n{lines}", Asked, Told)
    ask.input_schema["properties"]["mixture"]["enum"] = [AUTO, *(one.name for one in found)]
    return [
        ask,
        _tool("route", "Pick a mixture", ROUTE, Routed, Way),
        _tool("mixtures", "List the mixtures", MIXTURES, Listed, Mixtures, is_open=False),
    ]


def _most(mixture: Mixture) -> str:
    return "1 call" if mixture.calls == 1 else f"at most {mixture.calls} calls"


def _tool(
    name: str, title: str, description: str, takes: type[BaseModel], brings: type[BaseModel], *, is_open: bool = True
) -> Tool:
    return Tool(
        name=name,
        title=title,
        description=description,
        input_schema=takes.model_json_schema(schema_generator=_Plain),
        output_schema=brings.model_json_schema(schema_generator=_Plain, mode="serialization"),
        annotations=ToolAnnotations(read_only_hint=True, open_world_hint=is_open),
    )


def read(kind: type[_Arguments], arguments: Mapping[str, Any] | None) -> _Arguments:
    """Read the arguments of a call. Raises `RequestError`, which names the first that is wrong."""
    try:
        return kind.model_validate(arguments or {})
    except ValidationError as error:
        raise RequestError(next(_problems(error, kind.model_fields))) from None


def _problems(error: ValidationError, known: Mapping[str, FieldInfo]) -> Iterator[str]:
    for found in error.errors(include_url=False, include_input=False, include_context=False):
        name = ".".join(str(part) for part in found["loc"])
        if found["type"] == "missing":
            yield f"{name}: is required"
        elif found["type"] == "extra_forbidden":
            yield f"{name[:100]}: is no argument; there are: {', '.join(known) or 'none'}"
        else:
            yield f"{name}: {found['msg'].replace('Input should be', 'must be').replace('String should', 'must')}"


def mixtures_of(catalog: Catalog, pinned: str | None) -> list[Mixture]:
    """The mixtures that may be asked, with the worst case of one question to each."""
    return [_mixture(catalog, name) for name in ([pinned] if pinned is not None else catalog.mixtures)]


def _mixture(catalog: Catalog, name: str) -> Mixture:
    mixture = catalog.mixture(name)
    worst = worst_case(catalog.plan(name)[0], catalog.llms)
    return Mixture(
        name=name,
        description=mixture.description,
        workers=mixture.planned,
        calls=worst.calls,
        output_tokens=worst.output_tokens,
        cost_usd=worst.cost_usd,
    )


def told(answer: Answer) -> Told:
    """Lay out an answer."""
    return Told(
        text=whole(answer.text),
        mixture=answer.mixture,
        agreement=answer.agreement,
        confidence=answer.confidence,
        degraded=[whole(reason) for reason in answer.degraded],
        calls=answer.calls,
        cost_usd=answer.cost_usd,
        seconds=round(answer.seconds, 3),
    )


def way(route: Route) -> Way:
    """Lay out the decision of a router."""
    return Way(
        mixture=route.mixture,
        probabilities=route.probabilities,
        reason=whole(route.reason),
        is_sure=route.is_sure,
    )


def whole(text: str) -> str:
    """Replace halves of characters that a provider cut in two: the SDK can write none, and would end with the first."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
