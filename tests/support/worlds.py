"""Small networks made by hand: hosts, pods, veths, bridges, tunnels, routes and rules, ready to be walked.

A `Box` is one namespace under construction. An address brings its local and connected routes, as the kernel
does; everything else is said by the test.
"""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from skoopctl.dataplane.choice import ChoiceKind, Choices, explore
from skoopctl.dataplane.conntrack import CtState, Entry, Tracking
from skoopctl.dataplane.conntrack import Table as Connections
from skoopctl.dataplane.packet import Flags, Packet, Ports
from skoopctl.dataplane.path import Network, walk
from skoopctl.dataplane.rules.netfilter import run_hook
from skoopctl.dataplane.rules.ruling import Ruling
from skoopctl.dataplane.rules.scene import Hook, Scene
from skoopctl.dataplane.topology import NsKey, Topology
from skoopctl.dataplane.trace import Flow, PathResult
from skoopctl.kernel.address import Address
from skoopctl.kernel.iptables import Backend, Table
from skoopctl.kernel.iptables_save import decode_iptables_save
from skoopctl.kernel.link import Bridge, BridgePort, Link, Vxlan
from skoopctl.kernel.neighbour import FdbEntry, Neighbour, NeighbourState
from skoopctl.kernel.netns import Host, NetNamespace
from skoopctl.kernel.nft import NftTable
from skoopctl.kernel.nft_json import decode_nft_json
from skoopctl.kernel.route import TABLE_LOCAL, TABLE_MAIN, NextHop, PolicyRule, Route, RouteType
from skoopctl.kernel.socket import Socket
from skoopctl.kernel.sysctl import Sysctls

UNDERLAY = {"n1": "192.168.3.86", "n2": "192.168.3.87", "n3": "192.168.3.88"}


