"""Matches on devices: ``-i``, ``-o``, physdev, mac, pkttype, devgroup."""

from __future__ import annotations

from skoopctl.dataplane.rules.matches.registry import NotUnderstoodError, Predicate, option, whole
from skoopctl.dataplane.rules.scene import Cast, Hook, Scene
from skoopctl.dataplane.truth import Truth, Unknown
from skoopctl.kernel.iptables import Match, Option
from skoopctl.kernel.link import Link


def name_matches(pattern: str, link: Link | None) -> bool:
    """Tell whether a device's name matches ``NAME`` or ``PREFIX+``; no device has the empty name."""
    name = link.name if link else ""
    return name.startswith(pattern[:-1]) if pattern.endswith("+") else name == pattern


@option("", "in-interface")
def in_interface(opt: Option, _match: Match) -> Predicate:
    """``-i DEVICE``."""
    pattern = opt.values[0]
    return lambda scene: name_matches(pattern, scene.in_link)


@option("", "out-interface")
def out_interface(opt: Option, _match: Match) -> Predicate:
    """``-o DEVICE``."""
    pattern = opt.values[0]
    return lambda scene: name_matches(pattern, scene.out_link)


@whole("physdev", "physdev-in", "physdev-out", "physdev-is-in", "physdev-is-out", "physdev-is-bridged")
def physdev(match: Match) -> Predicate:
    """``--physdev-in``, ``--physdev-is-bridged`` and the rest (net/netfilter/xt_physdev.c: physdev_mt).

    A packet that came by no bridge's port matches exactly where every option is inverted. One that did, and
    is routed, still knows its port; it has no port to leave by, and ``--physdev-out`` is false then, inverted
    or not.
    """
    options = {opt.name: opt for opt in match.options}

    def predicate(scene: Scene) -> Truth:
        came = scene.in_port or scene.netns.links.get(scene.packet.bridge_port)
        leaves = scene.out_port
        if came is None and leaves is None:
            return all(opt.inverted for opt in options.values())
        facts = {
            "physdev-is-bridged": leaves is not None,
            "physdev-is-in": came is not None,
            "physdev-is-out": leaves is not None,
        }
        for name, opt in options.items():
            if name in facts:
                holds = facts[name] != opt.inverted
            elif name == "physdev-in":
                holds = came is None or name_matches(opt.values[0], came) != opt.inverted
            else:
                holds = leaves is not None and name_matches(opt.values[0], leaves) != opt.inverted
            if not holds:
                return False
        return True

    return predicate


@option("pkttype", "pkt-type")
def pkttype(opt: Option, _match: Match) -> Predicate:
    """``--pkt-type unicast|broadcast|multicast``: of the walk's packets only solicitations are multicast."""
    name = "UNICAST" if opt.values[0] == "host" else opt.values[0].upper()
    if name not in Cast.__members__:
        raise NotUnderstoodError(opt.values[0])
    wanted = Cast[name]
    return lambda scene: scene.cast is wanted


@whole("mac", "mac-source")
def mac_source(match: Match) -> Predicate:
    """``[!] --mac-source``: the frame's sender; only frames of Ethernet have one (xt_mac.c: mac_mt)."""
    (opt,) = match.options
    wanted = opt.values[0].lower()

    def predicate(scene: Scene) -> Truth:
        link = scene.in_link
        if scene.hook in {Hook.OUTPUT, Hook.POSTROUTING} or link is None or link.loopback:
            return False
        if not scene.packet.source_mac:
            return Unknown("the frame's source MAC address is not known")
        return (scene.packet.source_mac == wanted) != opt.inverted

    return predicate


@whole("devgroup", "src-group", "dst-group")
def devgroup(match: Match) -> Predicate:
    """``[!] --src-group`` and ``--dst-group``: the group of a device (``ip link set DEV group N``)."""
    wanted = {opt.name: (*_group(opt.values[0]), opt.inverted) for opt in match.options}

    def predicate(scene: Scene) -> Truth:
        sides = {"src-group": scene.in_link, "dst-group": scene.out_link}
        for name, (value, mask, inverted) in wanted.items():
            link = sides[name]
            if link is None:
                return False
            if ((link.group & mask) == value) == inverted:
                return False
        return True

    return predicate


def _group(text: str) -> tuple[int, int]:
    """Return value and mask of ``0x5/0xff`` or ``5``; names are in a file of the node, but for ``default``."""
    if text == "default":
        return 0, 0xFFFFFFFF
    value, slash, mask = text.partition("/")
    return int(value, 0), int(mask, 0) if slash else 0xFFFFFFFF
