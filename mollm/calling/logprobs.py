"""Log-probabilities of the tokens of a reply: how they are asked for, refused and sent."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mollm.errors import AuthFailed, BadRequest

if TYPE_CHECKING:
    from mollm.calling.base import Request
    from mollm.errors import LLMError

LEAST = -100.0
"""Of a token; servers write -9999, or the smallest number there is, for one that could not be."""


FIELD = "logprobs"
"""Of a request, and of its reply."""


def with_logprobs(request: Request) -> Request:
    """The same request, which asks for them; the request itself where it says already whether it does."""
    extra = request.settings.extra_body
    if FIELD in extra:
        return request
    return replace(request, settings=replace(request.settings, extra_body={**extra, FIELD: True}))


def may_refuse_logprobs(error: LLMError) -> bool:
    """Whether a request may have failed since it asked for them; OpenAI forbids them, with a 403, for some models.

    A wrong request that says no more may be that as well: servers refuse fields that they do not know in any words.
    """
    is_named = FIELD in getattr(error, "refused", ()) or "logprob" in error.said.lower()
    return type(error) is BadRequest or (is_named and isinstance(error, BadRequest | AuthFailed))


def mean_logprob(logprobs: Any) -> float | None:
    """The mean over the tokens of a reply, `LEAST` to 0; None where there are none, or something else stands there.

    Args:
        logprobs: OpenAI's form, `{"content": [{"token": ..., "logprob": ...}, ...]}`, which vLLM has as well.
    """
    try:
        found: list[Any] = [entry["logprob"] for entry in logprobs["content"]]
    except (KeyError, IndexError, TypeError, AttributeError):
        return None
    # What is not a number at all, as text that reads like one, is not OpenAI's form.
    if not found or any(type(value) not in (float, int) or math.isnan(value) for value in found):
        return None
    return float(sum(min(0.0, max(LEAST, value)) for value in found) / len(found))
