"""Prompts: find, check and render them, and lay out the messages of a call.

Templates are strict: an unknown placeholder, a required one that is missing, or what a prompt cannot have, is an
error when the file is loaded, not when a question is asked.

Layout of every request: one system message (the caller's, then the worker's persona), the conversation, and
for an aggregator the proposals with its instructions at the end of the last user message. Everything before
that is byte-identical for all calls of a worker, so servers can reuse the prefix, and roles still alternate.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from mollm.config.files import is_folder, looks_like_file_name, named_path
from mollm.control_tokens import without_control_tokens
from mollm.errors import PromptError
from mollm.messages import SYSTEM, fence_mark, text_of, tokens_at_most
from mollm.templates import Template, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mollm.config.config import Config
    from mollm.types import Message

Role: TypeAlias = Literal["router", "worker", "aggregator", "reviewer", "analyst", "chooser", "judge"]

PLACEHOLDERS: dict[Role, tuple[frozenset[str], frozenset[str]]] = {
    "router": (frozenset({"question", "mixtures"}), frozenset({"question", "mixtures"})),
    "worker": (frozenset({"mixture", "description"}), frozenset()),
    "aggregator": (frozenset({"question", "proposals", "analysis"}), frozenset({"proposals"})),
    "reviewer": (frozenset({"question", "proposals", "criteria"}), frozenset({"proposals"})),
    "analyst": (frozenset({"question", "proposals", "criteria"}), frozenset({"proposals"})),
    "chooser": (frozenset({"question", "llms", "most"}), frozenset({"question", "llms"})),
    "judge": (frozenset({"question", "answers", "reference"}), frozenset({"question", "answers"})),
}
"""Role to the placeholders it may use and those it must use."""

MAX_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Prompt:
    """A checked template."""

    template: Template
    tokens: int = 0
    """The most tokens that its own text takes, without the values filled in."""

    def tokens_with(self, **values: int) -> int:
        """The most tokens that it takes with values of so many tokens filled in, one for each placeholder."""
        filled = sum(tokens * self.template.placeholders.count(name) for name, tokens in values.items())
        return self.tokens + filled

    def render(self, **values: str) -> str:
        """Fill in `values`, one for each placeholder of the role.

        Raises:
            PromptError: The template fails while rendering, or the values are too long for it.
        """
        return self.template.render(values).strip()


def load_prompt(config: Config, reference: str, role: Role, where: str) -> Prompt:
    """Load the prompt that `reference` names, or is.

    It names a file if there is such a file, if it holds no white space, or if it looks like a file name all the
    same, as `my prompts/worker.md` does. Anything else is the prompt itself.

    Args:
        config: Says in which folders a file is looked for.
        reference: A file name or the text.
        role: Decides which placeholders there are.
        where: The key that names it, for messages.

    Raises:
        PromptError: No such file, not UTF-8, too large, broken, forbidden, or a placeholder is unknown or missing.
    """
    name = reference.strip()
    path = config.find(name) if name else None
    if path is not None:
        return _read_prompt(path, role)
    has_space = re.search(r"\s", reference) is not None
    if not has_space or looks_like_file_name(reference):
        raise PromptError(f"{where}: no file {name!r}{_where_it_was_looked_for(config, name, has_space)}")
    return parse_prompt(reference, role, where)


def _read_prompt(path: Path, role: Role) -> Prompt:
    if path.stat().st_size > MAX_BYTES:
        raise PromptError(f"{path}: larger than {MAX_BYTES // 1024} KiB, the most a prompt may be")
    try:
        return parse_prompt(path.read_text("utf-8-sig"), role, str(path))
    except UnicodeDecodeError as error:
        raise PromptError(f"{path}: not UTF-8 text") from error
    except OSError as error:
        raise PromptError(f"{path}: cannot be read: {error.strerror}") from error


def _where_it_was_looked_for(config: Config, name: str, has_space: bool) -> str:
    """End the message about a missing file: where it was looked for, and what else may have been meant."""
    folders = list(dict.fromkeys([*([config.path.parent.absolute()] if config.path else []), Path.cwd()]))
    looked = f" ({', '.join(map(str, folders))})"
    looked = f" beside the configuration, in the working directory or among the packaged prompts{looked}"
    if named_path(name).is_absolute():
        looked = ""
    if any(is_folder(folder / named_path(name)) for folder in folders):
        return f"{looked}; this is a folder"
    if "\\" in name:
        return f"{looked}; folders are separated by `/`"
    if has_space:
        return f"{looked}; if this is the prompt itself, let it neither begin nor end like a file name"
    return f"{looked}; a prompt of one word is written as a block: `|`, and the word on the next line"


def parse_prompt(text: str, role: Role, name: str) -> Prompt:
    """Check `text` against the placeholders of `role`, and that it can be rendered. Raises as `load_prompt`."""
    allowed, required = PLACEHOLDERS[role]
    template = parse(text, name)
    used = frozenset(template.placeholders)
    names = ", ".join(f"{{{{ {word} }}}}" for word in sorted(allowed))
    for word in sorted(used - allowed):
        raise PromptError(f"{name}: unknown placeholder {{{{ {word} }}}}; a prompt for the {role} may use {names}")
    for word in sorted(required - used):
        raise PromptError(f"{name}: the placeholder {{{{ {word} }}}} is missing; a prompt for the {role} needs it")
    prompt = Prompt(template, tokens_at_most(text))
    prompt.render(**{word: word for word in allowed})
    return prompt


def last_question(messages: Sequence[Message]) -> str:
    """Return the text of the last user message; empty if there is none."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return text_of(message.get("content"))
    return ""


