"""A mixture whose proposals are analyzed before the answer is written, with scripted LLMs."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from mollm import MoLLM
from mollm.llms.scripted import Reply, ScriptedLLM
from mollm.messages import text_of
from mollm.types import ANALYZED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.calling.base import Request
    from mollm.types import Answer

Entry = tuple[str, list[int]]
FENCED = re.compile(r"<answer-(\w{8}) number=(\d+)>\n(.*?)\n</answer-\1>", re.DOTALL)
COMPARISON = re.compile(r"<comparison-(\w{8})>\n(.*?)\n</comparison-\1>", re.DOTALL)


def analysis(**lists: Sequence[Entry]) -> str:
    """What an analyst replies; a list that is not given is empty."""
    found = {kind: [{"point": text, "answers": answers} for text, answers in lists.get(kind, ())] for kind in ANALYZED}
    return json.dumps(found, ensure_ascii=False)


GOOD = analysis(consensus=[("All of them greet.", [1, 2])], blind_spots=[("Nobody says why.", [])])


def said(request: Request) -> str:
    """The last message of a request."""
    return text_of(request.messages[-1]["content"])


def shown(request: Request) -> dict[str, int]:
    """The fenced proposals of a request: text to number."""
    return {text: int(number) for _, number, text in FENCED.findall(said(request))}


def quoted(request: Request) -> str:
    """The fenced analysis of a request; empty if there is none."""
    found = COMPARISON.findall(said(request))
    return found[0][1] if found else ""


class Panel:
    """Workers a, b and c, an `analyst`, and a `boss` who writes."""

    def __init__(self, mixture: dict[str, Any] | None = None, *, analyst: Any = GOOD, **sections: Any) -> None:
        """Build it.

        Args:
            mixture: Keys of the mixture beside those that a panel has anyway; `aggregator` is added to its own.
            analyst: Its script.
            sections: `scripts` of the other LLMs, `llm` for keys of each LLM, `options` of `MoLLM`, and sections of
                the configuration.
        """
        replies = {"a": "from a", "b": "from b", "c": "from c", "boss": "It is so.", **sections.pop("scripts", {})}
        self.llms = {name: ScriptedLLM(script) for name, script in {**replies, "analyst": analyst}.items()}
        llm = {"model": "scripted/x", "retries": 0, "max_tokens": 500, **sections.pop("llm", {})}
        whole = {"description": "d", "workers": ["a", "b", "c"], **(mixture or {})}
        whole["aggregator"] = {"llm": "boss", "analysis": {"llm": "analyst"}, **whole.get("aggregator", {})}
        options = sections.pop("options", {})
        self.config = {"llms": dict.fromkeys(self.llms, llm), "mixtures": {"m": whole}, **sections}
        self.mollm = MoLLM(self.config, llms=self.llms, **options)

    async def ask(self, question: Any = "Hello?", **options: Any) -> Answer:
        """Ask it."""
        return await self.mollm.aask(question, **options)

    def request(self, name: str = "boss", number: int = -1) -> Request:
        """What an LLM was sent; the latest unless another is named."""
        return self.llms[name].requests[number]

    @property
    def called(self) -> dict[str, int]:
        """How often each LLM was called."""
        return {name: len(llm.requests) for name, llm in self.llms.items() if llm.requests}


def roles(answer: Answer) -> list[str]:
    """On whose behalf LLMs were called, workers left out."""
    return [call.role for call in answer.breakdown if call.role != "worker"]


CUT = Reply(GOOD, finish_reason="length")
