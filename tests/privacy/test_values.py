"""Values, their placeholders, and the way back."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.calling.base import Completion, Request
from mollm.config.privacy import KINDS
from mollm.privacy.conversations import in_json
from mollm.privacy.finding import Finder
from mollm.privacy.pieces import Tail, whole_placeholders, whole_values
from mollm.privacy.placeholders import is_concealed
from mollm.privacy.values import Values
from mollm.privacy.veil import Veil
from tests.fuzz import cases
from tests.privacy.test_finding import PARTS, PEM

FINDER = Finder(KINDS)
WRITTEN = (
    "[EMAIL_1]",
    "EMAIL_1",
    "[email_1]",
    "\\[EMAIL\\_1\\]",
    "[EMAIL_R1]",
    "[KEY_2]",
    "EMAIL_12",
    "[EMAIL_1",
    "%5BIP_1%5D",
)
TEXTS = st.lists(st.one_of(st.sampled_from((*PARTS, *WRITTEN)), st.text(max_size=10)), max_size=8)


def values(*texts: str) -> Values:
    """The values of some texts."""
    found = Values(FINDER)
    for text in texts:
        found.reserve(text)
    for text in texts:
        found.conceal(text)
    return found


def test_the_same_value_has_the_same_placeholder() -> None:
    """By first occurrence, apart for each kind."""
    found = Values(FINDER)

    assert found.conceal("b@x.io, a@x.io, 10.1.2.3, b@x.io") == "[EMAIL_1], [EMAIL_2], [IP_1], [EMAIL_1]"
    assert found.conceal("a@x.io and c@x.io") == "[EMAIL_2] and [EMAIL_3]"


def test_a_placeholder_that_the_text_has_already_is_given_to_nobody() -> None:
    """In any of the ways in which an LLM might write it; it stays as it is."""
    for written in ("[EMAIL_1]", "email_1", "\\[Email\\_1\\]", "EMAIL_1"):
        text = f"{written} is not a@x.io"
        found = values(text)
        assert found.conceal(text) == f"{written} is not [EMAIL_2]"
        assert found.reveal(found.conceal(text)) == text


@pytest.mark.parametrize(
    "written",
    [
        "[EMAIL_1]",
        "[email_1]",
        "[Email_1]",
        "EMAIL_1",
        "\\[EMAIL\\_1\\]",
        "\\[EMAIL_1\\]",
        "%5BEMAIL_1%5D",
        "EMAIL\\_1",
    ],
)
def test_a_placeholder_that_an_llm_changes_a_little_is_known(written: str) -> None:
    """Other case, no brackets, or as Markdown and URLs escape it."""
    found = values("a@x.io")

    assert found.reveal(f"Write to {written}, now") == "Write to a@x.io, now"
    assert found.reveal(f"**{written}**: mailto:{written}?x") == "**a@x.io**: mailto:a@x.io?x"


@pytest.mark.parametrize(
    "written", ["email_1 = 1", "MY_EMAIL_1", "EMAIL_10", "[EMAIL_2]", "EMAIL_1x", "[EMAIL-1]", "EMAIL 1"]
)
def test_what_is_something_else_stays(written: str) -> None:
    """A variable of a program, another number, a longer name."""
    assert values("a@x.io").reveal(written) == written


@given(TEXTS, st.sampled_from([" ", "\n", ", "]))
@settings(max_examples=cases(100))
def test_what_is_concealed_comes_back_whole(parts: list[str], between: str) -> None:
    """Whatever a conversation holds, placeholders of its own included; and nothing that was found is left in it."""
    text = between.join(parts)
    found = values(text)
    concealed = found.conceal(text)

    assert found.reveal(concealed) == text
    assert found.conceal(concealed) == concealed
    assert not any(value in concealed for value in found.all if value not in between.join(WRITTEN))


@given(TEXTS, st.sampled_from([" ", "\n", ""]), st.lists(st.integers(1, 9), min_size=1))
@settings(max_examples=cases(150))
def test_pieces_are_read_as_the_whole(parts: list[str], between: str, sizes: list[int]) -> None:
    """However a reply is cut, each of its pieces can be revealed alone, and together they are the reply."""
    text = between.join(parts)
    found = values("a@x.io b@x.io 10.1.2.3 sk-abcdefghijklmnop12 sk-abcdefghijklmnop34")
    tail = Tail(whole_placeholders)

    pieces = [found.reveal(tail.feed(piece)) for piece in cut(text, sizes)]

    assert "".join([*pieces, found.reveal(tail.rest())]) == found.reveal(text)


WORDS = st.text(string.ascii_letters + ".,;()", min_size=1, max_size=8)
HALF = PEM.partition("\n-----END")[0]
PROSE = st.lists(
    st.one_of(st.sampled_from((*PARTS, HALF, "GB82 WEST 1234 5698 7654 32", "password: hunter22")), WORDS), max_size=10
)


@given(PROSE, st.sampled_from([" ", "\n"]), st.lists(st.integers(1, 9), min_size=1))
@settings(max_examples=cases(150))
def test_values_are_concealed_however_a_reply_is_cut(parts: list[str], between: str, sizes: list[int]) -> None:
    """A private LLM writes the values themselves, which observers read as placeholders in every piece."""
    text = between.join(parts)
    whole, cut_up = values(), values()
    tail = Tail(whole_values, cut_up.conceal_reply)

    pieces = [tail.feed(piece) for piece in cut(text, sizes)]

    assert "".join([*pieces, tail.rest()]) == whole.conceal_reply(text)


def cut(text: str, sizes: list[int]) -> list[str]:
    """A text in pieces of these sizes, again and again."""
    pieces, at, turn = [], 0, 0
    while at < len(text):
        pieces.append(text[at : at + sizes[turn % len(sizes)]])
        at, turn = at + len(pieces[-1]), turn + 1
    return pieces


def test_prose_is_held_back_for_no_longer_than_a_word() -> None:
    """What cannot be part of a value is shown as it comes."""
    for tail in (Tail(whole_values), Tail(whole_placeholders)):
        assert [tail.feed(piece) for piece in ("The sky", " is", " blue", ", and")] == ["The ", "sky ", "is ", "blue, "]


def test_a_placeholder_whose_value_is_forgotten_is_given_to_no_other() -> None:
    """A private LLM reads one in a proposal of an earlier request, and writes it beside a value of its own."""
    veil = Veil(values(), lambda _: True)
    request = Request([{"role": "user", "content": "Somebody said: ask [EMAIL_R1]."}])
    said = Completion({"role": "assistant", "content": "Ask [EMAIL_R1] or new@corp.io"})

    assert veil.outgoing("a", request) == request
    assert veil.incoming("a", request, said).text == "Ask [EMAIL_R1] or [EMAIL_R2]"


def test_values_in_json_stay_json() -> None:
    """A key of several lines is part of a string; a number that is a card becomes one, and keys of objects count."""
    arguments = json.dumps({"key": PEM, "card": 4111111111111111, "a@x.io": ["b@x.io"], "n": 3})
    found = values()
    concealed = in_json(arguments, found.conceal)

    assert json.loads(concealed) == {"key": "[KEY_1]", "card": "[CARD_1]", "[EMAIL_1]": ["[EMAIL_2]"], "n": 3}
    revealed = json.loads(found.reveal_in_json(concealed))
    assert revealed == {"key": PEM, "card": "4111111111111111", "a@x.io": ["b@x.io"], "n": 3}
    assert in_json('{"n":  [1,2.50]}', found.conceal) == '{"n":  [1,2.50]}', "what holds none is not written anew"
    assert in_json("not json a@x.io", found.conceal) == "not json [EMAIL_1]"


@pytest.mark.parametrize(
    ("text", "revealed", "is_so"),
    [
        ("Hi.", "Hi.", True),
        ("Hi.", "Hi!", False),
        ("Write to [EMAIL_1].", "Write to anna@example.com.", True),
        ("[EMAIL_1]", "anna@example.com", True),
        ("[EMAIL_1] and [EMAIL_2]!", "a@b.example and c@d.example!", True),
        ("[EMAIL_1] and [EMAIL_2]!", "a@b.example or c@d.example!", False),
        ("Write to [EMAIL_1].", "Write to", False),
        ("to [EMAIL_1] to", "to", False),
    ],
)
def test_a_proposal_is_known_again_in_the_answer_that_shows_its_values(text: str, revealed: str, is_so: object) -> None:
    """So an explanation says whose words the answer is, also where the proposal was kept with placeholders."""
    assert is_concealed(text, revealed) == is_so
