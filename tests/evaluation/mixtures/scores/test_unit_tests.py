"""Tests of the code in answers, and code that wants to pass without being right."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm.errors import SandboxError
from mollm.evaluation.mixtures.scores import unit_tests
from mollm.evaluation.mixtures.scores.assertions import Expected, assertions_of, decoded
from mollm.evaluation.mixtures.scores.harness import encoded
from mollm.evaluation.mixtures.scores.registry import score_of
from mollm.evaluation.mixtures.scores.unit_tests import UnitTests
from mollm.sandbox import Limits
from tests.evaluation.mixtures.scores.asking import row

SQUARE = "def f(x):\n    return x * x\n"
ASKED = "assert f(2) == 4\nassert f(3) == 9\n"


async def passed(tests: str, *codes: str, limits: Limits | None = None) -> list[float | None]:
    """The scores of answers that are one block of code each."""
    score = UnitTests(limits) if limits else UnitTests()
    assert score.problem(row(tests)) is None
    found = await score.score(row(tests), {str(n): f"So:\n```python\n{code}\n```\n" for n, code in enumerate(codes)})
    return list(found.values())


async def test_code_that_passes_is_right_and_anything_else_is_not() -> None:
    """Wrong code, no code, and code that does not end by itself."""
    score = UnitTests(Limits(seconds=1.0))
    answers = {
        "right": f"Here:\n```python\n{SQUARE}```",
        "wrong": "```python\ndef f(x):\n    return 4\n```",
        "prose": "I would multiply it by itself.",
        "none": "",
        "endless": "```python\nwhile True:\n    pass\n```",
    }

    found = await score.score(row(ASKED), answers)

    assert found == {"right": 1.0, "wrong": 0.0, "prose": 0.0, "none": 0.0, "endless": 0.0}
    network, late = score.notes()
    assert "in the sandbox: without a network, and without files of this machine but" in network
    assert "(5 runs)" in network
    assert late == "data.jsonl:1: an answer and its tests took more than 1 s"


TESTS = {
    "alone": ASKED,
    "functions as pytest calls them": "def test_f():\n    assert f(2) == 4\n\ndef test_g():\n    assert f(3) == 9\n",
    "a function that is called": "def check(candidate):\n    assert candidate(3) == 9\n\ncheck(f)\n",
    "as a program": "def check(g):\n    assert g(3) == 9\n\nif __name__ == '__main__':\n    check(f)\n",
    "in a loop": "for given, wanted in [(2, 4), (3, 9)]:\n    assert f(given) == wanted\n",
    "joined": "assert f(2) == 4 and f(3) == 9\n",
    "the other way around": "assert 9 == f(3)\n",
    "of no constant": "wanted = 9\nassert f(3) == wanted\nassert isinstance(f(3), int)\nassert not f(0)\n",
    "imported": "from answer import f as g\nassert g(3) == 9\n",
    "an error that is wanted": "assert f(3) == 9\ntry:\n    f('a')\n    assert False\nexcept TypeError:\n    pass\n",
    "closeness": "assert abs(f(3.0) - 9) < 1e-6\nassert f(3) in (9, 10)\nassert f(3) is not None\n",
}


async def test_tests_may_be_written_in_these_ways() -> None:
    """Right code passes each, and code that is wrong does not."""
    score, answers = UnitTests(), {"right": SQUARE, "wrong": "def f(x):\n    return 5\n"}

    for way, tests in TESTS.items():
        assert score.problem(row(tests)) is None, way
        assert await score.score(row(tests), answers) == {"right": 1.0, "wrong": 0.0}, way


HONEST = [
    (
        "class V:\n    def __init__(self, x):\n        self.x = x\n    def __add__(self, other):\n"
        "        return V(self.x + other.x)\n    def __eq__(self, other):\n"
        "        return isinstance(other, V) and self.x == other.x\n",
        "assert V(1) + V(2) == V(3)\nassert V(1) in [V(1)]\nassert V(1) != V(2)\n"
        "assert [V(1)] == [V(1)]\nassert V(1).x == 1\n",
    ),
    (
        "class E(Exception):\n    pass\ndef f():\n    raise E('bad')\n",
        "try:\n    f()\n    assert False\nexcept E as error:\n    assert str(error) == 'bad'\n",
    ),
    (
        "from collections import Counter, namedtuple\nT = namedtuple('T', 'a b')\ndef f():\n"
        "    return Counter('aab'), T(1, 2), {'a': 1}.keys()\n",
        "assert f()[0] == {'a': 2, 'b': 1}\nassert f()[1] == (1, 2)\nassert f()[2] == {'a'}\n",
    ),
    (
        "import numpy as np\ndef f():\n    return np.float64(2.0), np.int64(3), np.array([1, 2])\n",
        "assert f()[0] == 2.0\nassert f()[1] == 3\nassert (f()[2] == [1, 2]).all()\n",
    ),
    (
        "import enum, datetime\nclass C(enum.Enum):\n    R = 1\ndef f():\n    return C.R, datetime.date(2024, 1, 2)\n",
        "import datetime\nassert f()[0] is C.R\nassert f()[0] == C.R\nassert f()[1] == datetime.date(2024, 1, 2)\n",
    ),
    (
        "async def f(x):\n    return x + 1\n",
        "import asyncio\nasync def main():\n    assert await f(1) == 2\nasyncio.run(main())\n",
    ),
    ("class S:\n    def __contains__(self, x):\n        return x == 3\n", "assert 3 in S()\nassert 4 not in S()\n"),
    ("def f(xs, g):\n    xs.sort(key=g)\n", "a = [1, 3]\nf(a, lambda x: -x)\nassert a == [3, 1]\n"),
    (
        "print('hello')\ndef f(n):\n    return 2 ** n\nif __name__ == '__main__':\n    input()\n",
        "assert f(20_000) == 2**20_000\nassert 0 < f(2) < 10\nassert f(2) == 5 or f(2) == 4, 'either'\n",
    ),
]


async def test_code_that_is_right_passes_whatever_it_returns() -> None:
    """Objects of its own, errors, what libraries return, and what it changes in place."""
    score = UnitTests()

    for code, tests in HONEST:
        assert score.problem(row(tests)) is None
        assert await score.score(row(tests), {"a": code}) == {"a": 1.0}, tests


EQUAL = """
class Equal({base}):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 4
    def __bool__(self): return True
