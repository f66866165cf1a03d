"""A message's content that comes in parts, as Mistral and Anthropic write it, taken apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mollm.calling.thoughts import thought_in
from mollm.errors import ProviderFailed

_THOUGHTS = frozenset(("thinking", "reasoning", "reasoning_content", "redacted_thinking", "thought"))
_CALLS = frozenset(("tool_use", "tool_call", "function_call"))


@dataclass(slots=True)
class Parts:
    """What the parts hold."""

    text: str = ""
    """Empty where something else than text is shown; it is in `fields` then."""
    thought: str = ""
    calls: list[Any] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    """What has a field of its own in a message, among them `content` where it has to stay a list."""

    @classmethod
    def read(cls, content: Any) -> Parts:
        """Take the parts of `content` apart. Raises `ProviderFailed` for what is no content."""
        found = cls()
        shown: list[Any] = []
        for part in content if isinstance(content, list) else [content]:
            if part is not None:
                found._take(part, shown)
        if all(isinstance(part, str) for part in shown):
            found.text = "".join(shown)
        else:
            found.fields["content"] = [{"type": "text", "text": p} if isinstance(p, str) else p for p in shown]
        return found

    def _take(self, part: Any, shown: list[Any]) -> None:
        if isinstance(part, str):
            shown.append(part)
            return
        if not isinstance(part, dict):
            raise _unreadable()
        kind = part.get("type")
        if kind in _THOUGHTS:
            self.thought += thought_in(part)
            if part.get("signature") or kind == "redacted_thinking":
                self._add("thinking_blocks", part)  # wanted back by the provider
        elif kind in _CALLS:
            self.calls.append({key: value for key, value in part.items() if key != "type"})
        elif kind == "refusal":
            self.fields["refusal"] = self.fields.get("refusal", "") + str(part.get("refusal") or "")
        elif kind == "reference":
            self._add("references", part)
        elif (text := _text(part)) is not None:
            shown.append(text)
        elif isinstance(kind, str):
            shown.append(part)
        else:
            raise _unreadable()

    def _add(self, name: str, part: dict[str, Any]) -> None:
        self.fields.setdefault(name, []).append(part)


def _text(part: dict[str, Any]) -> str | None:
    text = part.get("text")
    if isinstance(text, dict):
        text = text.get("value")
    if isinstance(text, str):
        return text
    return "" if part.get("type") == "text" and text is None else None


def _unreadable() -> ProviderFailed:
    return ProviderFailed("the reply's content is neither text nor a list of parts", status=200)
