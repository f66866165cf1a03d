"""`mollm mcp`: a server of the Model Context Protocol, for agents that use mixtures as tools."""

from __future__ import annotations

from typing import Annotated

import typer

from mollm.cli.options import ConfigOption, MixtureOption  # noqa: TC001 - typer evaluates annotations


def mcp(
    config: ConfigOption = None,
    mixture: MixtureOption = None,
    http: Annotated[bool, typer.Option("--http", help="Serve at http://HOST:PORT/mcp instead.")] = False,
    host: Annotated[
        str | None,
        typer.Option(help="With --http: as for `mollm serve`.", show_default=False),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="With --http: as for `mollm serve`.", show_default=False),
    ] = None,
) -> None:
    """Serve every mixture to agents over the Model Context Protocol: to the one that starts this, or over HTTP."""
    from mollm.mcp import check_installed

    if not http and (host is not None or port is not None):
        raise typer.BadParameter("takes --http as well", param_hint="--host" if host is not None else "--port")
    check_installed()
    if not http:
        from mollm.mcp.stdio import serve

        serve(config, mixture=mixture)
    from mollm.server.process import serve_mcp

    raise typer.Exit(serve_mcp(config, mixture=mixture, host=host, port=port))
