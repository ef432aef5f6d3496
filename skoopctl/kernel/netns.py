"""One network namespace, and one host that holds several: what every later room reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from skoopctl.kernel.address import Address
from skoopctl.kernel.bpf import Attachment
from skoopctl.kernel.conntrack import ConnectionTable
from skoopctl.kernel.ipset import IpSet
from skoopctl.kernel.iptables import Table
from skoopctl.kernel.ipvs import Ipvs
from skoopctl.kernel.link import Link
from skoopctl.kernel.neighbour import FdbEntry, Neighbour
from skoopctl.kernel.nft import NftTable
from skoopctl.kernel.route import PolicyRule, Route
from skoopctl.kernel.socket import Socket
from skoopctl.kernel.sysctl import Sysctls
from skoopctl.kernel.tunnel import Wireguard


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that could not be read: ``part`` (an item's name) of ``netns`` (0: the host), and why."""

    part: str
    status: str
    detail: str
    netns: int = 0


@dataclass(frozen=True, slots=True)
class NetNamespace:
    """One network namespace by its inode (names are not unique, inodes are).

    ``gaps`` maps an item that was not read (``route``, ``iptables-nft`` …) to the reason: a part that is
    in ``gaps`` is *unknown*, not empty. ``nsids`` maps this namespace's nsid for its peers to their inodes.
    ``pid`` is a process in it (0: none is known). ``pod_uids`` are the pods whose processes live here, by the
    cgroups of those processes. ``recent`` holds the lists of iptables' ``recent`` match: per list, addresses
    (as integers) with the least and the most age in seconds that the kernel's clock allows; the whole is
    None when it was not read. ``ipvs_services`` says that IPVS has services, ``ipvs`` which; ``conntrack``
    is None when it was not read. ``ipsets`` are the sets of ipset(8) by name; with ``ipset`` among the gaps a
    set that is not there may only be unread. ``speaks_sctp`` is false when the kernel has no SCTP loaded, None
    when that was not read. ``programs`` are the eBPF programs and tc filters on packets' way; None
    when they were not read, and then ``tc_devices`` and `Link.xdp` tell where some may be.
    ``nft_counts`` are the numbers of rules that nft showed in the chains of iptables' tables.
    """

    host: str
    inode: int
    is_host: bool = False
    names: tuple[str, ...] = ()
    pod_uids: tuple[str, ...] = ()
    processes: tuple[str, ...] = ()
    pid: int = 0
    links: Mapping[int, Link] = field(default_factory=dict)
    addresses: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()
    rules: tuple[PolicyRule, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    fdb: tuple[FdbEntry, ...] = ()
    sockets: tuple[Socket, ...] = ()
    sysctls: Sysctls = field(default_factory=Sysctls)
    iptables: tuple[Table, ...] = ()
    nft: tuple[NftTable, ...] = ()
    nft_counts: Mapping[tuple[str, str], Mapping[str, int]] = field(default_factory=dict)
    nsids: Mapping[int, int] = field(default_factory=dict)
    tc_devices: frozenset[int] = frozenset()
    ipvs_services: bool = False
    programs: tuple[Attachment, ...] | None = None
    speaks_sctp: bool | None = True
    ipvs: Ipvs = field(default_factory=Ipvs)
    conntrack: ConnectionTable | None = None
    recent: Mapping[str, Mapping[int, tuple[float, float]]] | None = None
    wireguard: tuple[Wireguard, ...] = ()
    ipsets: Mapping[str, IpSet] = field(default_factory=dict)
    gaps: Mapping[str, str] = field(default_factory=dict)

    def link_named(self, name: str) -> Link | None:
        """Return the device of that name."""
        return next((link for link in self.links.values() if link.name == name), None)


@dataclass(frozen=True, slots=True)
class Host:
    """One collected host. ``root`` is the inode of process 1's namespace; ``clock_s`` is what its clock said."""

    name: str
    root: int
    namespaces: Mapping[int, NetNamespace]
    hostname: str = ""
    kernel: str = ""
    gaps: tuple[Gap, ...] = ()
    clock_s: float = 0.0

    @property
    def root_netns(self) -> NetNamespace:
        """The namespace that the node itself uses."""
        return self.namespaces[self.root]
