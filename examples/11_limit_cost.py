"""Bound what a question may cost: the worst case is worked out first, and refused before anybody is called."""

from mollm import MoLLM
from mollm.errors import LimitError
from mollm.llms.scripted import ScriptedLLM

config = {
    "llms": {
        "big": {"model": "scripted/-", "max_tokens": 2000, "price": {"input": 3.0, "output": 15.0}},
        "small": {"model": "scripted/-", "max_tokens": 500, "price": {"input": 0.1, "output": 0.4}},
    },
    "router": {"fallback": "frugal"},
    "mixtures": {
        "frugal": {"description": "Cheap.", "workers": [{"llm": "small", "samples": 3}]},
        "lavish": {"description": "Dear.", "workers": [{"llm": "big", "samples": 3}]},
    },
    "limits": {"calls": 8, "cost_usd": 0.01},
}
llms = {"big": ScriptedLLM("A long reply."), "small": ScriptedLLM("A short reply.")}

with MoLLM(config, llms=llms) as mollm:
    answer = mollm.ask("Why is the sky blue?")
    print(f"{answer.mixture}: {answer.text} It cost {answer.cost_usd:.6f} USD.")
    try:
        mollm.ask("Why is the sky blue?", mixture="lavish")
    except LimitError as error:
        print(f"refused: {error}")
    print(f"the big one was called {len(llms['big'].requests)} times")
