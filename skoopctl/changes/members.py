"""A member of a set in the words of ``ipset save``."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from skoopctl.kernel.ipset import Dimension, Interface, IpSet, Member, Net, ProtocolPort, Value

_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp"}


def member_text(found: IpSet, member: Member) -> str:
    """Return a member's line without ``add NAME``; its counters are left out."""
    parts = zip(found.dimensions, member.values, strict=False)
    words = [",".join(_value(found.family, dimension, value) for dimension, value in parts)]
    words += ["nomatch"] if member.nomatch else []
    words += [f"timeout {member.timeout_s}"] if member.timeout_s is not None else []
    words += [f"skbmark {member.skbmark[0]:#x}/{member.skbmark[1]:#x}"] if member.skbmark else []
    words += [f'comment "{member.comment}"'] if member.comment else []
    return " ".join(words)


def _value(family: int, dimension: Dimension, value: Value) -> str:
    match value:
        case Net(address, length):
            shown = str(IPv6Address(address) if family == 6 else IPv4Address(address))
            return shown if length == (128 if family == 6 else 32) else f"{shown}/{length}"
        case ProtocolPort(0, port):
            return str(port)
        case ProtocolPort(protocol, port):
            return f"{_PROTOCOLS.get(protocol, protocol)}:{port}"
        case Interface(name=name, physdev=physdev, wildcard=wildcard):
            return f"{'physdev:' if physdev else ''}{name}{'+' if wildcard else ''}"
        case int() if dimension is Dimension.MAC:
            return value.to_bytes(6, "big").hex(":")
        case int():
            return f"{value:#x}"
        case None:
            return "any"
        case _:
            return str(value)
