"""The language of prompts: what it has, and that no template takes more than its length and its values account for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.errors import PromptError
from mollm.prompts import parse_prompt
from mollm.templates import MOST_CHARACTERS, parse
from tests.fuzz import cases

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

T = TypeVar("T")
VALUES = {"question": "Why?\nSo", "proposals": "<answers>", "mixture": "coding", "description": ""}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Answer {{ question }}.", "Answer Why?\nSo."),
        ("{# a note #}{{ mixture|upper }}", "CODING"),
        ("{{ '  x ' | trim }}{{ mixture|capitalize }}", "xCoding"),
        ("{% if description %}Field: {{ description }}{% else %}No field{% endif %}", "No field"),
        ("{% if mixture == 'maths' %}1{% elif mixture in ['coding', 'design'] %}2{% else %}3{% endif %}", "2"),
        ("{{ description|default('any', true) }}", "any"),
        ("{{ 'short' if question|length < 100 else 'long' }}", "short"),
        ("{{ question|truncate(5, true, '', 0) }}", "Why?\n"),
        ("{{ mixture ~ ': ' ~ mixture }}", "coding: coding"),
        ("{% if not description and 'cod' in mixture and mixture is defined %}yes{% endif %}", "yes"),
        ("a\n{%- if mixture -%}\n b{% endif %}", "ab"),
        ("{% raw %}{{ question }}{% endraw %}", "{{ question }}"),
        ("".join("{% if mixture == '" + str(n) + "' %}" + str(n) + "{% endif %}" for n in range(100)) + "end", "end"),
    ],
)
def test_a_prompt_may_have_conditions_and_filters(template: str, text: str) -> None:
    """Whatever its author needs to say one thing or another."""
    assert parse(template, "p").render(VALUES) == text


HOSTILE = [
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% for a in question %}{% for b in question %}{{ question }}{% endfor %}{% endfor %}",
    "{% for a in [1, 2] recursive %}{{ loop([1, 2]) }}{% endfor %}",
    "{{ lipsum(n=100000) }}",
    "{{ range(99999)|list }}",
    "{{ 'x' * 10**9 }}",
    "{{ 10**10**10 }}",
    "{{ (9**9)**9999999 }}",
    "{{ 'a'|center(10**9) }}",
    "{{ 'a'|center(1000000000) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '%1000000000d'|format(1) }}",
    "{{ '{:>1000000000}'.format(1) }}",
    "{{ 'a'.ljust(1000000000) }}",
    "{{ 'a'|indent(1000000000) }}",
    "{{ question|replace('', question) }}",
    "{{ question|wordwrap(1) }}",
    "{{ question|batch(1)|map('join', question)|join }}",
    "{{ question|slice(100000000)|list }}",
    "{{ question|list|join(question) }}",
    "{{ question|urlize }}",
    "{{ question|tojson|tojson|tojson }}",
    "{{ question|trim(question) }}",
    "{% set x = 'x' %}{% set x = x ~ x %}",
    "{% set x %}{{ question }}{{ question }}{% endset %}{{ x }}{{ x }}",
    "{% set n = namespace(x='x') %}{% set n.x = n.x ~ n.x %}",
    "{% macro m(x) %}{{ m(x ~ x) }}{{ m(x ~ x) }}{% endmacro %}{{ m('x') }}",
    "{% call(x) caller() %}{% endcall %}",
    "{% filter center(1000000000) %}x{% endfilter %}",
    "{% with x = question ~ question %}{{ x ~ x }}{% endwith %}",
    "{{ [[[[question]|string]|string]|string]|string }}",
    "{{ (([question] ~ '',) ~ '',) ~ '' }}",
    "{{ question ~ ([question] or '') }}",
    "{{ (([question] if question else '') ~ '') in ['a'] }}",
    "{{ [question]|truncate|default([question])|capitalize }}",
    "{% autoescape true %}{{ question }}{% endautoescape %}",
    "{{ cycler(1)|string }}{{ joiner()|string }}{{ dict(a=1)|string }}",
]


@pytest.mark.parametrize(
    "hidden", ["{}", "{{% if question|length > 100 %}}{}{{% endif %}}", "{{% if false %}}{}{{% endif %}}"]
)
@pytest.mark.parametrize("template", HOSTILE)
def test_what_repeats_or_grows_is_refused_when_it_is_loaded(template: str, hidden: str) -> None:
    """With its line, and also in a branch that only some question would take."""
    with pytest.raises(PromptError, match=r"^my/merge\.md:2: "):
        parse_prompt("{{ proposals }}\n" + hidden.format(template), "aggregator", "my/merge.md")


@pytest.mark.parametrize("number", ["9" * 5000, "0x" + "f" * 9000, "1_" * 5000 + "1"])
def test_a_number_without_end_is_refused_in_words_of_ours(number: str) -> None:
    """Python's own are for programmers."""
    with pytest.raises(
        PromptError, match=r"^my/merge\.md: a number in it has thousands of digits; write a smaller one$"
    ):
        parse("{{ question }}\n{% if question|length > " + number + " %}{% endif %}", "my/merge.md")


