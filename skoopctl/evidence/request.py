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


SAMPLE_HOST_ITEMS = (
    "identity",
    "pods",
    "places",
    "cgroup-ids",
    "cgroup-io",
    "cgroup-fd",
    "softnet",
    "ipvs-stats",
    "rdma-counters",
    "rdma-resources",
)
"""What rounds may tell of the host; the identity comes in the first one only."""
SAMPLE_NETNS_ITEMS = (
    "snmp",
    "netstat",
    "net-dev",
    "sockstat",
    "sockstat6",
    "tcp-states",
    "qdisc",
    "link",
    "netns-cookie",
    "conntrack-stats",
    "conntrack-count",
    "conntrack-proc",
)
"""What rounds may tell of the host's namespace and of each that has a pod's processes."""
SAMPLE_ITEMS = SAMPLE_HOST_ITEMS + SAMPLE_NETNS_ITEMS

LEAST_INTERVAL_S = 0.01
MOST_ROUND_BYTES = 64 << 20
"""What the reader takes in one round, unpacked."""


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


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """One request for rounds: the same ``items`` every ``interval_s`` seconds.

    ``rounds`` 0 goes on until told to end. The program ends itself when its stdin says nothing for ``lease_s``. An
    item of more than ``item_bytes`` is cut, and what no longer fits into ``round_bytes`` is named and not sent.
    """

    items: tuple[str, ...]
    interval_s: float = 15.0
    rounds: int = 0
    lease_s: float = 60.0
    item_timeout_s: float = 5.0
    item_bytes: int = 4 << 20
    round_bytes: int = 16 << 20
    namespaces: int = 2000
    sysfs: str = "/sys"

    def __post_init__(self) -> None:
        unknown = [name for name in self.items if name not in SAMPLE_ITEMS]
        if unknown:
            raise UsageError(
                f"there is no item {unknown[0]!r} in rounds", hint=f"there are {', '.join(SAMPLE_ITEMS)}"
            )
        if len(set(self.items)) != len(self.items) or not self.items:
            raise UsageError("a request for rounds names at least one item, and each once")
        limits = (self.item_timeout_s, self.item_bytes, self.round_bytes, self.namespaces)
        if min(limits) <= 0 or self.rounds < 0 or self.lease_s < 1:
            raise UsageError("limits of a request must be above zero, and its lease at least a second")
        if self.interval_s < LEAST_INTERVAL_S:
            raise UsageError(f"rounds every {self.interval_s:g} s", hint=f"at least {LEAST_INTERVAL_S:g} s")
        if self.round_bytes > MOST_ROUND_BYTES or self.item_bytes > self.round_bytes:
            raise UsageError(
                f"a round has at most {MOST_ROUND_BYTES} bytes, and an item not more than its round"
            )

    def literal(self) -> str:
        """Return the request as a Python literal, as `Request.literal` does."""
        return repr(asdict(self) | {"items": list(self.items), "version": __version__})
