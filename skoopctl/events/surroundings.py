"""What a node's rounds tell of where events happen: devices, cookies of namespaces, numbers of cgroups."""

from __future__ import annotations

from dataclasses import dataclass, field

from skoopctl.evidence.item import ItemStatus
from skoopctl.evidence.rounds import Change, Round
from skoopctl.evidence.untrusted import printable
from skoopctl.evidence.who import read_identity
from skoopctl.kernel.netlink.link import decode_links
from skoopctl.probes.decode.cgroups import uid_of

ITEMS = ("cgroup-ids", "netns-cookie", "link")
"""What rounds have to bring for this."""
_READ = (*ITEMS, "identity")
_MAX_DEVICE = 15


@dataclass(slots=True)
class Surroundings:
    """The last round's state. What could not be read is not there."""

    devices: dict[int, dict[int, str]] = field(default_factory=dict)
    """Names of devices by their index, of each namespace."""
    cookies: dict[int, int] = field(default_factory=dict)
    """What tells a namespace from one that later has its inode."""
    cgroups: dict[int, str] = field(default_factory=dict)
    """UIDs of pods by the numbers of their cgroups."""
    whole_machine: bool = True
    """Whether the node program saw all processes of its machine.

    One that lives in a PID namespace of its own (a lab's node) hears of what happens in namespaces that are another's.
    """

    def take(self, round_: Round) -> None:
        """Take one round. What cannot be decoded is not known; never raises."""
        if round_.number == 1:
            self.devices, self.cookies, self.cgroups = {}, {}, {}
        for inode in round_.gone:
            self.devices.pop(inode, None)
            self.cookies.pop(inode, None)
        for change in round_.changes:
            if change.item in _READ:
                usable = change.payload if change.status is ItemStatus.OK else b""
                try:
                    self._take(change, usable)
                except (ValueError, IndexError):
                    self._take(change, b"")

    def _take(self, change: Change, payload: bytes) -> None:
        if change.item == "cgroup-ids":
            self.cgroups = dict(_cgroup(line) for line in payload.decode("utf-8", "replace").splitlines())
        elif change.item == "identity":
            self.whole_machine = bool(read_identity(payload).get("whole_machine", True))
        elif change.item == "netns-cookie":
            self.cookies[change.netns] = int(payload or b"0")
        else:
            links = decode_links(payload).entries if payload else ()
            self.devices[change.netns] = {link.index: printable(link.name, _MAX_DEVICE) for link in links}


def _cgroup(line: str) -> tuple[int, str]:
    number, _, path = line.partition(" ")
    return int(number), uid_of(path)
