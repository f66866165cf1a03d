"""Write your own prompts for router, workers and aggregator, and see what each of them is sent."""

from pathlib import Path

from mollm import MoLLM
from mollm.llms.scripted import ScriptedLLM

llms = {
    "tiny": ScriptedLLM("garden"),
    "anna": ScriptedLLM("Prune it in March."),
    "bert": ScriptedLLM("Prune it after the frost."),
    "editor": ScriptedLLM("1. Wait for the last frost. 2. Prune. 3. Water."),
}
conversation = [
    {"role": "system", "content": "Our customers are beginners."},
    {"role": "user", "content": "How do I prune a rose?"},
]

with MoLLM(Path(__file__).with_suffix(".yaml"), llms=llms) as mollm:
    print(mollm.ask(conversation).text)

for name, llm in llms.items():
    print(f"\n=== what {name} was sent")
    for message in llm.requests[0].messages:
        print(f"[{message['role']}] {message['content']}")
