"""What the walk predicts for one flow is what a real client gets, errno and all: IPv4 and IPv6, TCP, UDP, ICMP.

Every case changes one thing on the way between a client, a router and a server in namespaces of their own,
collects the state with the node program, and only then sends real packets.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.support.flow_stage import CLIENT, ROUTER, SERVER, Wanted, as_seen, predicted, staged

pytestmark = pytest.mark.lab

ALL = tuple(Wanted(protocol, family) for family in (4, 6) for protocol in ("tcp", "udp", "icmp"))
V4 = tuple(flow for flow in ALL if flow.family == 4)
V6 = tuple(flow for flow in ALL if flow.family == 6)
# What each of the two families' commands is called.
BOTH = "for t in iptables ip6tables; do $t {}; done"
NDP_IN = "for n in 135 136; do ip6tables -A INPUT -p icmpv6 --icmpv6-type $n -j ACCEPT; done; "
EACH_REJECT = {
    4: (
        "icmp-net-unreachable",
        "icmp-host-unreachable",
        "icmp-port-unreachable",
        "icmp-proto-unreachable",
        "icmp-net-prohibited",
        "icmp-host-prohibited",
        "icmp-admin-prohibited",
    ),
    6: (
        "icmp6-no-route",
        "icmp6-adm-prohibited",
        "icmp6-addr-unreachable",
        "icmp6-port-unreachable",
        "icmp6-policy-fail",
        "icmp6-reject-route",
    ),
}


@dataclass(frozen=True)
class Case:
    """``steps`` are (namespace, command) that make the case; ``flows`` are sent after them."""

    name: str
    steps: tuple[tuple[str, str], ...] = ()
    flows: tuple[Wanted, ...] = ALL
    timeout_s: float = (
        1.6  # the first retransmission of a SYN, after one second, may be the one that is heard
    )
    causes: tuple[str, ...] = ()


def _ported(flows: tuple[Wanted, ...], port: int) -> tuple[Wanted, ...]:
    return tuple(Wanted(f.protocol, f.family, f.address, port) for f in flows if f.protocol != "icmp")


def _to(flows: tuple[Wanted, ...], v4: str, v6: str) -> tuple[Wanted, ...]:
    return tuple(Wanted(f.protocol, f.family, v4 if f.family == 4 else v6, f.port) for f in flows)


def _rejects() -> list[Case]:
    """Each ``--reject-with``, at each hook; neighbour discovery and the errors themselves get through."""
    cases = []
    for family, kinds in EACH_REJECT.items():
        binary, echo = (
            ("iptables", "icmp --icmp-type") if family == 4 else ("ip6tables", "icmpv6 --icmpv6-type")
        )
        flows = V4 if family == 4 else V6
        for chain, where in (("INPUT", SERVER), ("FORWARD", ROUTER), ("OUTPUT", CLIENT)):
            for kind in kinds:
                rules = "; ".join(
                    f"{binary} -A {chain} -p {protocol} -j REJECT --reject-with {kind}"
                    for protocol in ("tcp", "udp", f"{echo} echo-request")
                )
                cases.append(Case(f"reject-{chain}-{kind}", ((where, rules),), flows))
            reset = f"{binary} -A {chain} -p tcp -j REJECT --reject-with tcp-reset"
            cases.append(Case(f"reset-{chain}-{family}", ((where, reset),), (Wanted("tcp", family),)))
    return cases


def _drops() -> list[Case]:
    return [
        Case("drop-INPUT", ((SERVER, NDP_IN + BOTH.format("-A INPUT -j DROP")),), causes=("netfilter-drop",)),
        Case("drop-FORWARD", ((ROUTER, BOTH.format("-A FORWARD -j DROP")),), causes=("netfilter-drop",)),
        Case(
            "drop-OUTPUT",
            (
                (
                    CLIENT,
                    "ip6tables -A OUTPUT -p icmpv6 --icmpv6-type 135 -j ACCEPT; "
                    "ip6tables -A OUTPUT -p icmpv6 --icmpv6-type 136 -j ACCEPT; "
                    + BOTH.format("-A OUTPUT -j DROP"),
                ),
            ),
            causes=("netfilter-drop",),
        ),
        Case("drop-answer-at-client", ((CLIENT, NDP_IN + BOTH.format("-P INPUT DROP")),)),
        Case("drop-mangle-POSTROUTING", ((CLIENT, "iptables -t mangle -A POSTROUTING -p all -j DROP"),), V4),
        Case("drop-raw-PREROUTING", ((ROUTER, "iptables -t raw -A PREROUTING -s 10.9.1.2 -j DROP"),), V4),
        Case("drop-only-new", ((ROUTER, BOTH.format("-A FORWARD -m conntrack --ctstate NEW -j DROP")),)),
        Case(
            "drop-established",
            ((ROUTER, BOTH.format("-A FORWARD -m conntrack --ctstate ESTABLISHED -j DROP")),),
        ),
        Case(
            "stateful-accept",
            (
                (
                    ROUTER,
                    BOTH.format("-P FORWARD DROP")
                    + "; "
                    + BOTH.format("-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT")
                    + "; "
                    + BOTH.format("-A FORWARD -i r-c -j ACCEPT"),
                ),
            ),
        ),
        Case(
            "ct-invalid-notrack-request",
            (
                (
                    ROUTER,
                    BOTH.format("-t raw -A PREROUTING -i r-c -j NOTRACK")
                    + "; "
                    + BOTH.format("-A FORWARD -m conntrack --ctstate INVALID -j DROP"),
                ),
            ),
        ),
    ]


def _ends() -> list[Case]:
    return [
        Case("works"),
        Case("closed-port", (), _ported(ALL, 81), causes=("no-listener",)),
        Case(
            "echo-ignored",
            ((SERVER, "sysctl -qw net.ipv4.icmp_echo_ignore_all=1 net.ipv6.icmp.echo_ignore_all=1"),),
            causes=("echo-ignored",),
        ),
        Case("closed-port-errors-filtered-at-client", ((CLIENT, _no_errors("INPUT")),), _ported(ALL, 81)),
        Case("closed-port-errors-filtered-at-server", ((SERVER, _no_errors("OUTPUT")),), _ported(ALL, 81)),
        Case("closed-port-errors-filtered-on-the-way", ((ROUTER, _no_errors("FORWARD")),), _ported(ALL, 81)),
        Case(
            "no-route-errors-filtered",
            (
                (ROUTER, "ip route del 10.9.2.0/24; ip -6 route del fd09:2::/64"),
                (CLIENT, _no_errors("INPUT")),
            ),
        ),
        Case(
            "reset-filtered",
            ((CLIENT, BOTH.format("-A INPUT -p tcp --tcp-flags RST RST -j DROP")),),
            tuple(f for f in _ported(ALL, 81) if f.protocol == "tcp"),
        ),
        Case(
            "router-itself", (), _to(tuple(f for f in ALL if f.protocol == "icmp"), "10.9.2.1", "fd09:2::1")
        ),
        Case("router-closed", (), _to(_ported(ALL, 81), "10.9.2.1", "fd09:2::1")),
        Case("client-itself", (), _to(ALL, "10.9.1.2", "fd09:1::2")),
        Case("client-loopback", (), _to(ALL, "127.0.0.1", "::1")),
        Case("ipv6-disabled-at-router", ((ROUTER, "sysctl -qw net.ipv6.conf.r-c.disable_ipv6=1"),), V6),
    ]


def _sockets() -> list[Case]:
    """Sockets of one family, of both, and bound to one address; what UDP's say of IPV6_V6ONLY is not read."""
    tcp = (Wanted("tcp", 4), Wanted("tcp", 6))
    udp = (Wanted("udp", 4), Wanted("udp", 6))
    return [
        *(Case(f"socket-{port}", (), _ported(tcp, port)) for port in (82, 83, 84, 85, 86, 87)),
        *(Case(f"socket-udp-{port}", (), _ported(udp, port)) for port in (82, 84, 85, 86, 87)),
    ]


