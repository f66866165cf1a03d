"""What is wrong, or doubtful, about what is masked before an LLM reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.config.problem import LLMS, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mollm.config.config import Config
    from mollm.config.places import KeyPath

PRIVACY: KeyPath = ("privacy",)


def privacy_problems(config: Config) -> Iterator[Problem]:
    """Find what has no effect, and a region that is none."""
    section = config.privacy
    if section is not None and section.region is not None and "phone" not in section.mask:
        key = (*PRIVACY, "region")
        yield Problem(key, "has no effect, since `phone` is not masked", [key, (*PRIVACY, "mask")])
    for kind in dict.fromkeys(kind for kind in section.mask if section.mask.count(kind) > 1) if section else ():
        yield Problem((*PRIVACY, "mask"), f"{kind!r} stands here twice", [(*PRIVACY, "mask")])
    if section is None or section.masked_for != "remote":
        for name, llm in config.llms.items():
            if llm.private is not None:
                key = (*LLMS, name, "private")
                yield Problem(key, "has no effect without `privacy` for `remote`", [key, (*PRIVACY, "for"), PRIVACY])


def privacy_warnings(config: Config) -> Iterator[str]:
    """Find a section that masks nothing."""
    section = config.privacy
    if section is None or section.masked_for == "all":
        return
    if all(config.llms[name].is_private for name in config.used_llms):
        text = "nothing is masked for anybody, since every LLM is private; `all` masks for all of them"
        yield f"{config.place('privacy', 'for')}: {text}"