def f(x):
    return Equal()
"""
ATTACKS = {
    "exit": "import sys\ndef f(x):\n    return 4\nsys.exit(0)\n",
    "exit at once": "import os\nos._exit(0)\n",
    "exit while tested": "import os\ndef f(x):\n    os._exit(0)\n",
    "exit as one that is wanted": "def f(x):\n    raise SystemExit(0)\n",
    "exit at the end": "import atexit, os\natexit.register(os._exit, 0)\ndef f(x):\n    return 4\n",
    "equal to anything": EQUAL.format(base="object"),
    "a number that is equal to anything": EQUAL.format(base="int"),
    "equal, and of a borrowed class": EQUAL.format(base="object")
    + "Equal.__module__, Equal.__qualname__ = 'builtins', 'int'\n",
    "errors that are none": "import builtins\nbuiltins.AssertionError = KeyError\ndef f(x):\n    return 4\n",
    "another exec": "import builtins\nbuiltins.exec = lambda *a: None\ndef f(x):\n    return 4\n",
    "another compile": (
        "import builtins\nreal = compile\nbuiltins.compile = lambda *a: real('', *a[1:])\ndef f(x):\n    return 4\n"
    ),
    "no tracing": "import sys\nsys.settrace(lambda *a: None)\ndef f(x):\n    return 4\n",
    "reading the tests": (
        "import glob\ntexts = [open(name).read() for name in glob.glob('**', recursive=True) if name.endswith('py')]\n"
        "print(texts)\ndef f(x):\n    return 9 if any('f(3) == 9' in text for text in texts) else 4\n"
    ),
    "reading the input": "import sys\ngiven = sys.stdin.read()\ndef f(x):\n    return 9 if 'f(3)' in given else 4\n",
    "reading the caller": (
        "import sys\ndef f(x):\n    constants = sys._getframe(1).f_code.co_consts\n"
        "    found = [c for c in constants if c == 9]\n"
        "    return found[0] if x == 3 and found else 4\n"
    ),
    "printing success": "print('\"through\"')\nprint('1 passed')\ndef f(x):\n    return 4\n",
    "reports of its own": (
        "import os, sys\ndef f(x):\n    report = sys._getframe(1).f_globals['reporting_of_assertions']\n"
        "    report.tell({'number': 0, 'truth': True})\n    report.tell({'number': 1, 'truth': True})\n"
        "    report.tell('through')\n    os._exit(0)\n"
    ),
}


async def test_code_cannot_pass_by_anything_but_the_values_that_are_asked_for() -> None:
    """Where they are constants, not even by whatever else it does to its process: they are not in it."""
    found = await passed("assert f(2) == 4\nassert f(3) == 9\n", SQUARE, *ATTACKS.values())

    assert dict(zip(["right", *ATTACKS], found, strict=True)) == {"right": 1.0, **dict.fromkeys(ATTACKS, 0.0)}


async def test_what_is_equal_to_anything_is_told_where_no_constant_is_there_too() -> None:
    """Values are compared outside, in data; but what the tests import may say what it is equal to."""
    tests = "for given, wanted in [(3, 9)]:\n    assert f(given) == wanted\n    assert f(given) in [wanted]\n"
    anything = "from unittest.mock import ANY\ndef f(x):\n    return ANY\n"

    found = await passed(tests, SQUARE, anything, *(EQUAL.format(base=base) for base in ("object", "int")))
    assert found == [1.0, 0.0, 0.0, 0.0]
    assert await passed("from unittest.mock import ANY\nassert f(3) == ANY\nassert f(3) == 9\n", SQUARE) == [1.0]


async def test_code_finds_no_network_and_no_files() -> None:
    """So it cannot ask for the solution."""
    tries = (
        "import socket\ntry:\n    socket.create_connection(('127.0.0.1', 80), 1)\nexcept OSError as error:\n"
        "    found = error.errno\nimport os\ndef f():\n"
        "    return [found, sorted(os.listdir('/box')), os.path.exists('/home')]\n"
    )

    assert await passed("assert f() == [101, ['answer.py', 'main.py'], False]", tries) == [1.0]


@pytest.mark.parametrize(
    ("tests", "why"),
    [
        ("assert f(2) ==", "the tests are no Python: invalid syntax (line 1)"),
        ("f(2)", "the tests assert nothing"),
        ("", "the tests assert nothing"),
        ("class TestF:\n    def test_f(self):\n        assert f(2) == 4\n", "the tests assert nothing"),
        ("def test_f(fixture):\n    assert f(2) == 4\n", "the tests assert nothing"),
        ("async def test_f():\n    assert f(2) == 4\n", "the tests assert nothing"),
        ("x = '\0'", "the tests"),
        (
            "def check(candidate):\n    assert candidate(2) == 4\n",
            "the tests assert nothing: write `assert` statements, alone or in functions `test_...()`, "
            "and nobody calls check",
        ),
    ],
)
def test_a_reference_that_tests_nothing_is_a_problem_of_its_row(tests: str, why: str) -> None:
    """Any answer would pass."""
    assert (UnitTests().problem(row(tests)) or "").startswith(why)


def test_without_walls_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so before any LLM is asked."""

    def refusing(*_: object, **__: object) -> None:
        raise SandboxError("the program was not run: no user namespaces")

    monkeypatch.setattr(unit_tests, "run", refusing)

    with pytest.raises(
        SandboxError, match=r"cannot be tested here, since their code would not be isolated: .*namespaces"
    ):
        score_of("tests")


