"""Ask one question of a mixture that a YAML file describes, and see where the answer came from."""

from pathlib import Path

from mollm import MoLLM

with MoLLM(Path(__file__).with_suffix(".yaml")) as mollm:
    answer = mollm.ask("Is it safe to eat raw dough?")

print(answer.text)
print(f"\nmixture {answer.mixture}, {answer.calls} calls; what the workers said:")
for proposal in answer.proposals:
    print(f"  {proposal.worker}: {proposal.text}")