def is_empty(messages: Sequence[Message]) -> bool:
    """Say whether nothing is asked: there is no message, or the user's last message is only white space."""
    if not messages:
        return True
    content = messages[-1].get("content")
    is_blank = not content.strip() if isinstance(content, str) else not content
    return messages[-1].get("role") == "user" and is_blank


def with_persona(messages: Sequence[Message], *, system: str | None, persona: str | None) -> list[Message]:
    """Put one system message in front: the caller's (or `system` instead of it), then `persona`."""
    callers = [m for m in messages if m.get("role") in SYSTEM]
    rest = [m for m in messages if m.get("role") not in SYSTEM]
    if system is None and persona is None and len(callers) <= 1 and (not callers or messages[0] is callers[0]):
        return list(messages)
    spoken = [system] if system is not None else [text_of(m.get("content")) for m in callers]
    text = "\n\n".join(part for part in [*spoken, persona] if part)
    return [{"role": "system", "content": text}, *rest] if text else rest


def with_instructions(messages: Sequence[Message], text: str) -> list[Message]:
    """Add `text` at the end of the last user message; images and other parts stay as they are."""
    found = list(messages)
    for index in range(len(found) - 1, -1, -1):
        if found[index].get("role") == "user":
            found[index] = {**found[index], "content": _joined(found[index].get("content"), text)}
            return found
    return [*found, {"role": "user", "content": text}]


def _joined(content: Any, text: str) -> Any:
    if isinstance(content, list):
        return [*content, {"type": "text", "text": text}]
    return f"{text_of(content)}\n\n{text}"


FENCE_TOKENS = 24
"""At most what the fence around one proposal takes."""


def fenced_tokens(texts: Iterable[str]) -> int:
    """Return the most tokens of `texts` once they are fenced."""
    return sum(tokens_at_most(without_control_tokens(text)) + FENCE_TOKENS for text in texts)


def fence(texts: Sequence[str], mark: str | None = None) -> str:
    """Mark proposals as quoted material that can end neither its own quotes nor the turn in which it stands.

    Control tokens in a text are changed so that they are text. The delimiter is `mark`, or random and new for every
    call, so a proposal can neither guess nor contain it; if one contains it all the same, another is taken. The names
    are numbers in the order given, and do not say who wrote a text.

    Args:
        texts: In the order in which they are shown.
        mark: Some characters that are hard to guess; None: new ones.

    Returns:
        The block of all texts, each between a line that begins it and one that ends it.
    """
    mark = _mark(texts, mark)
    shown = [without_control_tokens(text.strip()) for text in texts]
    parts = [f"<answer-{mark} number={n}>\n{text}\n</answer-{mark}>" for n, text in enumerate(shown, 1)]
    return "\n".join(parts)


def fence_analysis(analysis: str, mark: str | None = None) -> str:
    """Mark what an LLM wrote about proposals as quoted material; the delimiter is as for `fence`."""
    mark = _mark([analysis], mark)
    return f"<comparison-{mark}>\n{without_control_tokens(analysis.strip())}\n</comparison-{mark}>"


def fence_reference(reference: str, mark: str | None = None) -> str:
    """Mark a right answer as quoted material; the delimiter is as for `fence`."""
    mark = _mark([reference], mark)
    return f"<right-answer-{mark}>\n{without_control_tokens(reference.strip())}\n</right-answer-{mark}>"


def _mark(texts: Sequence[str], mark: str | None) -> str:
    """`mark`, or another where there is none or a text contains it."""
    while not mark or any(mark in text for text in texts):
        mark = secrets.token_hex(4)
    return mark


def fence_question(question: str, *, before: str = "") -> str:
    """Mark a question as quoted material, after the user's message before it if there is one.

    The delimiter is derived from the texts and occurs in neither. The same question gives the same prompt, so that
    the decision is the same every time.
    """
    mark = fence_mark(f"{before}\n{question}")
    parts = {"earlier-message": before, "question": question}
    return "\n".join(
        f"<{name}-{mark}>\n{text.strip()}\n</{name}-{mark}>"
        for name, text in parts.items()
        if text.strip() or name == "question"
    )
