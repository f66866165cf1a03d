"""Write an aggregator of your own: an object with `async def aggregate(...)`, chosen by a `method` of your naming."""

from mollm import MoLLM
from mollm.extending import Brief, Calls, Picked, Proposal


def number(proposal: Proposal) -> float:
    """The number that a proposal ends in; `final` is its final answer in canonical form."""
    return float(proposal.final or "nan")


class Median:
    """Takes the proposal in the middle, so that one wild guess moves nothing."""

    async def aggregate(self, brief: Brief, calls: Calls) -> Picked:  # noqa: ARG002 - it calls no LLM
        """Pick a proposal; a string, or a `Written` message, would be an answer of its own."""
        ordered = sorted(brief.proposals, key=number)
        return Picked(ordered[len(ordered) // 2])


config = {
    "llms": {
        "careful": {"model": "scripted/The answer is 310."},
        "wild": {"model": "scripted/The answer is 9000."},
        "quick": {"model": "scripted/The answer is 290."},
    },
    "mixtures": {
        "guesses": {
            "description": "Estimates.",
            "workers": ["careful", "wild", "quick"],
            "aggregator": {"method": "median"},
        },
    },
}

with MoLLM(config, aggregators={"median": Median()}) as mollm:
    answer = mollm.ask("How many jelly beans are in the jar?")

print(f"{answer.text} The guesses: {sorted(map(number, answer.proposals))}.")
