"""Read the recorded clusters below ``tests/fixtures/kube-proxy-1.36`` into kernel and cluster models.

The recordings are the output of iproute2, iptables, nft and ss on real hosts made of namespaces, so this
reader also stands beside the netlink decoders as a second opinion.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any

from skoopctl.cluster.cluster import Cluster, load_cluster
from skoopctl.kernel.address import Address, IPNetwork
from skoopctl.kernel.ipset_save import decode_ipset_save
from skoopctl.kernel.iptables import Backend, Table
from skoopctl.kernel.iptables_save import decode_iptables_save
from skoopctl.kernel.ipvs import Ipvs
from skoopctl.kernel.ipvs_text import decode_ipvsadm
from skoopctl.kernel.link import Bridge, BridgePort, Link, PortState, Vxlan
from skoopctl.kernel.neighbour import FdbEntry, Neighbour, NeighbourState
from skoopctl.kernel.netns import Host, NetNamespace
from skoopctl.kernel.nft import NftTable
from skoopctl.kernel.nft_json import decode_nft_json, in_order, shown_by_iptables
from skoopctl.kernel.route import NextHop, PolicyRule, Route, RouteType
from skoopctl.kernel.route_text import PROTOCOLS, SCOPES, TABLE_NAMES, RouteDetails, render_route
from skoopctl.kernel.socket import Socket
from skoopctl.kernel.sysctl import Sysctls

RECORDINGS = Path(__file__).parents[1] / "fixtures" / "kube-proxy-1.36"
OUTSIDE = "sw"
OUTSIDE_ADDRESS = "192.168.3.99"
UNDERLAY = "192.168.3.0/24"
UNDERLAY_DEVICE = "ens192"

_NUMBERS = {
    kind: {name: number for number, name in names.items()}
    for kind, names in (("table", TABLE_NAMES), ("protocol", PROTOCOLS), ("scope", SCOPES))
}


@dataclass(frozen=True, slots=True)
class TruthRow:
    """What one real connect() did. ``seen_source`` is the client's address as the responder saw it."""

    source: str
    protocol: str
    address: str
    port: int
    outcome: str
    responder: str = ""
    seen_source: str = ""
    errno: str = ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded cluster. ``sources`` maps a truth row's source to host, namespace inode and address."""

    hosts: dict[str, Host]
    cluster: Cluster
    truth: list[TruthRow]
    sources: dict[str, tuple[str, int, str]]


def load(mode: str) -> Recorded:
    """Load the recording of one proxy mode: ``iptables`` or ``nftables``."""
    folder = RECORDINGS / mode
    cluster = load_cluster({f.stem: f.read_bytes() for f in (folder / "api").glob("*.json")})
    roots = {
        path.name: _namespace(path, path.name, 4026531840 + 1000 * number, is_host=True)
        for number, path in enumerate(sorted((folder / "nodes").iterdir()), 1)
    }
    pods: dict[str, list[NetNamespace]] = {name: [] for name in roots}
    for number, path in enumerate(sorted((folder / "pods").iterdir()), 1):
        node = _node_of(path, roots)
        pods[node].append(_pod(path, roots[node], number, cluster))
    hosts = {name: _host(root, pods[name]) for name, root in roots.items()}
    hosts[OUTSIDE] = outside_host()
    sources = {
        f"pod-{pod.names[0]}": (name, pod.inode, _address_on(pod, "eth0"))
        for name, found in pods.items()
        for pod in found
    }
    sources |= {
        name: (name, host.root, _address_on(host.root_netns, UNDERLAY_DEVICE)) for name, host in hosts.items()
    }
    return Recorded(hosts, cluster, _truth(folder), sources)


