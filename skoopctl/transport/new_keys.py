"""``--accept-new``: the key of a host that is not known yet is written to known_hosts, once, and said.

A key that differs from a known one is never accepted, nor is one for a host for which an authority is known.
The file is locked while it is read again and appended to, so that neither two hosts nor two runs spoil it.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

import asyncssh

from skoopctl.transport.host_keys import KnownHosts, TrustedKeys
from skoopctl.transport.identities import fingerprint

_LOCK_S = 1.0
"""How long another program may hold the file's lock."""


class NewKeys:
    """Accepts keys of unknown hosts. ``say`` gets one line for each."""

    def __init__(self, known_hosts: KnownHosts, say: Callable[[str], None]) -> None:
        self._known_hosts = known_hosts
        self._say = say

    def accept(self, look_up: Callable[[], TrustedKeys], key: asyncssh.SSHKey) -> bool:
        """Return whether ``key`` may be trusted now. Raises ``OSError`` when the file cannot be written."""
        trusted = look_up()
        if not trusted.files or not _is_new(trusted, key):
            return key in trusted.keys
        file = Path(trusted.files[0])
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = _locked(file)
        try:
            self._known_hosts.forget(trusted.files[0])
            now = look_up()
            if not _is_new(now, key):
                return key in now.keys
            os.write(descriptor, _line(descriptor, trusted.name, key))
            self._known_hosts.forget(trusted.files[0])
        finally:
            os.close(descriptor)
        self._say(f"new host key of {trusted.name}: {fingerprint(key)}, added to {file}")
        return True


def _is_new(trusted: TrustedKeys, key: asyncssh.SSHKey) -> bool:
    return not (trusted.changed or trusted.authorities or key in trusted.keys or key in trusted.revoked)


def _locked(file: Path) -> int:
    """Return a descriptor of the file, locked; ``ssh-keygen -R`` may have put another in its place meanwhile."""
    end = time.monotonic() + _LOCK_S
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), file.stat()):
                return descriptor
        except FileNotFoundError:  # replaced just now
            pass
        except OSError:
            if time.monotonic() > end:
                os.close(descriptor)
                raise
        os.close(descriptor)
        time.sleep(0.01)


def _line(descriptor: int, name: str, key: asyncssh.SSHKey) -> bytes:
    """Return the line to append, on a line of its own also when the file's last one is not ended."""
    size = os.fstat(descriptor).st_size
    broken = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
    public = b" ".join(key.export_public_key("openssh").split()[:2])
    return (b"\n" if broken else b"") + name.encode() + b" " + public + b"\n"
