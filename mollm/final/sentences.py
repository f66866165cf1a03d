"""Sentences: where they end, and the value that one states without any mark."""

from __future__ import annotations

import re

from mollm.final.canonical import canonical, compound, unwrap
from mollm.final.dates import measure, moment
from mollm.final.forms import Form
from mollm.final.notation import typed
from mollm.final.numbers import number
from mollm.final.units import CHANGING

_SENTENCE_END = re.compile(r"[.!?;](?=[*_\"'”)\]$]{0,4}(?:\s|\Z))|[。؟।؛]")
_ABBREVIATION = re.compile(
    r"(?:\b(?:dr|mr|mrs|ms|st|mt|no|vs|jr|sr|prof|inc|ltd|co|approx|ca|fig|nr|bzw|etc|rs|jan|feb|mar|apr|jun|jul"
    r"|aug|sept?|oct|nov|dec|e\.g|i\.e|cf|sq|cu)|(?<![^\W\d_])[^\W\d_]\.[^\W\d_]"
    r"|\A\W{0,4}[^\W\d_]|\s[^\W\d_](?=\.\s[A-Z])|\\)\Z",
    re.I,
)
_GOES_ON = re.compile(r"[0-9]\.[0-9]+\.\.\Z")
"""A decimal with three points behind it is no end of a sentence: `0.333...`."""
_LETTERED = re.compile(r"(?<![^\s(;])[A-J]\)?;\s\(?[A-J](?!\w)")
_NUMBERED = re.compile(r"[0-9]{1,3}\. (?:[a-z0-9]|[KQRBN][a-hx1-8]|O-O)")
"""The first of several: `1. e4 e5`."""
_INLINE = re.compile(r"(?<!\\)\$(?! )((?:\\\$|[^$\n]){1,199})(?<![ \\])\$(?![0-9])|\\\(([^\n]{1,199}?)\\\)")
_EMPHASIS = re.compile(r"(?<![\w)\]])(?:\*\*\*?|__)|(?:\*\*\*?|__)(?![\w(\[])")


def plain_text(sentence: str) -> str:
    """Take off emphasis and the delimiters of mathematics."""
    return " ".join(_INLINE.sub(r" \1\2 ", _EMPHASIS.sub("", sentence)).split())


def first_sentence(line: str) -> tuple[str, str]:
    """Return the first sentence of `line` without the mark at its end, and the mark, empty if there is none."""
    for end in _SENTENCE_END.finditer(line):
        before = line[: end.start()]
        if end[0] == ";" and _LETTERED.search(line, max(0, end.start() - 4), end.end() + 8):
            continue
        if _GOES_ON.search(before[-40:]):
            continue
        if _NUMBERED.match(line) and re.search(r"(?<![\w.])[0-9]{1,3}\Z", before[-5:]):
            continue
        is_factorial = end[0] == "!" and re.search(r"(?:[0-9)]|(?<!\w)[a-z])\Z", before)
        if not is_factorial and not (end[0] == "." and _ABBREVIATION.search(before[-12:])):
            return before, end[0]
    return line, ""