def load_ipvs() -> Recorded:
    """Load the ``iptables`` recording with node1-c4 switched to IPVS, as it was recorded in a machine of its own.

    There is no recorded truth for IPVS: that machine had no pods and no neighbours. The rows are those of the
    iptables mode, which a node in the other mode mostly answers alike.
    """
    recording = load("iptables")
    host = recording.hosts["node1-c4"]
    root = host.root_netns
    path = RECORDINGS / "ipvs" / "nodes" / "node1-c4"
    raw = {name: json.loads((path / f"{name}.json").read_text()) for name in ("links", "addrs", "routes")}
    device = next(entry for entry in raw["links"] if entry["ifname"] == "kube-ipvs0")
    index = max(root.links) + 1
    devices = {"kube-ipvs0": index}
    link = replace(_link(device | {"ifindex": index}, devices), noarp=True)
    addresses = next(entry for entry in raw["addrs"] if entry["ifname"] == "kube-ipvs0")
    routes = tuple(_route(entry, devices) for entry in raw["routes"] if entry["dev"] == "kube-ipvs0")
    iptables, _ = _netfilter(path)
    dump = decode_ipvsadm((path / "ipvs.txt").read_text())
    sets = decode_ipset_save((path / "ipset.txt").read_text())
    assert not dump.problem
    assert not sets.problem
    switched = replace(
        root,
        links={**root.links, index: link},
        addresses=(*root.addresses, *_addresses_of(addresses | {"ifindex": index})),
        routes=(*root.routes, *routes),
        sysctls=Sysctls({**root.sysctls.values, **_sysctls(path / "sysctl.txt").values}),
        iptables=iptables,
        nft=(),
        ipvs_services=True,
        ipvs=Ipvs(dump.services),
        ipsets=sets.sets,
    )
    namespaces = {**host.namespaces, root.inode: switched}
    hosts = {**recording.hosts, "node1-c4": replace(host, namespaces=namespaces)}
    return replace(recording, hosts=hosts)


def _truth(folder: Path) -> list[TruthRow]:
    rows = []
    for source, entries in json.loads((folder / "truth.json").read_text()).items():
        for protocol, address, port, (outcome, *more) in entries:
            row = TruthRow(source, protocol, address, port, outcome)
            if outcome == "connected":
                row = replace(row, responder=more[0], seen_source=more[1])
            elif outcome == "unreachable":
                row = replace(row, errno=more[0])
            rows.append(row)
    return rows


def outside_host() -> Host:
    """Make the host ``sw`` at 192.168.3.99: on the underlay, no route to the cluster, not a router."""
    inode = 4026599999
    links = {
        1: Link(1, "lo", mac="00:00:00:00:00:00", mtu=65536, loopback=True),
        2: Link(2, UNDERLAY_DEVICE, mac="2a:64:17:d5:39:f2"),
    }
    own = ip_address(OUTSIDE_ADDRESS)
    underlay = ip_network(UNDERLAY)
    routes = [
        Route(254, underlay, next_hops=(NextHop(2),), prefsrc=own, scope=253, protocol=2),
        Route(255, ip_network("127.0.0.0/8"), RouteType.LOCAL, (NextHop(1),), scope=254, protocol=2),
        Route(255, ip_network(own), RouteType.LOCAL, (NextHop(2),), own, 254, protocol=2),
        Route(
            255,
            ip_network(underlay.broadcast_address),
            RouteType.BROADCAST,
            (NextHop(2),),
            own,
            253,
            protocol=2,
        ),
    ]
    devices = {1: "lo", 2: UNDERLAY_DEVICE}
    namespace = NetNamespace(
        OUTSIDE,
        inode,
        is_host=True,
        names=(OUTSIDE,),
        links=links,
        addresses=(Address(1, ip_address("127.0.0.1"), 8, scope=254), Address(2, own, 24)),
        routes=tuple(replace(r, text=render_route(r, devices, RouteDetails())) for r in routes),
        rules=tuple(
            PolicyRule(4, priority, table=table, text=f"{priority}:\tfrom all lookup {name}")
            for priority, table, name in ((0, 255, "local"), (32766, 254, "main"), (32767, 253, "default"))
        ),
        sysctls=Sysctls(
            {
                "net/ipv4/ip_forward": "0",
                "net/ipv4/conf/all/forwarding": "0",
                "net/ipv4/conf/all/rp_filter": "0",
                f"net/ipv4/conf/{UNDERLAY_DEVICE}/rp_filter": "0",
            }
        ),
    )
    return Host(OUTSIDE, inode, {inode: namespace}, OUTSIDE)


# --- hosts and pods ---------------------------------------------------------------------------------------


def _host(root: NetNamespace, pods: list[NetNamespace]) -> Host:
    by_port = {link.peer: pod.inode for pod in pods for link in pod.links.values() if link.kind == "veth"}
    nsids = {link.peer_nsid: by_port[index] for index, link in root.links.items() if index in by_port}
    root = replace(root, nsids=nsids)
    return Host(root.host, root.inode, {ns.inode: ns for ns in (root, *pods)}, root.host, "6.18")


