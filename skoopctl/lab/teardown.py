"""Taking a lab down, whole or half built: by what is there, not by what was written down."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from skoopctl.lab.cgroups import remove_cgroups
from skoopctl.lab.commands import NETNS_DIR, run
from skoopctl.lab.processes import kill_processes, lab_netns_names, lab_processes
from skoopctl.lab.statefile import STATE_DIR, is_held, state_exists

_NOTE = STATE_DIR / "made-netns-directory"
_HELD = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def lab_remains() -> bool:
    """Return whether anything of a lab is on this machine."""
    return state_exists() or bool(lab_netns_names())


def lab_is_dead() -> bool:
    """Return whether nothing runs in what is there of a lab, and nobody is building it: a crash's leftovers."""
    return lab_remains() and not is_held() and not any(lab_processes())


def take_down() -> bool:
    """Remove everything that a lab made; return whether there was anything. Signals wait until it is done."""
    with signals_held():
        found = lab_remains()
        kill_processes()
        names = lab_netns_names()
        if names:
            run(["ip", "-batch", "-"], stdin="".join(f"netns del {name}\n" for name in names))
        # A process that was being born into a namespace while it was deleted.
        kill_processes()
        remove_cgroups()
        _remove_netns_dir()
        shutil.rmtree(STATE_DIR, ignore_errors=True)
    return found


def note_netns_dir() -> None:
    """Write down that ``ip netns add`` is about to make its directory, so that it goes with the lab."""
    if not NETNS_DIR.exists():
        _NOTE.touch()


def _remove_netns_dir() -> None:
    """Remove the directory of named namespaces, itself a mount, if the lab made it and it is empty."""
    if not _NOTE.exists() or not NETNS_DIR.is_dir() or any(NETNS_DIR.iterdir()):
        return
    # Fails, and rightly so, when somebody else has put a namespace there in between.
    subprocess.run(["umount", str(NETNS_DIR)], check=False, capture_output=True)
    with suppress(OSError):
        NETNS_DIR.rmdir()


@contextmanager
def signals_held() -> Iterator[None]:
    """Keep signals waiting, in the main thread, where Python acts on them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
