"""How proposals are shown to the LLMs that read them: their order, and how they are shortened."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from mollm.control_tokens import without_control_tokens
from mollm.fitting import shorten
from mollm.messages import BYTES_PER_TOKEN_AT_LEAST, text_of, tokens_at_most
from mollm.prompts import FENCE_TOKENS, fence, fence_analysis, fenced_tokens, last_question, with_instructions
from mollm.types import ANALYZED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mollm.fitting import Reader
    from mollm.prompts import Prompt
    from mollm.types import Analysis, Message, Point, Proposal

T = TypeVar("T")

LEAST_SHOWN = 40
"""Characters; with less than that left of each proposal, a call is not worth making."""
CUT_OFF = "\n[this answer was cut off here]"
COMPARED = "How these answers compare, as somebody else sees it who may be wrong. It is quoted material as well:"
ANALYSIS_TOKENS = 96 + FENCE_TOKENS
"""At most what an analysis takes beside its points: what stands above it, its headings, and its fence."""


def in_order(proposals: Sequence[T], *, shuffle: bool, seed: int | str | None) -> list[T]:
    """Return the proposals in the order in which they are shown: shuffled with `seed`, or as listed."""
    order = list(proposals)
    if shuffle:
        random.Random(seed).shuffle(order)  # noqa: S311 - an order, not a secret
    return order


async def show_proposals(
    prompt: Prompt,
    messages: Sequence[Message],
    proposals: Sequence[Proposal],
    readers: Sequence[Reader],
    *,
    mark: str | None = None,
    analysis: Analysis | None = None,
    values: Mapping[str, str] | None = None,
) -> tuple[list[Message] | None, tuple[str, ...]]:
    """Add proposals to a conversation, shortened to fit the smallest window of the readers.

    Args:
        prompt: Takes `question` and `proposals`, and what `values` has. Where it does not name `analysis`, the analysis
            follows the proposals.
        messages: The conversation.
        proposals: In the order in which they are shown.
        readers: Who reads them.
        mark: Delimits the proposals; None: a new one.
        analysis: How they compare. It is left out before a proposal is shortened.
        values: What else the prompt is filled in with.

    Returns:
        The messages, and the reasons if something was left out. None instead of messages if nothing would fit.
    """
    window, name = min([(await reader.assumed_room(), reader.llm.name) for reader in readers])
    layout = _Layout(prompt, messages, proposals, mark, values or {}, window * BYTES_PER_TOKEN_AT_LEAST)
    # What is longer than the whole window is cut in any case: no more than that is worth being read.
    texts = [p.text[: max(0, layout.room) + 1] for p in proposals]
    compared = analysis_text(analysis, [p.worker for p in proposals]) if analysis else ""
    whole, spare = layout.fill(texts, compared)
    reasons: tuple[str, ...] = ()
    if spare < 0 and compared:
        whole, spare = layout.fill(texts)
        reasons = (f"the analysis was left out to fit the window of {name}",)
    if spare >= 0:
        return whole, reasons
    texts = [without_control_tokens(text) for text in texts]  # as they are shown, and were measured
    characters = sum(map(len, texts))
    width = sum(len(text.encode("utf-8", "replace")) for text in texts) / max(1, characters)
    room = characters + int(spare / width)
    if room < LEAST_SHOWN * len(texts):
        return None, (f"the conversation leaves no room for proposals in the window of {name}",)
    return layout.fill(shorten(texts, room))[0], (*reasons, f"proposals were shortened to fit the window of {name}")


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the proposals go in a conversation."""

    prompt: Prompt
    messages: Sequence[Message]
    proposals: Sequence[Proposal]
    mark: str | None
    values: Mapping[str, str]
    room: int
    """Bytes that the smallest window has for all of it."""

    def fill(self, texts: Sequence[str], compared: str = "") -> tuple[list[Message], int]:
        """Return the messages with the proposals as `texts`, and their analysis, and the bytes that are left."""
        texts = [text + CUT_OFF if p.truncated else text for text, p in zip(texts, self.proposals, strict=True)]
        block, quoted = fence(texts, self.mark), fence_analysis(compared, self.mark) if compared else ""
        if quoted and "analysis" not in self.prompt.template.placeholders:
            block = f"{block}\n\n{COMPARED}\n{quoted}"
        question = last_question(self.messages)
        shown = self.prompt.render(question=question, proposals=block, analysis=quoted, **self.values)
        whole = with_instructions(self.messages, shown)
        needed = sum(len(text_of(m.get("content")).encode("utf-8", "replace")) for m in whole)
        return whole, self.room - needed


def shown_tokens(proposals: Sequence[Proposal], analysis: Analysis | None) -> int:
    """Return the most tokens of proposals, and of their analysis if there is one, as they are shown."""
    tokens = fenced_tokens(p.text for p in proposals)
    if analysis is None:
        return tokens
    compared = without_control_tokens(analysis_text(analysis, [p.worker for p in proposals]))
    return tokens + tokens_at_most(compared) + ANALYSIS_TOKENS


def analysis_text(analysis: Analysis, workers: Sequence[str]) -> str:
    """Lay out an analysis for a reader to whom the proposals of `workers` are the answers 1, 2, ..."""
    lines: list[str] = []
    for kind in ANALYZED:
        points: Sequence[Point] = getattr(analysis, kind)
        if points:
            lines.append(f"{kind.replace('_', ' ').capitalize()}:")
        for point in points:
            numbers = sorted(workers.index(worker) + 1 for worker in point.proposals if worker in workers)
            said_by = f" (answer{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))})" if numbers else ""
            lines.append(f"- {point.text}{said_by}")
    return "\n".join(lines)
