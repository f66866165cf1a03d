"""Which request fields a provider says that it does not take, whatever it calls that."""

from __future__ import annotations

import re
from typing import Final

from mollm.calling.wordings import any_of

UNSUPPORTED: Final = "unsupported_parameter"
"""OpenAI's code for a field that is not taken, and ours."""

FIELDS: Final = (
    *("max_completion_tokens", "max_tokens", "stream_options", "temperature", "top_p", "stop", "seed", "tool_choice"),
    *("parallel_tool_calls", "tools", "functions", "response_format", "top_logprobs", "logprobs", "logit_bias", "n"),
    *("presence_penalty", "frequency_penalty", "reasoning_effort", "top_k", "min_p", "repetition_penalty", "user"),
    *("chat_template_kwargs", "guided_choice", "guided_json", "grammar", "service_tier", "store", "metadata"),
)
"""The fields that a refusal may name."""

_FIELD = rf"({'|'.join(FIELDS)})(?:[.\[:'\"`\])]*include_usage)?\b(?!-)"
_NOUN = (
    r"(?: (?:request |keyword |json |input )?(?:parameters?|arguments?|argument supplied|fields?|keys?|names?"
    r"|propert(?:y|ies)|values?|inputs?|inputs are not permitted|params?|options?))"
)
_BEFORE = any_of(
    rf"(?:(?:un-?supported|un-?recogni[sz]ed|not supported|not allowed|not permitted){_NOUN}?"
    rf"|(?:unknown|unexpected|additional|extra|extraneous|invalid|removed|deprecated|forbidden){_NOUN})"
    rf"[ :,(\[`'\"]{{0,6}}(?:field: |parameter |for )?[`'\"\[(]{{0,3}}{_FIELD}"
)
"""`Unknown field "seed"`."""
_AFTER = any_of(
    rf"(?<![\w-]){_FIELD}(?=[`'\"\])]*(?: ?[:,]| ->)? ?"
    r"(?:(?:request |parameter |field |argument |option |property |value |with value )*)"
    r"(?:(?:is|are|was|has been|were|currently) )*(?:value_error\.extra"
    r"|(?:un-?supported|un-?recogni[sz]ed|unknown|unexpected|extraneous|forbidden|disallowed|deprecated|removed)\b"
    r"|(?:not|no longer) (?:\w+ )?(?:a |an |be )?(?:supported|recogni[sz]ed|valid|allowed|permitted|known|accepted"
    r"|available|implemented|support)\b(?! to)"
    r"|extra (?:inputs|fields) (?:are )?not permitted|(?:does|do|did)(?: not|n't) support"
    r"|(?:and `?\w+`? )?(?:cannot|can't) (?:both )?be (?:specified|used|set)|: cannot find field))"
)
"""`seed: Extra inputs are not permitted`."""
_LISTED = any_of(
    r"(?:(?:does not|doesn't|do not|don't) (?:currently )?support(?: the| these)?"
    r"(?: parameters?| fields?| arguments?| options?)?"
    r"|(?:parameters?|fields?|arguments?) (?:are|is) (?:not supported|unsupported|not allowed|not permitted))"
    r"[ :\[({`'\"]{1,4}([a-z_`'\", ]{0,200})"
)
"""`does not support parameters: ['seed', 'stop']`."""
_RATHER = any_of(
    r"(?:use|try|prefer|favou?r of)(?: the)? [`'\"]*(max_completion_tokens|max_tokens(?=[`'\"]* instead))\b"
)
_MISSING = any_of(
    r"(?<!\w)max_tokens[`'\"]?:? (?:field required|is required|is a required)|required: max_tokens\b",
    r"missing (?:required )?\w* ?[`'\"]?max_tokens\b",
)
"""What says so got `max_completion_tokens`, and takes the limit under its older name alone."""
_CODE = any_of("unsupported_(?:parameter|value)|unknown_parameter|unrecognized_parameter|extra_forbidden")


def refused_fields(text: str, code: str | None = None, param: str | None = None) -> tuple[str, ...]:
    """Name the request fields that a provider does not take, or not as they were set; empty if it says no such thing.

    Args:
        text: What it said, in lower case.
        code: The code of its error.
        param: The field that its error names.
    """
    found = [match[1] for pattern in (_BEFORE, _AFTER) for match in pattern.finditer(text)]
    for listed in _LISTED.finditer(text):
        found += [name for name in re.findall(r"\w+", listed[1]) if name in FIELDS and len(name) > 1]
    if rather := _RATHER.search(text):
        found.append("max_tokens" if rather[1] == "max_completion_tokens" else "max_completion_tokens")
    if param in FIELDS and code is not None and _CODE.fullmatch(code.lower()):
        found.append(param)
    if _MISSING.search(text):
        found.append("max_completion_tokens")
    return tuple(dict.fromkeys(found))
