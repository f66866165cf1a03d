"""What a capable LLM would reply, decided by rules: the scripted upstream's head.

The rules read the request and nothing else. Who asks, and which test that is, they cannot know.
"""

from __future__ import annotations

import json
import operator
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from attachments import Unreadable, describe
from filling import fill, numbers, resolve, words_of

Json = dict[str, Any]

_FENCE = re.compile(r"<(answer-[0-9a-f]+)\b[^>]*>\n(.*?)\n</\1>", re.DOTALL)
_COMMON = frozenset(
    words_of("a an and are as at by can do does for from get give how i in is it me my of on or please")
    + words_of("that the this to tool use using what when where which who with you your value")
)


@dataclass(frozen=True)
class Reply:
    """Either a text or calls of tools."""

    text: str | None
    calls: tuple[tuple[str, Json], ...] = ()
    """Name and arguments of each call."""


@dataclass(frozen=True)
class Conversation:
    """A request as an LLM reads it."""

    question: str
    """The words of the last message of the user, without what an aggregator adds to it."""
    proposals: tuple[str, ...] = ()
    """Answers by others that it was given to weigh."""
    system: str = ""
    earlier: str = ""
    """What the user said before."""
    seen: tuple[str, ...] = ()
    """What its attachments show."""
    results: tuple[str, ...] = ()
    """What tools gave back since the question."""
    seed: int = 0
    tools: tuple[Json, ...] = field(default=())


def think(body: Mapping[str, Any]) -> Reply:
    """Reply to a chat completion request. Raises `Unreadable` for an attachment that cannot be decoded."""
    heard = listen(body)
    if calls := _tool_calls(heard, body.get("tool_choice") or "auto", body.get("parallel_tool_calls", True)):
        return Reply(None, calls)
    shape = body.get("response_format") or {"type": "text"}
    if shape["type"] == "json_schema":
        return Reply(json.dumps(fill(shape["json_schema"].get("schema") or {}, heard.question), ensure_ascii=False))
    if described := _described(heard.system, shape):
        return Reply(json.dumps(fill(described, heard.question), ensure_ascii=False))
    if shape["type"] == "json_object":
        keys = re.findall(r"['\"](\w+)['\"]", heard.question) or ["answer"]
        return Reply(json.dumps({key: f"The {key} of it." for key in keys}))
    return Reply(_cut(heard, speak(heard)))


def _described(system: str, shape: Json) -> Json | None:
    # Some clients write the schema into the system message, and ask for JSON alone or not even for that.
    if shape["type"] != "json_object" and "JSON" not in system:
        return None
    for start in re.finditer(r"\{", system):
        with suppress(ValueError):
            found, _ = json.JSONDecoder().raw_decode(system, start.start())
            if isinstance(found, dict) and "properties" in found:
                return found
    return None


def listen(body: Mapping[str, Any]) -> Conversation:
    """Take a request apart."""
    messages: Sequence[Json] = body["messages"]
    last = max((i for i, message in enumerate(messages) if message["role"] == "user"), default=len(messages) - 1)
    since = [message for message in messages[last + 1 :] if message["role"] == "tool"]
    question, proposals = _without_proposals(text_of(messages[last]))
    return Conversation(
        question=question,
        proposals=proposals,
        system=" ".join(text_of(m) for m in messages if m["role"] in ("system", "developer")),
        earlier=" ".join(text_of(m) for m in messages[:last] if m["role"] == "user"),
        seen=tuple(_seen([messages[last], *since])),
        results=tuple(text_of(message) for message in since),
        seed=body.get("seed") or 0,
        tools=tuple(tool["function"] for tool in body.get("tools") or ()),
    )


