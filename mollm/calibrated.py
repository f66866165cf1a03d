"""The calibration that a mixture names, as far as it is one for its workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.config.members import members_digest
from mollm.errors import ConfigError, DataError
from mollm.final.calibration_file import read_calibration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.config.config import Config
    from mollm.config.mixtures import MixtureConfig
    from mollm.final.calibration import Calibration
    from mollm.workers import Worker

AGAIN = "fit it again with `mollm eval mixtures --calibrate`"


def calibration_of(config: Config, name: str, section: MixtureConfig, workers: Sequence[Worker]) -> Calibration | None:
    """Read the calibration of a mixture; None where it names none.

    Args:
        config: The configuration.
        name: Of the mixture.
        section: What the configuration says of it.
        workers: Its workers.

    Raises:
        ConfigError: There is no such file, it is none, it was fitted for other workers, or it never gives the
            probability that `agree` asks for.
    """
    if section.calibration is None:
        return None
    where = config.place("mixtures", name, "calibration")
    path = config.find(section.calibration)
    if path is None:
        raise ConfigError(f"{where}: no file {section.calibration!r}")
    try:
        found = read_calibration(path)
    except DataError as error:
        raise ConfigError(f"{where}: {error}") from error
    if other := _what_differs(found, [worker.name for worker in workers], members_digest(config, section)):
        raise ConfigError(f"{where}: {path} {other}; {AGAIN}")
    most = found.highest(section.awaited)
    if section.sure is not None and most < section.sure:
        text = f"{section.sure!r} is never reached: {most:.4f} is the most that {path} says when all have agreed"
        raise ConfigError(f"{config.place('mixtures', name, 'agree')}: {text}")
    return found


def _what_differs(found: Calibration, names: Sequence[str], digest: str) -> str | None:
    known = list(found.members)
    if known == list(names):
        same = found.digest == digest
        return None if same else "was fitted when a worker had another model, prompt or sampling setting"
    if set(known) == set(names):
        return f"was fitted for them in another order: {_listed(known)}"
    new, gone = [n for n in names if n not in found.members], [n for n in known if n not in names]
    said = [f"without {_listed(new)}"] if new else []
    said += [f"with {_listed(gone)}"] if gone else []
    return f"was fitted for other workers: {' and '.join(said)}"


def _listed(names: Sequence[str]) -> str:
    shown = [repr(name[:80])[1:-1] for name in names[:8]]  # of a file, and so maybe with a line break
    return ", ".join([*shown, "..."] if len(names) > len(shown) else shown)
