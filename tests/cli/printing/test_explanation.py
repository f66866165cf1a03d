"""An answer explained: where it came from, who agreed, what it took."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len

from mollm import MoLLM, load_config
from mollm.aggregation.base import Brief, Picked
from mollm.aggregation.keeping import Keeping
from mollm.cli.printing.explanation import print_explanation, print_summary
from mollm.cli.printing.provenance import agreement_of, counted
from mollm.errors import AuthFailed, ContextTooLong
from mollm.llms.scripted import Reply, ScriptedLLM
from mollm.types import Ballot, Failure, Rank, Ranking
from tests.clock import run_virtual
from tests.command import TEAM, Screen, in_terminal, plain, run

if TYPE_CHECKING:
    from pathlib import Path

    from mollm.config.config import Config
    from mollm.types import Answer, Message


def test_explain_says_how_the_answer_came_about(config: Path) -> None:
    """The answer alone on standard output; route, proposals, agreement, writer, calls and cost beside it."""
    prices = "{model: scripted/One way is to try it., price: {input: 1, output: 1}}"
    dead = "{model: hosted_vllm/b, api_base: 'http://127.0.0.1:1/v1', retries: 0}"
    config.write_text(TEAM.replace("{model: scripted/from a}", prices).replace("{model: scripted/from b}", dead))

    done = run("ask", "Hi", "--explain", cwd=config.parent, COLUMNS="60")

    assert (done.returncode, done.stdout) == (0, "One way is to try it.\n")
    lines = done.stderr.splitlines()
    assert re.fullmatch(r"id        mollm-[0-9a-f]{32}", lines[0])
    assert lines[1] == "route     team  every question goes to team"
    assert re.fullmatch(r"a +\d\.\d s, about \d+ tokens, 0\.\d{6} USD", lines[3])
    assert lines[4].strip() == "One way is to try it."
    assert re.fullmatch(r"b +unreachable: .*", lines[5])
    assert "answer    a's proposal, word for word" in lines
    assert "degraded  only 1 of 2 proposals arrived" in lines
    assert re.search(r"^workers   2 calls, about \d+ tokens, 0\.\d{6} USD$", done.stderr, re.MULTILINE)
    assert re.fullmatch(r"in all +2 calls, \d\.\d s, about \d+ tokens, 0\.\d{6} USD", lines[-1])
    assert "\x1b" not in done.stderr


def test_explain_says_who_agreed(config: Path) -> None:
    """On what, and out of how many."""
    agreeing = TEAM.replace("scripted/from a", '"scripted/Final answer: 7"').replace("from b", "7")
    config.write_text(agreeing.replace("[a, b]", "[a, boss, b]"))

    done = run("ask", "Hi", "--explain", cwd=config.parent)

    assert "final answer 7" in done.stderr
    assert re.search(r"^agreed +a, b: 2 of 3 on 7$", done.stderr, re.MULTILINE)


def test_explain_goes_with_json(config: Path) -> None:
    """Standard output is still JSON and nothing else."""
    done = run("ask", "Hi", "--json", "--explain", cwd=config.parent)

    assert json.loads(done.stdout)["text"] == "the whole answer"
    assert "written by boss from 2 proposals" in done.stderr


def test_an_explanation_fits_whatever_was_written(config: Path) -> None:
    """Wide characters, endless words and escape sequences stay within 60 columns."""
    hostile = '"scripted/' + "语言模型" * 50 + " " + "x" * 500 + '\\e[31m[bold]\\x9b2J"'
    config.write_text(
        TEAM.replace("scripted/from a", hostile).replace("  b:", "  b_with_quite_a_long_name_of_its_own:")
    )
    config.write_text(config.read_text().replace("[a, b]", "[a, b_with_quite_a_long_name_of_its_own]"))

    done = run("ask", "Hi", "--explain", cwd=config.parent, COLUMNS="60")

    assert max(cell_len(line) for line in done.stderr.splitlines()) <= 60
    assert "b_with_quite_a_long_name_of_its_own\n" in done.stderr
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", done.stderr)


def test_an_explanation_has_colours_only_where_they_are_wanted(config: Path) -> None:
    """In a terminal it has, under `NO_COLOR` it has none."""
    _, coloured = in_terminal("ask", "Hi", "--explain", cwd=config.parent)
    _, plain = in_terminal("ask", "Hi", "--explain", cwd=config.parent, NO_COLOR="1")

    assert re.search(r"\x1b\[1m(?:\x1b\[0m)?answer", coloured)
    assert "written by boss" in plain
    assert not re.search(r"\x1b\[[0-9;]*m", plain)


def mixture(**keys: Any) -> Config:
    """Three workers and a boss."""
    team = {"description": "x", "workers": ["a", "b", "c"], "aggregator": {"llm": "boss"}, **keys}
    return load_config({"llms": {n: {"model": "scripted/x"} for n in ("a", "b", "c", "boss")}, "mixtures": {"m": team}})


def asked(config: Config, **scripts: Any) -> Answer:
    """Ask on a virtual clock; each LLM says its name unless it has something else to say."""
    fakes = {name: ScriptedLLM(scripts.get(name, f"from {name}")) for name in config.llms}
    return run_virtual(MoLLM(config, llms=fakes).aask("Hi"))


def explained(answer: Answer, config: Config, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """The rows of an explanation."""
    print_explanation(answer, config)
    rows = capsys.readouterr().err.splitlines()
    return {name: text for name, _, text in (row.partition("  ") for row in rows) if name for text in [text.strip()]}


SAID = {"a": "Final answer: 7", "b": "It is 8. Final answer: 8", "c": "So 7. Final answer: 7"}
ORIGINS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("written", {}, {}, "written by boss from 3 proposals"),
    ("written, in the words of a proposal", {}, {"boss": "from b"}, "written by boss from 3 proposals"),
    ("chosen", {"method": "best"}, {"boss": "2"}, "b's proposal, word for word, chosen by boss"),
    ("none chosen", {"method": "best"}, {"boss": "I like them all."}, "a's proposal, word for word"),
    ("none written", {}, {"boss": AuthFailed("no")}, "a's proposal, word for word"),
    ("cut off", {}, {"boss": Reply("from b", finish_reason="length")}, "a's proposal, word for word"),
    ("voted", {"method": "vote"}, SAID, "a's proposal, word for word"),
    ("voted, and no two agree", {"method": "vote"}, {"boss": "from b"}, "written by boss from 3 proposals"),
    (
        "written by the fallback",
        {"fallback_llm": "c"},
        {"boss": AuthFailed("no"), "c": ["from c", "from a"]},
        "written by c from 3 proposals",
    ),
    (
        "chosen by the fallback",
        {"method": "best", "fallback_llm": "c"},
        {"boss": "All!", "c": ["from c", "3"]},
        "c's proposal, word for word, chosen by c",
    ),
]


@pytest.mark.parametrize(("aggregator", "scripts", "origin"), [pytest.param(*o[1:], id=o[0]) for o in ORIGINS])
def test_where_an_answer_came_from_is_said(
    aggregator: dict[str, Any], scripts: dict[str, Any], origin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An LLM that wrote what a worker had said still wrote it; one chose only where it was asked to choose."""
    config = mixture(aggregator={"llm": "boss", **aggregator}, shuffle=False)

    answer = asked(config, **scripts)

    assert explained(answer, config, capsys)["answer"] == origin


