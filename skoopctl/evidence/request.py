"""What a node is asked for, and the limits that it holds itself to."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from skoopctl import __version__
from skoopctl.errors import UsageError

HOST_ITEMS = ("identity", "namespaces", "modules")
NETNS_ITEMS = (
    "link",
    "addr",
    "route",
    "rule",
    "neigh",
    "neigh-proxy",
    "fdb",
    "bridge-vlan",
    "qdisc",
    "nexthop",
    "nsid",
    "sysctl",
    "proc-net-tcp",
    "proc-net-tcp6",
    "proc-net-udp",
    "proc-net-udp6",
    "proc-net-sctp-eps",
    "tc-filter",
    "bpf",
    "ip_vs",
    "wireguard",
    "ipvs",
    "ip_vs_conn",
    "conntrack",
    "xt-recent",
    "ipset",
    "iptables-nft",
    "ip6tables-nft",
    "iptables-legacy",
    "ip6tables-legacy",
    "nft",
)
DOCTOR_ITEMS = (
    "doctor-netfilter",
    "doctor-tools",
    "doctor-kernel",
    "doctor-ebpf",
    "doctor-machine",
    "doctor-account",
    "doctor-clock",
)
"""What a node would let skoopctl do: asked for by name only, never as part of everything. The first is one of each
namespace, the others are of the host."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request to the node program. ``items`` None asks for everything but `DOCTOR_ITEMS`."""

    items: tuple[str, ...] | None = None
    deadline_s: float = 27.0
    item_timeout_s: float = 10.0
    item_bytes: int = 48 << 20
    total_bytes: int = 224 << 20
    namespaces: int = 2000

    def __post_init__(self) -> None:
        known = HOST_ITEMS + NETNS_ITEMS + DOCTOR_ITEMS
        unknown = [name for name in self.items or () if name not in known]
        if unknown:
            raise UsageError(f"there is no item {unknown[0]!r}", hint=f"there are {', '.join(known)}")
        if min(self.deadline_s, self.item_timeout_s, self.item_bytes, self.total_bytes, self.namespaces) <= 0:
            raise UsageError("deadlines and limits of a request must be above zero")

    def literal(self) -> str:
        """Return the request as a Python literal: the node runs Python that we send, and needs no parser."""
        fields = asdict(self)
        fields["items"] = None if self.items is None else list(self.items)
        fields["version"] = __version__
        return repr(fields)
