"""WireGuard: allowed IPs pick the peer on the way out, and bind the sender on the way in (cryptokey routing).

Sources: drivers/net/wireguard/device.c (wg_xmit), socket.c (send4, send6), receive.c
(wg_packet_consume_data_done: an inner source outside of its peer's allowed IPs is dropped), queueing.h
(wg_reset_packet: the mark does not come along).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from skoopctl.dataplane.packet import Packet, Ports, Unreachable
from skoopctl.dataplane.passage import TooBig
from skoopctl.dataplane.topology import Station
from skoopctl.dataplane.trace import Disposition, Evidence
from skoopctl.dataplane.tunnels.registry import Remote, Sending, Stop, Tunnel, line, register
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.tunnel import Wireguard, WireguardPeer

# Outer IP and UDP headers, WireGuard's own 16 bytes, and the authentication tag of 16.
_OVERHEAD = {4: 20 + 8 + 32, 6: 40 + 8 + 32}


def device_of(netns: NetNamespace, index: int) -> Wireguard | None:
    """Return the WireGuard side of a device, or None when it was not read."""
    return next((each for each in netns.wireguard if each.index == index), None)


def peer_for(device: Wireguard, address: int, family: int) -> WireguardPeer | None:
    """Return the peer with the longest allowed network that holds an address (wg_allowedips_lookup)."""
    best: tuple[int, WireguardPeer] | None = None
    for peer in device.peers:
        for network in peer.allowed_ips:
            inside = network.version == family and (address & int(network.netmask)) == int(
                network.network_address
            )
            if inside and (best is None or network.prefixlen > best[0]):
                best = network.prefixlen, peer
    return best[1] if best is not None else None


def remotes(sending: Sending) -> tuple[Remote, ...] | Stop:
    """Return the endpoint of the peer whose allowed IPs hold the destination."""
    netns, link, packet = sending.netns, sending.link, sending.packet
    device = device_of(netns, link.index)
    if device is None:
        return _unread(netns, link.name)
    destination = packet.address(packet.destination)
    peer = peer_for(device, packet.destination, packet.family)
    if peer is None:
        lines = tuple(line(netns, link, each.text) for each in device.peers[:8])
        reason = f"no peer of {link.name} has {destination} among its allowed IPs"
        # wg_xmit: -ENOKEY, and an ICMP error to the packet's sender.
        return Stop(Disposition.HOST_UNREACHABLE, reason, "wireguard-no-peer", lines, Unreachable.HOST)
    evidence = (line(netns, link, peer.text),)
    endpoint = peer.endpoint
    known = sending.endpoints.get(((netns.host, netns.inode), link.index, peer.public_key))
    if known is not None:
        # wg_socket_set_peer_endpoint(): the peer is where its last packet came from.
        endpoint = (IPv4Address if known[0] == 4 else IPv6Address)(known[1]), known[2]
    if endpoint is None:
        reason = f"the peer of {link.name} for {destination} has no endpoint, and was never heard of"
        return Stop(
            Disposition.HOST_UNREACHABLE, reason, "wireguard-endpoint-missing", evidence, Unreachable.HOST
        )
    address, port = endpoint
    remote = Remote(
        int(address),
        address.version,
        f"WireGuard to {address} port {port}",
        _OVERHEAD[address.version],
        source_ports=Ports.of(device.listen_port),
        destination_ports=Ports.of(port),
        mark=device.fwmark,
        too_big=TooBig.FRAGMENTS,
        sender=device.public_key,
        receiver=peer.public_key,
        evidence=evidence,
    )
    return (remote,)


def _unread(netns: NetNamespace, name: str) -> Stop:
    why = netns.gaps.get("wireguard", "the node was not asked")
    evidence = (Evidence("gap", why, "wireguard", node=netns.host, netns=netns.inode),)
    return Stop(Disposition.UNKNOWN, f"the peers of {name} were not read", "evidence-incomplete", evidence)


def takes(station: Station, outer: Packet) -> int:
    """Tell whether a device listens on the outer packet's port; one that was not read may."""
    device = device_of(station.netns, station.link.index)
    if device is None:
        return 1
    return 2 if device.listen_port == outer.destination_ports.low else 0


def admits(station: Station, outer: Packet, inner: Packet) -> Stop | None:
    """Both ends must know each other's key, and the inner source must belong to the sender."""
    netns, link, wrapping = station.netns, station.link, outer.wrapping
    device = device_of(netns, link.index)
    if device is None or wrapping is None:
        return _unread(netns, link.name)
    sender = next((peer for peer in device.peers if peer.public_key == wrapping.sender), None)
    if wrapping.receiver != device.public_key:
        reason = f"the sender encrypts for the key {wrapping.receiver}, {link.name} has {device.public_key}"
        return Stop(Disposition.DROPPED, reason, "wireguard-key-unknown")
    if sender is None:
        lines = tuple(line(netns, link, each.text) for each in device.peers[:8])
        reason = f"{link.name} has no peer with the sender's key {wrapping.sender}"
        return Stop(Disposition.DROPPED, reason, "wireguard-key-unknown", lines)
    owner = peer_for(device, inner.source, inner.family)
    if owner is None or owner.public_key != sender.public_key:
        source = inner.address(inner.source)
        reason = f"{source} is not among the allowed IPs of the peer that sent it, {sender.public_key}"
        return Stop(
            Disposition.DROPPED, reason, "wireguard-source-refused", (line(netns, link, sender.text),)
        )
    return None


WIREGUARD = register(
    Tunnel("WireGuard", frozenset({"wireguard"}), remotes, takes, admits=admits, keeps_mark=False)
)
