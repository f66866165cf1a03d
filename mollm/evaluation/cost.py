"""What fitting a router costs: time, and the memory of the process at its peak."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from mollm.errors import ConfigError
from mollm.routing import artifacts, versions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mollm.config.config import Config
    from mollm.config.routers import RouterSection

KEY = "fit"
"""Of the manifest of a trained router."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a fit."""

    seconds: float
    """By the clock."""
    cpu_seconds: float
    """Of all threads."""
    peak_mb: float | None
    """The most memory that the process had until the fit was done, in 10^6 bytes, with Python and all libraries; None
    where the system does not tell."""

    def to_plain(self) -> dict[str, float | None]:
        """As JSON has it."""
        return asdict(self)


class Stopwatch:
    """Takes the cost of what is done since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter(), time.process_time()

    def read(self) -> Cost:
        """The cost until now."""
        return Cost(time.perf_counter() - self._start[0], time.process_time() - self._start[1], _peak_mb())


def keep(folder: Path, cost: Cost) -> None:
    """Write what a trained router cost into its manifest.

    Raises:
        ConfigError: There is no router in `folder`.
        OSError: The folder cannot be written.
    """
    manifest, arrays = artifacts.read(folder)
    artifacts.write(folder, {**manifest, KEY: cost.to_plain()}, arrays)


def of_folder(folder: Path) -> Cost | None:
    """What a trained router cost; None if it was trained before that was kept.

    Raises:
        ConfigError: There is no router in `folder`, or its manifest says no such thing.
    """
    folder = versions.in_force(folder)
    found = artifacts.manifest(folder).get(KEY)
    if found is None:
        return None
    try:
        peak = found["peak_mb"]
        return Cost(float(found["seconds"]), float(found["cpu_seconds"]), None if peak is None else float(peak))
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"{folder}: its manifest does not say what it cost ({error}); train it again") from error


def of_config(config: Config) -> Cost | None:
    """What the learned routers of a configuration cost together: fitted here on its examples, or trained elsewhere.

    None if it has none. Raises `ConfigError` or `RunError` if one of them cannot be read or fitted here.
    """
    costs = list(_learned(config))
    if not costs:
        return None
    peaks = [cost.peak_mb for cost in costs if cost.peak_mb is not None]
    return Cost(
        sum(cost.seconds for cost in costs), sum(cost.cpu_seconds for cost in costs), max(peaks) if peaks else None
    )


def _learned(config: Config) -> Iterator[Cost]:
    from mollm.config.routers import LearnedMemberConfig
    from mollm.routing.trained import folder_of

    for section in config.router_sections:
        if not isinstance(section.config, LearnedMemberConfig):
            continue
        if not section.config.path:
            yield _fitted(section, config)
        elif (cost := of_folder(folder_of(section.config.path, config))) is not None:
            yield cost


def _fitted(section: RouterSection, config: Config) -> Cost:
    """As `LearnedScorer.cached` fits where nothing is kept."""
    from mollm.embeddings.factory import build_embedder
    from mollm.routing.learned import LearnedScorer

    found = config.embedder_of(section) if getattr(section.config, "embedder", None) else None
    embedder = build_embedder(found[0], config, found[1]) if found else None
    watch = Stopwatch()
    LearnedScorer.of_examples(config.examples(), fallback=config.fallback, embedder=embedder)
    return watch.read()


def _peak_mb() -> float | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
