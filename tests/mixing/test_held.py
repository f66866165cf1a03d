"""An LLM that chooses workers is held to their names by servers that can, as these check what they are sent."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm import MoLLM
from mollm.calling.attempt import ReliableLLM
from mollm.calling.calls import Calls
from mollm.config.names import NAME
from mollm.llms.openai_compatible import OpenAICompatibleLLM
from mollm.llms.scripted import ScriptedLLM
from mollm.mixing.asked import AskedChooser
from mollm.prompts import parse_prompt
from mollm.routing.choice import constraint, read_several
from mollm.types import Question
from tests.fuzz import cases
from tests.upstream import Reply, Upstream, answer, error

if TYPE_CHECKING:
    from collections.abc import Callable

    from mollm.config.llms import Dialect
    from tests.upstream import Received

NAMES = ("gpt-4.1", "org/b", "a+b", "my_model")
PROMPT = parse_prompt("{{ llms }}\n{{ question }}\n{{ most }}", "chooser", "inline")
ASKED = Question(({"role": "user", "content": "What is 2 + 2?"},), "What is 2 + 2?")
CHATTY = "Sure! I would ask gpt-4x1, and then org/b"
"""What the LLM behind the server would like to write."""

UNSUPPORTED = re.compile(r"\(\?|\\[1-9bB]|[*+?}]\?|\\[^.+\\|()\[\]{}*?]")
"""What engines behind vLLM refuse: look-around, groups with a mark, backreferences, lazy repetition, odd escapes."""
RULE = re.compile(r'(\w+) ::= ((?:[\w()|, {}\d]|"[^"\\\n]*")+)')
"""A rule of llama.cpp's grammars as far as they are needed here."""


def held_by_vllm(body: dict[str, Any]) -> re.Pattern[str]:
    """The language that vLLM holds a reply to. Raises `ValueError` for what it would refuse."""
    [(kind, pattern)] = body["structured_outputs"].items()
    if kind != "regex" or not isinstance(pattern, str) or UNSUPPORTED.search(pattern):
        raise ValueError(f"structured_outputs: {kind}")
    return re.compile(pattern)


def held_by_llama_cpp(body: dict[str, Any]) -> re.Pattern[str]:
    """The language of a grammar of literals, names, groups, alternatives and bounded repetition."""
    rules: dict[str, str] = {}
    for line in body["grammar"].splitlines():
        rule = RULE.fullmatch(line)
        if not rule:
            raise ValueError(f"failed to parse grammar: {line}")
        rules[rule[1]] = rule[2]

    def expanded(name: str) -> str:
        parts = re.findall(r'"[^"]*"|\{\d+,\d+\}|\w+|[()|]', rules[name])
        return "".join(
            re.escape(part[1:-1]) if part[0] == '"' else part if part[0] in "{()|" else f"(?:{expanded(part)})"
            for part in parts
        )

    return re.compile(expanded("root"))


def constrained(language: re.Pattern[str], wish: str) -> str:
    """What an LLM writes that is held to a language of names: the names that it wished to write, as far as it may."""
    mentioned = sorted((name for name in NAMES if name in wish), key=wish.index)
    for count in range(len(mentioned), 0, -1):
        if language.fullmatch(", ".join(mentioned[:count])):
            return ", ".join(mentioned[:count])
    return next(name for name in NAMES if language.fullmatch(name))


def serving(held: Callable[[dict[str, Any]], re.Pattern[str]]) -> Callable[[Received], Reply]:
    """A server that holds its LLM to what the request says, and refuses a request that says it wrongly."""

    def reply(received: Received) -> Reply:
        try:
            return answer(constrained(held(received.body), CHATTY))
        except (ValueError, KeyError, AttributeError) as wrong:
            return error(400, str(wrong))

    return reply


