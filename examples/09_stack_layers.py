"""Let workers read each other: two layers, so everybody answers again with all first answers at hand."""

from pathlib import Path

from mollm import MoLLM
from mollm.extending import Request
from mollm.llms.scripted import ScriptedLLM


def member(first: str, second: str) -> ScriptedLLM:
    """Says `first`, and `second` where it reads the answers of others."""

    def reply(request: Request) -> str:
        return second if "<answer-" in request.messages[-1]["content"] else first

    return ScriptedLLM(reply)


llms = {
    "historian": member("Flags changed often.", "Flags changed often, and law followed late."),
    "lawyer": member("The law of 1924 decides.", "The law of 1924 decides, whatever was flown before."),
    "chair": ScriptedLLM("Since 1924 the law decides; before, custom did."),
}

with MoLLM(Path(__file__).with_suffix(".yaml"), llms=llms) as mollm:
    answer = mollm.ask("Which flag is the right one?")

for proposal in answer.proposals:
    print(f"layer {proposal.layer}, {proposal.worker}: {proposal.text}")
print(f"chair: {answer.text}")
print(f"{answer.calls} calls")
