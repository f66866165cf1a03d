"""Facts on which several texts agree, and which of them another text lacks."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, get_args

from mollm.facts import marks, names
from mollm.facts.base import Fact, Kind
from mollm.facts.moments import moments_in
from mollm.facts.quantities import numbers_in, typed, values_in
from mollm.final.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

KINDS: frozenset[Kind] = frozenset(get_args(Kind))
MAX_READ = 64 * 1024
"""Characters of a text in which facts are looked for; what stands behind them is not demanded of anybody."""
MAX_FACTS = 500
"""Facts that are looked for in one answer."""


def facts_in(text: str, kinds: Collection[Kind] = KINDS) -> list[Fact]:
    """The facts that `text` states, each once.

    Blocks of code are not read, since their lines are one way among many, unless the text is nothing else.
    """
    parts = text[:MAX_READ].split("```")
    read = "\n".join(parts[::2])
    read = read if read.strip() else "\n".join(parts)
    found, rest = marks.marks_in(read)
    moments, rest = moments_in(typed(rest))
    found += [*moments, *numbers_in(rest)]
    if "name" in kinds:
        found += names.names_in(rest)
    return list({(fact.kind, fact.key): fact for fact in reversed(found) if fact.kind in kinds}.values())[::-1]


def agreed(texts: Sequence[str], kinds: Collection[Kind] = KINDS, *, by_all: bool = False) -> list[Fact]:
    """The facts that more than half of `texts` state, and at least two, in the order in which they first come.

    Args:
        texts: What is counted.
        kinds: Of facts.
        by_all: Every one has to state it.
    """
    needed = max(2, len(texts) if by_all else len(texts) // 2 + 1)
    counts: Counter[tuple[Kind, str]] = Counter()
    first: dict[tuple[Kind, str], Fact] = {}
    for text in texts:
        for fact in facts_in(text, kinds):
            counts[fact.kind, fact.key] += 1
            first.setdefault((fact.kind, fact.key), fact)
    return [fact for place, fact in first.items() if counts[place] >= needed][:MAX_FACTS]


def missing(facts: Iterable[Fact], text: str) -> list[Fact]:
    """Those of `facts` that do not stand in `text`, in whatever way it may be read."""
    facts = list(facts)
    if not facts:
        return []
    plain = typed(text)
    values = values_in(plain)
    moments = {key for fact in moments_in(plain)[0] for key in (fact.key, *fact.also)}
    folded, as_typed, words = marks.folded(text), marks.folded(plain), names.words_of(plain)

    def stands(fact: Fact) -> bool:
        if fact.kind in ("number", "step"):
            return not values.isdisjoint((fact.key, *fact.also))
        if fact.kind == "date":
            return not moments.isdisjoint((fact.key, *fact.also))
        if fact.kind == "name":
            return names.stands(fact, words, as_typed)
        return marks.stands(fact, folded)

    return [fact for fact in facts if not stands(fact)]


def demanded(texts: Sequence[str], finals: Sequence[str | None], question: str) -> list[Fact]:
    """The facts that an answer made of `texts` is held to: most state them, and the question does not.

    Of numbers that stand where something is worked out, only the one that most give as their final answer is: there is
    more than one way to a result (measured in `benchmarks/guard.md`).

    Args:
        texts: What is counted.
        finals: The final answer of each, None where it has none.
        question: What it says is no news.
    """
    leading = Tally(finals).leading
    final = finals[leading[0]] if len(leading) > len(texts) / 2 else None
    facts = agreed(texts)
    news = set(missing(facts, question))
    found = [fact for fact in facts if _is_final(fact, final) or (fact.kind != "step" and fact in news)]
    return list({("number" if fact.kind == "step" else fact.kind, fact.key): fact for fact in found}.values())


def _is_final(fact: Fact, final: str | None) -> bool:
    return fact.kind in ("number", "step") and fact.key == final