def test_the_values_that_are_asked_for_are_not_in_what_runs_beside_the_answer() -> None:
    """Neither in a function nor alone, nor behind `and`."""
    code = (
        "def check(g):\n    assert g(1) == 'hidden-a'\n\ncheck(f)\nassert 'hidden-b' == f(2) and f(3) == ['hidden-c']\n"
    )

    tests = assertions_of(code)

    assert "hidden" not in tests.code
    assert tests.required == {0, 1, 2}


def test_tests_that_never_come_to_an_assertion_are_not_passed() -> None:
    """A function that is only called where something holds, say."""
    tests = assertions_of("def check(g):\n    assert g(2) == 4\n\nif missing:\n    check(f)\n")

    assert not tests.passed('S"through"\n', "S")


def test_a_report_that_is_none_is_no_pass() -> None:
    """Neither one with the wrong secret, nor one of an assertion that there is not."""
    tests = assertions_of("assert f(2) == 4")
    right = 'S{"number": 0, "left": {"plain": 4}}\n'

    assert tests.passed(f'{right}S"through"\n', "S")
    for lines in (
        right,
        'S"through"\n',
        f'X{right}S"through"\n',
        f'{right}S{{"number": 7, "truth": true}}\nS"through"\n',
        f'{right}S{{"number": true}}\nS"through"\n',
        f'{right}S{{\nS"through"\n',
        f'{right}S{{"number": 0, "left": {{"plain": 5}}}}\nS"through"\n',
        f'{right}S{{"number": 0}}\nS"through"\n',
        f'{right}S{{"number": 0, "left": {{"int": "x"}}}}\nS"through"\n',
    ):
        assert not tests.passed(lines, "S"), lines


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | st.fractions(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.frozensets(st.integers(), max_size=3)
    ),
    max_leaves=8,
)


@given(PLAIN)
def test_plain_data_comes_out_as_it_is(value: Any) -> None:
    """Through JSON, with its types."""
    found = decoded(json.loads(json.dumps(encoded(value))))

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "value", [pytest.param(1 << 20_000, id="long"), {1, 2}, 1 + 2j, Decimal("0.10"), Fraction(1, 3), float("inf")]
)
def test_so_do_these(value: Any) -> None:
    """Long numbers too, which JSON readers refuse."""
    assert decoded(json.loads(json.dumps(encoded(value)))) == value


def test_a_class_is_taken_for_the_plain_data_that_it_holds() -> None:
    """Whatever its methods say."""

    class Liar(int):
        def __int__(self) -> int:
            return 4

        def __index__(self) -> int:
            return 4

    assert decoded(encoded(Liar(7))) == 7
    assert decoded(encoded({"a": 1}.keys())) == {"a"}
    assert not Expected().holds({"truth": 1})
