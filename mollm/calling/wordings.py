"""What the words of a provider mean: out of quota, too long, a reply that may not be so long, a content filter.

No two providers say it alike, and many say it with a status that means something else. Beside codes and set phrases,
a sentence is therefore read as what did something (`the prompt`), what it did (`exceeds`) and to what (`the context
window`). All text here is in lower case.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

from mollm.errors import BadRequest, ContextTooLong, LLMError, QuotaExceeded, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_TOKENS_TOO_LARGE: Final = "max_tokens_too_large"
"""Our code for a request whose messages fit, but not the reply that it allows."""

Meaning: TypeAlias = tuple[type[LLMError], str, str | None]
"""A class, what to say about it, and our code if it has one."""


def any_of(*patterns: str) -> re.Pattern[str]:
    """Compile patterns of which one has to be found."""
    return re.compile("|".join(patterns))


_FILTERED = any_of(
    "content_filter|content_policy|content management policy|content filtering policy|responsibleaipolicyviolation",
    "data_inspection_failed|moderation_blocked|your input was flagged",
)
"""How OpenAI, Azure, Anthropic, DashScope and OpenRouter say it."""


# Quotas and rates

_SPENT = any_of(
    r"insufficient[_ ](?:account[_ ])?(?:quota|balance|credits?|funds)",
    r"(?:balance|credits?|funds)(?: is| are)? (?:too low|insufficient|not enough|not sufficient|exhausted|used up)",
    r"(?:quota|credits?|balance|free tier)(?:[_ ](?:has been |is |are )?)?(?:exhausted|depleted)",
    r"billing[_ ]hard[_ ]limit|billing[_ ]not[_ ]active|check your (?:plan|billing|subscription)|out of credits?",
    r"account (?:\S+ )?(?:is )?(?:not active|suspended|in arrears|overdue)|overdue balance|accountoverdue|arrearage",
    r"in good standing|exceeded[_ ](?:your[_ ])?(?:current|monthly)[_ ]quota|(?:no|any|more) credits(?! to unlock)",
    r"(?:credit|billing|budget|spend|spending|usage) limits?(?: has been| was| is)? (?:reached|exceeded)",
    r"(?:reach|exceed)(?:ed|ing|s)? (?:its |your |the |a )?(?:specified |monthly |included |api |organization )*"
    r"(?:usage|spend|spending|credit|billing|budget|included) ?(?:limits?|credits?|caps?)",
    r"used all available credits|budget has been exceeded|free tier of the model has been exhausted",
    r"\b(?:key limit|spend(?:ing)? (?:cap|limit)) (?:exceeded|reached|hit)|payment required|non-?payment|top up your",
    r"(?:trial|subscription) (?:period )?(?:has |is )?(?:ended|expired|inactive)|add a payment method",
    r"trial key, which is limited|余额不足|欠费|额度(?:已|不足|用)",
)
"""An account that has to be paid for, or allowed more, before another call can succeed."""
_OF_THE_DAY = any_of(
    r"per[-_ ]?(?:day|week|month)|daily|weekly|monthly|\b[rt]pd\b|byday\b|(?:requests|tokens)[-_]day",
    r"per 86400 ?s|per 24 ?h",
)
_LIMIT = any_of(r"quota|limit")
_SOON = any_of(
    r"per[-_ ]?(?:minutes?|mins?|seconds?|secs?|hour)\b|per(?:minute|second)per|_per_minute|\b[rt]p[ms]\b|concurren",
    r"retry_?delay|(?:try again|retry)(?: \w+){0,3} (?:in|after) \d|(?:requests?|too) (?:fast|frequent)",
)
"""A limit that is over in a moment."""
_RATE = any_of(
    r"rate[-_ ]?limit|per[-_ ]?(?:minute|min|second|sec|hour|day)\b|\b[rt]p[md]\b|too many requests|throttl|slow down"
)
_LARGER_THAN_THE_RATE = any_of(r"request (?:is )?too large for\b[^\n]{0,400}\breduced?\b")
"""Groq's 413 and OpenAI's 429 for a request larger than all that a minute allows: waiting does not help."""


# The window

_WHAT = (
    r"\b(?:prompts?|inputs?|messages?|conversation|chat history|context|sequence|requests?|requested|text|tokens?"
    r"|content)\b"
)
_HAPPENED = (
    r"(?:\bexceed(?:s|ed|ing)?\b|\b(?:is |are |was )?too (?:long|large|big|many)\b|\b(?:long|larg|great|bigg)er than\b"
    r"|\bmore than\b|\boverflow\w*|\bsurpass\w*|\b(?:is|are|was) over\b|\bdo(?:es)?(?: not|n't) fit\b"
    r"|\b(?:must|should) (?:have|be) (?:less|fewer|shorter|smaller|at most|no more|<=?))"
)
_WINDOW = (
    r"(?:\bcontext\b|\bwindow\b|\bn_ctx\b|\bsequence length\b|\bmax length\b|\btokens? (?:for|allowed)\b"
    r"|\bmax_?(?:model_len|seq_?len|num_tokens|input_len|position|context|prompt|input)\w*"
    r"|\b(?:prompt|input|model|tokens?)(?:'s)? (?:length|limit|maximum|max)\b|\bmax (?:message|input|prompt) tokens\b"
    r"|\b(?:maximum|max) (?:allowed |supported |number of )?(?:prompt|input|model|sequence|tokens?)\b"
    r"|\b(?:than|to|of|limit|exceeds?) [\d,]+ tokens?\b)"
)
_CODES = (
    r"context[_ ]?(?:length|window|size|limit)[_ ]?(?:has been |was |is )?exceed(?:ed|s)|exceed_context_size"
    r"|max_prompt_tokens_exceeded|tokens_limit_reached|prompt_too_long|input_too_long|context[_ ]overflow"
)
_TOO_LONG = any_of(
    _CODES,
    # What did, what happened, to what
    rf"{_WHAT}[^\n]{{0,80}}?{_HAPPENED}[^\n]{{0,60}}?{_WINDOW}",
    rf"{_WHAT}[^\n]{{0,40}}?\d tokens?\b[^\n]{{0,20}}{_HAPPENED}",
    rf"{_HAPPENED}[^\n]{{0,30}}?\b(?:maximum|max|allowed) (?:number of )?(?:input |prompt |context )?tokens",
    r"\b(?:has|of|contains) [\d,]+ tokens?\b[^\n]{0,30}\bbut\b[^\n]{0,40}\bcontext\b",
    r"(?:prompt|input|messages?|conversation|context|request)(?: text)?(?: is| are| was)? ?too long\b(?! to process)",
    r"(?:input|prompt)(?: \([^)\n]{1,40}\))?(?: is)? too large to process",
    r"too many (?:input|prompt) tokens|too many tokens(?:: (?:size|total)| in (?:the |your )?(?:prompt|request|input))",
    r"(?:input|prompt|request)(?: tokens?| length)? exceed(?:s|ed)? (?:the |its |your )?(?:model )?"
    r"(?:configured |token )*(?:limit|context|window)\b",
    r"token count (?:of \d+ |\(\d+\) )?exceeds",
    r"input token count is \d+ but|tokens exceeded: number of input|model token limit",
    r"\b(?:prompt|inputs?|context|sequence|tokens?|length)\b[^\n]{0,30}\d\)? ?> ?"
    r"[^\n]{0,20}(?:n_ctx|context|window)",
    r"sequence length \d+ exceeds|\binputs?\b[^\n]{0,20} tokens? (?:is|are) too long|allowed tokens exceeded",
    r"exceed(?:s|ed)? (?:the |its |your )?(?:model(?:'s)? )?"
    r"(?:max_seq_len|(?:max(?:imum)? )?context (?:limit|length|window))",
    r"(?:prompt|inputs?|messages?|request|conversation) (?:contains?|has|have) too many tokens",
    r"supports? (?:only )?up to [\d,]+ tokens?\b[^\n]{0,30}\b(?:received|got|given|sent|has)\b",
    r"tokens? limit exceeded|number of input tokens \d+ cannot exceed",
    # A limit, which is only told where it was not kept
    r"max(?:imum|\.)? (?:context|prompt|supported sequence) (?:length|size|window)|maximum model length",
    r"context (?:length|window|size) (?:is|of) only|available context size|context window limit|max input characters",
    r"range of input length|expected maxlength: \d+, actual: \d+|context the overflows",
    r"messages\[\d+\]\.content\S{0,20} string too long|body too large for \S+ model\. max size: \d+ tokens",
    r"reduce the (?:length|number|size) of (?:the |your |tokens in the )?(?:input )?(?:messages?|prompt|input|context)",
    r"max_tokens must be at least 1, got -",  # what vLLM found to be left
    r"(?:prompt|输入|上下文)[^\n]{0,12}(?:超长|过长|超出|超过)",
)
_NOT_TOO_LONG = any_of(
    r"#/(?:tools|functions|tool_?config|stop)|tools?\[\d+\]|functions\[\d+\]|function\.?_?name|tool (?:name|argument)",
    r"(?<!tokens of )\b(?:images?|audio|videos?|files?|attachments?|upload|payload|headers?|urls?|stop|metadata)\b"
    r"[^\n]{0,40}(?:too (?:large|big|long|many)|exceed)",
)
"""Something else is."""


# The reply

_LIMIT_KEY = (
    r"[`'\"]{0,3}(?:max(?:imum)?[_ ]?(?:(?:new|completion|output)[_ ]?)?tokens?(?:_to_sample)?|num_predict|n_predict"
    r"|requested generation length)\b[`'\"]{0,3}"
)
"""Quotes around it are few: with any number of them, a row of quotes would be tried from each of its places."""
_REPLY_TOO_LONG = any_of(
    rf"{_LIMIT_KEY}[^\n]{{0,60}}?(?:"
    r"too (?:large|high|big)|\bexceed(?:s|ed)?\b|out of range|valid range|supported range|> [\d,]+|less than or equal"
    r"|(?:cannot|can't|can not|must not|may not|should not) (?:be )?(?:exceed|greater|larger|more|higher|above)"
    r"|(?:is|are|was) (?:greater|larger|more|higher) than|is not possible"
    r"|(?:must|should) be (?:at most|less|lower|no more|no greater|not more|smaller|<|≤|in|between|within))",
    rf"(?:range|maximum value|limit|invalid)(?: value)?(?: of| for)? (?:the )?{_LIMIT_KEY}",
    r"maximum tokens you requested exceeds|at most [\d,]+ (?:completion|output) tokens|fewer output tokens",
    r"maximum (?:allowed )?(?:number of )?(?:output|completion) tokens",
)
_THE_SUM = any_of(rf"(?:inputs?|prompt)[`'\"]?(?: tokens| length)?[^\n]{{0,20}}(?:\+|\band\b|\bplus\b) {_LIMIT_KEY}")

_N = r"(\d[\d,]{0,14})"
_SUM = any_of(rf"exceed context limit: {_N} \+ {_N} > {_N}")
_SIZE = any_of(
    rf"(?:context|model|supported sequence) (?:length|window|limit|size)[^\d\n]{{0,40}}{_N}",
    rf"must be <= {_N}",
    rf"max_(?:model_len|seq_len)[^\d\n]{{0,5}}{_N}",
)
_OF_THE_PROMPT = any_of(
    rf"{_N} (?:tokens? )?(?:in|of|from|for) (?:the |your )?(?:text |tool |image |input )?"
    r"(?:inputs?|messages?|prompts?|functions?|tools?)\b",
    rf"{_N} (?:input|prompt) tokens",
    rf"{_N} [`'\"]?inputs?[`'\"]? tokens",
    rf"prompt (?:contains|has|is) (?:at least )?{_N} tokens",
)
_OF_THE_REPLY = any_of(
    rf"{_N} (?:tokens? )?(?:in|for|of) the (?:completion|output|response|reply)",
    rf"{_N} (?:requested )?(?:output|completion) tokens",
    rf"{_N} [`'\"]?max_new_tokens",
    rf"max_(?:completion_)?tokens[`'\"]? is too large: {_N}",
    rf"generating {_N} tokens",
)


def meaning_of(text: str, status: int | None) -> Meaning | None:
    """What an error means by its words.

    Args:
        text: What the provider said, in lower case.
        status: Of the answer; None where there was none.

    Returns:
        None where the words tell nothing that the status does not.
    """
    if spent := _spent(text, status):
        return QuotaExceeded, spent, None
    if _LARGER_THAN_THE_RATE.search(text):
        return ContextTooLong, "the request is larger than what it takes in a minute", None
    if status in (401, 408, 429):
        return None
    if _FILTERED.search(text):
        return Refused, "its content filter withheld the answer", None
    return _too_long(text)


def _spent(text: str, status: int | None) -> str | None:
    if (status == 429 or (status is None and _LIMIT.search(text))) and _OF_THE_DAY.search(text):
        return "its quota for the day or the month is used up"
    if status == 402:
        return "the account has no credit, or its quota is used up"
    if (status is None or status >= 400) and _SPENT.search(text) and not _SOON.search(text):
        return "its quota or credit is used up; see to the account"
    return None


def _too_long(text: str) -> Meaning | None:
    fits = _messages_fit(text)
    is_sum = fits is None and bool(_THE_SUM.search(text))
    if fits or (fits is None and not is_sum and _REPLY_TOO_LONG.search(text) and not re.search(_CODES, text)):
        message = "`max_tokens` is larger than it allows here; set a lower `max_tokens`"
        return BadRequest, message, MAX_TOKENS_TOO_LARGE
    if fits is False or ((is_sum or _TOO_LONG.search(text)) and not (_NOT_TOO_LONG.search(text) or _RATE.search(text))):
        return ContextTooLong, "the messages do not fit its context window", None
    return None


def _messages_fit(text: str) -> bool | None:
    """Whether the messages alone would fit, by the numbers; None where they say nothing of prompt and reply."""
    if found := _SUM.search(text):
        return _number(found[1]) < _number(found[3])
    size, prompt = next(_numbers(_SIZE, text), 0), list(_numbers(_OF_THE_PROMPT, text))
    if not size or not prompt or not any(_numbers(_OF_THE_REPLY, text)):
        return None
    return sum(prompt) < size


def _numbers(pattern: re.Pattern[str], text: str) -> Iterator[int]:
    return (_number(next(filter(None, found.groups()))) for found in pattern.finditer(text))


def _number(text: str) -> int:
    return int(text.replace(",", ""))