def test_what_fails_when_it_is_filled_in_names_its_line() -> None:
    """As far as it depends on the question."""
    template = parse("\n\n{% if question|length > 9 %}\n{{ 1 < question }}{% endif %}", "p.md")

    assert template.render(VALUES).strip() == ""
    with pytest.raises(PromptError, match=r"^p\.md:4: TypeError: '<' not supported"):
        template.render({"question": "a longer question"})


def test_a_prompt_of_many_parts_takes_less_text() -> None:
    """Each of them may read all of it."""
    few, many = parse("{{ question }}", "p"), parse("{{ question }}" * 400, "p")
    long = "x" * (MOST_CHARACTERS // 400)

    assert few.render({"question": long}) == long
    with pytest.raises(PromptError, match=r"^p: 335544 characters to fill in; with so many parts it takes 334707"):
        many.render({"question": long})


LEAVES = st.sampled_from(
    ["question", "proposals", "'x'", "7", "true", "none", "['a', question]", "range(10**9)", "'x' * 10**9", "9**9**9"]
)
OPERATORS = st.sampled_from("~ and or in == < + * ** % //".split())  # noqa: SIM905
FILTERS = st.sampled_from("upper trim length string capitalize list join last urlize".split())  # noqa: SIM905
WITH_ARGUMENT = st.sampled_from("default truncate center replace indent join trim".split())  # noqa: SIM905
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, OPERATORS, inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("not {}".format, inner),
        st.builds("{}|{}".format, inner, FILTERS),
        st.builds("{}|{}({})".format, inner, WITH_ARGUMENT, inner),
        st.builds("{} is {}({})".format, inner, st.sampled_from(["eq", "in", "divisibleby"]), inner),
        st.builds("{}.{}({})".format, inner, st.sampled_from(["format", "ljust", "replace", "join"]), inner),
        st.builds("{}[{}]".format, inner, inner),
    ),
    max_leaves=8,
)
TEMPLATES = st.recursive(
    st.one_of(st.just("text"), st.builds("{{{{ {} }}}}".format, EXPRESSIONS)),
    lambda inner: st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("{{% if {} %}}{}{{% else %}}{}{{% endif %}}".format, EXPRESSIONS, inner, inner),
        st.builds("{{% for x in {} %}}{}{{{{ x }}}}{{% endfor %}}".format, EXPRESSIONS, inner),
        st.builds("{{% set x = {} %}}{}".format, EXPRESSIONS, inner),
        st.builds("{{% macro m(x) %}}{}{{{{ m(x ~ x) }}}}{{% endmacro %}}{{{{ m('x') }}}}".format, inner),
    ),
    max_leaves=6,
)


def calls_of(function: Callable[[], T]) -> tuple[int, T | None]:
    """How many functions were called, and what came out; None if it was refused."""
    count = 0

    def seen(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        made = function()
    except PromptError:
        made = None
    finally:
        sys.setprofile(before)
    return count, made


@settings(max_examples=cases(150))
@given(TEMPLATES, st.sampled_from([1, 50, 5000]))
def test_any_template_is_refused_or_filled_in_within_its_length_and_its_values(template: str, length: int) -> None:
    """Work is counted in calls, which longer values do not add to, and in what comes out."""
    values = {"question": "Why? " * length, "proposals": "<p>" * length}

    spent, made = calls_of(lambda: parse(template, "p"))
    assert spent < 5000 + 1000 * len(template)
    if made is None:
        return
    spent, text = calls_of(lambda: made.render(values))

    assert spent < 1000 + 100 * len(template)
    assert len(text or "") <= len(template) + 3 * made.parts * sum(map(len, values.values()))
