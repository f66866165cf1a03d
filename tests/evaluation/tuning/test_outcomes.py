"""What comes of a setting, worked out at once for questions that look the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.aggregation.base import voted
from mollm.evaluation.mixtures.records import Record
from mollm.evaluation.mixtures.simulating import simulate
from mollm.evaluation.mixtures.table import Table
from mollm.evaluation.tuning.outcomes import Known, Outcomes, reply_of
from mollm.evaluation.tuning.settings import ORDERS, Setting, Shape, shapes
from mollm.final.forms import Form
from mollm.types import Proposal
from tests.evaluation.tuning.pools import table_of
from tests.fuzz import cases

if TYPE_CHECKING:
    from collections.abc import Sequence

MEMBERS = "abcde"
FINALS = st.one_of(
    st.none(),
    st.just("-"),
    st.builds(Form, st.sampled_from(["5", "60", "0.6", "7"]), st.sampled_from(["", "", "", "cm", "m"])),
    st.just(Form("0.6", "%")),
)


@given(
    rows=st.lists(st.tuples(*[FINALS] * len(MEMBERS)), min_size=1, max_size=12),
    shape=st.sampled_from(list(shapes(ORDERS[:1], len(MEMBERS)))),
    order=st.permutations(MEMBERS),
)
@settings(max_examples=cases(60))
def test_it_is_what_each_question_brings_by_itself(
    rows: list[tuple[str | None, ...]], shape: Shape, order: list[str]
) -> None:
    """Units, percentages, failures and open text included: calls and score are those of `simulate`, row by row."""
    setting = shape.of({"score": order})
    table = table_of({name: [row[m] for row in rows] for m, name in enumerate(MEMBERS)}, ["5"] * len(rows))

    found = Outcomes(table).of(setting)

    columns = [table.members.index(member) for member in setting.members]
    for row in range(len(rows)):
        ended = simulate([reply_of(table, row, column) for column in columns], setting.rules)
        arrived = sorted(ended.arrived)
        assert found.calls[row] == len(ended.started)
        if not arrived:
            assert found.scores[row] == 0
            continue
        proposals = [Proposal(str(n), "", 1, "", table.finals[row][columns[n]]) for n in arrived]
        assert found.scores[row] == table.scores[row, columns[int(voted(proposals).worker)]]


def test_what_was_found_on_one_table_serves_another() -> None:
    """The memory of patterns is shared, and says nothing about who gave which answer."""
    setting = Setting(("a", "b", "c"), 2, 2)
    known: Known = {}
    first = table_of({"a": ["1"], "b": ["2"], "c": ["2"]}, ["2"])
    other = table_of({"a": ["7"], "b": ["9"], "c": ["9"]}, ["7"])

    assert Outcomes(first, known=known).of(setting).score == 1
    size = len(known)
    assert Outcomes(other, known=known).of(setting).score == 0
    assert len(known) == size == 1


def test_costs_are_those_of_whoever_was_asked() -> None:
    """The third is not asked where two agree."""
    alone: dict[str, Sequence[Record]] = {
        name: (Record("1", final, final, cost_usd=cost),)
        for name, final, cost in (("a", "4", 0.5), ("b", "4", 0.25), ("c", "5", 8.0))
    }
    table = Table.of(alone, np.array([[1.0, 1.0, 0.0]]))

    assert Outcomes(table).of(Setting(("a", "b", "c"), 2, 2)).mean_cost == 0.75
    assert Outcomes(table).of(Setting(("a", "b", "c"), 3)).mean_cost == 8.75


def test_whoever_is_sure_stops() -> None:
    """With a calibration one call may be enough, and who says so counts."""
    table = table_of({"a": ["4", "5"], "b": ["4", "5"]}, ["4", "5"])
    sure = Outcomes(table, lambda _: lambda said: 0.95 if said[0].final == "4" else 0.5)

    assert list(sure.of(Setting(("a", "b"), 1, sure=0.9)).calls) == [1, 2]