def text_of(message: Mapping[str, Any]) -> str:
    """Join the text parts of a message."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n\n".join(part["text"] for part in content if part.get("type") == "text")


def _seen(messages: Sequence[Json]) -> list[str]:
    parts = [part for m in messages if isinstance(m.get("content"), list) for part in m["content"]]
    return [what for part in parts if (what := describe(part))]


def _without_proposals(text: str) -> tuple[str, tuple[str, ...]]:
    # Answers to weigh stand in a fence; the paragraph before it introduces them, and what is before that is asked.
    found = list(_FENCE.finditer(text))
    if not found:
        return text, ()
    asked = text[: found[0].start()].rstrip().rpartition("\n\n")[0]
    return asked, tuple(match[2] for match in found)


def speak(heard: Conversation) -> str:
    """Answer in words."""
    if heard.results:
        return f"The tool says: {' '.join(filter(None, (*heard.results, *heard.seen)))}"
    if heard.proposals:
        most_said, _ = Counter(heard.proposals).most_common(1)[0]
        return f"Weighing {len(heard.proposals)} answers: {most_said}"
    if heard.seen:
        return f"This is {', and '.join(heard.seen)}."
    for pattern, answer in _RULES:
        if found := pattern.search(heard.question):
            return answer(found, heard)
    return f"I was asked this: {heard.question.strip()} Let me think about it, step by step, and then say what I know."


_NUMBER: Final = r"(-?\d+(?:\.\d+)?)"
_OPERATORS: Final[dict[str, Callable[[float, float], float]]] = {
    "+": operator.add,
    "plus": operator.add,
    "-": operator.sub,
    "minus": operator.sub,
    "*": operator.mul,
    "times": operator.mul,
    "/": operator.truediv,
    "divided by": operator.truediv,
}
_JOKES: Final = (
    "Why did the cat sit on the computer? To keep an eye on the mouse.",
    "What do you call a bear with no teeth? A gummy bear.",
    "I told my plants a joke. Now they are rooting for me.",
    "Why do programmers prefer dark mode? Because light attracts bugs.",
    "What did the ocean say to the beach? Nothing, it just waved.",
)
_HAIKU: Final = "Snow on the old bridge\nA single crow crosses it\nMorning has begun"


def _calculate(found: re.Match[str], _: Conversation) -> str:
    left, sign, right = float(found[1]), found[2], float(found[3])
    if sign in ("/", "divided by") and not right:
        return "That cannot be divided."
    return f"The answer is {_OPERATORS[sign](left, right):.10g}."


def _name(_: re.Match[str], heard: Conversation) -> str:
    found = re.search(r"my name is (\w+)", heard.earlier, re.IGNORECASE)
    return f"{found[1]}." if found else "You have not told me."


_Rule = Callable[[re.Match[str], Conversation], str]
_RULES: Final[list[tuple[re.Pattern[str], _Rule]]] = [
    (re.compile(rf"{_NUMBER}\s*(\+|-|\*|/|plus|minus|times|divided by)\s*{_NUMBER}"), _calculate),
    (re.compile(r"\bwhat is my name\b", re.IGNORECASE), _name),
    (re.compile(r"\bcount from (\d+) to (\d+)", re.IGNORECASE), lambda m, _: ", ".join(_counted(m[1], m[2])) + "."),
    (re.compile(r"\brepeat after me: (.+)", re.IGNORECASE | re.DOTALL), lambda m, _: m[1].strip()),
    (re.compile(r"\bjoke\b", re.IGNORECASE), lambda _, heard: _JOKES[heard.seed % len(_JOKES)]),
    (re.compile(r"\b(\d+|a) haikus?\b", re.IGNORECASE), lambda m, _: "\n\n".join([_HAIKU] * _few(m[1]))),
    (re.compile(r"\b(\d+) words\b", re.IGNORECASE), lambda m, _: " ".join(["word"] * _few(m[1]))),
    (re.compile(r"^\W*(?:say )?(?:hello|hi|hey)\b", re.IGNORECASE), lambda _, __: "Hello! How can I help you today?"),
]


def _counted(first: str, last: str) -> list[str]:
    return [str(number) for number in range(int(first), min(int(last), int(first) + 1000) + 1)]


def _few(number: str) -> int:
    return min(int(number), 5000) if number.isdigit() else 1


def _cut(heard: Conversation, text: str) -> str:
    wanted = re.search(r"\b(?:exactly|only) (one|two|three|\d+) words?\b", f"{heard.system} {heard.question}")
    if not wanted:
        return text
    count = {"one": 1, "two": 2, "three": 3}.get(wanted[1]) or int(wanted[1])
    return " ".join(text.split()[:count])


def _tool_calls(heard: Conversation, choice: str | Json, parallel: bool) -> tuple[tuple[str, Json], ...]:
    tools = heard.tools
    if not tools or choice == "none":
        return ()
    if isinstance(choice, dict):
        wanted = [tool for tool in tools if tool["name"] == choice["function"]["name"]]
    elif choice == "auto" and heard.results:
        return ()  # it knows now what it wanted to know
    else:
        wanted = [tool for tool in tools if _fits(tool, heard.question)]
        wanted = wanted or ([tools[0]] if choice == "required" else [])
    wanted = wanted if parallel else wanted[:1]
    return tuple((tool["name"], fill(tool.get("parameters") or {"type": "object"}, heard.question)) for tool in wanted)


def _fits(tool: Json, question: str) -> bool:
    said = _telling(question)
    if said & _telling(tool["name"]) or len(said & _telling(tool.get("description") or "")) > 1:
        return True
    root = tool.get("parameters") or {}
    kinds = [resolve(part, root).get("type") for part in root.get("properties", {}).values()]
    # Who is asked to calculate, and has something that takes so many numbers, calculates with it.
    return bool(kinds) and all(kind in ("integer", "number") for kind in kinds) and len(numbers(question)) == len(kinds)


def _telling(text: str) -> set[str]:
    return {word.removesuffix("s") for word in words_of(text)} - _COMMON


__all__ = ["Reply", "Unreadable", "listen", "speak", "text_of", "think"]
