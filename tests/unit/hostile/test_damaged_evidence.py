"""Nodes are untrusted input: whatever an item holds, a diagnosis comes out and says what was unreadable."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skoopctl.checks.diagnose import Question, diagnose
from skoopctl.checks.diagnosis import Diagnosis
from skoopctl.checks.load import snapshot_of
from skoopctl.dataplane.trace import Outcome, Verdict
from skoopctl.errors import SkoopError
from skoopctl.evidence import Bundle, Item, ItemStatus, read_bundle
from skoopctl.recorded import recorded_bundle

SOURCE, DESTINATION, PORT = "10.244.3.70", "10.244.2.201", 8080
QUESTION = Question(SOURCE, DESTINATION, port=PORT)
SERVER = "node1-c4"
MEGABYTE = 1 << 20


@cache
def healthy() -> Bundle:
    """Return the recorded bundle in which the flow passes."""
    return read_bundle(recorded_bundle("healthy"))


def keys() -> list[tuple[str, int, str]]:
    """Return host, namespace and name of every item that has a payload."""
    return [
        (host, netns, name)
        for host, record in healthy().results.items()
        for (netns, name), item in record.evidence.items.items()
        if item.payload
    ]


def with_item(host: str, item: Item) -> Bundle:
    """Return the healthy bundle with one item of a host replaced."""
    bundle = healthy()
    record = bundle.results[host]
    items = {**record.evidence.items, (item.netns, item.name): item}
    changed = replace(record, evidence=replace(record.evidence, items=items))
    return replace(bundle, results={**bundle.results, host: changed})


def ask(bundle: Bundle) -> Diagnosis | SkoopError:
    """Diagnose the flow; an error that names what is wrong with the question is an answer too."""
    try:
        return diagnose(QUESTION, snapshot_of(bundle))
    except SkoopError as error:
        return error


def damaged(payload: bytes, seed: int) -> Iterator[bytes]:
    """Yield what may become of a payload on a bad day."""
    chance = random.Random(seed)
    half = len(payload) // 2
    yield payload[:half]
    yield payload[: len(payload) - 1]
    yield payload[half:]
    yield payload + payload
    yield b""
    yield bytes(chance.randrange(256) for _ in range(len(payload)))
    flipped = bytearray(payload)
    for _ in range(1 + len(payload) // 50):
        flipped[chance.randrange(len(flipped))] = chance.randrange(256)
    yield bytes(flipped)
    lines = payload.split(b"\n")
    chance.shuffle(lines)
    yield b"\n".join(lines)


@pytest.mark.parametrize("name", sorted({name for _, _, name in keys()}))
def test_no_item_can_break_a_diagnosis(name: str) -> None:
    """Cut, doubled, shuffled, random and flipped payloads of every item of the server's node give an answer."""
    places = [(host, netns) for host, netns, found in keys() if found == name and host == SERVER]
    for host, netns in places[:2]:  # the node's own namespace and the first pod's
        item = healthy().results[host].evidence.items[netns, name]
        for payload in damaged(item.payload, netns):
            answer = ask(with_item(host, replace(item, payload=payload)))
            assert isinstance(answer, Diagnosis | SkoopError)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_random_bytes_anywhere(data: st.DataObject) -> None:
    """Any bytes in the place of any item give an answer."""
    host, netns, name = data.draw(st.sampled_from(keys()))
    item = healthy().results[host].evidence.items[netns, name]
    place = data.draw(st.integers(0, len(item.payload)))
    payload = item.payload[:place] + data.draw(st.binary(max_size=60)) + item.payload[place:]
    assert isinstance(ask(with_item(host, replace(item, payload=payload))), Diagnosis | SkoopError)


@pytest.mark.parametrize("status", [s for s in ItemStatus if s is not ItemStatus.OK])
@pytest.mark.parametrize("name", ["route", "iptables-nft", "link", "sysctl", "neigh", "fdb", "rule"])
def test_what_was_not_read_is_said(name: str, status: ItemStatus) -> None:
    """An item of the server's node that was not read is never taken for empty: the answer names it."""
    record = healthy().results[SERVER]
    root = record.evidence.namespaces()[0]
    item = Item(root, name, status, detail="unreadable: a test took it away")
    answer = ask(with_item(SERVER, item))
    assert isinstance(answer, Diagnosis)
    said = [*answer.path.unknowns, *(f.summary for f in answer.findings)]
    assert any(name in text or "could not be read" in text for text in said), said


@pytest.mark.parametrize("name", ["iptables-nft", "route", "link", "namespaces", "sysctl", "identity"])
def test_a_megabyte_of_garbage(name: str) -> None:
    """A megabyte of random bytes is one gap, in a bounded time."""
    garbage = random.Random(7).randbytes(MEGABYTE)
    record = healthy().results[SERVER]
    netns = next(n for n, found in record.evidence.items if found == name)
    answer = ask(with_item(SERVER, Item(netns, name, ItemStatus.OK, garbage)))
    assert isinstance(answer, Diagnosis)
    told = [gap for host in answer.coverage.hosts for gap in host.gaps]
    assert any(gap.startswith(f"{name}: malformed") for gap in told), told


