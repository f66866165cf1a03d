"""The first process of a run: it builds the walls, starts the program inside them, and ends whatever is left of it.

It is started by its path as `python -I -S launcher.py FD`, has nothing from mollm's environment, and imports nothing of
mollm. What a process may do cannot be changed between `fork` and `exec` of one that has threads, as a server does, so a
fresh one does it.

    mollm -> launcher -> init (process 1 of its namespace) -> program
                         its death ends every process in the namespace

Where nothing is isolated there is no init: the launcher adopts what the program leaves behind, and ends that.

`FD` is a socket. The launcher reads a specification from it, in JSON, and tells in lines of JSON: `{"refused": why}`,
or `{"started": true}` and then `{"status": N}`.
"""

from __future__ import annotations

import binascii
import ctypes
import json
import os
import resource
import signal
import stat
import struct
import sys
import time
from contextlib import suppress
from typing import Any, NoReturn

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH, AT_FDCWD, AT_RECURSIVE = 2, -100, 0x8000
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV, ATTR_NOEXEC = 1, 2, 4, 8
SYS_MOUNT_SETATTR = 442
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP = 1, 4, 22
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38

NOBODY = 65534
"""The user outside as whom a program of root's runs."""
USER = 1000
"""The user inside."""
FEWEST_KERNEL = (5, 14)
"""Since then processes are counted for each user namespace."""
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
ETC = ("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime")
ETC_OF_NETWORK = ("/etc/hosts", "/etc/nsswitch.conf", "/etc/pki", "/etc/resolv.conf", "/etc/ssl")
DEVICES = ("/dev/full", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero")
ANY_MACHINE = (425, 426, 427, 447)  # io_uring_*, memfd_secret
DENIED = {
    # memfd_create, shmget, semget, msgget: memory that no limit counts; bpf, perf_event_open, userfaultfd, add_key,
    # request_key, keyctl, unshare, setns: what a program hardly needs, and holes in kernels often did
    "x86_64": (0xC000003E, (319, 29, 64, 68, 321, 298, 323, 248, 249, 250, 272, 308)),
    "aarch64": (0xC00000B7, (279, 194, 190, 186, 280, 241, 282, 217, 218, 219, 97, 268)),
}
"""By machine, how the kernel names it, and numbers of system calls that fail with EPERM."""
OLD = "/.old"
"""Where the files of the machine are while the room is furnished."""
HOME = "/box"
"""The program's folder."""

libc = ctypes.CDLL(None, use_errno=True)


class Refused(Exception):
    """The program cannot be run as it should be, and was not."""


def call(what: str, function: Any, *arguments: Any) -> None:
    """Call a function of the C library. Raises `Refused` where it fails."""
    if function(*arguments):
        raise Refused(f"{what}: {os.strerror(ctypes.get_errno())}")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """mount(2)."""
    arguments = (source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())
    call(f"mounting {target}", libc.mount, *arguments)


def read_only(target: str, attributes: int) -> None:
    """mount_setattr(2), of everything that is mounted at `target`; it only ever takes rights away."""
    wanted = struct.pack("QQQQ", attributes | ATTR_RDONLY | ATTR_NOSUID, 0, 0, 0)  # `struct mount_attr`
    size = ctypes.c_size_t(len(wanted))
    arguments = (ctypes.c_long(SYS_MOUNT_SETATTR), AT_FDCWD, target.encode(), AT_RECURSIVE, wanted, size)
    call(f"making {target} read-only", libc.syscall, *arguments)


def write(path: str, text: str) -> None:
    """Write a file of the kernel's."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def end_with(parent: int) -> None:
    """Be ended as soon as the thread ends that started this process; `parent` is its process."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def enter_namespaces(flags: int) -> None:
    """Move this process, and all that it starts, into namespaces of their own.

    Root is root in there, to furnish the room, beside the user as whom the program runs. Anybody else is that user.
    """
    release = os.uname().release
    if tuple(int("".join(filter(str.isdigit, part)) or 0) for part in release.split(".")[:2]) < FEWEST_KERNEL:
        raise Refused(f"it takes Linux 5.14 or later, and this is {release}")
    user, group = os.getuid(), os.getgid()
    if user == 0:
        _unshare_as_root(flags, f"0 0 1\n{USER} {NOBODY} 1")
        return
    call("a user namespace", libc.unshare, CLONE_NEWUSER | flags)
    write("/proc/self/setgroups", "deny")
    write("/proc/self/uid_map", f"{USER} {user} 1")
    write("/proc/self/gid_map", f"{USER} {group} 1")


def _unshare_as_root(flags: int, known: str) -> None:
    """Only a process outside may say that several users are known inside."""
    told, tell = os.pipe()
    here = os.getpid()
    helper = os.fork()
    if helper == 0:
        os.close(tell)
        try:
            if os.read(told, 1):
                write(f"/proc/{here}/uid_map", known)
                write(f"/proc/{here}/gid_map", known)
        except OSError as error:
            os._exit(error.errno or 1)
        os._exit(0)
    try:
        call("a user namespace", libc.unshare, CLONE_NEWUSER | flags)
        os.write(tell, b".")
    finally:
        os.close(tell)
        os.close(told)
        status = os.waitstatus_to_exitcode(os.waitpid(helper, 0)[1])
    if status:
        raise Refused(f"the users of a user namespace: {os.strerror(status)}")


def furnish(spec: dict[str, Any]) -> None:
    """Make a root of its own, in memory: what the program may read, and an empty folder."""
    with suppress(OSError):  # where /proc/sys cannot be written, the program may make namespaces within its own
        write("/proc/sys/user/max_user_namespaces", "0")
    etc = ETC + (ETC_OF_NETWORK if spec["has_network"] else ())
    is_system = tuple(f"{folder}/" for folder in SYSTEM)
    shown = [*SYSTEM, *etc, *(path for path in spec["read"] if not path.startswith(is_system))]
    real = {path: os.path.realpath(path) for path in shown if os.path.exists(path)}
    base = "/tmp"  # noqa: S108 - a place to mount on, of which nothing is used
    call("private mounts", libc.mount, None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)
    size = f"mode=755,size={spec['disk']},nr_inodes=16384"
    mount("tmpfs", base, "tmpfs", MS_NOSUID | MS_NODEV, size)
    os.mkdir(base + OLD)
    call("a root of its own", libc.pivot_root, base.encode(), (base + OLD).encode())
    os.chdir("/")
    bound: list[str] = []
    for path in sorted(real):
        if not any(path.startswith(f"{other}/") for other in bound):
            bound += [path] if bind(path, real[path]) else []
    for device in DEVICES:
        bind(device, device, ATTR_NOEXEC)
    os.mkdir("/proc")
    with suppress(Refused):  # a container may hide a part of it, and then the kernel shows none: the folder stays empty
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "subset=pid")
    call("the files of the machine", libc.umount2, OLD.encode(), MNT_DETACH)
    os.rmdir(OLD)
    for folder in (HOME, "/tmp", "/dev/shm"):  # noqa: S108
        os.makedirs(folder, exist_ok=True)
        os.chown(folder, USER, USER)
    for name, where in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{where}", f"/dev/{name}")
    with suppress(FileExistsError), open("/etc/passwd", "x", encoding="utf-8") as passwd:
        passwd.write(f"user:x:{USER}:{USER}::{HOME}:/bin/sh\n")


