"""Each kind of evidence after redaction: as long, as well formed, and read as the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skoopctl.evidence.api import KINDS as API_KINDS
from skoopctl.evidence.item import Item, ItemStatus
from skoopctl.evidence.redaction.iptables import redact_iptables
from skoopctl.evidence.redaction.items import LEFT_OUT, REWRITERS, redact_item
from skoopctl.evidence.redaction.nft import redact_nft
from skoopctl.evidence.redaction.objects import KINDS, redact_objects
from skoopctl.evidence.redaction.proc import service_line, socket_line, sysctl_line
from skoopctl.evidence.redaction.rtnetlink import redact_rtnetlink
from skoopctl.evidence.redaction.words import Redactor
from skoopctl.evidence.request import HOST_ITEMS, NETNS_ITEMS
from skoopctl.kernel import netlink
from skoopctl.kernel.iptables import Backend
from skoopctl.kernel.iptables_save import decode_iptables_save
from skoopctl.kernel.nft_json import decode_nft_json

CASES = Path(__file__).parents[2] / "kernel" / "cases"
FIXTURES = Path(__file__).parents[3] / "fixtures"
RULES = sorted((FIXTURES / "kube-proxy-1.36").glob("*/nodes/*/ip*tables-save.txt"))
RULESETS = sorted((FIXTURES / "kube-proxy-1.36").glob("*/nodes/*/nft.json"))


@pytest.fixture
def redactor() -> Redactor:
    """Return a redactor with a fixed key."""
    return Redactor(b"k" * 32)


def test_every_item_has_a_row() -> None:
    """A new item of evidence needs a rewriter: without one it would be missing from redacted bundles."""
    assert set(REWRITERS) == set(HOST_ITEMS + NETNS_ITEMS)


def test_every_kind_of_object_has_a_row() -> None:
    """A new kind of Kubernetes object needs its table of fields."""
    assert set(KINDS) == set(API_KINDS)


def test_an_item_without_a_row_is_left_out(redactor: Redactor) -> None:
    """What nobody can redact is absent and says so; its bytes are never copied."""
    item = Item(1, "new-thing", ItemStatus.OK, b"10.244.3.70 shop/cart")
    new = redact_item(item, redactor)
    assert (new.status, new.payload) == (ItemStatus.ABSENT, b"")
    assert new.detail == f"{LEFT_OUT}this skoopctl cannot redact the item new-thing"


@given(st.sampled_from(sorted(REWRITERS)), st.binary(max_size=120))
@settings(max_examples=300)
def test_garbage_is_left_out_or_rewritten(name: str, payload: bytes) -> None:
    """Whatever a node sent, redaction ends: with other bytes, or with an item that says that it is left out."""
    new = redact_item(Item(1, name, ItemStatus.OK, payload), Redactor(b"k" * 32))
    assert new.status is ItemStatus.OK or new.detail.startswith(LEFT_OUT)


DECODERS = {
    "addr": netlink.decode_addresses,
    "fdb": netlink.decode_fdb,
    "link": netlink.decode_links,
    "neigh": netlink.decode_neighbours,
    "nexthop": netlink.decode_nexthops,
    "qdisc": netlink.decode_tc_devices,
    "route": netlink.decode_routes,
    "rule": netlink.decode_rules,
    "conntrack": netlink.decode_conntrack,
}


@pytest.mark.parametrize("name", sorted(DECODERS))
def test_netlink_dumps_are_read_as_the_same(name: str, redactor: Redactor) -> None:
    """A redacted dump has as many entries, each the same but for addresses and names."""
    found = sorted((CASES / "netlink").glob(f"{name}*.bin"))
    assert found
    for path in found:
        raw = path.read_bytes()
        before, after = (DECODERS[name](dump) for dump in (raw, REWRITERS[name](raw, redactor)))
        assert after.problem == before.problem
        assert [_shape(str(each)) for each in after.entries] == [_shape(str(each)) for each in before.entries]


def _shape(text: str) -> str:
    """Blank whatever may be an address or a name in an entry's repr."""
    text = re.sub(r"'[^']*'", "''", text)
    return re.sub(r"IPv[46](Address|Network)\(''\)|(local|remote)=[0-9]+", "", text)


@pytest.mark.parametrize("path", RULES, ids=lambda path: "-".join(path.parts[-4:]))
def test_iptables_rules_are_read_as_the_same(path: Path, redactor: Redactor) -> None:
    """Redacted rules have the same chains in number and order, and the same matches and targets."""
    raw = path.read_bytes()
    family = 6 if path.name.startswith("ip6") else 4
    before, after = (
        decode_iptables_save(text.decode(), family=family, backend=Backend.NFT)
        for text in (raw, redact_iptables(raw, redactor))
    )
    assert after.problems == before.problems
    for one, other in zip(before.tables, after.tables, strict=True):
        assert one.name == other.name
        for chain, redacted in zip(one.chains.values(), other.chains.values(), strict=True):
            assert [_form(rule) for rule in redacted.rules] == [_form(rule) for rule in chain.rules]


def _form(rule: object) -> list[tuple[str, tuple[str, ...]]]:
    matches = getattr(rule, "matches", ())
    return [(match.module, tuple(option.name for option in match.options)) for match in matches]


@pytest.mark.parametrize("path", RULESETS, ids=lambda path: "-".join(path.parts[-4:]))
def test_nft_rules_are_read_as_the_same(path: Path, redactor: Redactor) -> None:
    """A redacted ruleset has the same statements, and sets with as many elements."""
    raw = path.read_bytes()
    before, after = decode_nft_json(raw), decode_nft_json(redact_nft(raw, redactor))
    assert after.problems == before.problems
    for one, other in zip(before.tables, after.tables, strict=True):
        assert [len(each.elements) for each in one.sets.values()] == [
            len(e.elements) for e in other.sets.values()
        ]
        for chain, redacted in zip(one.chains.values(), other.chains.values(), strict=True):
            kinds = [[type(s).__name__ for s in rule.statements] for rule in chain.rules]
            assert [[type(s).__name__ for s in rule.statements] for rule in redacted.rules] == kinds


