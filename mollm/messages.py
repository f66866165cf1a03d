"""Messages in OpenAI's format: their text, tokens and images.

Inside mollm, a message is a dictionary in this format, with every field that a client or provider put into it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mollm.errors import RequestError
from mollm.types import Question

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mollm.types import Message

AS_TEXT_TOKENS = 48
"""At most what the fence around a call, a result or an earlier answer takes where it is shown as text."""

CHARACTERS_PER_TOKEN = 4
"""For estimates only; English text has 3.5 to 4.5 with common tokenizers."""
BYTES_PER_TOKEN_AT_LEAST = 3
"""For upper bounds: code has fewer bytes per token than prose, and a Chinese character (about one token) has three."""


ROLES = ("system", "developer", "user", "assistant", "tool", "function")
SYSTEM = frozenset({"system", "developer"})
"""Roles of what a conversation is told first."""
RESULTS = frozenset({"tool", "function"})
"""Roles of what a tool returned."""

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


def fence_mark(text: str) -> str:
    """Return a delimiter for `text` that does not occur in it, and is the same for the same text."""
    mark = ""
    while not mark or mark in text:
        mark = hashlib.sha256(f"{mark}{text}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return mark


def tokens_at_most(text: str) -> int:
    """Return an upper bound for the tokens of `text`."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN_AT_LEAST)


_HANDOVER = re.compile(
    r"(?:^|[^a-z])(?:(?:transfer|delegate|escalate|switch|route|redirect|reassign|assign|return)"
    r"(?:_(?:task|work|conversation|chat|control|user|customer|question|request))?_?(?:back_?)?to"
    r"|hand_?(?:off|over|back)s?_?(?:back_?)?(?:to)?)(?:$|[^a-z])"
)
_NOTICE = re.compile(r"(?:Successfully transferred|Transferring|Handed (?:off|over)) (?:back )?to .{0,100}", re.DOTALL)
_SAYS_NOTHING = re.compile(
    r"\W*(?:ok(?:ay)?|done|success|true|null|none)?\W*|.*(?:transfer|handed|handing|handoff|delegat|agent|assistant).*",
    re.DOTALL | re.IGNORECASE,
)
MOST_OF_NOTHING = 300
"""Characters; what is longer says something."""


def is_handover(tool: Any) -> bool:
    """Whether a tool of this name gives the conversation to another agent, as frameworks of agents name theirs."""
    return isinstance(tool, str) and bool(_HANDOVER.search(re.sub(r"(?<=[a-z])(?=[A-Z])|[ -]", "_", tool).lower()))


def is_handover_notice(content: Any) -> bool:
    """Whether a message says that the conversation goes to another agent, and nothing else."""
    return bool(_NOTICE.fullmatch(text_of(content)))


def says_nothing(arguments: str, result: Any) -> bool:
    """Whether a hand-over, given its arguments and its result, tells the other agent no more than that."""
    text = text_of(result)
    if arguments.strip() not in ("", "{}", "null") or len(text) > MOST_OF_NOTHING:
        return False
    is_media = isinstance(result, list) and not text
    return not is_media and bool(_SAYS_NOTHING.fullmatch(text))


def calls_of(message: Message) -> Iterator[tuple[Any, str, str]]:
    """Id, name and arguments of every call of a tool in a message, also of those that an LLM wrote badly."""
    found = message.get("tool_calls")
    for call in found if isinstance(found, list) else ():
        if isinstance(call, dict):
            yield call.get("id"), *_called(call.get("function") or call.get("custom") or {})
    if message.get("function_call"):
        yield None, *_called(message["function_call"])


def _called(function: Any) -> tuple[str, str]:
    if not isinstance(function, dict):
        return "unknown", ""
    given = function.get("arguments", function.get("input"))
    arguments = given if isinstance(given, str) else _written_out(given) if given else ""
    return str(function.get("name") or "unknown"), arguments


def called_by(message: Message) -> list[Any]:
    """Names of the tools that an assistant's message calls, also in a call that an LLM wrote badly."""
    calls = message.get("tool_calls")
    calls = calls if isinstance(calls, list) else []
    found = [call.get("function") or call.get("custom") for call in calls if isinstance(call, dict)]
    return [each.get("name") for each in (*found, message.get("function_call")) if isinstance(each, dict)]


