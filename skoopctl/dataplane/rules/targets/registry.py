"""iptables targets: a table from name to a function that acts on a scene (iptables-extensions(8)).

A function returns a verdict, or None to go on with the next rule. DNAT, SNAT, MASQUERADE and REDIRECT end
the nat table for this packet only: they are ACCEPT there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from skoopctl.dataplane.choice import ChoiceKind
from skoopctl.dataplane.conntrack import Entry, bind_destination, bind_source
from skoopctl.dataplane.packet import Ports, Unreachable
from skoopctl.dataplane.rules.matches.connection import value_and_mask
from skoopctl.dataplane.rules.ruling import ACCEPT, DROP, Action, Ruling
from skoopctl.dataplane.rules.scene import Scene
from skoopctl.dataplane.rules.targets.redirect import redirect_address
from skoopctl.kernel.iptables import Target

Act = Callable[[Scene, Target], Ruling | None]
RANDOM_PORTS = Ports(1024, 65535)
_WORD = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Effect:
    """What a target is: its function, and whether it can change the packet's way at all.

    ``quiet`` ones may, by what later rules see; for themselves they are no evidence.
    """

    act: Act
    harmless: bool = False
    quiet: bool = False


TARGETS: dict[str, Effect] = {}


def target(*names: str, quiet: bool = False) -> Callable[[Act], Act]:
    """Register a target."""

    def register(act: Act) -> Act:
        for name in names:
            TARGETS[name] = Effect(act, quiet=quiet)
        return act

    return register


def _nothing(_scene: Scene, _target: Target) -> None:
    return


for _name in (
    "LOG",
    "NFLOG",
    "ULOG",
    "TRACE",
    "AUDIT",
    "CHECKSUM",
    "CLASSIFY",
    "SECMARK",
    "CONNSECMARK",
    "RATEEST",
    "IDLETIMER",
    "LED",
    "TEE",
    "TCPOPTSTRIP",
):
    TARGETS[_name] = Effect(_nothing, harmless=True)


def options_of(item: Target) -> dict[str, str]:
    """Return a target's options by name, with the first value of each ('' for a flag)."""
    return {o.name: o.values[0] if o.values else "" for o in item.options}


@target("ACCEPT")
def accept(_scene: Scene, _target: Target) -> Ruling:
    """Leave the table; later tables still look."""
    return ACCEPT


@target("DROP")
def drop(_scene: Scene, _target: Target) -> Ruling:
    """The packet is gone, silently."""
    return DROP


@target("REJECT")
def reject(scene: Scene, item: Target) -> Ruling:
    """The packet is gone, and its sender is told."""
    name = options_of(item).get("reject-with", "")
    if name not in _REJECT_NAMES and name not in _RESETS:
        scene.unknowns.append(f"how REJECT --reject-with {name} answers is not modelled")
        return DROP
    return Ruling(Action.REJECT, reject_error(options_of(item).get("reject-with", "")))


_RESETS = frozenset({"tcp-reset", "tcp-rst"})
_REJECT_NAMES = {
    "": Unreachable.PORT,
    "icmp-net-unreachable": Unreachable.NET,
    "net-unreach": Unreachable.NET,
    "icmp-host-unreachable": Unreachable.HOST,
    "host-unreach": Unreachable.HOST,
    "icmp-port-unreachable": Unreachable.PORT,
    "port-unreach": Unreachable.PORT,
    "icmp-proto-unreachable": Unreachable.PROTO,
    "prot-unreach": Unreachable.PROTO,
    "icmp-net-prohibited": Unreachable.NET_PROHIBITED,
    "icmp-host-prohibited": Unreachable.HOST_PROHIBITED,
    "icmp-admin-prohibited": Unreachable.ADMIN_PROHIBITED,
    "net-prohib": Unreachable.NET_PROHIBITED,
    "host-prohib": Unreachable.HOST_PROHIBITED,
    "admin-prohib": Unreachable.ADMIN_PROHIBITED,
    "proto-unreach": Unreachable.PROTO,
    "icmp6-no-route": Unreachable.NET,
    "icmp6-adm-prohibited": Unreachable.ADMIN_PROHIBITED,
    "icmp6-addr-unreachable": Unreachable.HOST,
    "icmp6-port-unreachable": Unreachable.PORT,
    "icmp6-policy-fail": Unreachable.POLICY_FAIL,
    "icmp6-reject-route": Unreachable.REJECT_ROUTE,
    "policy-fail": Unreachable.POLICY_FAIL,
    "reject-route": Unreachable.REJECT_ROUTE,
    "adm-prohibited": Unreachable.ADMIN_PROHIBITED,
    "addr-unreach": Unreachable.HOST,
    "no-route": Unreachable.NET,
    "addr-unreachable": Unreachable.HOST,
    "port-unreachable": Unreachable.PORT,
    "host-unreachable": Unreachable.HOST,
    "net-unreachable": Unreachable.NET,
    "prot-unreachable": Unreachable.PROTO,
    "net-prohibited": Unreachable.NET_PROHIBITED,
    "host-prohibited": Unreachable.HOST_PROHIBITED,
    "admin-prohibited": Unreachable.ADMIN_PROHIBITED,
}


