"""What is wrong about where vectors come from, in a configuration whose shape is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.config.addresses import BaseURL
from mollm.config.embeddings import NEEDED, TAKEN
from mollm.config.imported import REFERENCE
from mollm.config.problem import Problem, refusal
from mollm.config.variables import variables_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mollm.config.embeddings import EmbeddingsConfig
    from mollm.config.places import KeyPath


def embedder_problems(key: KeyPath, section: EmbeddingsConfig) -> Iterator[Problem]:
    """Find keys that are missing or have no effect, and an address that is none."""
    kind, taken = (*key, "kind"), TAKEN.get(section.kind, ())
    for name in ("path", "api_base", "api_key", "model"):
        value, where = getattr(section, name), (*key, name)
        if value is None and name in NEEDED.get(section.kind, ()):
            yield Problem(where, f"is required by the kind {section.kind!r}", [kind, where])
        elif value is not None and name not in taken:
            takers = " and ".join(repr(other) for other in TAKEN if name in TAKEN[other])
            yield Problem(where, f"has no effect with the kind {section.kind!r}; only {takers} take it", [kind, where])
    path, base = (*key, "path"), (*key, "api_base")
    if section.kind == "python" and section.path and not REFERENCE.fullmatch(section.path):
        yield Problem(path, "must be `package.module:name`, as in `my.vectors:embed`", [kind, path])
    if section.api_base and not variables_in(section.api_base) and (text := refusal(BaseURL.parse, section.api_base)):
        yield Problem(base, f"the address {text}", [base])
