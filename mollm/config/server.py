"""What a configuration may say about the server."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from mollm.config.api_keys import KeyLimitsConfig, KeyList
from mollm.config.fields import MAX_COUNT, Count, OneOrMoreOf, Seconds, Section
from mollm.config.forwarding import FORWARDED, is_settable
from mollm.config.hosts import host_name, origin


def _bytes(value: Any) -> Any:
    if type(value) is int and 1 <= value <= MAX_COUNT:
        return value
    match = re.fullmatch(r"([0-9]{1,6}) ?([KM]i?B)", value) if isinstance(value, str) else None
    if match is None or not int(match[1]):
        raise ValueError("must be a number of bytes, or as in '512 KiB' or '4 MiB'")
    return int(match[1]) << (10 if match[2].startswith("K") else 20)


def _forwarded(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", name):
        raise ValueError("must be the name of a request field")
    if not is_settable(name):
        raise ValueError(f"{name!r} cannot be forwarded: no client may set it, or it has an option of its own")
    return name


USAGE_FILE = "mollm-usage.sqlite"
"""Where usage is kept that has to be kept, and no other file is named."""

Host: TypeAlias = Annotated[str, BeforeValidator(host_name, json_schema_input_type=str)]
Origin: TypeAlias = Annotated[str, BeforeValidator(origin, json_schema_input_type=str)]
Forwarded: TypeAlias = Annotated[str, AfterValidator(_forwarded)]


class ServerConfig(Section):
    """How `mollm serve` and `mollm mcp --http` listen; nothing else reads it."""

    host: str = Field("127.0.0.1", min_length=1, description="Beyond loopback only with `api_keys`.")
    port: int = Field(8000, ge=0, le=65535, description="0: any free port.")
    api_keys: KeyList = Field(
        [],
        description="Bearer tokens that are accepted: as keys below, or the token alone, `${VAR}` or literal (masked).",
    )
    usage: str | None = Field(
        None,
        min_length=1,
        description="SQLite file that holds what each key used by day, relative to this file; unset: "
        f"`{USAGE_FILE}`, where a key has a limit per day.",
    )
    hosts: OneOrMoreOf[Host] = Field(
        [],
        description="Names besides those of this machine under which a server without keys may be asked; "
        "`*.example.org`: every name below it, `*`: any.",
    )
    origins: OneOrMoreOf[Origin] = Field(
        [],
        description="Pages and extensions besides those of this machine that may ask from a browser, as in "
        "`https://app.example.org`, `chrome-extension://*` or `*`.",
    )
    forward: OneOrMoreOf[Forwarded] = Field(
        list(FORWARDED),
        description="Further request fields that are handed on to the LLM that writes the answer.",
    )
    panels: bool = Field(
        False, description="Whether a request may bring workers and an aggregator of its own (`model: panel`)."
    )
    audit: str | None = Field(
        None,
        min_length=1,
        description="File that gets a line of JSON for each request, relative to this one; `-`: standard output.",
    )
    mcp: bool = Field(
        False,
        description="Serve the [Model Context Protocol](mcp.md) at `/mcp`, too, for agents; it needs `[mcp]`.",
    )
    max_in_flight: Count = Field(256, description="Requests that are worked on at once.")
    queue: int = Field(256, ge=0, le=MAX_COUNT, description="HTTP requests that wait; one more is refused with 503.")
    queue_seconds: Seconds = Field(
        30, description="Seconds an HTTP request waits in the queue at most; then it is refused with 503."
    )
    keep_alive: Seconds = Field(10, description="Seconds until a stream that has nothing to show sends an empty chunk.")
    drain: float = Field(30, ge=0, allow_inf_nan=False, description="Seconds running questions have after SIGTERM.")
    max_body: Annotated[int, BeforeValidator(_bytes, json_schema_input_type=int | str)] = Field(
        32 * 1024 * 1024, description="Bytes of an HTTP request, or as in `4 MiB`; a larger one is refused unread."
    )

    @property
    def limits_by_key(self) -> dict[str, KeyLimitsConfig]:
        """The limits of each key, by its name."""
        return {key.name: key.limits for key in self.api_keys}
