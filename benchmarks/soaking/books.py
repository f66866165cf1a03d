"""Every question of a soak, accounted for at the client, at the server and at the upstream."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from soaking.client import ANSWERED, LEFT, SHORTENED, WRONG

if TYPE_CHECKING:
    from soaking.client import Outcome
    from soaking.stage import Called, Metrics, Part

GONE = ("client_gone", "cancelled")
"""Causes of failures that are no failure of the server's."""
NEVER_REACHED = ("dead", "deaf")
"""LLMs whose addresses take no connection."""
CLOSED_WITHIN = 1.0
"""Seconds until the calls of a question that is over are closed (rows 29 and 36 of the catalogue)."""


def balance(part: Part, outcomes: list[Outcome], counted: Metrics, book: list[Called]) -> None:
    """Note a bar for each way in which the three books have to agree."""
    _clients(part, outcomes)
    _server(part, outcomes, counted)
    _upstream(part, counted, book)
    _questions(part, outcomes, book)


def summary(outcomes: list[Outcome]) -> str:
    """Return how many questions had which outcome, what is wrong by its beginning."""
    counted = Counter(outcome.what[:60].replace("|", "/").replace("\n", " ") for outcome in outcomes)
    return ", ".join(f"{count} {what}" for what, count in counted.most_common())


def _clients(part: Part, outcomes: list[Outcome]) -> None:
    without = sum(not outcome.what for outcome in outcomes)
    part.bar("every question has an outcome at its client", f"{len(outcomes)}, {without} without", not without)
    wrong = Counter(outcome.what for outcome in outcomes if outcome.what.startswith(WRONG))
    first = f" ({wrong.most_common(1)[0][0][:150]})".replace("|", "/").replace("\n", " ") if wrong else ""
    said = "no failure is shown as an answer, none has another's text, no stream just ends"
    part.bar(said, f"{wrong.total()} wrong{first}", not wrong)


def _server(part: Part, outcomes: list[Outcome], counted: Metrics) -> None:
    """A client that left may have been answered, failed, or gone before it was seen; all others agree exactly."""
    left = sum(outcome.what == LEFT for outcome in outcomes)
    answered = sum(outcome.what in (ANSWERED, SHORTENED, "filtered") for outcome in outcomes)
    failed = len(outcomes) - left - answered
    requests, causes = counted.total("requests_total"), counted.by("request_failures_total", "cause")
    gone = sum(causes[cause] for cause in GONE)
    failures = causes.total() - gone
    for what, at_server, at_clients in (
        ("answered", requests - causes.total(), answered),
        ("failed", failures, failed),
        ("all", requests, answered + failed),
    ):
        said = f"{at_server} at the server, {at_clients} at clients, and {left} of these left"
        part.bar(f"{what}: server and clients agree", said, at_clients <= at_server <= at_clients + left)
    part.bar("who is gone at the server left", f"{gone} of {left}", gone <= left)


def _upstream(part: Part, counted: Metrics, book: list[Called]) -> None:
    calls, retries = counted.by("calls_total", "llm"), counted.by("retries_total", "llm")
    opened = counted.by("breakers_opened_total", "llm")
    arrived = Counter(called.model for called in book)
    said, agree = [], True
    for llm in sorted(arrived | calls):
        made = calls[llm] + retries[llm]
        # A call that is given up before it is sent, or that an open breaker refuses, never arrives.
        unsent = counted.total("call_failures_total", llm=llm, cause="cancelled")
        unsent += counted.total("call_failures_total", llm=llm, cause="unreachable") if opened[llm] else 0
        if llm in NEVER_REACHED:
            unsent = made
        agree &= made - unsent <= arrived[llm] <= made
        said.append(f"{llm}: {arrived[llm]} of {calls[llm]} + {retries[llm]}, of which {unsent} may not have been sent")
    part.bar("calls that arrived = calls + retries of the server", "; ".join(said), agree)
    reached = sum(arrived[llm] for llm in NEVER_REACHED)
    part.bar(f"none arrived for {' and '.join(NEVER_REACHED)}", reached, not reached)
    total, tried_again = sum(calls.values()), sum(retries.values())
    part.bar(
        "retries are at most a tenth of the calls, and ten", f"{tried_again} of {total}", tried_again <= total / 10 + 10
    )


def _questions(part: Part, outcomes: list[Outcome], book: list[Called]) -> None:
    ended = {outcome.question.id: outcome.ended for outcome in outcomes}
    strangers = sum(called.id not in ended for called in book)
    part.bar("every call belongs to a question", f"{strangers} of {len(book)} do not", not strangers)
    mixed = sum(called.ids != 1 for called in book)
    part.bar("no prompt holds two questions", f"{mixed} do", not mixed)
    late: defaultdict[str, float] = defaultdict(float)
    for called in book:
        if called.id in ended:
            late[called.id] = max(late[called.id], called.ended - ended[called.id])
    of_left = [late[outcome.question.id] for outcome in outcomes if outcome.what == LEFT]
    for who, seconds in (("of those who left", of_left), ("of all", list(late.values()))):
        longest = max(seconds, default=0.0)
        what = f"calls are closed within {CLOSED_WITHIN:g} s of the question's end, {who}"
        part.bar(what, f"{longest:.2f} s at most", longest <= CLOSED_WITHIN)
