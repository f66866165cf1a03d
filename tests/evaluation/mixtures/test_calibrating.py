"""Calibrations that are fitted: honest with few questions, right with many, and for what the data show."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mollm.errors import DataError
from mollm.evaluation.metrics import calibration_error
from mollm.evaluation.mixtures.calibrating import FEWEST, calibrate, fit, regression, write_calibration
from mollm.evaluation.mixtures.records import Gathered, Record
from mollm.evaluation.mixtures.rows import Row
from mollm.evaluation.mixtures.table import Table
from mollm.final.calibration import Said
from mollm.final.calibration_file import read_calibration

if TYPE_CHECKING:
    from pathlib import Path

LENGTH = 400.0


def answered(
    questions: int, skills: dict[str, float], *, seed: int = 0, logprobs: bool = False, lengths: bool = False
) -> Table:
    """Members that know the answer with these probabilities, and otherwise give one of three wrong ones."""
    rng = np.random.default_rng(seed)
    right = rng.random((questions, len(skills))) < np.array(list(skills.values()))
    wrong = rng.integers(1, 4, right.shape)
    shape = right.shape
    return Table(
        ids=tuple(str(row) for row in range(questions)),
        members=tuple(skills),
        finals=tuple(
            tuple("0" if is_right else str(other) for is_right, other in zip(*row, strict=True))
            for row in zip(right, wrong, strict=True)
        ),
        scores=right.astype(float),
        arrived=np.ones(shape, dtype=bool),
        tokens=np.zeros(shape),
        cost_usd=np.full(shape, np.nan),
        seconds=np.ones(shape),
        logprobs=np.where(right, -0.1, -0.5) + rng.normal(0, 0.1, shape) if logprobs else np.full(shape, np.nan),
        lengths=np.where(right, 1.0, 3.0) * LENGTH if lengths else np.full(shape, LENGTH),
    )


def said(*finals: str | None, names: str = "abc", logprob: float | None = None, length: float = LENGTH) -> list[Said]:
    """What the first few members say."""
    return [Said(name, final, logprob, int(length)) for name, final in zip(names, finals, strict=False)]


def test_what_is_stated_comes_true() -> None:
    """On questions that it has not seen, after one, two and three members."""
    skills = {"a": 0.8, "b": 0.7, "c": 0.6}
    found = fit(answered(300, skills))
    fresh = answered(600, skills, seed=1)

    for count in (1, 2, 3):
        stated, right = [], []
        for row in range(600):
            finals = fresh.finals[row][:count]
            stated.append(found.confidence(said(*finals)) or 0.0)
            leads = max(finals, key=lambda final: (finals.count(final), -finals.index(final)))
            right.append(leads == "0")
        assert calibration_error(np.array(stated), np.array(right)) < 0.07
    assert found.error is not None
    assert found.error < 0.07
    assert found.questions == 300


def test_few_questions_say_little() -> None:
    """Three that were all answered right are no certainty, and none is told of the calibration error."""
    few = fit(answered(3, {"a": 1.0, "b": 1.0, "c": 1.0}))
    many = fit(answered(200, {"a": 1.0, "b": 1.0, "c": 1.0}))

    assert few.confidence(said("0", "0", "0")) == pytest.approx(3.5 / 4, abs=0.02)
    assert (many.confidence(said("0", "0", "0")) or 0) > 0.99
    assert few.error is None
    assert many.error is not None
    assert fit(answered(FEWEST, {"a": 0.5, "b": 0.5, "c": 0.5})).error is not None


def test_one_that_is_strong_needs_nobody_and_is_not_outvoted() -> None:
    """Among three that guess, what the strong one says is probable alone, and without it two that agree are not."""
    found = fit(answered(300, {"a": 0.97, "b": 0.3, "c": 0.3, "d": 0.3}))

    alone = found.confidence(said("0")) or 0.0
    outvoted = found.confidence([Said("a", "1"), Said("b", "2"), Said("c", "2")]) or 1.0
    backed = found.confidence([Said("a", "1"), Said("b", "1"), Said("c", "2")]) or 0.0

    assert alone > 0.9
    assert outvoted < 0.5 < backed


def test_how_a_reply_looks_counts_where_it_tells_something() -> None:
    """Log-probabilities, and lengths, that go with being right make a single reply sure or doubtful."""
    skills = {"a": 0.6, "b": 0.6}
    likely = fit(answered(200, skills, logprobs=True))
    short = fit(answered(200, skills, lengths=True))
    neither = fit(answered(200, skills))

    assert likely.uses_logprobs
    assert (likely.confidence(said("0", logprob=-0.1)) or 0) > 0.75
    assert (likely.confidence(said("0", logprob=-0.5)) or 1) < 0.5
    assert (short.confidence(said("0", length=LENGTH)) or 0) > 0.75
    assert (short.confidence(said("0", length=3 * LENGTH)) or 1) < 0.5
    assert not neither.uses_logprobs
    assert neither.confidence(said("0", logprob=-0.1)) == neither.confidence(said("0", logprob=-5.0, length=9e3))


def records(column: int, table: Table) -> tuple[Record, ...]:
    """What came of a member."""
    return tuple(
        Record(name, "x" * int(LENGTH), row[column], logprob=-0.1)
        for name, row in zip(table.ids, table.finals, strict=True)
    )


def gathered(table: Table) -> Gathered:
    """What came of a mixture, as far as it bears on a calibration."""
    rows = tuple(Row(name, "How many?", "0", None, f"q.jsonl:{name}") for name in table.ids)
    return Gathered("m", rows, (), {name: records(column, table) for column, name in enumerate(table.members)})


def test_what_was_gathered_becomes_a_file(tmp_path: Path) -> None:
    """The file says what it was fitted on, and is what is read again."""
    table = answered(40, {"a": 0.8, "b": 0.7})
    data, path = tmp_path / "q.jsonl", tmp_path / "calibration.json"
    data.write_text("{}\n", "utf-8")

    write_calibration(path, calibrate(gathered(table), table.scores), members="d1g3st", data=data)

    found = read_calibration(path)
    assert (found.digest, found.data, found.data_digest) == ("d1g3st", "q.jsonl", sha256(b"{}\n").hexdigest())
    assert list(found.members) == ["a", "b"]
    assert found.questions == json.loads(path.read_text("utf-8"))["questions"] == 40
    assert found.confidence(said("0", "0")) == calibrate(gathered(table), table.scores).confidence(said("0", "0"))


def test_nothing_is_fitted_on_nothing() -> None:
    """Without an answer, and without a final answer, whoever asks is told so."""
    with pytest.raises(DataError, match="mixture 'm': no answers"):
        calibrate(Gathered("m", (), (), {}), np.zeros((0, 0)))
    table = answered(2, {"a": 0.5})
    blank = gathered(replace(table, finals=((None,), (None,))))
    with pytest.raises(DataError, match="no member gave a final answer"):
        calibrate(blank, table.scores)


def test_a_weight_that_would_be_negative_is_none() -> None:
    """The signs are fixed: what speaks for an answer never counts against it."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(500, 3))
    right = (matrix[:, 0] - matrix[:, 1] + rng.logistic(size=500) > 0).astype(float)

    _, weights = regression(matrix, right, np.full(3, 0.1), 0.5)

    assert weights[0] == pytest.approx(1.0, abs=0.3)
    assert weights[1] == 0.0
    assert np.isfinite(regression(np.zeros((4, 3)), np.ones(4), np.ones(3), 0.5)[0])
