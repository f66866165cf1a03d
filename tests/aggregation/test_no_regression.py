"""What an LLM that writes may do to a group that agrees: with tools, in a stream, over HTTP, cut off, in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mollm import MoLLM
from mollm.errors import BadRequest
from mollm.events import Token
from mollm.llms.scripted import Reply, ScriptedLLM
from tests.aggregation.test_keeping import TOOL, configured
from tests.calibrations import written
from tests.server.served import config_of, served
from tests.upstream import Upstream, answer

if TYPE_CHECKING:
    from pathlib import Path

    from mollm.aggregation.base import Brief
    from mollm.calling.calls import Calls
    from mollm.types import Answer

GROUP = {"a": "Answer: 42", "b": "It is 42.", "c": "Answer: 5"}
CALL = {"id": "1", "type": "function", "function": {"name": "count", "arguments": "{}"}}
ACTS: dict[str, Any] = {"role": "assistant", "content": "The answer is 42.", "tool_calls": [CALL]}
LONG = "Let me count them one by one, which will take me a while, as there are many. " * 5
OBJECT = {"type": "json_object"}


def both(
    folder: Path, says: dict[str, Any], messages: Any = "How many?", engine: Any = "auto", **options: Any
) -> tuple[Answer, str, list[Token]]:
    """The answer, and what a stream shows of it."""
    llms = {name: ScriptedLLM([said, said]) for name, said in ({**GROUP, **says}).items()}
    mixture = {"on_tools": "every"} if options.pop("is_every", False) else {}
    config = configured(folder / "c.json", {"keep_above": 0.6, **options.pop("aggregator", {})}, **mixture)
    with MoLLM(config, llms=llms, engine=engine) as mollm:
        found = mollm.ask(messages, **options)
        tokens = [event for event in mollm.stream(messages, **options) if isinstance(event, Token)]
    return found, "".join(token.text for token in tokens), tokens


WRITERS: dict[str, tuple[Any, str | None, bool]] = {
    "contradicts": (Reply("Answer: 7"), "Answer: 42", True),
    "says the same in another form": (Reply("It is 84/2, so the answer is 42.0."), None, True),
    "gives two answers": (Reply("The answer is 42. No: the answer is 7."), "Answer: 42", True),
    "gives none": (Reply("Whoever counts them will be surprised, as I was."), None, False),
    "refuses in words": (Reply("I'm sorry, but I can't help with that."), None, False),
    "refuses": (Reply(message={"role": "assistant", "content": None, "refusal": "No."}), "", False),
    "fails": (Reply(error=BadRequest("no")), "Answer: 42", True),
    "breaks off": (Reply("Answer: 7", error=BadRequest("gone"), breaks_after=1), "Answer: 42", True),
    "is cut off": (Reply("Answer: 7", finish_reason="length"), "Answer: 42", True),
}


@pytest.mark.parametrize("engine", ["auto", "graph"])
@pytest.mark.parametrize(("writes", "text", "is_told"), WRITERS.values(), ids=WRITERS)
def test_the_group_is_lost_to_nobody_who_says_otherwise(
    writes: Reply, text: str | None, is_told: bool, engine: str, tmp_path: Path
) -> None:
    """A stream shows what is the answer and nothing else, and a probability is stated of nothing but that answer."""
    found, shown, _ = both(tmp_path, {"boss": writes}, engine=engine)

    assert found.text == shown == (writes.text if text is None else text)
    assert (found.confidence is not None) is is_told
    assert (found.proposed_by == "a") is (text == "Answer: 42")


@pytest.mark.parametrize("is_every", [False, True])
def test_with_tools_the_final_answer_is_held_against_the_group(is_every: bool, tmp_path: Path) -> None:
    """As that of an aggregator is, in a stream as well."""
    found, shown, _ = both(tmp_path, {"boss": "Answer: 7"}, tools=[TOOL], is_every=is_every)

    assert found.text == shown == "Answer: 42"
    assert found.degraded[0].startswith("the LLM for tools says 7, which contradicts 2 of 3 proposals, whose 42 is")
    assert found.confidence is not None
    assert [call.role for call in found.breakdown][-1] == "tools"


def test_a_call_of_a_tool_is_no_answer_and_passes_through(tmp_path: Path) -> None:
    """Whatever is said beside it; no probability is stated, and a stream has the call as deltas are."""
    found, _, tokens = both(tmp_path, {"boss": Reply(message=ACTS, finish_reason="tool_calls")}, tools=[TOOL])

    assert found.message["tool_calls"] == [CALL]
    assert (found.confidence, found.degraded, found.finish_reason) == (None, (), "tool_calls")
    assert [token.delta["tool_calls"] for token in tokens if token.delta.get("tool_calls")] == [[{"index": 0, **CALL}]]


@pytest.mark.parametrize("is_every", [False, True])
def test_what_a_tool_has_brought_counts_more_than_who_has_not_read_it(is_every: bool, tmp_path: Path) -> None:
    """Proposals that are used again know nothing of it; with `every` they were made with it, and are kept."""
    question: list[dict[str, Any]] = [{"role": "user", "content": "How many?"}]
    result = [*question, ACTS, {"role": "tool", "tool_call_id": "1", "content": "7"}]
    config = configured(tmp_path / "c.json", {"keep_above": 0.6}, on_tools="every" if is_every else "after")
    boss = ScriptedLLM([Reply(message=ACTS, finish_reason="tool_calls"), "Answer: 7"])
    llms = {name: ScriptedLLM(text) for name, text in GROUP.items()} | {"boss": boss}

    with MoLLM(config, llms=llms) as mollm:
        mollm.ask(question, tools=[TOOL])
        found = mollm.ask(result, tools=[TOOL])

    assert (found.text, found.reused) == (("Answer: 42", False) if is_every else ("Answer: 7", True))
    assert (found.confidence is None) is not is_every


def test_a_proposal_that_would_be_cut_before_its_answer_takes_nobodys_place(tmp_path: Path) -> None:
    """One that says it in time does, also where it is listed later; if none does, nothing is held back either."""
    long = Reply(f"{LONG}So the answer is 42.")
    one, _, _ = both(tmp_path, {"a": long, "boss": "Answer: 7"}, max_tokens=20)
    none, shown, _ = both(tmp_path, {"a": long, "b": long, "boss": "Answer: 7"}, max_tokens=20)
    by_stop, _, _ = both(tmp_path, {"a": "Well. Answer: 42", "boss": "It is 7."}, stop="Answer")

    assert (one.text, one.proposed_by) == ("It is 42.", "b")
    assert none.text == shown == "Answer: 7"
    assert none.confidence is None
    assert (by_stop.text, by_stop.proposed_by) == ("It is 42.", "b")


class Spelled:
    """An aggregator of one's own, which writes and knows nothing of formats."""

    picks = False

    async def aggregate(self, brief: Brief, calls: Calls) -> str:  # noqa: ARG002
        return "It is 42."