def _no_errors(chain: str) -> str:
    types = "destination-unreachable"
    return (
        f"iptables -A {chain} -p icmp --icmp-type {types} -j DROP;"
        f"ip6tables -A {chain} -p icmpv6 --icmpv6-type {types} -j DROP"
    )


def _routes() -> list[Case]:
    cases = []
    for kind in ("blackhole", "unreachable", "prohibit"):
        for where in (CLIENT, ROUTER):
            command = f"ip route add {kind} 10.9.2.2; ip -6 route add {kind} fd09:2::2"
            cases.append(Case(f"{kind}-at-{where}", ((where, command),)))
        command = f"ip rule add to 10.9.2.2 pref 10 {kind}; ip -6 rule add to fd09:2::2 pref 10 {kind}"
        cases.append(Case(f"rule-{kind}-at-{ROUTER}", ((ROUTER, command),)))
    cases += [
        Case("no-route-at-client", ((CLIENT, "ip route del default; ip -6 route del default"),)),
        Case("no-route-at-router", ((ROUTER, "ip route del 10.9.2.0/24; ip -6 route del fd09:2::/64"),)),
        Case("no-route-back", ((SERVER, "ip route del default; ip -6 route del default"),)),
        Case(
            "blackhole-back",
            ((SERVER, "ip route add blackhole 10.9.1.2; ip -6 route add blackhole fd09:1::2"),),
        ),
        Case(
            "forwarding-off", ((ROUTER, "sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0"),)
        ),
        Case(
            "forwarding-off-and-no-route",
            (
                (
                    ROUTER,
                    (
                        "sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0;"
                        "ip route del 10.9.2.0/24; ip -6 route del fd09:2::/64"
                    ),
                ),
            ),
        ),
        Case(
            "link-local-next-hop",
            (
                (ROUTER, "ip -6 addr add fe80::9/64 dev r-c nodad"),
                (CLIENT, "ip -6 route replace default via fe80::9 dev eth-c"),
            ),
            V6,
        ),
    ]
    return cases


