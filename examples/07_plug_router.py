"""Route by rules of your own: a function of the question takes the router's place, and so does a scorer or a router."""

from mollm import MoLLM
from mollm.extending import Question, Scores


def by_length(question: Question) -> Scores:
    """Send long questions to the long mixture; `question.before` is what the user said before."""
    words = len(question.last.split())
    picked = "thorough" if words > 5 else "short"
    return Scores({}, f"the question has {words} words", picked)


config = {
    "llms": {"brief": {"model": "scripted/Yes."}, "wordy": {"model": "scripted/Yes, and here is why ..."}},
    "router": {"fallback": "short"},
    "mixtures": {
        "short": {"description": "Quick questions.", "workers": ["brief"]},
        "thorough": {"description": "Everything else.", "workers": ["wordy"]},
    },
}

with MoLLM(config, router=by_length) as mollm:
    for question in ("Is tea healthy?", "Is tea healthy when I drink six cups of it a day?"):
        answer = mollm.ask(question)
        print(f"{question}\n  {answer.mixture}, because {answer.route.reason}: {answer.text}")
