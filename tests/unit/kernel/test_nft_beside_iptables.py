"""A table is read once: from iptables-save where that shows it, else from nft, with what nft cannot show unknown."""

from __future__ import annotations

import json
from typing import Any

from skoopctl.evidence.item import HOST_WIDE, HostEvidence, Item, ItemStatus
from skoopctl.kernel.build import build_host
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.nft import UnknownStatement

INODE = 4026531840
INCOMPATIBLE = "# Table `filter' is incompatible, use 'nft' tool.\n"
SHOWN = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n-A INPUT -m nfacct --nfacct-name x -j DROP\nCOMMIT\n"
PLACE = {"family": "ip", "table": "filter"}
NFT: list[dict[str, Any]] = [
    {"table": {"family": "ip", "name": "filter", "handle": 1}},
    {
        "chain": PLACE
        | {"name": "INPUT", "handle": 1, "type": "filter", "hook": "input", "prio": 0, "policy": "accept"}
    },
    {
        "rule": PLACE
        | {
            "chain": "INPUT",
            "handle": 2,
            "expr": [{"xt": {"type": "match", "name": "nfacct"}}, {"drop": None}],
        }
    },
]
NATIVE = {
    "rule": PLACE
    | {
        "chain": "INPUT",
        "handle": 3,
        "expr": [
            {"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 7}},
            {"drop": None},
        ],
    }
}


def built(save: str, *objects: dict[str, Any]) -> NetNamespace:
    """Return the namespace that two dumps make."""
    identity = json.dumps({"root_netns": INODE, "hostname": "n1"}).encode()
    items = [
        Item(HOST_WIDE, "identity", ItemStatus.OK, identity),
        Item(INODE, "iptables-nft", ItemStatus.OK, save.encode()),
        Item(INODE, "nft", ItemStatus.OK, json.dumps({"nftables": [*NFT, *objects]}).encode()),
    ]
    evidence = HostEvidence("n1", {(item.netns, item.name): item for item in items}, complete=True)
    return build_host(evidence).root_netns


def test_a_table_that_iptables_shows_is_iptables() -> None:
    """Its rules have arguments there, and nft's half of them is not walked as well."""
    netns = built(SHOWN)
    assert [table.name for table in netns.iptables] == ["filter"]
    assert netns.nft == ()
    assert netns.nft_counts == {("ip", "filter"): {"INPUT": 1}}


def test_an_incompatible_table_is_nfts() -> None:
    """Native rules in it are decided, rules of iptables are unknown, and none is dropped."""
    netns = built(INCOMPATIBLE, NATIVE)
    (table,) = netns.nft
    xt, native = table.chains["INPUT"].rules
    assert isinstance(xt.statements[0], UnknownStatement)
    assert xt.statements[0].reason == "xt match nfacct"
    assert not any(isinstance(statement, UnknownStatement) for statement in native.statements)
    assert [(t.name, t.incompatible, len(t.chains)) for t in netns.iptables] == [("filter", True, 0)]


def test_rules_are_counted_by_both() -> None:
    """A rule that came between the two dumps shows in nft's count."""
    netns = built(SHOWN, NATIVE)
    assert netns.nft_counts == {("ip", "filter"): {"INPUT": 2}}
    assert len(netns.iptables[0].chains["INPUT"].rules) == 1
