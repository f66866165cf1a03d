"""Keep the answer when workers misbehave: one hangs, one fails, and the two that are left are enough."""

from mollm import MoLLM
from mollm.errors import ProviderFailed
from mollm.llms.scripted import Reply, ScriptedLLM

config = {
    "llms": {name: {"model": "scripted/-", "retries": 0} for name in ("good", "hangs", "breaks", "fine", "writer")},
    "mixtures": {
        "team": {
            "description": "Four workers.",
            "workers": ["good", "hangs", "breaks", "fine"],
            "aggregator": {"llm": "writer"},
            "quorum": 2,  # fewer would be an error
            "deadline": 0.3,  # nobody is waited for longer, in seconds
        },
    },
}
llms = {
    "good": ScriptedLLM("Restart the router."),
    "hangs": ScriptedLLM(Reply("too late", delay=3600)),
    "breaks": ScriptedLLM(ProviderFailed("out of memory", status=503)),
    "fine": ScriptedLLM("Then check the cable."),
    "writer": ScriptedLLM("Restart the router, then check the cable."),
}

with MoLLM(config, llms=llms) as mollm:
    answer = mollm.ask("Why is there no internet?")

print(f"{answer.text} ({answer.seconds:.1f} s)")
for proposal in answer.proposals:
    print(f"  {proposal.worker}: {f'failed ({proposal.error.kind})' if proposal.error else proposal.text}")
