"""What a configuration may say about the most that one question takes."""

from __future__ import annotations

from pydantic import Field

from mollm.config.fields import Count, Seconds, Section


class LimitsConfig(Section):
    """Ceilings per question; `calls`, `output_tokens` and `cost_usd` are checked before a worker is called."""

    calls: Count = Field(16, description="Calls in the worst case; retries are not counted.")
    output_tokens: Count | None = Field(None, description="Tokens that all calls together may write.")
    cost_usd: float | None = Field(None, gt=0, allow_inf_nan=False, description="USD; every LLM in use needs a price.")
    seconds: Seconds = Field(
        300, description="For the whole question; the time for which its reader keeps a stream waiting does not count."
    )
