"""Matches on devices: ``-i``, ``-o``, physdev, mac, pkttype."""

from __future__ import annotations

from skoopctl.dataplane.matches.registry import Predicate, option
from skoopctl.dataplane.scene import Hook, Scene
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


@option("physdev", "physdev-in", "physdev-out")
def physdev_name(opt: Option, _match: Match) -> Predicate:
    """``--physdev-in NAME`` and ``--physdev-out NAME``: the bridge port."""
    pattern = opt.values[0]
    if opt.name == "physdev-in":
        return lambda scene: name_matches(pattern, scene.in_port)
    return lambda scene: name_matches(pattern, scene.out_port)


@option("physdev", "physdev-is-in", "physdev-is-out", "physdev-is-bridged")
def physdev_is(opt: Option, _match: Match) -> Predicate:
    """``--physdev-is-in``, ``--physdev-is-out``, ``--physdev-is-bridged``."""
    if opt.name == "physdev-is-in":
        return lambda scene: scene.in_port is not None
    if opt.name == "physdev-is-out":
        return lambda scene: scene.out_port is not None
    return lambda scene: scene.bridged


@option("pkttype", "pkt-type")
def pkttype(opt: Option, _match: Match) -> Predicate:
    """``--pkt-type unicast|broadcast|multicast``: the walk's packets are unicast."""
    unicast = opt.values[0] == "unicast"
    return lambda _scene: unicast


@option("mac", "mac-source")
def mac_source(_opt: Option, _match: Match) -> Predicate:
    """``--mac-source``: the walk does not carry source MAC addresses through routers."""

    def predicate(scene: Scene) -> Truth:
        if scene.hook in {Hook.OUTPUT, Hook.POSTROUTING}:
            return False
        return Unknown("-m mac is not modelled")

    return predicate
