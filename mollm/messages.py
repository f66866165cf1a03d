"""Messages in OpenAI's format: their text, tokens and images.

Inside mollm, a message is a dictionary in this format, with every field that a client or provider put into it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from mollm.types import Question

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mollm.types import Message

CHARACTERS_PER_TOKEN = 4
"""For estimates only; English text has 3.5 to 4.5 with common tokenizers."""
BYTES_PER_TOKEN_AT_LEAST = 3
"""For upper bounds: code has fewer bytes per token than prose, and a Chinese character (about one token) has three."""


_IMAGES = frozenset({"image_url", "image", "input_image"})
_PLAIN_KEYS = frozenset({"role", "content"})


def text_of(content: Any) -> str:
    """Return the text of a message's `content`: a string, a list of parts, or None."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(
            part if isinstance(part, str) else str(part.get("text") or "")
            for part in content
            if isinstance(part, str) or (isinstance(part, dict) and part.get("type") == "text")
        )
    return ""


def tokens_at_most(text: str) -> int:
    """Return an upper bound for the tokens of `text`."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN_AT_LEAST)


_HANDOVER = re.compile(
    r"(?:^|[^a-z])(?:(?:transfer|delegate)_?(?:back_?)?to|hand_?(?:off|over)_?(?:back_?)?(?:to)?)(?:$|[^a-z])",
    re.IGNORECASE,
)


def is_handover(tool: str) -> bool:
    """Whether a tool of this name gives the conversation to another agent, as frameworks of agents name theirs."""
    return bool(_HANDOVER.search(tool))


def question_of(
    messages: Sequence[Message],
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    response_format: Mapping[str, Any] | None = None,
    extra_body: Mapping[str, Any] | None = None,
) -> Question:
    """Describe a conversation in OpenAI's format, with the tools and the answer schema that are sent along."""
    asked = (m for m in reversed(messages) if m.get("role") == "user")
    last, before = (text_of(message.get("content")) if (message := next(asked, None)) else "" for _ in range(2))
    tokens, images = 0, 0
    for message in messages:
        content = message.get("content")
        tokens += tokens_at_most(text_of(content))
        if isinstance(content, list):
            for part in content:
                if isinstance(part, dict) and part.get("type") in _IMAGES:
                    images += 1
                elif isinstance(part, dict) and part.get("type") != "text":
                    tokens += tokens_at_most(_written_out(part))
        if len(message) > 2:  # a tool call, its result's id, reasoning, a name
            tokens += tokens_at_most(_written_out({k: v for k, v in message.items() if k not in _PLAIN_KEYS and v}))
    for sent in (tools, response_format, extra_body):
        if sent:
            tokens += tokens_at_most(_written_out(sent))
    return Question(
        messages=tuple(messages),
        last=last,
        before=before,
        has_images=images > 0,
        has_tools=bool(tools) or bool(messages and messages[-1].get("role") == "tool"),
        tokens=tokens,
        images=images,
    )


def tokens_beside(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None) -> int:
    """Return the most tokens of the tools that are offered, and of everything but texts in `messages`."""
    if not tools and all(len(message) == 2 for message in messages):
        return 0
    texts = sum(tokens_at_most(text_of(message.get("content"))) for message in messages)
    return question_of(messages, tools=tools).tokens - texts


def _written_out(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


_IMAGE_TOKENS = (
    ("openai/gpt-4o-mini", 48_169),  # 2,833 and 5,667 for each of at most 8 tiles
    ("openai/", 1_445),  # 85 and 170 for each of at most 8 tiles
    ("azure/", 1_445),
    ("anthropic/", 4_784),  # what the largest image is scaled down to
)
"""Most tokens of one image as the provider counts them (vision guides of November 2026), by prefix of `model`."""
IMAGE_TOKENS = 2_000
"""Most tokens of one image for a provider without a known rule."""


def image_tokens(model: str) -> int:
    """Return an upper bound for the tokens of one image sent to `model`, named as in the configuration."""
    return next((tokens for prefix, tokens in _IMAGE_TOKENS if model.startswith(prefix)), IMAGE_TOKENS)