def bind(path: str, real: str, attributes: int = ATTR_NODEV) -> bool:
    """Show a file or a folder of the machine, to be read; returns whether anything is mounted there."""
    if path in SYSTEM and real != path and real.startswith("/usr/"):
        os.symlink(real, path)
        return False
    source = OLD + real
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if stat.S_ISDIR(os.stat(source).st_mode):
        os.makedirs(path, exist_ok=True)
        mount(source, path, "", MS_BIND | MS_REC)
    else:
        os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC | os.O_WRONLY, 0o644))
        mount(source, path, "", MS_BIND)
    read_only(path, attributes)
    return True


def deny_calls() -> None:
    """Have system calls fail that take what no limit counts; on a machine whose numbers are not known here, none."""
    if os.uname().machine not in DENIED:
        return
    machine, denied = DENIED[os.uname().machine]
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06  # of 32 bits; compare, of these two; return
    refuse, allow = 0x00050001, 0x7FFF0000
    numbers = (*denied, *ANY_MACHINE)
    steps = [(load, 0, 0, 4), (equal, 0, len(numbers) + 3, machine), (load, 0, 0, 0)]
    steps += [(at_least, len(numbers) + 1, 0, 0x40000000)]  # the same calls under other numbers
    steps += [(equal, len(numbers) - index, 0, number) for index, number in enumerate(numbers)]
    steps += [(give, 0, 0, allow), (give, 0, 0, refuse)]
    filters = b"".join(struct.pack("HBBI", *step) for step in steps)
    held = ctypes.create_string_buffer(filters, len(filters))
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(held))
    call("a filter of system calls", libc.prctl, PR_SET_SECCOMP, 2, program, 0, 0)


def limit(spec: dict[str, Any], processes: int) -> None:
    """Set the limits of this process, and of all that it starts."""
    cpu = spec["cpu_seconds"]
    wanted = {
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_CPU: (cpu, cpu + 1),
        resource.RLIMIT_AS: (spec["memory"], spec["memory"]),
        resource.RLIMIT_FSIZE: (spec["disk"], spec["disk"]),
        resource.RLIMIT_NOFILE: (spec["open_files"], spec["open_files"]),
        resource.RLIMIT_NPROC: (processes, processes),
        resource.RLIMIT_MSGQUEUE: (0, 0),
    }
    for which, (soft, hard) in wanted.items():
        most = resource.getrlimit(which)[1]
        if most != resource.RLIM_INFINITY:
            soft, hard = min(soft, most), min(hard, most)
        resource.setrlimit(which, (soft, hard))


