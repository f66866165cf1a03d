"""What a configuration may say about a key of the server: its name, its secret, and what it may use."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field, SecretStr

from mollm.config.fields import Count, Section

MOST_PER_MINUTE = 100_000
"""The time of each is held for a minute."""


class KeyLimitsConfig(Section):
    """The most that one key may use; a key without them may use anything."""

    at_once: Count | None = Field(None, description="Questions that are worked on or wait at the same time.")
    per_minute: Annotated[int, Field(ge=1, le=MOST_PER_MINUTE)] | None = Field(
        None, description="Questions in any 60 seconds; each of a list counts."
    )
    tokens_per_day: Count | None = Field(None, description="Tokens of prompts and replies of all calls; days are UTC.")
    cost_usd_per_day: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="USD; every LLM in use needs a price."
    )

    @property
    def has_days(self) -> bool:
        """Whether what was used in a day counts."""
        return self.tokens_per_day is not None or self.cost_usd_per_day is not None


class KeyConfig(Section):
    """A key that is let in. Text alone is the key itself, and its name is `key-1` by its place in the list."""

    name: str = Field(description="1 to 64 letters, digits and any of `._-`; logs, metrics and limits go by it.")
    key: SecretStr | None = Field(
        None, description="The bearer token, `${VAR}` or literal (masked); at least 16 characters beyond loopback."
    )
    sha256: str | None = Field(
        None,
        repr=False,
        description="In place of `key`: its SHA-256, 64 hexadecimal digits, so that no secret is here.",
    )
    limits: KeyLimitsConfig = Field(KeyLimitsConfig(), description="The most that this key may use.")


def _named(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [
        {"name": f"key-{number}", "key": key} if isinstance(key, str | SecretStr) else key
        for number, key in enumerate(value, 1)
    ]


KeyList: TypeAlias = Annotated[
    list[KeyConfig], BeforeValidator(_named, json_schema_input_type=list[SecretStr | KeyConfig])
]
