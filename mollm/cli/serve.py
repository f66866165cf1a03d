"""`mollm serve`: an OpenAI-compatible server."""

from __future__ import annotations

from typing import Annotated

import typer

from mollm.cli.options import ConfigOption  # noqa: TC001 - typer evaluates annotations


def serve(
    config: ConfigOption = None,
    host: Annotated[
        str | None,
        typer.Option(help="Address to listen on. Default: server.host in the file, or 127.0.0.1.", show_default=False),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="0: any free port. Default: server.port in the file, or 8000.", show_default=False
        ),
    ] = None,
) -> None:
    """Serve every mixture at one OpenAI-compatible address."""
    from mollm.server.process import serve

    raise typer.Exit(serve(config, host=host, port=port))
