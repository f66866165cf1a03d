"""Thoughts between tags are taken out of a text, cut anywhere."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm.calling.thoughts import ThinkTags, may_hold_tags, thought_in


def split(*pieces: str, is_whole: bool = False) -> tuple[str, str]:
    """The thought and the text that these pieces hold."""
    tags = ThinkTags(is_whole=is_whole)
    found = [*map(tags.feed, pieces), tags.rest()]
    return "".join(thought for thought, _ in found), "".join(text for _, text in found)


SPLIT = [
    ("<think>Hm.</think>Four.", "Hm.", "Four."),
    ("<think>\nHm.\nWell.\n</think>\n\nFour.\n", "Hm.\nWell.", "Four.\n"),
    ("\n <think>Hm.</think> Four.", "Hm.", "Four."),
    ("<THINK>Hm.</Think>Four.", "Hm.", "Four."),
    ("<thinking>Hm.</thinking>Four.", "Hm.", "Four."),
    ("<thought>Hm.</thought>Four.", "Hm.", "Four."),
    ("<reasoning>Hm.</reasoning>Four.", "Hm.", "Four."),
    ("<seed:think>Hm.</seed:think>Four.", "Hm.", "Four."),
    ("<longcat_think>Hm.</longcat_think>Four.", "Hm.", "Four."),
    ("<|begin_of_thought|>Hm.<|end_of_thought|>Four.", "Hm.", "Four."),
    ("<|START_THINKING|>Hm.<|END_THINKING|>Four.", "Hm.", "Four."),
    ("[THINK]Hm.[/THINK]Four.", "Hm.", "Four."),
    ("◁think▷Hm.◁/think▷Four.", "Hm.", "Four."),
    ("<think>\n\n</think>\n\nFour.", "", "Four."),
    ("</think>\n\nFour.", "", "Four."),
    ("<think>Hm.</think>\n<think>Well.</think>\nFour.", "Hm.Well.", "Four."),
    ("<think>a < b, </thin, </thinking> and <think></think>Four.", "a < b, </thin, </thinking> and <think>", "Four."),
    ("<think>Hm. The tokens end h", "Hm. The tokens end h", ""),
    ("<think>Hm.</thi", "Hm.</thi", ""),
    ("<think>", "", ""),
    ("<think>Hm.</think>", "Hm.", ""),
    ("<think>Hm.</think>\n\n", "Hm.", ""),
    ("Four.", "", "Four."),
    ("  Four.\n", "", "  Four.\n"),
    ("<thin", "", "<thin"),
    ("<thinker>Four.", "", "<thinker>Four."),
    ("<p>Four.</p>", "", "<p>Four.</p>"),
    ("[1] Four.", "", "[1] Four."),
    ("Use `<think>` and `</think>`.", "", "Use `<think>` and `</think>`."),
    ("Four.<think>Hm.</think>", "", "Four.<think>Hm.</think>"),
    ("```\n<think>Hm.</think>\n```", "", "```\n<think>Hm.</think>\n```"),
    ("İ <think>Hm.</think>", "", "İ <think>Hm.</think>"),
    ("<think>İİİ</think>Four.", "İİİ", "Four."),
    ("", "", ""),
    ("\n", "", "\n"),
]


@pytest.mark.parametrize(("reply", "thought", "text"), SPLIT)
@pytest.mark.parametrize("is_whole", [True, False])
def test_a_thought_is_taken_out_of_the_beginning(reply: str, thought: str, text: str, is_whole: bool) -> None:
    """And nowhere else: further on, a text speaks of tags."""
    assert split(reply, is_whole=is_whole) == (thought, text)


@pytest.mark.parametrize(("reply", "thought", "text"), SPLIT)
def test_wherever_it_is_cut(reply: str, thought: str, text: str) -> None:
    """In two places, or after each character."""
    assert split(*reply) == (thought, text)
    for one in range(len(reply)):
        for other in range(one, len(reply), 3):
            assert split(reply[:one], reply[one:other], reply[other:]) == (thought, text)


@pytest.mark.parametrize(
    ("reply", "thought", "text"),
    [
        ("Hm.\n</think>\n\nFour.", "Hm.", "Four."),
        ("Hm.</think>Four.", "Hm.", "Four."),
        ("Hm.</think>", "Hm.", ""),
        ("The tag `</think>` ends it.", "", "The tag `</think>` ends it."),
        ('Write "</think>" there.', "", 'Write "</think>" there.'),
        ("```xml\na\n</think>\n```", "", "```xml\na\n</think>\n```"),
        ("First <think> and then </think> follow.", "", "First <think> and then </think> follow."),
        ("One </think> and another </think>.", "", "One </think> and another </think>."),
    ],
)
def test_a_thought_that_began_in_the_prompt_ends_with_its_tag(reply: str, thought: str, text: str) -> None:
    """In a whole reply, unless the text speaks of the tag; in a stream it comes too late, and stays."""
    assert split(reply, is_whole=True) == (thought, text)
    assert split(reply) == ("", reply)


@given(st.text("<>/thinkg[]TH \n`a", max_size=40), st.lists(st.integers(0, 40), max_size=6))
def test_cuts_change_nothing(reply: str, cuts: list[int]) -> None:
    """Whatever the reply is; and nothing is lost but tags and the white space around them."""
    places = [0, *sorted(min(cut, len(reply)) for cut in cuts), len(reply)]
    pieces = [reply[a:b] for a, b in pairwise(places)]
    thought, text = split(*pieces)

    assert (thought, text) == split(reply)
    assert thought or reply.endswith(text)
    if not may_hold_tags(reply):
        assert (thought, text) == ("", reply)


def test_what_is_certain_is_passed_on_at_once() -> None:
    """A thought is shown while it comes; only what may be a tag waits."""
    tags = ThinkTags()
    fed = [tags.feed(piece) for piece in ("<th", "ink>He", "llo <", "b> ", "wor", "ld</", "think>", "\n\nFo", "ur")]

    assert fed == [
        ("", ""), ("He", ""), ("llo", ""), (" <b>", ""), (" wor", ""), ("ld", ""), ("", ""), ("", "Fo"), ("", "ur")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "thought"),
    [
        ("Hm.", "Hm."),
        ({"type": "thinking", "thinking": "Hm."}, "Hm."),
        ({"type": "thinking", "thinking": [{"type": "text", "text": "H"}, {"type": "text", "text": "m."}]}, "Hm."),
        ([{"type": "reasoning.text", "text": "Hm.", "signature": "x"}, {"type": "reasoning.encrypted"}], "Hm."),
        ({"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}, "Hm."),
        ({"type": "reasoning_content", "reasoning_content": {"text": "Hm."}}, "Hm."),
        ({"type": "redacted_thinking", "data": "x"}, ""),
        ({"effort": "high"}, ""),
        (True, ""),
        (None, ""),
    ],
)  # fmt: skip
def test_the_text_of_a_thought_is_found(value: object, thought: str) -> None:
    """In every form in which providers write one."""
    assert thought_in(value) == thought
