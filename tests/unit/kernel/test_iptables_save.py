"""The reader of ``iptables-save -c``."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.kernel.iptables import Backend, Match, Option, Rule, Target
from skoopctl.kernel.iptables_save import IptablesDump, decode_iptables_save
from tests.support.as_json import expect
from tests.support.recorded import RECORDINGS

CASES = Path(__file__).parent / "cases" / "iptables_save"
DUMPS = sorted(
    [*RECORDINGS.glob("*/nodes/*/ip*tables-save.txt"), *RECORDINGS.parent.glob("calico/*iptables*")]
)


def read(text: str) -> IptablesDump:
    """Decode as IPv4 of the nft backend."""
    return decode_iptables_save(text, family=4, backend=Backend.NFT)


def one_rule(line: str) -> Rule:
    """Return the only rule of a dump with this line."""
    (table,) = read(f"*filter\n:INPUT ACCEPT [0:0]\n{line}\nCOMMIT\n").tables
    (rule,) = table.chains["INPUT"].rules
    return rule


@pytest.mark.parametrize("path", sorted(CASES.glob("*.txt")), ids=lambda p: p.stem)
def test_case(path: Path) -> None:
    """A dump gives the tables in the file beside it."""
    expect(path, read(path.read_text()))


@pytest.mark.parametrize("path", DUMPS, ids=lambda p: "/".join(p.parts[-4:]))
def test_recorded_dumps_are_read_whole(path: Path) -> None:
    """Every rule that real tools wrote is understood, and none is lost."""
    text = path.read_text()
    dump = read(text)
    rules = [r for t in dump.tables for c in t.chains.values() for r in c.rules]
    assert dump.problems == ()
    assert [r for r in rules if r.problem] == []
    assert len(rules) == sum(1 for line in text.splitlines() if "-A " in line[:40])


def test_counters_policy_and_numbers() -> None:
    """Counters, policies and rule numbers are those of the dump."""
    (table,) = read(
        "*filter\n:INPUT DROP [1:2]\n:X - [0:0]\n[3:4] -A INPUT -j X\n-A INPUT -j X\n[5:6] -A X\nCOMMIT\n"
    ).tables
    first, second = table.chains["INPUT"].rules
    assert (first.number, first.packets, first.octets) == (1, 3, 4)
    assert (second.number, second.packets) == (2, None)
    assert table.chains["INPUT"].policy == "DROP"
    assert table.chains["X"].policy is None
    assert table.chains["X"].rules[0].target is None
    assert first.text == "-A INPUT -j X"


def test_quoted_words_are_never_options() -> None:
    """A comment that looks like a verdict stays a comment."""
    rule = one_rule('-A INPUT -m comment --comment "-j ACCEPT" -j DROP')
    assert rule.matches == (Match("comment", (Option("comment", ("-j ACCEPT",)),)),)
    assert rule.target == Target("DROP")


def test_a_cut_dump_says_so() -> None:
    """A dump without COMMIT keeps its rules, marks the last one, and names the table."""
    dump = read("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j DROP\n-A INPUT -s 10.0.0.1 -j ACC")
    (table,) = dump.tables
    whole, cut = table.chains["INPUT"].rules
    assert not whole.problem
    assert "cut" in cut.problem
    assert "COMMIT" in table.problem
    assert dump.problems == (table.problem,)


def test_a_bad_rule_stays_its_own_problem() -> None:
    """A rule that cannot be read leaves its neighbours and its table without a problem."""
    (table,) = read(
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j DROP\n-A INPUT oops\n-A INPUT -j ACCEPT\nCOMMIT\n"
    ).tables
    assert [bool(r.problem) for r in table.chains["INPUT"].rules] == [False, True, False]
    assert table.problem == ""


WORDS = st.text(st.characters(exclude_characters="\0\n", exclude_categories=["Cs", "Zs", "Cc"]), min_size=1)


@given(st.lists(WORDS, min_size=1, max_size=3))
def test_comments_come_back_as_they_were(comments: list[str]) -> None:
    """Quoting as libxtables does and reading give the same comments, whatever they hold."""
    quoted = [c.replace("\\", "\\\\").replace('"', '\\"').replace("'", "\\'") for c in comments]
    rule = one_rule("-A INPUT " + " ".join(f'-m comment --comment "{q}"' for q in quoted) + " -j ACCEPT")
    assert not rule.problem
    assert [m.options[0].values[0] for m in rule.matches] == comments
    assert rule.target == Target("ACCEPT")


PIECES = st.sampled_from(
    [
        "-A",
        "INPUT",
        "-s",
        "!",
        "-m",
        "comment",
        "--comment",
        '"',
        "\\",
        "-j",
        "DROP",
        "\n",
        "*x",
        "COMMIT",
        " ",
        ":a",
        "[0:0]",
    ]
)


@given(st.one_of(st.text(), st.lists(PIECES).map(" ".join), st.lists(PIECES).map("".join)))
def test_garbage_never_raises(text: str) -> None:
    """Whatever a node sends becomes a result."""
    assert isinstance(read("*filter\n:INPUT ACCEPT [0:0]\n" + text), IptablesDump)


def test_eighty_thousand_rules() -> None:
    """Ten thousand services' rules are all read; ``make bench`` says in what time."""
    lines = ["*nat", ":KUBE-SERVICES - [0:0]"]
    for i in range(10_000):
        ip, chain, name = f"10.{i // 250}.{i % 250}.7", f"{i:016X}", f"ns{i % 40}/svc-{i}:http"
        lines.append(
            f'[0:0] -A KUBE-SERVICES -d {ip}/32 -p tcp -m comment --comment "{name} cluster IP" '
            f"-m tcp --dport 80 -j KUBE-SVC-{chain}"
        )
        lines.append(f"[0:0] -A KUBE-SVC-{chain} ! -s 10.244.0.0/16 -d {ip}/32 -p tcp -j KUBE-MARK-MASQ")
        for k in range(2):
            sep = f"KUBE-SEP-{chain}{k}"
            comment = f'-m comment --comment "{name}"'
            half = "-m statistic --mode random --probability 0.50000000000"
            lines += [
                f"[0:0] -A KUBE-SVC-{chain} {comment} {half} -j {sep}",
                f"[0:0] -A {sep} -s {ip}/32 {comment} -j KUBE-MARK-MASQ",
                f"[0:0] -A {sep} -p tcp {comment} -m tcp -j DNAT --to-destination {ip}:8080",
            ]
    text = "\n".join([*lines, "COMMIT", ""])
    (table,) = read(text).tables
    assert sum(len(c.rules) for c in table.chains.values()) == 80_000
