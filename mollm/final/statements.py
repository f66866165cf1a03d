"""What a sentence states without any mark: `Tom has 18 marbles left`, `The train arrives at 3:45 PM`."""

from __future__ import annotations

import re

from mollm.final.canonical import canonical, compound, unwrap
from mollm.final.dates import measure, moment
from mollm.final.forms import Form
from mollm.final.notation import typed
from mollm.final.numbers import number, ordinal
from mollm.final.sentences import plain_text
from mollm.final.units import CHANGING

_VERBS = {
    "en": r"ha[sd]|have|having|is|are|was|were|be|ma[dk]es?|pa(?:ys|id)|pay|costs?|earn(?:s|ed)?|gets?|got|needs?"
    r"|needed|sells?|sold|spen[dt]s?|raise[sd]?|charge[sd]?|donate[sd]?|give[sn]?|gave|adds|bakes?|baked|score[sd]?"
    r"|saves?|saved|takes?|took|equals?|total(?:s|ed|ing)?|weighs?|leaves|left|remains?|receive[sd]?|collect(?:s|ed)"
    r"|complete[sd]?|plant(?:s|ed)?|pick(?:s|ed)|wins?|won|prints?|returns?|outputs?|yields?|drives?|drove"
    r"|travel(?:s|ed)|ate|eats?|b(?:ought|uys?)|reads?|walk(?:s|ed)?|r[au]ns?|use[sd]?|owe[sd]?|contains?|holds?"
    r"|produce[sd]?|becomes?|reach(?:es|ed)?|grew|grows|carries|carried|serve[sd]?|fits?|obtain|find|ends? up with"
    r"|(?:that|it|which|there)'s|leaving (?:\w+ ){1,3}with|measures?|lasts?|covers?|requires?|worth"
    r"|(?:com|amount|add|work|sum)(?:es|s|e)? (?:out |up )?(?:to|at)|(?:simplifies|evaluates|reduces|rounds) to"
    r"|(?:travel|driv|mov|go|run|fl)\w{1,4} at"
    r"|(?:total|sum|profit|cost|price|amount|average|distance|speed|area|rate|revenue|income|salary|discount"
    r"|(?:an?|the)\s(?:\w{2,14}\s){1,3}) ?of",
    "de": r"ist|sind|hat|haben|kostet|kosten|zahlt|zahlen|beträgt(?: (?:der|die|das) \w{1,30})?|betragen|bleibt"
    r"|bleiben|braucht|verdient|bekommt|erhält|gibt es|dauert|wiegt",
    "fr": r"est(?: de)?|sont|coûte|coûtent|paie|paient|reste|faut|gagne|mesure|pèse|vaut|y a|(?:elle|ils?|elles)"
    r" (?:a|ont)",
    "es": r"tiene|tienen|cuesta|cuestan|paga|pagan|es(?: de)?|son|quedan|necesita|hay|mide|pesa|vale",
    "pt": r"tem|têm|custa|custam|é(?: de)?|são|restam|sobram|ganha|precisa|há|mede",
    "ru": r"равна|равно|равен|составляет|стоит|осталось|заплатит|получит",
}
"""Verbs after which the number is the value. Those of losing are left out: a loss of 5 is no gain of 5."""
PREDICATE = re.compile(
    rf"(?:\b(?:{'|'.join(_VERBS.values())})|(?<![<>!=])=)\s(?:(?:him|her|them|us|(?:her|his|their|the|each) [a-z]+)\s)?"
    r"(?:(?:now|also|then|thus|therefore|still|currently|about|approximately|exactly|only|just|a total of|in total"
    r"|insgesamt|au total|en total|no total)\s){0,2}\Z",
    re.I,
)
"""What stands right before a value."""
_ADVICE = re.compile(r":(?![0-9])|\byou\b|\bI\b(?! (?:get|got|obtain|find|found|count)\b)|\?")
_CIRCUMSTANCE = re.compile(
    r"(?:,? (?:after|during)|(?<=[a-z]) (?:in|for|over|within)) (?:the )?(?:first |next |last )?[0-9]{1,4}"
    r" (?:year|month|week|day|hour|minute)s?\Z"
)
_FORMULA = re.compile(
    r"(?<![\\$])(?:\$((?![a-zA-Z]\$)(?:\\\$|[^$\n]){1,199})\$|\\\((?!.\\\))([^\n]{1,199}?)\\\))[*_]{0,3}\.?\Z"
)
_FIGURE = re.compile(r"(?<![\w^.,/])[-\u2212]?(?:(?:US)?\\?[$€£¥₹]\s?)?[0-9][0-9,]*+(?:\.[0-9]+)?(?:/[0-9]+)?\\?%?")
_SPELLED = re.compile(
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen|twenty"
    r"|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:-(?:one|two|three|four|five|six|seven|eight|nine))?(?![\w-])"
)
_EAST_ASIAN = re.compile(
    r"[有是为為共剩花了需要付等于於得达達はがで은는이가]\s?([0-9][0-9,]{0,15}(?:\.[0-9]{1,9})?)\s?"
    r"((?:[个個只本支张張块塊条條件人元円天岁歲页頁台辆輛颗顆枚袋箱杯瓶米名匹冊개명원](?![之倍成折多以])[\u3040-\u9fff]{0,4}|))\Z"
)
_RANKED = re.compile(
    r"\b(?:finish(?:es|ed)?|c[ao]mes?|ends?|ended|rank(?:s|ed)?|place[sd]?|is|are|was|were|be)\s"
    r"(?:(?!not\b|than\b)[a-z-]{2,12}\s){0,4}?(?=(?:the\s)?[0-9])"
)
"""What stands before a place: `She finished the race in 6th place`."""
_SPELLED_PLACE = re.compile(r"\bin ((?:[a-z]{4,7}-)?(?:first|second|third|[a-z]{3,9}th)) place\Z")
_LINKED = re.compile(
    r"\b(?:is|are|was|were|be|at|on|by|until|takes?|took|lasts?|lasted|needs?|needed)\s(?=.{1,60}\Z)"
    r"|(?:=|\\in|∈)\s?(?=[\[({\\])"
)
_EQUALS = re.compile(r"(?:is|are|was|were|be)\s")


