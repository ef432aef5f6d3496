"""Tables and base chains at one hook run by numeric priority, legacy and nft alike."""

from __future__ import annotations

from typing import Any

import pytest

from skoopctl.dataplane.rules.netfilter import stages_at
from skoopctl.dataplane.rules.scene import Hook
from skoopctl.dataplane.topology import Topology
from skoopctl.kernel.iptables import Backend
from skoopctl.kernel.netns import Host
from tests.support.worlds import At, Box, filter_table, packet, says, through

ALL = "".join(filter_table(table=name) for name in ("raw", "mangle", "nat", "filter"))


def chain(
    name: str,
    priority: int,
    *exprs: list[dict[str, Any]],
    kind: str = "filter",
    hook: str = "forward",
    family: str = "ip",
) -> list[dict[str, Any]]:
    """Return the objects of one nft table with one base chain."""
    place = {"family": family, "table": name}
    base = place | {"name": "c", "type": kind, "hook": hook, "prio": priority, "policy": "accept"}
    rules = [{"rule": place | {"chain": "c", "handle": n, "expr": e}} for n, e in enumerate(exprs, 1)]
    return [{"table": {"family": family, "name": name}}, {"chain": base}, *rules]


def mark_is(value: int) -> dict[str, Any]:
    """Return ``meta mark VALUE``."""
    return {"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": value}}


def set_mark(value: int) -> dict[str, Any]:
    """Return ``meta mark set VALUE``."""
    return {"mangle": {"key": {"meta": {"key": "mark"}}, "value": value}}


DROP: dict[str, Any] = {"drop": None}


def names(box: Box, hook: Hook, family: int = 4) -> list[str]:
    """Return the stages of a hook in order."""
    netns = box.build()
    topology = Topology({"n1": Host("n1", netns.inode, {netns.inode: netns})})
    return [stage.name for stage in stages_at(topology, netns, hook, family)]


def router() -> Box:
    """Make a host."""
    made = Box("n1", "n1", 1000, is_host=True)
    made.link("eth0")
    made.address("eth0", "10.0.0.254/24")
    return made


@pytest.mark.parametrize(
    ("hook", "expected"),
    [
        (Hook.PREROUTING, ["raw", "mangle", "nat"]),
        (Hook.INPUT, ["mangle", "filter", "nat"]),
        (Hook.FORWARD, ["mangle", "filter"]),
        (Hook.OUTPUT, ["raw", "mangle", "nat", "filter"]),
        (Hook.POSTROUTING, ["mangle", "nat"]),
    ],
)
def test_tables_stand_where_the_kernel_has_them(hook: Hook, expected: list[str]) -> None:
    """The order is that of enum nf_ip_hook_priorities, whatever the order of the dump."""
    made = router()
    for name in ("filter", "nat", "mangle", "raw"):
        made.iptables(filter_table(table=name))
    assert names(made, hook) == expected


def test_nft_chains_stand_between_tables() -> None:
    """A base chain's own priority puts it before, between or after iptables' tables."""
    made = router()
    made.iptables(ALL)
    made.nftables(*chain("late", 10), *chain("early", -160), *chain("between", -10, family="inet"))
    assert names(made, Hook.FORWARD) == [
        "nft ip early c",
        "mangle",
        "nft inet between c",
        "filter",
        "nft ip late c",
    ]


def test_a_family_meets_its_own_tables_only() -> None:
    """An IPv6 packet meets ip6 and inet tables, the newest first, and no table of ip."""
    made = router()
    made.iptables(ALL)
    made.nftables(*chain("four", 0), *chain("six", 0, family="ip6"), *chain("both", 0, family="inet"))
    assert names(made, Hook.FORWARD, 6) == ["nft inet both c", "nft ip6 six c"]


def test_accept_is_not_final() -> None:
    """ACCEPT in one table leaves the packet to the next: legacy accepts, nft drops."""
    made = router()
    made.iptables(filter_table("-A FORWARD -j ACCEPT"), Backend.LEGACY)
    made.nftables(*chain("t", 10, [DROP]))
    (seen,) = through(At(made), packet())
    assert seen.word == "DROP"
    assert [line.kind for line in seen.scene.evidence] == ["iptables-rule", "nft-rule"]


def test_legacy_and_nft_rules_both_count() -> None:
    """A node with both backends drops what either drops."""
    made = router()
    made.iptables(filter_table(), Backend.NFT)
    made.iptables(filter_table("-A FORWARD -j DROP"), Backend.LEGACY)
    assert says(At(made), packet()) == "hit"


def test_an_earlier_chain_marks_for_a_later_one() -> None:
    """A mark set at priority -160 is seen at 0; one set at 10 is not."""
    for priority, expected in ((-160, "hit"), (10, "miss")):
        made = router()
        made.nftables(*chain("setter", priority, [set_mark(7)]), *chain("dropper", 0, [mark_is(7), DROP]))
        assert says(At(made), packet()) == expected


def test_conntrack_stands_at_minus_200() -> None:
    """A chain before conntrack sees no state, one after it does."""
    state = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "new"}}
    for priority, expected in ((-210, "miss"), (-190, "hit")):
        made = router()
        made.nftables(*chain("t", priority, [state, DROP], hook="prerouting"))
        assert says(At(made, Hook.PREROUTING, in_dev="eth0"), packet()) == expected


def test_a_chain_after_dnat_sees_the_endpoint() -> None:
    """Priority -99 in PREROUTING comes after NAT, -101 before."""
    to_endpoint = {
        "match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": "10.1.0.9"}
    }
    for priority, expected in ((-101, "miss"), (-99, "hit")):
        made = router()
        made.iptables(filter_table("-A PREROUTING -p tcp -j DNAT --to-destination 10.1.0.9", table="nat"))
        made.nftables(*chain("t", priority, [to_endpoint, DROP], hook="prerouting"))
        assert says(At(made, Hook.PREROUTING, in_dev="eth0"), packet()) == expected


def test_the_first_nat_chain_that_binds_wins() -> None:
    """Once iptables has bound a destination, nft's nat chain is not asked."""
    made = router()
    made.iptables(filter_table("-A PREROUTING -p tcp -j DNAT --to-destination 10.1.0.9", table="nat"))
    made.nftables(*chain("t", -90, [{"dnat": {"addr": "10.1.0.8"}}], kind="nat", hook="prerouting"))
    (seen,) = through(At(made, Hook.PREROUTING, in_dev="eth0"), packet())
    assert seen.scene.packet.address(seen.scene.packet.destination) == "10.1.0.9"
