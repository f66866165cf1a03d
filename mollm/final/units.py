"""Units after a number: which may be taken off without changing its value, and which are the same."""

from __future__ import annotations

import re

_SYMBOLS = (
    "mm cm dm m km nm µm in ft yd mi mg g kg t lb oz ml mL dl cl l L ms s min h mph rpm Hz kHz MHz GHz kB MB GB  TB"
    " KB Mb Gb Kb kb KiB MiB GiB  A mA µA C mC µC nC F µF nF pF T mT kW MW mW W kWh Wh J kJ MJ Pa kPa MPa hPa bar"
    " wpm bpm fps psi dpi atm N kN V kV mV Ω kΩ mol mmol K eV keV MeV cal kcal ppm dB ha rad"
)
ONE_LETTER = re.compile("[mgtlLshJNVWKACFT]")
"""Symbols that could as well be variables: `5 m` is a length, `5m` a product."""
_ALIASES = {
    "m": "meter metre", "cm": "centimeter centimetre CM см 厘米", "mm": "millimeter millimetre MM",
    "l": "L liter litre", "km": "kilometer kilometre KM kms км 公里 千米 किमी كم", "in": "inch inches",
    "ft": "foot feet FT", "yd": "yard yds", "mi": "mile", "g": "gram gramme",
    "kg": "kilogram kilo kgs KG кг 公斤 千克 किलोग्राम كجم", "mg": "milligram", "t": "ton tonne",
    "lb": "pound lbs LB", "s": "sec secs second", "ml": "mL milliliter millilitre",
    "h": "hour hr hrs 小时 小時 時間 시간 घंटे ساعات", "min": "minute mins мин минут минуты 分钟 分鐘 मिनट دقيقة",
    "ms": "millisecond", "mi/h": "mph MPH", "km/h": "kmh kph", "kW": "kilowatt", "kWh": "kilowatt-hour",
    "W": "watt", "J": "joule", "N": "newton", "V": "volt", "Pa": "pascal", "Hz": "hertz", "K": "kelvin",
    "mol": "mole", "Ω": "ohm", "°": "degree deg", "rad": "radian",
    "dollar": "$ USD usd US$ Dollar dólares долларов 美元 ドル 달러 डॉलर دولار",
    "euro": "€ EUR eur Euro евро 欧元 ユーロ 유로", "sterling": "£ GBP gbp", "yen": "¥ JPY 円",
    "rupee": "₹ INR Rs रुपये रुपए", "yuan": "RMB CNY 元 元人民币", "won": "₩ KRW 원",
    "ruble": "₽ RUB rub рублей рубля рубль", "real": "R$ BRL reais Reais", "franc": "CHF", "peso": "MXN", "CAD": "",
    "AUD": "", "cent": "¢ ct", "A": "amp ampere", "C": "coulomb", "F": "farad", "T": "tesla", "cal": "calorie",
    "kcal": "kilocalorie", "day": "Tage Tag días jours dias дней дня 天 일 दिन أيام", "week": "wk",
    "year": "yr yrs Jahre", "month": "Monate meses mois", "century": "centuries",
    "person": "people Personen personas personnes pessoas 人 명", "child": "children", "man": "men",
    "woman": "women", "mouse": "mice", "tooth": "teeth", "goose": "geese", "fish": "", "sheep": "", "deer": "",
    "acre": "", "cup": "", "tbsp": "tablespoon", "tsp": "teaspoon", "unit": "", "point": "pt pts", "step": "",
    "way": "", "gal": "gallon", "pint": "", "quart": "", "byte": "", "bit": "", "egg": "", "apple": "", "item": "",
    "piece": "Stück", "page": "", "个": "個", "개": "", "명": "", "번": "", "hectare": "", "night": "",
    "decade": "", "box": "boxes", "student": "", "ticket": "", "stunde": "Stunden", "metro": "metros",
    "mètre": "mètres", "heure": "heures", "hora": "horas", "minuto": "minutos", "apfel": "Äpfel",
    "метр": "м метров", "час": "часов часа ч", "год": "лет года",
}  # fmt: skip
_KNOWN = {symbol: symbol for symbol in _SYMBOLS.split()}
_KNOWN |= {name: unit for unit, names in _ALIASES.items() for name in (unit, *names.split()) if name not in _KNOWN}
_KNOWN |= {"L": "l", "mL": "ml", "μm": "µm", "mph": "mi/h", "ha": "hectare"}
_KINDS = {"square": "^2", "sq": "^2", "cubic": "^3", "cu": "^3"}
_SIGNS = "$ US$ € £ ¥ ₹ R$ ₩ ₽ USD EUR GBP CHF JPY CNY INR RUB BRL MXN KRW Rs CAD AUD"
_CURRENCIES = {sign: _KNOWN[sign] for sign in _SIGNS.split()}

