"""Why a reply ended, in every provider's words, and what becomes of the reply."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm.calling.attempt import ReliableLLM
from mollm.calling.base import Request
from mollm.calling.finish import finish_reason, worst
from mollm.errors import AuthFailed, LLMError, ProviderFailed, QuotaExceeded, RateLimited, Refused, TimedOut
from mollm.llms.scripted import Reply, ScriptedLLM

ASK = Request([{"role": "user", "content": "2 + 2?"}])
MEANT = {
    "stop": (
        *("stop", "STOP", "FinishReason.STOP", "end_turn", "endTurn", "stop_sequence", "stopSequence", "STOP_SEQUENCE"),
        *("eos", "eos_token", "eosFound", "stopStringFound", "COMPLETE", "completed", "finish", "FINISHED", "done"),
        *("endoftext", "<|im_end|>", "<|endoftext|>", "STOP_CRITERIA_MET", " stop ", "stop-sequence"),
        *('"stop"', "FINISH_REASON_STOP", "finish_reason_stop", "stop_reason_end_turn", "StopReason.END_TURN"),
    ),
    "length": (
        *("length", "LENGTH", "max_tokens", "MAX_TOKENS", "maxTokens", "max_new_tokens", "max_output_tokens"),
        *("model_length", "maxPredictedTokensReached", "contextLengthReached", "model_context_window_exceeded"),
        *("pause_turn", "ERROR_LIMIT", "incomplete", "FinishReason.MAX_TOKENS", "FINISH_REASON_MAX_TOKENS"),
    ),
    "tool_calls": ("tool_calls", "toolCalls", "TOOL_CALL", "tool_use", "function_call"),
    "content_filter": (
        *(
            "content_filter",
            "content-filter",
            "CONTENT_FILTERED",
            "content_filtered",
            "refusal",
            "SAFETY",
            "RECITATION",
        ),
        *("BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "guardrail_intervened", "ERROR_TOXIC", "sensitive"),
        *("IMAGE_SAFETY", "FinishReason.SAFETY"),
    ),
}
FAILED: list[tuple[Any, type[LLMError]]] = [
    *((word, ProviderFailed) for word in ("error", "ERROR", "abort", "aborted", "cancelled", "USER_CANCEL", "failed")),
    *((word, ProviderFailed) for word in ("load", "unload", "modelUnloaded", "network_error", "OTHER", "unknown")),
    *((word, ProviderFailed) for word in ("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "malformed_tool_use")),
    *((word, ProviderFailed) for word in ("insufficient_system_resource", "userStopped", "repetition")),
    *((word, TimedOut) for word in ("timeout", "TIMEOUT", "time_limit")),
    *((word, RateLimited) for word in ("rate_limit", "rate_limit_error", "TOO_MANY_REQUESTS", "RESOURCE_EXHAUSTED")),
    *((word, QuotaExceeded) for word in ("insufficient_quota", "payment_required")),
    *((word, AuthFailed) for word in ("unauthorized", "authentication_error", "INVALID_API_KEY")),
    *((what, ProviderFailed) for what in ("brand_new_reason", "error: sk-123", 1, True, ["stop"], {"type": "abort"})),
]
UNSAID = [None, "", "null", "NULL", "None", " ", "FINISH_REASON_UNSPECIFIED", {}, {"type": None}]


@pytest.mark.parametrize(("said", "meant"), [(word, meant) for meant, words in MEANT.items() for word in words])
def test_every_provider_s_word_for_an_end_is_known(said: str, meant: str) -> None:
    """One table: whatever the case, the separator, or the class in front of it."""
    assert finish_reason(said) == meant
    assert finish_reason({"type": said}) == meant


@pytest.mark.parametrize(("said", "kind"), FAILED)
def test_what_tells_of_a_failure_or_is_not_known_is_a_failure(said: Any, kind: type[LLMError]) -> None:
    """Each with its class; only what is plainly a name is quoted."""
    with pytest.raises(kind) as caught:
        finish_reason(said)

    assert caught.type is kind
    assert "sk-123" not in str(caught.value)
    if isinstance(said, str) and said.isidentifier():
        assert said in str(caught.value)


@pytest.mark.parametrize("said", UNSAID)
def test_a_reason_that_says_nothing_is_no_end(said: Any) -> None:
    """It may be absent in many ways."""
    assert finish_reason(said) is None


@given(st.text(max_size=60))
def test_no_text_is_taken_for_an_end_that_it_does_not_name(said: str) -> None:
    """Any text is one of ours, no end yet, or a failure."""
    with suppress(LLMError):
        assert finish_reason(said) in (None, "stop", "length", "tool_calls", "content_filter")


@pytest.mark.parametrize(
    ("said", "native", "meant"),
    [
        ("stop", "end_turn", "stop"),
        ("stop", "something new", "stop"),
        ("stop", None, "stop"),
        ("stop", "MAX_TOKENS", "length"),
        ("stop", "SAFETY", "content_filter"),
        ("tool_calls", "STOP", "tool_calls"),
        ("stop", "MALFORMED_FUNCTION_CALL", ProviderFailed),
        ("error", "stop", ProviderFailed),
    ],
)
def test_a_gateway_s_reason_never_hides_a_worse_one_of_the_provider(said: str, native: Any, meant: Any) -> None:
    """What the provider said itself counts where it is worse."""
    if isinstance(meant, str):
        assert worst(said, native) == meant
    else:
        with pytest.raises(meant):
            worst(said, native)


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(
    ("said", "meant"), [("end_turn", "stop"), ("MAX_TOKENS", "length"), ("null", None), ("SAFETY", Refused)]
)
async def test_the_table_holds_for_an_llm_of_one_s_own(said: str, meant: Any, is_streamed: bool) -> None:
    """Whoever calls the model, its words are read in one place."""
    llm = ReliableLLM("m", ScriptedLLM(Reply("Four.", finish_reason=said)), retries=0)
    if meant is Refused and not is_streamed:
        with pytest.raises(Refused):
            await llm.complete(ASK)
    elif is_streamed:
        found = [chunk.finish_reason async for chunk in llm.stream(ASK)][-1]
        assert found == ("content_filter" if meant is Refused else meant)
    else:
        assert (await llm.complete(ASK)).finish_reason == meant


@pytest.mark.parametrize("said", ["error", "abort", "never_heard_of"])
async def test_a_reply_that_ended_in_a_failure_is_tried_again_and_is_no_answer(said: str) -> None:
    """Whole, the next attempt answers; streamed, what came is followed by the failure."""
    script = [Reply("Three.", finish_reason=said), Reply("Four.")]
    whole = await ReliableLLM("m", ScriptedLLM(script), retries=1).complete(ASK)
    texts = []
    with pytest.raises(ProviderFailed):
        async for chunk in ReliableLLM("m", ScriptedLLM(script), retries=1).stream(ASK):
            texts.append(chunk.text)  # noqa: PERF401 - what came before the failure counts

    assert whole.text == "Four."
    assert "".join(texts) == "Three."


@pytest.mark.parametrize("said", ["error", "abort", "never_heard_of"])
async def test_a_failure_before_the_first_token_is_tried_again(said: str) -> None:
    """A stream that ends in a failure with no text at all costs nothing but the attempt."""
    llm = ReliableLLM("m", ScriptedLLM([Reply("", finish_reason=said), Reply("Four.")]), retries=1)

    assert "".join([chunk.text async for chunk in llm.stream(ASK)]) == "Four."
