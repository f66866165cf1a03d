"""What goes wrong, as a client is told (a status and OpenAI's error object) and as the log is.

Nothing of an upstream's body, of a prompt or of a key is in a message: the messages of our errors are our own
words, and of any other error only its kind is told.
"""

from __future__ import annotations

import logging
import math
import traceback
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from starlette.exceptions import HTTPException
from starlette.responses import Response

from mollm.depth import ASKED, HEADER
from mollm.errors import (
    AggregationError,
    AuthFailed,
    BadRequest,
    ClientGone,
    ConfigError,
    ContextTooLong,
    EmptyReply,
    Exhausted,
    FeedbackError,
    LimitError,
    LimitReached,
    LLMError,
    MollmError,
    NotInFormat,
    Overloaded,
    PromptError,
    ProviderFailed,
    QuorumError,
    QuotaExceeded,
    RateLimited,
    Refused,
    RoutingError,
    TimedOut,
    TooDeep,
    TooLarge,
    TooSlow,
    UnknownAnswer,
    UnknownMixture,
    Unreachable,
    UserError,
)
from mollm.server.gate import Refusal
from mollm.server.paths import meant_by
from mollm.server.wire import JSON, encoded, json_response, path_of, shown, to_json

if TYPE_CHECKING:
    from typing import Any

    from starlette.types import Scope

log = logging.getLogger("mollm.server")

LONGEST_RETRY_AFTER = 3600
"""Seconds, of what somebody else said."""
LONGEST_HEEDED = 60
"""Seconds of `Retry-After` that openai's SDK waits; where more are asked for, it tries again at once."""
NOTED = frozenset((404, 405, 408, 413))
"""Statuses of HTTP requests that leave a line in the log although nobody was asked."""
HOPELESS = frozenset(("insufficient_quota", "upstream_auth", "misconfigured"))
"""Codes of what only the operator can mend, although their statuses are among those that clients try again."""
LONGEST_REFUSAL = 1000
"""Characters of a line in the log."""


class Problem(NamedTuple):
    """A failure as HTTP tells it."""

    status: int
    kind: str
    """OpenAI's `type`."""
    code: str | None
    message: str
    param: str | None = None
    retry_after_seconds: float | None = None
    cause: str = "internal"
    """One of a few words, for metrics."""

    @property
    def body(self) -> dict[str, Any]:
        """The error object."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        """`Retry-After` in whole seconds, where it is known when to try again; for openai's SDK, where not to."""
        if self.code in HOPELESS:
            return {"x-should-retry": "false"}
        if self.retry_after_seconds is None:
            return {}
        seconds = math.ceil(max(1, self.retry_after_seconds))
        is_far = self.cause == "key_limit" and seconds > LONGEST_HEEDED
        return {"retry-after": str(seconds), **({"x-should-retry": "false"} if is_far else {})}


INVALID, SERVER = "invalid_request_error", "server_error"
INTERNAL = Problem(500, SERVER, "internal_error", "the server failed to answer; its log says more")
UNUSABLE = Problem(
    500, SERVER, "misconfigured", "the configuration cannot be used for this request; the server's log says why"
)


UNWRITABLE = Problem(
    503, SERVER, "feedback_unavailable", "feedback cannot be kept at the moment; the server's log says why", None, 5.0
)


EXPECTED = (MollmError, HTTPException)
"""What an endpoint may raise, the latter where a path is not served, or by an application in front of this one."""


_TEXTS = {413: "the body is too large", ASKED: f"a call of mollm needs {HEADER}, which this server asks for once"}


def problem_of(error: BaseException) -> Problem:
    """Say how a failure is told to the client."""
    if isinstance(error, UserError):
        return _of_user(error)
    if isinstance(error, Overloaded):
        return Problem(503, SERVER, "overloaded", str(error), None, error.retry_after_seconds, "overloaded")
    if isinstance(error, LimitReached):
        wait = error.retry_after_seconds
        return Problem(429, "rate_limit_error", error.code, str(error), None, wait, "key_limit")
    if isinstance(error, LLMError):
        return _of_llm(error)
    if isinstance(error, QuorumError):
        return _of_quorum(error)
    if isinstance(error, FeedbackError):
        return UNWRITABLE
    if isinstance(error, AggregationError):
        return Problem(502, SERVER, "answer_broke_off", str(error), cause="aggregation")
    if isinstance(error, RoutingError):
        return Problem(502, SERVER, "not_routed", str(error), cause="routing")
    if isinstance(error, ClientGone):
        return Problem(499, INVALID, "client_gone", str(error), cause="client_gone")
    if isinstance(error, MollmError):
        return Problem(502, SERVER, "run_failed", str(error))
    if isinstance(error, HTTPException):
        text = _TEXTS.get(error.status_code, "this cannot be served")
        return Problem(error.status_code, INVALID, None, text, cause="request")
    return INTERNAL


def _of_user(error: UserError) -> Problem:
    if isinstance(error, ConfigError | PromptError):
        return UNUSABLE._replace(cause="configuration")
    if isinstance(error, UnknownMixture):
        said = f"{error}; `auto` is the one that the router picks"
        return Problem(404, INVALID, "model_not_found", said, "model", cause="request")
    if isinstance(error, UnknownAnswer):
        return Problem(404, INVALID, "answer_not_found", str(error), "id", cause="request")
    if isinstance(error, TooDeep):
        return Problem(*DEEPER, str(error), cause="request")
    if isinstance(error, LimitError):
        return Problem(400, INVALID, "limit_exceeded", str(error), cause="limit")
    status = 413 if isinstance(error, TooLarge) else 408 if isinstance(error, TooSlow) else 400
    return Problem(status, INVALID, None, str(error), getattr(error, "param", None), cause="request")


