"""One program to its end, with what it printed."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mollm.errors import SandboxError
from mollm.sandbox.spec import FOLDER, as_bytes, environment, spec_of
from mollm.sandbox.values import Limits, Result, ended_by

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mollm.sandbox.values import Isolation

log = logging.getLogger("mollm.sandbox")

LAUNCHER = str(Path(__file__).with_name("launcher.py"))
STARTING_SECONDS = 30.0
"""Until a program has to have started, on a machine that does much else."""
GRACE_SECONDS = 2.0
"""Until what was told to end has ended."""
CHUNK = 65536
STREAMS = {"stdin": selectors.EVENT_WRITE, "stdout": selectors.EVENT_READ, "stderr": selectors.EVENT_READ}


def run(
    program: str | Sequence[str],
    *,
    stdin: str | bytes = b"",
    files: Mapping[str, str | bytes] | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    read: Sequence[str | Path] = (),
    isolation: Isolation = "full",
) -> Result:
    """Run a program apart from everything else, and wait for its end.

    It has an empty folder of its own, an environment in which nothing is set but `PATH`, `HOME`, `LANG` and `TMPDIR`,
    no descriptor but its streams, and no rights. When it ends, or this call does, every process that it started is
    ended too, and its files are gone.

    Args:
        program: Python code, which this interpreter runs with the packages that it finds installed; or a command with
            its arguments.
        stdin: What it reads; it may leave it unread.
        files: Its files by their names, below its folder. Code may import them.
        limits: The most that it may take.
        read: Files and folders of this machine that it may read, by the same paths. What root runs reads only what
            everybody may.
        isolation: What it is kept from, if less than everything. `none` is for a kernel that isolates nothing: the
            program may then use the network, and whatever files this account may.

    Raises:
        SandboxError: It was not run: there is no such command, or the kernel does not isolate it as it should.
        ValueError: A name in `files` leads elsewhere, what is named in `read` is not there, or the program is empty.
    """
    return _Running(spec_of(program, files or {}, limits, read, isolation), as_bytes(stdin), limits).result()


async def arun(
    program: str | Sequence[str],
    *,
    stdin: str | bytes = b"",
    files: Mapping[str, str | bytes] | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    read: Sequence[str | Path] = (),
    isolation: Isolation = "full",
) -> Result:
    """Like `run`, without blocking the event loop; cancelling it ends the program at once."""
    running = _Running(spec_of(program, files or {}, limits, read, isolation), as_bytes(stdin), limits)
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    found: list[Result | BaseException] = []

    def work() -> None:
        try:
            found.append(running.result())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            found.append(error)
        with suppress(RuntimeError):  # the loop was closed
            loop.call_soon_threadsafe(done.set)

    # Not one of the loop's own threads, of which there are few.
    try:
        threading.Thread(target=work, name="mollm-sandbox", daemon=True).start()
    except RuntimeError as error:
        raise SandboxError(f"the program was not run: {error}") from error
    try:
        await done.wait()
    except asyncio.CancelledError:
        running.stop()
        await done.wait()
        raise
    (result,) = found
    if isinstance(result, BaseException):
        raise result
    return result


class _Running:
    """One program, run by the thread that asks for its result; any other may stop it."""

    def __init__(self, spec: dict[str, Any], stdin: bytes, limits: Limits) -> None:
        self._spec, self._limits = spec, limits
        self._input = memoryview(stdin)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopped = self._is_over = False
        self._heard = b""
        self._told: dict[str, Any] = {}
        self._output: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._ended: Literal["exit", "time", "output"] = "exit"
        self._begun = self._until = self._seconds = 0.0

    def result(self) -> Result:
        """Run it to its end; raises as `run`."""
        try:
            with ExitStack() as stack:
                self._run(stack)
        except OSError as error:  # no process, descriptor, memory or disk is left here
            raise SandboxError(f"the program was not run to its end: {error}") from error
        if "refused" in self._told:
            raise SandboxError(f"the program was not run: {self._told['refused']}{self._advice()}")
        if not self._begun:
            raise SandboxError(f"the program was not run: {self._unstarted()}")
        # Where even the launcher is gone, memory was short, or somebody ended it.
        status = self._told.get("status", -signal.SIGKILL) if self._ended == "exit" else None
        stdout, stderr = (bytes(text).decode("utf-8", "replace") for text in self._output.values())
        return Result(status, stdout, stderr, self._seconds, ended_by(status, self._ended))

    def _run(self, stack: ExitStack) -> None:
        """Start the launcher, hand it what it is to run, and follow it to its end."""
        self._spec["folder"] = self._folder(stack)
        self._spec["env"] = environment(self._spec["folder"])
        ours, theirs = socket.socketpair()
        stack.callback(ours.close)
        with theirs:
            process = self._start(theirs)
        stack.callback(self._reap, process)
        self._hand_over(ours)
        self._follow(ours, process)
        self._seconds = time.monotonic() - (self._begun or time.monotonic())

    def _unstarted(self) -> str:
        if self._ended != "exit":
            return f"it had not started after {STARTING_SECONDS:g} s"
        said = bytes(self._output["stderr"]).decode("utf-8", "replace").split("\n")
        return f"the launcher ended: {next((line for line in reversed(said) if line), 'without a word')}"

    def stop(self) -> None:
        """End the program, and all that it started."""
        with self._lock:
            self._is_stopped = True
            if self._process is None or self._process.poll() is not None:
                return
            if self._spec["isolation"] == "none":
                self._process.terminate()  # it ends what it has adopted
            else:
                self._process.kill()

    def _folder(self, stack: ExitStack) -> str:
        """The program's folder: in memory within walls, else a temporary one."""
        if self._spec["isolation"] != "none":
            return FOLDER
        folder = tempfile.mkdtemp(prefix=f"mollm-sandbox-{os.getpid()}-")
        stack.callback(_remove, folder)
        if os.getuid() == 0:
            os.chown(folder, 65534, 65534)
        return folder

    def _start(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._is_stopped:
                raise SandboxError("the program was not run: it was stopped before")
            self._process = subprocess.Popen(  # noqa: S603 - that a program is run is the point
                [sys.executable, "-I", "-S", "-B", LAUNCHER, str(theirs.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
                env={},
                cwd="/",
                start_new_session=True,
            )
        return self._process

    def _hand_over(self, ours: socket.socket) -> None:
        """Tell the launcher what to run."""
        ours.settimeout(STARTING_SECONDS)
        with suppress(OSError):  # it was ended already, and that shows in what it tells
            ours.sendall(json.dumps(self._spec).encode())
            ours.shutdown(socket.SHUT_WR)

    def _follow(self, ours: socket.socket, process: subprocess.Popen[bytes]) -> None:
        """Read and write until the launcher has ended, or has to."""
        self._until = time.monotonic() + STARTING_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(ours, selectors.EVENT_READ, "control")
            for name, events in STREAMS.items():
                pipe = getattr(process, name)
                os.set_blocking(pipe.fileno(), False)
                if name == "stdin" and not self._input:
                    pipe.close()
                else:
                    selector.register(pipe, events, name)
            while selector.get_map():
                left = self._until - time.monotonic()
                if left <= 0 and self._is_over:
                    return  # somebody outside the walls still holds a pipe
                if left <= 0:
                    self._end("time")
                    continue
                for key, _ in selector.select(left):
                    self._serve(key, selector)

    def _serve(self, key: selectors.SelectorKey, selector: selectors.BaseSelector) -> None:
        """Read from a stream, or write to it; forget it at its end."""
        try:
            if key.data == "stdin":
                self._input = self._input[os.write(key.fd, self._input[:CHUNK]) :]
                is_over = not self._input
            else:
                data = os.read(key.fd, CHUNK)
                is_over = not data
                self._take(key.data, data)
        except BlockingIOError:
            return
        except OSError:  # the other end is closed
            is_over = True
        if is_over:
            selector.unregister(key.fileobj)
            if key.data == "stdin":
                key.fileobj.close()  # type: ignore[union-attr]
            elif key.data == "control":
                self._is_over, self._until = True, min(self._until, time.monotonic() + GRACE_SECONDS)

    def _take(self, name: str, data: bytes) -> None:
        if name != "control":
            output = self._output[name]
            output += data[: self._limits.output + 1 - len(output)]
            if len(output) > self._limits.output:
                del output[self._limits.output :]
                self._end("output")
            return
        self._heard += data
        *lines, self._heard = self._heard.split(b"\n")
        for line in lines:
            self._told |= json.loads(line)
            if "started" in self._told and not self._begun:
                self._begun = time.monotonic()
                self._until = self._begun + self._limits.seconds

    def _end(self, why: Literal["time", "output"]) -> None:
        """End the program, for the first reason that there is."""
        if self._ended == "exit" and "status" not in self._told:
            self._ended = why
            self.stop()
        self._is_over, self._until = True, time.monotonic() + GRACE_SECONDS

    def _reap(self, process: subprocess.Popen[bytes]) -> None:
        """See the launcher to its end, whatever became of this call."""
        self.stop()
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for name in STREAMS:
            with suppress(OSError):  # what was to be written is not read any more
                getattr(process, name).close()

    def _advice(self) -> str:
        is_walls = self._spec["isolation"] != "none" and "cannot be started" not in self._told["refused"]
        return (
            "; this kernel, container or account does not isolate programs (unprivileged user namespaces). Allow them, "
            "or pass isolation='none': the program may then use the network, and whatever files this account may"
            if is_walls
            else ""
        )


def _remove(folder: str) -> None:
    """Remove a folder that a program has had; nothing outside it is touched, wherever links in it lead."""
    with suppress(OSError):
        Path(folder).rmdir()  # an empty one takes no descriptor, of which there may be none
        return
    if os.getuid():  # to root all folders are open
        _open(Path(folder))
        for parent, names, _ in os.walk(folder):
            for name in names:
                _open(Path(parent, name))
    shutil.rmtree(folder, ignore_errors=True)
    if os.path.lexists(folder):
        log.warning("the folder of a program could not be removed: %s", folder)


def _open(folder: Path) -> None:
    if not folder.is_symlink():
        folder.chmod(0o700)
