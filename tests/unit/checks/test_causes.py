"""Every finding is produced by a broken cluster, its fix is checked in the model, and nothing is touched."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest

from skoopctl import dataplane
from skoopctl.checks import remedy as search
from skoopctl.checks.catalogue import DOCS, EVENTS
from skoopctl.checks.catalogue.metrics import METRICS
from skoopctl.checks.cause import cause_of
from skoopctl.checks.diagnose import Question, diagnose
from skoopctl.checks.diagnosis import Diagnosis
from skoopctl.checks.finding import Confidence, Finding, Severity
from skoopctl.checks.remedies.registry import PROPOSERS
from skoopctl.checks.remedy import UNSEARCHED
from skoopctl.dataplane.path import walk
from skoopctl.dataplane.trace import Verdict
from tests.support.broken import CASES as OTHERS
from tests.support.broken import Case, snapshot_of
from tests.support.broken_tunnels import TUNNEL_CASES
from tests.support.worlds import cluster, filter_table

CASES = (*OTHERS, *TUNNEL_CASES)
NOT_PRODUCED: dict[str, str] = dict.fromkeys(
    (
        "two-iptables",
        "xt-without-arguments",
        "rule-names-missing",
        "rule-unreadable",
        "rules-changed",
        "dumps-apart",
        "foreign-rules",
        "arp-rules",
    ),
    "breaks no flow: test_rule_integrity.py",
) | {"mtu-mismatch": "the flow passes: see test_mtu.py"}
NOT_PRODUCED |= dict.fromkeys(
    (
        "conntrack-table-filling",
        "neighbour-table-filling",
        "nodes-differ",
        "pod-address-missing",
        "path-unexpected",
        "path-undecided",
    ),
    "nobody asks for a path: test_inspections.py and test_expectations.py",
)
NOT_PRODUCED |= dict.fromkeys(
    (doc.id for doc in METRICS), "counters tell it: tests/unit/probes/test_anomalies.py"
)
NOT_PRODUCED |= dict.fromkeys(
    (doc.id for doc in EVENTS), "events tell it: tests/unit/events/test_anomalies.py"
)
"""Findings of the catalogue that no case produces, with the reason."""


def named(case: Case) -> str:
    """Name a case for pytest."""
    return f"{case.id} {case.name}".strip()


def found(diagnosis: Diagnosis, identifier: str) -> Finding:
    """Return the finding with that id."""
    return next(f for f in diagnosis.findings if f.id == identifier)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_the_finding_is_produced(case: Case) -> None:
    """A broken cluster gives the finding, the cause first, with evidence or a sentence that names the place."""
    diagnosis = diagnose(case.question, case.snapshot())
    assert case.id in [f.id for f in diagnosis.findings]
    finding = found(diagnosis, case.id)
    assert finding.why == DOCS[case.id].why
    assert finding.summary
    if case.id not in {"evidence-incomplete", "unreadable-rules", "neighbour-table-full"}:
        assert diagnosis.findings[0].id == case.id
        assert finding.cause
    if diagnosis.path.verdict is Verdict.UNKNOWN:
        assert finding.severity is Severity.WARNING
    else:
        assert diagnosis.path.verdict is Verdict.FAIL
        assert finding.severity is DOCS[case.id].severity


@pytest.mark.parametrize("case", [case for case in CASES if case.fix], ids=named)
def test_the_fix_flips_the_verdict_and_touches_nothing(case: Case) -> None:
    """The proposed change makes the flow PASS in a copy of the model; the hosts stay as they were."""
    snapshot = case.snapshot()
    before = copy.deepcopy(snapshot.hosts)
    fix = found(diagnose(case.question, snapshot), case.id).fix
    assert fix is not None
    assert fix.summary.startswith(case.fix)
    assert fix.checked
    assert fix.commands
    assert snapshot.hosts == before


@pytest.mark.parametrize("case", [case for case in CASES if case.fix], ids=named)
def test_every_remedy_is_tried_by_a_walk(case: Case) -> None:
    """The verdict with the remedy's change, walked here, is what `checked` claims; without it the flow fails."""
    from skoopctl.checks.target import resolve
    from skoopctl.dataplane.edit import edit_netns

    snapshot = case.snapshot()
    diagnosis = diagnose(case.question, snapshot)
    assert diagnosis.path.verdict is not Verdict.PASS
    cause = cause_of(diagnosis.path.representative, snapshot)
    client = resolve(case.asked[0], snapshot).client
    fix = found(diagnosis, case.id).fix
    assert fix is not None
    for proposer in PROPOSERS[cause.id]:
        for remedy in proposer(cause, diagnosis.path.representative, snapshot):
            if remedy.summary == fix.summary:
                hosts = edit_netns(snapshot.hosts, remedy.key, remedy.change)
                assert walk(snapshot.network_of(hosts), diagnosis.path.flow, client).verdict is Verdict.PASS
                return
    pytest.fail(f"no proposer makes {fix.summary!r}")


