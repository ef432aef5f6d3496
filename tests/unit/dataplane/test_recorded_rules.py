"""The rules that real clusters hold: nothing in them is outside the model but what no dump can show."""

from __future__ import annotations

from pathlib import Path

import pytest

from skoopctl.dataplane.rules.iptables import TableEvaluator
from skoopctl.dataplane.rules.matches import compile_match, known_modules
from skoopctl.dataplane.rules.matches.registry import undecided_modules
from skoopctl.dataplane.rules.scene import Hook
from skoopctl.dataplane.rules.targets.registry import TARGETS
from skoopctl.kernel.ipset import Dimension
from skoopctl.kernel.ipset_save import decode_ipset_save
from skoopctl.kernel.iptables import Backend, Rule, Table
from skoopctl.kernel.iptables_save import decode_iptables_save
from tests.support.worlds import At, Box, packet

FIXTURES = Path(__file__).parents[2] / "fixtures"
DUMPS = sorted(
    [
        *FIXTURES.glob("calico/*iptables-dump.txt"),
        *FIXTURES.glob("kube-proxy-1.36/*/nodes/*/ip*tables-save.txt"),
    ]
)
IPVS = FIXTURES / "kube-proxy-1.36/ipvs/nodes/node1-c4"


def tables_of(path: Path) -> tuple[Table, ...]:
    """Return the tables of a recorded dump."""
    family = 6 if path.name.startswith("ip6") else 4
    dump = decode_iptables_save(path.read_text(), family=family, backend=Backend.NFT)
    assert not dump.problems
    return dump.tables


@pytest.mark.parametrize("path", DUMPS, ids=lambda path: str(path.relative_to(FIXTURES)))
def test_every_recorded_rule_is_within_the_model(path: Path) -> None:
    """Each rule is read to its end; its matches are decided or tier 2, and its target is one that is known."""
    for table in tables_of(path):
        box = Box("n1", "n1", 1000, is_host=True)
        scene = At(box).scene(packet() if table.family == 4 else packet("fd00::1", "fd00::2"))
        for chain in table.chains.values():
            for rule in chain.rules:
                assert not rule.problem, rule.text
                _check_matches(rule, scene)
                name = rule.target.name if rule.target else "ACCEPT"
                assert name in table.chains or name in TARGETS or name == "RETURN", rule.text


def _check_matches(rule: Rule, scene: object) -> None:
    for match in rule.matches:
        assert match.module in known_modules() | undecided_modules(), rule.text
        for predicate in compile_match(match):
            truth = predicate(scene)  # type: ignore[arg-type]
            reason = "" if isinstance(truth, bool) else truth.reason
            assert "not modelled" not in reason, rule.text
            assert "cannot be read" not in reason, rule.text


@pytest.mark.parametrize("path", DUMPS, ids=lambda path: str(path.relative_to(FIXTURES)))
def test_every_recorded_table_can_be_run(path: Path) -> None:
    """A packet goes through every base chain of every table without an exception."""
    for table in tables_of(path):
        box = Box("n1", "n1", 1000, is_host=True)
        box.link("eth0")
        box.address("eth0", "10.0.0.254/24")
        evaluator = TableEvaluator(table, "n1", 1000)
        for hook in Hook:
            item = packet() if table.family == 4 else packet("fd00::1", "fd00::2")
            ruling = evaluator.run(hook.value, At(box, hook, in_dev="eth0", out_dev="eth0").scene(item))
            assert ruling.action.value in {"ACCEPT", "DROP", "REJECT"}


def test_the_sets_of_kube_proxy_are_those_that_its_rules_ask_for() -> None:
    """In IPVS mode every ``--match-set`` names a set of the dump, with a direction for each dimension."""
    found = decode_ipset_save((IPVS / "ipset.txt").read_text())
    assert not found.problem
    assert not any(each.problem for each in found.sets.values())
    asked = [
        option
        for table in tables_of(IPVS / "iptables-save.txt")
        for chain in table.chains.values()
        for rule in chain.rules
        for match in rule.matches
        if match.module == "set"
        for option in match.options
        if option.name == "match-set"
    ]
    assert len(asked) > 10
    for option in asked:
        dimensions = found.sets[option.values[0]].dimensions
        assert len(option.values[1].split(",")) >= len(dimensions)
    assert found.sets["KUBE-LOOP-BACK"].dimensions == (Dimension.IP, Dimension.PORT, Dimension.IP)


@pytest.mark.parametrize(
    ("destination", "dport", "expected"),
    [("10.96.0.1", 443, True), ("10.96.0.1", 80, False), ("10.96.0.10", 53, True), ("10.97.0.1", 443, False)],
)
def test_a_service_is_in_the_set_of_cluster_addresses(destination: str, dport: int, expected: bool) -> None:
    """The first rule of KUBE-SERVICES in IPVS mode marks packets to services, and no others."""
    box = Box("n1", "n1", 1000, is_host=True)
    box.more["ipsets"] = decode_ipset_save((IPVS / "ipset.txt").read_text()).sets
    scene = At(box).scene(packet("192.168.3.99", destination, dport))
    (rule,) = (
        rule
        for table in tables_of(IPVS / "iptables-save.txt")
        for rule in (table.chains.get("KUBE-SERVICES") or next(iter(table.chains.values()))).rules
        if "KUBE-CLUSTER-IP dst,dst" in rule.text and "KUBE-MARK-MASQ" in rule.text
    )
    assert all(p(scene) is True for match in rule.matches for p in compile_match(match)) == expected