def _pod(path: Path, root: NetNamespace, number: int, cluster: Cluster) -> NetNamespace:
    pod = _namespace(path, root.host, root.inode + number, is_host=False)
    uids = tuple(p.uid for p in cluster.pods.values() if p.name == path.name and not p.host_network)
    return replace(pod, pod_uids=uids, nsids={0: root.inode})


def _node_of(path: Path, roots: Mapping[str, NetNamespace]) -> str:
    """Find the node whose bridge is in the pod's network."""
    entries = json.loads((path / "addrs.json").read_text())
    pod = next(a.ip for e in entries for a in _addresses_of(e) if e["ifname"] == "eth0" and a.ip.version == 4)
    for name, root in roots.items():
        for address in root.addresses:
            network = ip_interface(f"{address.ip}/{address.prefixlen}").network
            if address.prefixlen == 24 and pod in network:
                return name
    raise LookupError(path.name)


def _address_on(namespace: NetNamespace, device: str) -> str:
    link = namespace.link_named(device)
    assert link is not None
    return next(str(a.ip) for a in namespace.addresses if a.index == link.index and a.ip.version == 4)


def _namespace(path: Path, host: str, inode: int, *, is_host: bool) -> NetNamespace:
    raw = {f.stem: json.loads(f.read_text()) for f in path.glob("*.json") if f.stem != "nft"}
    devices = {entry["ifname"]: entry["ifindex"] for entry in raw["links"]}
    iptables, nft = _netfilter(path)
    return NetNamespace(
        host,
        inode,
        is_host=is_host,
        names=(path.name,),
        links={e["ifindex"]: _link(e, devices) for e in raw["links"]},
        addresses=tuple(a for e in raw["addrs"] for a in _addresses_of(e)),
        routes=tuple(_route(e, devices) for e in raw["routes"]),
        rules=tuple(_rule(e, family) for family in (4, 6) for e in raw["rules"]),
        neighbours=tuple(_neighbour(e, devices) for e in raw.get("neigh", ())),
        fdb=tuple(_fdb(e, devices) for e in raw["fdb"]),
        sockets=_sockets(path / "ss.txt"),
        sysctls=_sysctls(path / "sysctl.txt"),
        iptables=iptables,
        nft=nft,
    )


# --- the kernel's tables ----------------------------------------------------------------------------------


def _link(entry: dict[str, Any], devices: Mapping[str, int]) -> Link:
    info = entry.get("linkinfo", {})
    kind, data, flags = info.get("info_kind", ""), info.get("info_data", {}), entry["flags"]
    return Link(
        entry["ifindex"],
        entry["ifname"],
        kind,
        entry["address"],
        entry["mtu"],
        up="UP" in flags,
        carrier="LOWER_UP" in flags,
        loopback="LOOPBACK" in flags,
        noarp="NOARP" in flags,
        promiscuous=bool(entry.get("promiscuity")),
        master=devices.get(entry.get("master", ""), 0),
        peer=entry.get("link_index", devices.get(entry.get("link", data.get("link", "")), 0)),
        peer_nsid=entry.get("link_netnsid", -1),
        bridge=_bridge(data) if kind == "bridge" else None,
        port=_port(info["info_slave_data"]) if info.get("info_slave_kind") == "bridge" else None,
        vxlan=_vxlan(data, devices) if kind == "vxlan" else None,
    )


def _bridge(data: dict[str, Any]) -> Bridge:
    return Bridge(
        bool(data["vlan_filtering"]),
        bool(data["nf_call_iptables"]),
        bool(data["nf_call_ip6tables"]),
        data["ageing_time"] / 100,
    )


def _port(data: dict[str, Any]) -> BridgePort:
    return BridgePort(
        PortState[data["state"].upper()], data["hairpin"], data["learning"], data["flood"], data["isolated"]
    )


def _vxlan(data: dict[str, Any], devices: Mapping[str, int]) -> Vxlan:
    ports = data["port_range"]
    return Vxlan(
        data["id"],
        data["port"],
        data.get("local", ""),
        data.get("remote", data.get("group", "")),
        devices.get(data.get("link", ""), 0),
        data["learning"],
        (ports["low"], ports["high"]),
        data.get("external", False),
    )


def _addresses_of(entry: dict[str, Any]) -> list[Address]:
    return [
        Address(
            entry["ifindex"],
            ip_address(info["local"]),
            info["prefixlen"],
            _NUMBERS["scope"][info["scope"]],
            info.get("secondary", False),
            ip_address(info["address"]) if "address" in info else None,
        )
        for info in entry["addr_info"]
    ]


