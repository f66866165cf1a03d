"""What the workers of a layer read: the conversation, cut where a window is too small, and the proposals before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mollm.aggregation.showing import in_order, show_proposals
from mollm.fitting import Reader, fitted
from mollm.messages import question_of
from mollm.prompts import fenced_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.mixture import Mixture
    from mollm.run import Context, Run
    from mollm.types import Message
    from mollm.workers import Worker

CUT = "what tools brought was shortened"
"""How the reason begins that a worker did not read all of the conversation."""


def readers_of(workers: Sequence[Worker], context: Context, beside: int = 0) -> list[Reader]:
    """The workers as readers of the conversation, and of so many tokens `beside` it."""
    return [Reader(w.name, context.calls.llm(w.llm), w.settings.max_tokens, w.prompt_tokens + beside) for w in workers]


def cut_for(run: Run, workers: Sequence[str]) -> Run:
    """Say for whom the conversation was shortened, unless an earlier layer has said so."""
    if not workers or any(reason.startswith(CUT) for reason in run.degraded):
        return run
    why = f"{CUT} to fit the window of {', '.join(workers)}"
    return replace(run, degraded=(*run.degraded, why))


async def shown_to_next_layer(
    run: Run, context: Context, mixture: Mixture, workers: Sequence[Worker]
) -> tuple[Run, tuple[Message, ...]]:
    """Add the proposals of the latest layer to the messages for the workers of the next."""
    question = context.question.messages
    read = fenced_tokens(p.text for p in run.arrived) + mixture.layer_prompt.tokens
    short = await fitted(question, readers_of(workers, context, read))
    messages = min(short.values(), key=lambda cut: question_of(cut).tokens, default=context.transcript)
    run = cut_for(run, list(short))
    shown = in_order(run.arrived, shuffle=mixture.shuffle, seed=context.options.seed)
    readers = [Reader(w.name, context.calls.llm(w.llm), w.settings.max_tokens) for w in workers]
    found, why = await show_proposals(mixture.layer_prompt, messages, shown, readers)
    return replace(run, degraded=(*run.degraded, *why)), messages if found is None else tuple(found)
