"""Full-size segments through real kernels: what the walk says of them is what happens to them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from skoopctl.dataplane.trace import Disposition, Outcome, PathResult, Verdict
from tests.support.live_hosts import LONG_S, LiveHosts, arrives, live_hosts, patience_s

pytestmark = pytest.mark.lab

SERVER, PORT = "10.2.0.2", 7000


@pytest.fixture
def net() -> Iterator[LiveHosts]:
    """A client and a server with a router between them, all of one host: c — r — s."""
    with live_hosts(f"t-tunnels-m{os.getpid()}", {"n1": ("r", "c", "s")}) as made:
        made.veth("c", "e0", "r", "rc")
        made.veth("s", "e0", "r", "rs")
        made.run("c", "ip addr add 10.1.0.2/24 dev e0", "ip route add default via 10.1.0.1")
        made.run("s", f"ip addr add {SERVER}/24 dev e0", "ip route add default via 10.2.0.1")
        made.run("r", "ip addr add 10.1.0.1/24 dev rc", "ip addr add 10.2.0.1/24 dev rs")
        made.run("r", "sysctl -qw net.ipv4.ip_forward=1")
        yield made


def agree(net: LiveHosts) -> tuple[PathResult, bool, bool]:
    """Walk the flow, send full-size segments both ways, and check that the two agree."""
    with net.listen("s", SERVER, PORT) as server:
        result = net.walk("10.1.0.2", SERVER, PORT)
        stalls = result.mtu.stalls if result.mtu is not None else ""
        client, accepted = net.connect("c", server, timeout_s=LONG_S)
        with client, accepted:
            there = arrives(client, accepted, timeout_s=patience_s(stalls != "forward"))
        net.forget()
        client, accepted = net.connect("c", server, timeout_s=LONG_S)
        with client, accepted:
            back = arrives(accepted, client, timeout_s=patience_s(stalls != "reply"))
    assert result.outcome is Outcome.CONNECTED
    mtu = result.mtu
    assert mtu is not None
    assert (result.verdict is Verdict.PASS) == (there and back), (result.verdict, there, back)
    if mtu.stalls:
        assert result.disposition is Disposition.MTU
        assert not (there if mtu.stalls == "forward" else back)
    return result, there, back


def test_full_size_passes_where_all_mtus_agree(net: LiveHosts) -> None:
    """1500 bytes pass each way, and nothing is said."""
    result, there, back = agree(net)
    assert (there, back) == (True, True)
    assert result.mtu is not None
    assert (result.mtu.forward, result.mtu.reply, result.mtu.segment) == (1500, 1500, 1500)
    assert result.mtu.concerns == ()


def test_a_smaller_next_link_is_told_by_icmp(net: LiveHosts) -> None:
    """A router answers with "fragmentation needed", and the sender makes its segments smaller."""
    net.run("r", "ip link set rs mtu 1400")
    result, there, back = agree(net)
    assert there
    assert result.mtu is not None
    assert result.mtu.forward == 1400
    assert not back or result.verdict is Verdict.PASS


@pytest.mark.parametrize("rule", ["OUTPUT -p icmp -j DROP", "POSTROUTING -t mangle -p icmp -j DROP"])
def test_a_filtered_icmp_error_is_a_black_hole(net: LiveHosts, rule: str) -> None:
    """The route to the server takes 1400 bytes and the error about more is dropped: connected, and stalled."""
    net.run("r", "ip route change 10.2.0.0/24 dev rs mtu 1400", f"iptables -A {rule}")
    result, there, back = agree(net)
    assert (there, back) == (False, True)
    assert (result.verdict, result.disposition) == (Verdict.FAIL, Disposition.MTU)
    assert result.branches[0].fatal_walk.last.cause == "mtu-black-hole"


def test_the_icmp_error_may_be_dropped_at_the_sender(net: LiveHosts) -> None:
    """A rule in the client's own namespace that drops ICMP makes the same black hole."""
    net.run("r", "ip route change 10.2.0.0/24 dev rs mtu 1400")
    net.run("c", "iptables -A INPUT -p icmp -m icmp --icmp-type 3/4 -j DROP")
    result, there, _ = agree(net)
    assert not there
    assert result.verdict is Verdict.FAIL


