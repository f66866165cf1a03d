"""A program that nobody has read reaches nothing, takes no more than it may, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import pytest

from mollm.errors import SandboxError
from mollm.sandbox import Isolation, Limits, Result, arun, run
from mollm.sandbox.running import GRACE_SECONDS

MIB = 1024 * 1024
SHORT = Limits(seconds=1.0)


@pytest.fixture(scope="session")
def refusal() -> str:
    """Why this kernel isolates nothing; empty where it does."""
    try:
        run(["true"])
    except SandboxError as error:
        return str(error)
    return ""


@pytest.fixture
def walls(refusal: str) -> None:
    """The kernel isolates programs; where it does not, it is checked that none is run."""
    if refusal:
        assert "isolation='none'" in refusal
        pytest.skip(f"no program is isolated here, and it was checked that none is run: {refusal}")


def python(code: str, **options: object) -> Result:
    """Run Python code, written with indentation."""
    return run(textwrap.dedent(code), **options)  # type: ignore[arg-type]


def descendants() -> set[int]:
    """The processes that this one has started, and those that they have."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}


def running(marker: str) -> list[str]:
    """The command lines of all processes that hold a text."""
    lines = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            lines += [line] if marker in line else []
    return lines


# What it is for.


@pytest.mark.usefixtures("walls")
def test_code_is_run_with_its_files_and_its_input() -> None:
    """What it prints, to which stream, and its exit status come back."""
    found = python(
        """
        import sys, answer
        from data import deep
        print(answer.double(int(input())), deep.X, open("notes/a.txt").read(), end="")
        print("to stderr", file=sys.stderr)
        sys.exit(3)
        """,
        stdin="21\n",
        files={
            "answer.py": "def double(x): return 2 * x",
            "data/deep.py": "X = 7",
            "notes/a.txt": "süß".encode(),
        },
    )

    assert (found.status, found.stdout, found.stderr) == (3, "42 7 süß", "to stderr\n")
    assert (found.ended, found.is_ok, found.timed_out) == ("exit", False, False)


@pytest.mark.usefixtures("walls")
def test_its_folder_has_its_own_files_alone() -> None:
    """Wherever the interpreter and what it may read lie."""
    found = python(
        """
        import os
        print(os.getcwd(), sorted(os.listdir()), os.listdir("/tmp") if "/tmp/" not in os.sys.prefix else [])
        for path in ("x", "a/b", "/tmp/x", "/dev/shm/x"):
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            open(path, "w").close()
        print(open("/dev/stdin").read(), file=open("/dev/stderr", "w"))
        """,
        stdin="through /dev",
        files={"a/c": ""},
    )

    assert (found.stdout, found.stderr) == ("/box ['a', 'main.py'] []\n", "through /dev\n")


@pytest.mark.usefixtures("walls")
def test_any_command_of_the_system_is_run() -> None:
    """With its arguments, as they are; a signal that ends it shows as a negative status."""
    assert run(["sh", "-c", 'printf %s "$1"', "sh", "a b; $(echo c)"]).stdout == "a b; $(echo c)"
    assert run(["sh", "-c", "kill -9 $$"]).status == -signal.SIGKILL


@pytest.mark.usefixtures("walls")
def test_packages_of_this_environment_can_be_imported() -> None:
    """Code under test needs them."""
    assert run("import yaml, sys; print(sys.prefix)").stdout.strip() == sys.prefix


@pytest.mark.usefixtures("walls")
def test_what_may_be_read_is_where_it_is_here(tmp_path: Path) -> None:
    """A folder named under `read` can be read, and not be written."""
    (tmp_path / "fixture.txt").write_text("here")
    tmp_path.chmod(0o755)  # of what root runs, nobody else may read more
    code = f"print(open({str(tmp_path / 'fixture.txt')!r}).read()); open({str(tmp_path / 'new')!r}, 'w')"

    found = run(code, read=[tmp_path])

    assert found.stdout == "here\n"
    assert "Read-only file system" in found.stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["../out", "/etc/out", "a/../../b", "", "a\0b"])
def test_a_file_stays_in_its_folder(name: str) -> None:
    """A name that leads elsewhere is refused before anything is run."""
    with pytest.raises(ValueError, match="no name of a file"):
        run("pass", files={name: "x"})


