"""LLMs that propose and review by a script, and a mixture of them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from mollm import MoLLM
from mollm.llms.scripted import Reply, Script, ScriptedLLM
from mollm.messages import text_of
from tests.clock import run_virtual

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mollm.calling.base import Request
    from mollm.types import Answer

FENCED = re.compile(r"<answer-(\w+) number=\d+>\n(.*?)\n</answer-\1>", re.DOTALL)


def is_review(request: Request) -> bool:
    """Whether the LLM is asked to rank."""
    return '"ranking"' in text_of(request.messages[-1]["content"])


def read_by(request: Request) -> list[str]:
    """The proposals that stand in a request, in their order."""
    return [text for _, text in FENCED.findall(text_of(request.messages[-1]["content"]))]


def ranking(*texts: str) -> Callable[[Request], str]:
    """A review that puts these proposals first, in this order, and all others behind them as equals."""

    def review(request: Request) -> str:
        read = read_by(request)
        named = [[read.index(text) + 1] for text in texts if text in read]
        rest = [number for number, text in enumerate(read, 1) if text not in texts]
        return json.dumps({"ranking": [*named, *([rest] if rest else [])]})

    return review


class Panel:
    """Workers `a`, `b`, `c`, a boss that writes, and LLMs `j` and `k` that may judge; who proposes says `from NAME`.

    Args:
        mixture: What differs from a mixture of the three whose boss synthesizes what they review.
        limits: Of the configuration.
        says: What an LLM replies when it is asked for a proposal or an answer.
        reviews: By LLM, what it replies when it is asked to rank.
    """

    def __init__(
        self,
        mixture: dict[str, Any] | None = None,
        limits: dict[str, Any] | None = None,
        says: Mapping[str, Script] | None = None,
        **reviews: Any,
    ) -> None:
        usual = {name: f"from {name}" for name in ("a", "b", "c", "j", "k", "boss")}
        said: dict[str, Script] = {**usual, **(says or {})}
        self.reviews = reviews
        self.llms = {name: ScriptedLLM(self._script(name, text)) for name, text in said.items()}
        whole = {"description": "d", "workers": ["a", "b", "c"], "aggregator": {"llm": "boss"}, "review": {}}
        self.config: dict[str, Any] = {
            "llms": {name: {"model": "scripted/x", "retries": 0, "max_tokens": 100} for name in said},
            "mixtures": {"m": {**whole, **(mixture or {})}},
            "limits": limits or {},
        }

    def _script(self, name: str, said: Script) -> Callable[[Request], Script]:
        def reply(request: Request) -> Script:
            if not is_review(request):
                return said
            review = self.reviews.get(name, ranking())
            found: Script = review(request) if callable(review) else review
            return found

        return reply

    def reviews_of(self, name: str) -> list[list[str]]:
        """What `name` was shown to rank, in each review."""
        return [read_by(request) for request in self.llms[name].requests if is_review(request)]

    def ask(self, question: str = "Which one?", **options: Any) -> Answer:
        """Ask on a virtual clock."""
        mollm = MoLLM(self.config, llms=self.llms)
        return run_virtual(mollm.aask(question, **options))


def later(seconds: float, review: Any) -> Callable[[Request], Reply]:
    """The same review, after a while."""
    return lambda request: Reply(review(request) if callable(review) else review, delay=seconds)


def order_of(answer: Answer) -> list[str]:
    """The workers of a ranking, best first."""
    assert answer.ranking is not None
    return [rank.worker for rank in answer.ranking.ranks]
