"""Facts in texts: what counts as one, which are the same, and which an answer lacks."""

# ruff: noqa: RUF001 - characters of every script

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mollm.facts.agreeing import MAX_READ, agreed, demanded, facts_in, missing
from mollm.facts.quantities import plain
from mollm.facts.readings import number_of
from mollm.final.numbers import number
from tests.fuzz import cases

if TYPE_CHECKING:
    from mollm.facts.base import Kind


def keys(text: str, *kinds: Kind) -> set[str]:
    """The keys of the facts in a text, of some kinds or of all."""
    return {fact.key for fact in facts_in(text) if not kinds or fact.kind in kinds}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It costs $1,234.50 now.", {"1234.5"}),
        ("Es kostet 1.234,50 € jetzt.", {"1234.5"}),
        ("Cela coûte 1 234,50 € maintenant.", {"1234.5"}),
        ("Das sind 1'234'567 Franken.", {"1234567"}),
        ("It took 12,34,567 rupees.", {"1234567"}),
        ("इसमें १२३ लोग थे।", {"123"}),
        ("كان هناك ١٬٢٣٤ شخصا", {"1234"}),
        ("共有１２３人。", {"123"}),
        ("人口は3万人です。", {"30000"}),
        ("About 3 million people came.", {"3000000"}),
        ("About 50 % of them, or .25 in all.", {"0.5", "0.25"}),
        ("It fell to -7 degrees, or −8 in the shade.", {"-7", "-8"}),
        ("It takes 10-15 minutes.", {"10", "15"}),
        ("It is 5cm wide, and the 18th of its kind.", {"5", "18"}),
        ("It is 3/4 full.", {"0.75"}),
        ("It weighs 6.5e3 kg.", {"6500"}),
        ("The table says | 8,849 m | there.", {"8849"}),
        ("**42** people, and *43* more.", {"42", "43"}),
        # what is none
        ("Use GPT-4, H2O and utf8 with x_1 and x^2.", set()),
        ("1. First\n2) Second\n- 3. Third", set()),
        ("Step 2: see Figure 4 and [5].", set()),
    ],
)
def test_numbers_are_read_in_every_script(text: str, expected: set[str]) -> None:
    """With separators of thousands, decimals, percentages, scales and signs, and without what only counts."""
    assert keys(text, "number") == expected


def test_a_number_that_is_worked_out_is_a_step() -> None:
    """What stands beside an operator, also in LaTeX; emphasis, bullets and ranges are no operators."""
    text = "She uses 3 + 4 = 7 eggs, \\(5 \\times 6\\) and \\frac{1}{2}.\n* 8 are left\n- 9 are sold, **10** are lost."

    assert keys(text, "step") == {"3", "4", "7", "5", "6", "0.5"}
    assert keys(text, "number") == {"8", "9", "10"}


@pytest.mark.parametrize(
    ("text", "also"),
    [
        ("It was on 5 March 2024 at 3 PM.", "On 2024-03-05, 15:00."),
        ("It was on March 5, 2024.", "It was 05.03.2024."),
        ("It was on March 5th.", "It was on the 5th of March."),
        ("It was on 3/5/2024.", "It was on 5/3/24."),
        ("2024年3月5日です。", "It was on 2024-03-05."),
        ("It begins at 09:30.", "Come at 9:30, please."),
    ],
)
def test_dates_are_the_same_however_they_are_written(text: str, also: str) -> None:
    """A date is a fact of its own, and no numbers."""
    found = facts_in(text)

    assert {fact.kind for fact in found} == {"date"}
    assert not missing(found, also)
    assert missing(found, "It was on 6 March 2023, at 4 PM or 10:31.") == found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The work of Marie Curie and of NASA, in Paris.", {"curie", "nasa", "paris"}),
        ("Curie was there. Then she left.", set()),
        ("She met John F. Kennedy's brother in New York.", {"kennedy", "york"}),
        ("The capital is **Paris**.", {"paris"}),
        ("Это сделала Мария Кюри.", {"кюри"}),
        ("# How To Cook\n**Final Answer**: wash it first.\n- **Total Cost:** none", set()),
        ("You must NOT do this AND that.", set()),
        ("Die Frau ist mit dem Hund in der Stadt und der Mann ist in dem Haus.", set()),
        ("他读了《红楼梦》和「三体」。", {"红楼梦", "三体"}),
        ("他住在北京。", set()),
    ],
)
def test_names_are_known_by_their_capitals_or_quotation_marks(text: str, expected: set[str]) -> None:
    """No word that only begins a sentence, headline or label; nothing in German; by quotes where there is no case."""
    assert keys(text, "name") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("See https://www.example.com/a(b). me@example.org!", {"url example.com/a(b)", "url me@example.org"}),
        ("Edit /etc/hosts, ./run.sh and src/main.py.", {"path /etc/hosts", "path ./run.sh", "path src/main.py"}),
        ("Open C:\\Users\\me\\a.txt or notes.md, please.", {"path c:\\users\\me\\a.txt", "path notes.md"}),
        ("Call `foo()` or `git push`, with --force.", {"code foo", "code git push", "code --force"}),
        ("Set max_size of myClient, then os.path.", {"code max_size", "code myclient", "code os.path"}),
        ("You need version 3.11.2 of it.", {"code 3.11.2"}),
        ("Walk and/or run at 5 km/h, e.g. at noon, in the U.S. or so.", {"number 5"}),
        ("```python\nmax_retries = 77\n```\nThat is all.", set()),
        ('```json\n{"says": "It has 77 rooms."}\n```', {"number 77"}),
    ],
)  # fmt: skip
def test_marks_are_taken_letter_for_letter(text: str, expected: set[str]) -> None:
    """URLs, addresses, paths and identifiers are no numbers and no names; a block of code is one way among many."""
    assert {f"{fact.kind} {fact.key}" for fact in facts_in(text)} == expected


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("It takes 12 days.", "It takes twelve days."),
        ("It takes 42 days.", "It takes forty-two days."),
        ("It takes 0.5 days.", "It takes half a day."),
        ("It is 50% full.", "It is 50 percent full."),
        ("It is 50% full.", "It is \\frac{1}{2} full."),
        ("It is 1,234 m high.", "Es ist 1.234 m hoch."),
        ("It has 1234 m.", "It has 1{,}234 m."),
        ("It costs 18 dollars.", "It costs $18.00."),
        ("It is in the hands of Marie Curie.", "Curie has it."),
        ("Он живёт там, где Москва.", "Он живёт в Москве."),
        ("Use `foo()` now.", "Use foo(1), now."),
        ("See https://example.com/ now.", "See [it](http://example.com)."),
    ],
)
def test_an_answer_is_read_generously(said: str, answer: str) -> None:
    """A fact stands in whatever way it may be meant."""
    assert facts_in(said)
    assert missing(facts_in(said), answer) == []


