"""Finding the final answer in a reply.

A final answer is the short checkable result inside a reply: a number, a choice, a literal, a word or two.
`canonical.py` defines its form.
"""

from __future__ import annotations

import re
from collections import deque
from itertools import chain
from typing import TYPE_CHECKING

from mollm.final.canonical import (
    BOX,
    MAX_CHARS,
    MAX_LITERAL_CHARS,
    canonical,
    clean,
    closing,
    compound,
    in_brackets,
    number,
    unescape,
    unwrap,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_LABELLED_WORDS, _BARE_WORDS = 5, 3
"""Most words in what is marked as the answer, and in a reply or last sentence that is taken as it stands."""


def final_answer(text: str) -> str | None:
    """Find the final answer of a reply of any length: prose, Markdown, LaTeX, JSON or code.

    Returns:
        Its canonical form, never empty; None if the reply is open text (an essay, a program, a chat).
    """
    text = text.encode("utf-8", "ignore").decode().rpartition("</think>")[2].strip()
    parts = text.split("```")
    prose, blocks = "\n".join(parts[::2]).strip(), parts[1::2]
    if not prose and len(blocks) == 1 and re.match(r"(?:json|markdown|md|te?xt|(?:la)?tex)\b", blocks[0]):
        text = prose = _body(blocks.pop())
    found = _from_json(text, blocks) or _from_mark(prose)
    return found or _from_last_line(prose) or (_from_block(prose, blocks) if blocks else _from_whole(prose))


def same_answer(a: str, b: str) -> bool:
    """Say whether both replies have a final answer, and it is the same."""
    found = final_answer(a)
    return found is not None and found == final_answer(b)


_JSON_KEY = re.compile(r'"(?:(?:final[_ ]?)?(?:answer|result|choice)|final)"\s*:\s*+(?!null\b)', re.I)
_JSON_STRING = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"', re.S)
_LABEL = re.compile(
    r"^[ \t>*_#-]*(?:the[ \t]+)?(?:(final|correct)[ \t]+)?answer[*_ \t]*:[*_:\s]*|^####[ \t]+(?=\S+\s*\Z)", re.I | re.M
)
_SENTENCE = re.compile(
    r"\b(?:(?:answer|(?:correct|right|best)\s+(?:choice|option)"
    r"|(?:so|thus|therefore|hence),?\s+the\s+(?:final\s+)?(?:result|value|solution))"
    r"(?:\s+to\s+(?:the|this)\s+(?:question|problem))?(?:\s+(?:is|are|must\s+be|equals)\b|[*_ \t]*:)[*_:\s]*"
    r"|option\s+(?=\(?[A-J]\)?\s+is\s+(?:the\s+)?(?:correct|right)\b))",
    re.I,
)
_HINTS = ("answer", "box", "####", "choice", "option", "result", "value", "solution")
_CLAUSE_END = re.compile(
    r"\.\s|[;!?]|\s\(|:\s|,\s(?!and\b|or\b|[0-9$\\])|,?\s(?:because|since|which|as|so|where|is|[\u2013\u2014-])\s"
)


def _last(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    return list(deque(pattern.finditer(text), maxlen=5))[::-1]


def _body(block: str) -> str:
    return re.sub(r"\A[ \t]*[\w+-]*[ \t]*\n|\A(?:json|python)\b", "", block).strip()


def _from_json(text: str, blocks: list[str]) -> str | None:
    objects = [body for block in blocks if (body := _body(block)).startswith("{")]
    if text.startswith("{") or (not objects and text.endswith("}") and re.search(r"^[ \t]*\{", text, re.M)):
        objects = [text]
    found = {canonical(raw, _LABELLED_WORDS) for raw in _fields(objects[-1])} if objects else set()
    # Several different ones in one object are data, or a list of questions.
    return found.pop() if len(found) == 1 else None


def _fields(source: str) -> Iterator[str]:
    for key in _last(_JSON_KEY, source):
        rest = source[key.end() : key.end() + MAX_LITERAL_CHARS]
        literal = rest[: closing(rest) + 1] if rest[:1] in ("[", "{") else re.split(r"[,}\n]", rest)[0]
        string = _JSON_STRING.match(rest)
        yield unescape(string[1]) if string else literal


def _from_mark(prose: str) -> str | None:
    """What is boxed, labelled or said to be the answer; of several the last."""
    lowered = prose.lower()
    if not any(hint in lowered for hint in _HINTS):
        return None
    boxed = (canonical(in_brackets(prose, box.end()), _LABELLED_WORDS) for box in _last(BOX, prose))
    labels = _last(_LABEL, prose)
    last_final = [label for label in labels if label[1]][:1]
    labelled = {_from_line(prose, label.end(), _LABELLED_WORDS) for label in last_final or labels}
    ends = (said.end() for said in _last(_SENTENCE, prose))
    said = (_from_line(prose, end, 0 if "\n" in prose[end:] else _BARE_WORDS) for end in ends)
    # Labels of several different answers make a worksheet.
    return next(filter(None, chain(boxed, [] if len(labelled) > 1 else chain(labelled, said))), None)


def _from_line(prose: str, start: int, words: int) -> str | None:
    """Read what follows a marker: all of its line, the emphasised beginning, or the main clause."""
    rest = prose[start : start + MAX_LITERAL_CHARS]
    displayed = re.match(r"\\\[.*?\\\]|\$\$.*?\$\$", rest, re.S)
    line = displayed[0] if displayed else rest.partition("\n")[0]
    if re.match(r"[0-9]+[.)]\s|[-*]\s", line):
        return None
    marked = re.match(r"\*\*.+?\*\*|`[^`]+`|\$[^$]+\$|\\\(.+?\\\)|[^*\n]{1,80}\*\*", line)
    found = canonical(line, words) or (canonical(marked[0], words) if marked else None)
    ends = [end.start() for end in _CLAUSE_END.finditer(line[:MAX_CHARS])][:4]
    return found or next(filter(None, (canonical(line[:end], 0) for end in ends)), None)


def _from_last_line(prose: str) -> str | None:
    """`= 42`, or `So she earns **$18** a day.`"""
    line = prose[prose.rfind("\n") + 1 :]
    concludes = re.match(r"(?:so|thus|therefore|hence)\b,?\s*|", line[: MAX_CHARS + 1], re.I)
    if not concludes or len(line) > MAX_CHARS:
        return None
    marked = re.findall(r"\*\*(.+?)\*\*|\\\((.+?)\\\)", line) if concludes[0] else []
    said = "".join(marked[0]) if len(marked) == 1 else line[concludes.end() :] if "=" in line else ""
    return number(clean(unwrap(said))) if said else None


def _from_block(prose: str, blocks: list[str]) -> str | None:
    """The only block, if it holds a literal and nothing else."""
    body = _body(blocks[0])
    if len(blocks) > 1 or len(prose) > 2 * MAX_CHARS or '"answer"' in body:
        return None
    is_scalar = re.match(r"[\"']|[-+]?[0-9.]+\s*\Z|(?:[Tt]rue|[Ff]alse|None|null)\s*\Z", body)
    return canonical(body, _LABELLED_WORDS) if is_scalar else compound(body, 0, 0)


_NO_PROSE = re.compile(r"[0-9`\\=\[{(]")


def _from_whole(prose: str) -> str | None:
    """A reply that is nothing but a value, or says in one sentence what an expression gives."""
    if prose.count(" ", 0, MAX_CHARS) > 2 * _BARE_WORDS and not _NO_PROSE.search(prose, 0, MAX_CHARS):
        return None  # most replies: seen in 1 us, where reading one as a value takes 100
    # An answer was announced, and it was none; a question; a refusal.
    if re.search(r"answer|boxed|\?\Z|\A(?:(?:i|we|you)(?:['\u2019]\w+)?\s|sorry\b|n/a\b)", prose, re.I):
        return None
    if inline := re.match(r"[^`]{1,200}\b(?:returns?|prints?|outputs?|is|to|gives)[ :]+`([^`]+)`[.\s]*\Z", prose):
        return canonical(inline[1], 0)
    return canonical(prose, _BARE_WORDS) if "\n" not in prose or prose[:1] in ("[", "{", "(") else None