def _neighbours() -> list[Case]:
    return [
        Case("no-neighbour-behind-router", (), _to(ALL, "10.9.2.77", "fd09:2::77"), 2.5),
        Case("no-neighbour-at-client", (), _to(ALL, "10.9.1.77", "fd09:1::77"), 2.5),
        Case(
            "ndp-in-dropped-at-server",
            ((SERVER, "ip6tables -A INPUT -p icmpv6 -j DROP"),),
            V6,
            2.5,
            ("ndp-filtered",),
        ),
        Case(
            "ndp-policy-drop-at-server",
            ((SERVER, "ip6tables -P INPUT DROP; ip6tables -A INPUT -p tcp -j ACCEPT"),),
            V6,
            2.5,
        ),
        Case(
            "ndp-solicitation-out-dropped", ((ROUTER, _drop_ndp("OUTPUT", 135)),), V6, 2.5, ("ndp-filtered",)
        ),
        Case(
            "ndp-advertisement-out-dropped", ((SERVER, _drop_ndp("OUTPUT", 136)),), V6, 2.5, ("ndp-filtered",)
        ),
        Case(
            "ndp-advertisement-in-dropped", ((CLIENT, _drop_ndp("INPUT", 136)),), V6, 2.5, ("ndp-filtered",)
        ),
        Case("ndp-solicitations-of-the-way-back-dropped", ((CLIENT, _drop_ndp("INPUT", 135)),), V6, 2.5),
        Case(
            "ndp-dropped-by-nft",
            (
                (
                    SERVER,
                    (
                        "nft add table inet f;"
                        "nft add chain inet f i '{ type filter hook input priority 0; policy drop; }';"
                        "nft add rule inet f i meta l4proto { tcp, udp } accept;"
                        "nft add rule inet f i ct state related accept"
                    ),
                ),
            ),
            V6,
            2.5,
            ("ndp-filtered",),
        ),
        Case(
            "ndp-dropped-but-known",
            (
                (SERVER, "ip6tables -A INPUT -p icmpv6 --icmpv6-type 135 -j DROP"),
                (ROUTER, "ip -6 neigh replace fd09:2::2 lladdr MAC dev r-s nud permanent"),
            ),
            V6,
        ),
    ]


