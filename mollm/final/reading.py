"""Reading the value that follows a mark: its sentence, the emphasized beginning of that, or the main clause."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mollm.final.canonical import BOX, LINK, MAX_CHARS, MAX_LITERAL_CHARS, canonical, closing, in_braces
from mollm.final.forms import blank
from mollm.final.phrases import ASIDE, ENDING, MARKER, OPTION
from mollm.final.sentences import first_sentence, plain_text
from mollm.final.statements import stated

if TYPE_CHECKING:
    from mollm.final.forms import Form

ASSERTION = re.compile(r"`?(?:assert\s[^\n]{0,40}|)[\w.]{1,40}\([^\n]{0,400}?\) ?== ?([^\n`]{1,400})`?(?=\s*\Z|\n)")
"""What a call is said to return: `assert f(2) == [1, 2]`."""
_DECORATION = re.compile(r"(?:[\s*_:、\"“”#]|(?<=\n)(?:>|[-=]{3,40}(?=\n)))*+")
_EMPTY = re.compile(r"""[\s*_:`]{0,40}(?:'(\s{0,40})'|"(\s{0,40})")[*_`.]{0,4}\s{0,9}(?:\Z|\n)""")
"""An empty string and nothing behind it; decoration takes quotation marks away."""
_DISPLAYED = re.compile(r"\\\[(.{1,1000}?)\\\]|\$\$(.{1,1000}?)\$\$", re.S)
_ITEMIZED = re.compile(r"[-*•]\s|1[.)]\s(?=[^\n]{0,400}\n\s{0,4}2[.)]\s)")
_ANOTHER = re.compile(
    rf"[`\"']{{0,3}}(?:(?:so|thus|therefore),? )?(?:(?:the|die|la|a|el|o|il) )?{MARKER.pattern}", re.I
)
_ENDS = re.compile(r"[*_`\"]{0,3}(?:[.;。]|,(?!\s?[\[({0-9$\\`*])|\s{0,4}\Z|\n)")
_MORE_CODE = re.compile(r",?\s(?:and\s|or\s)?`")
_CODE = re.compile(r"`([^`\n]{1,400})`")
_CLAUSE_END = re.compile(
    r":\s|,\s(?!and\b|or\b|unless\b|if\b|except\b|only\b|when\b|provided\b|but\b|[0-9$\\])|,?\s(?:because|since|which|as|so|where|is|are|weil|da|car|parce|porque"
    r"|perch[eé]"
    r"|puisque|потому|так как|\u2014|\u2013|-)\s|因为|なぜなら"
)
EMPHASIZED = re.compile(
    r"\*\*\*?([^*\n]{1,199})\*\*|`([^`\n]{1,199})`|\$([^$\n]{1,199})\$|\\\((.{1,199}?)\\\)"
    r"|\"([^\"\n]{1,199})\""
)
GOES_ON = re.compile(
    r"\W{0,2}\s?(?:[-+*/^=<>%!±:&\\]|(?:or|and|to|of|less|more|fewer|plus|minus|times|per\s?cent|percent|squared"
    r"|cubed|by|vs|out|mod"
    r"|hundred|dozen|thousand|[a-z]*illion|[a-z]+ths?|thirds?|hal(?:f|ves)|quarters?|und|oder|et|ou|y|o|e|и|или"
    r"|和|或)(?!\w))",
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
    if empty := _EMPTY.match(text, start):
        return blank(empty[1] or empty[2] or "")
    skipped = _DECORATION.match(text, start)
    start = skipped.end() if skipped else start
    rest = text[start : start + MAX_LITERAL_CHARS]
    if not rest or _ITEMIZED.match(rest) or ((other := _ANOTHER.match(rest)) and other["strong"]):
        return None
    if displayed := _DISPLAYED.match(rest):
        return canonical(displayed[1] or displayed[2], words)
    if box := BOX.match(rest):
        inside = in_braces(rest, box.end())
        is_joined = (link := LINK.match(rest, box.end() + len(inside) + 1)) and BOX.match(rest, link.end())
        return None if is_joined else canonical(inside, words)
    if rest[0] in "[{(" and (end := closing(rest)) > 0 and _ENDS.match(rest, end + 1):
        return canonical(rest[: end + 1], words)
    if asserted := ASSERTION.match(rest):
        return value_at(asserted[1], 0, words)
    if code := _CODE.match(rest):
        if not _MORE_CODE.match(rest, code.end()):
            return None if GOES_ON.match(rest, code.end()) else canonical(code[1], words)
        rest = rest.replace("`", "")
    line = rest.partition("\n")[0][: 2 * MAX_CHARS]
    return _from_sentence(_localized(line) if has_decimal_comma else line, words)


def _localized(line: str) -> str:
    line = re.sub(r"(?<![0-9.,])([0-9]{1,3}(?:\.[0-9]{3})+)(?!\.?[0-9])", lambda found: found[1].replace(".", ""), line)
    return re.sub(r"(?<![0-9.,])([0-9]{1,12}),(?=[0-9]{1,2}(?![0-9])|[0-9]{4})", r"\1.", line)


_NO_VALUE = re.compile(
    r"\W*(?:(?:that|it|to|we|you|he|she|they|there|this|the following"
    r"|i (?:am|do|don't|would|have|think|can|can't|cannot))\s"
    r"|(?:shown|given|provided|found|based|as follows|below|above|depends|complicated"
    r"|not (?:simple|clear|easy|known|that|so|an?|the|obvious|always|necessarily))(?:\s|\Z))"
    r"|.*(?:ます|ません|でしょう|れる|습니다|릅니다|됩니다|어요|아요)\Z",
    re.I,
)
"""Where a sentence about the answer goes on without naming it."""


_AFFIRMED = re.compile(
    r"(yes|no|true|false)(?:,| [-\u2013\u2014])\s"
    r"(?:it|he|she|they|we|you|the|this|that|there|these|those|because|since)\b(?![^\n]*(?:[0-9]|\b[A-J]\b))",
    re.I,
)
"""`Yes, it is`, but not `Yes, 5`."""
_YES_OR_NO = re.compile(r"(?:yes|no|true|false), ", re.I)
"""What stands behind may be the answer."""
_CLAUSE = re.compile(r"(?!\(?[A-J]\)? ?=)[^\W\d_]+,? ")


def _balanced(text: str) -> str:
    """Without the brackets at the end that were opened before the value: `(so the answer is 5)`."""
    for opening, ending, half_open in (("{", "}", "{"), ("(", ")", "["), ("[", "]", "(")):
        if text.endswith(ending) and half_open not in text.replace(opening, "") and opening not in text:
            text = text.rstrip(ending)
    return text


def _from_sentence(line: str, words: int) -> Form | None:
    sentence, mark = first_sentence(line)
    if mark in ("?", "؟"):
        return None
    plain = plain_text(sentence)
    if option := OPTION.match(plain):
        plain = plain[option.end() :]
    plain = _balanced(ENDING.sub("", plain))
    if (affirmed := _AFFIRMED.match(plain)) and words:
        return canonical(affirmed[1], words)
    if _CLAUSE.match(plain) and (value := stated(plain, is_marked=True)):
        return value
    if _NO_VALUE.match(plain):
        return None
    if (aside := ASIDE.search(plain, 1)) and (value := canonical(plain[: aside.start()], words)):
        return value
    if value := canonical(plain, words):
        return value
    if _YES_OR_NO.match(plain):
        return None
    emphasized = EMPHASIZED.match(sentence)
    if emphasized and not GOES_ON.match(sentence, emphasized.end()):
        return canonical(emphasized[emphasized.lastindex or 0], words)
    clauses = (plain[: end.start()] for end in list(_CLAUSE_END.finditer(plain[:MAX_CHARS]))[:4])
    return next(filter(None, (canonical(clause, 0) for clause in clauses)), None)
