"""Answer many questions at once, a few at a time; the answers come in the order of the questions."""

import time

from mollm import MoLLM
from mollm.llms.scripted import Reply, ScriptedLLM

config = {
    "llms": {"counter": {"model": "scripted/-"}},
    "mixtures": {"length": {"description": "Counts letters.", "workers": ["counter"]}},
}
counter = ScriptedLLM(lambda request: Reply(f"{len(request.messages[-1]['content'])} letters", delay=0.1))
words = ["heap", "queue", "stack", "tree", "graph", "list", "set", "map", "array", "string"]

with MoLLM(config, llms={"counter": counter}) as mollm:
    begun = time.monotonic()
    answers = mollm.batch(words, concurrency=5)
    seconds = time.monotonic() - begun

for word, answer in zip(words, answers, strict=True):
    print(f"{word}: {answer.text}")
print(f"{len(words)} questions of 0.1 s each took {seconds:.1f} s, 5 at a time")