def test_a_wrong_call_is_named(tmp_path: Path) -> None:
    """Limits that are none, a program that is none, and what cannot be shown to it."""
    with pytest.raises(ValueError, match="it is not there"):
        run("pass", read=[tmp_path / "x"])
    for path in ("/", "/tmp", "/proc/1", "/dev", "/box/.."):  # noqa: S108
        with pytest.raises(ValueError, match="a program has its own"):
            run("pass", read=[path])
    with pytest.raises(ValueError, match="seconds must be above 0"):
        Limits(seconds=0)
    with pytest.raises(ValueError, match="a command is a list"):
        run([])
    with pytest.raises(ValueError, match=r"main\.py is the program"):
        run("pass", files={"main.py": "x"})
    with pytest.raises(ValueError, match="isolation must be"):
        run("pass", isolation="some")  # type: ignore[arg-type]


@pytest.mark.usefixtures("walls")
def test_a_command_that_is_not_there_is_named() -> None:
    """It is no result of a program: none was run."""
    with pytest.raises(SandboxError, match=r"no-such-command cannot be started: .*No such file"):
        run(["no-such-command"])


def test_another_system_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is run where nothing can be isolated."""
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SandboxError, match="on Linux only, and this is darwin"):
        run("pass")


def test_a_kernel_that_gives_no_namespaces_is_refused_by_name(refusal: str) -> None:
    """Nothing is run; the error says why, and what allows it."""
    if refusal:
        assert "isolation='none'" in refusal
        return
    # A namespace in which no other may be made is such a kernel to whoever is in it.
    code = """
    from mollm.sandbox import launcher, run
    from mollm.errors import SandboxError
    launcher.enter_namespaces(0)
    launcher.write("/proc/sys/user/max_user_namespaces", "0")
    try:
        run(["touch", "/tmp/it-ran"])
    except SandboxError as error:
        print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)

    assert "a user namespace: No space left on device" in done.stdout
    assert "pass isolation='none'" in done.stdout


# What it must not reach.


