"""One event of a node, as people and programs see it: the schema of everything that shows, sends or keeps events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class EndKind(StrEnum):
    """What an address is."""

    POD = "pod"
    NODE = "node"
    SERVICE = "service"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class End:
    """One end of a packet or a connection, with what is known of its address."""

    address: str
    port: int = 0
    """In host order; 0 where there is none."""
    kind: EndKind = EndKind.UNKNOWN
    namespace: str = ""
    name: str = ""
    """Of the pod, the service, or the node."""
    node: str = ""
    """The node that a pod is on, or the node itself."""

    @property
    def place(self) -> str:
        """Its name as people write it: ``shop/web-0``, ``svc shop/web``, ``node1``; its address when it has none."""
        if self.kind is EndKind.POD:
            return f"{self.namespace}/{self.name}"
        if self.kind is EndKind.SERVICE:
            return f"svc {self.namespace}/{self.name}"
        return self.name or self.address

    @property
    def socket_address(self) -> str:
        """``10.0.0.1:80``, ``[fd00::1]:80``, or the address alone."""
        if not self.port:
            return self.address
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class InnerPacket:
    """What a packet of a tunnel carries, as far as the kernel had it at hand."""

    tunnel: str
    """``VXLAN``, ``GENEVE``, ``GRE`` or ``IPIP`` (IP in IP of either family)."""
    id: int | None
    """The VNI, or GRE's key; None where there is none."""
    protocol: str
    source: End
    destination: End
    tcp_flags: str = ""
    fragment: bool = False


@dataclass(slots=True)  # not frozen, because there may be very many: `skoopctl.bpf.events.BpfEvent`
class Event:
    """One event. Times are integers in nanoseconds, sizes bytes; what is not known is empty, 0 or None."""

    probe: str
    kind: str
    """A name of the catalogue: ``packet-loss``."""
    node: str
    """The API's name of the node, or the inventory's."""
    wall_ns: int
    """Since 1970, by the node's clock."""
    mono_ns: int
    """The node's monotonic clock."""
    backend: str
    """What saw it on the node: ``core``, ``bcc``, ``tracefs``, ``netlink``, ``packet`` …"""
    namespace: str = ""
    pod: str = ""
    """Whose network namespace it happened in, or whose socket it was; both empty: the node itself.

    ``unknown`` stands in place of the namespace where it cannot be told whose it was.
    """
    doubt: str = ""
    """Why the owner is not certain, in words."""
    netns: int = 0
    cgroup: int = 0
    device: str = ""
    ifindex: int = 0
    ethertype: int = 0
    protocol: str = ""
    """``TCP``, ``UDP`` …, or the number."""
    source: End | None = None
    """Of the packet that it is about, or the end that connected."""
    destination: End | None = None
    inner: InnerPacket | None = None
    """What the packet carries, where it is one of a tunnel: the ends above are the tunnel's then."""
    tcp_flags: str = ""
    """``SYN``, ``SYN,ACK`` …"""
    tcp_state: str = ""
    length: int = 0
    reason: str = ""
    """As the kernel of that node has it, without its prefix: ``NETFILTER_DROP``."""
    function: str = ""
    """The kernel's function in which it happened."""
    hook: str = ""
    """The netfilter hook whose rules dropped the packet: ``INPUT`` …"""
    error: str = ""
    """The errno by its name."""
    latency_ns: int | None = None
    cpu: int | None = None
    pid: int = 0
    task: str = ""
    """The task that it happened to, where the kernel tells."""
    calls: tuple[str, ...] = ()
    """The kernel's functions that led there, the innermost first."""
    fragment: bool = False
    undecided: bool = False
    """Whether that kernel does not show what would tell the kind apart from another."""
    details: Mapping[str, str | int] = field(default_factory=dict)
    """What one probe alone tells: of DNS ``name``, ``type`` and ``rcode``; of block devices ``disk``."""

    @property
    def owner(self) -> str:
        """Whose it is, as people write it: ``shop/web-0``, ``unknown/netns-4026532000``, or nothing for the node."""
        return f"{self.namespace}/{self.pod}" if self.pod else ""


@dataclass(frozen=True, slots=True)
class Tally:
    """How often something happened on a node, by place, reason and function; samples that were lost are in it."""

    probe: str
    kind: str
    namespace: str
    pod: str
    netns: int
    reason: str
    function: str
    count: int


@dataclass(frozen=True, slots=True)
class FlowTally:
    """How often something happened between two ends. A node keeps the flows that were seen last."""

    probe: str
    kind: str
    namespace: str
    pod: str
    netns: int
    protocol: str
    source: End
    destination: End
    count: int
    bytes: int = 0
    """Of payload; what follows is of the probe `flow` alone."""
    packets: int = 0
    retransmits: int = 0
    rtt_us: int = 0
