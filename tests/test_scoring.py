"""Final answers: where they are found, how they are written, and when two are the same."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm.scoring import agreement, final_answer, group, same_answer

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
    ("<think>The answer is 5. Or is it 6?</think>\n6", "6"),
    ("42", "42"),
]

VALUES: list[tuple[str, list[str]]] = [
    ("1000", ["1,000", "1000.0", "1e3", "$1,000", "1 000", "$1{,}000$", "10^3", "10^{3}", "1 thousand", "1.000E+3"]),
    ("1000", ["1000 dollars", "€1000", "1000€", "USD 1000" * 0 or "1000 USD", "+1000", "~1000", "about 1000", "1000."]),
    ("0.5", ["1/2", "0.50", ".5", r"\frac{1}{2}", r"\dfrac12", r"\tfrac{1}2", "50%", "50 percent", r"50\%", "½", "2/4"]),
    ("-3", ["\u22123", "-3.0", "-$3", "$-3", "x = -3", "$x=-3$", r"\(-3\)", r"\[ -3 \]", "-6/2"]),
    ("3.5", ["3 1/2", r"3\frac{1}{2}", r"3\frac12", "3½", "7/2", "3 1/2 cups", "3.50 hours"]),
    ("1/3", ["2/6", r"\frac{1}{3}", r"\frac{2}{6}", "⅓"]),
    ("300000000", [r"3 \times 10^8", "3e8", "3 * 10^8", "3×10⁸", "300 million", "300,000,000 m/s", "3*10**8"]),  # noqa: RUF001
    ("5", ["5 cm", "5cm", "5 apples", "5 km/h", "5 m^2", r"5\text{ cm}", r"5\,\mathrm{kg}", "5°", r"5^\circ", "5^{\\circ}C"]),
    ("5", ["2 + 3 = 5", "f(2) = 5", "total = 5", "x = 2 + 3 = 5", "**5**", "`5`", '"5"', "(5)", r"\boxed{5}", "approximately 5"]),
    ("√(2)", [r"\sqrt{2}", "sqrt(2)", "√2", r"\sqrt2", r"$\sqrt{ 2 }$"]),
    ("2√(3)", [r"2\sqrt{3}", "2*sqrt(3)", r"2 \cdot \sqrt{3}", "2√3"]),
    ("√[3](7)", [r"\sqrt[3]{7}"]),
    ("π/2", [r"\frac{\pi}{2}", "pi/2", "π / 2", r"\pi/2"]),
    ("x^2+1", ["x^2 + 1", "x^{2}+1", "x**2 + 1", "x²+1", "y = x^2 + 1"]),
    ("101_2", ["101_2", "101_{2}", "101₂", "$101_2$"]),
    ("(1,2)", ["(1, 2)", r"\left(1,2\right)", "(1.0, 4/2)", r"\( (1,2) \)", "(x, y) = (1, 2)"[9:]]),
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