def stated(sentence: str, *, is_marked: bool = False) -> Form | None:
    """Return the value that a sentence states.

    It is the only number, with what it counts, or what the sentence says at its end something is: a formula, a number,
    a time, a date, a list or an interval (`The range of f is [1, 2]`). What is said to somebody is advice, unless
    `is_marked` as the answer.
    """
    formula = _FORMULA.search(sentence)
    if formula and PREDICATE.search(plain_text(sentence[: formula.start()]) + " "):
        return canonical(formula[1] or formula[2], 0)
    sentence = plain_text(sentence)
    if not is_marked and _ADVICE.search(sentence):
        return None
    sentence = _CIRCUMSTANCE.sub("", sentence)
    figures = list(_FIGURE.finditer(sentence)) or list(_SPELLED.finditer(sentence))
    if len(figures) == 1 and (value := _counting(sentence, figures[0].start())):
        return value
    if len(figures) == 1 and (ranked := _RANKED.search(sentence)) and (value := ordinal(sentence[ranked.end() :])):
        return value
    if place := _SPELLED_PLACE.search(sentence):
        return canonical(place[1], 2)
    if found := _EAST_ASIAN.search(sentence):
        value = number(found[1])
        return number(found[1] + found[2]) or (Form(value, found[2][:1]) if value else None)
    for verb in list(_LINKED.finditer(sentence))[-3:]:
        tail = sentence[verb.end() :]
        if value := _linked(tail) or (number(typed(tail)) if len(figures) > 1 and _EQUALS.fullmatch(verb[0]) else None):
            return value
    return None


