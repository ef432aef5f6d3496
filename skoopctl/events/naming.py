"""Names in place of a node's numbers: whose a namespace or a socket is, what an address is, which device it was."""

from __future__ import annotations

import errno
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

from skoopctl.bpf.events import BpfEvent
from skoopctl.bpf.inner import Inner
from skoopctl.cluster.cluster import Cluster, Identity, IdentityKind
from skoopctl.events.event import End, EndKind, Event, InnerPacket
from skoopctl.events.surroundings import Surroundings
from skoopctl.evidence.untrusted import printable
from skoopctl.probes.pod_names import UNKNOWN, Whose

PROTOCOLS = {
    1: "ICMP",
    2: "IGMP",
    4: "IPIP",
    6: "TCP",
    17: "UDP",
    41: "IPv6",
    47: "GRE",
    50: "ESP",
    58: "ICMPv6",
    132: "SCTP",
}
TCP_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
"""From the lowest bit on."""
TCP_STATES = (
    "",
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT1",
    "FIN_WAIT2",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
    "NEW_SYN_RECV",
)
"""include/net/tcp_states.h."""
MOST_ENDS = 8_192
"""Ends that are kept between two rounds, and addresses, as long as the API says the same."""
REUSED = "its namespace's number was another namespace's before or after"


Told = tuple[EndKind, str, str, str]
"""What an address is: kind, namespace, name, node."""


class Owner(NamedTuple):
    """Whose it was: a pod, or the node itself where both are empty."""

    namespace: str = ""
    pod: str = ""
    doubt: str = ""


