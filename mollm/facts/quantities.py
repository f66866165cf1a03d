"""Numbers and dates in a text, in the digits of every script."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING
from unicodedata import decimal

from mollm.facts.base import GONE, Fact
from mollm.final.dates import moment
from mollm.final.numbers import number

if TYPE_CHECKING:
    from collections.abc import Iterator

_SPACES = "\u00a0\u2009\u202f"
_SIGNS = {
    "\u066b": ".",
    "\u066c": ",",
    "\u066a": "%",
    "％": "%",
    "．": ".",
    "，": ",",
    "\u2212": "-",
    "－": "-",
    "’": "'",
}  # noqa: RUF001
_IN_LATEX = re.compile(r"\{([,.])\}|([,.])\\[!,]|\\(?=[%$])")
_RUN = r"[0-9]++(?:[.,'_][0-9]++)*+(?:[ \u00a0\u2009\u202f][0-9]{3}(?![0-9]))*+"
_SCALE = (
    r"\s?(?:%|per\s?cent(?!\w)|Prozent(?!\w)|процент\w{0,3}|por ciento|por cento|pour cent)"
    r"|\s(?:hundred|thousand|million|billion|trillion|lakh|crore)(?!\w)|\s?[万萬만亿億억]|[kKMB](?!\w)"
)
_NUMBER = re.compile(
    rf"(?P<run>{_RUN})(?:/(?P<under>[0-9]{{1,9}}+)(?![/.,]?[0-9]))?(?P<power>[eE][-+]?[0-9]{{1,3}}(?![0-9a-zA-Z]))?"
    rf"(?P<scale>{_SCALE})?"
)
_MONEY = re.compile(r"[$€£¥₹₩₽]\s?\Z")
_FRACTION = re.compile(r"\\[dtc]?frac\s?\{?(-?[0-9]{1,9})\}?\s?\{?([0-9]{1,9})\}?")
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)"
)
# A pattern that begins with a class of characters is looked for much faster than one that begins by looking back.
_DATE = re.compile(
    r"[0-9](?<![\w./-].)(?:[0-9]{3}(?P<s>[-/.])[01]?[0-9](?P=s)[0-3]?[0-9](?![\w-]|[./][0-9])"
    r"|[0-9]{3}年[01]?[0-9]月[0-3]?[0-9]日"
    rf"|[0-9]?(?:st|nd|rd|th)?(?:\sof)?\s(?i:{_MONTH})(?:\.?,?\s[0-9]{{4}})?(?!\w)"
    r"|[0-9]?(?P<t>[./])[01]?[0-9](?P=t)(?:[0-9]{4}|[0-9]{2})(?![\w]|[./][0-9])"
    r"|[0-9]?:[0-5][0-9](?::[0-5][0-9])?(?!\w|:)(?:\s?[aApP]\.?[mM](?!\w))?|[0-9]?\s?[aApP]\.?[mM](?!\w))"
    rf"|[A-Z](?<!\w.)(?<=(?=(?i:{_MONTH})).)\w{{2,8}}+\.?\s[0-3]?[0-9](?:st|nd|rd|th)?(?:,?\s[0-9]{{4}})?(?!\w)"
)
_LABELS = frozenset(
    "step case option part figure fig fig. table section chapter equation eq eq. line method approach example question"
    " answer solution proposal problem note way point item no. # nr. schritt fall étape paso passo шаг".split()
)
"""Words in front of a number that only counts."""
_MARKER = re.compile(r"[ \t>#*+-]{0,12}\(?[0-9]{1,3}[.):](?=[\s*])")
_CITED = re.compile(r"\[[0-9]{1,3}\]")
_SPELLED_WORDS = frozenset(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion trillion".split()
)
_SPELLED = re.compile(rf"(?<!\w)(?:(?:{'|'.join(sorted(_SPELLED_WORDS))}|and)(?!\w)[\s-]?){{1,12}}+", re.I)
_WORDS = {
    "half": "0.5", "halves": "0.5", "halved": "0.5", "twice": "2", "double": "2", "doubled": "2", "both": "2", "pair": "2",
    "thrice": "3", "triple": "3", "third": "3", "quarter": "0.25", "dozen": "12", "once": "1", "single": "1", "first": "1",
    "second": "2", "none": "0", "no": "0", "nothing": "0", "free": "0", "each": "1", "a": "1", "an": "1",
}  # fmt: skip
"""What stands for a small number in English."""
MAX_DIGITS = 40
"""Longest number that is read: what is longer is data."""


def plain(text: str) -> str:
    """Write digits, and the signs beside them, as on a keyboard; every character stays one."""
    if text.isascii():
        return text
    characters = set(text)
    signs = {c: _SIGNS[c] for c in characters & _SIGNS.keys()}
    digits = {c: str(decimal(c)) for c in characters if c > "\x7f" and c.isdecimal()}
    return text.translate(str.maketrans(signs | digits)) if signs or digits else text


def quantities_in(text: str) -> tuple[list[Fact], str]:
    """Return the numbers and dates that `text` says, without what only counts its parts (`Step 2`, `3.`, `[4]`).

    What is returned beside them is the text without the dates.
    """
    text = _CITED.sub(GONE, _IN_LATEX.sub(r"\1\2", plain(text)))
    text = "\n".join([_without_marker(line) for line in text.split("\n")])
    facts: list[Fact] = []
    rest = text = _DATE.sub(lambda found: _date(found, facts), text)
    if "frac" in text:
        for found in _FRACTION.finditer(text):
            facts += _numbers(f"{found[1]}/{found[2]}", found[0])
        text = _FRACTION.sub(GONE, text)
    for found in _NUMBER.finditer(text):
        facts += _told(text, found)
    return facts, rest


def _without_marker(line: str) -> str:
    found = _MARKER.match(line)
    return GONE + line[found.end() :] if found else line


def _told(text: str, found: re.Match[str]) -> Iterator[Fact]:
    """The number that stands here, unless it is part of a word, an index or an exponent, or only counts something."""
    run = found["run"]
    before = text[max(0, found.start() - 14) : found.start()]
    shown, before, sign = _signed(found, before)
    last = before[-1:]
    if len(run) > MAX_DIGITS or last.isalnum() or last in ("_", "^") or before[-2:] in ("^{", "_{"):
        return
    if sign is None or (before and before.split(" ")[-2 if last == " " else -1].strip("(*").casefold() in _LABELS):
        return
    core = _core(found, shown)
    if core is None:
        facts = tuple(fact for part in _SEPARATOR.split(run) for fact in _numbers(part, part))
    else:
        facts = _numbers(core, shown.strip(), sign) if _ends(text, found.end()) else ()
    is_step = (
        before.rstrip(_AROUND)[-1:] in _OPERATORS
        or text[found.end() : found.end() + 12].lstrip(_AROUND)[:1] in _OPERATORS
    )
    yield from (fact._replace(kind="step") if is_step else fact for fact in facts)


def _signed(found: re.Match[str], before: str) -> tuple[str, str, str | None]:
    """The number with the signs in front of it, what is before those, and its sign: `?` if it may have one.

    None as the sign: a hyphen joins it to a word, as in `GPT-4`.
    """
    shown = found[0]
    if before[-1:] == "." and not before[-2:-1].isalnum():
        shown, before = f".{shown}", before[:-1]
    if money := _MONEY.search(before):
        shown, before = money[0] + shown, before[: money.start()]
    if before[-1:] != "-":
        return shown, before, ""
    before = before[:-1]
    last = before[-1:]
    if last.isdigit() or last == ")":
        return shown, f"{before} ", ""  # a range, or a difference
    if last.isalpha():
        return shown, before, None
    return f"-{shown}", before, "-" if _is_sign(before) else "?"


def _ends(text: str, at: int) -> bool:
    """Whether a number ends at `at`; letters behind it may be its unit or its ordinal: `5cm`, `18th`, not `3D2f`."""
    end = text[at : at + 1]
    return end != "_" and (not end.isalpha() or not end.isascii() or _UNIT.match(text, at) is not None)


_UNIT = re.compile(r"[A-Za-z]{1,5}(?!\w)")
_AROUND = " $(){}*_\t"
_OPERATORS = frozenset("+-*/=^<>×÷·⋅∗∙≈≤≥±√\\&|")  # noqa: RUF001
_SEPARATOR = re.compile(r"[.,'_ \u00a0\u2009\u202f]")
_ONE = re.compile(
    r"[0-9]+(?:,[0-9]+)?(?:\.[0-9]+)?|[0-9]{1,3}(?:,[0-9]{2,3})*,[0-9]{3}(?:\.[0-9]+)?"
    r"|[0-9]{1,3}(?:[.' \u00a0\u2009\u202f][0-9]{3})+,[0-9]+"
)
"""A number with commas; what has others is several numbers."""


def _is_sign(before: str) -> bool:
    """Whether a hyphen right in front of digits, after `before`, is their sign: after an opening or a word."""
    bare = before.rstrip()
    return not bare or bare[-1] in "([{=:,$<>\u2248|*" or re.search(r"[^\W\d_]{2}\Z", bare) is not None


def _core(found: re.Match[str], shown: str) -> str | None:
    """The characters of one number as a key of `_numbers`; None where they are several."""
    run = found["run"]
    if "," in run and not _ONE.fullmatch(run):
        return None
    if found["under"]:
        return f"{run}/{found['under']}" if run.isdigit() else run
    point = "." if shown.lstrip("-$€£¥₹₩₽ ").startswith(".") else ""
    return f"{point}{run}{found['power'] or ''}{found['scale'] or ''}"


@lru_cache(maxsize=4096)
def _numbers(core: str, shown: str, sign: str = "") -> tuple[Fact, ...]:
    readings = [value for value in map(_value, _readings(core)) if value is not None]
    if not readings:
        return ()
    if sign == "-":
        readings = [f"-{value}" if value != "0" else value for value in readings]
    elif sign:
        readings += [f"-{value}" for value in readings]
    key, *others = dict.fromkeys(readings)
    return (Fact("number", key, shown, tuple(others)),)


_SCALED = re.compile(r"(?P<run>\.?[0-9][0-9.,'_ \u00a0\u2009\u202f]*+)(?P<rest>.*)", re.S)


def _readings(core: str) -> Iterator[str]:
    """What the characters of a number may mean, the likeliest first, in a form that `_value` reads."""
    found = _SCALED.fullmatch(core)
    if found is None:
        yield core
        return
    run, rest = found["run"], found["rest"]
    bare = run.rstrip(f" {_SPACES}")
    rest = run[len(bare) :] + rest
    values = list(_separated(bare))
    yield from (value + rest for value in values)
    if rest and rest[0] not in "/eE":
        yield from values


def _separated(run: str) -> Iterator[str]:
    run = re.sub(r"[ '_\u00a0\u2009\u202f]", "", run)
    separators = re.findall(r"[.,]", run)
    joined = re.sub(r"[.,]", "", run)
    if len(set(separators)) == 2:  # the last one is that of the decimals
        at = max(run.rfind("."), run.rfind(","))
        yield f"{re.sub('[.,]', '', run[:at])}.{run[at + 1 :]}"
    elif len(separators) > 1:
        yield joined
    elif separators == [","] and re.search(r",[0-9]{3}\Z", run) and not run.startswith("0"):
        yield joined
        yield run.replace(",", ".")
        yield from run.split(",")
    elif separators == [","]:
        yield run.replace(",", ".")
        yield from run.split(",")
    elif separators and re.fullmatch(r"[1-9][0-9]{0,2}\.[0-9]{3}", run):
        yield run
        yield joined
    else:
        yield run


def _value(text: str) -> str | None:
    """The form that `final.numbers` gives a number, found at once where it has only digits."""
    if text.isdigit():
        return text.lstrip("0") or "0"
    whole, point, places = text.partition(".")
    if point and (whole + places).isdigit():
        places = places.rstrip("0")
        return f"{whole.lstrip('0') or '0'}.{places}" if places else whole.lstrip("0") or "0"
    return number(text)


def _date(found: re.Match[str], dates: list[Fact]) -> str:
    text = found[0]
    key = moment(" ".join(text.replace("a.m", "am").replace("p.m", "pm").split()))
    if key is None and ":" in text:
        key = text.lstrip("0")
    if key is None:
        parts = [int(part) for part in re.split(r"[./]", text) if part.isdigit()]
        if len(parts) != 3 or not (1 <= parts[0] <= 31 and 1 <= parts[1] <= 31):
            return text
        year = parts[2] if parts[2] > 99 else 2000 + parts[2]
        keys = [f"{year}-{m:02}-{d:02}" for d, m in (parts[:2], parts[1::-1]) if m <= 12]
        if not keys:
            return text
        key, *others = dict.fromkeys(keys)
        dates.append(Fact("date", key, text, tuple(others)))
        return GONE * len(text)
    year, _, rest = key.partition("-") if key[:4].isdigit() else ("", "", "")
    dates.append(Fact("date", key, text, (f"--{rest}",) if year else ()))
    return GONE * len(text)


def values_in(text: str) -> tuple[set[str], set[str]]:
    """Every value of a number, and every date, that `text` may be read to say; English words count as well."""
    text = _IN_LATEX.sub(r"\1\2", plain(text))
    dates: list[Fact] = []
    _DATE.sub(lambda found: _date(found, dates), text)
    moments = {key for fact in dates for key in (fact.key, *fact.also)}
    values: set[str] = set()
    for fraction in _FRACTION.finditer(text) if "frac" in text else ():
        values |= _keys(_numbers(f"{fraction[1]}/{fraction[2]}", ""))
    for found in _NUMBER.finditer(text):
        if len(found["run"]) <= MAX_DIGITS:
            values |= _any_value(text, found)
    words = set(re.findall(r"[a-z]+", text.casefold()))
    values |= {_WORDS[word] for word in words & _WORDS.keys()}
    if words & _SPELLED_WORDS:
        values |= _spelled(text)
    return values, moments


def _any_value(text: str, found: re.Match[str]) -> set[str]:
    before = text[max(0, found.start() - 3) : found.start()]
    run, core = found["run"], _core(found, "." if before[-1:] == "." else "")
    keys = _keys(_numbers(core, "", "?" if "-" in before else "")) if core else set()
    if found["under"]:
        keys = keys | _keys(_numbers(found["under"], ""))
    if not run.isdigit() or found["under"]:
        keys = keys.union(*(_keys(_numbers(part, "")) for part in _SEPARATOR.split(run)))
    return keys


def _spelled(text: str) -> set[str]:
    runs = {" ".join(found[0].replace("-", " ").casefold().split()) for found in _SPELLED.finditer(text)}
    runs |= {word for run in runs for word in run.split()}
    return {str(form) for run in runs if (form := number(run, is_bare=True))}


def _keys(facts: tuple[Fact, ...]) -> set[str]:
    return {key for fact in facts for key in (fact.key, *fact.also)}