def test_every_finding_of_the_catalogue_is_produced() -> None:
    """No finding is documented that nothing can produce, and every proposer is for a known finding."""
    produced = {case.id for case in CASES}
    assert set(DOCS) - produced == set(NOT_PRODUCED)
    assert set(PROPOSERS) <= set(DOCS)


ONLY_NEARBY = {"routing-loop"}
"""Without a proposer of their own: rules and routes that the packets met are tried, and nothing else."""


def test_every_cause_has_a_remedy_or_a_reason() -> None:
    """Each cause that ends a packet has a proposer, or is searched for nearby, or says why nothing is."""
    folder = Path(dataplane.__file__).parent
    words = {
        word for file in folder.rglob("*.py") for word in re.findall(r'cause="([a-z-]+)"', file.read_text())
    }
    assert len(words) > 20
    assert words <= set(DOCS)
    assert not set(UNSEARCHED) & set(PROPOSERS)
    assert set(DOCS) - set(UNSEARCHED) - set(PROPOSERS) == ONLY_NEARBY
    assert all(reason for reason in UNSEARCHED.values())


def test_what_no_proposer_knows_is_found_nearby() -> None:
    """An answer that a foreign SNAT rule leads astray is mended by deleting the rule: no proposer knows it."""
    case = next(case for case in CASES if case.id == "answer-lost")
    fix = found(diagnose(case.question, case.snapshot()), case.id).fix
    assert fix is not None
    assert fix.checked
    assert fix.summary.startswith("delete rule 1 of POSTROUTING (table nat)")


def test_a_search_ends() -> None:
    """Of a thousand rules that a packet meets before the one that drops it, not all are tried."""
    made = cluster()
    marks = [f"-A INPUT -j MARK --set-xmark {n:#x}/0xffff" for n in range(1000)]
    made.n2.iptables(filter_table(*marks, "-A INPUT -j DROP", "-A INPUT -j DROP"))
    seen = []
    real = search.walk
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "walk", lambda *words: seen.append(words) or real(*words))
        diagnose(Question("10.244.1.10", "10.244.2.10", "tcp", 80), snapshot_of(made))
    assert 1 < len(seen) <= search.MAX_WALKS


def test_every_proposer_flips_a_verdict() -> None:
    """Each function that proposes a fix is the one whose fix is taken in at least one case."""
    taken = set()
    for case in CASES:
        if not case.fix:
            continue
        snapshot = case.snapshot()
        diagnosis = diagnose(case.question, snapshot)
        cause = cause_of(diagnosis.path.representative, snapshot)
        fix = found(diagnosis, case.id).fix
        for proposer in PROPOSERS[cause.id]:
            proposed = [r.summary for r in proposer(cause, diagnosis.path.representative, snapshot)]
            if fix is not None and fix.summary in proposed:
                taken.add(proposer)
                break
    assert {p for proposers in PROPOSERS.values() for p in proposers} == taken


