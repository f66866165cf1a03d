"""Observe every call to an LLM: who was called on whose behalf, what it took, and what was tried again."""

from mollm import MoLLM
from mollm.errors import ProviderFailed
from mollm.extending import CallEnded, Done, Event, Retried, Token, Writing
from mollm.llms.scripted import ScriptedLLM


class Log:
    """Prints what it is told."""

    def tell(self, event: Event) -> None:
        """Receive every event except tokens; must not block."""
        match event:
            case Retried(llm, failure):
                print(f"{llm} is called again: {failure.kind}")
            case Writing(role, llm):
                print(f"{llm} writes the answer ({role})")
            case CallEnded(number, call):
                print(f"call {number}, {call.role} {call.llm}: {call.usage.total_tokens} tokens")
            case Done(answer):
                print(f"done: {answer.calls} calls")

    async def show(self, token: Token) -> None:
        """Receive a piece of a streamed answer; may wait, and the LLM is not read meanwhile."""


config = {
    "llms": {name: {"model": "scripted/-"} for name in ("steady", "shaky", "writer")},
    "mixtures": {"help": {"description": "Help.", "workers": ["steady", "shaky"], "aggregator": {"llm": "writer"}}},
}
llms = {
    "steady": ScriptedLLM("Restart it."),
    "shaky": ScriptedLLM([ProviderFailed("out of memory", status=503), "Check the cable."]),
    "writer": ScriptedLLM("Check the cable, then restart it."),
}

with MoLLM(config, llms=llms, observers=[Log()]) as mollm:
    print(mollm.ask("The printer is dead.").text)
