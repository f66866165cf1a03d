"""TLS: a key goes to nobody who cannot show who it is."""

from __future__ import annotations

import asyncio
import ssl

import pytest
import trustme

from mollm.errors import Unreachable
from tests.llms.test_proxy import ask

CLIENTS = ["openai_compatible", "langchain-openai", "litellm"]


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_server_whose_certificate_nobody_vouches_for_is_told_nothing(client: str) -> None:
    """The call fails before a byte of the request, and so of the key, is sent; there is no key to turn that off."""
    came: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.read())
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    async with await asyncio.start_server(note, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unreachable):
            await ask(client=client, api_base=f"https://localhost:{port}/v1", api_key="s3ntinel")

    assert b"".join(came) == b""
