"""What redaction cannot carry over becomes undecided: never a verdict that the original would not give."""

from __future__ import annotations

import json
from typing import Any

import pytest

from skoopctl.dataplane.trace import Verdict
from skoopctl.evidence.redaction.iptables import redact_iptables
from skoopctl.evidence.redaction.nft import redact_nft
from skoopctl.evidence.redaction.words import Redactor
from tests.support.worlds import cluster, filter_table

SOURCE = {"payload": {"protocol": "ip", "field": "saddr"}}
RANGE = {"range": ["10.244.1.9", "10.244.1.70"]}
IPTABLES = [
    ("filter", "-A FORWARD -s 10.244.1.10/255.0.255.255 -j DROP"),
    ("filter", "-A FORWARD -m iprange --src-range 10.244.1.9-10.244.1.70 -j DROP"),
    ("filter", "-A FORWARD -m u32 --u32 0x8=0x0af4010a -j DROP"),
    ("filter", '-A FORWARD -m string --string "x" --algo bm -j DROP'),
    ("nat", "-A PREROUTING -p tcp -j NETMAP --to 10.244.3.0/24"),
    ("nat", "-A PREROUTING -p tcp -j DNAT --to-destination 10.244.2.9-10.244.2.70"),
]
NFT: dict[str, dict[str, Any]] = {
    "a range": {"match": {"op": "==", "left": SOURCE, "right": RANGE}},
    "a range in a set": {"match": {"op": "==", "left": SOURCE, "right": {"set": [RANGE, "10.9.9.9"]}}},
    "a mask": {"match": {"op": "==", "left": {"&": [SOURCE, "255.0.255.0"]}, "right": "10.0.1.0"}},
    "raw bytes": {
        "match": {
            "op": "==",
            "left": {"payload": {"base": "nh", "offset": 96, "len": 32}},
            "right": 183763210,
        }
    },
}


@pytest.mark.parametrize(("table", "rule"), IPTABLES)
def test_a_rule_that_cannot_be_carried_over_is_undecided(table: str, rule: str) -> None:
    """The walk past such a rule is UNKNOWN, whatever the rule would have done to the packet."""
    made = cluster()
    text = redact_iptables(filter_table(rule, table=table).encode(), Redactor(b"k" * 32)).decode()
    made.n1.iptables(text)
    found = made.walk(made.a, made.b)
    assert found.verdict is Verdict.UNKNOWN
    assert found.unknowns


@pytest.mark.parametrize("form", NFT)
def test_an_nft_statement_that_cannot_be_carried_over_is_undecided(form: str) -> None:
    """The same holds for statements of nft."""
    place = {"family": "inet", "table": "fw"}
    objects = [
        {"table": {"family": "inet", "name": "fw"}},
        {"chain": place | {"name": "f", "type": "filter", "hook": "forward", "prio": 0, "policy": "accept"}},
        {"rule": place | {"chain": "f", "handle": 1, "expr": [NFT[form], {"drop": None}]}},
    ]
    raw = json.dumps({"nftables": objects}).encode()
    made = cluster()
    made.n1.nftables(*json.loads(redact_nft(raw, Redactor(b"k" * 32)))["nftables"])
    assert made.walk(made.a, made.b).verdict is Verdict.UNKNOWN
