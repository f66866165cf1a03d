"""How often a guard of facts would be wrong, and what it finds, over recorded answers.

    uv run python benchmarks/guard.py --data DIR [--questions 250] [--write benchmarks/guard.md]

`--data` is a folder with `gsm8k/` and `math-l5/`: `questions.jsonl` (`id, question, gold`) and one `LLM.jsonl.gz`
(`id, output`) per LLM, as recorded. Of each set a seeded sample of questions is drawn, and for each question panels of
3 and of 5 LLMs, with another LLM that wrote the answer. Where the answer is right, what the panel says and it lacks is
a false alarm, also where most of the panel are wrong. Then one of the demanded facts that stand in the answer is taken
out of it, or changed, everywhere: found is what is then missing.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import sys
import time
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from machine import shape

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from mollm.facts.agreeing import KINDS, agreed, demanded, facts_in, missing  # noqa: E402
from mollm.facts.quantities import typed, values_in  # noqa: E402
from mollm.final.replies import final_answer, is_right  # noqa: E402
from mollm.final.tally import Tally  # noqa: E402

if TYPE_CHECKING:
    from mollm.facts.base import Fact

SETS = ("gsm8k", "math-l5")
SIZES = (3, 5)
PANELS = 3
"""Panels of each size, each with a writer, for one question."""
SEED = 12


class Variant(NamedTuple):
    """One way to decide what is demanded."""

    name: str
    kinds: frozenset[Any] = KINDS
    by_all: bool = False
    skips_question: bool = False
    least_digits: int = 1
    only_final: bool = False
    made_of: tuple[Variant, ...] = ()
    """Whatever one of these demands."""
    is_in_force: bool = False


NUMBERS = frozenset(("number", "step"))
OTHERS = KINDS - NUMBERS
MOST, ALL, SKIPS = False, True, True
FINAL = Variant("final number, most", NUMBERS, only_final=True)
OTHER = Variant("every kind but number and step, most, not the question's", OTHERS, MOST, SKIPS)
BY_ALL = Variant("number, all, not the question's", frozenset(["number"]), ALL, SKIPS)
VARIANTS = (
    Variant("**as `guard: facts` does**", is_in_force=True),
    Variant("final number, most, or any other kind, most, not the question's", made_of=(FINAL, OTHER)),
    Variant("the same, or number, all, not the question's", made_of=(FINAL, OTHER, BY_ALL)),
    Variant("the same, numbers of two digits or more", made_of=(FINAL, OTHER, BY_ALL._replace(least_digits=2))),
    Variant("every kind, most", KINDS),
    Variant("every kind, most, not the question's", KINDS, MOST, SKIPS),
    Variant("every kind, all", KINDS, ALL),
    Variant("every kind, all, not the question's", KINDS, ALL, SKIPS),
    *(
        Variant(f"{kind}, {'all' if by_all else 'most'}{', not the question' * skips}{chr(39) * skips}{'s' * skips}",
                frozenset([kind]), by_all, skips)
        for kind in ("number", "step", "name") for by_all in (MOST, ALL) for skips in (False, True)
    ),
    Variant("date, path, code and url, most", OTHERS - {"name"}),
    Variant("number and step of two digits or more, most, not the question's", NUMBERS, MOST, SKIPS, 2),
    Variant("number and step of two digits or more, all, not the question's", NUMBERS, ALL, SKIPS, 2),
    Variant("number of two digits or more, most, not the question's", frozenset(["number"]), MOST, SKIPS, 2),
    Variant("number of two digits or more, all, not the question's", frozenset(["number"]), ALL, SKIPS, 2),
    Variant("final number, most", NUMBERS, only_final=True),
    Variant("final number, all", NUMBERS, ALL, only_final=True),
    Variant("every kind but step, most, not the question's", KINDS - {"step"}, MOST, SKIPS),
    Variant("every kind but step, all, not the question's", KINDS - {"step"}, ALL, SKIPS),
    Variant("every kind but number and step, most", OTHERS),
    Variant("every kind but number and step, most, not the question's", OTHERS, MOST, SKIPS),
)  # fmt: skip


class Case(NamedTuple):
    """A panel, and the answer of another."""

    question: str
    panel: tuple[str, ...]
    finals: tuple[str | None, ...]
    answer: str
    is_right: bool
    is_panel_right: bool


@dataclass
class Counts:
    """What one variant did."""

    right: int = 0
    demanding: int = 0
    facts: int = 0
    alarms: int = 0
    removed: int = 0
    removed_found: int = 0
    changed: int = 0
    changed_found: int = 0
    wrong: int = 0
    wrong_alarms: int = 0


def said(output: str) -> str:
    """The texts in a recorded reply, which is JSON where the LLM kept to what it was asked for."""
    found = re.search(r"\{.*\}", output, re.S)
    try:
        fields = json.loads(found[0], strict=False) if found else None
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        return output.replace("\\n", "\n")
    return "\n".join(str(value) for value in fields.values())


def cases(data: Path, questions: int) -> dict[str, list[Case]]:
    """Draw the panels of each set."""
    found: dict[str, list[Case]] = {}
    for name in SETS:
        rng = random.Random(f"{SEED} {name}")
        rows = [json.loads(line) for line in (data / name / "questions.jsonl").read_text("utf-8").splitlines()]
        chosen = rng.sample(rows, min(questions, len(rows)))
        outputs: dict[str, dict[Any, str]] = {}
        for file in sorted((data / name).glob("*.jsonl.gz")):
            with gzip.open(file, "rt", encoding="utf-8") as lines:
                outputs[file.name] = {row["id"]: row["output"] for row in map(json.loads, lines)}
        found[name] = [case for row in chosen for case in _panels(row, outputs, rng)]
    return found


def _panels(row: dict[str, Any], outputs: dict[str, dict[Any, str]], rng: random.Random) -> list[Case]:
    replies = {llm: of_llm[row["id"]] for llm, of_llm in outputs.items() if of_llm.get(row["id"])}
    finals = {llm: final_answer(reply) for llm, reply in replies.items()}
    found = []
    for size in SIZES:
        for _ in range(PANELS):
            *panel, writer = rng.sample(sorted(replies), size + 1)
            groups = Tally(finals[llm] for llm in panel).groups
            vote = finals[panel[groups[0][0]]] if groups and len(groups[0]) > size / 2 else None
            texts = tuple(said(replies[llm]) for llm in panel)
            is_vote = vote is not None and is_right(replies[panel[groups[0][0]]], row["gold"])
            case = Case(row["question"], texts, tuple(finals[llm] for llm in panel), said(replies[writer]),
                        is_right(replies[writer], row["gold"]), is_vote)  # fmt: skip
            found.append(case)
    return found


@cache
def _facts(text: str) -> tuple[Fact, ...]:
    return tuple(facts_in(text))


@cache
def _agreed(panel: tuple[str, ...], by_all: bool) -> tuple[Fact, ...]:
    return tuple(agreed(panel, by_all=by_all))


@cache
def _lacking(facts: tuple[Fact, ...], text: str) -> frozenset[tuple[str, str]]:
    return frozenset((fact.kind, fact.key) for fact in missing(facts, text))


def wanted(case: Case, variant: Variant) -> list[Fact]:
    """The facts that a variant demands of the answer."""
    if variant.is_in_force:
        return demanded(case.panel, case.finals, case.question)
    if variant.made_of:
        return list(dict.fromkeys(fact for part in variant.made_of for fact in wanted(case, part)))
    facts = _agreed(case.panel, variant.by_all)
    of_question = _lacking(facts, case.question) if variant.skips_question else None
    kept = []
    groups = Tally(case.finals).groups if variant.only_final else []
    final = case.finals[groups[0][0]] if groups and len(groups[0]) > len(case.finals) / 2 else None
    for fact in facts:
        if fact.kind not in variant.kinds or (of_question is not None and (fact.kind, fact.key) not in of_question):
            continue
        if fact.kind in NUMBERS and len(re.sub(r"\D", "", fact.key)) < variant.least_digits:
            continue
        if variant.only_final and fact.key != final:
            continue
        kept.append(fact)
    return kept


def without(fact: Fact, answer: str, rng: random.Random, *, changes: bool) -> str | None:
    """The answer without a fact, or with another in its place; None where it cannot be taken out."""
    if fact.kind in NUMBERS:

        def other_number(found: re.Match[str]) -> str:
            if values_in(typed(found[0])).isdisjoint((fact.key.lstrip("-"), *fact.also)):
                return found[0]
            return re.sub(r"[0-9]", lambda d: str((int(d[0]) + rng.randrange(1, 9)) % 10), found[0]) if changes else ""

        cut = re.sub(r"(?<![\w.,])[0-9](?:[0-9.,]*[0-9])?(?:/[0-9]+)?(?:\s?%)?", other_number, answer)
        return cut if cut != answer else None
    texts = {own.text for own in _facts(answer) if (own.kind, own.key) == (fact.kind, fact.key)}
    cut = answer
    for text in sorted(texts, key=len, reverse=True):
        other = "".join(chr(ord(c) + 1) if c.isalpha() and c not in "zZ" else c for c in text) if changes else ""
        cut = re.sub(rf"(?<!\w){re.escape(text)}(?!\w)", other.replace("\\", r"\\"), cut)
    return cut if cut != answer else None


def count(of_set: list[Case], variant: Variant) -> Counts:
    """Hold every answer against what the variant demands of it."""
    rng, counts = random.Random(SEED), Counts()
    for case in of_set:
        facts = wanted(case, variant)
        lacking = missing(facts, case.answer)
        if not case.is_right:
            counts.wrong += case.is_panel_right
            counts.wrong_alarms += case.is_panel_right and bool(lacking)
            continue
        counts.right += 1
        counts.demanding += bool(facts)
        counts.facts += len(facts)
        counts.alarms += bool(lacking)
        standing = [fact for fact in facts if fact not in lacking]
        if standing:
            fact = rng.choice(standing)
            if (cut := without(fact, case.answer, rng, changes=False)) is not None:
                counts.removed += 1
                counts.removed_found += fact in missing([fact], cut)
            if (cut := without(fact, case.answer, rng, changes=True)) is not None:
                counts.changed += 1
                counts.changed_found += fact in missing([fact], cut)
    return counts


def share(part: int, whole: int) -> str:
    """A share in percent."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def table(found: list[Case]) -> list[str]:
    """One line per variant."""
    lines = [
        "| demanded | right answers | facts each | any | false alarms | removed: found | changed: found"
        " | wrong answers, right panel: alarms |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for variant in VARIANTS:
        c = count(found, variant)
        lines.append(
            f"| {variant.name} | {c.right} | {c.facts / max(1, c.right):.2f} | {share(c.demanding, c.right)} "
            f"| {share(c.alarms, c.right)} | {share(c.removed_found, c.removed)} of {c.removed} "
            f"| {share(c.changed_found, c.changed)} of {c.changed} | {share(c.wrong_alarms, c.wrong)} of {c.wrong} |"
        )
    return lines


def by_kind(found: list[Case]) -> list[str]:
    """How many facts of each kind are demanded of right answers, and in how many one is missing."""
    lines = ["| kind | demanded | answers that lack one |", "|---|---:|---:|"]
    demands, alarms, right = dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0), [c for c in found if c.is_right]
    for case in right:
        facts = wanted(case, VARIANTS[0])
        for fact in facts:
            demands[fact.kind] += 1
        for kind in {fact.kind for fact in missing(facts, case.answer)}:
            alarms[kind] += 1
    return lines + [f"| {kind} | {demands[kind]} | {share(alarms[kind], len(right))} |" for kind in sorted(KINDS)]


