"""What a caller asks of the form of an answer, applied to one that no LLM wrote under these terms."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mollm.messages import CHARACTERS_PER_TOKEN, text_of, tokens_at_most
from mollm.types import Written

if TYPE_CHECKING:
    from mollm.aggregation.base import Brief
    from mollm.types import Message, Proposal


def verbatim(proposal: Proposal, brief: Brief, degraded: tuple[str, ...] = ()) -> Written:
    """Make an answer of a proposal: up to the caller's `stop`, and without a fence around JSON."""
    text, finish_reason = proposal.text, "length" if proposal.truncated else "stop"
    stop = brief.caller.stop or ()
    ends = [text.find(end) for end in ([stop] if isinstance(stop, str) else stop) if end and end in text]
    if ends:
        text, finish_reason = text[: min(ends)], "stop"
    if form := brief.format:
        bare, problem = form.read(text)
        text = text if problem or bare == text.strip() else bare
    return Written({"role": "assistant", "content": text}, finish_reason, degraded, proposed_by=proposal.worker)


def mismatch(written: Written, brief: Brief, *, has_limit: bool) -> str | None:
    """Say what keeps an answer from being in the format, if it has to be.

    A refusal and a tool call are answers of another kind, and one that is cut off says so.

    Args:
        written: The answer.
        brief: Has the caller's settings.
        has_limit: It was written within the caller's `max_tokens`.
    """
    form, message = brief.format, written.message
    if form is None or not form.is_held or is_no_text(message) or (written.finish_reason == "length" and has_limit):
        return None
    return form.read(text_of(message.get("content")))[1]


def is_no_text(message: Message) -> bool:
    """Whether a message is an answer of another kind than text: a refusal, or a call of a tool."""
    return bool(message.get("refusal") or message.get("tool_calls"))


def shortened(written: Written, brief: Brief, proposal: Proposal) -> Written:
    """Cut the answer that was made of `proposal` where the caller's `max_tokens` would have cut it, in its tokens."""
    limit, text = brief.caller.max_tokens, text_of(written.message["content"])
    if not limit or brief.bound:
        return written
    # Thoughts are counted with the text, which cannot have more tokens than its bytes allow.
    tokens = proposal.usage.completion_tokens or -(-len(proposal.text) // CHARACTERS_PER_TOKEN)
    room = len(proposal.text) * limit // max(1, min(tokens, tokens_at_most(proposal.text)))
    if len(text) <= room:
        return written
    return replace(written, message={**written.message, "content": text[:room]}, finish_reason="length")