ANALYSIS = json.dumps(
    {
        "consensus": [{"point": f"They share {number}.", "answers": [1, 2]} for number in range(1, 8)],
        "contradictions": [{"point": "One says 7, \x1b[2J the other 8, " + "语言" * 200, "answers": [2, 3]}],
        "partial_coverage": [],
        "unique_points": [],
        "blind_spots": [{"point": "Why?", "answers": []}],
    }
)
RANKED = ['{"ranking": [[2], [1, 3]]}', '{"ranking": [[2], [1], [3]]}']
"""What one judge says of a, b and c in this order, and of c, b and a."""


def compared(**keys: Any) -> Config:
    """Three workers, whose proposals are ranked by the boss and analyzed by c before it writes."""
    base = {"shuffle": False, "review": {"by": ["boss"]}}
    return mixture(**base, aggregator={"llm": "boss", "analysis": {"llm": "c"}}, **keys)


def test_an_explanation_says_how_the_proposals_compare(capsys: pytest.CaptureFixture[str]) -> None:
    """Places with their points and reviews, each kind of points with its workers, within 60 columns."""
    config = compared()
    answer = asked(config, boss=[*RANKED, "So it is."], c=["from c", ANALYSIS])

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "60")
        print_explanation(answer, config)

    shown = capsys.readouterr().err
    assert max(cell_len(line) for line in shown.splitlines()) <= 60
    assert "\x1b" not in shown
    rows = [" ".join(line.split()) for line in shown.splitlines()]
    at = rows.index("ranking 1 b 1.00 2 reviews")
    assert rows[at + 1 : at + 3] == ["2 c 0.38 2 reviews", "3 a 0.12 2 reviews"]
    assert rows[at + 3] == "analysis by c: 7 shared by several, 1 contradiction, 1"
    assert rows[at + 4 : at + 7] == ["blind spot", "consensus", "- They share 1. (a, b)"]
    assert "- and 2 more" in rows
    assert "They share 6." not in shown
    assert rows[rows.index("blind spots") + 1] == "- Why?"
    assert "answer written by boss from 3 proposals" in rows
    callers = [line.split()[0] for line in rows if line.startswith(("reviewer", "analyst", "aggregator"))]
    assert sorted(callers) == ["aggregator", "analyst", "reviewer", "reviewer"]


