"""The parts of a namespace that have no order: a row of `KINDS` for each, with how its things read.

A row's ``items`` are the items of evidence that it stands on; a gap in one of them makes the kind unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from skoopctl.changes.entries import Entry
from skoopctl.changes.links import links
from skoopctl.changes.members import member_text
from skoopctl.kernel.address import IPAddress
from skoopctl.kernel.ipvs_text import address_text, server_text, service_name, service_text
from skoopctl.kernel.neighbour import NeighbourState
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.route import TABLE_LOCAL

_DEVICE_FOLDERS = ("conf", "neigh")
_OF_MODULES = ("net/bridge/", "net/netfilter/", "net/ipv4/vs/", "net/sctp/")
_NO_DEVICE = frozenset({"", "all", "default"})
_MEASURED = frozenset({"net/netfilter/nf_conntrack_count"})
_PORT_RANGE = "net/ipv4/ip_local_port_range"
_LASTING = frozenset({NeighbourState.PERMANENT, NeighbourState.NOARP})
_OF_KERNEL = 2  # RTPROT_KERNEL
_BUILT_IN_RANGE = (32768, 60999)


@dataclass(frozen=True, slots=True)
class View:
    """One namespace as a row sees it. ``volatile``: what changes by itself counts too (``--all``).

    ``strangers`` are devices and ``lone`` addresses that the other side does not have, ``other`` is that side: what
    comes and goes with them is no news.
    """

    netns: NetNamespace
    volatile: bool = False
    strangers: frozenset[str] = frozenset()
    lone: frozenset[IPAddress] = frozenset()
    other: NetNamespace | None = None

    def device(self, index: int) -> str:
        """Return the name of a device."""
        link = self.netns.links.get(index)
        return link.name if link else f"if{index}"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing by the name that ``--only`` takes."""

    name: str
    items: tuple[str, ...]
    entries: Callable[[View], Iterable[Entry]]
    only_with_all: bool = False
    unread: Callable[[View], str] = lambda _: ""

    def gap(self, view: View) -> str:
        """Return why this kind was not read whole there, or ''."""
        gaps = view.netns.gaps
        reasons = (f"{item}: {gaps[item]}" for item in self.items if item in gaps)
        return next(reasons, "") or self.unread(view)


def _links(view: View) -> Iterator[Entry]:
    return links(view.netns)


def _addresses(view: View) -> Iterator[Entry]:
    for each in view.netns.addresses:
        device = view.device(each.index)
        words = [f"{each.ip}/{each.prefixlen} dev {device}"]
        words += [f"peer {each.peer}"] if each.peer else []
        flags = ("secondary", "deprecated", "temporary", "tentative")
        words += [flag for flag in flags if getattr(each, flag)]
        yield Entry(f"{each.ip} {device}", " ".join(words))


def _routes(view: View) -> Iterator[Entry]:
    """The kernel's own local and broadcast routes come and go with the address that they are for."""
    for route in view.netns.routes:
        own = route.table == TABLE_LOCAL and route.protocol == _OF_KERNEL
        if own and (route.prefsrc in view.lone or route.destination.network_address in view.lone):
            continue
        subject = f"{route.table} {route.destination} {route.source} {route.tos} {route.metric} {route.type}"
        yield Entry(subject, route.text)


def _rules(view: View) -> Iterator[Entry]:
    for rule in view.netns.rules:
        yield Entry(f"{rule.family} {rule.text}", rule.text.replace("\t", " "))


def _neighbours(view: View) -> Iterator[Entry]:
    for each in view.netns.neighbours:
        lasting = each.proxy or each.state in _LASTING
        if (lasting or view.volatile) and not each.ip.is_multicast:
            yield Entry(f"{each.ip} {view.device(each.index)} {each.proxy}", each.text)


def _fdb(view: View) -> Iterator[Entry]:
    """Own addresses and groups come and go with devices and addresses; learned entries age."""
    for each in view.netns.fdb:
        device = view.device(each.index)
        group = each.remote is None and int(each.mac[:2] or "0", 16) & 1
        if device in view.strangers or each.local or group:
            continue
        if each.permanent or each.remote or view.volatile:
            yield Entry(f"{each.mac} {device} {each.vlan} {each.remote}", each.text)


def _unread_sysctls(view: View) -> str:
    """Tell of sysctls that only the other side has, but for those of modules: they exist, and were not asked for."""
    if view.other is None:
        return ""
    missing = [
        path
        for path in view.other.sysctls.values.keys() - view.netns.sysctls.values.keys()
        if not path.startswith(_OF_MODULES) and _device_is_here(view.netns, _of_device(path))
    ]
    if not missing or not view.netns.sysctls.values:
        return ""
    return f"{len(missing)} that the other one has, such as {min(missing)}, were not read"


def _device_is_here(netns: NetNamespace, device: str) -> bool:
    return device in _NO_DEVICE or netns.link_named(device) is not None


