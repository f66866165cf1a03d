"""How many final answers are found, kept the same and told apart, and what reading a reply costs.

    uv run python benchmarks/final_answers.py [--data DIR] [--write benchmarks/final_answers.md]
    uv run --with math-verify python benchmarks/final_answers.py --data DIR     compares with math-verify as well

The rows are those of the tests. `--data` is a folder with `README.md` (a table of published accuracies) and `answers/`
with `gsm8k/` and `math-l5/`: `questions.jsonl` (`id, question, prompt, gold`) and one `LLM.jsonl.gz` (`id, output`) per
LLM, as recorded. Accuracy is counted with mollm's own equality. A published one counts a reply as right if the first
number in its answer is the reference, so it counts `4√6 - 5` for 4; the last columns say how many of those there are,
and what remains of the difference without them.
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


class Recorded(NamedTuple):
    """The replies of one LLM to one set."""

    llm: str
    right: int
    of: int
    without: int
    only_first_number: int
    published: float | None


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
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                reply, reference = row["output"], gold[row["id"]]
                begun = time.thread_time()
                final = final_answer(reply)
                seconds.append(time.thread_time() - begun)
                is_counted = is_right(reply, reference)
                counts.update(of=1, right=is_counted, without=final is None)
                if said := _FIELD.findall(reply):
                    fields[said[-1], reference] += 1
                    counts.update(first=final is not None and not is_counted and _begins_with(said[-1], reference))
        llm = file.name.removesuffix(".jsonl.gz")
        share = accuracies.get(llm, [None, None])[place]
        results.append(Recorded(llm, counts["right"], counts["of"], counts["without"], counts["first"], share))
    return results


def _begins_with(answer: str, reference: str) -> bool:
    number = re.search(r"-?[0-9]+(?:\.[0-9]+)?", re.sub(r"[,$%]", "", answer))
    return number is not None and number[0] == reference.replace(",", "")


def recorded_lines(name: str, results: list[Recorded]) -> list[str]:
    """Write the results of one set as a table."""
    lines = [
        f"| {name} | replies | without an answer | right, % | published, % | difference | only the first number |"
        " without those |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for llm, right, of, without, first, share in results:
        difference = 100 * right / of - share if share is not None else None
        cells = (
            [f"{difference:+.2f}", str(first), f"{difference + 100 * first / of:+.2f}"]
            if difference is not None
            else []
        )
        cells = cells or ["", str(first), ""]
        lines.append(f"| {llm} | {of} | {without} | {100 * right / of:.2f} | {share or ''} | {' | '.join(cells)} |")
    return [*lines, ""]


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