@pytest.mark.usefixtures("walls")
def test_nothing_of_the_environment_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in its own nor in that of a process that it can see, and no descriptor but its streams."""
    monkeypatch.setenv("MOLLM_TEST_SECRET", "s3cr3t")
    with Path(__file__).open() as held:
        os.set_inheritable(held.fileno(), True)
        found = python(
            """
            import os
            seen = [dict(os.environ)]
            for pid in filter(str.isdigit, os.listdir("/proc")):
                for name in ("environ", "cmdline"):
                    try: seen.append(open(f"/proc/{pid}/{name}").read())
                    except OSError: pass
            print(seen)
            for number in range(3, 256):
                try: print("open:", number, os.readlink(f"/proc/self/fd/{number}"), os.fstat(number))
                except OSError: pass
            """
        )

    assert found.is_ok, found
    assert "s3cr3t" not in found.stdout
    assert "open:" not in found.stdout
    assert "'PATH'" in found.stdout


@pytest.mark.usefixtures("walls")
def test_files_of_the_account_are_not_there(tmp_path: Path) -> None:
    """They can be neither read, nor written, nor removed; the system and Python can be read alone."""
    secret = tmp_path / "key"
    secret.write_text("s3cr3t")
    found = python(
        f"""
        import os, sys
        for path in ({str(secret)!r}, {str(Path.home() / ".profile")!r}, "/etc/shadow", "/proc/1/root{secret}",
                     "/proc/1/environ", {str(Path(__file__))!r}):
            try: print("READ", path, open(path).read()[:9])
            except OSError as error: pass
        for path in ("/usr/x", os.path.join(sys.prefix, "x"), {str(tmp_path / "x")!r}, "/x", "/etc/x", "/dev/x"):
            try: open(path, "w"); print("WROTE", path)
            except OSError as error: pass
        """
    )

    assert (found.stdout, found.stderr) == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


@pytest.mark.usefixtures("walls")
def test_there_is_no_network() -> None:
    """Neither to a listener on this machine, by address or by abstract name, nor to anywhere else."""
    with socket.socket() as listener, socket.socket(socket.AF_UNIX) as abstract:
        listener.bind(("127.0.0.1", 0))
        abstract.bind(f"\0mollm-{os.getpid()}")
        for server in (listener, abstract):
            server.listen()
        port = listener.getsockname()[1]
        code = f"""
        import socket
        for family, address in ((socket.AF_INET, ("127.0.0.1", {port})), (socket.AF_INET, ("1.1.1.1", 53)),
                                (socket.AF_INET6, ("::1", {port})), (socket.AF_UNIX, "\\0mollm-{os.getpid()}")):
            try: socket.socket(family).connect(address); print("reached", address)
            except OSError as error: print(family.name)
        try: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("1.1.1.1", 53)); print("reached")
        except OSError: print("UDP")
        """
        assert python(code).stdout.split() == ["AF_INET", "AF_INET", "AF_INET6", "AF_UNIX", "UDP"]

        connect = f"import socket; socket.create_connection(('127.0.0.1', {port}), 5); print('reached')"
        assert run(connect, isolation="network").stdout == "reached\n", "the one that it is allowed by name"


@pytest.mark.usefixtures("walls")
def test_no_process_outside_can_be_seen_or_ended() -> None:
    """Killing its parent, every process, or ours by its number does nothing; nor does tracing its parent."""
    found = python(
        f"""
        import ctypes, os, signal
        print(sorted(map(int, filter(str.isdigit, os.listdir("/proc")))) in ([1, os.getpid()], []))
        for pid in ({os.getpid()}, {os.getppid()}, os.getppid()):
            try: os.kill(pid, signal.SIGKILL)
            except OSError as error: print(type(error).__name__)
        print(ctypes.CDLL(None).ptrace(16, 1, 0, 0))
        for name in ("mem", "maps"):
            try: open(f"/proc/1/{{name}}").read(1); print("READ")
            except OSError: pass
        try: os.kill(-1, 0)
        except OSError as error: print(type(error).__name__)
        """
    )

    assert found.status == 0, found
    lines = found.stdout.split()
    assert "READ" not in lines
    assert lines[0] == "True"
    assert lines.count("ProcessLookupError") >= 2
    assert "-1" in lines


@pytest.mark.usefixtures("walls")
def test_it_has_no_rights_and_gets_none() -> None:
    """No capability, none by executing anything, no namespace within its own, no mount, and no other user."""
    found = python(
        """
        import ctypes, os
        libc = ctypes.CDLL(None)
        status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
        print(int(status["CapEff"], 16), int(status["CapPrm"], 16), status["NoNewPrivs"].strip())
        print(libc.unshare(0x10000000), libc.mount(b"none", b"/tmp", b"tmpfs", 0, None), libc.chroot(b"/tmp"))
        try: os.setuid(0)
        except OSError as error: print(type(error).__name__)
        """
    )

    nested = Path("/proc/sys/user/max_user_namespaces")
    unshared = "-1" if os.access(nested, os.W_OK) or os.getuid() else "0"
    assert found.stdout.split() in (
        ["0", "0", "1", unshared, "-1", "-1", "PermissionError"],
        ["0", "0", "1", "-1", "-1", "-1", "PermissionError"],
    )


# What it must not take.


@pytest.mark.usefixtures("walls")
def test_a_fork_bomb_is_bounded() -> None:
    """It has so many processes and no more, and all are gone when its time is over."""
    code = """
    import os, time
    count = 1
    try:
        while True:
            if os.fork() == 0:
                time.sleep(60)
            count += 1
    except BlockingIOError:
        print(count, flush=True)
    while True:
        try: os.fork()
        except OSError: pass
    """
    before = descendants()
    found = python(code, limits=Limits(seconds=1, processes=8))

    assert found.timed_out
    assert found.stdout.split()[0] == "8"
    assert descendants() <= before


@pytest.mark.usefixtures("walls")
def test_memory_is_bounded() -> None:
    """A program that asks for more is refused it, and told so."""
    found = run("x = bytearray(200 * 1024 * 1024)", limits=Limits(memory=128 * MIB))

    assert found.status == 1
    assert "MemoryError" in found.stderr


@pytest.mark.usefixtures("walls")
def test_files_are_bounded_together() -> None:
    """One that is too large, and many that are too large together; and how many there are."""
    found = python(
        """
        import os
        def fill(path, size):
            with open(path, "wb") as file:
                for _ in range(size): file.write(bytes(2 ** 20))
        written = 0
        try:
            for number in range(20): fill(f"{number}", 1); written += 1
        except OSError as error: print(written, error.strerror)
        for folder in (".", "/tmp", "/dev/shm"):
            try: fill(f"{folder}/more", 2); print("more")
            except OSError as error: pass
        """,
        limits=Limits(disk=8 * MIB),
    )
    many = "for i in range(10**6): open(str(i), 'w').close()"

    assert found.stdout == "8 No space left on device\n" or found.stdout == "7 No space left on device\n"
    assert "No space left on device" in run(many).stderr


@pytest.mark.usefixtures("walls")
def test_cpu_time_and_open_files_are_bounded() -> None:
    """CPU time that is used up is time, whatever the clock says."""
    busy = run("while True: pass", limits=Limits(seconds=20, cpu_seconds=1))
    held = run("f = [open('/dev/null') for _ in range(99)]", limits=Limits(open_files=50))

    assert (busy.timed_out, busy.status) == (True, -signal.SIGXCPU)
    assert busy.seconds < 15
    assert "Too many open files" in held.stderr


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.usefixtures("walls")
def test_output_without_end_is_cut_off(stream: str) -> None:
    """What came until then is kept, up to the limit, and nothing beyond it is held."""
    found = run(f"import sys\nwhile True: sys.{stream}.write('x' * 9999)", limits=Limits(output=100_000))

    assert (found.ended, found.status) == ("output", None)
    assert getattr(found, stream) == "x" * 100_000


@pytest.mark.usefixtures("walls")
def test_what_sleeps_is_ended() -> None:
    """Also where it ignores every signal, has closed its streams, or was never told the end of its input."""
    deaf = """
    import os, signal, time
    for number in range(1, 65):
        try: signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError): pass
    print("deaf", flush=True)
    os.close(1); os.close(2); os.close(0)
    time.sleep(60)
    """
    found = python(deaf, limits=SHORT)

    assert (found.ended, found.status, found.stdout) == ("time", None, "deaf\n")
    assert 1 <= found.seconds < 10


@pytest.mark.usefixtures("walls")
def test_input_that_is_not_read_stops_nobody() -> None:
    """And one that is read to its end has one."""
    assert run("print('done')", stdin=b"x" * (4 * MIB)).stdout == "done\n"
    assert run("import sys; print(len(sys.stdin.read()))", stdin=b"x" * (4 * MIB)).stdout == f"{4 * MIB}\n"
    assert run("import sys; print(len(sys.stdin.read()))").stdout == "0\n"


def test_how_signals_are_handled_here_is_not_inherited(refusal: str) -> None:
    """A server that blocks the signal to end still ends what it runs, and the program has every signal as usual."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        asleep = run(["sleep", "60"], limits=SHORT, isolation="none")
        mask = "" if refusal else run("import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, []))").stdout
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    assert asleep.timed_out
    assert asleep.seconds < 1 + GRACE_SECONDS
    assert mask.strip() in ("", "set()")