_MOMENT_CHARS = 30
_CLOCK = re.compile(r"[0-2]?[0-9]:[0-5][0-9](?::[0-5][0-9])?")


def _linked(tail: str) -> Form | None:
    """What can be told from words and from a number on the way: an amount, a time, a date, a list, infinity."""
    said = typed(tail)
    if said in ("inf", "-inf", "+inf") or _CLOCK.fullmatch(said):
        return Form(said)
    found = measure(said) or (moment(said) if len(said) <= _MOMENT_CHARS else None) or compound(unwrap(tail), 0, 0)
    return Form(found) if found else None


_HARMLESS = frozenset(("", "left", "in", "at", "on", "for", "with", "as", "and", "this"))
"""Words behind a number that leave it as it is."""
_RATES = ("each", "apiece", "every", "per", "a", "an")
_PURPOSE = re.compile(
    r"to (?!the\b|an?\b)[a-z]{3,}(?: |\Z)"
    r"|(?:over|in|after|before|by) (?:the|this|that|a) (?:\w+ )?(?:year|week|month|day|weekend|summer|course|end)\b"
)
"""`6 days to finish the job`, but not `6 miles to the north`."""
_REMAINING = re.compile(r"(?:remains?|(?:are|is|were) (?:left|remaining|needed|required|possible))\b")
_GOES_ON = re.compile(r",\s(?:and|but|so|which|while|yet|or)\s|(?:\S+\s+){7}\S")
"""Where more is said than the number."""
_CONTRARY = re.compile(
    r"\b(?:loss(?:es)?|lost|deficit|debt|decreased?|drop(?:ped|s)?|not|never|below|under|less|fewer|without)\b|n't",
    re.I,
)
"""What turns a number in the same sentence into its opposite."""
_NEEDS = re.compile(r"\bneed(?:s|ed)?\s(?:only\s)?\Z")
_STILL_NEEDED = re.compile(
    r"(?<=[0-9]) (?:more|additional|extra)(?= [a-z]{2,}s(?: to [a-z]{3,}.*)?\Z)|(?<=[0-9]) more(?= to [a-z]{3,}|\Z)"
)
_GERMAN = re.compile(r"(?:sind|hat|haben|gibt es|bleiben|bleibt|braucht|bekommt|erhält)\s")
_NOUN = re.compile(r"[A-ZÄÖÜ][a-zäöüß]{2,}")
"""What a German sentence counts."""


def _counting(sentence: str, start: int) -> Form | None:
    """The number at `start`, if a verb stands before it and nothing behind it that could change it."""
    predicate = PREDICATE.search(sentence, 0, start)
    if (start and not predicate) or ".." in sentence[start:] or _CONTRARY.search(sentence, 0, start):
        return None
    rest = sentence[start:]
    if _NEEDS.search(sentence, 0, start):
        rest = _STILL_NEEDED.sub("", rest)
    words = rest.split(" ")
    for count in range(min(5, len(words)), 0, -1):
        amount = " ".join(words[:count]).rstrip(",.")
        if value := number(typed(amount)):
            following = [word.strip(",.") for word in words[count : count + 2]] or [""]
            behind = " ".join(words[count:])
            if not predicate:
                return value if _REMAINING.match(behind) else None
            if following[0] in _RATES and not value.unit:
                return Form(value, f"/{following[1] if len(following) > 1 else 'piece'}")
            if _GERMAN.match(predicate[0]) and _NOUN.fullmatch(following[0]) and not value.unit:
                return Form(value, following[0])
            is_left = following[0] in _HARMLESS or (value.unit and (_PURPOSE.match(behind) or _is_new(following[0])))
            return value if is_left and not _GOES_ON.search(rest[len(amount) :]) else None
    return None


def _is_new(word: str) -> bool:
    """Say whether a word behind a number with its unit belongs to neither: no `ago`, `north`, `older`, `N`."""
    return len(word) > 1 and not CHANGING.fullmatch(word) and not word.endswith("er")