def test_the_icmp_error_comes_back_through_nat(net: LiveHosts) -> None:
    """The router masquerades: the error about the translated packet is translated back, and heard."""
    net.run("r", "ip route change 10.2.0.0/24 dev rs mtu 1400")
    net.run("r", "iptables -t nat -A POSTROUTING -o rs -j MASQUERADE")
    result, there, _ = agree(net)
    assert there
    assert result.verdict is Verdict.PASS


@pytest.mark.parametrize(
    "clamp",
    ["--clamp-mss-to-pmtu", "--set-mss 1300"],
)
def test_a_clamped_mss_avoids_the_black_hole(net: LiveHosts, clamp: str) -> None:
    """A TCPMSS rule makes both ends send what fits, though every ICMP error is dropped."""
    net.run("r", "ip route change 10.2.0.0/24 dev rs mtu 1400", "iptables -A OUTPUT -p icmp -j DROP")
    match = "-p tcp -m tcp --tcp-flags SYN,RST SYN"
    net.run("r", f"iptables -t mangle -A FORWARD {match} -j TCPMSS {clamp}")
    result, there, back = agree(net)
    assert (there, back) == (True, True)
    assert result.mtu is not None
    assert result.mtu.segment == (1400 if "clamp" in clamp else 1340)


@pytest.mark.parametrize(("size", "segment"), [("rt mtu", 1400), ("1300", 1340)])
def test_nft_clamps_too(net: LiveHosts, size: str, segment: int) -> None:
    """`tcp option maxseg size set` does the same in nft's own words."""
    net.run("r", "ip route change 10.2.0.0/24 dev rs mtu 1400", "nft add table ip t")
    net.run(
        "r",
        "nft add chain ip t out { type filter hook output priority 0 ; }",
        "nft add rule ip t out ip protocol icmp drop",
        "nft add chain ip t through { type filter hook forward priority 0 ; }",
        f"nft add rule ip t through tcp flags syn tcp option maxseg size set {size}",
    )
    result, there, back = agree(net)
    assert (there, back) == (True, True)
    assert result.mtu is not None
    assert result.mtu.segment == segment


def test_an_unclamped_direction_stays_a_black_hole(net: LiveHosts) -> None:
    """A rule for SYNs towards the client only clamps the one segment size, and not the other."""
    net.run("r", "ip route change 10.2.0.0/24 dev rs mtu 1400", "iptables -A OUTPUT -p icmp -j DROP")
    match = "-o rs -p tcp -m tcp --tcp-flags SYN,RST SYN"
    net.run("r", f"iptables -t mangle -A FORWARD {match} -j TCPMSS --clamp-mss-to-pmtu")
    result, there, back = agree(net)
    assert (there, back) == (False, True)
    assert result.mtu is not None
    assert result.mtu.stalls == "forward"


def test_a_veth_drops_what_its_other_end_does_not_take(net: LiveHosts) -> None:
    """The client's device takes 1500, its peer 1400: a full-size segment is dropped and nobody is told."""
    net.run("r", "ip link set rc mtu 1400")
    net.run("r", "ip route change 10.1.0.0/24 dev rc mtu 1500")
    result, there, _ = agree(net)
    assert not there
    assert (result.disposition, result.mtu and result.mtu.stalls) == (Disposition.MTU, "forward")


@pytest.mark.parametrize(("mtu", "passes"), [(1496, True), (1495, False)])
def test_a_veth_takes_four_bytes_more_than_its_mtu(net: LiveHosts, mtu: int, passes: bool) -> None:
    """is_skb_forwardable() leaves room for a VLAN header: 1496 takes 1500 bytes, 1495 does not."""
    net.run("r", f"ip link set rc mtu {mtu}")
    _, there, _ = agree(net)
    assert there is passes


