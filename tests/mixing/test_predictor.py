"""What was learned, as files that nobody vouches for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mollm.errors import ConfigError
from mollm.mixing.predictor import Predictor
from mollm.routing import artifacts
from mollm.routing.learned import LearnedScorer
from tests.mixing.recorded import LLMS, predictor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_what_is_read_predicts_as_what_was_written(tmp_path: Path) -> None:
    """To the last bit; and a text of which nothing is known gets the mean scores."""
    predictor().save(tmp_path)

    found = Predictor.load(tmp_path)

    for text in ("What is 5 plus 8?", "Write a poem", ""):
        assert np.array_equal(found.quality(text), predictor().quality(text))
    assert found.quality("") == pytest.approx(found.means)
    assert (found.llms, found.spread, found.digest) == (LLMS, predictor().spread, predictor().digest)


def test_a_missing_damaged_or_foreign_folder_is_named(tmp_path: Path) -> None:
    """Whatever lies there."""
    with pytest.raises(ConfigError, match=r"nowhere: no learned chooser can be read there: no file chooser\.json"):
        Predictor.load(tmp_path / "nowhere")
    predictor().save(tmp_path)
    body = (tmp_path / "chooser.safetensors").read_bytes()
    (tmp_path / "chooser.safetensors").write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
    with pytest.raises(ConfigError, match="damaged, changed or not of the same chooser; train it again"):
        Predictor.load(tmp_path)
    (tmp_path / "chooser.json").write_text(json.dumps({"format": 1}))
    with pytest.raises(ConfigError, match=f"not a chooser of format {artifacts.FORMAT}"):
        Predictor.load(tmp_path)


def test_a_router_is_no_chooser_and_a_chooser_no_router(tmp_path: Path) -> None:
    """Each looks for its own files, so that both may even lie in one folder."""
    predictor().save(tmp_path)

    with pytest.raises(ConfigError, match=r"no learned router can be read there: no file router\.json"):
        LearnedScorer.load(tmp_path)


FORGERIES: dict[str, Callable[[dict[str, Any], dict[str, Any]], object]] = {
    "an LLM twice": lambda manifest, _: manifest.update(llms=["adder", "adder", "twin"]),
    "one LLM": lambda manifest, _: manifest.update(llms=["adder"]),
    "no spread": lambda manifest, _: manifest.update(spread=0.0),
    "no number": lambda manifest, _: manifest.update(spread="wide"),
    "no LLMs": lambda manifest, _: manifest.pop("llms"),
    "means of others": lambda _, arrays: arrays.update(means=np.zeros(2)),
    "a mean above 1": lambda _, arrays: arrays.update(means=np.array([0.1, 0.2, 1.5])),
    "a covariance of nothing": lambda _, arrays: arrays.pop("covariance"),
    "a negative variance": lambda _, arrays: arrays.update(covariance=-np.eye(3)),
    "no finite numbers": lambda _, arrays: arrays.update(covariance=np.full((3, 3), np.nan)),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_contents_that_make_no_chooser_are_refused(tmp_path: Path, forgery: str) -> None:
    """With a checksum that is right: it is made by whoever makes the file."""
    predictor().save(tmp_path)
    manifest, arrays = artifacts.read(tmp_path, kind="chooser")
    FORGERIES[forgery](manifest, arrays)
    artifacts.write(tmp_path, manifest, arrays, kind="chooser")

    with pytest.raises(ConfigError, match="its contents do not make a chooser"):
        Predictor.load(tmp_path)
