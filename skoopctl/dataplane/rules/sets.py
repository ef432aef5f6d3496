"""Looking packets up in ipset's sets, as the kernel does for a rule (net/netfilter/ipset/).

A rule gives a direction (``src``, ``dst``) for each dimension of the set's type. The kernel takes the first
entry in the order of prefix lengths, the longest first, and that entry decides: a ``nomatch`` one says no
(ip_set_hash_gen.h: mtype_test_cidrs). What the packet does not determine is not guessed: a port that is a
range splits, a MAC address that the walk does not know is `Unknown`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from skoopctl.dataplane.packet import Packet, Ports
from skoopctl.dataplane.rules.scene import Hook, Scene
from skoopctl.dataplane.truth import Truth, Unknown, any_of, ports_within
from skoopctl.kernel.ipset import Dimension, Interface, IpSet, Member, Net, ProtocolPort, Value

MAX_NESTING = 8
"""A set of sets cannot hold another one; a dump that says so is damaged."""
MAX_PORTS = 256
"""If more ports of a range may be in a set than this, they are not looked up one by one."""

Key = tuple[Value, ...]
Changes = Mapping[Key, Member | None]
_NONE: Changes = {}


class Found(NamedTuple):
    """What a lookup says, and the entry that decided (for its extensions), when there is exactly one."""

    truth: Truth
    member: Member | None = None


_OUTSIDE = Found(truth=False)


class SetIndex:
    """The members of one set by their values; networks are found by prefix length. Built once for a set."""

    def __init__(self, ipset: IpSet) -> None:
        self.ipset = ipset
        self.bits = 32 if ipset.family == 4 else 128
        dimensions = ipset.dimensions
        self.members: dict[Key, Member] = {}
        self._by_net: dict[Value, list[Member]] = {}
        self._with_interfaces = Dimension.IFACE in dimensions
        self._loose_mac = ipset.type == "bitmap:ip,mac"
        self._nets = [at for at, dimension in enumerate(dimensions) if dimension is Dimension.NET]
        self._ports_at = next((at for at, each in enumerate(dimensions) if each is Dimension.PORT), -1)
        self._ports: dict[int, list[int]] | None = None
        for member in ipset.members:
            if self._with_interfaces:
                self._by_net.setdefault(member.values[0], []).append(member)
            elif self._loose_mac:
                self.members[member.values[:1]] = member
            else:
                self.members[member.values] = member
        self.lengths = [self._lengths(at) for at in self._nets]

    def _lengths(self, at: int) -> tuple[int, ...]:
        """Return the prefix lengths of a dimension, longest first; a host's when the set is empty."""
        nets = (member.values[at] for member in self.ipset.members)
        found = {net.length for net in nets if isinstance(net, Net)}
        return tuple(sorted(found, reverse=True)) or (self.bits,)

    def ports(self, protocol: int, ports: Ports) -> Sequence[int]:
        """Return the ports of a range that some member has."""
        if self._ports is None:
            by_protocol: dict[int, set[int]] = {}
            for member in self.ipset.members:
                value = member.values[self._ports_at]
                if isinstance(value, ProtocolPort):
                    by_protocol.setdefault(value.protocol, set()).add(value.port)
            self._ports = {number: sorted(found) for number, found in by_protocol.items()}
        known = self._ports.get(protocol, [])
        return known[bisect_left(known, ports.low) : bisect_right(known, ports.high)]

    def find(self, values: Key, changes: Changes = _NONE) -> Member | None:
        """Return the entry that decides for one value a dimension (addresses as hosts), or None."""
        if self._with_interfaces:
            return self._find_interface(values)
        if self._loose_mac:
            return self._find_loosely(values)
        if not self._nets:
            return changes[values] if values in changes else self.members.get(values)
        for key in self._candidates(values):
            found = changes[key] if key in changes else self.members.get(key)
            if found is not None:
                return found
        return None

    def _candidates(self, values: Key) -> list[Key]:
        """Return the keys to try: every prefix length of the first network, for each all of the second's."""
        keys = [values]
        for at, lengths in zip(self._nets, self.lengths, strict=True):
            host = values[at]
            nets = [self.masked(host, length) for length in lengths] if isinstance(host, Net) else []
            keys = [(*key[:at], net, *key[at + 1 :]) for key in keys for net in nets]
        return keys

    def masked(self, host: Net, length: int) -> Net:
        """Return the network of a prefix length around an address."""
        shift = self.bits - length
        return Net(host.address >> shift << shift, length)

    def _find_interface(self, values: Key) -> Member | None:
        """hash:net,iface: the longest network that is there at all decides, whatever its devices.

        The search ends where an entry has the packet's network, even when its device is another one
        (ip_set_hash_netiface.c: hash_netiface4_data_equal counts it, and mtype_test_cidrs stops).
        """
        host, device = values
        if not isinstance(host, Net) or not isinstance(device, Interface):
            return None
        for length in self.lengths[0]:
            members = self._by_net.get(self.masked(host, length))
            if members:
                return next((m for m in members if _is_device(m.values[1], device.name)), None)
        return None

    def _find_loosely(self, values: Key) -> Member | None:
        """bitmap:ip,mac: an entry without a MAC address takes the packet's (bitmap_ipmac_do_test)."""
        member = self.members.get(values[:1])
        if member is None or len(member.values) < 2 or member.values[1] is None:
            return member
        return member if member.values[1] == values[1] else None