def test_a_garbled_rule_set_is_given_up_early() -> None:
    """With many rules that cannot be read, the answer comes after few of the ways through them, and says so."""
    root = healthy().results[SERVER].evidence.namespaces()[0]
    item = healthy().results[SERVER].evidence.items[root, "iptables-nft"]
    chance = random.Random(0)
    flipped = bytearray(item.payload)
    for _ in range(len(flipped) // 50):
        flipped[chance.randrange(len(flipped))] = chance.randrange(256)
    answer = ask(with_item(SERVER, replace(item, payload=bytes(flipped))))
    assert isinstance(answer, Diagnosis)
    assert answer.path.verdict is Verdict.UNKNOWN
    assert answer.path.unknowns[-1] == "more than 64 ways through the rules: not all were walked"


RULES = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:A - [0:0]
:B - [0:0]
{rules}
COMMIT
"""


def with_rules(*rules: str) -> Diagnosis:
    """Diagnose the flow with these filter rules alone on the server's node."""
    record = healthy().results[SERVER]
    root = record.evidence.namespaces()[0]
    text = RULES.format(rules="\n".join(f"[0:0] {rule}" for rule in rules))
    answer = ask(with_item(SERVER, Item(root, "iptables-nft", ItemStatus.OK, text.encode())))
    assert isinstance(answer, Diagnosis)
    return answer


def test_a_loop_of_chains_ends() -> None:
    """Chains that call each other, which no kernel holds, end as unknown."""
    found = with_rules("-A FORWARD -j A", "-A A -j B", "-A B -j A")
    assert found.path.verdict is Verdict.UNKNOWN
    assert any("calls itself" in reason for reason in found.path.unknowns)


def test_a_chain_that_is_not_there_is_unknown() -> None:
    """A jump to nowhere decides nothing, and only its own rule is in doubt."""
    found = with_rules("-A FORWARD -p udp -j MISSING", "-A FORWARD -p tcp -j ACCEPT")
    assert found.path.verdict is Verdict.PASS
    found = with_rules("-A FORWARD -p tcp -j MISSING")
    assert found.path.verdict is Verdict.UNKNOWN
    assert any("MISSING" in reason for reason in found.path.unknowns)


def test_a_missing_set_is_unknown_for_its_rule_alone() -> None:
    """A rule that names a set which is not in the dump is undecided; the rules around it are decided."""
    found = with_rules("-A FORWARD -m set --match-set gone src -j DROP")
    assert found.path.verdict is Verdict.UNKNOWN
    assert any("set" in reason for reason in found.path.unknowns)
    found = with_rules("-A FORWARD -m set --match-set gone src -j ACCEPT", "-A FORWARD -p tcp -j DROP")
    assert found.path.verdict is Verdict.UNKNOWN
    found = with_rules("-A FORWARD -p udp -m set --match-set gone src -j DROP")
    assert found.path.verdict is Verdict.PASS


def test_a_rule_that_cannot_be_read_does_not_widen() -> None:
    """Garbage within one rule makes that rule unknown and no other."""
    found = with_rules("-A FORWARD -p tcp --dport 1:2:3 --what 7 -j DROP")
    assert found.path.verdict is Verdict.UNKNOWN
    found = with_rules("-A FORWARD -p udp --what 7 -j DROP", "-A FORWARD -p tcp --dport 8080 -j DROP")
    assert found.path.verdict is Verdict.FAIL


def test_a_rule_cut_before_its_target_may_do_anything() -> None:
    """Where the rest of a rule is missing or stray, what it does is unknown too; it is not nothing."""
    for rule in ("-A FORWARD -p tcp stray words", "-A FORWARD -m bpf --bytecode '1,6 0 0 1' -j DROP"):
        found = with_rules(rule)
        assert found.path.verdict is Verdict.UNKNOWN
        assert {branch.outcome for branch in found.path.branches} == {Outcome.CONNECTED, Outcome.TIMEOUT}


def test_marks_are_unsigned() -> None:
    """Bit 31 of a mark is a bit like the others."""
    mark = "-A FORWARD -j MARK --set-xmark 0x80000000/0xffff0000"
    found = with_rules(mark, "-A FORWARD -m mark --mark 0x80000000/0x80000000 -j DROP")
    assert found.path.verdict is Verdict.FAIL
    found = with_rules(mark, "-A FORWARD -m mark ! --mark 0x80000000/0xffff0000 -j DROP")
    assert found.path.verdict is Verdict.PASS


def test_ten_thousand_rules_in_one_chain() -> None:
    """A chain of ten thousand rules that do not match is walked to the one that does."""
    rules = [f"-A FORWARD -s 10.9.{n >> 8}.{n & 255}/32 -p tcp -j ACCEPT" for n in range(10_000)]
    found = with_rules(*rules, "-A FORWARD -p tcp -j DROP")
    assert found.path.verdict is Verdict.FAIL
    cause = next(f for f in found.findings if f.cause)
    assert "10001" in cause.summary