class Naming:
    """Names of one node, as its last round and the API have them. ``addresses`` are those that were told before."""

    def __init__(
        self,
        node: str,
        whose: Whose,
        cluster: Cluster | None,
        around: Surroundings,
        addresses: dict[str, Told] | None = None,
    ) -> None:
        self.node = node
        self._whose = whose
        self._cluster = cluster
        self._around = around
        self._addresses = {} if addresses is None else addresses
        self._ends: dict[tuple[str, int, Owner], End] = {}

    def renewed(self, node: str, whose: Whose, cluster: Cluster | None) -> Naming:
        """Return the names of another round. Looking an address up takes long where it is nobody's."""
        known = self._addresses if cluster is self._cluster else None
        return Naming(node, whose, cluster, self._around, known)

    @property
    def kept(self) -> int:
        """How many ends, or addresses if they are more, are kept."""
        return max(len(self._ends), len(self._addresses))

    def owner(self, netns: int, cookie: int = 0, cgroup: int = 0, *, late: bool = False) -> Owner | None:
        """Return whose a namespace is, and of the host's, whose a socket in it.

        None where the last round does not tell, and the next one may; with ``late`` there is no next one, and None
        means that it is not this node's.
        """
        if not netns:
            return Owner()
        if netns == self._whose.host:
            return self._on_host(cgroup)
        name = (self._whose.by_netns or {}).get(netns)
        known = self._around.cookies.get(netns, 0)
        if name is not None and (not cookie or not known or cookie == known):
            return Owner(*name)
        if not late or (name is None and not self._around.whole_machine):
            return None
        doubt = REUSED if name is not None else "it ended before a round saw it, or it is no pod's"
        return Owner(UNKNOWN, f"netns-{netns}", doubt)

    def _on_host(self, cgroup: int) -> Owner:
        uid = self._around.cgroups.get(cgroup, "")
        return Owner(*(self._whose.by_uid or {}).get(uid, ("", ""))) if uid else Owner()

    def end(self, address: str, port: int, owner: Owner) -> End | None:
        """Return what an address is; a loopback address is whoever used it."""
        if not address:
            return None
        key = address, port, owner
        found = self._ends.get(key)
        if found is None:
            if len(self._ends) >= MOST_ENDS:
                self._ends.clear()
            found = self._ends[key] = self._end(address, port, owner)
        return found

    def inner(self, raw: Inner) -> InnerPacket:
        """Return what a packet carries with names; a loopback address in it is nobody's that can be told."""
        return InnerPacket(
            raw.tunnel,
            raw.id,
            protocol_name(raw.protocol),
            End(raw.source, raw.source_port, *self._of(raw.source)),
            End(raw.destination, raw.destination_port, *self._of(raw.destination)),
            flag_names(raw.tcp_flags),
            raw.fragment,
        )

    def _of(self, address: str) -> Told:
        told = self._addresses.get(address)
        if told is None:
            if len(self._addresses) >= MOST_ENDS:
                self._addresses.clear()
            told = self._addresses[address] = self._told(address)
        return told

    def _end(self, address: str, port: int, owner: Owner) -> End:
        told = self._of(address)
        if told[0] is EndKind.UNKNOWN and is_loopback(address):
            kind = EndKind.POD if owner.pod else EndKind.NODE
            return End(address, port, kind, owner.namespace, owner.pod or self.node, self.node)
        return End(address, port, *told)

    def _told(self, address: str) -> Told:
        known = self._cluster.whois(address) if self._cluster is not None else None
        return _end_of(known) if known is not None else (EndKind.UNKNOWN, "", "", "")

    def event(self, raw: BpfEvent, owner: Owner, backend: str) -> Event:
        """Return an event with names."""
        delay = raw.delay
        disk = delay.device if delay is not None else ""
        devices = self._around.devices.get(raw.netns) or {}
        return Event(
            probe=raw.probe,
            kind=raw.kind,
            node=self.node,
            wall_ns=raw.wall_ns,
            mono_ns=raw.mono_ns,
            backend=backend,
            namespace=owner.namespace,
            pod=owner.pod,
            doubt=owner.doubt,
            netns=raw.netns,
            cgroup=raw.cgroup,
            device=devices.get(raw.ifindex, ""),
            ifindex=raw.ifindex,
            ethertype=raw.ethertype,
            protocol=protocol_name(raw.protocol) if raw.family else "",
            source=self.end(raw.source, raw.source_port, owner),
            destination=self.end(raw.destination, raw.destination_port, owner),
            inner=self.inner(raw.inner) if raw.inner is not None else None,
            tcp_flags=flag_names(raw.tcp_flags),
            tcp_state=TCP_STATES[raw.tcp_state] if raw.tcp_state < len(TCP_STATES) else str(raw.tcp_state),
            length=raw.length,
            reason=raw.reason_name,
            function=raw.function,
            hook=raw.hook,
            error=error_name(raw.error),
            latency_ns=delay.latency_ns if delay is not None else None,
            cpu=delay.cpu if delay is not None else None,
            pid=delay.pid if delay is not None else 0,
            task=delay.task if delay is not None else "",
            calls=raw.calls,
            fragment=raw.fragment,
            undecided=raw.undecided,
            details=raw.details if not disk else {**raw.details, "disk": disk},
        )


def _end_of(known: Identity) -> Told:
    if known.kind is IdentityKind.NODE:
        return EndKind.NODE, "", known.name, known.node
    if known.kind in {IdentityKind.POD, IdentityKind.SERVICE}:
        namespace, _, name = known.name.partition("/")
        kind = EndKind.POD if known.kind is IdentityKind.POD else EndKind.SERVICE
        return kind, namespace, name, known.node
    return EndKind.UNKNOWN, "", "", known.node


def protocol_name(number: int) -> str:
    """Return a protocol's name, or its number."""
    return PROTOCOLS.get(number, str(number))


@lru_cache(maxsize=256)
def flag_names(bits: int) -> str:
    """Return TCP's flags as ``SYN,ACK``."""
    return ",".join(name for bit, name in enumerate(TCP_FLAGS) if bits >> bit & 1)


def error_name(error: int) -> str:
    """Return an errno, which the kernel gives below zero, by its name."""
    return errno.errorcode.get(abs(error), str(abs(error))) if error else ""


@lru_cache(maxsize=4096)
def is_loopback(address: str) -> bool:
    """Return whether an address is a machine's or a pod's own."""
    try:
        return ip_address(printable(address, 60)).is_loopback
    except ValueError:
        return False
