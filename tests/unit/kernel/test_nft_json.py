"""The reader of ``nft -j -a list ruleset``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.kernel import nft
from skoopctl.kernel.iptables import Backend, Table
from skoopctl.kernel.iptables_save import decode_iptables_save
from skoopctl.kernel.nft_expression import decode_expression
from skoopctl.kernel.nft_json import NftDump, decode_nft_json, only_foreign_chains, shown_by_iptables
from skoopctl.kernel.nft_statement import decode_statement
from tests.support.as_json import expect
from tests.support.recorded import RECORDINGS

CASES = Path(__file__).parent / "cases" / "nft_json"
KUBE_PROXY = sorted((RECORDINGS / "nftables" / "nodes").glob("*/nft.json"))


def rules_of(dump: NftDump) -> list[nft.NftRule]:
    """Return every rule of a dump."""
    return [r for t in dump.tables for c in t.chains.values() for r in c.rules]


@pytest.mark.parametrize("path", sorted(CASES.glob("*.raw")), ids=lambda p: p.stem)
def test_case(path: Path) -> None:
    """A ruleset gives the tables in the file beside it."""
    expect(path, decode_nft_json(path.read_bytes()))


@pytest.mark.parametrize("path", KUBE_PROXY, ids=lambda p: p.parent.name)
def test_kube_proxy_rules_are_known_and_read_like_nft(path: Path) -> None:
    """Nothing in kube-proxy's own tables is unknown, and rules read as nft prints them.

    But for one thing: nft 1.0.6 leaves ``addr . port`` out of what it prints.
    """
    shown = {" ".join(line.split()) for line in path.with_suffix(".txt").read_text().splitlines()}
    dump = decode_nft_json(path.read_bytes())
    rules = [r for r in rules_of(dump) if r.table == "kube-proxy"]
    assert dump.problems == ()
    assert len(rules) > 50
    assert not any("Unknown" in repr(r.statements) for r in rules)
    updates = [r for r in rules if any(isinstance(s, nft.SetUpdateStatement) for s in r.statements)]
    unlike = [r.text for r in rules if r not in updates and r.text.replace(" addr . port", "") not in shown]
    assert unlike == []


def test_tables_that_iptables_shows_are_left_out() -> None:
    """iptables-nft's tables are taken from iptables-save, unless that calls them incompatible."""
    raw = (RECORDINGS / "nftables/nodes/node1-c4/nft.json").read_bytes()
    shown = [Table(4, Backend.NFT, "nat", {}), Table(4, Backend.NFT, "filter", {}, incompatible=True)]
    names = {(t.family, t.name) for t in decode_nft_json(raw, leave_out=shown_by_iptables(shown)).tables}
    assert ("ip", "nat") not in names
    assert {("ip", "filter"), ("ip6", "nat"), ("ip", "kube-proxy")} <= names


def test_xt_is_unknown_and_named() -> None:
    """A half-translated iptables match may match anything, and says which one it is."""
    found = decode_statement({"xt": {"type": "match", "name": "nfacct"}})
    assert found == nft.UnknownStatement("xt match nfacct", '{"xt": {"type": "match", "name": "nfacct"}}')


def test_address_and_port_are_told_from_the_map() -> None:
    """The JSON of ``dnat addr . port`` does not say so: the data of its map does."""
    key = {"payload": {"protocol": "tcp", "field": "dport"}}
    body = {"family": "ip", "table": "t", "name": "m", "type": "inet_service"}
    rule = {"family": "ip", "table": "t", "chain": "c", "handle": 1}

    def nat(data: str) -> nft.NatStatement:
        dnat = {"dnat": {"addr": {"map": {"key": key, "data": "@m"}}}}
        objects = [{"rule": {**rule, "expr": [dnat]}}, {"map": {**body, "map": data}}]
        (found,) = rules_of(decode_nft_json(json.dumps({"nftables": objects})))
        statement = found.statements[0]
        assert isinstance(statement, nft.NatStatement)
        return statement

    assert nat("ipv4_addr . inet_service").address_and_port
    assert not nat("ipv4_addr").address_and_port


