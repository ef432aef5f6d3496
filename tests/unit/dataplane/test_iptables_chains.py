"""Chains, policies, jumps, targets and NAT of iptables do what ipt_do_table() does."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.dataplane.conntrack import Entry
from skoopctl.dataplane.packet import Ports, Unreachable
from skoopctl.dataplane.rules.scene import Hook
from skoopctl.dataplane.rules.targets.registry import TARGETS
from skoopctl.kernel.iptables import Backend
from tests.support.worlds import At, Box, Seen, filter_table, packet, says, through, tracked


def router(text: str = "", backend: Backend = Backend.NFT) -> Box:
    """Make a router with tables."""
    made = Box("n1", "n1", 1000, is_host=True)
    for name, address in (("eth0", "10.0.0.254/24"), ("cni0", "10.1.0.1/16")):
        made.link(name)
        made.address(name, address)
    if text:
        made.iptables(text, backend)
    return made


def forward(*rules: str, chains: str = "", policy: str = "ACCEPT") -> At:
    """Put rules of the filter table at FORWARD."""
    return At(router(filter_table(*rules, chains=chains, policy=policy)), in_dev="eth0", out_dev="cni0")


@pytest.mark.parametrize(
    ("chains", "rules", "expected"),
    [
        ("A", ["-A FORWARD -j A", "-A FORWARD -j DROP"], "hit"),
        ("A", ["-A FORWARD -j A", "-A FORWARD -j DROP", "-A A -j ACCEPT"], "miss"),
        ("A", ["-A FORWARD -j A", "-A FORWARD -j DROP", "-A A -j RETURN", "-A A -j ACCEPT"], "hit"),
        ("A", ["-A FORWARD -g A", "-A FORWARD -j DROP"], "miss"),
        ("A", ["-A FORWARD -g A", "-A A -j DROP"], "hit"),
        ("A B", ["-A FORWARD -j A", "-A FORWARD -j DROP", "-A A -g B", "-A A -j ACCEPT"], "hit"),
        ("A B", ["-A FORWARD -j A", "-A FORWARD -j DROP", "-A A -g B", "-A B -j ACCEPT"], "miss"),
        (
            "A B",
            ["-A FORWARD -j A", "-A FORWARD -j DROP", "-A A -j B", "-A A -j ACCEPT", "-A B -j RETURN"],
            "miss",
        ),
        ("", ["-A FORWARD -j RETURN", "-A FORWARD -j DROP"], "miss"),
        ("", ["-A FORWARD -s 10.0.0.1/32", "-A FORWARD -j DROP"], "hit"),
        ("", ["-A FORWARD -j ACCEPT", "-A FORWARD -j DROP"], "miss"),
        ("", ["-A FORWARD -j NOWHERE"], "unknown"),
        ("", ["-A FORWARD -j NFQUEUE --queue-num 0"], "unknown"),
        ("A", ["-A FORWARD -j A", "-A A -j A"], "unknown"),
    ],
)
def test_jump_goto_and_return(chains: str, rules: list[str], expected: str) -> None:
    """A jump comes back, a goto does not, RETURN ends one chain, and what is missing or endless is UNKNOWN."""
    assert says(forward(*rules, chains=chains), packet()) == expected


def test_return_and_goto_leave_the_verdict_to_the_policy() -> None:
    """The policy of the built-in chain decides when no rule did, and is the evidence then."""
    for rule in ("-A FORWARD -j RETURN", "-A FORWARD -g A"):
        (seen,) = through(forward(rule, chains="A", policy="DROP"), packet())
        assert seen.word == "DROP"
        assert seen.scene.evidence[-1].location == "filter FORWARD policy"


@pytest.mark.parametrize("name", sorted(n for n, effect in TARGETS.items() if effect.harmless))
def test_a_target_that_only_looks_lets_the_packet_on(name: str) -> None:
    """LOG and its kin give no verdict, leave no evidence, and make no branch behind an unknown match."""
    (seen,) = through(forward(f"-A FORWARD -m set --match-set any src -j {name}"), packet())
    assert (seen.word, seen.scene.evidence, seen.scene.unknowns) == ("ACCEPT", [], [])


def test_an_unknown_match_without_a_target_makes_no_branch() -> None:
    """A rule that only counts cannot change the way."""
    (seen,) = through(forward("-A FORWARD -m set --match-set any src"), packet())
    assert seen.word == "ACCEPT"
    assert not seen.unknown


def test_an_unreadable_rule_may_match_and_do_anything() -> None:
    """A rule that the decoder could not read to its end is UNKNOWN, and only that rule."""
    ways = through(forward("-A FORWARD -m strange --what -j DROP"), packet())
    assert {way.word for way in ways} == {"ACCEPT", "DROP"}
    assert all(way.unknown for way in ways)


def test_a_rule_that_decides_is_the_last_evidence() -> None:
    """The evidence of a drop ends with the rule that did it: its text, place and counter."""
    chains = "*filter\n:FORWARD ACCEPT [0:0]\n:A - [0:0]\n"
    text = chains + "[5:300] -A FORWARD -j A\n[4:240] -A A -s 10.0.0.1/32 -j DROP\nCOMMIT\n"
    (seen,) = through(At(router(text, Backend.LEGACY)), packet())
    jump, rule = seen.scene.evidence
    assert jump.text == "-A FORWARD -j A"
    assert (rule.location, rule.text, rule.packets, rule.octets, rule.node, rule.netns) == (
        "filter A rule 1 (legacy)",
        "-A A -s 10.0.0.1/32 -j DROP",
        4,
        240,
        "n1",
        1000,
    )


def test_a_jump_that_did_nothing_leaves_no_evidence() -> None:
    """Chains that a packet passed through untouched are not listed."""
    (seen,) = through(forward("-A FORWARD -j A", "-A A -s 203.0.113.1/32 -j DROP", chains="A"), packet())
    assert seen.scene.evidence == []


def test_statistic_rules_share_the_packets() -> None:
    """kube-proxy's chain of 1/3, 1/2, rest gives each endpoint a third, under the name in its comment."""
    rules = (
        '-A FORWARD -m comment --comment "a" -m statistic --mode random --probability 0.33333333349 -j DROP',
        '-A FORWARD -m comment --comment "b" -m statistic --mode random --probability 0.50000000000 -j ACCEPT',
        "-A FORWARD -j DROP",
    )
    assert [(way.word, round(way.weight, 3)) for way in through(forward(*rules), packet())] == [
        ("DROP", 0.333),
        ("ACCEPT", 0.333),
        ("DROP", 0.333),
    ]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("", Unreachable.PORT),
        ("--reject-with icmp-net-unreachable", Unreachable.NET),
        ("--reject-with icmp-host-unreachable", Unreachable.HOST),
        ("--reject-with icmp-port-unreachable", Unreachable.PORT),
        ("--reject-with icmp-proto-unreachable", Unreachable.PROTO),
        ("--reject-with icmp-net-prohibited", Unreachable.NET_PROHIBITED),
        ("--reject-with icmp-host-prohibited", Unreachable.HOST_PROHIBITED),
        ("--reject-with icmp-admin-prohibited", Unreachable.ADMIN_PROHIBITED),
        ("--reject-with tcp-reset", None),
    ],
)
def test_reject_tells_the_sender(name: str, error: Unreachable | None) -> None:
    """REJECT carries the ICMP error of its option, port unreachable without one, and a reset for tcp-reset."""
    (seen,) = through(forward(f"-A FORWARD -p tcp -j REJECT {name}"), packet())
    assert (seen.word, seen.ruling.error) == ("REJECT", error)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "",
                    "-d 10.0.0.1/32",
                    "-d 10.0.0.2/32",
                    "! -d 10.0.0.2/32",
                    "-d 10.0.0.0/24",
                    "-d 10.0.0.3/255.0.0.255",
                ]
            ),
            st.sampled_from(["-p tcp -m tcp --dport 80", "-p tcp -m tcp --dport 81", "-s 10.0.0.1/32"]),
            st.sampled_from(["ACCEPT", "DROP", "RETURN", "MARK --or-mark 0x1", "A"]),
        ),
        max_size=12,
    ),
    st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.9.0.3"]),
)
def test_a_long_chain_decides_as_rule_by_rule(rules: list[tuple[str, str, str]], destination: str) -> None:
    """Finding rules by the packet's destination changes neither verdict, mark nor evidence, nor their order."""
    lines = [f"-A FORWARD {address} {match} -j {target}" for address, match, target in rules]
    place = forward(*lines, "-A A -j MARK --or-mark 0x2", chains="A")
    told = []
    for threshold in (1, 1000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("skoopctl.dataplane.rules.iptables.INDEX_FROM", threshold)
            (seen,) = through(place, packet(destination=destination))
            told.append((seen.word, seen.scene.packet.mark, seen.scene.evidence))
    assert told[0] == told[1]


# --- marks, tracking -----------------------------------------------------------------------------------------


def mangled(rule: str, item: Any) -> Seen:
    """Send a packet through one rule of the mangle table at FORWARD."""
    (seen,) = through(At(router(filter_table(f"-A FORWARD {rule}", table="mangle"))), item)
    return seen


@pytest.mark.parametrize(
    ("option", "before", "after"),
    [
        ("--set-xmark 0x4000/0x0", 0x4001, 0x1),
        ("--set-xmark 0x4000/0x4000", 0x1, 0x4001),
        ("--set-xmark 0x0/0xffffffff", 0xFFFFFFFF, 0),
        ("--set-xmark 0x80000000/0x80000000", 0x1, 0x80000001),
        ("--set-mark 0x8/0xf", 0x17, 0x18),
        ("--or-mark 0x4000", 0x1, 0x4001),
        ("--and-mark 0xfffffffe", 0x3, 0x2),
        ("--xor-mark 0x1", 0x3, 0x2),
    ],
)
def test_mark_sets_bits(option: str, before: int, after: int) -> None:
    """MARK clears the mask's bits and exclusive-ors the value, up to the highest bit."""
    assert mangled(f"-j MARK {option}", packet(mark=before)).scene.packet.mark == after


def test_a_mark_outlives_its_table() -> None:
    """A mark that the mangle table sets is what the filter table sees."""
    made = router(filter_table("-A FORWARD -j MARK --set-xmark 0x1/0xffffffff", table="mangle"))
    made.iptables(filter_table("-A FORWARD -m mark --mark 0x1 -j DROP"))
    assert says(At(made), packet()) == "hit"


@pytest.mark.parametrize(
    ("option", "packet_mark", "entry_mark"),
    [
        ("--save-mark --nfmask 0xffffffff --ctmask 0xffffffff", 0x7, 0x7),
        ("--restore-mark --nfmask 0xffffffff --ctmask 0xffffffff", 0x9, 0x9),
        ("--save-mark --nfmask 0x3 --ctmask 0xff", 0x7, 0x3),
        ("--set-xmark 0x1/0xffffffff", 0x7, 0x1),
    ],
)
def test_connmark_moves_marks(option: str, packet_mark: int, entry_mark: int) -> None:
    """CONNMARK saves the packet's mark to its connection, restores it, or sets it."""
    scene = mangled(f"-j CONNMARK {option}", tracked(packet(mark=0x7), mark=0x9)).scene
    assert scene.packet.mark == packet_mark
    assert scene.packet.tracking is not None
    assert scene.packet.tracking.entry is not None
    assert scene.packet.tracking.entry.mark == entry_mark


@pytest.mark.parametrize("target", ["CT --notrack", "NOTRACK"])
def test_notrack_comes_before_conntrack(target: str) -> None:
    """A packet that raw marks untracked is UNTRACKED for every later table, and nat does not see it."""
    made = router(filter_table(f"-A PREROUTING -j {target}", table="raw"))
    made.iptables(
        filter_table(
            "-A PREROUTING -m conntrack --ctstate UNTRACKED -j MARK --set-xmark 0x1/0x1", table="mangle"
        )
    )
    made.iptables(filter_table("-A PREROUTING -p tcp -j DNAT --to-destination 10.1.0.9", table="nat"))
    (seen,) = through(At(made, Hook.PREROUTING, in_dev="eth0"), packet())
    assert seen.scene.packet.mark == 1
    assert seen.scene.packet.destination == int(ip_address("10.0.0.2"))


def test_zones_keep_connections_apart() -> None:
    """CT --zone gives the packet's entry a zone of its own."""
    made = router(filter_table("-A PREROUTING -j CT --zone 7", table="raw"))
    (seen,) = through(At(made, Hook.PREROUTING, in_dev="eth0"), packet())
    assert entry_of(seen).zone == 7


# --- NAT -----------------------------------------------------------------------------------------------------


def entry_of(seen: Seen) -> Entry:
    """Return the conntrack entry of a packet."""
    assert seen.scene.packet.tracking is not None
    assert seen.scene.packet.tracking.entry is not None
    return seen.scene.packet.tracking.entry


def translate(rule: str, item: Any = None, **place: Any) -> list[str]:
    """Send a new packet through one nat rule; return ``source > destination`` of each way."""
    hook = Hook[rule.split()[1]]
    made = router(filter_table(rule, table="nat"))
    found = item if item is not None else packet()
    if hook in {Hook.POSTROUTING, Hook.INPUT}:
        tracked(found)
    ways = through(At(made, hook, **place), found)
    return [
        f"{p.address(p.source)}:{p.source_ports} > {p.address(p.destination)}:{p.destination_ports}"
        for p in (way.scene.packet for way in ways)
    ]


CLIENT = "10.0.0.1:32768-60999"


@pytest.mark.parametrize(
    ("rule", "place", "expected"),
    [
        (
            "-A PREROUTING -p tcp -j DNAT --to-destination 10.1.0.9",
            {"in_dev": "eth0"},
            [f"{CLIENT} > 10.1.0.9:80"],
        ),
        (
            "-A PREROUTING -p tcp -j DNAT --to-destination 10.1.0.9:8080",
            {"in_dev": "eth0"},
            [f"{CLIENT} > 10.1.0.9:8080"],
        ),
        (
            "-A PREROUTING -p tcp -j DNAT --to-destination :8080",
            {"in_dev": "eth0"},
            [f"{CLIENT} > 10.0.0.2:8080"],
        ),
        (
            "-A PREROUTING -p tcp -j DNAT --to-destination 10.1.0.8-10.1.0.9",
            {"in_dev": "eth0"},
            [f"{CLIENT} > 10.1.0.8:80", f"{CLIENT} > 10.1.0.9:80"],
        ),
        (
            "-A OUTPUT -p tcp -j DNAT --to-destination 10.1.0.9",
            {"out_dev": "eth0"},
            [f"{CLIENT} > 10.1.0.9:80"],
        ),
        ("-A PREROUTING -p tcp -j REDIRECT", {"in_dev": "cni0"}, [f"{CLIENT} > 10.1.0.1:80"]),
        ("-A PREROUTING -p tcp -j REDIRECT --to-ports 99", {"in_dev": "eth0"}, [f"{CLIENT} > 10.0.0.254:99"]),
        ("-A OUTPUT -p tcp -j REDIRECT --to-ports 99", {"out_dev": "eth0"}, [f"{CLIENT} > 127.0.0.1:99"]),
        (
            "-A POSTROUTING -j SNAT --to-source 10.9.9.9",
            {"out_dev": "eth0"},
            ["10.9.9.9:32768-60999 > 10.0.0.2:80"],
        ),
        (
            "-A POSTROUTING -p tcp -j SNAT --to-source 10.9.9.9:1024-2047",
            {"out_dev": "eth0"},
            ["10.9.9.9:1024-2047 > 10.0.0.2:80"],
        ),
        (
            "-A POSTROUTING -j SNAT --to-source 10.9.9.9 --random",
            {"out_dev": "eth0"},
            ["10.9.9.9:1024-65535 > 10.0.0.2:80"],
        ),
        (
            "-A POSTROUTING -j MASQUERADE",
            {"out_dev": "cni0", "next_hop": "10.1.0.9"},
            ["10.1.0.1:32768-60999 > 10.0.0.2:80"],
        ),
        (
            "-A POSTROUTING -j MASQUERADE --random-fully",
            {"out_dev": "eth0", "next_hop": "10.0.0.2"},
            ["10.0.0.254:1024-65535 > 10.0.0.2:80"],
        ),
        (
            "-A POSTROUTING -p tcp -j MASQUERADE --to-ports 2000-2001",
            {"out_dev": "eth0", "next_hop": "10.0.0.2"},
            ["10.0.0.254:2000-2001 > 10.0.0.2:80"],
        ),
        ("-A INPUT -j SNAT --to-source 10.9.9.9", {"in_dev": "eth0"}, ["10.9.9.9:32768-60999 > 10.0.0.2:80"]),
    ],
)
def test_nat_rewrites_a_new_flow(rule: str, place: dict[str, str], expected: list[str]) -> None:
    """Each NAT target rewrites the half that its hook is for; several addresses are several ways."""
    assert translate(rule, **place) == expected


def test_masquerade_without_an_address_drops() -> None:
    """A device without an address has nothing to masquerade as: the kernel drops, and the step says why."""
    made = router(filter_table("-A POSTROUTING -j MASQUERADE", table="nat"))
    made.link("tun0")
    made.addresses = [a for a in made.addresses if a.ip.is_loopback]
    (seen,) = through(At(made, Hook.POSTROUTING, out_dev="tun0"), tracked(packet()))
    assert seen.word == "DROP"
    assert "tun0 has no address" in seen.scene.notes[0]


def test_redirect_on_a_device_without_an_address_drops() -> None:
    """REDIRECT takes the in device's own address and no other's: a pod's device on its node often has none."""
    made = router(filter_table("-A PREROUTING -p tcp -j REDIRECT --to-ports 99", table="nat"))
    made.link("cali1")
    (seen,) = through(At(made, Hook.PREROUTING, in_dev="cali1"), tracked(packet()))
    assert seen.word == "DROP"


def test_masquerade_takes_the_address_in_the_next_hops_subnet() -> None:
    """Of several addresses of the device, the one that shares a subnet with the next hop is used."""
    made = router(filter_table("-A POSTROUTING -j MASQUERADE", table="nat"))
    made.address("eth0", "10.7.0.1/24")
    (seen,) = through(At(made, Hook.POSTROUTING, out_dev="eth0", next_hop="10.7.0.9"), tracked(packet()))
    assert seen.scene.packet.source == int(ip_address("10.7.0.1"))


def test_only_a_new_flow_meets_the_nat_table() -> None:
    """An established packet follows its binding, and no nat rule is asked."""
    made = router(filter_table("-A POSTROUTING -j SNAT --to-source 10.9.9.9", table="nat"))
    for item in (tracked(packet(), "ESTABLISHED"), tracked(packet(), "ESTABLISHED", is_reply=True)):
        (seen,) = through(At(made, Hook.POSTROUTING, out_dev="eth0"), item)
        assert seen.scene.packet.source == int(ip_address("10.0.0.1"))
        assert seen.scene.evidence == []


def test_a_split_before_snat_stays_narrow() -> None:
    """Source NAT that keeps ports keeps what an earlier rule left of their range."""
    made = router(
        filter_table("-A POSTROUTING -p tcp -m tcp --sport 40000:50000 -j MARK --set-xmark 1", table="mangle")
    )
    made.iptables(filter_table("-A POSTROUTING -j SNAT --to-source 10.9.9.9", table="nat"))
    ways = through(At(made, Hook.POSTROUTING, out_dev="eth0"), tracked(packet()))
    assert [way.scene.packet.source_ports for way in ways] == [
        Ports(40000, 50000),
        Ports(32768, 39999),
        Ports(50001, 60999),
    ]
