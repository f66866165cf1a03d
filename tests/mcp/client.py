"""The SDK's own client, as an agent uses it. The SDK takes a second to import, so each test that needs it does."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mcp import Client
    from mcp_types import CallToolResult


@asynccontextmanager
async def connected(server: Any, *, mode: str = "legacy") -> AsyncGenerator[Client, None]:
    """Connect to a server, an address or the parameters of a process."""
    from mcp import Client

    async with Client(server, mode=mode) as client:
        yield client


async def asked(client: Client, question: str, **arguments: Any) -> CallToolResult:
    """Ask a question."""
    return await client.call_tool("ask", {"question": question, **arguments})


def text_of(found: CallToolResult) -> str:
    """What an agent reads of a result."""
    (content,) = found.content
    assert content.type == "text"
    return content.text
