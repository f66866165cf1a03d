"""Mathematics as LaTeX, Unicode and code write it, written the way one would type it."""

from __future__ import annotations

import math
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
    | {"approx": "≈", "ldots": "...", "dots": "...", "cdots": "..."}
)
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lamda mu nu xi rho sigma tau upsilon phi chi psi omega"
)
_LETTERS = {name: unicodedata.lookup(f"greek small letter {name}") for name in _GREEK.split()}
_LETTERS |= {"lambda": _LETTERS["lamda"], "varepsilon": _LETTERS["epsilon"], "vartheta": _LETTERS["theta"]}
_COMMANDS |= {name.title(): letter.upper() for name, letter in _LETTERS.items()} | {"Pi": "\u03a0"}
_COMMANDS |= _LETTERS | {"mu": "\u00b5"}
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


_GROUPED = re.compile(r"(?<![\w.])[0-9]{1,3}(?:_[0-9]{3}){2,6}(?!\w)|(?<![\w.])[0-9]{1,3}_000(?!\w)")
"""`1_000_000`, as programs write it; `10_001` may be in a base."""
_ROOT = re.compile(r"(?<![\w.)\]}])√\(([0-9]{1,15})\)(?![!^])")
_MATRIX = re.compile(r"\\begin\{([pbBvV]?)matrix\}(.{0,400}?)(?:\\\\\s?)?\\end\{\1matrix\}")


def _matrix(found: re.Match[str]) -> str:
    rows = re.sub(r"\s?(?:\\\\)\s?", ";", found[2].replace("&", ","))
    return f"{'det' if found[1] in ('v', 'V') else 'matrix'}({rows})"


def _perfect(found: re.Match[str]) -> str:
    root = math.isqrt(int(found[1]))
    return str(root) if root * root == int(found[1]) else found[0]


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
    if "matrix" in text:
        text = _MATRIX.sub(_matrix, text)
    text = _COMMAND.sub(lambda found: _COMMANDS.get(found[1] or found[0], found[0]), text)
    for pattern, plain in _PLAIN_RULES:
        text = pattern.sub(plain, text)
    text = " ".join(text.split())
    text = _POINTS.sub(lambda found: found[0].replace(".", "").replace(",", "."), text)
    text = _THOUSANDS.sub(lambda found: re.sub(r"[^0-9.]", "", found[0]), text)
    text = _GROUPED.sub(lambda found: found[0].replace("_", ""), text)
    if re.search(r"[_^√(\\]", text):
        for _ in range(_LEVELS):
            for pattern, plain in _NESTED_RULES:
                text = pattern.sub(plain, text)
    return _ROOT.sub(_perfect, text).replace("\\", "").strip()


_ELEMENT = "(?:He|Li|Be|Ne|Na|Mg|Al|Si|Cl|Ar|Ca|Ti|Cr|Mn|Fe|Co|Ni|Cu|Zn|As|Se|Br|Ag|Sn|Xe|Ba|Pt|Au|Hg|Pb|[HBCNOFPSKIU])"
_FORMULA = re.compile(rf"(?:\(?{_ELEMENT}\)?(?:_?[0-9]{{1,2}})?){{2,12}}(?:\^[0-9]?[-+])?|(?:[HNOFI]|Cl|Br)_[2-9]")
_SYMBOLS_OF_ELEMENTS = frozenset(("Bi", "Co", "Cs", "Hf", "Ho", "Nb", "Os", "Pb", "Po", "Sc", "Sn"))


def folded(text: str) -> str:
    """Write `text` in lower case where that makes no other thing of it.

    Greek capitals are letters of their own, and `Co` is not `CO`. Digits in the formula of a compound need no
    subscript.
    """
    if text in _SYMBOLS_OF_ELEMENTS:
        return text
    if _FORMULA.fullmatch(text):
        text = text.replace("_", "")
    return re.sub("[^\u0391-\u03a9]+", lambda run: run[0].casefold(), text)
