"""Replies with their final answers, pairs that are the same, pairs that are not, and open text, by kind.

A row is `{kind, reply, final}`, `{same: [a, b]}`, `{different: [a, b]}` or `{open: reply}`. `reason` says why a row
is not what it should be.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mollm.final.replies import final_answer, same_answer

FILES = [Path(__file__).parent.parent / "data" / name for name in ("final_answers.jsonl", "final_answers_more.jsonl")]
WRITINGS = ("{}", "Answer: {}", r"\boxed{{{}}}", "The answer is {}.", "Some reasoning.\n\n**Final answer:** {}")
"""How a value stands in a reply, both of a pair in the same way."""
SENTENCES = ("It is {}.", "So {}.", "Therefore, the result is {}.", "The answer is {}.\n\nI hope so.", "答案是{}。")
"""Where a value may not be found, and is never taken for another one."""


def rows(*files: Path) -> list[dict[str, Any]]:
    """Read the rows of `files`, all by default."""
    return [json.loads(line) for file in files or FILES for line in file.read_text("utf-8").splitlines()]


def holds(row: dict[str, Any], before: str | None) -> bool:
    """Say whether a row is as it should be; a reply must not have the final answer of the row `before`."""
    if "reply" in row:
        is_other = before is None or same_answer(row["final"], before) or not same_answer(row["reply"], before)
        return is_other and same_answer(row["reply"], row["final"])
    if "open" in row:
        return final_answer(row["open"]) is None
    pair = row.get("same") or row["different"]
    writings = WRITINGS if "same" in row else WRITINGS + SENTENCES
    equal = [same_answer(*(writing.format(value) for value in pair)) for writing in writings]
    return all(equal) if "same" in row else not any(equal)


def after_another(found: list[dict[str, Any]]) -> list[tuple[dict[str, Any], str | None]]:
    """Return each row with the final answer of the row before."""
    finals = [None, *(row.get("final") for row in found)]
    return list(zip(found, finals, strict=False))


def judged(found: list[dict[str, Any]]) -> list[tuple[dict[str, Any], bool]]:
    """Return each row, and whether it holds."""
    return [(row, holds(row, before)) for row, before in after_another(found)]
