"""Two nodes whose pods reach each other over a tunnel of any kind, made by hand."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

from skoopctl.kernel.tunnel import Geneve, IpTunnel, Wireguard, WireguardPeer
from tests.support.worlds import UNDERLAY, Box, Cluster, cluster

KEYS = {"n1": "key-of-n1", "n2": "key-of-n2"}
PODS = {"n1": "10.244.1.0/24", "n2": "10.244.2.0/24"}


def number(address: str) -> int:
    """Return an address as an integer."""
    return int(ip_address(address))


def between(name: str, make: Callable[[str, str], dict[str, Any]], *, gateway: bool = False) -> Cluster:
    """Make a cluster whose nodes reach each other's pods over the device ``name``.

    ``make`` gets a node's and its peer's name and returns the device's fields. With ``gateway`` the routes name
    the peer's underlay address, as Calico's do.
    """
    made = cluster(vxlan=False)
    for node, other in ((made.n1, made.n2), (made.n2, made.n1)):
        node.routes = [r for r in node.routes if str(r.destination) != PODS[other.name]]
        node.link(name, **({"mtu": 1400, "noarp": True} | make(node.name, other.name)))
        node.route(PODS[other.name], UNDERLAY[other.name] if gateway else "", name)
    for box in made.world.boxes:
        for link in list(box.links.values()):
            if link.kind in {"veth", "bridge"}:
                box.change(link.name, mtu=1400)
    return made


def ipip(**more: Any) -> Cluster:
    """Calico's IPIP: the fallback device tunl0, and the other node as the routes' gateway."""
    return between("tunl0", lambda _me, _other: {"kind": "ipip", "tunnel": IpTunnel(**more)}, gateway=True)


def gre(one: dict[str, Any] | None = None, two: dict[str, Any] | None = None, kind: str = "gre") -> Cluster:
    """GRE with the nodes' addresses; ``one`` and ``two`` are fields of n1's and n2's tunnel."""

    def make(me: str, other: str) -> dict[str, Any]:
        ends = {"local": number(UNDERLAY[me]), "remote": number(UNDERLAY[other])}
        return {"kind": kind, "tunnel": IpTunnel(**(ends | ((one if me == "n1" else two) or {})))}

    return between("gre1", make)


def geneve(one: dict[str, Any] | None = None, two: dict[str, Any] | None = None) -> Cluster:
    """Geneve with the other node as the remote, and neighbours resolved by ARP over it."""

    def make(me: str, other: str) -> dict[str, Any]:
        fields = {"vni": 7, "remote": number(UNDERLAY[other])} | ((one if me == "n1" else two) or {})
        return {"kind": "geneve", "noarp": False, "tunnel": Geneve(**fields)}

    made = between("gnv0", make)
    for node, peer in ((made.n1, made.n2), (made.n2, made.n1)):
        mine, theirs = PODS[node.name].replace("0/24", "0"), PODS[peer.name].replace("0/24", "0")
        node.address("gnv0", f"{mine}/32")
        node.routes = [r for r in node.routes if str(r.destination) != PODS[peer.name]]
        node.route(PODS[peer.name], theirs, "gnv0")
    return made


def wireguard(**changes: Callable[[str, dict[str, Any]], None]) -> Cluster:
    """WireGuard with each node's pods as the peer's allowed IPs.

    ``changes`` may hold ``device`` and ``peer``: they get a node's name and the fields, and change them.
    """
    made = between("wg0", lambda _me, _other: {"kind": "wireguard"})
    for node, other in ((made.n1, made.n2), (made.n2, made.n1)):
        peer: dict[str, Any] = {
            "public_key": KEYS[other.name],
            "endpoint": (ip_address(UNDERLAY[other.name]), 51820),
            "allowed_ips": (ip_network(PODS[other.name]), ip_network(f"{UNDERLAY[other.name]}/32")),
            "text": f"peer {KEYS[other.name]}",
        }
        device: dict[str, Any] = {
            "index": node.index("wg0"),
            "public_key": KEYS[node.name],
            "listen_port": 51820,
        }
        for name, fields in (("peer", peer), ("device", device)):
            if name in changes:
                changes[name](node.name, fields)
        node.more["wireguard"] = (Wireguard(peers=(WireguardPeer(**peer),), **device),)
    return made


def only(name: str, **fields: Any) -> Callable[[str, dict[str, Any]], None]:
    """Return a change of one node's fields."""

    def change(node: str, known: dict[str, Any]) -> None:
        if node == name:
            known.update(fields)

    return change


def box_of(made: Cluster, name: str) -> Box:
    """Return a node's box."""
    return made.n1 if name == "n1" else made.n2
