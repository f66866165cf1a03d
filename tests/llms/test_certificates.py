"""TLS: a key goes to nobody who cannot show who it is."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from mollm.errors import Unreachable
from tests.llms.test_proxy import ask

UNSIGNED = Path(__file__).parents[1] / "data" / "self_signed.pem"
CLIENTS = ["openai_compatible", "langchain-openai", "litellm"]


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_server_with_a_certificate_of_its_own_making_is_told_nothing(client: str) -> None:
    """The call fails before a byte of the request, and so of the key, is sent; there is no key to turn that off."""
    came: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.read())
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(UNSIGNED)
    async with await asyncio.start_server(note, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unreachable):
            await ask(client=client, api_base=f"https://localhost:{port}/v1", api_key="s3ntinel")

    assert b"".join(came) == b""
