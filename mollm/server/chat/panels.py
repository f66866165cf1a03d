"""A panel that comes with an HTTP request: who may bring one, and what it may not hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.config.names import PANEL
from mollm.config.panels import FORM, KEYS, forwarding_problems, place, remote_problems, told
from mollm.errors import BadField, RequestError

if TYPE_CHECKING:
    from mollm.config.places import KeyPath
    from mollm.config.server import ServerConfig
    from mollm.panels import Panels
    from mollm.server.chat.protocol import ChatRequest

ROOT: KeyPath = ("mollm",)
"""The field that holds it."""


def check_panel(asked: ChatRequest, settings: ServerConfig, panels: Panels) -> None:
    """Check the panel of an HTTP request, or that there is none.

    Raises:
        BadField: Everything that is wrong with it; or it is not asked for by its name, or not allowed here.
        LimitError: It has more workers than `limits` has calls.
    """
    if asked.model != PANEL:
        for name in KEYS:
            if name in asked.panel:
                raise BadField(f"mollm.{name}: only with `model`: {PANEL!r}", f"mollm.{name}")
        return
    if not settings.panels:
        text = "this server takes no panels; who runs it may allow them with `server.panels: true`"
        raise BadField(f"model: {text}", "model")
    if asked.panel.get("workers") is None:
        raise BadField(f'mollm.workers: is required, as in "mollm": {FORM}', "mollm.workers")
    try:
        panel = panels.plain(asked.panel)
    except RequestError as error:
        raise BadField(f"mollm: {error}", "mollm") from None
    refused = [*remote_problems(panel), *forwarding_problems(panel, settings.forward)]
    keys = {problem.key for problem in refused}
    problems = [*refused, *(problem for problem in panels.problems(panel) if problem.key not in keys)]
    if problems:
        raise BadField(told(problems, ROOT), place(problems[0], ROOT))
