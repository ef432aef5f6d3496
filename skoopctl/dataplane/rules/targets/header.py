"""Targets that rewrite the header: TOS, DSCP, TTL, HL (iptables-extensions(8))."""

from __future__ import annotations

from skoopctl.dataplane.rules.matches.header import DSCP_CLASSES, TOS_NAMES, value_mask
from skoopctl.dataplane.rules.scene import Scene
from skoopctl.dataplane.rules.targets.registry import options_of, target
from skoopctl.kernel.iptables import Target

_OCTET = 0xFF


@target("TOS", quiet=True)
def tos(scene: Scene, item: Target) -> None:
    """``tos = (tos & ~mask) ^ value`` (net/netfilter/xt_DSCP.c: tos_tg)."""
    values = options_of(item)
    packet = scene.packet
    if "set-tos" in values:
        value, mask = value_mask(values["set-tos"], TOS_NAMES, 0x3F, 0xFF)
        packet.tos = (packet.tos & ~mask & _OCTET) ^ value
    elif "and-tos" in values:
        packet.tos &= int(values["and-tos"], 0)
    elif "or-tos" in values:
        packet.tos |= int(values["or-tos"], 0)
    elif "xor-tos" in values:
        packet.tos ^= int(values["xor-tos"], 0)


@target("DSCP", quiet=True)
def dscp(scene: Scene, item: Target) -> None:
    """Set the upper six bits of the TOS octet."""
    values = options_of(item)
    value = (
        DSCP_CLASSES[values["set-dscp-class"].upper()]
        if "set-dscp-class" in values
        else int(values["set-dscp"], 0)
    )
    scene.packet.tos = (scene.packet.tos & 3) | value << 2 & _OCTET


@target("TTL", "HL", quiet=True)
def ttl(scene: Scene, item: Target) -> None:
    """Set, lower or raise the TTL; what is not known stays so, unless it is set (net/netfilter/xt_HL.c)."""
    values = options_of(item)
    packet = scene.packet
    name = item.name.lower()
    if f"{name}-set" in values:
        packet.ttl = int(values[f"{name}-set"], 0)
    elif packet.ttl and f"{name}-dec" in values:
        packet.ttl = max(packet.ttl - int(values[f"{name}-dec"], 0), 0)
    elif packet.ttl and f"{name}-inc" in values:
        packet.ttl = min(packet.ttl + int(values[f"{name}-inc"], 0), 255)