CHANGING = re.compile(
    # Fractions and multiples.
    r"(?:four|fif|six|seven|eigh|nin|ten|eleven|twelf|\w+teen|\w+tie|hundred|thousand|\w*illion)ths?|thirds?"
    r"|hal(?:f|ves)|quarters?|dozens?|pairs?|couples?|scores?|gross|percents?|per\s?cent|tens|ones"
    r"|hundreds?|thousands?|[a-z]*illions?|lakhs?|crores?|times|squared?|cubed?|factorials?|roots?|powers?|logs?"
    r"|basis"
    # Signs, directions, sides, what something is compared with.
    r"|negatives?|positives?|minus|plus|los(?:s|ses|t)|wins?|won|gains?|profits?|debits?|credits?|deficits?"
    r"|surplus(?:es)?"
    r"|deposits?|withdrawals?|increases?|decreases?|heads|tails|pros|cons|rises?|falls?|drops?|raises?|cuts?"
    r"|\w*wards?|ups?|downs?|above|below|over|under|less|more|fewer|off|short|ahead|behind|before|after|ago"
    r"|later|earlier"
    r"|early|late|past|hence|since|until|till|north\w*|south\w*|east\w*|west\w*|left|right|away|apart|inside|outside"
    r"|(?:old|young|tall|short|long|fast|slow|heavi|light|high|low|wid|deep|cheap|small|larg|bigg|great|near|farth|furth"
    r"|clos)er|minors?|majors?|debts?|assets?|liabilit(?:y|ies)|refunds?|discounts?|errors?"
    # What makes it another thing than one number.
    r"|by|vs|versus|to|or|and|out|from|than|at|in|on|for|with|without|into|not|no|am|pm|ad|bc|bce|ce|modulo|mod"
    r"|choose|as"
    r"|this|is|its|was|has|does|yes|across|remainders?|approx\w*|sin|cos|tan|ln|exp|max|gcd|lcm|mondays?|tuesdays?"
    r"|wednesdays?|thursdays?|fridays?|saturdays?|sundays?|times?|o'clock|clock|stars?|degrees? of .*",
    re.I,
)
"""Words that make another value of the number before them, or another thing than a number."""
_TOKEN = re.compile(r"[\u0900-\u097f]+|[^\W\d_]+(?:['-][^\W\d_]+)*\.?|R\$|US\$|[$€£¥₹₩₽°¢/*]|\^-?[0-9]|\s+")
_AFTERTHOUGHT = re.compile(
    r"\s+(?:in\s+(?:total|all)|total|altogether|overall|left|remaining|old|tall|long|wide|deep|high)\Z", re.I
)
_RATE = ("/", "per", "a", "an", "every", "pro", "par", "por")


def currency_of(sign: str) -> str:
    """Return the unit of a sign of currency that stands in front of a number, empty for none."""
    return _CURRENCIES.get(sign.strip(". "), "")


def unit_after(tail: str, *, is_one: bool) -> str | None:
    """Read what follows a number as a unit.

    Args:
        tail: All that follows, with the space in front of it.
        is_one: The number is 1, so that a thing is counted in the singular.

    Returns:
        The unit, the same for all ways to write it; empty for an empty tail. None for anything that is no unit, and
        for words that make another value of the number (`5 thousandths`, `5 squared`, `7 days ago`, `5 below`).
    """
    if not tail.strip():
        return ""
    tail = _AFTERTHOUGHT.sub("", tail) or tail
    tokens = _TOKEN.findall(tail)
    if "".join(tokens) != tail or ONE_LETTER.fullmatch(tail):
        return None
    parts = [token.rstrip(".") or token for token in tokens if not token.isspace()]
    return _measure(parts) or _counted(parts, is_one=is_one)


def _measure(parts: list[str]) -> str | None:
    """Known units with powers, divided or multiplied: `km/h`, `dollars per day`, `square feet`, `kg*m^2`."""
    unit, expected, power = "", True, ""
    for part in parts:
        if expected and part.casefold() in _KINDS:
            power = _KINDS[part.casefold()]
        elif expected and (known := symbol(part)):
            unit, expected, power = unit + known + power, False, ""
        elif not expected and part.startswith("^"):
            unit += part
        elif not expected and (part in _RATE or part == "*"):
            unit, expected = unit + ("*" if part == "*" else "/"), True
        elif not expected and part.casefold() in ("each", "apiece"):
            unit += "/piece"
        elif unit == "°" and part.casefold() in ("c", "f", "celsius", "fahrenheit"):
            return unit + part[0].upper()
        else:
            return None
    return unit if not expected else None


def symbol(part: str) -> str | None:
    """Return the one name of a unit, `h` for `hrs`; None if it is none."""
    lowered = part.casefold()
    return (
        _KNOWN.get(part)
        or (_KNOWN.get(lowered) if len(part) > 2 else None)
        or (_KNOWN.get(lowered.removesuffix("s")) if len(part) > 3 else None)
    )


_COUNTED = re.compile(r"[a-z]{3,}(?:-[a-z]+)?")


def _counted(parts: list[str], *, is_one: bool) -> str | None:
    """Things in the plural with up to two words before them: `marbles`, `red marbles`, `slices of pizza`."""
    words = [part.casefold() for part in parts]
    at = words.index("of") if "of" in words[1:2] else len(words)
    things = words[:at]
    if not 1 <= len(things) <= 3 or len(words) > at + 3:
        return None
    if any(not _COUNTED.fullmatch(word) or CHANGING.fullmatch(word) for word in (*things, *words[at + 1 :])):
        return None
    noun = things[-1]
    if not (symbol(noun) or (len(things) == 1 and is_one) or re.fullmatch(r"\w{2,}(?<![sui])s", noun)):
        return None
    return " ".join([*things[:-1], symbol(noun) or noun.removesuffix("s"), *words[at:]])
