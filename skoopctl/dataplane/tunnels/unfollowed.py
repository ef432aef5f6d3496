"""Devices that wrap packets in ways outside of the model: named with the reason, never guessed."""

from __future__ import annotations

from skoopctl.dataplane.trace import Disposition
from skoopctl.dataplane.tunnels.registry import Stop
from skoopctl.kernel.link import Link

_IPSEC = "IPsec policies and states decide what becomes of the packet, and they are not read"
_REASONS = {
    "xfrm": _IPSEC,
    "vti": _IPSEC,
    "vti6": _IPSEC,
    "erspan": "an ERSPAN device mirrors frames",
    "ip6erspan": "an ERSPAN device mirrors frames",
    "bareudp": "it takes its remote from metadata",
    "gtp": "its tunnels are set by a program over netlink, and they are not read",
    "amt": "it tunnels multicast",
    "l2tpeth": "its sessions are not read",
    "ovpn": "its peers are set by a program, and they are not read",
    "tun": "a program at its other end decides",
    "ppp": "a program or a modem at its other end decides",
}


def unfollowed(link: Link) -> Stop | None:
    """Say why the walk does not follow a device, or None when it is none of these."""
    reason = _REASONS.get(link.kind)
    if reason is None:
        return None
    words = f"{link.name} is a {link.kind} device: {reason}"
    return Stop(Disposition.OPAQUE, words, "opaque-program")