COMMANDS = {
    "netfilter-drop": ("iptables -t filter -D INPUT -s 192.168.3.86/32 -j DROP",),
    "netfilter-drop legacy": ("iptables-legacy -t filter -D INPUT -s 192.168.3.86/32 -j DROP",),
    "netfilter-drop policy": ("iptables -t filter -P FORWARD ACCEPT",),
    "netfilter-drop nft": ("nft delete rule inet fw forward handle 7",),
    "netfilter-drop nft policy": ("nft chain inet fw forward '{ policy accept; }'",),
    "netfilter-drop in the pod": ("nsenter -t 4711 -n iptables -t filter -D INPUT -p tcp -j DROP",),
    "pod-route-missing": ("ip route replace 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink",),
    "pod-route-missing host-gw": ("ip route replace 10.244.2.0/24 via 192.168.3.87 dev eth0",),
    "blackhole-route": ("ip route del blackhole 10.244.2.10/32",),
    "forwarding-off": ("sysctl -w net.ipv4.ip_forward=1",),
    "rp-filter": ("sysctl -w net.ipv4.conf.flannel/1.rp_filter=2",),
    "hairpin-off": ("bridge link set dev veth-a hairpin on",),
    "link-down": ("ip link set dev flannel.1 up",),
    "no-route": ("ip netns exec a ip route add default via 10.244.1.1 dev eth0",),
}


@pytest.mark.parametrize("case", [case for case in CASES if named(case) in COMMANDS], ids=named)
def test_commands_are_what_an_administrator_would_type(case: Case) -> None:
    """A fix's commands name the binary, the namespace, and exactly the thing to change."""
    fix = found(diagnose(case.question, case.snapshot()), case.id).fix
    assert fix is not None
    assert fix.commands == COMMANDS[named(case)]


SUMMARIES = {
    "netfilter-drop": "Rule 1 of INPUT (table filter) on n2 drops VXLAN packets from 192.168.3.86",
    "netfilter-drop policy": "The policy of filter FORWARD on n2 drops the SYN from 10.244.1.10 to 10.244.2.10",
    "service-without-endpoints": "The service demo/web:http has no ready endpoints",
    "service-port-unknown untranslated": "The service address 10.96.0.1 has no tcp port 81",
    "no-local-endpoint": "n1 has no endpoint of demo/web, whose traffic policy is Local",
    "stale-endpoint gone": "The service address 10.96.0.1:80 leads to 10.244.2.99, "
    "and nothing collected has that address",
    "pod-route-missing": "n1 has no route to 10.244.2.10 (pod demo/b on n2): "
    "the packet follows the default route",
    "address-nowhere": "No pod has the address 10.244.2.99",
}


@pytest.mark.parametrize("case", [case for case in CASES if named(case) in SUMMARIES], ids=named)
def test_summaries_say_it_in_words(case: Case) -> None:
    """The first line names rule, node and packet, or service, as a person would."""
    assert found(diagnose(case.question, case.snapshot()), case.id).summary == SUMMARIES[named(case)]


def test_a_guess_is_marked_likely() -> None:
    """What rests on the absence of something is likely, what a rule did is certain."""
    by_name = {named(case): case for case in CASES}
    for name, confidence in (
        ("stale-endpoint gone", Confidence.LIKELY),
        ("no-local-endpoint", Confidence.LIKELY),
        ("netfilter-drop", Confidence.CERTAIN),
    ):
        case = by_name[name]
        assert found(diagnose(case.question, case.snapshot()), case.id).confidence is confidence


def test_a_healthy_flow_has_no_findings() -> None:
    """Nothing is wrong, nothing is found."""
    from skoopctl.checks.diagnose import Question
    from tests.support.broken import snapshot_of
    from tests.support.worlds import cluster

    diagnosis = diagnose(Question("pod/demo/a", "pod/demo/b", "tcp", 80), snapshot_of(cluster()))
    assert diagnosis.path.verdict is Verdict.PASS
    assert diagnosis.findings == ()
