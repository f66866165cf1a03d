"""Why a reply ended: every provider's word for it, and what that is here. A word that is not in the table is a failure.

A finish reason is the one thing that tells a whole answer from a broken one, so nothing is guessed: a new word for a
good end costs an answer until it is added here; a new word for a failure would pass for an answer for ever.
"""

from __future__ import annotations

import re
from typing import Any, Literal, TypeAlias

from mollm.errors import AuthFailed, LLMError, ProviderFailed, QuotaExceeded, RateLimited, TimedOut

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter"]

_STOP = """
    stop stopped stop_sequence stop_sequences stop_sequence_reached stop_criteria_met stop_token stop_tokens
    stop_string stop_string_found stop_str stop_word stop_words end end_turn end_of_turn end_of_text end_of_sequence
    endoftext im_end eot_id eos eos_token eos_found eot eog eog_token complete completed finish finished done natural
"""
_LENGTH = """
    length length_limit max_length max_length_reached max_token max_tokens max_tokens_reached max_tokens_exceeded
    max_new_tokens max_output_tokens max_completion_tokens max_predicted_tokens_reached model_length token_limit
    token_limit_reached limit truncated incomplete continuation pause_turn compaction context_length
    context_length_reached context_length_exceeded context_window_exceeded model_context_window_exceeded
    context_overflow context_full error_limit
"""
_TOOL_CALLS = "tool_calls tool_call tool_use tool function_call function_calls requires_action"
_CONTENT_FILTER = """
    content_filter content_filtered content_filtering content_policy content_policy_violation content_moderation
    refusal refused safety image_safety recitation image_recitation blocklist blocked block prohibited_content
    image_prohibited_content spii language model_armor escalation guardrail guardrails guardrail_intervened
    error_toxic toxic sensitive moderation moderated flagged censored policy_violation data_inspection_failed
"""
_FAILURES: dict[type[LLMError], str] = {
    ProviderFailed: """
        error errored failed failure fail exception fatal server_error internal_error internal_server_error
        engine_error model_error network_error connection_error disconnected insufficient_system_resource
        insufficient_system_resources overloaded overload unavailable abort aborted cancel canceled cancelled
        user_cancel user_canceled user_cancelled user_stopped interrupted preempted evicted killed load unload
        model_unloaded model_unload other unknown repetition malformed malformed_function_call
        malformed_tool_call malformed_tool_use malformed_model_output malformed_response invalid_tool_call
        unexpected_tool_call too_many_tool_calls missing_thought_signature no_image image_other
    """,
    TimedOut: "timeout timed_out time_out time_limit deadline deadline_exceeded",
    RateLimited: """
        rate_limit rate_limited rate_limit_exceeded rate_limit_error rate_limit_reached too_many_requests throttled
        throttling resource_exhausted quota_exceeded
    """,
    QuotaExceeded: "insufficient_quota insufficient_credits insufficient_balance payment_required billing_error",
    AuthFailed: "unauthorized unauthenticated authentication_error authentication_failed invalid_api_key forbidden",
}

_ENDS: dict[str, FinishReason] = {
    **dict.fromkeys(_STOP.split(), "stop"),
    **dict.fromkeys(_LENGTH.split(), "length"),
    **dict.fromkeys(_TOOL_CALLS.split(), "tool_calls"),
    **dict.fromkeys(_CONTENT_FILTER.split(), "content_filter"),
}
_FAILS = {word: cls for cls, words in _FAILURES.items() for word in words.split()}
_UNSAID = frozenset({"", "null", "none", "nil", "undefined", "unspecified", "in_progress"})
"""How providers write that a reply has not ended yet."""

_LONGEST = 200
"""Characters of what may be a word."""
_SAFE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,39}")


def finish_reason(said: Any) -> FinishReason | None:
    """Read a finish reason in any provider's spelling, whatever its case.

    Args:
        said: As it was sent: text, or an object whose `type` is the text, as SGLang has it.

    Returns:
        OpenAI's name for it; None where it says that the reply has not ended.

    Raises:
        LLMError: It tells of a failure, or is not known.
    """
    if said in OURS:
        return said  # type: ignore[no-any-return] # one of the four
    if isinstance(said, dict):
        said = said.get("type") or said.get("reason")
    if said is None:
        return None
    word = _word(said) if isinstance(said, str) else "?"
    if word in _UNSAID:
        return None
    if word in _ENDS:
        return _ENDS[word]
    named = f" ({said})" if isinstance(said, str) and _SAFE.fullmatch(said) else ""
    if word in _FAILS:
        raise _FAILS[word](f"the reply ended in a failure{named}, so nothing of it counts", status=200)
    raise ProviderFailed(f"the reply ended for a reason that is not known{named}, so nothing of it counts", status=200)


def worst(said: Any, native: Any) -> FinishReason | None:
    """Read a finish reason beside the provider's own, which a gateway may have made a `stop` of.

    Args:
        said: The gateway's.
        native: What it was before; of no account where it is not known.

    Raises:
        LLMError: As `finish_reason`; also where the provider's own is a failure.
    """
    reason = finish_reason(said)
    word = _word(native) if isinstance(native, str) else ""
    if word in _FAILS:
        return finish_reason(native)
    own = _ENDS.get(word)
    return own if reason == "stop" and own in ("length", "content_filter") else reason


def is_known(said: str) -> bool:
    """Whether the table has it."""
    return (word := _word(said)) in _ENDS or word in _FAILS or word in _UNSAID


OURS: tuple[FinishReason, ...] = ("stop", "length", "tool_calls", "content_filter")


def _word(said: str) -> str:
    """Write `FinishReason.MAX_TOKENS`, `FINISH_REASON_MAX_TOKENS`, `maxTokens` and `max-tokens` in one way.

    What is too long for a word is `?`.
    """
    if len(said) > _LONGEST:
        return "?"
    last = said.strip().strip("<|>[]\"'`").rpartition(".")[2]
    word = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[\s-]+", "_", last).lower()
    return word.removeprefix("finish_reason_").removeprefix("stop_reason_")
