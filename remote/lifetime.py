"""The program's end: with its stdin, or at its deadline, and every child with it.

A thread watches, because the main thread may be stuck in a read or wait for a child. SIGKILL to the process
group needs no cooperation from anybody; SIGALRM stays behind it in case the thread itself cannot run.
"""
import posix
import time
from _signal import SIGKILL, alarm
from _thread import start_new_thread
from select import select


def kill_group():
    """End this process and all its children, now."""
    posix.killpg(0, SIGKILL)
    posix._exit(1)


def watch(deadline):
    """Wait for the end of stdin or for the deadline, whichever is first."""
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            kill_group()
        if select([0], [], [], left)[0]:
            try:
                if not posix.read(0, 4096):
                    kill_group()
            except OSError:
                kill_group()


def settle():
    """Become a process group of our own, and be nice."""
    if posix.getpgrp() != posix.getpid():
        posix.setsid()
    try:
        posix.nice(10)
    except OSError:
        pass


def guard(deadline_s):
    """Settle, and start the watcher; return the hard deadline."""
    settle()
    deadline = time.monotonic() + deadline_s
    alarm(int(deadline_s) + 2)
    start_new_thread(watch, (deadline,))
    return deadline