def _route(entry: dict[str, Any], devices: Mapping[str, int]) -> Route:
    flags = entry["flags"]
    hop = NextHop(
        devices[entry["dev"]],
        ip_address(entry["gateway"]) if "gateway" in entry else None,
        onlink="onlink" in flags,
        dead="dead" in flags,
        linkdown="linkdown" in flags,
    )
    route = Route(
        _NUMBERS["table"][entry["table"]],
        _destination(entry),
        RouteType(entry["type"]),
        (hop,),
        ip_address(entry["prefsrc"]) if "prefsrc" in entry else None,
        _NUMBERS["scope"][entry["scope"]],
        entry.get("metric", 0),
        protocol=_NUMBERS["protocol"][entry["protocol"]],
    )
    details = RouteDetails(entry.get("metric"), preference=0 if "pref" in entry else None)
    return replace(route, text=render_route(route, {i: n for n, i in devices.items()}, details))


def _destination(entry: dict[str, Any]) -> IPNetwork:
    if entry["dst"] != "default":
        return ip_network(entry["dst"])
    return ip_network("::/0" if "pref" in entry else "0.0.0.0/0")


def _rule(entry: dict[str, Any], family: int) -> PolicyRule:
    assert set(entry) == {"priority", "src", "table"}
    assert entry["src"] == "all"
    text = f"{entry['priority']}:\tfrom all lookup {entry['table']}"
    return PolicyRule(family, entry["priority"], table=_NUMBERS["table"][entry["table"]], text=text)


def _neighbour(entry: dict[str, Any], devices: Mapping[str, int]) -> Neighbour:
    state = NeighbourState(entry["state"][0])
    mac = entry.get("lladdr", "")
    text = f"{entry['dst']} dev {entry['dev']}{f' lladdr {mac}' if mac else ''} {state}"
    return Neighbour(devices[entry["dev"]], ip_address(entry["dst"]), mac, state, text=text)


def _fdb(entry: dict[str, Any], devices: Mapping[str, int]) -> FdbEntry:
    permanent = entry["state"] == "permanent"
    master = devices.get(entry.get("master", ""), 0)
    words = [entry["mac"], "dev", entry["ifname"]]
    words += ["dst", entry["dst"]] if "dst" in entry else []
    words += ["vlan", str(entry["vlan"])] if "vlan" in entry else []
    words += ["master", entry["master"]] if master else []
    words += [*entry["flags"], entry["state"]]
    return FdbEntry(
        devices[entry["ifname"]],
        entry["mac"],
        master,
        "self" in entry["flags"],
        permanent,
        permanent and bool(master) and "extern_learn" not in entry["flags"],
        entry.get("vlan", 0),
        ip_address(entry["dst"]) if "dst" in entry else None,
        text=" ".join(words).strip(),
    )


def _sockets(path: Path) -> tuple[Socket, ...]:
    if not path.exists():
        return ()
    sockets = []
    for line in path.read_text().splitlines():
        words = line.split()
        host, _, port = words[4].rpartition(":")
        # ss writes ``*`` for a socket of both families and ``[::]`` for one of IPv6 only.
        host = host.partition("%")[0].strip("[]")
        ip = ip_address("::" if host == "*" else host)
        text = " ".join(words)
        sockets.append(Socket(words[0], ip, int(port), dual_stack=host == "*", text=text))
    return tuple(sockets)


def _sysctls(path: Path) -> Sysctls:
    swap = str.maketrans("./", "/.")
    pairs = (line.partition("=") for line in path.read_text().splitlines() if "=" in line)
    return Sysctls({name.strip().translate(swap): value.strip() for name, _, value in pairs})


def _netfilter(path: Path) -> tuple[tuple[Table, ...], tuple[NftTable, ...]]:
    iptables: tuple[Table, ...] = ()
    for family, name in ((4, "iptables-save.txt"), (6, "ip6tables-save.txt")):
        if (path / name).exists():
            dump = decode_iptables_save((path / name).read_text(), family=family, backend=Backend.NFT)
            assert not dump.problems
            iptables += dump.tables
    if not (path / "nft.json").exists():
        return iptables, ()
    nft = decode_nft_json((path / "nft.json").read_bytes(), leave_out=shown_by_iptables(iptables))
    assert not nft.problems
    return in_order(iptables, nft), nft.tables