def _is_device(value: Value, name: str) -> bool:
    """Compare with an entry's device; rules never set what an entry for a bridge's port asks for."""
    if not isinstance(value, Interface) or value.physdev:
        return False
    return name.startswith(value.name) if value.wildcard else name == value.name


# --- a packet in a set -----------------------------------------------------------------------------------


def lookup(scene: Scene, name: str, flags: Sequence[str], *, return_nomatch: bool = False) -> Truth:
    """Tell whether the scene's packet is in the set ``name`` of its namespace (ip_set_core.c: ip_set_test).

    ``flags`` are ``src`` or ``dst`` for each dimension. A set that was not read is `Unknown`.
    """
    return look_up(scene, name, flags, return_nomatch=return_nomatch).truth


def look_up(
    scene: Scene, name: str, flags: Sequence[str], *, return_nomatch: bool = False, depth: int = 0
) -> Found:
    """Return the same as `lookup` with the entry that decided."""
    ipset = scene.netns.ipsets.get(name)
    if ipset is None:
        gap = scene.netns.gaps.get("ipset")
        why = f"was not read: {gap}" if gap else "is not in the dump"
        return Found(Unknown(f"the set {name} {why}"))
    dimensions = ipset.dimensions
    if not dimensions or (ipset.problem and not ipset.members):
        return Found(Unknown(f"the set {name} cannot be read: {ipset.problem}"))
    if dimensions[0] is Dimension.SET:
        return _in_list(scene, ipset, flags, return_nomatch, depth)
    if len(flags) < len(dimensions) or ipset.family not in {0, scene.packet.family}:
        return Found(truth=False)
    # Only types with networks have exceptions (IPSET_TYPE_NOMATCH); for the others the flag does nothing.
    found = _in_members(scene, ipset, flags, return_nomatch and Dimension.NET in dimensions)
    if ipset.problem and (found.truth is False or Dimension.NET in dimensions):
        return Found(Unknown(f"the set {name} was not read whole: {ipset.problem}"))
    return found


def _in_list(scene: Scene, ipset: IpSet, flags: Sequence[str], return_nomatch: bool, depth: int) -> Found:
    """list:set: the first set that holds the packet (ip_set_list_set.c: list_set_ktest)."""
    if depth >= MAX_NESTING:
        return Found(Unknown(f"the set {ipset.name} holds itself"))
    truths: list[Truth] = []
    for member in ipset.members:
        inner = str(member.values[0])
        truth = look_up(scene, inner, flags, return_nomatch=return_nomatch, depth=depth + 1).truth
        truths.append(truth)
        if truth is True:
            return Found(any_of(truths), member)
    if ipset.problem:
        truths.append(Unknown(f"the set {ipset.name} was not read whole: {ipset.problem}"))
    return Found(any_of(truths))


def index_of(scene: Scene, ipset: IpSet) -> SetIndex:
    """Return a set's index, made when it is first needed."""
    key = ("ipset", id(ipset))
    cached = scene.topology.caches.get(key)
    if cached is None:
        cached = scene.topology.caches[key] = SetIndex(ipset)
    return cached  # type: ignore[return-value]


def _in_members(scene: Scene, ipset: IpSet, flags: Sequence[str], return_nomatch: bool) -> Found:
    changes = scene.connections.set_changes.get(ipset.name, _NONE)
    if changes is None:
        return Found(
            Unknown(f"a rule before this one changes the set {ipset.name} in a way that is not known")
        )
    index = index_of(scene, ipset)
    wanted = key_of(scene, ipset, flags)
    if wanted is None:
        return _OUTSIDE
    if isinstance(wanted, Unknown):
        return Found(wanted if ipset.members or changes else False)
    values, ports = wanted
    if ports is None:
        return _decided(index.find(values, changes), return_nomatch)
    return _in_range(index, values, ports, changes, return_nomatch)