def test_where_nothing_is_left_to_run_it_with_it_says_so() -> None:
    """No descriptor, say: the error is mollm's, and nothing is left behind."""
    code = """
    import os, resource
    from mollm.errors import SandboxError
    from mollm.sandbox import run
    held = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    try:
        while True: held.append(os.open("/dev/null", 0))
    except OSError: pass
    for free in range(1, 20):
        os.close(held.pop())
        before = len(os.listdir("/proc/self/fd")) if free > 2 else 0
        try: run(["true"], isolation="none")
        except SandboxError as error: print("Too many open files" in str(error) or error)
        assert not before or len(os.listdir("/proc/self/fd")) == before
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {"True"}


# What it must not leave.

ORPHAN = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", "%s"])
    os._exit(0)
print("left", flush=True)
time.sleep(0.1)
%s
"""


@pytest.mark.usefixtures("walls")
def test_what_it_leaves_behind_is_ended() -> None:
    """A grandchild in a session of its own that holds the streams; the result does not wait for it."""
    marker = f"61.{os.getpid()}"
    found = run(ORPHAN % (marker, ""))

    assert (found.status, found.stdout) == (0, "left\n")
    assert found.seconds < 5
    assert not running(marker)


@pytest.mark.usefixtures("walls")
async def test_cancelling_ends_all_of_it_at_once() -> None:
    """The tree is gone when the cancellation has come back."""
    marker = f"62.{os.getpid()}"
    task = asyncio.create_task(arun(ORPHAN % (marker, "time.sleep(60)")))
    until = time.monotonic() + 20
    while not running(f"sleep {marker}"):
        assert time.monotonic() < until, "it never began"
        await asyncio.sleep(0.02)

    task.cancel()
    begun = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert time.monotonic() - begun < 1.5
    assert not running(marker)