def main() -> None:
    """Print, or write, the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--questions", type=int, default=250)
    parser.add_argument("--write", type=Path)
    args = parser.parse_args()
    began = time.process_time()
    drawn = cases(args.data, args.questions)
    parts: list[str] = []
    for name, of_set in drawn.items():
        for size in SIZES:
            parts += [f"## {name}, panels of {size}", "", *table([c for c in of_set if len(c.panel) == size]), ""]
    everything = [case for of_set in drawn.values() for case in of_set]
    parts += ["## Both sets, panels of 3 and 5", "", *table(everything), ""]
    parts += ["False alarms of `guard: facts` by kind of fact, over all of them:", "", *by_kind(everything), ""]
    texts = {case.answer for case in everything}
    start = time.process_time()
    for text in texts:
        facts_in(text)
    took = time.process_time() - start
    size = sum(map(len, texts))
    parts += [
        f"Reading takes {1e3 * took / len(texts):.2f} ms of CPU for an answer of {size // len(texts)} characters.",
        "",
        f"{date.today().isoformat()}, {shape()}; {time.process_time() - began:.0f} s of CPU in all, seed {SEED}.",
    ]
    report = "\n".join(parts) + "\n"
    if args.write:
        text = args.write.read_text("utf-8") if args.write.exists() else ""
        args.write.write_text(text.split("<!-- figures -->")[0] + "<!-- figures -->\n\n" + report, "utf-8")
    else:
        print(report)


if __name__ == "__main__":
    main()
