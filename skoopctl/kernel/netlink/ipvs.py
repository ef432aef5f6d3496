"""Decode IPVS's generic netlink dumps: IPVS_CMD_GET_SERVICE, then one IPVS_CMD_GET_DEST for each service.

A destination does not say whose it is: the node program asks in the order of the services, each time with the
next sequence number, so the n-th number after the services' belongs to the n-th service. Layouts:
include/uapi/linux/ip_vs.h; net/netfilter/ipvs/ip_vs_ctl.c (ip_vs_genl_fill_service, ip_vs_genl_fill_dest).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from struct import Struct
from struct import error as struct_error

from skoopctl.kernel.address import IPAddress
from skoopctl.kernel.ipvs import Forwarding, IpvsDump, RealServer, VirtualService, netmask_of
from skoopctl.kernel.netlink.dump import AF_INET6, address, attributes, be16, number32, text, u16, u32

_HEADER = Struct("=IHHII")
_ERROR, _DONE = 2, 3
_GENL = 4  # struct genlmsghdr
_SERVICE, _DESTINATION = 1, 2  # IPVS_CMD_ATTR_*
_AF, _PROTOCOL, _ADDR, _PORT, _FWMARK, _SCHED, _FLAGS, _TIMEOUT, _NETMASK = range(1, 10)
_D_ADDR, _D_PORT, _D_METHOD, _D_WEIGHT, _D_UPPER, _D_LOWER, _D_ACTIVE, _D_INACTIVE = range(1, 9)
_D_FAMILY, _D_TUNNEL = 11, 13
_PERSISTENT, _ONE_PACKET, _SCHED1, _SCHED2 = 1, 4, 8, 16  # IP_VS_SVC_F_*
_METHODS = (Forwarding.MASQ, Forwarding.LOCAL, Forwarding.TUNNEL, Forwarding.ROUTE, Forwarding.BYPASS)
_TUNNELS = ("ipip", "gue", "gre")


@dataclass(slots=True)
class _Answers:
    """The services in order, and the servers by the sequence number of the dump that they came in."""

    first: int = -1
    services: list[VirtualService] = field(default_factory=list)
    servers: dict[int, list[RealServer]] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


def decode_ipvs(raw: bytes) -> IpvsDump:
    """Decode the item ``ipvs``. Never raises.

    A service whose servers were not answered (it was deleted meanwhile, or the dump is cut) is left out, and
    the problem says so: a service without servers is something else.
    """
    answers = _Answers()
    for sequence, kind, body in _messages(raw, answers.problems):
        if answers.first < 0:
            answers.first = sequence
        if kind in {_ERROR, _DONE}:
            _end(answers, sequence, body)
            continue
        try:
            _message(answers, sequence, body)
        except (ValueError, IndexError, KeyError, struct_error) as error:
            answers.problems.append(f"a message is malformed ({error})")
    if answers.first not in answers.ended:
        answers.problems.append("the dump has no end")
    found = []
    for number, service in enumerate(answers.services, answers.first + 1):
        if number in answers.ended:
            found.append(replace(service, servers=tuple(answers.servers.get(number, ()))))
    missing = len(answers.services) - len(found)
    if missing:
        answers.problems.append(f"the servers of {missing} services were not read")
    return IpvsDump(tuple(found), "; ".join(dict.fromkeys(answers.problems[:4])))


def _messages(raw: bytes, problems: list[str]) -> Iterator[tuple[int, int, bytes]]:
    offset, size = 0, len(raw)
    while offset + 16 <= size:
        length, kind, _, sequence, _ = _HEADER.unpack_from(raw, offset)
        if length < 16 or offset + length > size:
            break
        yield sequence, kind, raw[offset + 16 : offset + length]
        offset += (length + 3) & ~3
    if offset < size:
        problems.append(f"cut or damaged at byte {offset} of {size}")


def _end(answers: _Answers, sequence: int, body: bytes) -> None:
    """Take a dump's end; one that carries an error did not answer."""
    code = int.from_bytes(body[:4], "little", signed=True) if len(body) >= 4 else 0
    if code >= 0:
        answers.ended.add(sequence)


def _message(answers: _Answers, sequence: int, body: bytes) -> None:
    found = attributes(body, _GENL)
    if sequence == answers.first:
        if _SERVICE in found:
            answers.services.append(_service(attributes(found[_SERVICE])))
    elif _DESTINATION in found:
        position = sequence - answers.first - 1
        family = answers.services[position].family
        server = _server(attributes(found[_DESTINATION]), family)
        answers.servers.setdefault(sequence, []).append(server)


def _service(found: dict[int, bytes]) -> VirtualService:
    family = 6 if u16.unpack_from(found[_AF])[0] == AF_INET6 else 4
    bits = u32.unpack_from(found[_FLAGS])[0] if _FLAGS in found else 0
    scheduler = text(found.get(_SCHED, b"")) or "none"
    flags = {f"{scheduler}-{name}" for bit, name in ((_SCHED1, "fallback"), (_SCHED2, "port")) if bits & bit}
    if bits & _ONE_PACKET:
        flags.add("ops")
    persistent = number32(found, _TIMEOUT) if bits & _PERSISTENT else 0
    raw_mask = found.get(_NETMASK, bytes(4))
    plain = u32.unpack_from(raw_mask)[0] if family == 6 else int.from_bytes(raw_mask[:4], "big")
    return VirtualService(
        family,
        u16.unpack_from(found[_PROTOCOL])[0] if _PROTOCOL in found else 0,
        int(_address(found[_ADDR], family)) if _ADDR in found else 0,
        be16.unpack_from(found[_PORT])[0] if _PORT in found else 0,
        scheduler,
        number32(found, _FWMARK),
        frozenset(flags),
        persistent,
        netmask_of(plain, family) if persistent else 0,
    )


def _server(found: dict[int, bytes], family: int) -> RealServer:
    if _D_FAMILY in found:
        family = 6 if u16.unpack_from(found[_D_FAMILY])[0] == AF_INET6 else 4
    tunnel = found.get(_D_TUNNEL, b"\0")[0]
    return RealServer(
        _address(found[_D_ADDR], family),
        be16.unpack_from(found[_D_PORT])[0],
        _METHODS[number32(found, _D_METHOD) & 7],
        number32(found, _D_WEIGHT),
        number32(found, _D_ACTIVE),
        number32(found, _D_INACTIVE),
        number32(found, _D_UPPER),
        number32(found, _D_LOWER),
        _TUNNELS[tunnel] if tunnel < len(_TUNNELS) else f"type {tunnel}",
    )


def _address(raw: bytes, family: int) -> IPAddress:
    """Take an address out of a ``union nf_inet_addr`` of 16 bytes."""
    return address(raw[: 16 if family == 6 else 4])