def _decided(member: Member | None, return_nomatch: bool) -> Found:
    """Say what an entry decides; with ``--return-nomatch`` only the exceptions match (ip_set_test)."""
    return _OUTSIDE if member is None else Found(member.nomatch == return_nomatch, member)


class _PortsAt(NamedTuple):
    """A port that is a range, and where in the key it belongs."""

    at: int
    protocol: int
    ports: Ports
    side: str


def _in_range(index: SetIndex, values: Key, where: _PortsAt, changes: Changes, return_nomatch: bool) -> Found:
    """Look a range of ports up: none, all, or one run of it is in the set; else it is not known."""
    at, protocol, ports, side = where
    known = set(index.ports(protocol, ports))
    for key in changes:
        port = key[at]
        if (
            isinstance(port, ProtocolPort)
            and port.protocol == protocol
            and ports.low <= port.port <= ports.high
        ):
            known.add(port.port)
    if not known:
        return _OUTSIDE
    name = index.ipset.name
    if len(known) > MAX_PORTS and index.ipset.type != "bitmap:port":
        return Found(Unknown(f"the {side} port may be any of {len(known)} in the set {name}"))
    found: dict[int, Member | None] = {}
    for port in known:
        key = (*values[:at], ProtocolPort(protocol, port), *values[at + 1 :])
        found[port] = index.find(key, changes)
    inside = sorted(port for port, member in found.items() if _decided(member, return_nomatch).truth is True)
    if not inside:
        return Found(truth=False)
    if inside[-1] - inside[0] + 1 != len(inside):
        return Found(Unknown(f"the {side} port may or may not be one of {len(inside)} in the set {name}"))
    member = found[inside[0]] if len(inside) == 1 else None
    return Found(ports_within(ports, inside[0], inside[-1], side), member)


def key_of(scene: Scene, ipset: IpSet, flags: Sequence[str]) -> tuple[Key, _PortsAt | None] | Unknown | None:
    """Return the packet's value for each dimension; None where it has none, so that nothing matches.

    A port that is a range is left out of the key and returned beside it.
    """
    values: list[Value] = []
    ports: _PortsAt | None = None
    for at, (dimension, flag) in enumerate(zip(ipset.dimensions, flags, strict=False)):
        value = _value(scene, ipset, dimension, source=flag == "src")
        if isinstance(value, _PortsAt):
            ports = value._replace(at=at)
            values.append(None)
        elif value is None or isinstance(value, Unknown):
            return value
        else:
            values.append(value)
    return tuple(values), ports


def _value(scene: Scene, ipset: IpSet, dimension: Dimension, *, source: bool) -> Value | _PortsAt | Unknown:
    packet = scene.packet
    if dimension is Dimension.IP or dimension is Dimension.NET:
        address = packet.source if source else packet.destination
        if ipset.mask:
            address &= ipset.mask
        # hash_ip4_kadt refuses 0.0.0.0; networks take it.
        return Net(address, 32 if packet.family == 4 else 128) if address or ipset.type != "hash:ip" else None
    if dimension is Dimension.PORT:
        return _port(packet, ipset, source=source)
    if dimension is Dimension.MARK:
        return packet.mark & ipset.mark_mask
    if dimension is Dimension.IFACE:
        link = scene.in_link if source else scene.out_link
        return Interface(link.name) if link else None
    return _mac(scene, source=source)


def _port(packet: Packet, ipset: IpSet, *, source: bool) -> ProtocolPort | _PortsAt | None:
    """Return what ip_set_getport.c reads: a port, ICMP's type and code, or 0 for other protocols."""
    if ipset.type == "bitmap:port":
        if packet.protocol not in {6, 17}:
            return None
        protocol = 0
    else:
        protocol = packet.protocol
    if packet.protocol in {1, 58}:
        kind, code = packet.icmp
        return ProtocolPort(protocol, kind << 8 | code)
    if packet.protocol not in {6, 17, 132, 136}:
        return ProtocolPort(protocol, 0)
    ports = packet.source_ports if source else packet.destination_ports
    if ports.low == ports.high:
        return ProtocolPort(protocol, ports.low)
    return _PortsAt(-1, protocol, ports, "source" if source else "destination")


def _mac(scene: Scene, *, source: bool) -> int | Unknown | None:
    """Return the frame's MAC address; a packet that is born here has none, and loopback's is zero: no match."""
    if scene.in_link is not None and scene.in_link.loopback:
        return None
    if scene.hook is Hook.OUTPUT or (scene.hook is Hook.POSTROUTING and scene.born_here):
        return None
    mac = scene.packet.source_mac if source else ""
    if not mac:
        return Unknown(f"the frame's {'source' if source else 'destination'} MAC address is not known")
    return int(mac.replace(":", ""), 16)
