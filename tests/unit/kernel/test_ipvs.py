"""IPVS as it is read: /proc, ipvsadm's words, and generic netlink."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.kernel.ipvs import Forwarding, RealServer, VirtualService, merged
from skoopctl.kernel.ipvs_text import (
    decode_ipvsadm,
    decode_proc_ip_vs,
    decode_proc_ip_vs_conn,
    server_text,
    service_text,
)
from skoopctl.kernel.netlink import decode_ipvs
from tests.support.as_json import expect
from tests.support.recorded import RECORDINGS

CASES = Path(__file__).parent / "cases" / "ipvs"
DECODERS = {
    "proc_ip_vs": decode_proc_ip_vs,
    "ip_vs_conn": decode_proc_ip_vs_conn,
    "ipvsadm": decode_ipvsadm,
}


@pytest.mark.parametrize("name", DECODERS)
def test_case(name: str) -> None:
    """A file gives the services or templates in the file beside it."""
    path = CASES / f"{name}.txt"
    expect(path, DECODERS[name](path.read_text()))


def test_a_recorded_node_is_written_back_as_it_was() -> None:
    """What ipvsadm printed on a real node is what its services and servers are written as."""
    text = (RECORDINGS / "ipvs/nodes/node1-c4/ipvs.txt").read_text()
    found = decode_ipvsadm(text)
    assert found.problem == ""
    assert len(found.services) == text.count("-A ")
    lines = []
    for service in found.services:
        lines += [service_text(service), *(server_text(service, server) for server in service.servers)]
    assert lines == text.splitlines()


@pytest.mark.parametrize(
    ("upper", "lower", "total", "expected"),
    [
        (0, 0, 10**6, False),
        (None, None, 10**6, False),
        (100, 0, 100, True),
        (100, 0, 74, False),
        (100, 0, 80, None),
        (100, 50, 60, None),
        (100, 50, 49, False),
    ],
)
def test_thresholds(upper: int | None, lower: int | None, total: int, expected: bool | None) -> None:
    """A server is overloaded from its upper threshold on, until it falls below the lower one."""
    server = RealServer(ip_address("10.0.0.1"), 80, active=total, upper=upper, lower=lower)
    assert server.overloaded is expected


@given(st.text(alphabet="TCPUDFWM -ASatrmgi:>[]0123456789ABCDEF.\n", max_size=300))
def test_text_of_any_kind_is_survived(text: str) -> None:
    """No text makes a reader raise, and where something is written there are services or a problem."""
    assert isinstance(decode_proc_ip_vs_conn(text), tuple)
    saved, shown = decode_ipvsadm(text), decode_proc_ip_vs(text)
    assert saved.problem or saved.services or not text.split()
    assert shown.problem or shown.services


def test_netlink_replaces_what_proc_says_of_the_same_service() -> None:
    """Netlink knows more; what only one of the two lists is kept; a mark's family is netlink's."""
    plain = VirtualService(4, 6, 1, 80, "rr")
    known = replace(plain, flags=frozenset({"ops"}))
    other = replace(plain, port=81)
    mark, mark6 = VirtualService(4, 0, 0, 0, "rr", fwmark=7), VirtualService(6, 0, 0, 0, "rr", fwmark=7)
    assert merged((plain, other), (known,)) == (known, other)
    assert merged((mark,), (mark6,)) == (mark6,)
    assert merged((mark,), ()) == (mark,)


# --- generic netlink, written here as ip_vs_ctl.c writes it ----------------------------------------------------


def attribute(kind: int, data: bytes) -> bytes:
    """Write one attribute."""
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def message(sequence: int, kind: int, body: bytes) -> bytes:
    """Write one message."""
    return struct.pack("=IHHII", 16 + len(body), kind, 2, sequence, 77) + body + bytes(-len(body) % 4)


def end(sequence: int, code: int = 0) -> bytes:
    """Write the end of a dump, or an error."""
    return message(sequence, 2 if code else 3, struct.pack("=i", code))


def service(sequence: int, *parts: bytes) -> bytes:
    """Write the answer to IPVS_CMD_GET_SERVICE."""
    return message(sequence, 0x24, struct.pack("=BBxx", 1, 1) + attribute(0x8001, b"".join(parts)))


def server(sequence: int, *parts: bytes) -> bytes:
    """Write the answer to IPVS_CMD_GET_DEST."""
    return message(sequence, 0x24, struct.pack("=BBxx", 5, 1) + attribute(0x8002, b"".join(parts)))


def u32(kind: int, value: int) -> bytes:
    """Write a number."""
    return attribute(kind, struct.pack("=I", value))


def union(ip: str) -> bytes:
    """Write an address as ``union nf_inet_addr``."""
    return ip_address(ip).packed.ljust(16, b"\0")


TCP_SERVICE = (
    attribute(1, struct.pack("=H", 2)),
    attribute(2, struct.pack("=H", 6)),
    attribute(3, union("10.96.10.7")),
    attribute(4, struct.pack(">H", 80)),
    attribute(6, b"sh\0"),
    attribute(7, struct.pack("=II", 1 | 2 | 8, 0xFFFFFFFF)),
    u32(8, 10800),
    attribute(9, ip_address("255.255.255.0").packed),
)
MARK_SERVICE = (
    attribute(1, struct.pack("=H", 10)),
    u32(5, 7),
    attribute(6, b"mh\0"),
    attribute(7, struct.pack("=II", 2 | 4 | 16, 0xFFFFFFFF)),
    u32(8, 0),
    attribute(9, struct.pack("=I", 128)),
)
SERVER = (
    attribute(1, union("10.244.1.10")),
    attribute(2, struct.pack(">H", 8080)),
    *(u32(kind, value) for kind, value in ((3, 0), (4, 3), (5, 100), (6, 50), (7, 5), (8, 6), (9, 1))),
    attribute(11, struct.pack("=H", 2)),
)
TUNNEL = (
    attribute(1, union("fd00::5")),
    attribute(2, struct.pack(">H", 0)),
    *(u32(kind, value) for kind, value in ((3, 0x102), (4, 1), (5, 0), (6, 0), (7, 0), (8, 0))),
    attribute(11, struct.pack("=H", 10)),
    attribute(13, b"\x01"),
)
WHOLE = (
    service(5, *TCP_SERVICE)
    + service(5, *MARK_SERVICE)
    + end(5)
    + (server(6, *SERVER) + end(6))
    + (server(7, *TUNNEL) + end(7))
)


def test_services_and_servers_come_from_netlink() -> None:
    """Every attribute that decides a way is read, and servers belong to the service of their turn."""
    found = decode_ipvs(WHOLE)
    assert found.problem == ""
    first, second = found.services
    assert first == VirtualService(
        4,
        6,
        int(ip_address("10.96.10.7")),
        80,
        "sh",
        flags=frozenset({"sh-fallback"}),
        persistent_s=10800,
        netmask=0xFFFFFF00,
        servers=(RealServer(ip_address("10.244.1.10"), 8080, Forwarding.MASQ, 3, 5, 6, 100, 50),),
    )
    assert (second.family, second.fwmark, second.flags) == (6, 7, frozenset({"ops", "mh-port"}))
    assert second.servers == (RealServer(ip_address("fd00::5"), 0, Forwarding.TUNNEL, 1, 0, 0, 0, 0, "gue"),)


def test_a_service_without_an_answer_is_left_out() -> None:
    """A service that was deleted meanwhile, or not asked for, is not one without servers."""
    deleted = decode_ipvs(service(5, *TCP_SERVICE) + end(5) + end(6, -3))
    assert deleted.services == ()
    assert deleted.problem == "the servers of 1 services were not read"
    empty = decode_ipvs(service(5, *TCP_SERVICE) + end(5) + end(6))
    assert [s.servers for s in empty.services] == [()]
    assert empty.problem == ""


def test_a_cut_answer_says_so() -> None:
    """A cut anywhere leaves whole services and a problem."""
    whole = decode_ipvs(WHOLE).services
    for size in range(len(WHOLE)):
        found = decode_ipvs(WHOLE[:size])
        assert found.problem
        assert set(found.services) <= set(whole)


@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=8))
def test_damaged_answers_are_survived(at: int, noise: bytes) -> None:
    """No damage makes the decoder raise, or makes services look like none."""
    found = decode_ipvs(WHOLE[:at] + noise + WHOLE[at + len(noise) :])
    assert found.problem or found.services
