"""Files of a router that somebody made: whatever they hold, there is a router that works, or an error of ours."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from mollm.errors import ConfigError
from mollm.routing import artifacts
from mollm.routing.artifacts import ARRAYS, MANIFEST
from mollm.routing.learned import LearnedScorer
from tests.fuzz import cases

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = {"a": ["tyre", "oil change"], "b": ["nap", "bed time"]}
QUESTIONS = ("", "tyre", "my bed", "nothing of it", "\ud800")
HUGE = 1 << 62


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], bytes]:
    """Manifest and arrays of a router as it is saved."""
    folder = tmp_path_factory.mktemp("saved")
    LearnedScorer.fit(EXAMPLES, fallback="a").save(folder)
    return json.loads((folder / MANIFEST).read_bytes()), (folder / ARRAYS).read_bytes()


def is_sound(folder: Path, manifest: Any, body: bytes) -> bool:
    """Write both with a checksum that fits, and say whether there is a router; one that does not work fails."""
    if isinstance(manifest, dict):
        manifest = {name: value for name, value in manifest.items() if name != "checksum"}
        fields = json.dumps(manifest, sort_keys=True).encode()
        manifest["checksum"] = hashlib.sha256(fields + b"\n" + body).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))
    (folder / ARRAYS).write_bytes(body)
    try:
        scorer = LearnedScorer.load(folder)
    except ConfigError as error:
        assert str(folder) in str(error)  # noqa: PT017 - the error is one of two results
        return False
    for question in QUESTIONS:
        probabilities = scorer.scores(question).probabilities
        assert np.isfinite([*probabilities.values()]).all()
        assert sum(probabilities.values()) == pytest.approx(1)
    scorer.decision()
    return True


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([10**400, "../..", "\0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=cases(150))
@given(
    name=st.sampled_from(["format", "mixtures", "fallback", "threshold", "familiarity", "scale", "digest", "more"]),
    value=VALUES,
)
@example(name="threshold", value=float("nan"))
@example(name="scale", value=1e308)
@example(name="scale", value=5e-324)
@example(name="mixtures", value="ab")
@example(name="mixtures", value=["a", "\ud800"])
@example(name="fallback", value="../../etc")
def test_any_manifest(
    tmp_path_factory: pytest.TempPathFactory, saved: tuple[dict[str, Any], bytes], name: str, value: Any
) -> None:
    """Any value under any name."""
    manifest, body = saved
    is_sound(tmp_path_factory.mktemp("forged"), {**manifest, name: value}, body)


@pytest.mark.parametrize("manifest", [None, 3, [], "x", {}, {"format": 3}])
def test_what_is_no_manifest_is_refused(tmp_path: Path, saved: tuple[dict[str, Any], bytes], manifest: Any) -> None:
    """JSON that is something else."""
    assert not is_sound(tmp_path, manifest, saved[1])


NUMBERS = st.sampled_from([0.0, 1.0, -1.0, 1e308, -1e308, float("nan"), float("inf"), 5e-324, 7.0, 1e6])
TYPES = st.sampled_from(["f2", "f4", "f8", "u8", "i8", "u1", "?"])
SHAPES = st.lists(st.integers(0, 4), max_size=3).map(tuple)


@settings(max_examples=cases(200))
@given(
    name=st.sampled_from(
        ["hashes_0", "idf_0", "weights_0", "hashes_1", "idf_1", "weights_1", "intercept", "slope", "more"]
    ),
    kind=TYPES,
    shape=SHAPES | st.none(),
    numbers=st.lists(NUMBERS, min_size=1, max_size=4),
)
@example(name="hashes_0", kind="u8", shape=(), numbers=[1.0])
@example(name="intercept", kind="f8", shape=None, numbers=[1e308, -1e308])
@example(name="idf_0", kind="f8", shape=None, numbers=[1e308])
@example(name="slope", kind="f8", shape=None, numbers=[1e6, -1e6])
@example(name="slope", kind="f8", shape=None, numbers=[1e6])
def test_any_array(
    tmp_path_factory: pytest.TempPathFactory,
    saved: tuple[dict[str, Any], bytes],
    name: str,
    kind: str,
    shape: tuple[int, ...] | None,
    numbers: list[float],
) -> None:
    """Any numbers of any type, in the shape that belongs there (None) or in another, and none at all."""
    from safetensors.numpy import load

    manifest, body = saved
    arrays = load(body)
    wanted = arrays[name].shape if shape is None and name in arrays else shape or ()
    with np.errstate(all="ignore"):
        arrays[name] = np.resize(np.array(numbers), wanted).astype(kind)
    folder = tmp_path_factory.mktemp("forged")
    is_sound(folder, manifest, save(arrays))
    del arrays[name]
    assert is_sound(folder, manifest, save(arrays)) is (name == "more")


@settings(max_examples=cases(200))
@given(place=st.integers(0, 1 << 20), drop=st.integers(0, 64), put=st.binary(max_size=24), is_head=st.booleans())
@example(place=0, drop=8, put=struct.pack("<Q", HUGE), is_head=True)
@example(place=0, drop=8, put=struct.pack("<Q", 2**64 - 1), is_head=True)
@example(place=0, drop=1 << 20, put=b"", is_head=False)
def test_any_bytes(
    tmp_path_factory: pytest.TempPathFactory,
    saved: tuple[dict[str, Any], bytes],
    place: int,
    drop: int,
    put: bytes,
    is_head: bool,
) -> None:
    """Bytes changed, left out and put in, in the head of the arrays or anywhere, under a checksum that fits."""
    manifest, body = saved
    end = 8 + struct.unpack("<Q", body[:8])[0] if is_head else len(body)
    place %= end
    is_sound(tmp_path_factory.mktemp("forged"), manifest, body[:place] + put + body[place + drop :])


DTYPES = ["F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "F4", "U64", "I64", "BOOL", "C64", "", "f64", None, 3]


@settings(max_examples=cases(200))
@given(
    name=st.sampled_from(["hashes_0", "weights_1", "intercept", "__metadata__", "../x", ""]),
    dtype=st.sampled_from(DTYPES),
    shape=st.lists(st.sampled_from([0, 1, 2, HUGE, 2**63, -1]), max_size=4),
    offsets=st.lists(st.sampled_from([0, 8, 16, HUGE, 2**64, -8]), max_size=3),
)
@example(name="intercept", dtype="F8_E4M3", shape=[2], offsets=[0, 2])
@example(name="intercept", dtype="BF16", shape=[2], offsets=[0, 4])
@example(name="intercept", dtype="F64", shape=[HUGE, 2], offsets=[0, 16])
def test_any_head(
    tmp_path_factory: pytest.TempPathFactory,
    saved: tuple[dict[str, Any], bytes],
    name: str,
    dtype: Any,
    shape: list[int],
    offsets: list[int],
) -> None:
    """Whatever the head declares, sizes that no machine has included; nothing is allocated for a declaration."""
    manifest, body = saved
    size = struct.unpack("<Q", body[:8])[0]
    head = json.loads(body[8 : 8 + size])
    folder = tmp_path_factory.mktemp("forged")
    for entries in ({**head, name: {"dtype": dtype, "shape": shape, "data_offsets": offsets}}, {name: head}):
        written = json.dumps(entries).encode()
        tracemalloc.start()
        is_sound(folder, manifest, struct.pack("<Q", len(written)) + written + body[8 + size :])
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 8 * 1024 * 1024


def test_a_head_of_one_tensor_alone_of_another_type_is_refused(
    tmp_path: Path, saved: tuple[dict[str, Any], bytes]
) -> None:
    """Types that numpy does not have are an error of ours like all others."""
    manifest, _ = saved
    for dtype, size in (("F8_E4M3", 2), ("F8_E5M2", 2), ("BF16", 4), ("C64", 16)):
        head = json.dumps({"intercept": {"dtype": dtype, "shape": [2], "data_offsets": [0, size]}}).encode()
        assert not is_sound(tmp_path, manifest, struct.pack("<Q", len(head)) + head + bytes(size))


@pytest.mark.parametrize("file", [MANIFEST, ARRAYS])
def test_files_without_end_are_refused(tmp_path: Path, saved: tuple[dict[str, Any], bytes], file: str) -> None:
    """A device, a pipe nobody writes to, a folder, or a file that is larger than any router; none of it is read."""
    manifest, body = saved
    assert is_sound(tmp_path, manifest, body)
    path = tmp_path / file
    for kind in ("device", "pipe", "folder", "large file"):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        if kind == "device":
            path.symlink_to("/dev/zero")
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        else:
            path.touch()
            os.truncate(path, artifacts.MOST_BYTES[file] + 1)
        with pytest.raises(ConfigError, match="no learned router can be read there"):
            LearnedScorer.load(tmp_path)
