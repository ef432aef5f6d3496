"""The reader of ``/proc/net/tcp`` and its kin."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.kernel.proc_net import (
    SocketDump,
    decode_proc_net,
    decode_sctp_eps,
    has_virtual_services,
    join_families,
)
from tests.support.as_json import expect

CASES = Path(__file__).parent / "cases" / "proc_net"
HEADER = "  sl  local_address rem_address   st\n"


@pytest.mark.parametrize("path", sorted(CASES.glob("*.txt")), ids=lambda p: p.stem)
def test_case(path: Path) -> None:
    """A file gives the sockets in the file beside it."""
    expect(path, decode_proc_net(path.read_text(), path.stem.rstrip("6")))


def test_sctp_endpoints() -> None:
    """/proc/net/sctp/eps gives the endpoints that listen, one for each of their addresses."""
    path = CASES.parent / "proc_net_sctp" / "eps.txt"
    expect(path, decode_sctp_eps(path.read_text()))


@given(st.text(alphabet="0123456789abcdef:. \n*-", max_size=200))
def test_damaged_endpoints_raise_nothing(text: str) -> None:
    """Lines that cannot be read are counted."""
    found = decode_sctp_eps(" ENDPT SOCK\n" + text)
    assert all(0 < s.port < 65536 for s in found.sockets)


def test_v6only_is_read_where_the_node_program_adds_it() -> None:
    """sock_diag tells IPV6_V6ONLY, in a last column that /proc does not have."""
    wild6 = "0: " + "0" * 32 + ":0050 " + "0" * 32 + ":0000 0A 0:0 0:0 0 0 0 1 1{}\n"
    text = HEADER + "".join(wild6.format(more) for more in (" v6only=1", " v6only=0", ""))
    assert [s.dual_stack for s in decode_proc_net(text, "tcp").sockets] == [False, True, None]


@pytest.mark.parametrize(("host", "file"), [("127.0.0.1", "tcp"), ("::1", "tcp6")])
def test_a_real_listener_is_found(host: str, file: str) -> None:
    """A socket that listens on this machine is in the kernel's file with its address and port."""
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as server:
        port = server.getsockname()[1]
        found = decode_proc_net(Path("/proc/net", file).read_text(), "tcp")
    assert found.problem == ""
    assert [str(s.ip) for s in found.sockets if s.port == port] == [host]


def test_a_real_udp_socket_counts_until_it_is_connected() -> None:
    """A bound UDP socket takes packets from anybody; one with a peer does not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        port = udp.getsockname()[1]
        before = decode_proc_net(Path("/proc/net/udp").read_text(), "udp").sockets
        udp.connect(("127.0.0.1", 9))
        after = decode_proc_net(Path("/proc/net/udp").read_text(), "udp").sockets
    assert port in {s.port for s in before}
    assert port not in {s.port for s in after}


def test_dual_stack_is_unknown_unless_ipv4_has_its_own_socket() -> None:
    """A wildcard IPv6 socket may take IPv4; with an IPv4 wildcard socket on the same port it cannot."""
    wild6 = "0: " + "0" * 32 + ":{port} " + "0" * 32 + ":0000 0A x\n"
    six = decode_proc_net(HEADER + wild6.format(port="0016") + wild6.format(port="2810"), "tcp").sockets
    four = decode_proc_net(HEADER + "0: 00000000:0016 00000000:0000 0A x\n", "tcp").sockets
    assert [s.dual_stack for s in six] == [None, None]
    assert {s.port: s.dual_stack for s in join_families(six + four) if s.ip.version == 6} == {
        22: False,
        10256: None,
    }


def test_malformed_lines_are_counted() -> None:
    """A line that cannot be read is a problem, and the others stay."""
    found = decode_proc_net(HEADER + "garbage\n0: 00000000:0016 00000000:0000 0A x\n", "tcp")
    assert [s.port for s in found.sockets] == [22]
    assert found.problem == "1 lines are malformed"


def test_virtual_services() -> None:
    """An IPVS table counts only when it has a service."""
    header = "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n"
    assert not has_virtual_services(header)
    assert has_virtual_services(header + "TCP  0A600001:01BB rr\n")


@given(st.text(), st.sampled_from(["tcp", "udp"]))
def test_garbage_never_raises(text: str, protocol: str) -> None:
    """Whatever a node sends becomes a result."""
    assert isinstance(decode_proc_net(HEADER + text, protocol), SocketDump)
    assert isinstance(decode_proc_net(text, protocol), SocketDump)