def _of_device(path: str) -> str:
    """Return the device that a sysctl is of, or ''."""
    parts = path.split("/")
    return parts[3] if len(parts) > 4 and parts[2] in _DEVICE_FOLDERS else ""


def _sysctls(view: View) -> Iterator[Entry]:
    sysctls = view.netns.sysctls
    for path, value in sysctls.values.items():
        if _of_device(path) in view.strangers:
            continue
        if path not in _MEASURED or view.volatile:
            words = " ".join(value.split())
            yield Entry(path, f"{sysctls.dotted(path)} = {words}")


def _sockets(view: View) -> Iterator[Entry]:
    low, high = _local_ports(view.netns)
    for each in view.netns.sockets:
        if view.volatile or not low <= each.port <= high:
            yield Entry(each.text, each.text)


def _local_ports(netns: NetNamespace) -> tuple[int, int]:
    """Return the range from which the kernel gives ports to who asks for none: such sockets come and go."""
    words = (netns.sysctls.text(_PORT_RANGE) or "").split()
    if len(words) != 2 or not all(word.isdigit() for word in words):
        return _BUILT_IN_RANGE
    return int(words[0]), int(words[1])


def _ipsets(view: View) -> Iterator[Entry]:
    for found in view.netns.ipsets.values():
        words = [f"create {found.name} {found.type}"]
        words += [f"family {'inet6' if found.family == 6 else 'inet'}"] if found.family else []
        words += [f"timeout {found.timeout_s}"] if found.timeout_s is not None else []
        yield Entry(found.name, " ".join(words))
        for member in found.members:
            if member.timeout_s is None or view.volatile:
                text = f"add {found.name} {member_text(found, member)}"
                yield Entry(text, text)


def _ipvs(view: View) -> Iterator[Entry]:
    for service in view.netns.ipvs.services:
        yield Entry(service_name(service), service_text(service))
        for server in service.servers:
            where = address_text(server.ip.version, int(server.ip), server.port)
            yield Entry(f"{service_name(service)} {where}", server_text(service, server))


def _programs(view: View) -> Iterator[Entry]:
    for each in view.netns.programs or ():
        device = f" dev {view.device(each.index)}" if each.index else ""
        name = f" {each.name}" if each.name else ""
        yield Entry(f"{each.place}{device}", f"{each.place}{device}: {each.kind}{name}")


def _wireguard(view: View) -> Iterator[Entry]:
    for wg in view.netns.wireguard:
        name = view.device(wg.index)
        own = f"{name} public-key {wg.public_key} listen-port {wg.listen_port} fwmark {wg.fwmark:#x}"
        yield Entry(name, own)
        for peer in wg.peers:
            end = peer.endpoint
            where = (
                f"[{end[0]}]:{end[1]}" if end and end[0].version == 6 else f"{end[0]}:{end[1]}" if end else ""
            )
            allowed = ",".join(sorted(str(network) for network in peer.allowed_ips))
            text = f"{name} peer {peer.public_key} endpoint {where or '(none)'} allowed-ips {allowed or '(none)'}"
            yield Entry(f"{name} {peer.public_key}", text)


def _connections(view: View) -> Iterator[Entry]:
    for each in view.netns.conntrack.entries if view.netns.conntrack else ():
        way = each.original
        subject = f"{each.protocol} {way.source} {way.source_port} {way.destination} {way.destination_port}"
        words = each.text.split(" ")
        yield Entry(subject, " ".join(words[:2] + words[3:]))  # without its timeout, which runs


def _no_programs(view: View) -> str:
    return "" if view.netns.programs is not None else "programs were not read"


def _no_connections(view: View) -> str:
    table = view.netns.conntrack
    if table is None:
        return "it was not read"
    return "" if table.complete else table.detail or "it was not read whole"


KINDS: tuple[Kind, ...] = (
    Kind("link", ("link", "bridge-vlan"), _links),
    Kind("address", ("addr",), _addresses),
    Kind("route", ("route", "nexthop"), _routes),
    Kind("rule", ("rule",), _rules),
    Kind("neighbour", ("neigh", "neigh-proxy"), _neighbours),
    Kind("fdb", ("fdb",), _fdb),
    Kind("sysctl", ("sysctl",), _sysctls, unread=_unread_sysctls),
    Kind("ipset", ("ipset",), _ipsets),
    Kind("ipvs", ("ip_vs",), _ipvs),
    Kind("wireguard", ("wireguard",), _wireguard),
    Kind(
        "socket",
        ("proc-net-tcp", "proc-net-tcp6", "proc-net-udp", "proc-net-udp6", "proc-net-sctp-eps"),
        _sockets,
    ),
    Kind("program", ("bpf", "tc-filter"), _programs, unread=_no_programs),
    Kind("conntrack", ("conntrack",), _connections, only_with_all=True, unread=_no_connections),
)
"""Every part of a namespace without an order of its own; chains of rules are in `skoopctl.changes.chains`."""