_FIGURE = re.compile(r"(?<![\w^.,/])[-\u2212]?(?:(?:US)?\\?[$€£¥₹]\s?)?[0-9][0-9,]*+(?:\.[0-9]+)?(?:/[0-9]+)?\\?%?")
_TOLD = re.compile(r":(?![0-9])|\byou\b|\bI\b(?! (?:get|got|obtain|find|found|count)\b)|\?")
PREDICATE = re.compile(
    r"(?:\b(?:ha[sd]|have|having|is|are|was|were|be|ma[dk]es?|pa(?:ys|id)|pay|costs?|earn(?:s|ed)?|gets?|got|needs?"
    r"|needed|sells?|sold|spen[dt]s?|raise[sd]?|charge[sd]?|donate[sd]?|give[sn]?|adds|bakes?|baked|scored?|scores"
    r"|saves?|saved|takes?|took|gives|gave|equals?|total(?:s|ed|ing)?|weighs?|leaves|left|remains?|receive[sd]?"
    r"|collect(?:s|ed)|complete[sd]?|plant(?:s|ed)?|pick(?:s|ed)|wins?|won|prints?|returns?|outputs?|yields?"
    r"|drives?|drove|travel(?:s|ed)|ate|eats?|b(?:ought|uys?)|reads?|walk(?:s|ed)?|r[au]ns?|used?|uses|owes?|contains?"
    r"|holds?|produce[sd]?|becomes?|reach(?:es|ed)?|grew|grows|ow(?:es|ed)|carries|carried|serve[sd]?|fits?"
    r"|obtain|find|(?:that|it|which|there)'s|ends? up with|leaving (?:\w+ ){1,3}with|measures?|lasts?|covers?|requires?|worth|(?:total|sum"
    r"|profit|cost|price|amount|average|distance|speed|area|rate|revenue|income|salary|discount) of|(?:an?|the)\s(?:\w{2,14}\s){1,3}of"
    r"|(?:com|amount|add|work|sum)(?:es|s|e)? (?:out |up )?(?:to|at)|(?:simplifies|evaluates|reduces|rounds) to"
    r"|(?:travel|driv|mov|go|run|fl)\w{1,4} at"
    r"|ist|sind|hat|haben|kostet|kosten|zahlt|zahlen|beträgt|betragen|bleiben|bleibt|braucht|verdient|bekommt|erhält"
    r"|gibt es|dauert|wiegt|est|est de|sont|coûte|coûtent|paie|paient|reste|faut|gagne|mesure|pèse|vaut|y a|(?:elle|il"
    r"|ils|elles) (?:a|ont)|tiene|tienen|cuesta|cuestan|paga|pagan|es|son|quedan|necesita|hay|mide|pesa|vale|es de"
    r"|tem|têm|custa|custam|é|são|é de|restam|sobram|ganha|precisa|há|mede|равна|равно|равен|составляет|стоит|осталось"
    r"|заплатит|получит|beträgt (?:der|die|das) \w{1,30})|(?<![<>!=])=)\s"
    r"(?:(?:him|her|them|us|(?:her|his|their|the|each) [a-z]+)\s)?(?:(?:now|also|then|thus|therefore|still|currently|about|approximately|exactly|only|just|a total of|in total"
    r"|insgesamt|au total|en total|no total)\s){0,2}\Z",
    re.I,
)
_HARMLESS = frozenset(("left", "in", "at", "on", "for", "with", "as", "and", "this"))
_RATES = ("each", "apiece", "every", "per", "a", "an")
"""Words behind a number that leave it as it is."""
_PURPOSE = re.compile(
    r"to (?!the\b|an?\b)[a-z]{3,}(?: |\Z)|(?:over|in|after|before|by) (?:the|this|that|a) (?:\w+ )?(?:year|week|month|day"
    r"|weekend|summer|course|end)\b"
)
"""`6 days to finish the job`, but not `6 miles to the north`."""
_REMAINING = re.compile(r"(?:remains?|(?:are|is|were) (?:left|remaining|needed|required|possible))\b")
_GOES_ON_ABOUT = re.compile(r",\s(?:and|but|so|which|while|yet|or)\s|(?:\S+\s+){7}\S")
"""Where more is said than the number."""
_GERMAN = re.compile(r"(?:sind|hat|haben|gibt es|bleiben|bleibt|braucht|bekommt|erhält)\s")
_NOUN = re.compile(r"[A-ZÄÖÜ][a-zäöüß]{2,}")
"""What a German sentence counts."""
_STILL_NEEDED = re.compile(
    r"(?<=[0-9]) (?:more|additional|extra) (?=[a-z]{2,}s(?: to [a-z]{3,}.*)?\Z)|(?<=[0-9]) more(?= to [a-z]{3,}|\Z)"
)
_CIRCUMSTANCE = re.compile(
    r",? (?:after|in|for|over|within|during) (?:the )?(?:first |next |last )?[0-9]{1,4} (?:year|month|week|day|hour|minute)s?\Z"
)
_SPELLED = re.compile(
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen|twenty"
    r"|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:-(?:one|two|three|four|five|six|seven|eight|nine))?(?![\w-])"
)
_FORMULA = re.compile(
    r"(?<![\\$])(?:\$((?![a-zA-Z]\$)(?:\\\$|[^$\n]){1,199})\$|\\\((?!.\\\))([^\n]{1,199}?)\\\))[*_]{0,3}\.?\Z"
)
_EAST_ASIAN = re.compile(
    r"[有是为為共剩花了需要付等于於得达達はがで은는이가]\s?([0-9][0-9,]{0,15}(?:\.[0-9]{1,9})?)\s?"
    r"((?:[个個只本支张張块塊条條件人元円天岁歲页頁台辆輛颗顆枚袋箱杯瓶米名匹冊개명원](?![之倍成折多以])[\u3040-\u9fff]{0,4}|))\Z"
)
_CLOCK = re.compile(r"[0-2]?[0-9]:[0-5][0-9](?::[0-5][0-9])?")
_MOMENT_CHARS = 30
_EQUALS = re.compile(r"(?:\b(?:is|are|was|were|be|equals)|=)\s")
_PLACED = re.compile(
    r"\b(?:is|are|was|were|be|at|on|by|until|takes?|took|lasts?|lasted|needs?|needed)\s(?=.{1,60}\Z)|(?:=|\\in|∈)\s?(?=[\[({\\])"
)