def reject_error(name: str) -> Unreachable | None:
    """Return the ICMP error of a ``--reject-with`` name, or None for a TCP reset."""
    return _REJECT_NAMES.get(name)


@target("MARK")
def mark(scene: Scene, item: Target) -> None:
    """``value = (mark & ~mask) ^ value``: iptables-save writes every form as ``--set-xmark``."""
    values = options_of(item)
    if "set-xmark" in values:
        value, mask = value_and_mask(values["set-xmark"])
        scene.packet.mark = (scene.packet.mark & ~mask & _WORD) ^ value
    elif "set-mark" in values:
        value, mask = value_and_mask(values["set-mark"])
        scene.packet.mark = (scene.packet.mark & ~mask & _WORD) | value
    elif "or-mark" in values:
        scene.packet.mark |= int(values["or-mark"], 0)
    elif "and-mark" in values:
        scene.packet.mark &= int(values["and-mark"], 0)
    elif "xor-mark" in values:
        scene.packet.mark ^= int(values["xor-mark"], 0)


@target("CONNMARK")
def connmark(scene: Scene, item: Target) -> None:
    """Set the connection's mark, save the packet's to it, or restore it to the packet."""
    entry = scene.packet.tracking.entry if scene.packet.tracking else None
    if entry is None:
        return
    values = options_of(item)
    nfmask = int(values.get("nfmask", "") or values.get("mask", "") or "0xffffffff", 0)
    ctmask = int(values.get("ctmask", "") or values.get("mask", "") or "0xffffffff", 0)
    if "save-mark" in values:
        entry.mark = (entry.mark & ~ctmask & _WORD) ^ _shifted(scene.packet.mark & nfmask, values)
    elif "restore-mark" in values:
        scene.packet.mark = (scene.packet.mark & ~nfmask & _WORD) ^ _shifted(entry.mark & ctmask, values)
    elif "set-xmark" in values:
        value, mask = value_and_mask(values["set-xmark"])
        entry.mark = _shifted((entry.mark & ~mask & _WORD) ^ value, values)
    elif "set-mark" in values:
        value, mask = value_and_mask(values["set-mark"])
        entry.mark = _shifted((entry.mark & ~mask & _WORD) | value, values)
    elif "or-mark" in values:
        entry.mark |= int(values["or-mark"], 0)
    elif "and-mark" in values:
        entry.mark &= int(values["and-mark"], 0)
    elif "xor-mark" in values:
        entry.mark ^= int(values["xor-mark"], 0)


def _shifted(mark: int, values: dict[str, str]) -> int:
    """Apply ``--left-shift-mark`` or ``--right-shift-mark`` (xt_connmark.c: connmark_tg_shift)."""
    left, right = int(values.get("left-shift-mark", "0"), 0), int(values.get("right-shift-mark", "0"), 0)
    return (mark << min(left, 32) & _WORD) >> right


@target("CT", "NOTRACK")
def ct(scene: Scene, item: Target) -> None:
    """``--notrack`` makes the packet UNTRACKED; ``--zone`` puts its connection into another table.

    ``--zone-orig`` and ``--zone-reply`` do so for one direction only. The first CT rule that matches is the
    one that counts (xt_CT.c: xt_ct_target, "Previously seen (loopback)? Ignore"). ``--helper`` and timeouts
    decide no way. ``--zone mark`` takes the packet's mark (nf_conntrack_zones.h: NF_CT_FLAG_MARK).
    """
    packet = scene.packet
    if packet.untracked or packet.zone or packet.zone_reply:
        return
    values = options_of(item)
    if item.name == "NOTRACK" or "notrack" in values:
        packet.untracked = True
        return
    for name, original, reply in (
        ("zone", True, True),
        ("zone-orig", True, False),
        ("zone-reply", False, True),
    ):
        text = values.get(name, "")
        if text:
            zone = packet.mark & 0xFFFF if text == "mark" else int(text, 0)
            packet.zone = zone if original else packet.zone
            packet.zone_reply = zone if reply else packet.zone_reply


@target("DNAT")
def dnat(scene: Scene, item: Target) -> Ruling:
    """``--to-destination ADDRESS[-ADDRESS][:PORT[-PORT]]``."""
    entry = nat_entry(scene)
    if entry is not None:
        address, ports = _nat_target(scene, options_of(item).get("to-destination", ""))
        bind_destination(
            entry,
            scene.packet.destination if address is None else address,
            scene.packet.destination_ports if ports is None else ports,
        )
    return ACCEPT


