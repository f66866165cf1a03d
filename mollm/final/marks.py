"""Where replies mark their final answer: boxes, tags, labels, headings, sentences, the last line."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from mollm.final.canonical import BOX, LINK, MAX_CHARS, MAX_LITERAL_CHARS, canonical, in_braces
from mollm.final.forms import Form
from mollm.final.phrases import (
    CALLED_ANSWER,
    CALLED_CORRECT,
    CONCLUDES,
    CORRECTION,
    DECIMAL_COMMA,
    FINAL,
    HYPOTHETICAL,
    MARKER,
    PICKED,
    STEMS,
)
from mollm.final.reading import value_at

if TYPE_CHECKING:
    from collections.abc import Iterator

LABELLED_WORDS, _SAID_WORDS = 5, 3
"""Most words in what is marked as the answer, and in what the last line says it is."""
_MARKS = 6
"""Most marks of one kind that are read, the last ones."""


@dataclass(frozen=True, slots=True)
class _Mark:
    start: int
    end: int
    value: Form
    is_final: bool = False
    """It is the last word, whatever other answers there are."""
    is_label: bool = False
    is_numbered: bool = False


def last(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    """Return the last matches of `pattern`, the last one first."""
    return list(deque(pattern.finditer(text), maxlen=_MARKS))[::-1]


_BEFORE_STEM, _AFTER_STEM = 60, 120
"""Characters around a stem in which a phrase with it lies."""
_ASCII_STEMS = tuple(stem for stem in STEMS if stem.isascii())


def _passages(prose: str) -> list[tuple[int, int]]:
    """Where phrases may be, from the first to the last: around the last places of each stem."""
    lowered = prose.lower()
    if len(lowered) != len(prose):
        lowered = prose  # a letter that is two in lower case would shift all places behind it
    places = []
    for stem in _ASCII_STEMS if lowered.isascii() else STEMS:
        at, left = lowered.rfind(stem), _MARKS
        while at >= 0 and left:
            places.append(at)
            at, left = lowered.rfind(stem, 0, at), left - 1
    passages: list[tuple[int, int]] = []
    for at in sorted(places):
        start, end = max(0, at - _BEFORE_STEM), at + _AFTER_STEM
        if passages and start <= passages[-1][1]:
            start = passages.pop()[0]
        passages.append((start, end))
    return passages


def _said(patterns: tuple[re.Pattern[str], ...], prose: str, passages: list[tuple[int, int]]) -> list[re.Match[str]]:
    return [
        found
        for pattern in patterns
        for found in deque((f for span in passages for f in pattern.finditer(prose, *span)), maxlen=_MARKS)
    ]


def marked(prose: str) -> tuple[Form | None, bool]:
    """Return what is marked as the answer, of several the last, and whether that settles it.

    It is settled without an answer where the marks are those of a worksheet: several questions with an answer each.
    """
    passages = _passages(prose)
    marks = [*_boxed(prose), *_tagged(prose)]
    if passages:
        marks += [*_named(prose, passages), *_chosen(prose, passages)]
    marks.sort(key=lambda mark: mark.start)
    if not marks:
        return None, False
    finals = [mark for mark in marks if mark.is_final]
    if not finals and _is_worksheet(prose, marks):
        return None, True
    found = (finals or marks)[-1]
    if finals and found is not marks[-1] and CORRECTION.search(prose, found.end, marks[-1].start):
        found = marks[-1]
    return found.value, True


_QUESTION = re.compile(
    r"\?[*_]{0,3}\s*$|^\W{0,6}(?:[0-9]{1,2}[.)]|\(?[a-h]\)|(?:question|problem|exercise|part|task|aufgabe|frage"
    r"|q)\s?[0-9a-h]{1,2}\b)",
    re.I | re.M,
)


def _is_worksheet(prose: str, marks: list[_Mark]) -> bool:
    numbered = {mark.value for mark in marks if mark.is_numbered}
    labels = [mark for mark in marks if mark.is_label]
    gaps = [prose[a.end : b.start] for a, b in pairwise(labels) if a.value != b.value]
    return len(numbered) > 1 or any(_QUESTION.search(gap) and not CORRECTION.search(gap) for gap in gaps)


_ITEM = re.compile(r"\W{0,6}(?:[0-9]{1,2}|[a-h])[.)]\W{0,8}", re.I)


def _line_before(prose: str, at: int) -> str:
    """What stands on the line before `at`, at most 80 characters of it."""
    start = prose.rfind("\n", max(0, at - 80), at)
    return prose[start + 1 if start >= 0 else max(0, at - 80) : at]


def _boxed(prose: str) -> Iterator[_Mark]:
    """Boxes, each with those that are joined to it: `\\boxed{1} and \\boxed{2}`."""
    start, end, joined, is_read = -1, -1, "", False
    found: list[_Mark] = []
    for box in reversed(last(BOX, prose)):
        inside = in_braces(prose, box.end())
        link = LINK.fullmatch(prose, end, box.start()) if is_read else None
        if link:
            found.pop()
        else:
            start, joined = box.start(), ""
        joined += (" or " if link and link[1] else ", " if joined else "") + inside
        end = box.end() + len(inside) + 1
        value = canonical(joined, LABELLED_WORDS)
        is_read = value is not None
        if value:
            is_numbered = bool(_ITEM.fullmatch(_line_before(prose, start)))
            found.append(_Mark(box.start(), end - 1, value, is_numbered=is_numbered))
    yield from found


_TAG = re.compile(r"(?:<|\[)(?:final[_ ]?)?(?:answer|output|result|solution|final)(?:>|\])", re.I)
_TAG_END = re.compile(r"(?:</|\[/)(?:final[_ ]?)?(?:answer|output|result|solution|final)(?:>|\])", re.I)
_VERDICT = re.compile(r"(?<![\[`\w])\[\[([A-Za-z]|-?[0-9]{1,4}(?:\.[0-9]{1,4})?)\]\](?![\]`])")
_JUDGED = re.compile(r"(?:rating|score|verdict|answer|choice|grade|is)\W{0,4}\Z", re.I)
_HASHES = re.compile(r"^####[ \t]{1,4}(\S[^\n]{0,60})\s*\Z", re.M)


def _tagged(prose: str) -> Iterator[_Mark]:
    if "<" not in prose and "[" not in prose and "#" not in prose:
        return  # most replies: three looks are cheaper than three patterns
    for tag in last(_TAG, prose):
        ending = _TAG_END.search(prose, tag.end(), tag.end() + MAX_LITERAL_CHARS)
        inside = prose[tag.end() : ending.start() if ending else tag.end() + MAX_CHARS].strip()
        value = marked(inside)[0] or value_at(inside, 0, LABELLED_WORDS)
        if value:
            yield _Mark(tag.start(), tag.end(), value, is_final=True)
    for verdict in last(_VERDICT, prose):
        # A number in such brackets may as well be a list in a list.
        is_verdict = verdict[1].isalpha() or _JUDGED.search(_line_before(prose, verdict.start()))
        if is_verdict and (value := canonical(verdict[1], 0)):
            yield _Mark(verdict.start(), verdict.end(), value, is_final=True)
    if (hashes := _HASHES.search(prose, max(0, len(prose) - MAX_CHARS))) and (value := canonical(hashes[1], 0)):
        yield _Mark(hashes.start(), hashes.end(), value, is_final=True)


_BEFORE_LABEL = re.compile(
    r"\W{0,20}(?:(?:[0-9]{1,2}|[a-h])[.)]\W{0,6})?(?:(?:the|die|das|der|la|le|el|a|o|il|my|meine|ma|mi|minha|我的"
    r"|私の)\W{1,3})?\W{0,4}",
    re.I,
)
_NEAR_AN_END = 250
"""Characters from the beginning or the end within which a result may be taken for the answer."""


def _named(prose: str, passages: list[tuple[int, int]]) -> Iterator[_Mark]:
    """Labels, headings and sentences which name the answer."""
    for found in _said((MARKER,), prose, passages):
        before = _line_before(prose, found.start())
        if not _is_announcement(found, before):
            continue
        is_label = _BEFORE_LABEL.fullmatch(before) is not None and bool(found["colon"] or found["heading"])
        words = _words(found, is_label=is_label)
        value = value_at(prose, found.end(), words, has_decimal_comma=DECIMAL_COMMA.search(found[0]) is not None)
        if value:
            is_final = is_label and FINAL.search(found[0]) is not None
            yield _Mark(found.start(), found.end(), value, is_final, is_label, bool(_ITEM.fullmatch(before)))


_LAST_LINE = re.compile(r"\s{0,40}[^\n]*\Z")
"""Nothing but one more line."""


def _is_announcement(found: re.Match[str], before: str) -> bool:
    """Say whether a phrase is about the answer of the reply, not on the way to it, supposed, or part of a sentence."""
    prose = found.string
    if HYPOTHETICAL.search(before):
        return False
    if found["colon"] and found["colon"][:1] in ("'", '"') and prose.find("{", 0, found.start()) >= 0:
        return False  # a field of an object, which is read as one
    begins_line = _BEFORE_LABEL.fullmatch(before) is not None
    if found["heading"]:
        return begins_line and bool(FINAL.search(found[0]) or "#" in before or "*" in before + found[0])
    if not found["weak"]:
        return True
    is_conclusion = CONCLUDES.search(before) is not None or (
        begins_line and _LAST_LINE.match(prose, found.end()) is not None
    )
    is_near_an_end = min(found.start(), len(prose) - found.end()) <= _NEAR_AN_END
    return is_conclusion if found["is"] else begins_line and (is_conclusion or is_near_an_end)


_QUOTED = re.compile(r"[\s*]{0,40}['\"`]")


def _words(found: re.Match[str], *, is_label: bool) -> int:
    """Most words that the value after a phrase may have."""
    rest = found.string[found.end() :]
    if _QUOTED.match(rest):
        return LABELLED_WORDS if is_label and not found["weak"] else _SAID_WORDS
    if found["weak"]:
        return 0
    return LABELLED_WORDS if is_label else 0 if "\n" in rest else _SAID_WORDS


_SUBJECT = re.compile(
    r"(?:\A|[.!?:;,(*\"])\W{0,4}\Z|\b(?:so|thus|therefore|hence|that|think|believe|options?"
    r"|only)\s\W{0,3}\Z",
    re.I,
)
"""What stands before the letter of a choice, where others are part of a name: `Vitamin C`."""


def _chosen(prose: str, passages: list[tuple[int, int]]) -> Iterator[_Mark]:
    """Letters that are picked, letters and numbers that are called right."""
    for found in _said((PICKED, CALLED_CORRECT), prose, passages):
        letter = next(letter for letter in found.groups() if letter)
        before = _line_before(prose, found.start())
        is_name = found.re is CALLED_CORRECT and found.start() == found.start("letter") and not _SUBJECT.search(before)
        if letter.isupper() and not is_name and not HYPOTHETICAL.search(before):
            yield _Mark(found.start(), found.end(), Form(letter.casefold()))
    for found in _said((CALLED_ANSWER,), prose, passages):
        if value := canonical(found["value"], 0):
            yield _Mark(found.start(), found.end(), value)
