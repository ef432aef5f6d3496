"""The reader beside the real ``iptables`` of this machine, in both backends."""

from __future__ import annotations

import subprocess

import pytest

from skoopctl.kernel.iptables import Backend, Rule
from skoopctl.kernel.iptables_save import decode_iptables_save
from tests.support.kernel_dump import namespaces

pytestmark = pytest.mark.lab

NAMESPACE = "skt-iptables"
COMMENTS = [
    "plain",
    "two words",
    'a "quote"',
    "back\\slash",
    "it's",
    "-j DROP",
    "--dport",
    "!",
    "ü\tx",
    "-m",
    "",
]
RULES = [
    "-s 192.168.3.87 -j DROP",
    "! -s 10.0.0.0/255.0.255.0 ! -i cni+ -o eth0 -j RETURN",
    "-p tcp -m tcp ! --dport 80:90 --tcp-flags SYN,ACK SYN -j ACCEPT",
    "-p tcp --syn -j REJECT --reject-with tcp-reset",
    "-p udp -m multiport --dports 53,8000:8010 -j ACCEPT",
    "-m addrtype --dst-type LOCAL -m addrtype ! --src-type BROADCAST --limit-iface-in -j ACCEPT",
    "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-m statistic --mode random --probability 0.33333 -j RETURN",
    "-m statistic --mode nth --every 3 --packet 1 -j RETURN",
    "-m mark --mark 0x4000/0x4000 -j RETURN",
    "-m recent --rcheck --seconds 10 --reap --name X --rsource -j RETURN",
    "-p icmp -m icmp --icmp-type 8 -j ACCEPT",
    "-j LOG --log-prefix -j --log-uid",
    "-g odd.chain-1",
]


@pytest.fixture(scope="module", params=list(Backend))
def saved(request: pytest.FixtureRequest) -> tuple[list[str], list[Rule]]:
    """Add the rules with one backend; return those that this kernel took, and what is read from the dump."""
    backend: Backend = request.param

    def run(program: str, *words: str) -> subprocess.CompletedProcess[bytes]:
        command = ["ip", "netns", "exec", NAMESPACE, program, *words]
        return subprocess.run(command, check=False, capture_output=True)

    with namespaces(NAMESPACE):
        if run(f"iptables-{backend}", "-N", "odd.chain-1").returncode:
            pytest.skip(f"no iptables-{backend} here")
        for comment in COMMENTS:
            run(f"iptables-{backend}", "-A", "OUTPUT", "-m", "comment", "--comment", comment, "-j", "ACCEPT")
        taken = [r for r in RULES if not run(f"iptables-{backend}", "-A", "INPUT", *r.split()).returncode]
        dump = run(f"iptables-{backend}-save", "-c").stdout.decode()
    found = decode_iptables_save(dump, family=4, backend=backend)
    assert found.problems == ()
    (table,) = (t for t in found.tables if t.name == "filter")
    return taken, [*table.chains["INPUT"].rules, *table.chains["OUTPUT"].rules]


def test_comments_come_back(saved: tuple[list[str], list[Rule]]) -> None:
    """A comment reads as it was given, whatever it looks like."""
    _, rules = saved
    found = [r.matches[0].options[0].values[0] for r in rules if r.chain == "OUTPUT"]
    assert found == COMMENTS
    assert all(r.target is not None and r.target.name == "ACCEPT" for r in rules if r.chain == "OUTPUT")


def test_every_rule_is_understood(saved: tuple[list[str], list[Rule]]) -> None:
    """Each rule that the kernel took is read to its end, with its options where they belong."""
    taken, rules = saved
    rules = [r for r in rules if r.chain == "INPUT"]
    assert [r.problem for r in rules] == [""] * len(taken)
    assert len(taken) > 8
    named = {
        (match.module, option.name): option
        for rule in rules
        for match in rule.matches
        for option in match.options
    }
    assert named["", "source"].values
    assert named["tcp", "tcp-flags"].values[1] == "SYN"
    assert named["multiport", "dports"].values == ("53,8000:8010",)
    assert named["addrtype", "src-type"].inverted
    assert rules[-1].target is not None
    assert rules[-1].target.goto
