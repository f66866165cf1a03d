"""What is found in a text, what is not, and how long that takes."""

from __future__ import annotations

import sys
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.config.privacy import KINDS
from mollm.errors import ConfigError
from mollm.privacy.finding import Finder
from tests.fuzz import cases

if TYPE_CHECKING:
    from mollm.config.privacy import Kind

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA1234\nabcdefghijklmnop+/==\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.abcDEF123_-x"
FOUND: list[tuple[Kind, str]] = [
    *(("email", value) for value in ("anna@corp.io", "anna.müller+x@sub.corp-site.co.uk", "o'neil@corp.museum")),
    *(("email", value) for value in ("a_b%c@x.xn--p1ai", f"{'a' * 80}@corp.io", "1@2.io")),
    *(("card", value) for value in ("4111 1111 1111 1111", "5500-0055-5555-5559", "378282246310005")),
    *(("card", value) for value in ("3782 822463 10005", "6011000990139424", "4222222222222")),
    *(("iban", value) for value in ("DE89 3704 0044 0532 0130 00", "gb82west12345698765432")),
    *(("iban", value) for value in ("GB82 WEST 1234 5698 7654 32", "NO9386011117947")),
    *(("phone", value) for value in ("+49 30 901820", "+1 (212) 736-5000", "0049 30 901820", "+33 1 70 18 99 00")),
    *(("ip", value) for value in ("192.168.1.10", "8.8.8.8", "2001:db8::1", "fe80::1")),
    *(("key", value) for value in ("sk-proj-abcdefghij0123456789", "AKIAIOSFODNN7EXAMPLE", JWT, PEM)),
    *(
        ("key", value)
        for value in (f"ghp_{'a1' * 18}", f"hf_{'Ab1' * 12}", "xoxb-1234567890-abcdef", f"AIza{'x' * 35}")
    ),
]
NOT_FOUND = {
    "email": ("anna@localhost", "@handle", "a @ b.io", "x@y", "npm i @scope/package.json"),
    "card": ("4111 1111 1111 1112", "1732742400000", "2026-11-27 10:00:00"),
    "iban": ("DE89 3704 0044 0532 0130 01", "AB12 3456", "DE89370400440532013000x"),
    "phone": ("2026-11-27", "3.14159265358979", "192.168.10.200", "order 4711-20261127"),
    "ip": ("127.0.0.1", "::1", "::", "1.2.3.4.5", "12:30:45", "std::vector", "300.1.1.1", "v1.2.3.4"),
    "key": ("api_key: required", "sk-short", "the bearer of this letter", "basic understanding", "a password: none"),
}
PARTS = ("4111 1111 1111 1111", "anna@corp.io", "+49 30 901820", "DE89 3704 0044 0532 0130 00", "10.1.2.3", PEM, JWT)


def found(text: str, *kinds: Kind, region: str | None = None) -> list[tuple[str, str]]:
    """The values in a text, with their kinds."""
    return [(kind, text[start:end]) for start, end, kind in Finder(kinds or KINDS, region).spans(text)]


@pytest.mark.parametrize(("kind", "value"), FOUND)
def test_values_are_found_whatever_stands_around_them(kind: Kind, value: str) -> None:
    """Alone, in a sentence, in brackets, in quotes, and in the middle of JSON."""
    for around in ("{}", "Use {}.", "({}), please", 'say "{}"!', "{}\nand more", '{{"value": "{}", "n": 1}}', "ä {} ö"):
        assert found(around.format(value), kind) == [(kind, value)], around


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in NOT_FOUND.items() for text in texts])
def test_what_looks_like_a_value_is_none(kind: Kind, text: str) -> None:
    """Checksums, plans of numbers and shapes tell values from other numbers and words."""
    assert found(text, kind) == []


def test_a_secret_is_found_by_what_stands_before_it() -> None:
    """In a header, in an address, and behind the name of what holds one; the name stays."""
    for text in (
        "Authorization: Bearer {}",
        "https://anna:{}@db.corp.io/x",
        "AWS_SECRET_ACCESS_KEY={}",
        '"api_key": "{}"',
        "Password: {}",
        "client-secret => '{}'",
    ):
        (kind, value), *others = found(text.format("wJalrXUtn7/K7MDEN" if "://" not in text else "s3cr3tpass"), "key")
        assert kind == "key"
        assert not others
        assert value in ("wJalrXUtn7/K7MDEN", "anna:s3cr3tpass")


def test_a_private_key_that_is_cut_off_is_found_as_far_as_it_goes() -> None:
    """Whoever pastes half of a key has pasted half of a key."""
    half = PEM.partition("\n-----END")[0]

    assert found(f"{half} is what I have", "key") == [("key", half)]
    assert found(PEM.replace("\n", "\\n"), "key") == [("key", PEM.replace("\n", "\\n"))]


def test_numbers_without_a_country_are_found_where_a_region_says_so() -> None:
    """As they are dialed there; with the zero where the country has one, since others often are something else."""
    assert found("030 901820 or 089/1234567", "phone") == []
    assert found("030 901820 or 089/1234567", "phone", region="DE") == [
        ("phone", "030 901820"),
        ("phone", "089/1234567"),
    ]
    assert found("room 12 34 5678, or 5 030 901820", "phone", region="DE") == [("phone", "030 901820")]
    assert found("(212) 736-5000", "phone", region="US") == [("phone", "212) 736-5000")]


def test_what_overlaps_is_one_value() -> None:
    """No half of a value is left because the other half was taken for something else."""
    assert found("https://anna:s3cr3t@corp.io/x") == [("key", "anna:s3cr3t@corp.io")]


@given(
    st.lists(st.one_of(st.sampled_from(PARTS), st.text(max_size=12)), max_size=8), st.sampled_from([" ", "\n", ", "])
)
@settings(max_examples=cases(60))
def test_spans_are_in_order_and_apart(parts: list[str], between: str) -> None:
    """Whatever the text is, what is found lies inside it, and no two values overlap."""
    text = between.join(parts)
    spans = Finder(KINDS, "DE").spans(text)

    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    assert all(one.end <= other.start for one, other in pairwise(spans))


@pytest.mark.parametrize("region", [None, "DE", "US"])
def test_a_long_text_takes_no_longer_than_its_length(region: str | None) -> None:
    """Twice the text takes about twice the time, also where it is made to be searched in vain."""
    finder = Finder(KINDS, region)
    for piece in (
        "1 ",
        "a@",
        "@a.",
        "1-",
        "+1",
        "4111 ",
        "eyJaaaaaaaaa-",
        "://a:",
        "DE89 ",
        "0 0",
        "ab:",
        "-----BEGIN PRIVATE KEY-----",
    ):
        short, long = (_seconds(finder, (piece * size)[:size]) for size in (8_192, 32_768))
        assert long < 0.5, piece
        assert long < 12 * short + 0.02, piece  # four times the text


def _seconds(finder: Finder, text: str) -> float:
    best = float("inf")
    for _ in range(2):
        begun = time.process_time()
        finder.spans(text)
        best = min(best, time.process_time() - begun)
    return best


def test_a_missing_library_is_named_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Phone numbers alone need one."""
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    Finder(["email"])

    with pytest.raises(ConfigError, match=r"phonenumbers, which is not installed; run `.*phonenumbers`"):
        Finder(["phone"])
