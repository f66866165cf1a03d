"""Reports to look at: made up, and such as an evaluation makes them."""

from __future__ import annotations

import random
from dataclasses import replace

from mollm.evaluation.mixtures.report import (
    Arm,
    Bin,
    Confusion,
    Domains,
    Excluded,
    Gain,
    Lost,
    MixtureReport,
    Report,
    Side,
    Turned,
    Verdict,
)

MEMBERS = ("qwen-72b", "llama-70b", "mistral-large", "phi-14b", "gemma-27b")
_KINDS = ("algebra", "geometry", "number theory", "counting", "word problems")
_SCORES = (363 / 417, 356 / 417, 351 / 417, 326 / 417, 339 / 417)
_PRICES = (0.00121, 0.00094, 0.00212, 0.00011, 0.00027)
_QUESTIONS = (
    "A shop sells pencils in packs of {a} and pens in packs of {b}. Ann buys {c} packs of pencils and twice as many "
    "packs of pens. How many more pens than pencils does she have?",
    "Let $f(x) = {a}x^2 - {b}x + {c}$. What is the remainder when $f(x)$ is divided by $x - {a}$?",
    "How many positive divisors of ${a}^{b} \\cdot {c}^2$ are perfect squares?",
    "A train leaves at {a}:00 at {b}0 km/h. Another follows {c} minutes later at {c}0 km/h. When does it catch up?",
)

HOSTILE = (
    "<script>document.title='run'</script>",
    "<img src=x onerror=\"document.title='run'\">",
    "</title></style></svg></details><script>document.title='run'</script>",
    "\"'><a href=javascript:alert(1)>",
    "]]><!-- --!> &amp; &#0; <![CDATA[",
    "\u202eright to left\u2066\x00\x1b[31m\ufffe\U0001ffff\ud800",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 (1) 2.5",
    "W" * 150,
    "\ufdfd" * 40,
    "\u6f22\u5b57" * 30,
)
"""Texts such as an LLM may write."""


def sample_report(lost: int = 14, words: int = 60) -> Report:
    """Two mixtures of a pool, one worth it and one that is not, with everything that a report may have.

    Args:
        lost: Questions that the first one lost.
        words: Words of each proposal, about.
    """
    return Report(
        date="2026-11-27T18:04:11+00:00",
        data="exam-questions.jsonl",
        data_digest="sha256:5f0c1b6d2c7a9e41b8f3a0d4",
        questions=420,
        config="mollm.yaml",
        score="exact final answer",
        is_replayed=True,
        mixtures=(_worth_it(lost, words), _not_worth_it()),
        router=Confusion(_KINDS[:3], ("math", "quick"), ((88, 6), (79, 5), (12, 60)), None),
        notes=(
            "The answers are recorded: what an LLM would write from these proposals cannot be told from them, so a "
            "mixture that synthesizes is counted by the vote that it falls back to.",
            "qwen-72b has no log-probabilities in the recorded answers; its confidence comes from agreement alone.",
        ),
        calls=0,
        cost_usd=None,
    )


def hostile_report(*texts: str) -> Report:
    """A mixture for each text, which stands in every field that holds somebody's text."""
    text = texts[0]
    return Report(
        *(text, text, text, 1, text, text, True, tuple(map(_hostile, texts))),
        router=Confusion((text,), (text,), ((1,),), 1.0),
        notes=texts,
    )


def _hostile(text: str) -> MixtureReport:
    one = losses(1, 20)[0]
    side = Side(text, f"a {text}", f"a {text}", 1.0, f"a {text}")
    lost = replace(one, id=text, question=f"a {text}", reference=text, answer=side, best=side, proposals=(side,))
    return replace(
        _worth_it(0, 0),
        name=text,
        digest=text,
        arms=(replace(members()[0], name=text, why=f"a {text}"),),
        gain=gain(member=text),
        verdict=Verdict("better", text),
        domains=Domains((text,), (1,), (text,), ((0.5,),)),
        lost=(lost,),
        excluded=(Excluded(text, text, text),),
    )