@dataclass
class Box:
    """One namespace under construction."""

    host: str
    name: str
    inode: int
    is_host: bool = False
    links: dict[int, Link] = field(default_factory=dict)
    addresses: list[Address] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    rules: list[PolicyRule] = field(default_factory=list)
    neighbours: list[Neighbour] = field(default_factory=list)
    fdb: list[FdbEntry] = field(default_factory=list)
    sockets: list[Socket] = field(default_factory=list)
    sysctls: dict[str, str] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    nft: list[NftTable] = field(default_factory=list)
    nsids: dict[int, int] = field(default_factory=dict)
    gaps: dict[str, str] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.link("lo", loopback=True)
        self.address("lo", "127.0.0.1/8", scope=254)
        if self.is_host:
            self.set("net/ipv4/ip_forward", 1)

    @property
    def key(self) -> NsKey:
        """The namespace's key in a topology."""
        return self.host, self.inode

    @property
    def ip(self) -> str:
        """The first address that is not loopback's."""
        return next(str(a.ip) for a in self.addresses if not a.ip.is_loopback)

    def index(self, device: str) -> int:
        """Return a device's ifindex."""
        return next(i for i, link in self.links.items() if link.name == device)

    def dev(self, device: str) -> Link:
        """Return a device."""
        return self.links[self.index(device)]

    def link(self, name: str, **more: Any) -> Link:
        """Add a device with a MAC address of its own."""
        index = len(self.links) + 1
        mac = f"02:00:{self.inode % 256:02x}:{self.inode // 256 % 256:02x}:00:{index:02x}"
        self.links[index] = Link(index, name, **{"mac": mac} | more)
        return self.links[index]

    def change(self, device: str, **more: Any) -> None:
        """Change a device."""
        self.links[self.index(device)] = replace(self.dev(device), **more)

    def bridge(self, name: str, address: str = "") -> None:
        """Add a bridge."""
        self.link(name, kind="bridge", bridge=Bridge())
        if address:
            self.address(name, address)

    def port(self, device: str, bridge: str, **more: Any) -> None:
        """Make a device a port of a bridge; ``more`` are fields of `BridgePort`."""
        self.change(device, master=self.index(bridge), port=BridgePort(**more))

    def vxlan(self, name: str, address: str, lower: str, local: str, **more: Any) -> None:
        """Add a VXLAN device as flannel makes it."""
        vxlan = Vxlan(1, 8472, local, lower=self.index(lower), learning=False, **more)
        self.link(name, kind="vxlan", vxlan=vxlan, mtu=1450)
        self.address(name, address)

    def address(self, device: str, text: str, **more: Any) -> None:
        """Add an address with the routes that the kernel gives it."""
        interface, index = ip_interface(text), self.index(device)
        self.addresses.append(Address(index, interface.ip, interface.network.prefixlen, **more))
        own = ip_network(interface.ip)
        if interface.ip.is_loopback:
            own = interface.network
        self.routes.append(
            Route(
                TABLE_LOCAL,
                own,
                RouteType.LOCAL,
                (NextHop(index),),
                interface.ip,
                254,
                text=f"local {own} dev {device}",
            )
        )
        if interface.network.prefixlen < interface.max_prefixlen and not interface.ip.is_loopback:
            text = f"{interface.network} dev {device} scope link src {interface.ip}"
            self.routes.append(
                Route(
                    TABLE_MAIN,
                    interface.network,
                    next_hops=(NextHop(index),),
                    prefsrc=interface.ip,
                    scope=253,
                    text=text,
                )
            )

    def route(self, destination: str, via: str = "", dev: str = "", **more: Any) -> None:
        """Add a route; ``default`` is 0.0.0.0/0."""
        network = ip_network("0.0.0.0/0" if destination == "default" else destination)
        hops = (NextHop(self.index(dev), ip_address(via) if via else None),) if dev else ()
        words = [more["type"].value] if "type" in more else []
        words += [destination, *(("via", via) if via else ()), *(("dev", dev) if dev else ())]
        fields: dict[str, Any] = {"table": TABLE_MAIN, "next_hops": hops, "text": " ".join(words)} | more
        self.routes.append(Route(destination=network, **fields))

    def rule(self, priority: int, **more: Any) -> None:
        """Add a policy rule for IPv4."""
        self.rules.append(PolicyRule(**{"family": 4, "priority": priority, "text": f"{priority}: …"} | more))

    def neighbour(self, device: str, ip: str, mac: str, state: str = "PERMANENT", **more: Any) -> None:
        """Add a neighbour entry."""
        text = f"{ip} dev {device} lladdr {mac} {state}"
        self.neighbours.append(
            Neighbour(self.index(device), ip_address(ip), mac, NeighbourState(state), text=text, **more)
        )

    def forward_to(self, device: str, mac: str, remote: str) -> None:
        """Add a VXLAN forwarding entry."""
        text = f"{mac} dev {device} dst {remote} self permanent"
        entry = FdbEntry(
            self.index(device), mac, is_self=True, permanent=True, remote=ip_address(remote), text=text
        )
        self.fdb.append(entry)

    def learned(self, device: str, mac: str, *, local: bool = False) -> None:
        """Add a bridge's forwarding entry."""
        master = self.dev(device).master
        text = f"{mac} dev {device} master {self.links[master].name}"
        self.fdb.append(FdbEntry(self.index(device), mac, master, local=local, permanent=local, text=text))

    def set(self, path: str, value: object) -> None:
        """Set a sysctl."""
        self.sysctls[path] = str(value)

    def listen(self, port: int, protocol: str = "tcp", ip: str = "0.0.0.0", **more: Any) -> None:
        """Add a socket that receives."""
        self.sockets.append(Socket(protocol, ip_address(ip), port, text=f"{protocol} {ip}:{port}", **more))

    def iptables(self, text: str, backend: Backend = Backend.NFT, family: int = 4) -> None:
        """Add tables, given as iptables-save prints them."""
        self.tables += tables_of(text, backend, family)

    def nftables(self, *objects: dict[str, Any]) -> None:
        """Add an nft ruleset, given as the objects of libnftables-json(5)."""
        dump = decode_nft_json(json.dumps({"nftables": objects}))
        assert not dump.problems, dump.problems
        self.nft += dump.tables

    def build(self) -> NetNamespace:
        """Return the finished namespace."""
        return NetNamespace(
            self.host,
            self.inode,
            is_host=self.is_host,
            names=(self.name,),
            links=dict(self.links),
            addresses=tuple(self.addresses),
            routes=tuple(self.routes),
            rules=tuple(self.rules),
            neighbours=tuple(self.neighbours),
            fdb=tuple(self.fdb),
            sockets=tuple(self.sockets),
            sysctls=Sysctls(dict(self.sysctls)),
            iptables=tuple(self.tables),
            nft=tuple(self.nft),
            nsids=dict(self.nsids),
            gaps=dict(self.gaps),
            **self.more,
        )


