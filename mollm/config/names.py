"""What mixtures and LLMs may be called."""

from __future__ import annotations

import re

NAME = re.compile(r"(?=.{1,128}\Z)[A-Za-z0-9@~][A-Za-z0-9_.:@~+=-]*(/[A-Za-z0-9_@~][A-Za-z0-9_.:@~+=-]*)*")
"""As other programs name models: `provider/name`, `name:tag`. No part of one is `..`, and none holds the `#` that tells
the samples of a worker apart."""
NAMING = (
    "1 to 128 letters, digits and any of '_.:@~+=-', in parts with '/' between them, "
    "and begins with a letter or a digit"
)
"""The same in words."""
ROUTED = ("auto", "router")
"""Names under which a question asks for the mixture that the router picks."""
PANEL = "panel"
"""The name under which a question brings workers and an aggregator of its own, and that of its answer's mixture."""
RESERVED_NAMES = (*ROUTED, PANEL)
"""Names that nothing in a file may have."""
