"""What nftables' statements do to a packet, its connection and the sets of its table."""

from __future__ import annotations

from collections.abc import Callable

from skoopctl.dataplane.choice import ChoiceKind
from skoopctl.dataplane.conntrack import Entry, bind_destination, bind_source
from skoopctl.dataplane.packet import Ports, Unreachable
from skoopctl.dataplane.rules.nft.compare import WORD, Draw, Scalar, parts_of, plain
from skoopctl.dataplane.rules.nft.fields import AbsentError
from skoopctl.dataplane.rules.nft.sets import prefix_range
from skoopctl.dataplane.rules.nft.types import ADDRESS, UnclearError
from skoopctl.dataplane.rules.nft.values import Left, Values
from skoopctl.dataplane.rules.ruling import ACCEPT, DROP, Action, Ruling
from skoopctl.dataplane.rules.scene import Scene
from skoopctl.dataplane.rules.targets.redirect import redirect_address
from skoopctl.dataplane.rules.targets.registry import RANDOM_PORTS, masquerade_as
from skoopctl.dataplane.rules.targets.tcpmss import MSS_DEFAULT, clamped, lower_mss
from skoopctl.kernel.nft import (
    Concat,
    Ct,
    Element,
    Expression,
    Extension,
    Literal,
    MangleStatement,
    MapLookup,
    Meta,
    NatStatement,
    Payload,
    Prefix,
    Range,
    RejectStatement,
    RouteKey,
    SetUpdateStatement,
    VerdictStatement,
)

Effect = Callable[[Scene], Ruling | None]
_LOOPBACK = {4: 0x7F000001, 6: 1}
_MOST_ADDRESSES = 64
_MOST_DRAWN = 64


# --- reject --------------------------------------------------------------------------------------------------

# Codes by name; ``icmpx`` is the one of the packet's own family (nft_reject.c: nft_reject_icmp_code).
_REJECTIONS = {
    "net-unreachable": Unreachable.NET,
    "host-unreachable": Unreachable.HOST,
    "prot-unreachable": Unreachable.PROTO,
    "port-unreachable": Unreachable.PORT,
    "net-prohibited": Unreachable.NET_PROHIBITED,
    "host-prohibited": Unreachable.HOST_PROHIBITED,
    "admin-prohibited": Unreachable.ADMIN_PROHIBITED,
    "no-route": Unreachable.NET,
    "addr-unreachable": Unreachable.HOST,
    "policy-fail": Unreachable.POLICY_FAIL,
    "reject-route": Unreachable.REJECT_ROUTE,
}


def reject(statement: RejectStatement) -> Effect:
    """End the packet and tell its sender, by an ICMP error or a TCP reset."""
    if statement.type.startswith("tcp"):
        ruling = Ruling(Action.REJECT, None)
    else:
        ruling = Ruling(Action.REJECT, _REJECTIONS.get(statement.code, Unreachable.PORT))
    # nft asks for TCP, or for the family of the ICMP, before it (evaluate.c: stmt_evaluate_reject) and hides that.
    of_ip = bool(statement.type) and statement.type != "icmpx"

    def act(scene: Scene) -> Ruling:
        if scene.packet.arp and of_ip:
            raise AbsentError
        return ruling

    return act


# --- marks, zones, headers -----------------------------------------------------------------------------------


def mangle(statement: MangleStatement, values: Values) -> Effect:
    """``KEY set VALUE``; raises `UnclearError` for a key whose change may matter and is not followed."""
    key = statement.key
    if isinstance(key, Extension) and (key.name, key.field) == ("maxseg", "size"):
        return _segment_size(key, statement.value, values)
    if _changes_no_way(key):
        return _nothing
    setter = _setter(key)
    source = values.constant_or_left(statement.value, values.left(key).type)

    def act(scene: Scene) -> None:
        setter(scene, _number(source, scene))

    return act