def become(user: int) -> None:
    """Give up root, if this is root; the streams go with it."""
    if os.getuid() == 0:
        for stream in (0, 1, 2):
            os.fchown(stream, user, user)
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)


def write_files(files: dict[str, str], folder: str) -> None:
    """Write the program's files."""
    for name, content in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "xb") as file:
            file.write(binascii.a2b_base64(content))


def found(command: str, path: str) -> str:
    """Where a command is; `os.execvpe` imports what may not be there any more."""
    places = [command] if "/" in command else [f"{folder}/{command}" for folder in path.split(":")]
    return next((place for place in places if os.access(place, os.X_OK)), places[-1])


def execute(spec: dict[str, Any], user: int, processes: int, control: int) -> NoReturn:
    """Become the program. Where that fails, say why and end."""
    is_nobody = os.getuid() == 0 and spec["isolation"] == "none"
    try:
        os.setsid()
        become(user)
        os.umask(0o022)
        write_files(spec["files"], spec["folder"])
        os.chdir(spec["folder"])
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        path = found(spec["argv"][0], spec["env"]["PATH"])
        deny_calls()
        limit(spec, processes)
        tell(control, started=True)
        os.execve(path, spec["argv"], spec["env"])  # noqa: S606 - there is no shell to be fooled
    except BaseException as error:  # noqa: BLE001 - this process is never to go on as the launcher
        tell(control, refused=f"{spec['argv'][0]} cannot be started{' as nobody' * is_nobody}: {error}")
    os._exit(127)


def tell(control: int, **what: Any) -> None:
    """Send a line to mollm, which may have stopped listening."""
    with suppress(OSError):
        os.write(control, json.dumps(what).encode() + b"\n")


def confined(spec: dict[str, Any], control: int) -> None:
    """Run the program within walls."""
    flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | (0 if spec["has_network"] else CLONE_NEWNET)
    enter_namespaces(flags)
    alive, living = os.pipe()
    init = os.fork()
    if init:
        os.close(living)
        os.waitpid(init, 0)  # whoever ends this process ends init, and so all
        return
    os.close(alive)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.write(living, b".")  # fails, and ends this process, if its parent ended before it could be missed
    os.close(living)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    furnish(spec)
    # As the user inside, this process and its parent count as well.
    processes = spec["processes"] + (0 if os.getuid() == 0 else 2)
    program = os.fork()
    if program == 0:
        execute(spec, USER, processes, control)
    forget_streams()
    ended, status = -1, 0
    while ended != program:
        ended, status = os.waitpid(-1, 0)
    tell(control, status=os.waitstatus_to_exitcode(status))


def forget_streams() -> None:
    """Close the program's streams here, so that they end when it closes them."""
    nothing = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)


def bounded(spec: dict[str, Any], control: int) -> None:
    """Run the program with limits alone, and end what it leaves behind."""
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    user = os.getuid() or NOBODY
    processes = spec["processes"] + tasks_of(user)
    program = os.fork()
    if program == 0:
        execute(spec, user, processes, control)
    signal.signal(signal.SIGTERM, lambda *_: end_descendants())
    forget_streams()
    ended, status = -1, 0
    while ended != program:
        ended, status = os.waitpid(-1, 0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_descendants(exits=False)
    tell(control, status=os.waitstatus_to_exitcode(status))


def end_descendants(*, exits: bool = True) -> None:
    """End all processes that descend from this one; those whose parent ends become its own children."""
    here = str(os.getpid())
    while True:
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError), open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                if file.read().rpartition(")")[2].split()[1] == here:
                    os.kill(int(pid), signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            break
        time.sleep(0.005)
    if exits:
        os._exit(1)


def tasks_of(user: int) -> int:
    """The threads of a user, which all count against its limit."""
    count = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            if os.stat(f"/proc/{pid}").st_uid == user:
                count += len(os.listdir(f"/proc/{pid}/task"))
    return count


def main() -> None:
    """Read what is to be run, and run it."""
    control = int(sys.argv[1])
    os.set_inheritable(control, False)  # whoever has it says how the program ended
    # How signals are handled is inherited, by the program as well.
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    try:
        with open(control, "rb", closefd=False) as told:
            spec = json.loads(told.read())
        end_with(spec["parent"])
        with suppress(OSError):
            write("/proc/self/oom_score_adj", "1000")  # where memory is short, this is what goes first
        (bounded if spec["isolation"] == "none" else confined)(spec, control)
    except BaseException as error:  # noqa: BLE001 - no process of this file is ever to go on as another
        tell(control, refused=str(error) if isinstance(error, Refused | OSError) else repr(error))
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
