"""A program of its own, which runs with the node's packages: BCC compiles and loads one text, within limits.

What to do comes on stdin, one line of JSON. Its stdout is a socket, and what it has goes there as JSON, with the
descriptors of programs and maps in the same message.
"""
import array
import ctypes
import json
import os
import resource
import signal
import socket
import sys


DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


def limited(asked):
    """Take the limits, and end with who asked; raising the limit of locked memory may be refused."""
    ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL)
    os.nice(19)
    signal.alarm(asked["timeout_s"])
    resource.setrlimit(resource.RLIMIT_AS, (asked["memory"], asked["memory"]))
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (OSError, ValueError):
        pass


def compiled_by_bcc(asked, said, given):
    """Compile, and load every program that the kernel takes."""
    from bcc import BPF
    from bcc.libbcc import lib

    module = BPF(text=asked["text"].encode(), cflags=asked["flags"])
    for name, hook in asked["programs"]:
        try:
            given.append(module.load_func(name.encode(), BPF.RAW_TRACEPOINT if hook == "raw_tp" else BPF.KPROBE).fd)
            said["programs"][name] = ""
        except Exception as error:
            said["programs"][name] = str(error)[-2000:] or "refused"
    for name in asked["maps"]:
        given.append(lib.bpf_table_fd(module.module, name.encode()))
        said["maps"].append(name)
    return module


asked = json.loads(sys.stdin.buffer.readline().decode())
said, given = {"programs": {}, "maps": []}, array.array("i")
limited(asked)
try:
    module = compiled_by_bcc(asked, said, given)
except BaseException as error:
    said["error"] = "%s: %s" % (type(error).__name__, error)
rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, given)] if given else []
socket.socket(fileno=1).sendmsg([json.dumps(said).encode()], rights)
os._exit(0)
