"""Programs of the node: found, run in the current namespace, with a time-out and a cap, and never a shell."""
import posix
import time
from _signal import SIGKILL
from select import select

FOLDERS = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin:/usr/local/bin"


def find_program(name):
    """Return the full path of a program, or None."""
    for folder in (FOLDERS + ":" + posix.environ.get(b"PATH", b"").decode("utf-8", "surrogateescape")).split(":"):
        path = folder + "/" + name
        if folder.startswith("/") and posix.access(path, posix.X_OK) and kind_of(path) == FILE:
            return path
    return None


def spawn(argv, output, errors):
    """Start a program with stdin from /dev/null; it inherits the namespace of the calling thread."""
    environment = {"LC_ALL": "C", "PATH": FOLDERS, "HOME": "/"}
    null = posix.open("/dev/null", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        if hasattr(posix, "posix_spawn"):
            moves = [(posix.POSIX_SPAWN_DUP2, null, 0), (posix.POSIX_SPAWN_DUP2, output, 1), (posix.POSIX_SPAWN_DUP2, errors, 2)]
            return posix.posix_spawn(argv[0], argv, environment, file_actions=moves)
        pid = posix.fork()
        if pid == 0:
            try:
                posix.dup2(null, 0)
                posix.dup2(output, 1)
                posix.dup2(errors, 2)
                posix.execve(argv[0], argv, environment)
            finally:
                posix._exit(127)
        return pid
    finally:
        posix.close(null)


def kill_others():
    """End every other process of our group: a tool may be a script that has started more."""
    group = posix.getpgrp()
    for entry in posix.listdir("/proc"):
        if entry.isdigit() and int(entry) != posix.getpid():
            fields = small_file("/proc/" + entry + "/stat").rpartition(")")[2].split()
            if len(fields) > 2 and int(fields[2]) == group:
                try:
                    posix.kill(int(entry), SIGKILL)
                except OSError:
                    pass  # it has ended meanwhile


def run_program(argv, cap, timeout_s, watch=b""):
    """Return (payload, stderr text, wait status). Raises an outcome for a time-out or too much output."""
    read_out, output = posix.pipe()
    read_errors, errors = posix.pipe()
    try:
        pid = spawn(argv, output, errors)
    except OSError:
        posix.close(read_out)
        posix.close(read_errors)
        raise
    finally:
        posix.close(output)
        posix.close(errors)
    payload = Payload(cap, watch)
    complaint = [b""]
    why = None
    try:
        why = drain(read_out, read_errors, payload, complaint, time.monotonic() + timeout_s)
    finally:
        posix.close(read_out)
        posix.close(read_errors)
        if why:
            kill_others()
        status = posix.waitpid(pid, 0)[1]
    if why == "timeout":
        raise Outcome(why, "%s did not end within %g s" % (argv[0], timeout_s), payload)
    if why:
        raise Outcome(why, "%s: more than %d bytes" % (argv[0], cap), payload)
    return payload, complaint[0].decode("utf-8", "replace"), status


def drain(read_out, read_errors, payload, complaint, deadline):
    """Read both pipes to their ends; return the reason when that did not work out."""
    waiting = [read_out, read_errors]
    while waiting:
        ready = select(waiting, [], [], max(0, deadline - time.monotonic()))[0]
        if not ready:
            return "timeout"
        for descriptor in ready:
            data = posix.read(descriptor, 1 << 16)
            if not data:
                waiting.remove(descriptor)
            elif descriptor == read_errors:
                complaint[0] = (complaint[0] + data)[:2000]
            elif not payload.add(data):
                return "truncated"
    return None


def output_of(argv, cap, timeout_s, watch=b""):
    """Return the output of a program that must succeed, and its last complaint."""
    payload, complaint, status = run_program(argv, cap, timeout_s, watch)
    lines = complaint.strip().split("\n")
    if status != 0:
        refused = "ermission denied" in complaint or "not permitted" in complaint or "you must be root" in complaint
        detail = "%s ended with %d: %s" % (argv[0], posix.WEXITSTATUS(status) if posix.WIFEXITED(status) else -status, lines[0])
        raise Outcome("denied" if refused else "failed", detail, payload)
    return payload, lines[0]
