"""Follow a question while it is answered: who was asked, who replied, and the answer word by word."""

from mollm import MoLLM
from mollm.events import Arrived, Done, Failed, Routed, Started, Token
from mollm.llms.scripted import Reply, ScriptedLLM

config = {
    "llms": {name: {"model": "scripted/-"} for name in ("quick", "slow", "writer")},
    "mixtures": {
        "advice": {"description": "Advice.", "workers": ["quick", "slow"], "aggregator": {"llm": "writer"}},
    },
}
llms = {
    "quick": ScriptedLLM("Water it once a week."),
    "slow": ScriptedLLM(Reply("Keep it out of the sun.", delay=0.2)),
    "writer": ScriptedLLM("Water it once a week and keep it out of the sun."),
}

with MoLLM(config, llms=llms) as mollm:
    for event in mollm.stream("How do I keep a fern alive?"):
        match event:
            case Routed(route):
                print(f"routed to {route.mixture}: {route.reason}")
            case Started(worker):
                print(f"asking {worker}")
            case Arrived(proposal):
                print(f"{proposal.worker} replied: {proposal.text}")
            case Failed(proposal):
                print(f"{proposal.worker} failed: {proposal.error}")
            case Token(text):
                print(text, end="", flush=True)
            case Done(answer):
                print(f"\ndone after {answer.calls} calls")
