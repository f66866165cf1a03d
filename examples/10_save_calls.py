"""Vote with as few calls as it takes: two are asked first, and more only where they disagree."""

from pathlib import Path

from mollm import MoLLM
from mollm.extending import Request
from mollm.llms.scripted import ScriptedLLM


def voter(easy: str, hard: str) -> ScriptedLLM:
    """Knows the answers to two questions."""

    def reply(request: Request) -> str:
        return f"The answer is {easy if '2 + 2' in request.messages[-1]['content'] else hard}."

    return ScriptedLLM(reply)


llms = {name: voter("4", "96") for name in "acde"} | {"b": voter("4", "86")}

with MoLLM(Path(__file__).with_suffix(".yaml"), llms=llms) as mollm:
    for question in ("What is 2 + 2?", "What is 12 * 8?"):
        answer = mollm.ask(question)
        asked = ", ".join(f"{proposal.worker} says {proposal.final}" for proposal in answer.proposals)
        print(f"{question} {answer.text}")
        print(f"  {answer.calls} of 5 calls: {asked}; agreement {answer.agreement:.0%}")