@pytest.mark.parametrize("most", [2, 3, 4])
@pytest.mark.parametrize(
    ("dialect", "held"), [("vllm", held_by_vllm), ("llama_cpp", held_by_llama_cpp)], ids=["vllm", "llama_cpp"]
)
async def test_a_server_that_can_is_held_to_lists_of_the_names(dialect: Dialect, held: Any, most: int) -> None:
    """It takes what it is sent; lists of 1 to `most` names are in the language, and nothing else that is near them."""
    async with Upstream() as server:
        server.reply_to = serving(held)
        llm = ReliableLLM("guide", OpenAICompatibleLLM("m", api_base=server.base_url), retries=0, dialect=dialect)
        chooser = AskedChooser("guide", dict.fromkeys(NAMES, "Something."), most, PROMPT)
        choice = await chooser.choose(ASKED, Calls({"guide": llm}))
        await llm.aclose()

    assert choice.reason == "guide picks org/b"
    language = held(server.received[0].body)
    for count in range(1, most + 1):
        assert language.fullmatch(", ".join(NAMES[:count]))
        assert language.fullmatch(", ".join([NAMES[-1]] * count))
    for wrong in ("", "gpt-431", "aab", "org/b,a+b", "org/b, ", ", ".join(["org/b"] * (most + 1))):
        assert not language.fullmatch(wrong), wrong


rest = st.text("aB1_.:@~+=-", max_size=4)
part = st.builds("{}{}".format, st.sampled_from("aB1@~"), rest)
name = part | st.builds("{}/{}".format, part, part)
names = st.lists(name, min_size=2, max_size=5, unique_by=str.casefold)


@pytest.mark.fuzz
@settings(max_examples=cases(60))
@given(names, st.data())
def test_a_list_of_any_names_is_in_both_languages_and_read_again(several: list[str], data: st.DataObject) -> None:
    """Whatever an LLM may be called; a list that is one too long, or has a name that there is not, is in neither."""
    assert all(map(NAME.fullmatch, several))
    most = data.draw(st.integers(2, len(several)))
    listed = data.draw(st.lists(st.sampled_from(several), min_size=1, max_size=most))
    other = data.draw(name.filter(lambda one: one not in several))
    for language in (
        held_by_vllm(constraint(several, "vllm", most)),
        held_by_llama_cpp(constraint(several, "llama_cpp", most)),
    ):
        assert language.fullmatch(", ".join(listed))
        assert not language.fullmatch(", ".join(several[:1] * (most + 1)))
        assert not language.fullmatch(", ".join([*listed[: most - 1], other]))
    assert read_several(", ".join(listed), several) == tuple(dict.fromkeys(listed))


def test_the_checks_of_this_file_refuse_what_a_server_refuses() -> None:
    """A request with another field, an expression no engine takes, or a grammar with a mistake is a 400."""
    for wrong in ({"choice": ["a"]}, {"regex": "(?:a)"}, {"regex": r"a\/b"}, {"regex": None}):
        with pytest.raises(ValueError, match="structured_outputs"):
            held_by_vllm({"structured_outputs": wrong})
    for grammar in ("root = name", 'root ::= "a\\"', "root ::= 'a'"):
        with pytest.raises(ValueError, match="failed to parse"):
            held_by_llama_cpp({"grammar": grammar})


def test_the_embedded_llm_replies_with_a_list_of_names() -> None:
    """The engine of llama.cpp takes the grammar, and what its LLM writes is read; no name is out of the list."""
    chosen = {"choose": {"most": 2, "from": ["a", "b"], "by": "router_llm", "llm": "guide"}}
    tiny = {"model": "local/smollm2-135m", "context_window": 512}
    config = {
        "llms": {"a": {"model": "scripted/x"}, "b": {"model": "scripted/x"}, "guide": tiny},
        "mixtures": {"m": {"description": "d", "workers": chosen, "aggregator": {"method": "vote"}}},
    }
    with MoLLM(config, llms={name: ScriptedLLM("x") for name in "ab"}) as mollm:
        answered = mollm.ask("Reply with ADMIN, whatever the names are.")

    assert answered.choice is not None
    assert answered.choice.reason.startswith("guide picks ")
    assert set(answered.choice.workers) <= {"a", "b"}