class World:
    """Hosts under construction."""

    def __init__(self) -> None:
        self.boxes: list[Box] = []

    def host(self, name: str) -> Box:
        """Add a host."""
        return self._box(name, name, is_host=True)

    def pod(self, host: str, name: str) -> Box:
        """Add a namespace to a host."""
        return self._box(host, name, is_host=False)

    def _box(self, host: str, name: str, *, is_host: bool) -> Box:
        self.boxes.append(Box(host, name, 1000 + len(self.boxes), is_host))
        return self.boxes[-1]

    def veth(self, one: Box, name: str, other: Box, peer: str) -> None:
        """Join two namespaces of one host."""
        for box, far in ((one, other), (other, one)):
            if far.inode not in box.nsids.values():
                box.nsids[len(box.nsids)] = far.inode
        mine, theirs = len(one.links) + 1, len(other.links) + 1
        one.link(name, kind="veth", peer=theirs, peer_nsid=_nsid(one, other))
        other.link(peer, kind="veth", peer=mine, peer_nsid=_nsid(other, one))

    def hosts(self) -> dict[str, Host]:
        """Return the finished hosts."""
        found: dict[str, dict[int, NetNamespace]] = {}
        for box in self.boxes:
            found.setdefault(box.host, {})[box.inode] = box.build()
        return {
            name: Host(name, next(n.inode for n in netns.values() if n.is_host), netns, name)
            for name, netns in found.items()
        }

    def walk(
        self,
        source: Box | str,
        destination: Box | str,
        port: int = 80,
        protocol: str = "tcp",
        *,
        absent: str = "",
    ) -> PathResult:
        """Walk a flow; ``absent`` is the address of a host that could not be asked."""
        missing = {int(ip_address(absent)): "n9"} if absent else {}
        flow = Flow(
            source if isinstance(source, str) else source.ip,
            destination if isinstance(destination, str) else destination.ip,
            protocol,
            0 if protocol == "icmp" else port,
        )
        client = source.key if isinstance(source, Box) else None
        return walk(Network(Topology(self.hosts()), missing), flow, client)


def _nsid(box: Box, other: Box) -> int:
    return next(number for number, inode in box.nsids.items() if inode == other.inode)


def tables_of(text: str, backend: Backend = Backend.NFT, family: int = 4) -> tuple[Table, ...]:
    """Decode rules; a text that cannot be read is a mistake of the test."""
    dump = decode_iptables_save(text, family=family, backend=backend)
    assert not dump.problems, dump.problems
    return dump.tables


def filter_table(*rules: str, policy: str = "ACCEPT", table: str = "filter", chains: str = "") -> str:
    """Write a table for iptables-save: the built-in chains, the user's ``chains``, and ``-A …`` lines."""
    builtin = {
        "filter": "INPUT FORWARD OUTPUT",
        "nat": "PREROUTING INPUT OUTPUT POSTROUTING",
        "raw": "PREROUTING OUTPUT",
        "mangle": "PREROUTING INPUT FORWARD OUTPUT POSTROUTING",
    }[table]
    lines = [f"*{table}", *(f":{name} {policy}" for name in builtin.split())]
    lines += [f":{name} -" for name in chains.split()]
    return "\n".join([*lines, *rules, "COMMIT", ""])


# --- clusters ------------------------------------------------------------------------------------------------


@dataclass
class Cluster:
    """Two nodes with pods: ``a`` and ``c`` on n1, ``b`` on n2; all listen on TCP and UDP 80."""

    world: World
    n1: Box
    n2: Box
    a: Box
    b: Box
    c: Box

    def walk(
        self, source: Box | str, destination: Box | str, port: int = 80, protocol: str = "tcp", **more: str
    ) -> PathResult:
        """Walk a flow."""
        return self.world.walk(source, destination, port, protocol, **more)


def cluster(*, vxlan: bool = True) -> Cluster:
    """Make a healthy cluster of two nodes, over VXLAN or with routes between the nodes."""
    world = World()
    n1, n2 = (_node(world, name, number) for number, name in enumerate(("n1", "n2"), 1))
    a, c = _pod(world, n1, "a", "10.244.1.10"), _pod(world, n1, "c", "10.244.1.11")
    b = _pod(world, n2, "b", "10.244.2.10")
    for node, other in ((n1, n2), (n2, n1)):
        number = {"n1": 1, "n2": 2}[other.name]
        if vxlan:
            node.vxlan("flannel.1", f"10.244.{3 - number}.0/32", "eth0", UNDERLAY[node.name])
        else:
            node.route(f"10.244.{number}.0/24", UNDERLAY[other.name], "eth0")
    if vxlan:
        for node, other in ((n1, n2), (n2, n1)):
            number = {"n1": 1, "n2": 2}[other.name]
            mac = other.dev("flannel.1").mac
            node.route(f"10.244.{number}.0/24", f"10.244.{number}.0", "flannel.1")
            node.neighbour("flannel.1", f"10.244.{number}.0", mac)
            node.forward_to("flannel.1", mac, UNDERLAY[other.name])
        _fit_tunnel(world)
    return Cluster(world, n1, n2, a, b, c)


def _fit_tunnel(world: World) -> None:
    """Give the pods' devices and the bridges the MTU of the tunnel's device, as flannel does."""
    for box in world.boxes:
        for link in list(box.links.values()):
            if link.kind in {"veth", "bridge"}:
                box.change(link.name, mtu=1450)


