"""Decode ``/proc/net/{tcp,tcp6,udp,udp6}`` and ``/proc/net/ip_vs``.

Addresses are printed as 32-bit words in the byte order of the machine (net/ipv4/tcp_ipv4.c: get_tcp4_sock).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address

from skoopctl.kernel.address import IPAddress
from skoopctl.kernel.socket import Socket

_LISTEN = "0A"
_UNCONNECTED = "07"
_WORD = 8


@dataclass(frozen=True, slots=True)
class SocketDump:
    """Sockets of one file, and why lines are missing (empty: none are)."""

    sockets: tuple[Socket, ...]
    problem: str = ""


def decode_proc_net(text: str, protocol: str) -> SocketDump:
    """Decode one file; ``protocol`` is ``tcp`` or ``udp``.

    Kept are TCP listeners and bound UDP sockets without a peer: those take packets from anybody.
    """
    wanted = _LISTEN if protocol == "tcp" else _UNCONNECTED
    sockets: list[Socket] = []
    bad = 0
    lines = text.split("\n")
    for line in lines[1:]:
        fields = line.split(None, 4)
        if not fields:
            continue
        try:
            if fields[3] == wanted:
                sockets.append(_socket(fields, protocol))
        except (ValueError, IndexError):
            bad += 1
    if "local_address" not in lines[0]:
        return SocketDump(tuple(sockets), "no header line")
    return SocketDump(tuple(sockets), f"{bad} lines are malformed" if bad else "")


def decode_sctp_eps(text: str) -> SocketDump:
    """Decode ``/proc/net/sctp/eps``: the endpoints that listen (net/sctp/proc.c: sctp_eps_seq_show).

    Columns: ENDPT SOCK STY SST HBKT LPORT UID INODE LADDRS; an endpoint may have several addresses. The state
    is the socket's: SCTP_SS_LISTENING is TCP_LISTEN.
    """
    sockets: list[Socket] = []
    bad = 0
    lines = text.split("\n")
    for line in lines[1:]:
        fields = line.split()
        if not fields:
            continue
        try:
            if int(fields[3]) == int(_LISTEN, 16):
                sockets += [_sctp_socket(raw, int(fields[5])) for raw in fields[8:]]
        except (ValueError, IndexError):
            bad += 1
    if "ENDPT" not in lines[0]:
        return SocketDump(tuple(sockets), "no header line")
    return SocketDump(tuple(sockets), f"{bad} lines are malformed" if bad else "")


def _sctp_socket(raw: str, port: int) -> Socket:
    ip = ip_address(raw.lstrip("*"))
    if not 0 < port < 1 << 16:
        raise ValueError(raw)
    shown = f"[{ip}]" if ip.version == 6 else str(ip)
    dual_stack = None if ip.version == 6 and ip.is_unspecified else False
    return Socket("sctp", ip, port, dual_stack, f"sctp LISTEN {shown}:{port}")


def join_families(sockets: Iterable[Socket]) -> tuple[Socket, ...]:
    """Settle ``dual_stack`` where it can be told from the sockets beside.

    A wildcard IPv6 socket cannot take IPv4 when an IPv4 wildcard socket has the same port: without
    ``IPV6_V6ONLY`` the second bind would have failed (net/ipv6/inet6_connection_sock.c).
    """
    found = tuple(sockets)
    taken = {(s.protocol, s.port) for s in found if s.ip.version == 4 and s.ip.is_unspecified}
    return tuple(
        replace(s, dual_stack=False) if s.dual_stack is None and (s.protocol, s.port) in taken else s
        for s in found
    )


def has_virtual_services(text: str) -> bool:
    """Tell whether ``/proc/net/ip_vs`` lists any virtual service."""
    return any(line.split(None, 1)[:1] in (["TCP"], ["UDP"], ["SCTP"], ["FWM"]) for line in text.split("\n"))


def _socket(fields: list[str], protocol: str) -> Socket:
    raw, _, port_text = fields[1].partition(":")
    ip, port = _address(raw), int(port_text, 16)
    dual_stack: bool | None = False
    if ip.version == 6:
        dual_stack = _dual_stack(fields[-1]) if ip.is_unspecified else False
    shown = f"[{ip}]" if ip.version == 6 else str(ip)
    state = "LISTEN" if protocol == "tcp" else "UNCONN"
    return Socket(protocol, ip, port, dual_stack, f"{protocol} {state} {shown}:{port}")


def _dual_stack(rest: str) -> bool | None:
    """Read the column that the node program adds where sock_diag told it (``v6only=1``)."""
    last = rest.split()[-1:]
    return {"v6only=1": False, "v6only=0": True}.get(last[0]) if last else None


def _address(raw: str) -> IPAddress:
    words = [raw[at : at + _WORD] for at in range(0, len(raw), _WORD)]
    data = b"".join(int(word, 16).to_bytes(4, "little") for word in words)
    if len(raw) == _WORD:
        return IPv4Address(data)
    ip = IPv6Address(data)
    return ip.ipv4_mapped or ip
