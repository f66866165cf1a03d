"""Where replies mark their final answer: boxes, tags, labels, headings, sentences, the last line."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mollm.final.canonical import BOX, MAX_CHARS, MAX_LITERAL_CHARS, canonical, closing, in_brackets, unwrap
from mollm.final.forms import Form
from mollm.final.notation import typed
from mollm.final.numbers import number
from mollm.final.phrases import (
    ASIDE,
    CALLED_ANSWER,
    CALLED_CORRECT,
    CONCLUDES,
    CORRECTION,
    DECIMAL_COMMA,
    ENDING,
    FINAL,
    HYPOTHETICAL,
    MARKER,
    OPTION,
    PICKED,
    STEMS,
)

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


def _passages(prose: str) -> list[tuple[int, int]]:
    """Where phrases may be, from the first to the last: around the last places of each stem."""
    lowered = prose.lower()
    if len(lowered) != len(prose):
        lowered = prose  # a letter that is two in lower case would shift all places behind it
    places = []
    for stem in STEMS:
        at = len(lowered)
        for _ in range(_MARKS):
            at = lowered.rfind(stem, 0, at)
            if at < 0:
                break
            places.append(at)
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
    r"\?[*_]{0,3}\s*$|^\W{0,6}(?:[0-9]{1,2}[.)]|\(?[a-h]\)|(?:question|problem|exercise|part|task|aufgabe|frage|q)\s?[0-9a-h]{1,2}\b)",
    re.I | re.M,
)


def _is_worksheet(prose: str, marks: list[_Mark]) -> bool:
    numbered = {mark.value for mark in marks if mark.is_numbered}
    labels = [mark for mark in marks if mark.is_label]
    gaps = [prose[a.end : b.start] for a, b in zip(labels, labels[1:], strict=False) if a.value != b.value]
    return len(numbered) > 1 or any(_QUESTION.search(gap) and not CORRECTION.search(gap) for gap in gaps)


_ITEM = re.compile(r"\W{0,6}(?:[0-9]{1,2}|[a-h])[.)]\W{0,8}", re.I)


def _line_before(prose: str, at: int) -> str:
    """What stands on the line before `at`, at most 80 characters of it."""
    start = prose.rfind("\n", max(0, at - 80), at)
    return prose[start + 1 if start >= 0 else max(0, at - 80) : at]


def _boxed(prose: str) -> Iterator[_Mark]:
    for box in last(BOX, prose):
        inside = in_brackets(prose, box.end())
        if value := canonical(inside, LABELLED_WORDS):
            is_numbered = bool(_ITEM.fullmatch(_line_before(prose, box.start())))
            yield _Mark(box.start(), box.end() + len(inside), value, is_numbered=is_numbered)


_TAG = re.compile(r"(?:<|\[)(?:final[_ ]?)?(?:answer|output|result|solution|final)(?:>|\])", re.I)
_TAG_END = re.compile(r"(?:</|\[/)(?:final[_ ]?)?(?:answer|output|result|solution|final)(?:>|\])", re.I)
_VERDICT = re.compile(r"(?<![\[`\w])\[\[([A-Za-z]|-?[0-9]{1,4}(?:\.[0-9]{1,4})?)\]\](?![\]`])")
_JUDGED = re.compile(r"(?:rating|score|verdict|answer|choice|grade|is)\W{0,4}\Z", re.I)
_HASHES = re.compile(r"^####[ \t]{1,4}(\S[^\n]{0,60})\s*\Z", re.M)


def _tagged(prose: str) -> Iterator[_Mark]:
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
    r"\W{0,20}(?:(?:[0-9]{1,2}|[a-h])[.)]\W{0,6})?(?:(?:the|die|das|der|la|le|el|a|o|il|my|meine|ma|mi|minha|我的|私の)\W{1,3})?\W{0,4}",
    re.I,
)
_NEAR_THE_END = 250
"""Characters before the end within which a result may be taken for the answer."""


def _named(prose: str, passages: list[tuple[int, int]]) -> Iterator[_Mark]:
    """Labels, headings and sentences which name the answer."""
    for found in _said((MARKER,), prose, passages):
        before = _line_before(prose, found.start())
        begins_line = _BEFORE_LABEL.fullmatch(before) is not None
        is_last_line = "\n" not in prose[found.end() :]
        words_follow = prose[found.end() : found.end() + 4].lstrip(" *")[:1] in tuple("'\"`")
        is_conclusion = CONCLUDES.search(before) is not None or (begins_line and is_last_line)
        if found["weak"] and not (found["colon"] and begins_line) and not (found["is"] and is_conclusion):
            continue
        if found["weak"] and not is_conclusion and len(prose) - found.end() > _NEAR_THE_END < found.start():
            continue
        if found["heading"] and not (begins_line and (FINAL.search(found[0]) or "#" in before or "*" in before + found[0])):
            continue
        if HYPOTHETICAL.search(before):
            continue
        is_label = begins_line and bool(found["colon"] or found["heading"])
        words = _SAID_WORDS if words_follow else 0 if found["weak"] else LABELLED_WORDS if is_label else _SAID_WORDS if is_last_line else 0
        value = value_at(prose, found.end(), words, has_decimal_comma=DECIMAL_COMMA.search(found[0]) is not None)
        if value:
            is_final = is_label and FINAL.search(found[0]) is not None
            yield _Mark(found.start(), found.end(), value, is_final, is_label, bool(_ITEM.fullmatch(before)))


_SUBJECT = re.compile(r"(?:\A|[.!?:;,(*\"])\W{0,4}\Z|\b(?:so|thus|therefore|hence|that|think|believe|options?|only)\s\W{0,3}\Z", re.I)
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


ASSERTION = re.compile(r"`?(?:assert\s[^\n]{0,40}|)[\w.]{1,40}\([^\n]{0,400}?\) ?== ?([^\n`]{1,400})`?(?=\s*\Z|\n)")
"""What a call is said to return: `assert f(2) == [1, 2]`."""
_DECORATION = re.compile(r"(?:[\s*_:：、\"“”#]|(?<=\n)>)*+")
_DISPLAYED = re.compile(r"\\\[(.{1,1000}?)\\\]|\$\$(.{1,1000}?)\$\$", re.S)
_ITEMIZED = re.compile(r"[-*•]\s|1[.)]\s(?=[^\n]{0,400}\n\s{0,4}2[.)]\s)")
_ANOTHER = re.compile(rf"(?:(?:so|thus|therefore),? )?(?:(?:the|die|la|a|el|o|il) )?{MARKER.pattern}", re.I)
_CODE = re.compile(r"`([^`\n]{1,400})`")
_SENTENCE_END = re.compile(r"[.!?;](?=[*_\"'”’)\]$]{0,4}(?:\s|\Z))|[。！？；؟।؛]")
_ABBREVIATION = re.compile(
    r"(?:\b(?:dr|mr|mrs|ms|st|mt|no|vs|jr|sr|prof|inc|ltd|co|approx|ca|fig|nr|bzw|etc|rs|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|e\.g|i\.e|cf|sq|cu)|(?<![^\W\d_])[^\W\d_]\.[^\W\d_]"
    r"|\A\W{0,4}[^\W\d_]|\s[^\W\d_](?=\.\s[A-Z])|\\)\Z",
    re.I,
)
_CLAUSE_END = re.compile(
    r"\s\(|:\s|,\s(?!and\b|or\b|[0-9$\\])|，|,?\s(?:because|since|which|as|so|where|is|are|weil|da|car|parce|porque|perch[eé]"
    r"|puisque|потому|так как|—|–|-)\s|因为|，因|なぜなら"
)
_INLINE = re.compile(r"(?<!\\)\$(?! )([^$\n]{1,199})(?<![ \\])\$(?![0-9])|\\\(([^\n]{1,199}?)\\\)")
_EMPHASIS = re.compile(r"(?<![\w)\]])(?:\*\*\*?|__)|(?:\*\*\*?|__)(?![\w(\[])")
_EMPHASIZED = re.compile(r"\*\*\*?([^*\n]{1,199})\*\*|`([^`\n]{1,199})`|\$([^$\n]{1,199})\$|\\\((.{1,199}?)\\\)|\"([^\"\n]{1,199})\"")
_GOES_ON = re.compile(
    r"\W{0,2}\s?(?:[-+*/^=<>%!±:&\\]|(?:or|and|to|of|less|more|fewer|plus|minus|times|per\s?cent|percent|squared|cubed|by|vs|out|mod"
    r"|hundred|dozen|thousand|[a-z]*illion|[a-z]+ths?|thirds?|hal(?:f|ves)|quarters?|und|oder|et|ou|y|o|e|и|или|和|或)(?!\w))",
    re.I,
)
"""What makes another value of the emphasized one before it."""


def value_at(text: str, start: int, words: int, *, has_decimal_comma: bool = False) -> Form | None:
    """Read the value which stands at `start`: all of its sentence, the emphasized beginning, or the main clause.

    Args:
        text: A reply.
        start: Where the marker ends.
        words: Most words of a value which is neither a number nor an expression.
        has_decimal_comma: `3,5` is a number, `1.234` is one thousand and more.
    """
    skipped = _DECORATION.match(text, start)
    start = skipped.end() if skipped else start
    rest = text[start : start + MAX_LITERAL_CHARS]
    if not rest or _ITEMIZED.match(rest) or ((other := _ANOTHER.match(rest)) and other["strong"]):
        return None
    if displayed := _DISPLAYED.match(rest):
        return canonical(displayed[1] or displayed[2], words)
    if box := BOX.match(rest):
        return canonical(in_brackets(rest, box.end()), words)
    if rest[0] in "[{(" and (end := closing(rest)) > 0 and re.match(r"[*_`\"]{0,3}(?:[.,;。]|\s*\Z|\n)", rest[end + 1 : end + 8]):
        return canonical(rest[: end + 1], words)
    if asserted := ASSERTION.match(rest):
        return value_at(asserted[1], 0, words)
    if code := _CODE.match(rest):
        return None if _GOES_ON.match(rest[code.end() : code.end() + 20]) else canonical(code[1], words)
    line = rest.partition("\n")[0][: 2 * MAX_CHARS]
    return _from_sentence(_localized(line) if has_decimal_comma else line, words)


def _localized(line: str) -> str:
    line = re.sub(r"(?<![0-9.,])([0-9]{1,3}(?:\.[0-9]{3})+)(?!\.?[0-9])", lambda found: found[1].replace(".", ""), line)
    return re.sub(r"(?<![0-9.,])([0-9]{1,12}),(?=[0-9]{1,2}(?![0-9])|[0-9]{4})", r"\1.", line)


_NO_VALUE = re.compile(
    r"\W*(?:that|it|to|we|you|i|he|she|they|there|this|shown|given|provided|found|based|as follows|below|above|depends|complicated|simple"
    r"|obvious|clear|different|not (?:simple|clear|easy|known|that|so|a |an |the |obvious|always|necessarily)|the following)(?:\s|\Z)"
    r"|.*(?:ます|ません|でしょう|れる|습니다|릅니다|됩니다|어요|아요)\Z",
    re.I,
)
"""Where a sentence about the answer goes on without naming it."""


def _from_sentence(line: str, words: int) -> Form | None:
    sentence, mark = _first_sentence(line)
    if mark in ("?", "？", "؟"):
        return None
    plain = _plain(sentence)
    if option := OPTION.match(plain):
        plain = plain[option.end() :]
    plain = ENDING.sub("", plain)
    if _NO_VALUE.match(plain):
        return None
    if (aside := ASIDE.search(plain, 1)) and (value := canonical(plain[: aside.start()], words)):
        return value
    if value := canonical(plain, words):
        return value
    emphasized = _EMPHASIZED.match(sentence)
    if emphasized and not _GOES_ON.match(sentence[emphasized.end() : emphasized.end() + 20]):
        return canonical(emphasized[emphasized.lastindex or 0], words)
    clauses = (plain[: end.start()] for end in list(_CLAUSE_END.finditer(plain[:MAX_CHARS]))[:4])
    return next(filter(None, (canonical(clause, 0) for clause in clauses)), None)


def _plain(sentence: str) -> str:
    return " ".join(_INLINE.sub(r" \1\2 ", _EMPHASIS.sub("", sentence)).split())


def _first_sentence(line: str) -> tuple[str, str]:
    """The first sentence of `line` without the mark at its end, and the mark."""
    for end in _SENTENCE_END.finditer(line):
        before = line[: end.start()]
        is_other = end[0] == "!" and re.search(r"(?:[0-9)]|(?<!\w)[a-z])\Z", before) if end[0] != "." else _ABBREVIATION.search(before[-12:])
        if not is_other:
            return before, end[0]
    return line, ""


_FIGURE = re.compile(r"(?<![\w^.,/])[-\u2212]?(?:[$€£¥₹]\s?)?[0-9][0-9,]*+(?:\.[0-9]+)?(?:/[0-9]+)?%?")
_TOTALS = re.compile(r"\b(?:total|altogether|left|remain\w{0,3}|in all|so(?!\sthat)|therefore|thus|hence)\b|=", re.I)
_TOLD = re.compile(r":|\byou\b|\bI\b")
_PREDICATE = re.compile(
    r"(?:\b(?:ha[sd]|have|is|are|was|were|be|ma[dk]es?|pa(?:ys|id)|pay|costs?|earn(?:s|ed)?|gets?|got|needs?|needed|sells|sold|spen(?:ds|t)"
    r"|saves?|saved|takes|took|gives|gave|equals?|total(?:s|ed|ing)?|weighs?|leaves|left|remains?|receive[sd]?|collect(?:s|ed)"
    r"|drives?|drove|travel(?:s|ed)|ate|eats|b(?:ought|uys)|reads?|walk(?:s|ed)|used?|uses|owes?|contains?|holds?|produce[sd]?"
    r"|obtain|find|(?:that|it|which|there)['’]s|ends? up with|measures?|lasts?|covers?|requires?|worth|(?:total|sum|profit|cost|price|amount|average|distance|speed|area|rate) of"
    r"|(?:travel|driv|mov|go|run|fl)\w{1,4} at)|(?<![<>!=])=)\s(?:(?:about|approximately|exactly|only|just|a total of)\s)?\Z",
    re.I,
)
_SO = re.compile(r"(?:,|;)\s(?:and\s)?(?:so|thus|therefore|hence)\s")
_EQUATION = re.compile(r"([^<>!]*)(?<![<>!=])=([^=<>]*)")
_SEVERAL = re.compile(r",\s|\band\b|\bor\b")
_RECKONING = re.compile(r"[0-9]\s?(?:[-+*/×÷]|\\times|\\cdot)\s?\$?[0-9]")
_FORMULA = re.compile(r"[=<>≤≥∈$\\]")


def concluded(line: str) -> Form | None:
    """Return the number in which a last line concludes: `= 42`, `So she earns **$18** a day.`"""
    if len(line) > 2 * MAX_CHARS:
        return None
    conclusion = CONCLUDES.match(line) or _SO.search(line)
    rest = line[conclusion.end() :] if conclusion else line
    emphasized = [
        found
        for found in _EMPHASIZED.finditer(line)
        if line[found.start()] != "`" and number(typed(unwrap(found[found.lastindex or 0])))
    ]
    if len(emphasized) == 1 and (conclusion or _TOTALS.search(line)):
        found = emphasized[0]
        goes_on = _GOES_ON.match(line, found.end())
        return None if goes_on else number(typed(unwrap(found[found.lastindex or 0])))
    if len(rest) > MAX_CHARS:
        return None
    plain = _first_sentence(_plain(rest))[0]
    if conclusion and (value := number(typed(unwrap(plain))) or _letter(plain)):
        return value
    if (equation := _EQUATION.fullmatch(plain)) and not _SEVERAL.search(plain):
        left, right = equation.groups()
        is_reckoned = conclusion or "=" in left or _RECKONING.search(left)
        value = number(typed(unwrap(plain)))
        return value or ((number(typed(unwrap(right))) or stated(f"={right}")) if is_reckoned else None)
    if conclusion and _FORMULA.search(rest) and (value := canonical(plain, 0)):
        return value
    return stated(plain) if conclusion and not emphasized else None


def _letter(text: str) -> Form | None:
    letter = re.fullmatch(r"(?:option |choice |answer )?\(?([A-J])\)?\.?", text)
    return Form(letter[1].casefold()) if letter else None


def stated(sentence: str) -> Form | None:
    """Return the only number of a sentence like `Tom has 18 marbles left`, with what it counts."""
    sentence = _plain(sentence)
    figures = list(_FIGURE.finditer(sentence))
    if len(figures) != 1 or _TOLD.search(sentence) or not _PREDICATE.search(sentence, 0, figures[0].start()):
        return None
    words = sentence[figures[0].start() :].split(" ")
    for count in range(min(5, len(words)), 0, -1):
        if value := number(typed(" ".join(words[:count]).rstrip(",."))):
            return value if count > 1 or not _GOES_ON.match(" " + " ".join(words[1:])) else None
    return None
