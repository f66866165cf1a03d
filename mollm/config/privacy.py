"""What a configuration may say about privacy: what is masked before an LLM reads it, and for which LLMs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args

from pydantic import AfterValidator, BeforeValidator, Field

from mollm.config.fields import Section
from mollm.config.problem import LLMS, Problem, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mollm.config.config import Config
    from mollm.config.places import KeyPath

Kind: TypeAlias = Literal["email", "phone", "card", "iban", "key", "ip"]
KINDS: tuple[Kind, ...] = get_args(Kind)

PRIVACY: KeyPath = ("privacy",)


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


def privacy_problems(config: Config) -> Iterator[Problem]:
    """Find what has no effect, and a region that is none."""
    section = config.privacy
    if section is not None and section.region is not None and "phone" not in section.mask:
        key = (*PRIVACY, "region")
        yield Problem(key, "has no effect, since `phone` is not masked", [key, (*PRIVACY, "mask")])
    for kind in dict.fromkeys(kind for kind in section.mask if section.mask.count(kind) > 1) if section else ():
        yield Problem((*PRIVACY, "mask"), f"{kind!r} stands here twice", [(*PRIVACY, "mask")])
    if section is None or section.masked_for != "remote":
        for name, llm in config.llms.items():
            if llm.private is not None:
                key = (*LLMS, name, "private")
                yield Problem(key, "has no effect without `privacy` for `remote`", [key, (*PRIVACY, "for"), PRIVACY])


def privacy_warnings(config: Config) -> Iterator[str]:
    """Find a section that masks nothing."""
    section = config.privacy
    if section is None or section.masked_for == "all":
        return
    if all(config.llms[name].is_private for name in config.used_llms):
        text = "nothing is masked for anybody, since every LLM is private; `all` masks for all of them"
        yield f"{config.place('privacy', 'for')}: {text}"