def _drop_ndp(chain: str, kind: int) -> str:
    return f"ip6tables -A {chain} -p icmpv6 --icmpv6-type {kind} -j DROP"


def _nat() -> list[Case]:
    dnat = (
        "iptables -t nat -A PREROUTING -d 10.9.9.9 -p {0} {1} -j DNAT --to-destination 10.9.2.2;"
        "ip6tables -t nat -A PREROUTING -d fd09:9::9 -p {2} {1} -j DNAT --to-destination fd09:2::2;"
    )
    vip = "".join(
        (dnat.format("tcp", "", "tcp"), dnat.format("udp", "", "udp"), dnat.format("icmp", "", "icmpv6"))
    )
    to_vip = _to(ALL, "10.9.9.9", "fd09:9::9")
    ported = (
        "for p in tcp udp; do "
        "iptables -t nat -A PREROUTING -d 10.9.9.9 -p $p --dport 8080 -j DNAT --to-destination 10.9.2.2:80;"
        "ip6tables -t nat -A PREROUTING -d fd09:9::9 -p $p --dport 8080"
        " -j DNAT --to-destination [fd09:2::2]:80; done"
    )
    masquerade = BOTH.format("-t nat -A POSTROUTING -o r-s -j MASQUERADE")
    no_way_back = (SERVER, "ip route del default; ip -6 route del default")
    return [
        Case("dnat", ((ROUTER, vip),), to_vip),
        Case("dnat-port", ((ROUTER, ported),), _ported(to_vip, 8080)),
        Case("dnat-other-port", ((ROUTER, ported),), _ported(to_vip, 8081)),
        Case("dnat-to-closed-port", ((ROUTER, ported.replace(":80;", ":81;")),), _ported(to_vip, 8080)),
        Case("masquerade", ((ROUTER, masquerade), no_way_back)),
        Case(
            "masquerade-random",
            ((ROUTER, masquerade.replace("MASQUERADE", "MASQUERADE --random-fully")), no_way_back),
        ),
        Case("masquerade-closed-port", ((ROUTER, masquerade), no_way_back), _ported(ALL, 81)),
        Case("dnat-and-masquerade", ((ROUTER, vip + masquerade), no_way_back), to_vip),
        Case(
            "dnat-reject-behind", ((ROUTER, vip), (SERVER, BOTH.format("-A INPUT -p udp -j REJECT"))), to_vip
        ),
        Case(
            "redirect",
            ((CLIENT, BOTH.format("-t nat -A OUTPUT -p tcp --dport 80 -j REDIRECT --to-ports 81")),),
        ),
        Case(
            "output-dnat",
            (
                (
                    CLIENT,
                    (
                        "iptables -t nat -A OUTPUT -d 10.9.9.9 -j DNAT --to 10.9.2.2;"
                        "ip6tables -t nat -A OUTPUT -d fd09:9::9 -j DNAT --to fd09:2::2"
                    ),
                ),
            ),
            to_vip,
        ),
    ]


CASES = [*_ends(), *_sockets(), *_drops(), *_rejects(), *_routes(), *_neighbours(), *_nat()]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_client_sees_what_was_predicted(case: Case) -> None:
    """For every flow of a case, a real client's outcome and errno are the ones that the walk predicts."""
    with staged() as stage:
        mac = stage.run(SERVER, "ip -o link show eth-s").split("link/ether ")[1].split()[0]
        for where, command in case.steps:
            stage.run(where, command.replace("MAC", mac))
        host = stage.collect()
        paths = [predicted(host, flow) for flow in case.flows]
        expected = [as_seen(path) for path in paths]
        real = stage.real(case.flows, case.timeout_s, expected)
    named = [f"{flow.protocol}{flow.family}" for flow in case.flows]
    assert dict(zip(named, expected, strict=True)) == dict(zip(named, real, strict=True))
    found = {walked.last.cause for path in paths for branch in path.branches for walked in branch.walks}
    assert set(case.causes) <= found
