"""Which host keys are trusted for a host: OpenSSH's rules, on known_hosts files that are parsed once.

asyncssh's own lookup is not used: it parses a file again for every connection, also accepts a key that is
known for the address behind a name, and checks nothing at all after ``UserKnownHostsFile none``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncssh
from asyncssh.public_key import get_default_certificate_algs

SSH_PORT = 22
USER_FILES = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
GLOBAL_FILES = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
ALGORITHMS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
"""Kinds of host keys, in OpenSSH's order of preference."""


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """What the known_hosts files say about one host."""

    name: str
    """The name that was looked up, as ssh-keygen -R and ssh-keyscan know it: ``host`` or ``[host]:port``."""
    files: tuple[str, ...]
    keys: tuple[asyncssh.SSHKey, ...]
    authorities: tuple[asyncssh.SSHKey, ...]
    revoked: tuple[asyncssh.SSHKey, ...]
    by_name: bool = True
    """Whether keys and authorities stand under ``name`` itself, and not under the host without its port."""

    @property
    def changed(self) -> bool:
        """Whether another key than these means that the host's key has changed, and not that it is new.

        Behind one address with many ports there may be many machines.
        """
        return bool(self.keys) and self.by_name

    @property
    def for_asyncssh(self) -> tuple[list[asyncssh.SSHKey], list[asyncssh.SSHKey], list[asyncssh.SSHKey]]:
        """The ``known_hosts`` argument of a connection. Never ``None``, which would check nothing."""
        return list(self.keys), list(self.authorities), list(self.revoked)

    @property
    def algorithms(self) -> list[str]:
        """The kinds of host keys to ask the server for: the known ones first, then all others.

        With the known ones alone, a server whose key is of another kind hangs up before it shows that key.
        """
        wanted = [alg.decode() for key in self.keys for alg in key.sig_algorithms]
        if self.authorities:
            wanted = [alg.decode() for alg in get_default_certificate_algs()] + wanted
        return list(dict.fromkeys([*wanted, *ALGORITHMS]))


class KnownHosts:
    """The known_hosts files of one run, each parsed once, and again when it has changed: a run may last for months."""

    def __init__(self) -> None:
        self._parsed: dict[str, tuple[_Version, asyncssh.SSHKnownHosts]] = {}

    def trusted(self, files: Sequence[str], host: str, port: int, alias: str | None = None) -> TrustedKeys:
        """Return the keys that ``files`` trust for ``host``; a file that is not there trusts nobody.

        As in OpenSSH (sshconnect.c: check_host_key), ``[host]:port`` is looked up first for a port other
        than 22 and then ``host``; a HostKeyAlias is looked up as it is; a revocation under either name holds.
        """
        name = (alias or host).lower()
        names = [name] if alias or port == SSH_PORT else [f"[{name}]:{port}", name]
        keys: list[asyncssh.SSHKey] = []
        authorities: list[asyncssh.SSHKey] = []
        revoked: list[asyncssh.SSHKey] = []
        by_name = True
        for candidate in names:
            matches = [self._file(file).match(candidate, "", None) for file in files]
            if not keys and not authorities:
                keys += [key for match in matches for key in match[0]]
                authorities += [key for match in matches for key in match[1]]
                by_name = candidate == names[0]
            revoked += [key for match in matches for key in match[2]]
        return TrustedKeys(names[0], tuple(files), tuple(keys), tuple(authorities), tuple(revoked), by_name)

    def forget(self, file: str) -> None:
        """Read ``file`` again when it is next asked for: it has changed."""
        self._parsed.pop(file, None)

    def _file(self, file: str) -> asyncssh.SSHKnownHosts:
        version = _version(file)
        known = self._parsed.get(file)
        if known is None or known[0] != version:
            known = self._parsed[file] = version, _parse(file)
        return known[1]


_Version = tuple[int, int, int] | None
"""What tells one state of a file from another; nothing for a file that is not there."""


def _version(file: str) -> _Version:
    try:
        found = Path(file).expanduser().stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _parse(file: str) -> asyncssh.SSHKnownHosts:
    """Parse one file; lines that make no sense are skipped, as OpenSSH does."""
    known = asyncssh.SSHKnownHosts()
    try:
        text = Path(file).expanduser().read_text("utf-8", "replace")
    except OSError:
        return known
    for line in text.splitlines():
        try:
            known.load(line)
        except ValueError:
            continue
    return known