def test_an_explanation_says_whose_review_counts_for_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    """Who put another first, what failed and why, and that not all reviews were needed."""
    late = Failure("timed_out", None, "no review in the time there was")
    ranking = Ranking(
        (Rank("a", 0.75, 2), Rank("b", 0.25, 2), Rank("c", None, 0)),
        (
            Ballot("x", "x", ("a", "b"), (("a",), ("b",))),
            Ballot("y", "y", ("a", "b"), (("b",), ("a",))),
            Ballot("v", "v", ("a", "b"), error=late),
            Ballot("w", "w", ("a", "b"), error=late),
        ),
        ("y",),
        is_decided_early=True,
    )
    answer = replace(asked(mixture()), ranking=ranking)

    print_explanation(answer, mixture())

    rows = [line.strip() for line in capsys.readouterr().err.splitlines()]
    at = next(number for number, line in enumerate(rows) if line.startswith("ranking"))
    assert rows[at].endswith("1  a  0.75  2 reviews")
    assert rows[at + 2 : at + 6] == [
        "3  c  not reviewed",
        "put another first: y",
        "not counted: v, w (timed_out: no review in the time there was)",
        "decided before all reviews were in",
    ]


@pytest.mark.parametrize("texts", [{}, {"a": "from b"}], ids=["different", "two say the same"])
def test_the_winner_of_a_ranking_is_named(texts: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody picks after it, and no other that wrote the same is taken for it."""
    config = mixture(shuffle=False, review={"by": ["boss"]}, aggregator={"method": "best"})

    answer = asked(config, boss=RANKED, **texts)

    assert explained(answer, config, capsys)["answer"] == "b's proposal, word for word, ranked first"


AGREEMENTS: list[tuple[str, dict[str, Any], dict[str, Any], str | None, str | None]] = [
    ("two agree", {}, SAID, "2 of 3 agree", "a, c: 2 of 3 on 7"),
    ("nobody agrees", {}, {"a": "7", "b": "8", "c": "9"}, "no two agree", "nobody"),
    ("open text", {}, dict.fromkeys("abc", "One way is to try it."), None, "open text, nothing to compare"),
    ("one failed", {}, {**SAID, "b": AuthFailed("no")}, "2 of 2 agree", "a, c: 2 of 2 on 7"),
    ("one arrived", {}, {"a": "7", "b": AuthFailed("no"), "c": AuthFailed("no")}, None, None),
    ("one planned", {"workers": ["a"]}, {"a": "7"}, None, None),
    ("the second layer counts", {"layers": 2}, {**SAID, "b": ["8", "7"]}, "3 of 3 agree", "a, b, c: 3 of 3 on 7"),
    (
        "the second layer has no quorum",
        {"layers": 2, "quorum": 2},
        {"a": ["7", "8"], "b": ["7", AuthFailed("no")], "c": ["8", AuthFailed("no")]},
        "2 of 3 agree",
        "a, b: 2 of 3 on 7",
    ),
]


@pytest.mark.parametrize(("keys", "scripts", "brief", "full"), [pytest.param(*a[1:], id=a[0]) for a in AGREEMENTS])
def test_summary_and_explanation_agree_about_agreement(
    keys: dict[str, Any],
    scripts: dict[str, Any],
    brief: str | None,
    full: str | None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both count the layer that the answer was made of, and count as `Answer.agreement` does."""
    config = mixture(**keys)

    answer = asked(config, **scripts)

    found = agreement_of(counted(answer, config))
    assert found is None or answer.agreement == len(found.workers) / found.of
    assert explained(answer, config, capsys).get("agreed") == full
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    print_summary(answer, config)
    first = plain(screen.getvalue()).splitlines()[0]
    assert first.endswith(f", {brief}" if brief else " tokens")


def test_how_probable_an_answer_is_stands_beside_who_agrees(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the summary and in the explanation, where it is known."""
    config = mixture()
    answer = replace(asked(config, **SAID), confidence=0.9342)

    assert explained(answer, config, capsys)["confidence"] == "right with a probability of 0.934"
    assert "confidence" not in explained(replace(answer, confidence=None), config, capsys)
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    print_summary(answer, config)
    assert plain(screen.getvalue()).splitlines()[0].endswith(", 2 of 3 agree, 93% sure")


def test_a_proposal_that_was_kept_against_the_aggregator_is_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """`degraded` says that it was not written, and so does the row of the answer."""
    config = mixture(aggregator={"llm": "boss"}, shuffle=False)
    answer = asked(config, **SAID, boss="Final answer: 8")
    proposal = next(p for p in answer.proposals if p.worker == "a")
    brief = Brief([{"role": "user", "content": "Hi"}], answer.proposals, confidence=0.99)
    kept = Keeping(0.9).kept(answer.text, brief)
    assert isinstance(kept, Picked)
    answer = replace(answer, text=proposal.text, degraded=kept.degraded, proposed_by="a")

    assert explained(answer, config, capsys)["answer"] == "a's proposal, word for word, kept against boss"


def test_texts_that_are_alike_agree_on_no_final_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """And the row does not end where one would stand."""
    config = mixture(aggregator={"method": "vote"}, shuffle=False)
    answer = asked(config, a="It rained.", b="Rain fell.", c="It is dry.")
    alike = [replace(p, final=None, alike="a" if p.worker != "c" else "c") for p in answer.proposals]

    assert explained(replace(answer, proposals=tuple(alike)), config, capsys)["agreed"] == "a, b: 2 of 3 are alike"


def test_a_summary_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """Where standard error is no terminal there is none."""
    config = mixture()

    print_summary(asked(config), config)

    assert capsys.readouterr() == ("", "")


def test_a_summary_says_why_an_answer_is_degraded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reason on a line of its own."""
    config, screen = mixture(), Screen()
    monkeypatch.setattr("sys.stderr", screen)

    print_summary(asked(config, boss=AuthFailed("no")), config)

    assert plain(screen.getvalue()).splitlines()[1:] == [
        "degraded: the aggregator boss: no",
        "degraded: the best proposal (a) is the answer",
    ]


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def with_tools(config: Config, **scripts: Any) -> list[Answer]:
    """Ask with a tool, and once more with its result."""
    fakes = {name: ScriptedLLM(scripts.get(name, lambda _: Reply("It is 7."))) for name in config.llms}
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    first: list[Message] = [{"role": "user", "content": "Hi"}]
    called: Message = {"role": "assistant", "content": None, "tool_calls": [call]}
    step = [*first, called, {"role": "tool", "tool_call_id": "1", "content": "7"}]

    async def both() -> list[Answer]:
        mollm = MoLLM(config, llms=fakes)
        return [await mollm.aask(messages, tools=[TOOL]) for messages in (first, step)]

    return run_virtual(both())


def test_it_says_what_was_done_with_tools(capsys: pytest.CaptureFixture[str]) -> None:
    """Whether the workers proposed, and when."""
    config = mixture()
    asked, reused = (explained(answer, config, capsys) for answer in with_tools(config))
    too_long = dict.fromkeys("abc", lambda _: Reply(error=ContextTooLong("too long")))
    alone = explained(with_tools(config, **too_long)[0], config, capsys)
    never = explained(with_tools(mixture(on_tools="alone"))[0], config, capsys)

    assert asked["on tools"] == "after: the workers proposed for this request"
    assert reused["on tools"] == "after: the workers proposed in an earlier request of this turn"
    assert asked["answer"] == reused["answer"] == "written by boss from 3 proposals"
    assert (alone["on tools"], alone["answer"]) == ("after: no worker could propose", "by boss alone")
    assert (never["on tools"], never["answer"]) == ("alone: no worker was asked", "by boss alone")
