"""What decided: a verdict's proof, and what would make an undecided flow pass."""

from __future__ import annotations

from skoopctl.dataplane.proof import proof_of
from skoopctl.dataplane.trace import StepKind, Verdict
from tests.support.worlds import cluster, filter_table


def test_the_proof_of_a_drop_is_the_step_and_what_led_there() -> None:
    """A packet that a rule drops: the routes on its way, then the rule, and nothing that only looked on."""
    made = cluster()
    made.n2.iptables(filter_table("-A INPUT -j LOG", "-A INPUT -s 192.168.3.86/32 -j DROP"))
    reasons = proof_of(made.walk(made.a, made.b).representative)
    assert reasons[-1].step.cause == "netfilter-drop"
    assert [item.text for item in reasons[-1].evidence] == ["-A INPUT -s 192.168.3.86/32 -j DROP"]
    assert {reason.step.kind for reason in reasons[:-1]} == {StepKind.ROUTE, StepKind.ENCAPSULATE}
    walked = made.walk(made.a, made.b).representative.forward
    assert all(walked.steps[reason.hop].decision == reason.step.decision for reason in reasons)


def test_the_proof_of_a_success_has_the_rules_that_accepted() -> None:
    """A rule that lets a packet through a closed chain is part of why the flow works; so is the socket."""
    made = cluster()
    accept = "-A FORWARD -d 10.244.2.0/24 -j ACCEPT"
    answers = "-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT"
    made.n1.iptables(filter_table(accept, answers).replace(":FORWARD ACCEPT", ":FORWARD DROP"))
    path = made.walk(made.a, made.b)
    assert path.verdict is Verdict.PASS
    said = [item.text for reason in proof_of(path.representative) for item in reason.evidence]
    assert accept in said
    assert answers in said
    assert any(text.startswith("tcp 0.0.0.0:80") for text in said)
    labels = [reason.label for reason in proof_of(path.representative)]
    assert list(dict.fromkeys(labels)) == ["SYN", "SYN-ACK", "ACK"]


def test_the_proof_of_a_lost_answer_has_the_translation_of_the_request() -> None:
    """Where the answer dies, the request's NAT belongs to the proof: it chose where the answer comes from."""
    made = cluster()
    nat = "-A PREROUTING -d 10.96.0.1/32 -p tcp -j DNAT --to-destination 10.244.2.10:80"
    made.n1.iptables(filter_table(nat, table="nat"))
    made.b.iptables(filter_table("-A OUTPUT -j DROP"))
    reasons = proof_of(made.walk(made.a, "10.96.0.1").representative)
    assert any(item.text == nat for reason in reasons for item in reason.evidence)
    assert (reasons[-1].label, reasons[-1].evidence[-1].text) == ("SYN-ACK", "-A OUTPUT -j DROP")


def test_what_would_make_an_undecided_flow_pass_is_said() -> None:
    """A rule that may match and drop: the flow passes if it does not match."""
    made = cluster()
    made.n2.iptables(filter_table("-A FORWARD -m geoip --source-country XX -j DROP"))
    path = made.walk(made.a, made.b)
    assert path.verdict is Verdict.UNKNOWN
    assert [c.split(":")[0] for c in path.conditions] == ["it passes if the rule does not match"]
    assert "filter FORWARD rule 1 on n2" in path.conditions[0]


def test_a_decided_flow_has_no_conditions() -> None:
    """Where unknown rules do not matter, or the flow fails anyway, nothing is conditional."""
    made = cluster()
    made.n2.iptables(filter_table("-A FORWARD -m geoip --source-country XX -j DROP", "-A FORWARD -j DROP"))
    path = made.walk(made.a, made.b)
    assert path.verdict is Verdict.FAIL
    assert path.conditions == ()