def test_a_fact_is_agreed_on_by_more_than_half_and_at_least_two() -> None:
    """One of one is nobody else; two of three are most; two of four are not."""
    one, other = "It has 77 rooms.", "It has many rooms."

    assert [fact.key for fact in agreed([one])] == []
    assert [fact.key for fact in agreed([one, one, other])] == ["77"]
    assert [fact.key for fact in agreed([one, one, other, other])] == []
    assert [fact.key for fact in agreed([one, one, other], by_all=True)] == []


def test_what_is_demanded_is_news_or_the_final_answer() -> None:
    """Not what the question says, and of numbers that are worked out only the one that most end with."""
    texts = ["You have 5 eggs and sell 3 + 4 = 7 at 90 cents."] * 2

    def found(finals: list[str | None], question: str) -> set[str]:
        return {fact.key for fact in demanded(texts, finals, question)}

    assert found([None, None], "How many?") == {"5", "90"}
    assert found([None, None], "I have five eggs. How many?") == {"90"}
    assert found(["7", "7"], "I have five eggs. How many?") == {"90", "7"}
    assert found(["7", "6"], "I have five eggs, or 7. How many?") == {"90"}


OF_NUMBERS = "1 12 , . / - : % $ ١ \\frac{1}{2} e9 one and million May 2024 p.m 年"
OF_OTHERS = "a B _ ` http:// A. 「 」 () --x ``` ẞ İ"
BITS = [*OF_NUMBERS.split(), *OF_OTHERS.split(), " ", "\n", "\x00", "\u202f"]
TEXTS = st.text(max_size=300) | st.lists(st.sampled_from(BITS), max_size=60).map("".join)


@settings(max_examples=cases(400))
@given(TEXTS)
@example("「٠అ」")
@example("at 12.00 p.m, on 2024-13-40, or 99/99/9999")
def test_every_text_has_the_facts_that_are_found_in_it(text: str) -> None:
    """Whatever it holds: it is read, each fact is there once, and the text itself lacks none of them."""
    found = facts_in(text)

    assert len({(fact.kind, fact.key) for fact in found}) == len(found)
    assert missing(found, text) == []
    assert agreed([text, text]) == found[: len(agreed([text, text]))]
    assert len(plain(text)) == len(text)


@settings(max_examples=cases(300))
@given(
    st.from_regex(r"[0-9]{1,12}(\.[0-9]{1,6})?( million|%)?", fullmatch=True)
    | st.from_regex(r"[0-9]{1,6}/[1-9][0-9]{0,5}", fullmatch=True)
)
def test_a_number_has_the_value_that_final_answers_give_it(text: str) -> None:
    """The likeliest reading is that of `final.numbers`, whichever way it was found."""
    assert [fact.key for fact in number_of(text)] == [str(number(text))]


REPEATED = (
    "1_ 1, 1. a. a/ ` a_ -- A_ 1/ 12: http:// a@ a- $ ９ ( one_ \\frac A. 2024- [1] __ “ /a C:\\a Jan_ -1 aB ~/ ``` '"
)
PIECES = [piece.replace("_", " ") for piece in REPEATED.split()]


@pytest.mark.parametrize("piece", PIECES)
def test_what_it_takes_grows_with_the_length_and_no_faster(piece: str) -> None:
    """Four times the text takes about four times as long, whatever is repeated in it."""

    def taken(length: int) -> float:
        text = (piece * length)[:length]
        best = float("inf")
        for _ in range(2):
            start = time.process_time()
            missing([*facts_in(text), *facts_in("It has 7 of `it` in Paris.")], text)
            best = min(best, time.process_time() - start)
        return best

    assert taken(4 * 4096) < 10 * taken(4096) + 0.02


def test_only_so_much_of_a_text_is_read() -> None:
    """What stands behind it is not demanded; in an answer it is found all the same."""
    text = f"{'word ' * (MAX_READ // 5)}ends with 4711 of them."

    assert facts_in(text) == []
    assert missing(facts_in("It is 4711 of them."), text) == []