def _segment_size(key: Extension, value: Expression, values: Values) -> Effect:
    """``tcp option maxseg size set rt mtu`` or a number: never larger than it was (nft_exthdr_tcp_set_eval)."""
    if isinstance(value, RouteKey) and value.key == "mtu":
        return lambda scene: lower_mss(scene, clamped(scene) or MSS_DEFAULT)
    source = values.constant_or_left(value, values.left(key).type)
    return lambda scene: lower_mss(scene, _number(source, scene))


def _nothing(_scene: Scene) -> None:
    return


def _changes_no_way(key: Expression) -> bool:
    """Tell whether something is set that no hook, route or socket of a walk asks for."""
    if isinstance(key, Meta):
        return key.key in {"nftrace", "priority", "pkttype", "secmark", "broute"}
    if isinstance(key, Ct):
        return key.key in {"event", "label", "secmark"}
    if isinstance(key, Payload):
        return key.protocol in {"ether", "vlan"} or key.field in {"ecn", "checksum", "id", "flowlabel"}
    return isinstance(key, Extension)


def _number(source: Left, scene: Scene) -> int:
    """Return the number to set; lots are drawn by a branch."""
    value = source.read(scene)
    if isinstance(value, Draw):
        return _drawn(value, scene)
    number = plain(_single(value))
    if not isinstance(number, int):
        raise UnclearError("a value that is not known is set")
    return number


def _single(value: object) -> Scalar:
    (only,) = parts_of(value)  # type: ignore[arg-type]
    return only


def _drawn(draw: Draw, scene: Scene) -> int:
    if draw.modulus > _MOST_DRAWN:
        raise UnclearError(f"{draw.what} is set")
    kind = ChoiceKind.CHANCE if draw.inputs is None else ChoiceKind.UNKNOWN
    options = tuple((f"{draw.what} gives {n}", 1.0) for n in range(draw.low, draw.high + 1))
    key = None if draw.inputs is None else ("draw", scene.netns.inode, draw.what, draw.inputs)
    return draw.low + (scene.choices.pick(kind, draw.what, options, key=key) if len(options) > 1 else 0)


def _set_mark(scene: Scene, value: int) -> None:
    scene.packet.mark = value & WORD


def _set_ct_mark(scene: Scene, value: int) -> None:
    tracking = scene.packet.tracking
    if tracking and tracking.entry:
        tracking.entry.mark = value & WORD


def _zone_setter(direction: str) -> Callable[[Scene, int], None]:
    """Put the connection into a zone, in one direction or both (nft_ct.c: nft_ct_set_zone_eval).

    A packet that is tracked, or has a zone, keeps it. A zone for one direction leaves the other in zone 0. It takes
    the place of a ``notrack`` that came before.
    """

    def act(scene: Scene, value: int) -> None:
        packet = scene.packet
        if packet.tracking is None and not packet.zone and not packet.zone_reply:
            packet.untracked = False
            packet.zone = value & 0xFFFF if direction != "reply" else 0
            packet.zone_reply = value & 0xFFFF if direction != "original" else 0

    return act


def _set_source(scene: Scene, value: int) -> None:
    scene.packet.source = value


def _set_destination(scene: Scene, value: int) -> None:
    scene.packet.destination = value


def _set_source_port(scene: Scene, value: int) -> None:
    scene.packet.source_ports = Ports.of(value)


def _set_destination_port(scene: Scene, value: int) -> None:
    scene.packet.destination_ports = Ports.of(value)


def _set_dscp(scene: Scene, value: int) -> None:
    scene.packet.tos = (scene.packet.tos & 3) | (value & 63) << 2


def _set_ttl(scene: Scene, value: int) -> None:
    scene.packet.ttl = value


_HEADER_SETTERS = {
    "saddr": _set_source,
    "daddr": _set_destination,
    "sport": _set_source_port,
    "dport": _set_destination_port,
    "dscp": _set_dscp,
    "ttl": _set_ttl,
    "hoplimit": _set_ttl,
}


