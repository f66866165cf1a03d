"""Questions of one and of two domains, made of CLINC150: what `multi: true` is measured on.

    uv run python benchmarks/routing_pairs.py --data DIR --split train --alone 10000 --pairs 2500 --out train.jsonl
    uv run python benchmarks/routing_pairs.py --data DIR --split val --alone 800 --pairs 800 --out val.jsonl
    uv run mollm train router train.jsonl --out routed
    uv run mollm eval router val.jsonl --router routed

Some questions of a split are written as they are; others, of different domains, are joined to one question that belongs
to both, and its label is the list of them. No question is used twice, alone or in a pair: a router that has learned one
half of a pair by itself would find it too easily.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from routing_data import Rows, clinc150

JOINTS = (" and ", ", and ", ". ", ", also ", " and then ")


def pairs(rows: Rows, count: int, seed: int) -> list[tuple[str, list[str]]]:
    """Join questions of different domains, none of them twice."""
    draw = np.random.default_rng(seed)
    order = draw.permutation(len(rows)).tolist()
    found: list[tuple[str, list[str]]] = []
    while len(found) < count and len(order) > 1:
        first = rows[order.pop()]
        other = next((place for place in reversed(range(len(order))) if rows[order[place]][1] != first[1]), None)
        if other is None:
            break
        second = rows[order.pop(other)]
        joint = JOINTS[int(draw.integers(len(JOINTS)))]
        found.append((f"{first[0]}{joint}{second[0]}", [first[1], second[1]]))
    return found


def main() -> None:
    """Write the questions as JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", choices=("train", "val"), required=True)
    parser.add_argument("--alone", type=int, required=True, help="questions of one domain")
    parser.add_argument("--pairs", type=int, required=True, help="questions of two")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    split = clinc150(arguments.data, 10)
    rows = split.train if arguments.split == "train" else split.validation
    mixed = [rows[place] for place in np.random.default_rng(arguments.seed).permutation(len(rows))]
    alone, joined = mixed[: arguments.alone], pairs(mixed[arguments.alone :], arguments.pairs, arguments.seed)
    lines: list[tuple[str, str | list[str]]] = [*alone, *joined]
    text = "".join(json.dumps({"text": question, "label": label}) + "\n" for question, label in lines)
    arguments.out.write_text(text, "utf-8")
    print(f"{arguments.out}: {len(alone):,} questions of one domain, {len(joined):,} of two")


if __name__ == "__main__":
    main()
