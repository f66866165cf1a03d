"""What a configuration may say about where vectors come from."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SecretStr

from mollm.config.fields import Section
from mollm.config.masking import Address, shown

EmbeddingsKind: TypeAlias = Literal["wordllama", "minilm", "e5", "sentence-transformers", "openai", "python"]
APIBase: TypeAlias = Annotated[
    str | None, AfterValidator(lambda text: None if text is None else Address(text)), PlainSerializer(shown)
]


class EmbeddingsConfig(Section):
    """Where the vectors of texts come from."""

    kind: EmbeddingsKind = Field(
        description="`wordllama` (English, static), `minilm` (English) and `e5` (a hundred languages) come with "
        "packages and need no network; `openai` is any address with `/v1/embeddings`, `python` a function."
    )
    path: str | None = Field(
        None,
        description="Of `sentence-transformers`: a folder, or a name in its cache. Of `python`: "
        "`package.module:function`, which takes texts and returns a vector for each.",
    )
    api_base: APIBase = Field(None, description="Of `openai`: the address, up to and including `/v1`.")
    api_key: SecretStr | None = Field(None, description="Of `openai`: `${VAR}`, or a literal (masked everywhere).")
    model: str | None = Field(None, min_length=1, description="Of `openai`: as the server names it.")


def _section(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


EmbedderConfig: TypeAlias = Annotated[
    EmbeddingsConfig, BeforeValidator(_section, json_schema_input_type=EmbeddingsKind | EmbeddingsConfig)
]
"""The same, where a kind alone may stand for it."""

NEEDED: dict[str, tuple[str, ...]] = {
    "sentence-transformers": ("path",),
    "openai": ("api_base", "model"),
    "python": ("path",),
}
"""The keys that a kind does not do without."""
TAKEN: dict[str, tuple[str, ...]] = {**NEEDED, "openai": ("api_base", "api_key", "model")}
"""The keys that have an effect with a kind; the others have none of their own."""