def test_who_writes_it_anew_in_the_format_may_not_change_it(tmp_path: Path) -> None:
    """Held against the group once more, since that is the answer that is given."""
    says: dict[str, Any] = {"a": ['{"answer": 42}', '{"answer": 7}'], "b": '{"answer": 42}', "c": "The answer is 42."}
    llms = {name: ScriptedLLM(said) for name, said in says.items()}
    config = configured(tmp_path / "c.json", {"keep_above": 0.6}, shuffle=False)
    config["mixtures"]["m"]["aggregator"]["method"] = "spelled"
    with MoLLM(config, llms={**llms, "boss": ScriptedLLM("?")}, aggregators={"spelled": Spelled()}) as mollm:
        found = mollm.ask("How many?", response_format=OBJECT)

    assert found.text == '{"answer": 42}'
    assert found.confidence is not None
    assert [call.role for call in found.breakdown] == ["worker"] * 3 + ["fallback"]
    assert "which contradicts 3 of 3 proposals" in found.degraded[-1]


FAILING = ["a", "b", "c", "ab", "bc"]


@pytest.mark.parametrize("failed", FAILING)
def test_fewer_members_than_were_ever_seen_together_are_stated_with_less(failed: str, tmp_path: Path) -> None:
    """A worker that fails says nothing, for an answer or against it."""
    says: dict[str, Any] = {name: Reply(error=BadRequest("no")) for name in failed}
    some, _, _ = both(tmp_path, {**dict.fromkeys("abc", "Answer: 42"), **says, "boss": "Answer: 42"})
    whole, _, _ = both(tmp_path, {**dict.fromkeys("abc", "Answer: 42"), "boss": "Answer: 42"})

    assert some.confidence is not None
    assert whole.confidence is not None
    assert 0 < some.confidence < whole.confidence < 1


async def test_a_server_takes_nothing_back_and_states_what_it_answers(tmp_path: Path) -> None:
    """The header is of the answer; a stream has the group's and no word of the aggregator's."""
    async with Upstream() as upstream:
        upstream.reply_to = lambda got: answer("Answer: 7" if "<answer-" in str(got.body) else "Answer: 42")
        config = config_of(upstream)
        config["mixtures"]["three"]["calibration"] = str(written(tmp_path / "c.json", config, "three"))
        async with served(config) as server:
            lost = await server.chat(model="three")
        config["mixtures"]["three"]["aggregator"] = {"keep_above": 0.6}
        async with served(config) as server:
            kept, streamed = await server.chat(model="three"), await server.chat(model="three", stream=True)
            tools = await server.chat(model="three", tools=[TOOL], stream=True)

    assert "x-mollm-confidence" not in lost.headers
    assert lost.body["choices"][0]["message"]["content"] == "Answer: 7"
    assert kept.body["choices"][0]["message"]["content"] == "Answer: 42"
    assert float(kept.headers["x-mollm-confidence"]) == pytest.approx(0.9)
    assert "which contradicts 3 of 3" in kept.headers["x-mollm-degraded"]
    assert (streamed.text, tools.text) == ("Answer: 42", "Answer: 42")
