"""How proposals are shown to the LLMs that read them: their order, and how they are shortened."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeVar

from mollm.control_tokens import without_control_tokens
from mollm.fitting import shorten
from mollm.messages import BYTES_PER_TOKEN_AT_LEAST, text_of
from mollm.prompts import fence, last_question, with_instructions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mollm.fitting import Reader
    from mollm.prompts import Prompt
    from mollm.types import Message, Proposal

T = TypeVar("T")

LEAST_SHOWN = 40
"""Characters; with less than that left of each proposal, a call is not worth making."""
CUT_OFF = "\n[this answer was cut off here]"


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
    values: Mapping[str, str] | None = None,
) -> tuple[list[Message] | None, tuple[str, ...]]:
    """Add proposals to a conversation, shortened to fit the smallest window of the readers.

    Args:
        prompt: Takes `question` and `proposals`, and what `values` has.
        messages: The conversation.
        proposals: In the order in which they are shown.
        readers: Who reads them.
        mark: Delimits the proposals; None: a new one.
        values: What else the prompt is filled in with.

    Returns:
        The messages, and the reasons if something was left out. None instead of messages if nothing would fit.
    """
    question = last_question(messages)
    spares = [(await reader.assumed_room(), reader.llm.name) for reader in readers]
    window, name = min(spares)
    # What is longer than the whole window is cut in any case: no more than that is worth being read.
    most = max(0, window) * BYTES_PER_TOKEN_AT_LEAST + 1
    texts = [p.text[:most] for p in proposals]

    def laid_out(texts: Sequence[str]) -> list[Message]:
        texts = [text + CUT_OFF if p.truncated else text for text, p in zip(texts, proposals, strict=True)]
        return with_instructions(
            messages, prompt.render(question=question, proposals=fence(texts, mark), **(values or {}))
        )

    whole = laid_out(texts)
    needed = sum(len(text_of(m.get("content")).encode("utf-8", "replace")) for m in whole)
    spare = window * BYTES_PER_TOKEN_AT_LEAST - needed
    if spare >= 0:
        return whole, ()
    texts = [without_control_tokens(text) for text in texts]  # as they are shown, and were measured
    characters = sum(map(len, texts))
    width = sum(len(text.encode("utf-8", "replace")) for text in texts) / max(1, characters)
    room = characters + int(spare / width)
    if room < LEAST_SHOWN * len(texts):
        return None, (f"the conversation leaves no room for proposals in the window of {name}",)
    return laid_out(shorten(texts, room)), (f"proposals were shortened to fit the window of {name}",)