@target("REDIRECT")
def redirect(scene: Scene, item: Target) -> Ruling:
    """DNAT to the address of the device that the packet came in on (127.0.0.1 for packets born here)."""
    entry = nat_entry(scene)
    if entry is not None:
        address = redirect_address(scene)
        if address is None:
            return DROP
        ports = options_of(item).get("to-ports", "")
        bind_destination(entry, address, _ports(ports) if ports else scene.packet.destination_ports)
    return ACCEPT


@target("SNAT")
def snat(scene: Scene, item: Target) -> Ruling:
    """``--to-source ADDRESS[-ADDRESS][:PORT[-PORT]]``."""
    entry = nat_entry(scene)
    if entry is not None:
        address, ports = _nat_target(scene, options_of(item).get("to-source", ""))
        values = options_of(item)
        kept = RANDOM_PORTS if "random-fully" in values or "random" in values else scene.packet.source_ports
        bind_source(entry, scene.packet.source if address is None else address, ports or kept)
    return ACCEPT


@target("MASQUERADE")
def masquerade(scene: Scene, item: Target) -> Ruling:
    """SNAT to the out device's address in the next hop's subnet (nf_nat_masquerade_ipv4)."""
    values = options_of(item)
    ports = _ports(values["to-ports"]) if values.get("to-ports") else None
    return masquerade_as(scene, ports, fully_random="random-fully" in values or "random" in values)


def masquerade_as(scene: Scene, ports: Ports | None, *, fully_random: bool) -> Ruling:
    """Bind the source to the out device's address; without one the kernel drops."""
    entry = nat_entry(scene)
    if entry is None or scene.out_link is None:
        return ACCEPT
    # nf_nat_masquerade_ipv4 looks at the next hop, nf_nat_masquerade_ipv6 at the destination.
    towards = scene.next_hop if scene.packet.family == 4 else scene.packet.destination
    address = scene.router.select_source(scene.out_link.index, towards, scene.packet.family)
    if address is None:
        scene.notes.append(f"MASQUERADE: {scene.out_link.name} has no address, the kernel drops")
        return DROP
    ported = scene.packet.protocol in {6, 17, 132}
    kept = RANDOM_PORTS if fully_random and ported else scene.packet.source_ports
    bind_source(entry, address, ports or kept)
    return ACCEPT


@target("QUEUE", "NFQUEUE")
def queue(scene: Scene, item: Target) -> Ruling:
    """A program in user space decides."""
    reason = f"{item.name}: a program in user space decides"
    scene.unknowns.append(reason)
    return ACCEPT if scene.choices.unknown(reason) else DROP


def unknown_target(scene: Scene, item: Target, key: object, why: str = "") -> Ruling | None:
    """A target outside the model may accept, drop, or do nothing."""
    return any_ruling(scene, why or f"target -j {item.name} is not modelled", key)


def any_ruling(scene: Scene, reason: str, key: object) -> Ruling | None:
    """Branch over all that a rule may do: go on, accept, or drop."""
    scene.unknowns.append(reason)
    options = (("goes on", 1.0), ("accepts", 1.0), ("drops", 1.0))
    return (None, ACCEPT, DROP)[scene.choices.pick(ChoiceKind.UNKNOWN, reason, options, key=key)]


def nat_entry(scene: Scene) -> Entry | None:
    """Return the connection that a NAT target may bind."""
    tracking = scene.packet.tracking
    return tracking.entry if tracking and not tracking.is_reply else None


def _nat_target(scene: Scene, text: str) -> tuple[int | None, Ports | None]:
    """Read ``10.0.0.1-10.0.0.3:80-90``; several addresses are a matter of chance (a hash of the flow).

    Behind a slash is the port that the first of the range stands for (NF_NAT_RANGE_PROTO_OFFSET).
    """
    address_text, ports = text, None
    if text.startswith("["):
        address_text, _, port_text = text[1:].partition("]")
        ports = _shifted_ports(scene, port_text[1:]) if port_text.startswith(":") else None
    elif text.count(":") == 1:
        address_text, _, port_text = text.partition(":")
        ports = _shifted_ports(scene, port_text)
    if not address_text:
        return None, ports
    low, _, high = address_text.partition("-")
    first, last = int(ip_address(low)), int(ip_address(high or low))
    if first == last:
        return first, ports
    span = range(first, min(last, first + 63) + 1)
    options = tuple((scene.packet.address(ip), 1.0) for ip in span)
    return span[scene.choices.pick(ChoiceKind.CHANCE, f"NAT to one of {address_text}", options)], ports


def _shifted_ports(scene: Scene, text: str) -> Ports:
    ports, base = _ports(text), text.partition("/")[2]
    asked = scene.packet.destination_ports.single
    if not base or asked is None:
        return ports
    return Ports.of(ports.low + (asked - int(base)) % ports.size)


def _ports(text: str) -> Ports:
    low, _, high = text.partition("/")[0].partition("-")
    return Ports(int(low), int(high or low))
