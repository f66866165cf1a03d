"""Numbers of cards and accounts, told from other numbers by their checksums."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SPACES = " \u00a0\u2009\u202f"
_RUN = re.compile(rf"(?<!\d)\d{{4,19}}(?:[{_SPACES}.\u2013-]\d{{1,19}})*+(?!\d)")
"""Groups of digits, beginning with one as cards have it."""
_DIGITS = re.compile(r"\d+")
_MOST_GROUPS = 5
_LENGTHS = {
    "2": (16,),
    "3": (14, 15, 16),
    "4": (13, 16, 19),
    "5": (16,),
    "6": (16, 17, 18, 19),
}
"""Digits of a card, by the first of them (ISO/IEC 7812)."""

_ACCOUNT = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?=[ \u00a0\u202f-]?[A-Za-z0-9])")
_REST = re.compile(r"[A-Za-z0-9]{1,30}+(?![A-Za-z0-9])|(?:[ \u00a0\u202f-][A-Z0-9]{1,4}(?![A-Za-z0-9])){1,8}")
_WORD = re.compile(r"[A-Za-z0-9]+")
_COUNTRIES = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 "
    "EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 "
    "IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 "
    "NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 "
    "SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
)
_CHARACTERS = {entry[:2]: int(entry[2:]) for entry in _COUNTRIES.split()}
"""Of an IBAN, by country (the registry of ISO 13616)."""


def cards(text: str) -> Iterator[tuple[int, int]]:
    """Yield where numbers of payment cards stand: 13 to 19 digits that pass Luhn's check, in groups or in one."""
    for run in _RUN.finditer(text):
        groups = [found.span() for found in _DIGITS.finditer(text, *run.span())]
        at = 0
        while at < len(groups):
            end = _card(text, groups[at : at + _MOST_GROUPS])
            if end:
                yield groups[at][0], groups[at + end - 1][1]
            at += end or 1


def _card(text: str, groups: list[tuple[int, int]]) -> int:
    """How many of the groups are the number of a card, as many as can be; 0 if none are."""
    digits, best = "", 0
    for count, (start, end) in enumerate(groups, 1):
        if count > 1 and end - start < 2:
            break
        digits += text[start:end]
        if len(digits) > 19:
            break
        if len(digits) in _LENGTHS.get(digits[0], ()) and _passes_luhn(digits):
            best = count
    return best


def _passes_luhn(digits: str) -> bool:
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(n - 9 if n > 9 else n for n in doubled)) % 10 == 0


def accounts(text: str) -> Iterator[tuple[int, int]]:
    """Yield where IBANs stand: of the length that their country gives them, with the right check digits."""
    for begun in _ACCOUNT.finditer(text):
        length = _CHARACTERS.get(begun[0][:2].upper())
        if length and (rest := _REST.match(text, begun.end())):
            end = _end_of_account(text, begun, rest, length)
            if end:
                yield begun.start(), end


def _end_of_account(text: str, begun: re.Match[str], rest: re.Match[str], length: int) -> int:
    """Where so many letters and digits end, if the check digits are right; 0 if they are not, or there are fewer."""
    number, end = begun[0], begun.end()
    for group in _WORD.finditer(text, *rest.span()):
        number, end = number + group[0], group.end()
        if len(number) >= length:
            break
    if len(number) != length:
        return 0
    moved = "".join(str(int(letter, 36)) for letter in number[4:] + number[:4])
    return end if int(moved) % 97 == 1 else 0
