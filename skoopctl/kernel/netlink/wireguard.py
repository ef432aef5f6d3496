"""Decode WG_CMD_GET_DEVICE (include/uapi/linux/wireguard.h), as the node sends it: without its secrets."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network

from skoopctl.kernel.address import IPAddress, IPNetwork
from skoopctl.kernel.netlink.dump import Dump, attributes, be16, decode_dump, number32, text, u16
from skoopctl.kernel.tunnel import Wireguard, WireguardPeer

_INDEX, _NAME, _PUBLIC_KEY, _LISTEN_PORT, _FWMARK, _PEERS = 1, 2, 4, 6, 7, 8
_PEER_KEY, _PEER_ENDPOINT, _PEER_HANDSHAKE, _PEER_RX, _PEER_TX, _PEER_ALLOWED = 1, 4, 6, 7, 8, 9
_ALLOWED_ADDRESS, _ALLOWED_MASK = 2, 3
_AF_INET, _AF_INET6 = 2, 10


def decode_wireguard(raw: bytes) -> Dump[Wireguard]:
    """Decode the replies of one namespace: a device with many peers comes in several messages.

    The messages carry the type number that generic netlink gave the family, whichever it is there.
    """
    found: dict[int, Wireguard] = {}
    names: dict[str, int] = {}
    problems: list[str] = []
    for kind in _kinds(raw):
        dump = decode_dump(raw, kind, _device)
        problems += [dump.problem] if dump.problem else []
        for name, part in dump.entries:
            # Only the first message of a device has its index; the others continue it by name.
            index = part.index or names.get(name, 0)
            names[name] = index
            found[index] = _joined(found[index], part) if index in found else part
    if not found and not problems:
        problems += [each for each in [decode_dump(raw, 0xFFFF, _device).problem] if each]
    return Dump(tuple(found.values()), "; ".join(dict.fromkeys(problems)))


def _kinds(raw: bytes) -> list[int]:
    kinds: dict[int, None] = {}
    offset = 0
    while offset + 16 <= len(raw):
        length, kind = struct.unpack_from("=IH", raw, offset)
        if length < 16:
            break
        if kind >= 16:  # NLMSG_MIN_TYPE: below are the control messages
            kinds[kind] = None
        offset += (length + 3) & ~3
    return list(kinds)


def _device(body: bytes) -> tuple[str, Wireguard]:
    found = attributes(body, 4)  # behind the genlmsghdr
    peers = tuple(_peer(raw) for raw in _list(found.get(_PEERS, b"")))
    return text(found.get(_NAME, b"")), Wireguard(
        number32(found, _INDEX),
        _base64(found.get(_PUBLIC_KEY, b"")),
        u16.unpack_from(found[_LISTEN_PORT])[0] if _LISTEN_PORT in found else 0,
        number32(found, _FWMARK),
        _merged(peers),
    )


def _joined(first: Wireguard, more: Wireguard) -> Wireguard:
    """Join a device with its continuation."""
    return Wireguard(
        first.index, first.public_key, first.listen_port, first.fwmark, _merged(first.peers + more.peers)
    )


def _merged(peers: tuple[WireguardPeer, ...]) -> tuple[WireguardPeer, ...]:
    """Join a peer with its continuation: the same key again, with more allowed IPs."""
    known: dict[str, WireguardPeer] = {}
    for peer in peers:
        old = known.get(peer.public_key)
        known[peer.public_key] = peer if old is None else _with_more(old, peer.allowed_ips)
    return tuple(known.values())


def _with_more(peer: WireguardPeer, allowed: tuple[IPNetwork, ...]) -> WireguardPeer:
    together = peer.allowed_ips + allowed
    return WireguardPeer(
        peer.public_key,
        peer.endpoint,
        together,
        peer.handshake_s,
        peer.received,
        peer.sent,
        _line(peer.public_key, peer.endpoint, together, peer.handshake_s),
    )


def _peer(raw: bytes) -> WireguardPeer:
    found = attributes(raw)
    key, endpoint = _base64(found.get(_PEER_KEY, b"")), _endpoint(found.get(_PEER_ENDPOINT, b""))
    allowed = tuple(_allowed(each) for each in _list(found.get(_PEER_ALLOWED, b"")))
    handshake = _number64(found, _PEER_HANDSHAKE)
    return WireguardPeer(
        key,
        endpoint,
        allowed,
        handshake,
        _number64(found, _PEER_RX),
        _number64(found, _PEER_TX),
        _line(key, endpoint, allowed, handshake),
    )


def _line(
    key: str, endpoint: tuple[IPAddress, int] | None, allowed: tuple[IPNetwork, ...], handshake_s: int
) -> str:
    """Write a peer in one line, in the words of wg(8)."""
    where = f"{endpoint[0]} port {endpoint[1]}" if endpoint else "(none)"
    when = "never"
    if 0 < handshake_s < 1 << 36:
        when = f"{datetime.fromtimestamp(handshake_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
    networks = ", ".join(str(each) for each in allowed[:8]) + (", …" if len(allowed) > 8 else "")
    return f"peer {key} endpoint {where} allowed ips {networks or '(none)'} latest handshake {when}"


def _list(raw: bytes) -> list[bytes]:
    """Return the payloads of a nested list, whose elements all have type 0."""
    found: list[bytes] = []
    offset = 0
    while offset + 4 <= len(raw):
        length = u16.unpack_from(raw, offset)[0]
        if length < 4 or offset + length > len(raw):
            raise ValueError(f"a list element of {length} bytes")
        found.append(raw[offset + 4 : offset + length])
        offset += (length + 3) & ~3
    return found


def _endpoint(raw: bytes) -> tuple[IPAddress, int] | None:
    """Read a sockaddr_in or sockaddr_in6; one of no family is a peer without an endpoint."""
    if len(raw) < 8:
        return None
    family, port = u16.unpack_from(raw)[0], be16.unpack_from(raw, 2)[0]
    if family == _AF_INET:
        return ip_address(raw[4:8]), port
    if family == _AF_INET6 and len(raw) >= 24:
        return ip_address(raw[8:24]), port
    return None


def _allowed(raw: bytes) -> IPNetwork:
    found = attributes(raw)
    address, mask = found.get(_ALLOWED_ADDRESS, b""), found.get(_ALLOWED_MASK, b"")
    if len(address) not in {4, 16} or not mask:
        raise ValueError("allowed IPs without an address or a mask")
    return ip_network((ip_address(address), mask[0]), strict=False)


def _number64(found: Mapping[int, bytes], key: int) -> int:
    raw = found.get(key, b"")
    return int(struct.unpack_from("=Q", raw)[0]) if len(raw) >= 8 else 0


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode() if any(raw) else ""
