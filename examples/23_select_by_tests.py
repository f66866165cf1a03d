"""Select by running: code answers are tested in a sandbox, and the one that passes is the answer, word for word."""

from pathlib import Path

from mollm import MoLLM
from mollm.llms.scripted import ScriptedLLM
from mollm.sandbox import Limits, code_of, run
from mollm.types import Proposal, Question

BODY = "return numbers[len(numbers) // 2]"
llms = {
    "hasty": ScriptedLLM(f"```python\ndef median(numbers):\n    {BODY}\n```"),
    "cheat": ScriptedLLM("```python\nprint('All tests passed.')\nraise SystemExit(0)\n```"),
    "careful": ScriptedLLM(f"```python\ndef median(numbers):\n    numbers = sorted(numbers)\n    {BODY}\n```"),
}
CASES = {"[3, 1, 2]": "2", "[9, 7, 1, 8, 2]": "7", "[5]": "5"}
HARNESS = "import sys, json, answer; print(answer.median(json.load(sys.stdin)))"


def passed(question: Question, proposal: Proposal) -> float:  # noqa: ARG001 - all questions here are the same
    """The share of the cases that a proposal gets right; what is right stays outside the sandbox."""
    files = {"answer.py": code_of(proposal.text)}
    found = [run(HARNESS, stdin=case, files=files, limits=Limits(seconds=5)) for case in CASES]
    right = [result.is_ok and result.stdout.strip() == good for result, good in zip(found, CASES.values(), strict=True)]
    print(f"{proposal.worker}: {right}")
    return sum(right) / len(right)


with MoLLM(Path(__file__).with_suffix(".yaml"), llms=llms) as mollm:
    answer = mollm.ask("Write a Python function median(numbers), for an odd count of them.")

print({proposal.worker: proposal.score for proposal in answer.proposals})
print(*answer.degraded, answer.text, sep="\n")
