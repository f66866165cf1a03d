"""Try a mixture on recorded answers: the same every time, at once, and free. What would asking two first have saved?"""

from pathlib import Path

from mollm import MoLLM

questions = {
    "Anna buys 3 bags of 8 apples and eats 5. How many are left?": "19",
    "A train covers 180 km in 2.5 hours. How fast is it in km/h?": "72",
    "How many primes are below 30?": "10",
}

with MoLLM(Path(__file__).with_suffix(".yaml")) as mollm:
    answers = mollm.batch(list(questions))

for answer, expected in zip(answers, questions.values(), strict=True):
    finals = {proposal.text: proposal.final for proposal in answer.proposals}
    asked = ", ".join(f"{proposal.worker} {proposal.final}" for proposal in answer.proposals)
    print(f"{asked} -> {answer.text}  {'right' if finals[answer.text] == expected else 'wrong'}")
print(f"{sum(answer.calls for answer in answers)} calls instead of {3 * len(questions)}")
