"""Route by rules of your own: any object with a `kind` and an `async def route(...)` takes the router's place."""

from mollm import MoLLM
from mollm.calling.calls import Calls
from mollm.types import Route


class ByLength:
    """Sends long questions to the long mixture."""

    kind = "by_length"

    async def route(self, query: str, calls: Calls, *, before: str = "") -> Route:  # noqa: ARG002
        """Decide which mixture answers; `calls` could ask an LLM, and `before` is what the user said before."""
        words = len(query.split())
        picked = "thorough" if words > 5 else "short"
        return Route(picked, {picked: 1.0}, self.kind, f"the question has {words} words")


config = {
    "llms": {"brief": {"model": "scripted/Yes."}, "wordy": {"model": "scripted/Yes, and here is why ..."}},
    "router": {"fallback": "short"},
    "mixtures": {
        "short": {"description": "Quick questions.", "workers": ["brief"]},
        "thorough": {"description": "Everything else.", "workers": ["wordy"]},
    },
}

with MoLLM(config, router=ByLength()) as mollm:
    for question in ("Is tea healthy?", "Is tea healthy when I drink six cups of it a day?"):
        answer = mollm.ask(question)
        print(f"{question}\n  {answer.mixture}, because {answer.route.reason}: {answer.text}")