def crowded_report(step: float) -> Report:
    """Forty arms whose costs are so far apart, with long names."""
    arms = [replace(members()[n % 5], name=f"W{'w' * 30}-{n}", cost_usd=1 + n * step) for n in range(40)]
    whole = sample_report(lost=0)
    return replace(whole, mixtures=(replace(whole.mixtures[0], arms=tuple(arms)),))


def column_report() -> Report:
    """A vote of many members that are asked once each: by calls, all of them stand above one another."""
    scores = (0.967, 0.962, 0.961, 0.955, 0.945, 0.942, 0.941, 0.933, 0.925, 0.874, 0.847, 0.84, 0.527)
    alone = [
        Arm("member", f"model-of-somebody-{n} alone", score, (score - 0.01, score + 0.01), 1.0)
        for n, score in enumerate(scores)
    ]
    others = (Arm("mixture", "vote", 0.973, (0.964, 0.982), 13.0), Arm("best", "best member", 0.967, calls=1.0))
    whole = sample_report(lost=0)
    return replace(whole, mixtures=(replace(whole.mixtures[0], arms=(*others, *alone)),))


def gain(**changes: object) -> Gain:
    """A mixture that is better than its best member."""
    found = Gain("qwen-72b", 15 / 417, (0.009, 0.064), 0.0083, 31, 16, 417, 3.14, whom="qwen-72b alone")
    return replace(found, **changes)  # type: ignore[arg-type]


def members() -> tuple[Arm, ...]:
    """Each alone."""
    return tuple(
        Arm(
            *("member", f"{name} alone", score, (score - 0.033, score + 0.031), 1.0, 212.0, 240.0 + 40 * n, price),
            seconds=2.1 + n,
            failed=n % 3,
            is_on_front=name in ("phi-14b", "gemma-27b", "llama-70b", "qwen-72b"),
        )
        for n, (name, score, price) in enumerate(zip(MEMBERS, _SCORES, _PRICES, strict=True))
    )


def _worth_it(lost: int, words: int) -> MixtureReport:
    arms = (
        Arm("mixture", "math", 378 / 417, (0.878, 0.933), 2.41, 530.2, 702.9, 0.00313, 4.2, 1, is_on_front=True),
        *members(),
        Arm(
            "best",
            "best member (qwen-72b)",
            363 / 417,
            (0.838, 0.902),
            1.0,
            212.0,
            240.0,
            0.00121,
            2.1,
            is_on_front=True,
        ),
        Arm("random", "random member", 0.832, (0.801, 0.861), 1.0, 212.0, 320.0, 0.00093, 4.1),
        Arm("self", "self-mixture", 367 / 417, (0.847, 0.909), 3.0, 636.0, 720.0, 0.00363, 3.0),
        Arm("vote", "plain vote of 3, for 2.41 calls", 373 / 417, (0.864, 0.921), 3.0, 636.0, 840.0, 0.00427, 4.1),
        Arm("oracle", "oracle (best for each question)", 0.964, (0.945, 0.981)),
        Arm("routed", "routed", None, why="the recorded answers have no router's decisions for 38 questions"),
    )
    agreement = (
        (0.2, 0.4, 31, 0.33, 0.29),
        (0.4, 0.6, 58, 0.5, 0.62),
        (0.6, 0.8, 92, 0.67, 0.88),
        (1, 1, 236, 1, 0.99),
    )
    confidence = ((0.2, 0.4, 22, 0.31, 0.27), (0.4, 0.6, 41, 0.52, 0.56), (0.6, 0.8, 63, 0.71, 0.78))
    sure = ((0.8, 0.9, 70, 0.86, 0.9), (0.9, 1.0, 221, 0.972, 0.986))
    names = ("math", *MEMBERS)
    luck = random.Random(13)  # noqa: S311 - figures to look at
    scores = tuple(tuple(round(luck.uniform(0.55, 0.97), 3) for _ in _KINDS) for _ in names)
    return MixtureReport(
        name="math",
        digest="sha256:9b1c77aa01",
        questions=417,
        arms=arms,
        gain=gain(),
        vote=gain(
            member="plain vote of 5", whom="", difference=3 / 417, interval=(-0.012, 0.026), p=0.53, gains=12, losses=9
        ),
        verdict=Verdict(
            "better",
            "better than qwen-72b alone on these 417 questions: 31 gains, 16 losses, 3.1 times the cost",
        ),
        agreement=tuple(Bin(*figures) for figures in agreement),
        confidence=tuple(Bin(*figures) for figures in (*confidence, *sure)),
        calibration_error=0.0312,
        turned=Turned(wrong=4, right=13, questions=181),
        domains=Domains(_KINDS, (96, 71, 80, 62, 108), names, (*scores[:-1], (*scores[-1][:-1], None))),
        lost=losses(lost, words),
        excluded=(
            Excluded("exam-0031", "exam-questions.jsonl:31", "the reference '12 or 13' is no final answer"),
            Excluded("exam-0112", "answers/gemma-27b.jsonl:98", "no recorded answer of gemma-27b"),
            Excluded("exam-0207", "exam-questions.jsonl:207", "the same id as in line 19"),
        ),
    )


