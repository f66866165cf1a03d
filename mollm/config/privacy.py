"""What a configuration may say about privacy: what is masked before an LLM reads it, and for which LLMs."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import AfterValidator, BeforeValidator, Field

from mollm.config.fields import Section
from mollm.config.problem import nearest

Kind: TypeAlias = Literal["email", "phone", "card", "iban", "key", "ip"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def _kinds(value: Any) -> Any:
    kinds = [value] if isinstance(value, str) else value
    if not isinstance(kinds, list) or not kinds:
        raise ValueError(f"must be one or more of {', '.join(KINDS)}")
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"nothing of the kind {kind!r} can be recognized{nearest(str(kind), KINDS)}")
    return kinds


def _country(value: str) -> str:
    if not re.fullmatch("[A-Z]{2}", value):
        raise ValueError("must be a country in two capital letters, as in `DE`")
    return value


Country: TypeAlias = Annotated[str, AfterValidator(_country), Field(json_schema_extra={"pattern": "^[A-Z]{2}$"})]


class PrivacyConfig(Section):
    """Values that LLMs read as placeholders, such as `[EMAIL_1]`; the answer has the values again."""

    mask: Annotated[list[Kind], BeforeValidator(_kinds, json_schema_input_type=Kind | list[Kind])] = Field(
        description="What is masked, one or more."
    )
    masked_for: Literal["remote", "all"] = Field(
        "all", alias="for", description="`all`: every LLM reads placeholders; `remote`: private ones read the values."
    )
    region: Country | None = Field(
        None,
        description="Country (`DE`) whose phone numbers are found without its code, too; unset: none.",
    )
