"""IPv6, SCTP and echo: what each protocol's first packets meet, and what the client sees (live: tests/kernel)."""

from __future__ import annotations

import pytest

from skoopctl.dataplane.packet import Unreachable, icmp_name, icmp_number
from skoopctl.dataplane.trace import Disposition, Outcome, PathResult, Verdict
from skoopctl.kernel.route import RouteType
from tests.support.broken import dual_stack
from tests.support.worlds import Cluster, cluster, filter_table

NEAR, FAR = "fd00:1::11", "fd00:2::10"


@pytest.fixture
def made() -> Cluster:
    """Return a healthy dual-stack cluster with routes between its nodes."""
    built = cluster(vxlan=False)
    dual_stack(built)
    return built


def packets(result: PathResult) -> list[str]:
    """Return the packets of the first branch."""
    return [walk.label for walk in result.branches[0].walks]


def seen(result: PathResult) -> tuple[Outcome, str]:
    """Return what the client sees."""
    return result.branches[0].outcome, result.branches[0].errno


@pytest.mark.parametrize("target", [NEAR, FAR])
@pytest.mark.parametrize("protocol", ["tcp", "udp", "icmp"])
def test_ipv6_works_beside_ipv4(made: Cluster, target: str, protocol: str) -> None:
    """In a dual-stack cluster the same flow passes in both families."""
    assert made.walk("fd00:1::10", target, protocol=protocol).verdict is Verdict.PASS
    assert made.walk(made.a, made.b, protocol=protocol).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("kind", "errno"), [("icmp6-no-route", "ENETUNREACH"), ("icmp6-adm-prohibited", "EACCES")]
)
def test_an_icmpv6_error_has_its_own_errno(made: Cluster, kind: str, errno: str) -> None:
    """What an IPv6 client gets differs from IPv4's: administratively prohibited is EACCES."""
    made.n1.iptables(filter_table(f"-A FORWARD -p tcp -j REJECT --reject-with {kind}"), family=6)
    result = made.walk("fd00:1::10", FAR)
    assert seen(result) == (Outcome.UNREACHABLE, errno)
    assert packets(result) == ["SYN", f"ICMP error ({kind})"]


def test_icmpv6_types_are_matched_on_the_way_back(made: Cluster) -> None:
    """A rule that drops ICMPv6 'destination unreachable' leaves the client without the error."""
    made.n1.iptables(filter_table("-A FORWARD -p tcp -j REJECT"), family=6)
    made.a.iptables(filter_table("-A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 1 -j DROP"), family=6)
    assert seen(made.walk("fd00:1::10", FAR)) == (Outcome.TIMEOUT, "")


@pytest.mark.parametrize("error", list(Unreachable))
@pytest.mark.parametrize("family", [4, 6])
def test_every_error_has_numbers_and_a_name(error: Unreachable, family: int) -> None:
    """Each is of a type of its family's errors (RFC 792, RFC 4443), and has a name of that family."""
    assert icmp_number(error, family)[0] in ({3, 11} if family == 4 else {1, 2, 3, 4})
    assert icmp_name(error, family).startswith("icmp")


def test_an_unreachable_route_of_ipv6_answers_no_route(made: Cluster) -> None:
    """A router tells 'no route' for a route of type unreachable; the sender itself gets EHOSTUNREACH."""
    made.n1.route(f"{FAR}/128", type=RouteType.UNREACHABLE)
    assert seen(made.walk("fd00:1::10", FAR)) == (Outcome.UNREACHABLE, "ENETUNREACH")
    made.a.route(f"{FAR}/128", type=RouteType.UNREACHABLE)
    assert seen(made.walk("fd00:1::10", FAR)) == (Outcome.UNREACHABLE, "EHOSTUNREACH")


def test_ipv6_answers_no_route_even_where_it_does_not_forward(made: Cluster) -> None:
    """A route that discards is found before forwarding is asked for; IPv4 is silent then."""
    made.n1.set("net/ipv6/conf/all/forwarding", 0)
    made.n1.set("net/ipv4/ip_forward", 0)
    gone = {"0.0.0.0/0", "10.244.2.0/24", "fd00:2::/64"}
    made.n1.routes = [r for r in made.n1.routes if str(r.destination) not in gone]
    assert seen(made.walk("fd00:1::10", FAR))[1] == "ENETUNREACH"
    assert seen(made.walk(made.a, made.b)) == (Outcome.TIMEOUT, "")


# --- SCTP ----------------------------------------------------------------------------------------------------


def test_sctp_takes_four_packets(made: Cluster) -> None:
    """INIT, INIT-ACK, COOKIE-ECHO and COOKIE-ACK all have to arrive."""
    made.b.listen(3868, "sctp")
    result = made.walk(made.a, made.b, 3868, "sctp")
    assert result.verdict is Verdict.PASS
    assert packets(result) == ["INIT", "INIT-ACK", "COOKIE-ECHO", "COOKIE-ACK"]