def _of_llm(error: LLMError) -> Problem:
    status, kind, code = _STATUS.get(type(error), (502, SERVER, "upstream_failed"))
    wait = error.retry_after_seconds
    if error.code == "breaker_open":
        status, code = 503, "upstream_unavailable"
    elif status not in (429, 503):
        wait = None
    wait = None if wait is None else min(LONGEST_RETRY_AFTER, max(1, wait))
    return Problem(status, kind, code, str(error), None, wait, error.kind)


_STATUS: dict[type[LLMError], tuple[int, str, str]] = {
    RateLimited: (429, "rate_limit_error", "rate_limit_exceeded"),
    QuotaExceeded: (429, "insufficient_quota", "insufficient_quota"),
    TimedOut: (504, SERVER, "upstream_timeout"),
    Exhausted: (503, SERVER, "overloaded"),
    # The key is ours, not the client's: 401 would send the client looking in the wrong place.
    AuthFailed: (502, SERVER, "upstream_auth"),
    ContextTooLong: (400, INVALID, "context_length_exceeded"),
    BadRequest: (400, INVALID, "upstream_bad_request"),
    Refused: (400, INVALID, "content_filter"),
    NotInFormat: (502, SERVER, "not_in_format"),
}


DEEPER = (400, INVALID, TooDeep.kind)
"""No client tries it again, and no breaker counts it: whoever asks is part of the circle."""
_PASSING = {cls.kind for cls in (TimedOut, Unreachable, ProviderFailed, EmptyReply)}
"""Kinds of failure after which the same call may succeed at once."""


def _of_quorum(error: QuorumError) -> Problem:
    kinds = {proposal.error.kind for proposal in error.proposals if proposal.error}
    if not error.proposals:
        kinds = {TimedOut.kind}  # nobody was asked because no time was left
    # Where all failed alike, that is what happened to the question.
    alike = kinds.pop() if len(kinds) == 1 else None
    told = next((told for of, told in _STATUS.items() if of.kind == alike), None)
    if alike == TooDeep.kind:
        told = DEEPER
    wait = _quorum_in(error)
    if told is None:
        told = (502, SERVER, "quorum_not_met") if wait is None else (503, SERVER, "upstream_unavailable")
    status, kind, code = told
    return Problem(status, kind, code, str(error), None, wait if status in (429, 503) else None, "quorum")


def _quorum_in(error: QuorumError) -> float | None:
    """Seconds until enough workers may be asked again for the quorum; None where nobody knows, or it is now."""
    missing = error.quorum - sum(proposal.error is None for proposal in error.proposals)
    failures = [proposal.error for proposal in error.proposals if proposal.error]
    known = [failure.retry_after_seconds for failure in failures if failure.retry_after_seconds is not None]
    waits = [min(LONGEST_RETRY_AFTER, max(1.0, seconds)) for seconds in known]
    # One that failed in a way that passes might answer at once. One that is too busy might later, nobody knows when,
    # and what was wrong with the request will be wrong again.
    waits += [0.0 for failure in failures if failure.retry_after_seconds is None and failure.kind in _PASSING]
    if not waits:
        return None
    return sorted(waits)[max(0, min(missing, len(waits)) - 1)] or None


def report(error: BaseException, what: str = "an HTTP request was answered") -> None:
    """Log a failure: of what is ours its message, of anything else where it came from, but not what it says."""
    if isinstance(error, ConfigError | PromptError):
        log.error("a question needs what the configuration does not give: %s", error)
    elif isinstance(error, FeedbackError):
        log.error("feedback is not kept: %s", error)
    elif not isinstance(error, EXPECTED):
        # The message of a foreign error may hold a prompt, a key, or what an upstream sent.
        frames = "".join(traceback.format_tb(error.__traceback__))
        log.error("%s while %s, at\n%s", type(error).__name__, what, frames)


def note(scope: Scope, problem: Problem) -> None:
    """Log an HTTP request that was refused before anybody was asked: neither its query nor its body is told."""
    said = " ".join(problem.message.split())
    log.warning("%s %s: %d, %s", shown(scope["method"]), shown(path_of(scope)), problem.status, said[:LONGEST_REFUSAL])


_BESIDE = {401: {"www-authenticate": "Bearer"}, 408: {"connection": "close"}}


def failed(scope: Scope, error: Exception) -> Response:
    """Report one of `EXPECTED` and lay it out as a response."""
    report(error)
    beside = dict(getattr(error, "headers", None) or {})
    status = getattr(error, "status_code", None)
    if status == 405 and scope["method"] == "OPTIONS":
        return Response(status_code=204, headers=beside)
    problem = said = problem_of(error)
    if status in (404, 405):
        what = f"{shown(scope['method'])} {shown(path_of(scope))}"
        meant = meant_by(path_of(scope)) if status == 404 else f"this path takes {beside.get('Allow')}"
        said, problem = said._replace(message=meant), problem._replace(message=f"there is no {what}: {meant}")
    if problem.status in NOTED:
        note(scope, said)
    response = response_for(problem)
    response.headers.update(beside)
    return response


def response_for(problem: Problem) -> Response:
    """Lay out a failure as a response."""
    headers = {**problem.headers, **_BESIDE.get(problem.status, {})}
    return json_response(problem.body, status=problem.status, headers=headers)


def refusal_for(problem: Problem) -> Refusal:
    """Lay out a failure as a connection sends it by itself, where no application runs."""
    body = to_json(problem.body)
    headers = {"content-type": JSON, "content-length": str(len(body)), **problem.headers}
    status = f"{problem.status} {HTTPStatus(problem.status).phrase}"
    return Refusal(status.encode(), encoded(headers), body)
