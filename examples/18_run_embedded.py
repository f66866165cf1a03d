"""Run a real LLM inside this process, without a key or a network: llama.cpp and a packaged model of 94 MB."""

from mollm import MoLLM
from mollm.events import Done, Token

config = {
    "llms": {"tiny": {"model": "local/smollm2-135m", "context_window": 512, "max_tokens": 40, "temperature": 0}},
    "mixtures": {
        "general": {"description": "Anything.", "workers": [{"llm": "tiny", "prompt": "prompts/worker/helpful.md"}]}
    },
}

with MoLLM(config) as mollm:
    for event in mollm.stream("Name three things one needs to bake bread."):
        match event:
            case Token(text):
                print(text, end="", flush=True)
            case Done(answer):
                print(f"\n{answer.usage.completion_tokens} tokens in {answer.seconds:.1f} s, loading included")