def test_sctp_is_aborted_where_nobody_listens(made: Cluster) -> None:
    """An endpoint that is not there is an ABORT, which the client reads as refused."""
    result = made.walk(made.a, made.b, 3868, "sctp")
    assert packets(result) == ["INIT", "ABORT"]
    assert seen(result) == (Outcome.REFUSED, "ECONNREFUSED")


def test_a_kernel_without_sctp_says_so(made: Cluster) -> None:
    """Protocol unreachable is the one ICMP error that ends an association; others only wait."""
    made.b.more["speaks_sctp"] = False
    assert seen(made.walk(made.a, made.b, 3868, "sctp")) == (Outcome.UNREACHABLE, "ENOPROTOOPT")
    made.b.iptables(filter_table("-A INPUT -p sctp -j REJECT"))
    assert seen(made.walk(made.a, made.b, 3868, "sctp")) == (Outcome.TIMEOUT, "")


def test_sctp_fails_when_a_cookie_is_dropped(made: Cluster) -> None:
    """connect() of SCTP waits for the COOKIE-ACK: a firewall that drops ESTABLISHED keeps it from coming."""
    made.b.listen(3868, "sctp")
    drop = "-A FORWARD -s 10.244.1.10/32 -m conntrack --ctstate ESTABLISHED -j DROP"
    made.n1.iptables(filter_table(drop))
    result = made.walk(made.a, made.b, 3868, "sctp")
    assert packets(result) == ["INIT", "INIT-ACK", "COOKIE-ECHO"]
    assert (result.disposition, result.outcome) == (Disposition.DROPPED, Outcome.TIMEOUT)


def test_sctp_sockets_that_were_not_read_are_unknown(made: Cluster) -> None:
    """Evidence of an older version has no list of endpoints: nobody knows."""
    made.b.more["speaks_sctp"] = None
    assert made.walk(made.a, made.b, 3868, "sctp").verdict is Verdict.UNKNOWN


def test_sctp_goes_through_dnat(made: Cluster) -> None:
    """A service on SCTP is translated there and back."""
    made.b.listen(3868, "sctp")
    rule = "-A PREROUTING -d 10.96.0.1/32 -p sctp -m sctp --dport 38412 -j DNAT --to-destination 10.244.2.10:3868"
    made.n1.iptables(filter_table(rule, table="nat"))
    assert made.walk(made.a, "10.96.0.1", 38412, "sctp").verdict is Verdict.PASS


# --- echo ----------------------------------------------------------------------------------------------------


def test_echo_needs_no_socket_but_a_kernel_that_answers(made: Cluster) -> None:
    """Whoever owns the address answers, unless echo requests are ignored there: of its own family only."""
    made.b.sockets.clear()
    made.b.set("net/ipv6/icmp/echo_ignore_all", 1)
    assert made.walk(made.a, made.b, protocol="icmp").verdict is Verdict.PASS
    result = made.walk("fd00:1::10", FAR, protocol="icmp")
    assert seen(result) == (Outcome.TIMEOUT, "")
    assert result.branches[0].forward.last.cause == "echo-ignored"


def test_ping_sees_a_port_unreachable_as_unreachable(made: Cluster) -> None:
    """An echo has no port to be refused: every error that it hears is 'unreachable'."""
    made.b.iptables(filter_table("-A INPUT -p icmp -j REJECT"))
    assert seen(made.walk(made.a, made.b, protocol="icmp")) == (Outcome.UNREACHABLE, "ECONNREFUSED")


# --- sockets of both families -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dual_stack_", "bindv6only", "verdict"),
    [
        (True, 1, Verdict.PASS),
        (False, 0, Verdict.FAIL),
        (None, 0, Verdict.PASS),
        (None, 1, Verdict.UNKNOWN),
    ],
)
def test_an_ipv6_socket_takes_ipv4_if_it_may(
    made: Cluster, dual_stack_: bool | None, bindv6only: int, verdict: Verdict
) -> None:
    """IPV6_V6ONLY decides where it was read; else bindv6only makes it likely, or doubtful."""
    made.b.sockets.clear()
    made.b.listen(80, "tcp", "::", dual_stack=dual_stack_)
    made.b.set("net/ipv6/bindv6only", bindv6only)
    assert made.walk(made.a, made.b).verdict is verdict
    assert made.walk("fd00:1::10", FAR).verdict is Verdict.PASS


def test_a_udp_server_with_two_addresses_may_answer_from_the_other(made: Cluster) -> None:
    """A request to a second address passes, and that an unaware server answers from the first is said."""
    made.b.address("eth0", "10.244.2.99/24", secondary=True)
    result = made.walk(made.a, "10.244.2.99", protocol="udp")
    assert result.verdict is Verdict.PASS
    assert any("answers from 10.244.2.10" in text for text in result.assumptions)
    assert not any("IP_PKTINFO" in text for text in made.walk(made.a, made.b, protocol="udp").assumptions)