@pytest.mark.parametrize("mode", [1, 2, 3])
@pytest.mark.parametrize("filtered", [False, True])
def test_without_df_a_router_cuts(net: LiveHosts, mode: int, filtered: bool) -> None:
    """With any ip_no_pmtu_disc a socket sends without DF (inet_create), and no ICMP error is needed."""
    net.run("r", "ip route change 10.2.0.0/24 dev rs mtu 1400")
    if filtered:
        net.run("r", "iptables -A OUTPUT -p icmp -j DROP")
    net.run("c", f"sysctl -qw net.ipv4.ip_no_pmtu_disc={mode}")
    _, there, _ = agree(net)
    assert there


def test_the_route_of_the_server_lowers_what_the_client_sends(net: LiveHosts) -> None:
    """The server's own route has the smaller MTU: its MSS tells the client, and nothing is too large."""
    net.run("s", "ip route replace default via 10.2.0.1 mtu 1300")
    result, there, back = agree(net)
    assert (there, back) == (True, True)
    assert result.mtu is not None
    assert (result.mtu.segment, result.mtu.reply_segment) == (1300, 1300)


@pytest.mark.parametrize("filtered", [False, True])
def test_a_service_address_leads_to_a_smaller_route(net: LiveHosts, filtered: bool) -> None:
    """The router's own socket connects to a service: after DNAT the route is smaller, and ICMP tells itself."""
    net.run("r", "ip route add 10.9.9.9/32 via 10.1.0.2", "ip route change 10.2.0.0/24 dev rs mtu 1400")
    net.run("r", f"iptables -t nat -A OUTPUT -d 10.9.9.9/32 -j DNAT --to-destination {SERVER}")
    net.run("r", "iptables -t nat -A POSTROUTING -o rs -j MASQUERADE")
    if filtered:
        net.run("r", "iptables -A INPUT -p icmp -j DROP")
    with net.listen("s", SERVER, PORT) as server:
        result = net.walk("10.1.0.1", "10.9.9.9", PORT)
        client, accepted = net.connect("r", server, "10.9.9.9", timeout_s=LONG_S)
        with client, accepted:
            there = arrives(client, accepted, timeout_s=patience_s(result.verdict is Verdict.PASS))
    assert there is not filtered
    assert (result.verdict is Verdict.PASS) is there, result.mtu


def patiently(net: LiveHosts, server: socket.socket) -> tuple[socket.socket, socket.socket]:
    """Connect, again while neighbours cannot be asked: link-local addresses are tentative for a second or two."""
    for _ in range(8):
        with suppress(OSError):  # or the router has given up asking: the host is unreachable
            return net.connect("c", server)
    return net.connect("c", server)


@pytest.mark.parametrize("small", ["route", "device"])
def test_ipv6_is_told_too(net: LiveHosts, small: str) -> None:
    """A router answers with "packet too big", which the sender hears; nothing is ever cut underway."""
    for short, device, address in (("c", "e0", "fd01::2"), ("s", "e0", "fd02::2")):
        net.run(short, f"ip -6 addr add {address}/64 dev {device} nodad")
        net.run(short, f"ip -6 route add default via {address.replace('::2', '::1')}")
    net.run("r", "ip -6 addr add fd01::1/64 dev rc nodad", "ip -6 addr add fd02::1/64 dev rs nodad")
    net.run("r", "sysctl -qw net.ipv6.conf.all.forwarding=1")
    if small == "device":
        net.run("r", "ip link set rs mtu 1400")
        net.run("s", "ip link set e0 mtu 1400")
    else:
        net.run("r", "ip -6 route add fd02::2/128 dev rs mtu 1400")
    with net.listen("s", "fd02::2", PORT) as server:
        result = net.walk("fd01::2", "fd02::2", PORT)
        client, accepted = patiently(net, server)
        with client, accepted:
            there = arrives(client, accepted, timeout_s=LONG_S)
    assert there
    assert (result.verdict, result.outcome) == (Verdict.PASS, Outcome.CONNECTED)
    assert result.mtu is not None
    assert result.mtu.forward == 1400
