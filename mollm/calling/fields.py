"""The two request fields that not every server takes, under which name and whether: the token limit, stream options."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection

LimitName: TypeAlias = Literal["max_tokens", "max_completion_tokens"]
_OTHER: dict[str, LimitName] = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}


@dataclass(frozen=True, slots=True)
class Fields:
    """What an address takes, as far as it is configured or known; what is not set may be found out."""

    limit: LimitName | None = None
    """The name of the token limit; None: `max_tokens`, or the other one where that is refused."""
    usage: bool | None = None
    """Whether a stream is asked for its usage, with `stream_options`; None: yes, unless that is refused."""
    found_limit: LimitName = "max_tokens"
    found_usage: bool = True

    def write(self, body: dict[str, Any], *, stream: bool) -> None:
        """Name the token limit in `body` as the address does, and ask for the usage of a stream, if it tells any."""
        if (self.limit or self.found_limit) != "max_tokens" and "max_tokens" in body:
            body["max_completion_tokens"] = body.pop("max_tokens")
        if stream and (self.found_usage if self.usage is None else self.usage):
            body["stream_options"] = {"include_usage": True}

    def without(self, refused: Collection[str]) -> Fields:
        """What is left to try where an address refused these fields; equal to this one where nothing is."""
        found = self
        if self.limit is None and self.found_limit in refused:
            found = replace(found, found_limit=_OTHER[self.found_limit])
        if self.usage is None and self.found_usage and "stream_options" in refused:
            found = replace(found, found_usage=False)
        return found


AUTO = Fields()
"""Nothing is configured: all is found out."""
