"""Tunnels: a packet on a tunnel's device becomes the cargo of a new outer packet, which goes its own way.

Each file that registers a `Tunnel` is one row of `TUNNELS`.
"""

from skoopctl.dataplane.tunnels import geneve, gre, ipip, vxlan, wireguard
from skoopctl.dataplane.tunnels.registry import TUNNELS, Tunnel, is_ethernet
from skoopctl.dataplane.tunnels.unfollowed import unfollowed

__all__ = ["TUNNELS", "Tunnel", "geneve", "gre", "ipip", "is_ethernet", "unfollowed", "vxlan", "wireguard"]