@pytest.mark.usefixtures("walls")
async def test_the_loop_goes_on_meanwhile() -> None:
    """Programs run side by side, and none keeps the event loop; one that fails raises where it is awaited."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    ticking = asyncio.create_task(tick())
    found = await asyncio.gather(*(arun(f"import time; time.sleep(0.3); print({n})") for n in range(4)))
    ticking.cancel()

    assert [result.stdout for result in found] == [f"{n}\n" for n in range(4)]
    assert ticks > 5
    with pytest.raises(SandboxError):
        await arun(["no-such-command"])


@pytest.mark.usefixtures("walls")
def test_runs_leave_nothing_behind() -> None:
    """Neither processes, nor descriptors, nor threads, nor folders."""
    run(["true"])
    before = descendants(), len(os.listdir("/proc/self/fd")), threading.active_count(), set(os.listdir("/tmp"))  # noqa: PTH208, S108
    for number in range(20):
        code = ("exit 0", "exit 1", "kill -9 $$", "sleep 60 & exit 0")[number % 4]
        isolation: Isolation = "none" if number > 15 else "full"
        run(["sh", "-c", f"mkdir a; echo x > a/file; chmod 0 a; {code}"], isolation=isolation)
    after = descendants(), len(os.listdir("/proc/self/fd")), threading.active_count(), set(os.listdir("/tmp"))  # noqa: PTH208, S108

    assert after[:3] == before[:3]
    assert not [name for name in after[3] - before[3] if name.startswith(f"mollm-sandbox-{os.getpid()}-")]


@pytest.mark.usefixtures("walls")
def test_it_ends_with_whoever_started_it() -> None:
    """A server that is killed leaves no program running."""
    marker = f"63.{os.getpid()}"
    code = f"from mollm.sandbox import run; run(['sleep', '{marker}'])"
    with subprocess.Popen([sys.executable, "-c", code]) as owner:
        until = time.monotonic() + 20
        while not running(f"sleep {marker}"):
            assert time.monotonic() < until, "it never began"
            time.sleep(0.02)
        owner.kill()
    until = time.monotonic() + 5
    while running(f"sleep {marker}") and time.monotonic() < until:
        time.sleep(0.02)

    assert not running(f"sleep {marker}")


# With limits alone.


def test_without_walls_the_limits_hold() -> None:
    """Time, output, files and an empty environment, where nothing isolates and that is allowed by name."""
    printed = run(["sh", "-c", "pwd; cat a; env"], files={"a": "b\n"}, isolation="none")
    asleep = run(["sleep", "60"], limits=SHORT, isolation="none")
    endless = run(["yes"], limits=Limits(output=1000), isolation="none")
    large = run(["sh", "-c", "head -c 9999999 /dev/zero > big"], limits=Limits(disk=MIB), isolation="none")

    folder, line, *environment = printed.stdout.split("\n")
    assert line == "b"
    assert {entry.partition("=")[0] for entry in environment if entry} <= {"PATH", "HOME", "LANG", "TMPDIR", "PWD"}
    assert not Path(folder).exists(), "its folder is removed"
    assert (asleep.ended, asleep.status) == ("time", None)
    assert (endless.ended, len(endless.stdout)) == ("output", 1000)
    assert large.status != 0


def test_without_walls_what_it_leaves_behind_is_ended() -> None:
    """Also in a session of its own, after its end and when its time is over."""
    marker = f"64.{os.getpid()}"
    for then, ended in (("exit 0", "exit"), ("sleep 60", "time")):
        found = run(["sh", "-c", f"setsid sleep {marker} & sleep 0.2; {then}"], limits=SHORT, isolation="none")

        assert found.ended == ended
        assert not running(f"sleep {marker}")


def test_without_walls_its_folder_is_removed_and_nothing_else(tmp_path: Path) -> None:
    """Links that lead out of it, and folders that it has closed, change nothing outside."""
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o755)
    (victim / "file").write_text("x")
    temporary = Path(tempfile.gettempdir())
    before = temporary.stat().st_mode, victim.stat().st_mode, (victim / "file").stat().st_mode
    code = f"pwd; mkdir -p a/b; ln -s {victim} a/link; ln -s {victim}/file a/b/link; ln -s / c; chmod 0 a/b a ."

    folder = Path(run(["sh", "-c", code], isolation="none").stdout.strip())

    assert folder.parent == temporary
    assert not folder.exists()
    assert (temporary.stat().st_mode, victim.stat().st_mode, (victim / "file").stat().st_mode) == before


def test_the_result_is_plain() -> None:
    """It can be kept as JSON."""
    result = Result(0, "a", "", 0.5)
    assert json.dumps({name: getattr(result, name) for name in Result.__slots__})