def _not_worth_it() -> MixtureReport:
    arms = (
        Arm("mixture", "quick", 336 / 417, (0.769, 0.842), 2.0, 424.0, 510.0, 0.00038, 3.3),
        *members()[3:],
        Arm(
            "best",
            "best member (gemma-27b on one half, phi-14b on the other)",
            339 / 417,
            (0.775, 0.848),
            1.0,
            212.0,
            400.0,
            0.00027,
            6.1,
            is_on_front=True,
        ),
    )
    verdict = Verdict(
        "cannot be told",
        "whether it is better than the best member (gemma-27b or phi-14b) cannot be told from these 417 questions: "
        "11 gains, 14 losses, 1.4 times the cost; about 4,100 questions would be enough",
        4100,
    )
    lopsided = gain(
        member="gemma-27b",
        whom="the best member (gemma-27b or phi-14b)",
        difference=-3 / 417,
        interval=(-0.029, 0.017),
        p=0.61,
        gains=11,
        losses=14,
        cost_ratio=1.4,
    )
    return MixtureReport("quick", "sha256:11ce09f3d2", 417, arms, lopsided, verdict, turned=Turned(6, 3, 90))


def losses(many: int, words: int) -> tuple[Lost, ...]:
    """Questions that a mixture lost, with five proposals each."""
    luck = random.Random(7)  # noqa: S311 - texts to look at
    return tuple(_lost(n, words, luck) for n in range(many))


def _lost(n: int, words: int, luck: random.Random) -> Lost:
    a, b, c = luck.randint(3, 9), luck.randint(2, 7), luck.randint(11, 40)
    question = _QUESTIONS[n % len(_QUESTIONS)].format(a=a, b=b, c=c)
    right, wrong = str(a * b + c), str(a * b + c + luck.choice((-2, 1, 10)))
    sides = [_side(name, right if k in (0, n % 5) else wrong, right, words, luck) for k, name in enumerate(MEMBERS)]
    if n % 6 == 3:
        sides[3] = Side("phi-14b", "", None, 0.0, "timeout: no answer within 30 s")
    if n % 6 == 5:
        sides[4] = replace(sides[4], text="I am not sure that this can be solved.", final=None)
    return Lost(
        f"exam-{17 * n + 12:04}",
        question,
        right,
        _KINDS[n % len(_KINDS)],
        _side("math", wrong, right, words // 2, luck),
        sides[0],
        tuple(sides),
    )


def _side(who: str, final: str, right: str, words: int, luck: random.Random) -> Side:
    steps = ("First", "Then", "Next", "So", "Hence", "Now", "Since both sides agree,", "As a check,", "Therefore")
    parts: list[str] = []
    while sum(part.count(" ") for part in parts) < words:
        x, y = luck.randint(2, 30), luck.randint(2, 30)
        parts.append(f"{luck.choice(steps)} we multiply {x} by {y}, which is {x * y}, and carry it over.")
    text = "\n".join([*parts, f"The answer is \\boxed{{{final}}}."])
    return Side(who, text, final, float(final == right))
