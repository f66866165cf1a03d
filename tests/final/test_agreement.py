"""Agreement by value: one value in all its writings is one answer, two values never are, whoever comes first."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from itertools import permutations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from mollm.final.forms import Form, is_same, unit_of, written
from mollm.final.replies import final_answer, same_answer
from mollm.final.tally import Tally
from tests.fuzz import cases

PLACES = ("{}", "Answer: {}", r"\boxed{{{}}}", "So the answer is {}.", '{{"answer": "{}"}}')
UNITS = ("", " cm", " dollars", "%", " marbles", "th", " kg", " hours")
decimals = st.decimals(-9999, 9999, places=3, allow_nan=False).map(lambda value: Fraction(str(value)))
place = st.sampled_from(PLACES)


@cache
def read(text: str, at: str = "Answer: {}") -> Form:
    """The final answer of a reply that says `text`."""
    found = final_answer(at.format(text))
    assert found is not None, (at, text)
    return found


def writings(value: Fraction) -> list[str]:
    """The ways in which a decimal is written, but for a unit."""
    plain, sign, size = written(value), "-" if value < 0 else "", abs(value)
    whole, _, places = written(size).partition(".")
    grouped = f"{sign}{int(whole):,}{'.' if places else ''}{places}"
    zeros = f"{plain}{'' if places else '.'}00"
    fraction = rf"{sign}\frac{{{3 * size.numerator}}}{{{3 * size.denominator}}}"
    return [plain, zeros, grouped, fraction, f"{value.numerator}/{value.denominator}", f"${plain}$", f"**{plain}**"]


@settings(max_examples=cases(80))
@given(decimals, place, place)
@example(Fraction(1, 2), PLACES[0], PLACES[2])
@example(Fraction(1000), PLACES[1], PLACES[4])
def test_a_number_is_one_answer_in_all_its_writings(value: Fraction, first: str, second: str) -> None:
    r"""1/2, 0.5, 0.50 and \frac{1}{2}; 1,000 and 1000; alone, behind a label, in a box, a sentence and a field."""
    for text in writings(value):
        # A backslash in JSON is written twice.
        there = text.replace("\\", "\\\\") if "{{" in second[:2] else text
        assert read(text, first) == read(there, second) == written(value)


@settings(max_examples=cases(80))
@given(decimals, st.sampled_from(UNITS[1:4] + UNITS[6:]), st.sampled_from(("", "$", "€", "£")), place)
@example(Fraction(5, 2), " kg", "$", PLACES[0])
def test_zeros_at_the_end_change_nothing_beside_units_and_currencies(
    value: Fraction, unit: str, currency: str, at: str
) -> None:
    """2.50 kg is 2.5 kg, and $2.50 is $2.5, and both are the number alone."""
    size = abs(value)
    for before, after in ((currency, ""), ("", unit)):
        short, long = (read(f"{before}{text}{after}", at) for text in (written(size), f"{float(size):.4f}"))
        assert short == long
        assert unit_of(short) == unit_of(long)
        assert is_same(short, long)


@settings(max_examples=cases(100))
@given(decimals, decimals, st.sampled_from(UNITS), st.sampled_from(UNITS))
def test_numbers_are_one_answer_exactly_when_value_and_unit_are(
    a: Fraction, b: Fraction, unit: str, other: str
) -> None:
    """And it does not matter which of the two is asked. An ordinal has to be a whole number above zero."""
    a, b = (abs(Fraction(int(n))) if "th" in (unit, other) else n for n in (a, b))
    found, second = read(f"{written(a)}{unit}"), read(f"{written(b)}{other}")
    share, part = (value / 100 if kind == "%" else value for value, kind in ((a, unit), (b, other)))

    assert is_same(found, second) is is_same(second, found)
    assert is_same(found, second) is (share == part and (unit == other or "" in (unit, other)))


LETTERS = [f"{before}{{}}{after}" for before, after in (("", ""), ("(", ")"), ("", "."), ("(", ")."))]


@given(st.sampled_from("ABCDEFGHIJ"), st.sampled_from("ABCDEFGHIJ"), st.sampled_from(LETTERS), place)
def test_a_choice_is_its_letter(letter: str, other: str, writing: str, at: str) -> None:
    """(B) is B, and no other letter."""
    assert is_same(read(writing.format(letter), at), read(other)) is (letter == other)


VALUES = (
    *(
        "1/2",
        "0.5",
        "50%",
        "50",
        "0.50 kg",
        "½",
        "5",
        "5 cm",
        "5 m",
        "5.0 cm",
        "5th",
        "$5",
        "5 dollars",
        "5 dozen",
        "60",
    ),
    *(
        "(B)",
        "B",
        "C",
        "'abc'",
        "abc",
        "[1, 2]",
        "(1, 2)",
        "1, 2",
        "''",
        "'  '",
        "None",
        "0",
        "no",
        "x = 5",
        "5x",
        "5:00",
    ),
    *("101_2", "101", "7 dozen", "84", "1,000", "1000", "1e3", "six", "6", "6th", "the sixth", "2 pm", "14:00", "2"),
)


@settings(max_examples=cases(100))
@given(st.lists(st.sampled_from(VALUES), min_size=2, max_size=5))
def test_who_is_with_whom_hangs_on_no_order(texts: list[str]) -> None:
    """Whatever arrives first: the same answers are together, and those that were called the same, but for two units."""
    finals = [read(text) for text in texts]
    expected = {frozenset(group) for group in Tally(finals).groups}

    for order in list(permutations(range(len(finals))))[:: max(1, len(finals) ** 2)]:
        groups = Tally(finals[at] for at in order).groups
        assert {frozenset(order[at] for at in group) for group in groups} == expected


@settings(max_examples=cases(100))
@given(st.lists(st.sampled_from(VALUES), min_size=1, max_size=5), st.sampled_from(VALUES))
def test_another_value_changes_no_group(texts: list[str], text: str) -> None:
    """A reply joins or parts only what has its own value: whether others agree hangs on none of a different one."""
    finals, added = [read(value) for value in texts], read(text)
    before = [group for group in Tally(finals).groups if finals[group[0]] != added]
    after = [group for group in Tally([*finals, added]).groups if group[-1] < len(finals) and finals[group[0]] != added]

    assert before == after


@settings(max_examples=cases(100))
@given(st.sampled_from(VALUES), st.sampled_from(VALUES))
def test_two_answers_are_the_same_both_ways_and_in_a_tally(a: str, b: str) -> None:
    """Among two, a tally says what comparing them says."""
    same = is_same(read(a), read(b))

    assert is_same(read(b), read(a)) is same
    assert same_answer(f"Answer: {a}", f"Answer: {b}") is same
    assert (len(Tally([read(a), read(b)]).groups) == 1) is same