def ends_with_our_result(messages: Sequence[Message], *, is_agent: bool = False) -> bool:
    """Whether the last message is the result of a tool that the asking program offered to us.

    Not ours are hand-overs, whatever was called together with one, and the calls of an assistant that has a name:
    it is another agent's.

    Args:
        messages: The conversation.
        is_agent: Several agents speak in the conversation, and we are one of them. A result without a call is then
            none of ours.
    """
    if not messages or messages[-1].get("role") not in RESULTS:
        return False
    last = messages[-1]
    if is_handover(last.get("name")) or is_handover_notice(last.get("content")):
        return False
    for message in reversed(messages):
        if message.get("role") == "assistant" and (called := called_by(message)):
            return not message.get("name") and not any(map(is_handover, called))
        if message.get("role") not in RESULTS:
            break
    return not is_agent


def is_midway(messages: Sequence[Message]) -> bool:
    """Whether a tool brought a result since the user's last message."""
    for message in reversed(messages):
        if message.get("role") in RESULTS:
            return True
        if message.get("role") == "user":
            return False
    return False


def messages_of(question: str | Sequence[Message]) -> tuple[Message, ...]:
    """The conversation that somebody asks with: a text, or messages. Raises `RequestError` where it is neither."""
    if isinstance(question, str):
        return ({"role": "user", "content": question},)
    if not isinstance(question, Sequence):
        raise RequestError(f"a question is a text or a list of messages, not {type(question).__name__}")
    messages: tuple[Any, ...] = tuple(question)
    for message in messages:
        if not isinstance(message, dict) or "role" not in message:
            raise RequestError(f"a message is a dictionary with a 'role', not {type(message).__name__}")
        parts = message.get("content")
        if isinstance(parts, list) and not all(isinstance(part, str | dict) for part in parts):
            raise RequestError("the parts of a message's content are texts or dictionaries")
    return messages


def question_of(
    messages: Sequence[Message],
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    response_format: Mapping[str, Any] | None = None,
    extra_body: Mapping[str, Any] | None = None,
    is_agent: bool = False,
) -> Question:
    """Describe a conversation in OpenAI's format, with the tools and the answer schema that are sent along.

    `is_agent`: several agents speak in the conversation.
    """
    asked = (m for m in reversed(messages) if m.get("role") == "user")
    last, before = (text_of(message.get("content")) if (message := next(asked, None)) else "" for _ in range(2))
    tokens, images = _size(messages)
    for sent in (tools, response_format, extra_body):
        if sent:
            tokens += tokens_at_most(_written_out(sent))
    return Question(
        messages=tuple(messages),
        last=last,
        before=before,
        has_images=images > 0,
        has_tools=bool(tools) or ends_with_our_result(messages, is_agent=is_agent),
        tokens=tokens,
        images=images,
    )


def tokens_beside(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None) -> int:
    """Return the most tokens of the tools that are offered, and of everything but texts in `messages`."""
    if not tools and all(len(message) == 2 for message in messages):
        return 0
    texts = sum(tokens_at_most(text_of(message.get("content"))) for message in messages)
    return question_of(messages, tools=tools).tokens - texts


def _size(messages: Sequence[Message]) -> tuple[int, int]:
    """The most tokens of a conversation, as it is or as text, and the number of its images."""
    tokens, images, said = 0, 0, 0  # `said`: answers that are quoted if a call follows them, or nothing
    for message in messages:
        content, role = message.get("content"), message.get("role")
        tokens += tokens_at_most(text_of(content))
        if isinstance(content, list):
            for part in content:
                if isinstance(part, dict) and part.get("type") in _IMAGES:
                    images += 1
                elif isinstance(part, dict) and part.get("type") != "text":
                    tokens += tokens_at_most(_written_out(part))
        said = 0 if role == "user" else said + (role == "assistant")
        if len(message) > 2:  # a tool call, its result's id, reasoning, a name
            tokens += tokens_at_most(_written_out({k: v for k, v in message.items() if k not in _PLAIN_KEYS and v}))
            if fences := _fences(message):
                tokens, said = tokens + AS_TEXT_TOKENS * (fences + said), 0
    return tokens + AS_TEXT_TOKENS * said, images


def _fences(message: Message) -> int:
    """How many calls and results are in the message."""
    return 1 if message.get("role") in RESULTS else len(called_by(message))


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
