"""Starts hosts and pods: the one program of the lab that calls unshare, setns and mount.

Reads one JSON object on stdin, ``{"namespaces": [NS...], "hosts": [HOST...], "pods": [POD...]}``, and prints
``{NAME: PID}`` for hosts and pods as this process sees the process ids. A host is process 1 of its own PID,
mount, UTS, IPC and cgroup namespaces in a network namespace that exists already; a pod joins its host's
namespaces and gets a network namespace of its own. A failure is one line on stderr and exit status 1;
whatever was started stays, to be found by its network namespace.

NS: ``name, netns (path), sysctls``, for a namespace without processes.
HOST: ``name, netns (path), cgroups (directories), unified (whether they are of cgroup version 2), pod_logs (folders
below /var/log/pods), sysctls {path below /proc/sys: value}, files {path: text}, argv, log``.
POD: ``name, host_pid, host_network, cgroups, sysctls, argv``.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

NEW_NS, NEW_CGROUP, NEW_UTS = 0x00020000, 0x02000000, 0x04000000
NEW_IPC, NEW_PID, NEW_NET = 0x08000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 0x4000, 0x40000
MNT_DETACH = 2
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
SCM_CREDENTIALS = 2
KEPT_ENVIRONMENT = ("PATH", "LANG", "SKOOPCTL_LAB")

_libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    """Raise OSError for a C call that returned -1."""
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def in_words(error: OSError) -> str:
    """Return what failed, with the file if there is one."""
    return ": ".join(str(part) for part in (error.filename, error.strerror or error) if part)


def unshare(flags: int) -> None:
    """Leave namespaces for new ones."""
    check(_libc.unshare(flags), f"unshare {flags:#x}")


def setns(path: str, kind: int) -> None:
    """Enter the namespace that a file stands for."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    check(_libc.setns(fd, kind), f"setns {path}")
    os.close(fd)


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount a file system, or change the propagation of one."""
    args = [text.encode() if text else None for text in (source, target, kind)]
    check(_libc.mount(*args, flags, options.encode() or None), f"mount {target}")


def write(path: Path, text: str) -> None:
    """Write a file, and its name into the error if that fails."""
    try:
        path.write_text(text, encoding="ascii")
    except OSError as error:
        raise OSError(error.errno, f"write {text!r} to {path}: {error.strerror}") from None


def loopback_up() -> None:
    """Bring up lo in the current network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(sock, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def set_sysctls(values: dict[str, str]) -> None:
    """Write sysctls of the current network namespace; order matters, since ip_forward resets others."""
    for name, value in values.items():
        write(Path("/proc/sys") / name, value)


def join_cgroups(directories: list[str]) -> None:
    """Move this process, and so its children, into cgroups."""
    for directory in directories:
        write(Path(directory, "cgroup.procs"), "0")


def redirect(log: str) -> None:
    """Read from nothing, and write to a log file or to nothing."""
    null = os.open(os.devnull, os.O_RDWR)
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) if log else null
    for fd, target in ((null, 0), (out, 1), (out, 2)):
        os.dup2(fd, target)