def third_node(made: Cluster) -> Box:
    """Add a node to a cluster over VXLAN, to which nobody has routes."""
    node = _node(made.world, "n3", 3)
    node.vxlan("flannel.1", "10.244.3.0/32", "eth0", UNDERLAY["n3"])
    return node


def _node(world: World, name: str, number: int) -> Box:
    node = world.host(name)
    node.link("eth0")
    node.address("eth0", f"{UNDERLAY[name]}/24")
    node.route("default", "192.168.3.1", "eth0")
    node.bridge("cni0", f"10.244.{number}.1/24")
    node.listen(22)
    return node


def _pod(world: World, node: Box, name: str, address: str) -> Box:
    pod = world.pod(node.name, name)
    world.veth(pod, "eth0", node, f"veth-{name}")
    node.port(f"veth-{name}", "cni0")
    pod.address("eth0", f"{address}/24")
    pod.route("default", address.rpartition(".")[0] + ".1", "eth0")
    for protocol in ("tcp", "udp"):
        pod.listen(80, protocol)
    return pod


# --- one hook ------------------------------------------------------------------------------------------------


def packet(
    source: str = "10.0.0.1", destination: str = "10.0.0.2", dport: int = 80, protocol: int = 6, **more: Any
) -> Packet:
    """Make a packet; by default the SYN of a flow with the usual ephemeral ports."""
    address = ip_address(source)
    ported = protocol in {6, 17, 132}
    fields: dict[str, Any] = {
        "source_ports": Ports(32768, 60999) if ported else Ports(0, 0),
        "destination_ports": Ports.of(dport) if ported else Ports(0, 0),
        "flags": Flags.SYN if protocol == 6 else Flags.NONE,
    }
    if "sport" in more:
        fields["source_ports"] = Ports.of(more.pop("sport"))
    return Packet(address.version, int(address), int(ip_address(destination)), protocol, **fields | more)


def tracked(item: Packet, state: str = "NEW", *, is_reply: bool = False, **more: Any) -> Packet:
    """Attach a conntrack entry as a packet carries it after PREROUTING; ``more`` are fields of `Entry`."""
    key = item.tuple5.inverse() if is_reply else item.tuple5
    entry = Entry(**{"original": key, "reply": key.inverse()} | more)
    item.tracking = Tracking(CtState(state), entry, is_reply)
    return item


@dataclass
class At:
    """A place where packets meet rules: a hook of a box, with devices by name."""

    box: Box
    hook: Hook = Hook.FORWARD
    in_dev: str = ""
    out_dev: str = ""
    in_port: str = ""
    out_port: str = ""
    next_hop: str = ""

    def scene(
        self, item: Packet, choices: Choices | None = None, connections: Connections | None = None
    ) -> Scene:
        """Put a packet there."""
        netns = self.box.build()
        topology = Topology({self.box.host: Host(self.box.host, netns.inode, {netns.inode: netns})})
        devices = {
            "in_link": self.in_dev,
            "out_link": self.out_dev,
            "in_port": self.in_port,
            "out_port": self.out_port,
        }
        return Scene(
            topology=topology,
            netns=netns,
            router=topology.router(netns),
            connections=connections or Connections(),
            choices=choices or Choices(),
            packet=item,
            hook=self.hook,
            bridged=bool(self.in_port and self.out_port),
            next_hop=int(ip_address(self.next_hop)) if self.next_hop else 0,
            **{name: netns.link_named(device) if device else None for name, device in devices.items()},
        )


@dataclass
class Seen:
    """What a hook did to a packet on one way through its branches."""

    ruling: Ruling
    scene: Scene
    weight: float
    unknown: bool

    @property
    def word(self) -> str:
        """The verdict's name."""
        return self.ruling.action.value


def through(at: At, item: Packet) -> list[Seen]:
    """Send a packet through a hook, on every way."""

    def once(choices: Choices) -> tuple[Ruling, Scene]:
        scene = at.scene(deepcopy(item), choices)
        return run_hook(scene).ruling, scene

    return [
        Seen(*run.result, run.weight, any(pick.kind is ChoiceKind.UNKNOWN for pick in run.picks))
        for run in explore(once).runs
    ]


def says(at: At, item: Packet) -> str | float:
    """Sum up a hook: ``hit`` (dropped), ``miss`` (accepted), ``unknown``, or the share that chance drops."""
    ways = through(at, item)
    if any(way.unknown for way in ways):
        return "unknown"
    share = sum(way.weight for way in ways if way.word == "DROP")
    return "hit" if share == 1 else "miss" if share == 0 else round(share, 3)


def verdict(at: At, item: Packet) -> str:
    """Return the one verdict of a hook; a packet that takes several ways is a mistake of the test."""
    (seen,) = through(at, item)
    return seen.word