RULE_LINES = {
    '-A FORWARD -i acme+ -m string --string "secret" --algo bm -j ACME-IN': ("acme", "secret", "ACME"),
    '-A INPUT -m comment --comment "ticket 4711 for Jane at shop-prod" -j LOG --log-prefix "shop: "': (
        "Jane",
        "shop",
    ),
    "-A INPUT -m u32 --u32 0x0>>0x1a=0x0af40346 -j DROP": ("0af40346",),
    "-A PREROUTING -m set --match-set acme-nets src -j MARK --set-xmark 0x4000/0x4000": ("acme",),
    "-A INPUT -s 10.244.3.70/255.0.255.0 -j DROP": ("10.244.3.70",),
    "-A INPUT -m iprange --src-range 10.1.2.3-10.1.2.77 -j DROP": ("10.1.2",),
    "-A INPUT -m mac --mac-source 0A:58:0A:F4:03:46 -j DROP": ("58:0A:F4",),
    "-A INPUT -d fd00:10:244::5/128 -j DROP": ("fd00:10:244",),
}


@pytest.mark.parametrize("line", RULE_LINES)
def test_nothing_of_somebodys_is_left_in_a_rule(line: str, redactor: Redactor) -> None:
    """Names, patterns, comments and addresses in every form are gone from a rule."""
    new = redact_iptables(line.encode(), redactor).decode()
    assert [secret for secret in RULE_LINES[line] if secret in new] == []


def test_a_range_is_kept_where_the_permutation_was_fitted_to_it(redactor: Redactor) -> None:
    """A range that was pinned becomes a range of as many addresses; one that was not becomes undecidable."""
    line = b"-A INPUT -m iprange --src-range 10.1.2.3-10.1.2.77 -j DROP"
    assert b"--src-range redacted" in redact_iptables(line, redactor)
    fitted = Redactor(b"k" * 32)
    fitted.pin(redactor.ranges, ())
    new = redact_iptables(line, fitted).decode()
    found = re.search(r"--src-range (10\.[0-9]+\.[0-9]+\.)3-\1(77) ", new)
    assert found, new


def test_policy_rules_keep_what_nobody_understands(redactor: Redactor) -> None:
    """An attribute of a policy rule that is not known stays, as zeros: the rule goes on being uncertain."""
    body = bytes([2, 0, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0]) + b"\x08\0\x63\0SECR"
    raw = (16 + len(body)).to_bytes(4, "little") + b"\x20\0\x02\0" + bytes(8) + body
    new = redact_rtnetlink(raw, redactor)
    assert b"SECR" not in new
    assert netlink.decode_rules(new).entries[0].undecoded == ("attribute 99",)


def test_hexadecimal_addresses_are_replaced_as_written(redactor: Redactor) -> None:
    """An address in /proc is replaced by what replaces it elsewhere, in the byte order of its file."""
    new = redactor.packed(bytes([10, 244, 3, 70]))
    line = (
        "   0: 4603F40A:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4672347 1"
    )
    assert socket_line(line, redactor) == line.replace("4603F40A", new[::-1].hex().upper())
    service = "TCP  0AF40346:0050 rr"
    assert service_line(service, redactor) == service.replace("0AF40346", new.hex().upper())


def test_sysctls_lose_names_and_secrets(redactor: Redactor) -> None:
    """The device in a sysctl's path is replaced, and the secret of stable addresses is gone."""
    assert sysctl_line("net/ipv4/conf/eth0/rp_filter=1", redactor) == "net/ipv4/conf/eth0/rp_filter=1"
    assert "acme" not in sysctl_line("net/ipv4/conf/acme0/rp_filter=1", redactor)
    assert sysctl_line("net/ipv6/conf/all/stable_secret=2001:db8::1", redactor).endswith("stable_secret=")


def test_fields_of_objects_without_a_row_are_left_out(redactor: Redactor) -> None:
    """Annotations, owners, images and whatever is new in an object are not in a redacted list."""
    raw = b"""{"items": [{"metadata": {"name": "cart-1", "namespace": "shop", "annotations": {"a": "SECRET"}},
      "spec": {"nodeName": "n", "containers": [{"name": "main", "image": "SECRET/x"}], "newField": "SECRET"},
      "status": {"podIP": "10.244.3.70", "message": "SECRET"}}]}"""
    new = redact_objects("pods", raw, redactor)
    assert b"SECRET" not in new
    assert b"cart-1" not in new
    assert b'"podIP":"10.' in new


def test_labels_keep_what_kubernetes_calls_them(redactor: Redactor) -> None:
    """Keys of Kubernetes stay, keys and values that people chose are replaced, a role of a node among them."""
    labels = {
        "kubernetes.io/hostname": "rack7-node3",
        "node-role.kubernetes.io/acme-db": "",
        "acme.example/team": "payments",
        "app": "cart",
    }
    raw = json.dumps({"items": [{"metadata": {"name": "n", "labels": labels}}]}).encode()
    (item,) = json.loads(redact_objects("nodes", raw, redactor))["items"]
    new = item["metadata"]["labels"]
    hostname, role, *_ = new
    assert hostname == "kubernetes.io/hostname"
    assert role.startswith("node-role.kubernetes.io/")
    assert new["app"] == redactor.names.name("cart")
    assert [word for word in ("rack7", "acme", "payments", "cart") if word in json.dumps(new)] == []