def execute(argv: list[str]) -> NoReturn:
    """Become ``argv`` with a small environment and default signals."""
    for number in (signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    environment = {key: os.environ[key] for key in KEPT_ENVIRONMENT if key in os.environ}
    os.execve(argv[0], argv, environment)  # noqa: S606 - the lab's own programs


def start(task: Callable[[socket.socket], None]) -> int:
    """Run ``task`` in a child; return the process id that the process it leaves behind has here.

    That process announces itself through a socket with its credentials, which the kernel translates between
    PID namespaces, and ends the conversation by exec. What it writes there otherwise is an error.
    """
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    child = os.fork()
    if child == 0:
        ours.close()
        try:
            task(theirs)
        except OSError as error:
            theirs.send(f"!{in_words(error)}".encode())
            os._exit(1)
        os._exit(0)
    theirs.close()
    pid, text = 0, b""
    while True:
        data, ancillary, _, _ = ours.recvmsg(4096, socket.CMSG_SPACE(12))
        if not data:
            break
        text += data
        for _, kind, credentials in ancillary:
            if kind == SCM_CREDENTIALS:
                pid = struct.unpack("3i", credentials)[0]
    os.waitpid(child, 0)
    ours.close()
    if text != b"+":
        raise OSError(0, text.decode("utf-8", "replace").strip("+!") or "it died")
    return int(pid)


def start_host(host: dict[str, Any]) -> int:
    """Start a host; its process 1 execs ``argv`` (an SSH server)."""

    def task(report: socket.socket) -> None:
        setns(host["netns"], NEW_NET)
        join_cgroups(host["cgroups"])
        unshare(NEW_NS | NEW_UTS | NEW_IPC | NEW_PID | NEW_CGROUP)
        if os.fork():
            return
        os.setsid()
        report.send(b"+")
        try:
            redirect(host["log"])
            furnish(host)
            execute(host["argv"])
        except OSError as error:
            report.send(f"!{in_words(error)}".encode())
            os._exit(1)

    return start(task)


def furnish(host: dict[str, Any]) -> None:
    """Give a host its own /proc, /sys, /run, /var/log and name; none of its mounts reach the machine."""
    mount("", "/", "", MS_REC | MS_PRIVATE)
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for target in reversed(Path("/proc/self/mounts").read_text(encoding="utf-8").split("\n")):
        where = target.split(" ")[1:2]
        if where and where[0].startswith(("/run/", "/sys/")):
            detach(where[0])
    mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    if host["unified"]:
        mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("tmpfs", "/var/log", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=4m")
    for name in host["pod_logs"]:
        Path("/var/log/pods", name).mkdir(parents=True)
    mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=16m")
    Path("/run/sshd").mkdir(mode=0o755)
    Path("/run/lock").mkdir(mode=0o755)
    for path, text in host["files"].items():
        file = Path(path)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600)
        write(file, text)
    socket.sethostname(host["name"])
    loopback_up()
    set_sysctls(host["sysctls"])


def detach(target: str) -> None:
    """Take a mount away. One that went by itself meanwhile is gone as well.

    A file that is deleted on the machine (``ip netns del``) takes the mounts upon it out of every mount namespace
    (fs/namespace.c: __detach_mounts): then it is no mount point, or not there.
    """
    if _libc.umount2(target.encode(), MNT_DETACH) and ctypes.get_errno() not in {errno.EINVAL, errno.ENOENT}:
        check(-1, f"umount {target}")


def start_pod(pod: dict[str, Any]) -> int:
    """Start a pod's process in its host's PID namespace, as a child of that namespace's process 1."""
    base = f"/proc/{pod['host_pid']}/ns"

    def task(report: socket.socket) -> None:
        join_cgroups(pod["cgroups"])
        entered = (
            ("cgroup", NEW_CGROUP),
            ("uts", NEW_UTS),
            ("ipc", NEW_IPC),
            ("net", NEW_NET),
            ("pid", NEW_PID),
        )
        for name, kind in entered:
            setns(f"{base}/{name}", kind)
        setns(f"{base}/mnt", NEW_NS)
        # Two forks: the first enters the PID namespace, the second is an orphan there; process 1 reaps it.
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            return
        if os.fork():
            os._exit(0)
        os.setsid()
        report.send(b"+")
        try:
            redirect("")
            if not pod["host_network"]:
                unshare(NEW_NET)
                loopback_up()
                set_sysctls(pod["sysctls"])
            os.chdir("/")
            execute(pod["argv"])
        except OSError as error:
            report.send(f"!{in_words(error)}".encode())
            os._exit(1)

    return start(task)


def prepare_namespace(item: dict[str, Any]) -> int:
    """Set a namespace's sysctls and bring up its lo; no process stays."""

    def task(report: socket.socket) -> None:
        setns(item["netns"], NEW_NET)
        loopback_up()
        set_sysctls(item["sysctls"])
        report.send(b"+")

    start(task)
    return 0


def main() -> None:
    """Start everything that was asked for, in order."""
    request = json.load(sys.stdin)
    pids = {}
    for kind, starter in (("namespaces", prepare_namespace), ("hosts", start_host), ("pods", start_pod)):
        for item in request.get(kind, ()):
            try:
                pid = starter(item)
            except OSError as error:
                sys.exit(f"{item['name']}: {error.strerror}")
            if pid:
                pids[item["name"]] = pid
    print(json.dumps(pids))  # noqa: T201 - stdout is the answer


if __name__ == "__main__":
    main()
