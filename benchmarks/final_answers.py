"""How many final answers are found, kept the same and told apart, and what reading a reply costs.

    uv run python benchmarks/final_answers.py [--data DIR] [--write benchmarks/final_answers.md]
    uv run --with math-verify python benchmarks/final_answers.py --data DIR     compares with math-verify as well

The rows are those of the tests. `--data` is a folder with `README.md` (a table of published accuracies) and `answers/`
with `gsm8k/` and `math-l5/`: `questions.jsonl` (`id, question, prompt, gold`) and one `LLM.jsonl.gz` (`id, output`) per
LLM, as recorded. Accuracy is counted with mollm's own equality. A published one counts a reply as right if the first
number in its answer field is that of the reference, so it counts `4√6 - 5` for 4, and nothing of a reply without such
a field. Every reply that only one of the two counts is listed: that rule's by question, and for each LLM above the
published accuracy what is counted here alone.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import statistics
import sys
import time
from collections import Counter, defaultdict
from datetime import date
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from machine import shape

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from mollm.final.replies import final_answer, is_right, same_answer  # noqa: E402
from tests.final.rows import FILES, judged, rows  # noqa: E402

SETS = ("gsm8k", "math-l5")
_FIELD = re.compile(r'"answer"\s{0,9}:\s{0,9}"?(.{0,300}?)(?:"\s{0,9}\n|"\s{0,9}\}|\n|\Z)', re.S)


_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
LOST = {("math-l5", "378"): "10879, -10879", ("math-l5", "698"): "2, -1"}
"""Questions that ask for all values, where the reference has the first of them alone, and what it should be."""
_EXAMPLES = 5


class Row(NamedTuple):
    """A reply that only one of the two ways to count calls right."""

    question: str
    final: str
    reference: str
    why: str


class Recorded(NamedTuple):
    """The replies of one LLM to one set."""

    llm: str
    right: int
    of: int
    without: int
    published: float | None
    only_there: list[Row]
    """Right by the published rule alone."""
    only_here: list[Row]
    broken: list[str]
    """Questions that are right in an object that is no JSON: a comma or a quotation mark is missing."""
    lost: int
    """Replies that have all the values of which the reference has one."""


def by_kind(file: Path) -> list[str]:
    """Return a line of a table for each kind in `file`, and what does not hold with its reason."""
    kinds: dict[str, list[bool]] = defaultdict(list)
    missed = []
    for row, is_held in judged(rows(file)):
        kind = row.get("kind") or next(key for key in ("same", "different", "open") if key in row)
        kinds[kind].append(is_held)
        kinds["found" if "kind" in row else kind] += [is_held] if "kind" in row else []
        if not is_held:
            what = row.get("reply") or row.get("open") or " / ".join(row.get("same") or row.get("different") or ())
            missed.append(f"- {kind}, `{' '.join(what.split())[:80]}`: {row.get('reason', 'not known')}")
    total = {name: kinds.pop(name) for name in ("found", "same", "different", "open") if name in kinds}
    lines = [
        f"| {name} | {len(held)} | {statistics.mean(held):.3f} |" for name, held in (*total.items(), *kinds.items())
    ]
    return [f"| `tests/data/{file.name}` | rows | as they should be |", "|---|---:|---:|", *lines, "", *missed, ""]


def published(data: Path) -> dict[str, list[float | None]]:
    """Read the table of published accuracies, in percent."""
    found = re.findall(r"^\| ([\w.-]+) \| ([\d.]*) \| ([\d.]*) \|", (data / "README.md").read_text("utf-8"), re.M)
    return {llm: [float(share) if share else None for share in shares] for llm, *shares in found}


def recorded(data: Path, place: int, seconds: list[float], fields: Counter[tuple[str, str]]) -> list[Recorded]:
    """Read all replies to one set; add the seconds of each, and the distinct answers with their references."""
    folder, accuracies, results = data / "answers" / SETS[place], published(data), []
    gold = {
        row["id"]: row["gold"] for row in map(json.loads, (folder / "questions.jsonl").read_text("utf-8").splitlines())
    }
    for file in sorted(folder.glob("*.jsonl.gz")):
        counts: Counter[str] = Counter()
        rows_of: dict[bool, list[Row]] = {True: [], False: []}
        broken: list[str] = []
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                reply, reference, question = row["output"], gold[row["id"]], str(row["id"]).rpartition("#")[2]
                begun = time.thread_time()
                final = final_answer(reply)
                seconds.append(time.thread_time() - begun)
                is_counted, said = is_right(reply, reference), _FIELD.findall(reply)
                complete = LOST.get((SETS[place], question))
                is_lost = not is_counted and complete is not None and is_right(reply, complete)
                counts.update(of=1, right=is_counted, without=final is None, lost=is_lost)
                if said:
                    fields[said[-1], reference] += 1
                if is_counted and said and not _is_json(reply):
                    broken.append(question)
                if is_counted != (bool(said) and _begins_with(said[-1], reference)):
                    why = _why_here(said) if is_counted else _why_there(final, reference, is_lost=is_lost)
                    rows_of[is_counted].append(Row(question, (final or "none")[:40], reference, why))
        llm = file.name.removesuffix(".jsonl.gz")
        share = accuracies.get(llm, [None, None])[place]
        results.append(
            Recorded(
                llm,
                counts["right"],
                counts["of"],
                counts["without"],
                share,
                rows_of[False],
                rows_of[True],
                broken,
                counts["lost"],
            )
        )
    return results


def _begins_with(answer: str, reference: str) -> bool:
    number, wanted = (_NUMBER.search(re.sub(r"[,$%]", "", text)) for text in (answer, reference))
    return number is not None and wanted is not None and float(number[0]) == float(wanted[0])


def _is_json(reply: str) -> bool:
    """Say whether the object with the answer field can be read, line breaks and LaTeX in its strings allowed."""
    begun = re.search(r"\{\s*\"", reply)
    whole = reply[begun.start() if begun else 0 : reply.rfind("}") + 1]
    try:
        json.loads(re.sub(r'\\(?!["\\/])', r"\\\\", whole), strict=False)
    except ValueError:
        return False
    return True


def _why_here(said: list[str]) -> str:
    """Say why the published rule misses what is right."""
    if not said:
        return "no answer field"
    return "the result of an equation" if "=" in said[-1] else "said again behind the field, or in words"


def _why_there(final: str | None, reference: str, *, is_lost: bool) -> str:
    """Say why the number at the beginning is not the answer."""
    if final is None:
        return "a number in a text that says more"
    if is_lost:
        return "all values, of which the reference has lost one"
    kinds = {
        "one of several values": r"^[{\[(].*,|\bor\b",
        "another number, where all of it is read": r"^-?[0-9.]+$|=",
        "a part of a fraction, a root or a sum": r"[√/+π]|log|-.*[a-z]|[a-z].*-",
    }
    return next((kind for kind, pattern in kinds.items() if re.search(pattern, final)), "words that bound or compare")


def recorded_lines(name: str, results: list[Recorded]) -> list[str]:
    """Write the results of one set as a table, and the replies that only one way to count calls right."""
    has_lost = any(result.lost for result in results)
    lines = [
        f"| {name} | replies | without an answer | right, % | published, % | difference |"
        f" only the first number |{' with lost values |' if has_lost else ''}",
        f"|---|---:|---:|---:|---:|---:|---:|{'---:|' if has_lost else ''}",
    ]
    for llm, right, of, without, share, only_there, _, _, lost in results:
        difference = "" if share is None else f"{100 * right / of - share:+.2f}"
        restored = "" if share is None else f"{100 * (right + lost) / of - share:+.2f}"
        lines.append(
            f"| {llm} | {of} | {without} | {100 * right / of:.2f} | {share or ''} | {difference} | {len(only_there)} |"
            + (f" {restored} |" if has_lost else "")
        )
    return [*lines, "", *_there_lines(name, results), *_here_lines(name, results)]


def _there_lines(name: str, results: list[Recorded]) -> list[str]:
    """Each question where the first number alone is the reference, with who said it."""
    who: dict[Row, list[str]] = defaultdict(list)
    for result in results:
        for row in result.only_there:
            who[row].append(result.llm)
    lines = [
        f"{name}, right by the first number alone, and wrong here:",
        "",
        "| question | final answer | reference | LLMs | why |",
        "|---|---|---|---|---|",
    ]
    for row, llms in sorted(who.items(), key=lambda entry: (int(entry[0].question), entry[0].final)):
        lines.append(f"| {row.question} | `{_cell(row.final)}` | {row.reference} | {', '.join(llms)} | {row.why} |")
    return [*lines, ""]


def _here_lines(name: str, results: list[Recorded]) -> list[str]:
    """What is counted here alone, for each LLM above the published accuracy."""
    lines = [
        f"{name}, LLMs above the published accuracy, and what is right here alone (final answer for reference;"
        " which of the objects that are no JSON the published extraction could read is not known):",
        "",
    ]
    for result in results:
        if result.published is None or round(100 * result.right / result.of, 2) <= result.published:
            continue
        lines.append(f"- {result.llm}, {100 * result.right / result.of - result.published:+.2f}:")
        for why, count in Counter(row.why for row in result.only_here).most_common():
            examples = [
                f"{row.question} (`{_cell(row.final)}` for {row.reference})"
                for row in result.only_here
                if row.why == why
            ]
            lines.append(f"  {count} {why}, such as {', '.join(examples[:_EXAMPLES])};")
        if result.broken:
            examples = result.broken[:_EXAMPLES]
            lines.append(f"  {len(result.broken)} in an object that is no JSON, such as {', '.join(examples)};")
        lines[-1] = lines[-1].removesuffix(";") + "."
    return [*lines, ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def oracle_lines(name: str, fields: Counter[tuple[str, str]]) -> list[str]:
    """Compare each distinct answer and its reference with what math-verify says of them."""
    verifier = import_module("math_verify")

    disagreements: dict[str, list[str]] = defaultdict(list)
    for answer, reference in fields:
        ours = same_answer(f"Answer: {answer}", f"Answer: {reference}")
        theirs = bool(verifier.verify(verifier.parse(reference), verifier.parse(answer.replace("\\\\", "\\"))))
        if ours != theirs:
            disagreements[f"{'same' if ours else 'different'} here: {_category(answer)}"].append(
                f"`{answer[:40]}` for {reference}"
            )
    count = sum(map(len, disagreements.values()))
    lines = [
        f"{name}: {count} of {len(fields)} distinct pairs of answer and reference are judged otherwise by math-verify.",
        "",
    ]
    for category, pairs in sorted(disagreements.items(), key=lambda entry: -len(entry[1])):
        lines.append(f"- {len(pairs)} {category}, such as {', '.join(pairs[:3])}")
    return [*lines, ""]


def _category(answer: str) -> str:
    categories = {
        "a percentage": r"%|percent",
        "several values": r",\s| or | and |\\pm",
        "an equation or an inequality": r"[=<>]|\\le|\\ge",
        "a time, a ratio or a date": r"[0-9]:[0-9]",
        "a root, a fraction or a power": r"\\|√|\^|/",
        "words or a unit": r"[A-Za-z]{2}",
        "a letter": r"[A-Za-z]",
    }
    return next((category for category, pattern in categories.items() if re.search(pattern, answer)), "a number")


def report(data: Path | None) -> str:
    """Measure, and write all of it as Markdown."""
    lines = [line for file in FILES for line in by_kind(file)]
    seconds: list[float] = []
    for place, name in enumerate(SETS) if data else ():
        fields: Counter[tuple[str, str]] = Counter()
        lines += recorded_lines(name, recorded(data or Path(), place, seconds, fields))
        if find_spec("math_verify"):
            lines += oracle_lines(name, fields)
    if seconds:
        p50, p99 = statistics.median(seconds), statistics.quantiles(seconds, n=100)[-1]
        lines.append(
            f"CPU per reply: p50 {1e6 * p50:.0f} µs, p99 {1e3 * p99:.1f} ms, worst {1e3 * max(seconds):.1f} ms."
        )
    lines.append(f"`uv run python benchmarks/final_answers.py`, {shape()}, {date.today()}.")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="recorded answers, see above")
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    text = report(arguments.data)
    print(text, end="")
    if arguments.write:
        arguments.write.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