def test_wrapped_elements_lose_only_their_wrapping() -> None:
    """Timeouts and comments of an element do not hide its key."""
    wrapped = {"elem": {"val": {"concat": ["10.0.0.1", "tcp", 80]}, "expires": 5, "comment": "x"}}
    assert decode_expression(wrapped) == nft.Concat(
        (nft.Literal("10.0.0.1"), nft.Literal("tcp"), nft.Literal(80))
    )


def test_a_malformed_rule_may_do_anything() -> None:
    """A rule without expressions stays in its chain as an unknown statement."""
    rule = {"rule": {"family": "ip", "table": "t", "chain": "c", "handle": 3}}
    (found,) = rules_of(decode_nft_json(json.dumps({"nftables": [rule]})))
    assert isinstance(found.statements[0], nft.UnknownStatement)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"nftables": 5}', b"\xff", b"[" * 100_000])
def test_what_is_not_a_ruleset_is_a_problem(raw: bytes) -> None:
    """Output that is no ruleset gives no tables and says why."""
    dump = decode_nft_json(raw)
    assert dump.tables == ()
    assert dump.problems != ()


def test_a_nested_expression_has_a_floor() -> None:
    """An expression nested without end is unknown, not a crash."""
    value: Any = "x"
    for _ in range(500):
        value = {"elem": {"val": value}}
    assert "Unknown" in repr(decode_expression(value))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
RULESET = json.loads((CASES / "everything.raw").read_text())["nftables"]


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, Any]:
    """Return a real ruleset with one value replaced by anything."""
    entry = json.loads(json.dumps(draw(st.sampled_from(RULESET))))
    holder: Any = {"root": entry}
    key: Any = "root"
    while draw(st.booleans()) and isinstance(holder[key], dict | list) and holder[key]:
        holder = holder[key]
        key = draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
    holder[key] = draw(JSON)
    return {"nftables": [entry, *RULESET[:12]]}


@given(st.one_of(damaged(), JSON))
def test_garbage_never_raises(document: Any) -> None:
    """Whatever a node sends becomes a result."""
    assert isinstance(decode_nft_json(json.dumps(document)), NftDump)


def test_rendered_text_matches_nft_for_most() -> None:
    """Of the everything-at-once ruleset, what the model knows reads as nft itself prints it."""
    known = [
        r for r in rules_of(decode_nft_json((CASES / "everything.raw").read_bytes())) if "(" not in r.text
    ]
    assert any(re.fullmatch(r"ct state established,related accept", r.text) for r in known)
    assert any(r.text == "meta mark set meta mark & 0x000000ff ^ 0x00000010" for r in known)
    assert any(r.text == "fib saddr . iif oif missing drop" for r in known)
    assert any(r.text == "ip saddr @s1 reject with icmp host-unreachable" for r in known)


def test_foreign_base_chains_are_read_from_nft() -> None:
    """A base chain that iptables-save mentions and does not show is taken from nft; the others are not."""
    save = (
        "# Table `filter' contains incompatible base-chains, use 'nft' tool to list them.\n"
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 10.0.0.1/32 -j DROP\nCOMMIT\n"
    )
    tables = decode_iptables_save(save, family=4, backend=Backend.NFT).tables
    chains = [
        {"chain": {"family": "ip", "table": "filter", "name": name, "hook": "input", "prio": priority}}
        for name, priority in (("INPUT", 0), ("extra", 10))
    ]
    raw = json.dumps({"nftables": [{"table": {"family": "ip", "name": "filter"}}, *chains]})
    found = only_foreign_chains(decode_nft_json(raw, leave_out=shown_by_iptables(tables)), tables)
    assert [table.foreign_chains for table in tables] == [True]
    assert [list(table.chains) for table in found.tables] == [["extra"]]