def stated(sentence: str, *, is_marked: bool = False) -> Form | None:
    """Return the value that a sentence states: `Tom has 18 marbles left`.

    It is the only number, with what it counts, or what the sentence says at its end something is: a number, a time,
    a date, a list or an interval (`The range of f is [1, 2]`). What is said to somebody is advice, unless `is_marked`
    as the answer.
    """
    formula = _FORMULA.search(sentence)
    if formula and PREDICATE.search(plain_text(sentence[: formula.start()]) + " "):
        return canonical(formula[1] or formula[2], 0)
    sentence = plain_text(sentence)
    if not is_marked and _TOLD.search(sentence):
        return None
    sentence = _CIRCUMSTANCE.sub("", sentence)
    figures = list(_FIGURE.finditer(sentence)) or list(_SPELLED.finditer(sentence))
    if len(figures) == 1 and (value := _counting(sentence, figures[0].start())):
        return value
    if found := _EAST_ASIAN.search(sentence):
        value = number(found[1])
        return number(found[1] + found[2]) or (Form(value, found[2][:1]) if value else None)
    for verb in list(_PLACED.finditer(sentence))[-3:]:
        tail = sentence[verb.end() :]
        said = typed(tail)
        if said in ("inf", "-inf", "+inf"):
            return Form(said)
        if found := measure(said) or (_CLOCK.fullmatch(said) and said):
            return Form(found)
        if (len(tail) <= _MOMENT_CHARS and (found := moment(said))) or (found := compound(unwrap(tail), 0, 0)):
            return Form(found)
        if _EQUALS.fullmatch(verb[0]) and len(figures) > 1 and (value := number(said)):
            return value
    return None


def _counting(sentence: str, start: int) -> Form | None:
    predicate = PREDICATE.search(sentence, 0, start)
    if (start and not predicate) or ".." in sentence[start:]:
        return None
    rest = sentence[start:]
    if re.search(r"\bneed(?:s|ed)?\s(?:only\s)?\Z", sentence[:start]):
        rest = _STILL_NEEDED.sub(" ", rest)
    words = rest.split(" ")
    for count in range(min(5, len(words)), 0, -1):
        amount = " ".join(words[:count]).rstrip(",.")
        if value := number(typed(amount)):
            if not start:
                return value if _REMAINING.match(" ".join(words[count:])) else None
            following = "".join(words[count : count + 1]).strip(",.")
            if following in _RATES and not value.unit:
                return Form(value, "/" + ("".join(words[count + 1 : count + 2]).strip(",.") or "piece"))
            if _GOES_ON_ABOUT.search(rest[len(amount) :]):
                return None
            is_harmless = not following or following in _HARMLESS
            is_read = value.unit and len(following) > 1 and not CHANGING.fullmatch(following) and following[-2:] != "er"
            is_purpose = value.unit and _PURPOSE.match(" ".join(words[count:]))
            if not value.unit and predicate and _GERMAN.match(predicate[0]) and _NOUN.fullmatch(following):
                return Form(value, following)
            return value if is_harmless or is_read or is_purpose else None
    return None
