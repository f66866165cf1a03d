"""Mathematics as LaTeX, Unicode and code write it, written the way one would type it."""

from __future__ import annotations

import re
import unicodedata

_TYPED = str.maketrans(
    {fraction: f" {unicodedata.normalize('NFKC', fraction)}".replace("\u2044", "/") for fraction in "¼½¾⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"}
    | dict.fromkeys("\u00d7·⋅\u2217", "*")
    | dict.fromkeys("\u2212\u2010\u2011\u2012\u2013\u2014", "-")
    | {"÷": "/", "\u2044": "/", "\u2215": "/", "∞": "inf", "≤": "<=", "≥": ">=", "⩽": "<=", "⩾": ">=", "≠": "!="}
    | {"º": "°", "\u066b": ".", "\u066c": ",", "\u066a": "%", "√": "√", "µ": "µ", "μ": "µ", "\u2032": "'"}
)
_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+|[₀₁₂₃₄₅₆₇₈₉₋]+")
_LEVEL = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺₀₁₂₃₄₅₆₇₈₉₋", "0123456789-+0123456789-")
_COMMANDS = (
    dict.fromkeys(("left", "right", "big", "bigl", "bigr", "Big", "Bigl", "Bigr", "displaystyle", "limits"), "")
    | {"dfrac": r"\frac", "tfrac": r"\frac", "cfrac": r"\frac", "sqrt": "√", "pi": "π", "quad": " ", "infinity": "inf"}
    | {"cdot": "*", "times": "*", "ast": "*", "div": "/", "infty": "inf", "pm": "±", "cup": "\u222a", "circ": "°"}
    | {"le": "<=", "leq": "<=", "ge": ">=", "geq": ">=", "ne": "!=", "neq": "!=", "emptyset": "∅", "degree": "°"}
    | {"leqslant": "<=", "geqslant": ">=", "varnothing": "∅", "lt": "<", "gt": ">", "lbrace": "{", "rbrace": "}"}
)
_COMMAND = re.compile(r"\\([a-zA-Z]+)|(?<![a-zA-Z\\])(?:pi|sqrt|infinity)(?![a-zA-Z])")
_PLAIN = (
    (r"\\(?:text\w*|math\w*|mbox|operatorname)\s?\{([^{}]*)\}", r" \1 "),
    (r"\\[,;: ]|~", " "),
    (r"\\!", ""),
    (r"\s?\^?\{?°\}?", "°"),
    (r"\{(,)\}|\\([%$#&_])", r"\1\2"),
    (r"\\\\", ";"),
    (r"\*\*", "^"),
    (r"(?<=[0-9)])\\frac", r" \\frac"),
    (r"(?<=[0-9])\s?[xX]\s?(?=10\s?\^)", "*"),
    (r"\s?([*/^_{√])\s?|\s(?=\})", r"\1"),
)
_ARGUMENT = r"\s?(?:\{([^{}]*)\}|([0-9A-Za-zπ]))"
_NESTED = (
    (r"([_^])\{([^{}]*)\}", r"\1(\2)"),
    (r"√(\[[0-9]+\])?(?:\{([^{}]*)\}|([0-9]+|[A-Za-zπ]))", r"√\1(\2\3)"),
    (rf"\\frac{_ARGUMENT}{_ARGUMENT}", r"(\1\2)/(\3\4)"),
    # Brackets that change nothing: around an exponent, a numerator, a denominator.
    (r"(?<=[_^])\((-?[\w.]+)\)", r"\1"),
    (r"(?<![\w√\])])\((-?[\w.^*]*(?:√\([^()]*\))?\w*)\)(?=/)", r"\1"),
    (r"(?<=/)\((-?[0-9.]+|\w|√\([^()]*\))\)", r"\1"),
)
_PLAIN_RULES = [(re.compile(pattern), plain) for pattern, plain in _PLAIN]
_NESTED_RULES = [(re.compile(pattern), plain) for pattern, plain in _NESTED]
_LEVELS = 5
_THOUSANDS = re.compile(
    r"(?<![0-9.,_^])[0-9]{1,3}(?:(?:,[0-9]{3})+|(?:[ '\u2019][0-9]{3})+)(?:\.[0-9]+)?(?![0-9.,'\u2019]*[0-9]"
    r"|/[0-9]|\s[0-9])"
)
_POINTS = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]+(?![0-9.,])")
"""`1.234,56`: points for thousands, and a comma for the decimals."""


def typed(text: str) -> str:
    """Write LaTeX, Unicode and code with the characters of a keyboard, numbers with plain digits.

    Args:
        text: Some hundred characters at most; the work grows faster than the length.
    """
    if not text.isascii():
        text = _RAISED.sub(lambda run: ("_" if run[0][0] in "₀₁₂₃₄₅₆₇₈₉₋" else "^") + run[0].translate(_LEVEL), text)
        text = unicodedata.normalize("NFKC", text.translate(_TYPED)).translate(_TYPED)
        text = re.sub(r"[^\x00-\x7f]", lambda found: str(unicodedata.decimal(found[0], found[0])), text)
    text = " ".join(text.split())
    text = _COMMAND.sub(lambda found: _COMMANDS.get(found[1] or found[0], found[0]), text)
    for pattern, plain in _PLAIN_RULES:
        text = pattern.sub(plain, text)
    text = " ".join(text.split())
    text = _POINTS.sub(lambda found: found[0].replace(".", "").replace(",", "."), text)
    text = _THOUSANDS.sub(lambda found: re.sub(r"[^0-9.]", "", found[0]), text)
    if re.search(r"[_^√(\\]", text):
        for _ in range(_LEVELS):
            for pattern, plain in _NESTED_RULES:
                text = pattern.sub(plain, text)
    return text.replace("\\", "").strip()
