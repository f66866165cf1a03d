"""Final answers: where they are found, how they are written, and when two are the same."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm.final.replies import final_answer, same_answer

PLACES: list[tuple[str, str | None]] = [
    (r"First we add, then we double. \boxed{42}", "42"),
    (r"We get \boxed{7} at first, but the sign was wrong, so \boxed{-7}.", "-7"),
    (r"Hence $\boxed{\frac{\sqrt{3}}{2}}$", "√(3)/2"),
    (r"\boxed{\text{no solution}}", "no solution"),
    (r"Cut off: \boxed{12} and then \boxed{13", "12"),
    ("Two and two make four.\n#### 4", "4"),
    ("The answer is 42.", "42"),
    ("The answer is 42 because six times seven is 42.", "42"),
    ("So the answer is **18 dollars** a day, as long as the ducks lay.", "18"),
    ("**The final answer is $\\frac{3}{4}$.**", "0.75"),
    ("Answer: 42", "42"),
    ("Some thoughts come first.\n\n**Final answer:** 1,250", "1250"),
    ("Some thoughts come first.\n\n**Answer:**\n\n\\[\n x = 12\n\\]", "12"),
    ("The final answer is:\n\n42", "42"),
    ("Therefore, the result is 3.5 metres.", "3.5"),
    ("Answer: 4? No, that forgets the cat.\n\nFinal answer: 5", "5"),
    ("Adding up:\n2 + 3 = 5", "5"),
    ("Adding up:\nTotal = 2 * 21 = 42", "42"),
    ("There are 16 eggs, 7 are eaten.\n\nSo she earns **$18** every day.", "18"),
    ('{"reasoning": "It is 3 + 4, so the answer is 8 - 1.", "answer": "7"}', "7"),
    ('{"answer": 7, "reasoning": "It is 3 + 4."}', "7"),
    ('Here it is:\n\n```json\n{"thoughts": "short", "final_answer": [1, 2.0]}\n```', "[1,2]"),
    ('```json\n{"reasoning": "line one\nline two", "answer": "\\frac{1}{2}"}\n```', "0.5"),
    ('```json\n{"answer": 1}\n```\nThat was wrong, once more:\n```json\n{"answer": 2}\n```', "2"),
    (r'{"answer": "\\frac{1}{4}"}', "0.25"),
    (r'{"answer": "\u20ac5"}', "5"),
    ('{"result": true}', "true"),
    ("```python\n[1, 2, 3]\n```", "[1,2,3]"),
    ("The function returns:\n```\n{'b': 1, 'a': [True, None]}\n```", '{"a":[true,none],"b":1}'),
    ("It prints `[1, 2, 3]`.", "[1,2,3]"),
    ("[\n  1,\n  2\n]", "[1,2]"),
    ("The correct choice is (C).", "c"),
    ("Weighing all of them, the correct answer is B) Paris, the capital.", "b"),
    ("Option D is correct, since it alone is even.", "d"),
    ("(B)", "b"),
    ("B. Mitochondria", "b"),
    ("Yes", "yes"),
    ("no.", "no"),
    ("**Paris**", "paris"),
    ("It is 7.", "7"),
    ("The total is **42**.", "42"),
    ("<think>The answer is 5. Or is it 6?</think>\n6", "6"),
    ("42", "42"),
    ('{"answer": "6 rows of red tulips + 3 rows of blue ones = 9 rows"}', "9"),
    ("Answer: 4 washes/month * $15/wash * 12 months/year = $720/year", "720"),
    ("Answer: 2 apples + x = 5", "2 apples+x=5"),
    ('```json\n{"answer": "I add what each of them has, and get the sum of both"}\n```\n\n"answer": "72"', "72"),
    ('The final answer is: `"answer": "72"`\n\nShe used 72 of 80 seeds.', "72"),
]

VALUES: list[tuple[str, list[str]]] = [
    ("1000", ["1,000", "1000.0", "1e3", "$1,000", "1 000", "$1{,}000$", "10^3", "10^{3}", "1 thousand", "1.000E+3"]),
    ("1000", ["1000 dollars", "€1000", "1000€", "1000 USD", "+1000", "~1000", "about 1000", "1000."]),
    (
        "0.5",
        ["1/2", "0.50", ".5", r"\frac{1}{2}", r"\dfrac12", r"\tfrac{1}2", "50%", "50 percent", r"50\%", "½", "2/4"],
    ),
    ("-3", ["\u22123", "-3.0", "-$3", "$-3", "x = -3", "$x=-3$", r"\(-3\)", r"\[ -3 \]", "-6/2"]),
    ("3.5", ["3 1/2", r"3\frac{1}{2}", r"3\frac12", "3½", "7/2", "3 1/2 cups", "3.50 hours"]),
    ("1/3", ["2/6", r"\frac{1}{3}", r"\frac{2}{6}", "⅓"]),
    ("300000000", [r"3 \times 10^8", "3e8", "3 * 10^8", "3\u00d710⁸", "300 million", "300,000,000 m/s", "3*10**8"]),
    (
        "5",
        [
            "5 cm",
            "5cm",
            "5 apples",
            "5 km/h",
            "5 m^2",
            r"5\text{ cm}",
            r"5\,\mathrm{kg}",
            "5°",
            r"5^\circ",
            "5^{\\circ}C",
        ],
    ),
    (
        "5",
        [
            "2 + 3 = 5",
            "f(2) = 5",
            "total = 5",
            "x = 2 + 3 = 5",
            "**5**",
            "`5`",
            '"5"',
            "(5)",
            r"\boxed{5}",
            "approximately 5",
        ],
    ),
    ("√(2)", [r"\sqrt{2}", "sqrt(2)", "√2", r"\sqrt2", r"$\sqrt{ 2 }$"]),
    ("2√(3)", [r"2\sqrt{3}", "2*sqrt(3)", r"2 \cdot \sqrt{3}", "2√3"]),
    ("√[3](7)", [r"\sqrt[3]{7}"]),
    ("π/2", [r"\frac{\pi}{2}", "pi/2", "π / 2", r"\pi/2"]),
    ("x^2+1", ["x^2 + 1", "x^{2}+1", "x**2 + 1", "x²+1", "y = x^2 + 1"]),
    ("101_2", ["101_2", "101_{2}", "101₂", "$101_2$"]),
    ("(1,2)", ["(1, 2)", r"\left(1,2\right)", "(1.0, 4/2)", r"\( (1,2) \)"]),
    ("[1,inf)", ["[1, inf)", r"[1,\infty)", r"\left[1, \infty\right)", r"x \in [1,\infty)", "[1,∞)"]),
    ("{1,2}", ["{2, 1}", r"\{1,2\}", r"\{2, 1, 1\}", "1, 2", "2 and 1", "x = 1 or x = 2", "x = 2, x = 1", "1,2"]),
    ("(-inf,0)\u222a(2,inf)", [r"(-\infty, 0) \cup (2, \infty)", "(-∞,0) \u222a (2,∞)"]),
    ('[1,"a b",{"k":none}]', ["[1, 'a b', {'k': None}]", '[1.0, "a b", {"k": null}]']),
    ("(1,)", ["(1,)"]),
    ("[]", ["[]", "[ ]"]),
    ("true", ["True", "true", "TRUE."]),
    ("none", ["None", "null"]),
    ("new york", ["New York", "new-york", "New York.", "*New York*", r"\text{New York}", "the New York"]),
    ("c++", ["C++"]),
]

DIFFERENT: list[tuple[str, str]] = [
    ("(1, 2)", "(2, 1)"),
    ("(1, 2)", "[1, 2]"),
    ("[1, 2)", "[1, 2]"),
    ("(1, 2)", "{1, 2}"),
    ("[1]", "1"),
    ('["1"]', "[1]"),
    ('["a"]', '["A"]'),
    ("101_2", "101"),
    ("50%", "50"),
    ("0.3333", "1/3"),
    ("2n", "2"),
    ("5 x", "5"),
    ("5 am", "5 pm"),
    ("5 apples and 3 pears", "5"),
    ("2024-01-15", "2024-02-14"),
    ("3:2", "3/2"),
    ("5!", "5"),
    ("x^2 + y^2 = 4", "4"),
    ("True", "Yes"),
    ("C++", "C"),
    ("√12", "√3"),
    ("1e999999999", "1e999999998"),
]

OPEN_TEXT: list[str] = [
    "",
    " \n ",
    "?",
    "```",
    r"\boxed{}",
    "Answer:",
    "The answer is",
    '{"answer": null}',
    "How can I help you today?",
    "I don't know.",
    "I'm sorry, but I cannot help with that.",
    "Sorry, no.",
    "5 tips for better sleep",
    "The result is a cake for 12 people.",
    "In 1969 two people walked on the Moon. Over the next 3 years 10 more followed, and by 1972 it was over.",
    "# Pancakes\n\n#### Ingredients\n- 2 eggs\n- 250 ml milk\n\nBake for **30 minutes** at 180 °C.",
    "# Pancakes\n\n1. Mix 2 eggs.\n2. Add 250 ml of milk.\n\n1 cup = 240 ml",
    "Here it is:\n\n```python\ndef f(x):\n    return x + 42\n\nprint('The answer is 42')\n```\n\nIt runs in O(n).",
    "```python\n[n for n in range(10)]\n```",
    "```toml\n[tool.thing]\nline-length = 110\n```",
    "First:\n```\n[1]\n```\nthen:\n```\n[2]\n```",
    "Dear Ms Miller,\n\nthe 3 invoices of 5 May (1,200 euros in all) are paid.\n\nBest regards,\nTom",
    "Roses are red,\nviolets are blue,\n40 below zero\nand I think of you.",
    "The answer is complicated. It depends on 3 things: money, time and luck.\nLet us look at each in turn.",
    "The answer is not simple, and never was.\n\nMore than 50 books were written about it.",
    "Quiz:\n\n1. 2 + 2?\nAnswer: 4\n\n2. 3 + 3?\nAnswer: 6\n\n3. Capital of Peru?\nAnswer: Lima",
    '[\n{"question": "2 + 2?", "answer": "4"},\n{"question": "3 + 3?", "answer": "6"}\n]',
    '{"first": {"answer": 4}, "second": {"answer": 6}}',
    '{"reasoning": "long", "answer": "It depends on what you want to do with all the money you have."}',
    "Use `None` as the default, and `30` as the timeout, so that callers can tell them apart.",
    "Set the timeout to 30 seconds and restart the server; then watch the log for 5 minutes.",
    "One option is 5% down and 3% interest. The other option is a lease.",
    "Answer:\n1. First, wash the rice.\n2. Then boil it.",
    "Answer: it is best to talk to your doctor about this before you change anything.",
    "So, in short: be kind, be brave, and drink 2 litres of water.",
    "Thus the war of 1914 began, and **nobody** had wanted it.",
    "E = mc^2 is famous.\nIt was written in 1905.",
    "这是一个关于春天的很长的句子，里面没有可以检查的答案，只有花和风。",  # noqa: RUF001
    "<think>The answer is 5.</think>\nLet me tell you a story of two cities and of the people who lived there.",
]

MANY = 300_000
HOSTILE: dict[str, tuple[str, str | None]] = {
    "a million digits": ("9" * 1_000_000, None),
    "huge exponent": ("Answer: 1e999999999", "1e999999999"),
    "tower of powers": ("Answer: 9^999^999", "9^999^999"),
    "many large factors": ("Answer: " + "9e-999*" * 24 + "1", "9e-999*" * 24 + "1"),
    "division by zero": ("Answer: 1/0", "1/0"),
    "deep list": ("[" * MANY + "]" * MANY, None),
    "deep parentheses": ("Answer: " + "(" * 1900 + "5" + ")" * 1900, None),
    "deep fractions": (r"\boxed{" + r"\frac{" * 300 + "1" + "}{2}" * 300 + "}", None),
    "open braces": (r"\boxed{" + "{" * MANY, None),
    "open boxes": (r"\boxed{" * MANY, None),
    "open JSON strings": ('{"answer": "' * MANY, None),
    "backslashes in JSON": ('{"answer": "' + "\\" * MANY, None),
    "quotation marks": ("Answer: [" + "'" * 3900 + "]", None),
    "many phrases": ("the answer is " * MANY + "41", "41"),
    "many labels": ("Answer: x\n" * MANY, "x"),
    "spaces": ("answer" + " " * 1_000_000 + "x", None),
    "line breaks": ("x\n" + "\n" * 1_000_000 + "}", None),
    "fences": ("`" * MANY, None),
    "emphasis": ("So " + "**a" * MANY, None),
    "half a surrogate pair": ("Answer: \ud800 7", "7"),
    "half an escaped one": (r'{"answer": "7\ud83d"}', "7"),
    "letters that grow": ("Answer: " + "\ufdfa" * 190, None),
}


@pytest.mark.parametrize(("reply", "expected"), PLACES)
def test_final_answer_is_found_where_replies_put_it(reply: str, expected: str) -> None:
    """The most explicit place wins, wherever in the reply it stands."""
    assert final_answer(reply) == expected


@pytest.mark.parametrize(("canonical", "written"), [(value, text) for value, texts in VALUES for text in texts])
def test_equal_values_have_one_form(canonical: str, written: str) -> None:
    """A value has the same form however it is written, on its own, labelled or boxed."""
    assert final_answer(written) == canonical
    assert final_answer(f"Some reasoning.\n\nFinal answer: {written}") == canonical
    assert final_answer(canonical) == canonical


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_different_values_stay_different(a: str, b: str) -> None:
    """Two answers, and not the same one."""
    assert final_answer(f"Answer: {a}") is not None
    assert final_answer(f"Answer: {b}") is not None
    assert not same_answer(f"Answer: {a}", f"Answer: {b}")


@pytest.mark.parametrize("reply", OPEN_TEXT)
def test_open_text_has_no_final_answer(reply: str) -> None:
    """Essays, recipes, programs, letters and refusals are not compared, numbers in them or not."""
    assert final_answer(reply) is None
    assert not same_answer(reply, reply)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_replies_are_read_with_bounded_work(name: str) -> None:
    """Huge numbers, deep nesting and endless repetition end, and end in something sensible."""
    reply, expected = HOSTILE[name]

    assert final_answer(reply) == expected


numbers = st.fractions(max_denominator=1000).filter(lambda number: abs(number) < 10**9)
commands = [
    r"\frac",
    r"\boxed",
    r"\text",
    r"\(",
    "answer",
    "Answer:",
    "The answer is ",
    "```",
    "####",
    "**",
    "and",
    "\ud800",
]
fragments = st.lists(st.sampled_from([*commands, *"{}()[]\"'$=%,.-/^_\n 12x½é∅"]), max_size=20).map("".join)


@given(st.text() | fragments)
def test_any_text_can_be_read(text: str) -> None:
    """No text raises; what comes back is None or something that can be printed."""
    found = final_answer(text)

    assert found is None or found.strip().encode()


@given(numbers)
def test_canonical_numbers_are_fixed_points(number: Fraction) -> None:
    """Reading a canonical number gives the same again, alone and in a sentence."""
    canonical = final_answer(str(number))

    assert canonical is not None
    assert Fraction(canonical) == number
    assert final_answer(canonical) == canonical
    assert final_answer(f"The answer is {canonical}") == canonical
    assert final_answer(f"The answer is {canonical}.") == canonical


@given(st.integers(-(10**9), 10**9))
def test_formatting_an_integer_keeps_its_value(number: int) -> None:
    """Commas, currency, decimals, percent, fractions and LaTeX change the writing alone."""
    for written in (
        f"{number:,}",
        f"{number}.00",
        f"{number}e0",
        f"{number * 100}%",
        f"{2 * number}/2",
        rf"\frac{{{2 * number}}}{{2}}",
        rf"$\boxed{{{number:,}}}$",
        f"**{number}**",
        f"{number} apples",
        f"x = {number}",
        f"-${-number:,}" if number < 0 else f"${number:,}",
    ):
        assert final_answer(written) == str(number), written


@given(numbers, numbers)
def test_numbers_are_the_same_exactly_when_they_are_equal(a: Fraction, b: Fraction) -> None:
    """Neither rounding nor writing makes two numbers equal."""
    assert same_answer(f"The answer is {a}.", rf"\boxed{{\frac{{{b.numerator}}}{{{b.denominator}}}}}") == (a == b)


@given(st.lists(st.sampled_from([text for _, texts in VALUES for text in texts] + OPEN_TEXT), min_size=3, max_size=3))
def test_sameness_is_symmetric_and_transitive(replies: list[str]) -> None:
    """Who is compared with whom does not matter, and equal to the same means equal."""
    a, b, c = replies

    assert same_answer(a, b) == same_answer(b, a)
    assert not (same_answer(a, b) and same_answer(b, c)) or same_answer(a, c)
    assert same_answer(a, a) == (final_answer(a) is not None)


scalars = st.none() | st.booleans() | st.integers(-999, 999) | st.text("abc XYZ,:'[]{}", max_size=6)
literals = st.lists(
    st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3)
        ),
        max_leaves=6,
    ),
    min_size=1,
    max_size=3,
)


@given(literals)
def test_literals_are_the_same_in_python_and_json(value: list[object]) -> None:
    """A list is compared by value, whichever of the two languages wrote it, laid out as it likes."""
    python, spread = repr(value), json.dumps(value, indent=2, sort_keys=True)

    assert final_answer(f"```python\n{python}\n```") is not None
    assert same_answer(f"```python\n{python}\n```", f"Here you are:\n\n```json\n{spread}\n```")
    assert same_answer(python, spread)