def _setter(key: Expression) -> Callable[[Scene, int], None]:
    if isinstance(key, Meta) and key.key == "mark":
        return _set_mark
    if isinstance(key, Ct) and key.key == "mark":
        return _set_ct_mark
    if isinstance(key, Ct) and key.key == "zone":
        return _zone_setter(key.direction)
    if isinstance(key, Payload) and key.field in _HEADER_SETTERS:
        return _guarded(key.protocol, _HEADER_SETTERS[key.field])
    raise UnclearError("it sets something that is not modelled")


_FAMILIES = {"ip": 4, "ip6": 6}
_PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132, "udplite": 136}


def _guarded(protocol: str, setter: Callable[[Scene, int], None]) -> Callable[[Scene, int], None]:
    """Set a header field only of packets that have the header: of others the rule ends."""

    def act(scene: Scene, value: int) -> None:
        packet = scene.packet
        if _FAMILIES.get(protocol, packet.family) != packet.family:
            raise AbsentError
        if _PROTOCOLS.get(protocol, packet.protocol) != packet.protocol:
            raise AbsentError
        setter(scene, value)

    return act


def notrack(scene: Scene) -> None:
    """Make the packet UNTRACKED, unless it has a connection or a zone already (nft_ct.c: nft_notrack_eval)."""
    packet = scene.packet
    zoned = packet.zone or packet.zone_reply
    if not zoned and (packet.tracking is None or packet.tracking.entry is None):
        packet.untracked = True


# --- sets ----------------------------------------------------------------------------------------------------


def update(statement: SetUpdateStatement, values: Values) -> Effect:
    """Add an element to a set, or delete one: rules that come later on this way see it."""
    name = statement.set_name
    if statement.key is None:
        return _nothing
    key = values.left(statement.key)

    def act(scene: Scene) -> None:
        element = None
        if statement.operation != "delete":
            element = Element(statement.key or Literal(0), statement.value)
        values.sets.change(name, key.read(scene), element, scene)

    return act


# --- NAT -----------------------------------------------------------------------------------------------------


def nat(statement: NatStatement, values: Values) -> Effect:
    """``snat dnat masquerade redirect``: bind the connection; the verdict is ACCEPT (nft_nat.c: nft_nat_eval)."""
    return _Target(statement, values).act


