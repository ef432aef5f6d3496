"""Redact what comes from ``/proc``: sockets, IPVS, the lists of ``recent``, sysctls, modules.

Addresses stand there in hexadecimal, some as the machine has them in memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from skoopctl.evidence.redaction.words import Redactor

_SOCKET = re.compile(r"(?<![0-9A-Fa-f])([0-9A-F]{32}|[0-9A-F]{8})(?=:[0-9A-F]{4}(?![0-9A-F]))")
_IPVS_V4 = re.compile(r"(?<![0-9A-Za-z])[0-9A-F]{8}(?=:[0-9A-F]{4}(?![0-9A-F]))")
_CONNECTION_V4 = re.compile(r"(?<![0-9A-Za-z])[0-9A-F]{8}(?= [0-9A-F]{4}(?![0-9A-F]))")
_BRACKETS = re.compile(r"\[[0-9A-Fa-f:.]+\]")
_WORD = 8
_VALUE = re.compile(r"[0-9.,:\s-]*")
_SYSCTL_DEVICE = re.compile(r"net/(?:ipv4|ipv6|mpls)/(?:conf|neigh)/")
_SECRET = "stable_secret"  # noqa: S105 - the name of a sysctl, whose value is one
_MODULE = re.compile(
    r"(?:nf|xt|ip6?t|ip6?|ipt|ebt|arpt|nft|cls|act|sch|em|tcp|udp|inet|ifb|bpf|crypto|crc|aes|virtio|vhost|snd|drm)_\w+"
    r"|iptable_\w+|ip6table_\w+|ebtable_\w+|arptable_\w+|br_netfilter|bridge|overlay|veth|vxlan|geneve|wireguard|dummy"
)


def by_line(rewrite: Callable[[str, Redactor], str]) -> Callable[[bytes, Redactor], bytes]:
    """Make a rewriter of a payload from one of a line."""

    def payload_rewriter(payload: bytes, redactor: Redactor) -> bytes:
        lines = payload.decode("utf-8", "surrogateescape").split("\n")
        return "\n".join(rewrite(line, redactor) for line in lines).encode("utf-8", "surrogateescape")

    return payload_rewriter


def socket_line(line: str, redactor: Redactor) -> str:
    """Rewrite a line of ``/proc/net/tcp`` and its kin: addresses as 32-bit words of the machine's byte order.

    The numbers behind them (queues, timers, inodes) tell of no one; ``v6only`` is the node program's.
    """
    return _SOCKET.sub(lambda found: _memory(found[0], redactor), line)


def _memory(text: str, redactor: Redactor) -> str:
    raw = b"".join(bytes.fromhex(text[at : at + _WORD])[::-1] for at in range(0, len(text), _WORD))
    new = redactor.packed(raw)
    return "".join(new[at : at + 4][::-1].hex().upper() for at in range(0, len(new), 4))


def _hexadecimal(found: re.Match[str], redactor: Redactor) -> str:
    return redactor.packed(bytes.fromhex(found[0])).hex().upper()


def _bracketed(found: re.Match[str], redactor: Redactor) -> str:
    return f"[{redactor.ip(found[0][1:-1])}]"


def service_line(line: str, redactor: Redactor) -> str:
    """Rewrite a line of ``/proc/net/ip_vs``: ``TCP  0A600A07:0050 rr``, or IPv6 in brackets."""
    if line.startswith("IP Virtual Server"):
        return line
    line = _IPVS_V4.sub(lambda found: _hexadecimal(found, redactor), line)
    return _BRACKETS.sub(lambda found: _bracketed(found, redactor), line)


def template_line(line: str, redactor: Redactor) -> str:
    """Rewrite a line of ``/proc/net/ip_vs_conn``: protocol, then addresses and ports by turns."""
    line = _CONNECTION_V4.sub(lambda found: _hexadecimal(found, redactor), line)
    return _BRACKETS.sub(lambda found: _bracketed(found, redactor), line)


def endpoint_line(line: str, redactor: Redactor) -> str:
    """Rewrite a line of ``/proc/net/sctp/eps``: addresses from the ninth column on, maybe behind a ``*``."""
    words = re.split(r"(\s+)", line)
    return "".join(redactor.in_text(word) if "." in word or ":" in word else word for word in words)


def recent_line(line: str, redactor: Redactor) -> str:
    """Rewrite a line of ``/proc/net/xt_recent``, or the ``list NAME`` above one."""
    if line.startswith("list "):
        return f"list {redactor.composite(line[5:])}"
    return redactor.in_text(line)


def sysctl_line(line: str, redactor: Redactor) -> str:
    """Rewrite ``net/path=value``: the device in the path; values are numbers, or words of the kernel."""
    path, equals, value = line.rpartition("=")
    found = _SYSCTL_DEVICE.match(path)
    if found:
        device, slash, key = path[found.end() :].rpartition("/")
        path = f"{found[0]}{redactor.composite(device)}{slash}{key}"
        if key == _SECRET:
            value = ""
    elif not path.startswith("net/"):
        return redactor.prose(line)
    return f"{path}{equals}{value if _VALUE.fullmatch(value) else redactor.prose(value)}"


def redact_modules(payload: bytes, _redactor: Redactor) -> bytes:
    """Keep the names of the kernel's own network modules from ``/proc/modules``, without where they lie in memory."""
    names = (line.partition(" ")[0] for line in payload.decode("utf-8", "replace").split("\n"))
    return "".join(f"{name}\n" for name in names if _MODULE.fullmatch(name)).encode()
