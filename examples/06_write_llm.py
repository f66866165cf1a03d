"""Write an LLM of your own: a class with `complete`, `stream` and `aclose`. Retries, limits and prices come on top."""

from collections.abc import AsyncIterator

from mollm import MoLLM
from mollm.extending import Chunk, Completion, Request


class Shouting:
    """Says again what it was asked, louder."""

    async def complete(self, request: Request) -> Completion:
        """Return the whole reply."""
        return Completion({"role": "assistant", "content": request.messages[-1]["content"].upper()})

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:
        """Yield the reply piece by piece."""
        for word in (await self.complete(request)).text.split():
            yield Chunk({"content": f"{word} "})
        yield Chunk(finish_reason="stop")

    async def aclose(self) -> None:
        """Close what was opened; here nothing was."""


config = {
    "llms": {"shouting": {"model": "mine/shouting", "price": {"input": 1.0, "output": 2.0}}},
    "mixtures": {"echo": {"description": "Echo.", "workers": ["shouting"]}},
}

with MoLLM(config, llms={"shouting": Shouting()}) as mollm:
    answer = mollm.ask("is anybody there?")

print(answer.text)
print(f"{answer.usage.total_tokens} tokens, {answer.cost_usd:.6f} USD (estimated: {answer.usage.estimated})")
