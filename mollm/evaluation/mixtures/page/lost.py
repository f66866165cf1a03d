"""Questions that a mixture lost: its answer, that of the best member and the proposals, side by side.

There may be hundreds, each with many long texts. What they may take of the page is shared out, and what is cut is
counted where it is cut; the whole stands in `report.json`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from mollm.evaluation.counting import count
from mollm.evaluation.mixtures.page.markup import Markup, clean, tag, together
from mollm.evaluation.mixtures.page.words import finite, percent, short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.evaluation.mixtures.page.markup import Child
    from mollm.evaluation.mixtures.report import Lost, Side

OPEN = 10
"""Questions that are seen at once; the others are folded."""
BUDGET = 1_600_000
"""Bytes of the page for the lost questions of all mixtures."""
_SHARE = 0.15
"""Of it for those that are seen at once."""
_AROUND = 420
"""Bytes of markup around each text, about."""
_SHORTEST, _LONGEST = 160, 20_000
_PREVIEW = 500
"""Bytes of a text that are seen before it is unfolded."""
_MOST_SIDES = 16


@dataclass(frozen=True, slots=True)
class _Shown:
    """How texts are shown."""

    most: int
    """Bytes of each that are on the page."""
    preview: int
    """Bytes that are seen before it is unfolded."""
    is_exact: bool


def losses(lost: Sequence[Lost], budget: int, *, is_exact: bool) -> Markup:
    """All of them, as far as the page has room for them.

    Args:
        lost: At least one.
        budget: In bytes.
        is_exact: Answers are right or wrong; else none is called so.
    """
    seen, folded = lost[:OPEN], lost[OPEN:]
    share = int(budget * _SHARE) if folded else budget
    articles, spent = _articles(seen, share, share, is_folded=False, is_exact=is_exact)
    more, _ = _articles(folded, budget - spent, budget - spent, is_folded=True, is_exact=is_exact)
    missing = len(lost) - len(articles) - len(more)
    return together(
        articles,
        tag("details", tag("summary", f"The other {count(len(more), 'question')}"), more) if more else None,
        tag("p", f"{count(missing, 'question')} more have no room on this page; report.json has them.")
        if missing
        else None,
    )


def _articles(
    lost: Sequence[Lost], share: int, room: int, *, is_folded: bool, is_exact: bool
) -> tuple[list[Markup], int]:
    """As many as there is room for, and the bytes that they take."""
    texts = sum(4 + min(_MOST_SIDES, len(one.proposals)) for one in lost)
    most = min(_LONGEST, max(_SHORTEST, share // max(1, texts) - _AROUND))
    shown = _Shown(most, most if is_folded else _PREVIEW, is_exact)
    found: list[Markup] = []
    spent = 0
    for one in lost:
        made = _folded(one, shown) if is_folded else tag("article", tag("h4", *_head(one)), _inside(one, shown))
        size = len(made.encode())
        if spent + size > room:
            break
        found.append(made)
        spent += size
    return found, spent


def _head(one: Lost) -> list[Child]:
    kind = [" \u00b7 ", tag("bdi", short(one.kind, 40))] if one.kind else None
    mixture = [" \u00b7 mixture ", tag("bdi", short(one.mixture, 40))] if one.mixture else None
    return [tag("bdi", short(one.id, 60)), kind, mixture]


def _folded(one: Lost, shown: _Shown) -> Markup:
    head = tag("summary", *_head(one), ": ", tag("bdi", short(one.question, 90)))
    return tag("details", head, _inside(one, shown))


def _inside(one: Lost, shown: _Shown) -> Markup:
    others = [side for side in one.proposals if side != one.best]
    more = len(others) - _MOST_SIDES
    best = "best member and proposal" if len(others) < len(one.proposals) else "best member"
    return together(
        _text(one.question, None, shown),
        tag("p", "Reference: ", tag("strong", tag("bdi", short(one.reference, 200)))),
        tag(
            "ul",
            _side("the mixture", one.answer, shown, is_main=True),
            _side(best, one.best, shown),
            [_side("proposal", side, shown) for side in others[:_MOST_SIDES]],
            class_="sides",
        ),
        tag("p", f"{count(more, 'proposal')} more, in report.json.") if more > 0 else None,
    )


def _side(role: str, side: Side, shown: _Shown, *, is_main: bool = False) -> Markup:
    kind, said = _marked(side, is_exact=shown.is_exact)
    sign = tag("span", class_="sign", aria_hidden="true")
    final = ["; final answer ", tag("mark", tag("bdi", short(side.final, 120)))] if side.final is not None else None
    if side.final is not None and not side.final.strip():
        final = ["; its final answer is empty"]
    none = "; no final answer" if side.final is None and not side.error and shown.is_exact else None
    return tag(
        "li",
        tag("p", tag("bdi", short(side.who, 60)), " ", tag("span", role, class_="quiet"), class_="who"),
        tag("p", sign, said, final, none, class_="mark"),
        tag("p", short(side.error, 400)) if side.error else None,
        _text(side.text, side.final, shown) if side.text else None,
        class_=f"{kind} main" if is_main else kind,
    )


def _marked(side: Side, *, is_exact: bool) -> tuple[str, str]:
    """Class and words of what it is worth."""
    score = finite(side.score)
    if side.error:
        return "failed", "failed"
    if score is None:
        return "unknown", "not scored"
    if not is_exact or 0 < score < 1:
        return "partly", f"score {percent(score)}"
    return ("right", "right") if score >= 1 else ("wrong", "wrong")


def _text(text: str, final: str | None, shown: _Shown) -> Markup:
    """A text, or its beginning and its end, with the whole of it, as far as there is room, folded below."""
    short_ = _cut(text, shown.preview)
    seen = tag("div", _parts(short_, final), class_="words", dir="auto")
    if len(short_) == 1 or shown.preview >= shown.most:
        return seen
    whole = _cut(text, shown.most)
    title = f"All {len(text):,} characters" if len(whole) == 1 else f"More of its {len(text):,} characters"
    inner = tag("div", _parts(whole, final), class_="words long", dir="auto", tabindex=0)
    return together(seen, tag("details", tag("summary", title), inner))


def _parts(cut: Sequence[str], final: str | None) -> list[Child]:
    """The parts of a text, with a word about what is missing between them."""
    if len(cut) == 1:
        return _final_marked(cut[0], final)
    head, missing, tail = cut
    return [head, tag("span", f" [\u2026 {missing} characters cut \u2026] ", class_="cut"), *_final_marked(tail, final)]


def _final_marked(text: str, final: str | None) -> list[Child]:
    if not final or not final.strip() or len(final) > 200:
        return [text]
    found = list(re.finditer(rf"(?<!\w){re.escape(clean(final))}(?!\w)", text))
    if not found:
        return [text]
    return [text[: found[-1].start()], tag("mark", found[-1][0]), text[found[-1].end() :]]


def _cut(text: str, most: int) -> tuple[str] | tuple[str, str, str]:
    """All of a text, if it takes at most so many bytes; else its beginning, how much is missing, and its end."""
    if len(text) <= most:
        whole = clean(text)
        if _bytes(whole) <= most:
            return (whole,)
    half = most // 2
    head, tail = _first(text[:half], half), _first(text[-half:][::-1], half)[::-1]
    return clean(head), f"{len(text) - len(head) - len(tail):,}", clean(tail)


def _first(text: str, most: int) -> str:
    """As much of its beginning as takes so many bytes."""
    while (size := _bytes(text)) > most:
        text = text[: min(len(text) - 1, len(text) * most // size + 1)]
    return text


def _bytes(text: str) -> int:
    return len(escape(text).encode("utf-8", "replace"))