class _Target:
    """One NAT statement made ready."""

    def __init__(self, statement: NatStatement, values: Values) -> None:
        self.statement = statement
        self._values = values
        self._random = bool({"fully-random", "random"} & set(statement.flags))
        address = statement.address
        self._find = values.find(address.key, address.data) if isinstance(address, MapLookup) else None
        self._port_source = self._compile_port(statement.port)

    def act(self, scene: Scene) -> Ruling:
        tracking = scene.packet.tracking
        entry = tracking.entry if tracking and not tracking.is_reply else None
        # ``snat ip`` in a table of the inet family leaves IPv6 alone: no verdict (nft_nat_inet_eval).
        if _FAMILIES.get(self.statement.family, scene.packet.family) != scene.packet.family:
            raise AbsentError
        if entry is None:
            return ACCEPT
        if self.statement.kind == "masquerade":
            return masquerade_as(scene, self._ports(scene), fully_random=self._random)
        if self.statement.kind == "redirect":
            return self._redirect(scene, entry)
        address, ports = self._target(scene)
        packet = scene.packet
        if address is not None and address.bit_length() > (32 if packet.family == 4 else 128):
            raise UnclearError("NAT to an address of another family")
        if self.statement.kind == "dnat":
            bind_destination(
                entry, packet.destination if address is None else address, ports or packet.destination_ports
            )
        else:
            ported = packet.protocol in {6, 17, 132}
            kept = RANDOM_PORTS if self._random and ported else packet.source_ports
            bind_source(entry, packet.source if address is None else address, ports or kept)
        return ACCEPT

    def _redirect(self, scene: Scene, entry: Entry) -> Ruling:
        """DNAT to the in device's own address, or to loopback for packets born here (nf_nat_redirect.c)."""
        packet, address = scene.packet, redirect_address(scene)
        if address is None:
            return DROP
        bind_destination(entry, address, self._ports(scene) or packet.destination_ports)
        return ACCEPT

    # --- where to ----------------------------------------------------------------------------------------

    def _target(self, scene: Scene) -> tuple[int | None, Ports | None]:
        """Return address and port; a map may carry both (``addr . port``)."""
        ports = self._ports(scene)
        expression = self.statement.address
        if expression is None:
            return None, ports
        if self._find is not None:
            expression = self._found(scene)
        if isinstance(expression, Concat) and len(expression.parts) == 2:
            ports = _fixed_ports(expression.parts[1])
            expression = expression.parts[0]
        return self._address(expression, scene), ports

    def _found(self, scene: Scene) -> Expression:
        element = self._find(scene) if self._find else None
        if element is None or element.value is None or isinstance(element.value, VerdictStatement):
            raise AbsentError
        return element.value

    def _address(self, expression: Expression, scene: Scene) -> int:
        if isinstance(expression, Literal):
            address = ADDRESS.value(expression.value)
            if isinstance(address, int):
                return address
        if isinstance(expression, Prefix):
            low, high = prefix_range(expression, ADDRESS)
            if "netmap" in self.statement.flags:
                own = scene.packet.destination if self.statement.kind == "dnat" else scene.packet.source
                return low | (own & (high - low))
            return _one_of(low, high, scene)
        if isinstance(expression, Range):
            low, high = (_constant(end) for end in (expression.low, expression.high))
            return _one_of(low, high, scene)
        value = plain(_single(self._values.left(expression).read(scene)))
        if not isinstance(value, int):
            raise UnclearError("NAT to an address that is not known")
        return value

    def _compile_port(self, expression: Expression | None) -> Callable[[Scene], Ports] | None:
        if expression is None:
            return None
        if isinstance(expression, Literal | Range):
            ports = _fixed_ports(expression)
            return lambda _scene: ports
        if isinstance(expression, MapLookup):
            find = self._values.find(expression.key, expression.data)

            def of_map(scene: Scene) -> Ports:
                element = find(scene)
                if element is None or element.value is None or isinstance(element.value, VerdictStatement):
                    raise AbsentError
                return _fixed_ports(element.value)

            return of_map
        source = self._values.left(expression)

        def read(scene: Scene) -> Ports:
            value = plain(_single(source.read(scene)))
            if not isinstance(value, int):
                raise UnclearError("NAT to a port that is not known")
            return Ports.of(value)

        return read

    def _ports(self, scene: Scene) -> Ports | None:
        return self._port_source(scene) if self._port_source is not None else None


def _one_of(low: int, high: int, scene: Scene) -> int:
    """Pick an address of a range: a hash of the connection does it (nf_nat_core.c: find_best_ips_proto)."""
    span = range(low, min(high, low + _MOST_ADDRESSES - 1) + 1)
    if len(span) < 2:
        return low
    options = tuple((scene.packet.address(ip), 1.0) for ip in span)
    reason = f"NAT to one of {options[0][0]}-{scene.packet.address(high)}"
    return span[scene.choices.pick(ChoiceKind.CHANCE, reason, options)]


def _constant(expression: Expression) -> int:
    value = ADDRESS.value(expression.value) if isinstance(expression, Literal) else None
    if not isinstance(value, int):
        raise UnclearError("NAT to something that is not an address")
    return value


def _fixed_ports(expression: Expression) -> Ports:
    if isinstance(expression, Literal):
        return Ports.of(_constant(expression))
    if isinstance(expression, Range):
        return Ports(_constant(expression.low), _constant(expression.high))
    raise UnclearError("NAT to a port that is not modelled")
