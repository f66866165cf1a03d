"""Route by rules of your own: any object with a `kind` and an `async def route(...)` takes the router's place."""

from mollm import MoLLM
from mollm.extending import Calls, PlannedCall, Question, Request, Route, Settings


class ByLength:
    """Sends long questions to the thorough mixture, and asks an LLM about those in between."""

    kind = "by_length"

    def plan(self, question: Question) -> list[PlannedCall]:
        """List every call that `route` may make; any other call is refused."""
        return [PlannedCall("router", "brief", max_tokens=5, prompt_tokens=question.tokens + 10)]

    async def route(self, question: Question, calls: Calls) -> Route:
        """Decide which mixture answers."""
        words = len(question.last.split())
        picked, reason = "thorough" if words > 8 else "short", f"the question has {words} words"
        if 4 <= words <= 8:
            asked = {"role": "user", "content": f"Does this need a long answer?\n{question.last}"}
            outcome = await calls.attempt("router", "brief", Request([asked], Settings(max_tokens=5)))
            if outcome.completion and outcome.completion.text.startswith("Yes"):
                picked, reason = "thorough", "an LLM says that it needs a long answer"
        return Route(picked, {picked: 1.0}, self.kind, reason)


config = {
    "llms": {"brief": {"model": "scripted/Yes."}, "wordy": {"model": "scripted/Yes, and here is why ..."}},
    "mixtures": {
        "short": {"description": "Quick questions.", "workers": ["brief"]},
        "thorough": {"description": "Everything else.", "workers": ["wordy"]},
    },
    "router": {"fallback": "short"},
}
with MoLLM(config, router=ByLength()) as mollm:
    for text in ("Is tea healthy?", "Is tea good for us?", "Is tea healthy when I drink six cups of it a day?"):
        answer = mollm.ask(text)
        print(f"{text}\n  {answer.mixture}, because {answer.route.reason}: {answer.text}")
