"""Steps become stations and places; ends are told as the client meets them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from skoopctl.dataplane.trace import Disposition, Evidence, Outcome, StepKind, Verdict
from skoopctl.report.stations import places
from skoopctl.report.words import (
    chosen,
    deciding_walk,
    fate,
    header,
    rule_place,
    settled,
    share,
    share_of,
    verdict_sentence,
)
from tests.unit.report import samples


def test_tables_of_one_hook_are_one_station() -> None:
    """Consecutive steps at one hook merge; the NAT step among them is the telling one."""
    stays = places(samples.endpoint_branch("10.244.2.201", ok=True, weight=1).forward.steps)
    station = next(s for s in stays[1].stations if s.name == "PREROUTING")
    assert [step.kind for step in station.steps] == [StepKind.HOOK, StepKind.NAT]
    assert station.telling.kind is StepKind.NAT
    before, after = station.relabelled or pytest.fail("NAT changes the packet")
    assert (before.destination, after.destination) == ("10.96.17.4", "10.244.2.201")


def test_places_follow_the_namespaces_of_the_way() -> None:
    """Each stay in a namespace is a place of its own, in order."""
    keys = [place.key for place in places(samples.forward_steps())]
    assert keys == [
        ("node2-c4", samples.CLIENT),
        ("node2-c4", "host"),
        ("node1-c4", "host"),
        ("node1-c4", samples.SERVER),
    ]


def test_a_packet_is_in_the_tunnel_between_its_two_devices() -> None:
    """The depth rises after the encapsulating device and falls after the other one."""
    stations = [s for place in places(samples.forward_steps()) for s in place.stations]
    entering, leaving = (s for s in stations if s.name == "flannel.1")
    assert (entering.depth, entering.depth_after) == (0, 1)
    assert (leaving.depth, leaving.depth_after) == (1, 0)
    assert entering.repacked is not None
    assert entering.repacked.destination_port == "8472"


def test_the_verdict_names_the_rule_its_table_and_its_node() -> None:
    """The sentence says which rule of which chain drops the tunnel's packet, and on which node."""
    sentence = verdict_sentence(samples.dropped())
    assert "is dropped by rule 1 of INPUT (filter) on node1-c4, as the tunnel's outer packet" in sentence
    assert sentence.endswith("The client sees a timeout.")


def test_a_lost_answer_is_told_as_such() -> None:
    """When the SYN arrives and the SYN-ACK dies, the sentence is about the SYN-ACK."""
    assert verdict_sentence(samples.reply_lost()).startswith("The SYN-ACK that answers the SYN from pod ")


def test_a_mixed_verdict_gives_the_shares() -> None:
    """Every outcome is named with its share, and the failing endpoint too."""
    sentence = verdict_sentence(samples.service())
    assert "67% connected, 33% refused" in sentence
    assert "endpoint 10.244.2.202:8080" in sentence


def test_an_unknown_verdict_gives_its_first_reason() -> None:
    """What cannot be said comes with why, and with the number of further reasons."""
    sentence = verdict_sentence(samples.unknown())
    assert "cannot be said: rule 2 of FORWARD (filter) on node2-c4 matches by -m recent" in sentence
    assert "(and 1 more)" in sentence


def test_a_refusal_that_gets_lost_is_told_whole() -> None:
    """A reset that dies on its way back explains why the client sees a timeout."""
    refused = samples.endpoint_branch("10.244.2.202", ok=False, weight=1)
    rst = refused.others[0]
    lost = replace(rst.last, ends=Disposition.NO_ROUTE, decision="no route to 10.244.3.70")
    dead = samples.walk("RST", [*rst.steps[:-1], lost])
    diagnosis = samples.diagnosis(
        replace(refused, others=(dead,), outcome=Outcome.TIMEOUT), verdict=Verdict.FAIL
    )
    assert "; the RST that says so finds no route in tools/client on node2-c4" in verdict_sentence(diagnosis)


def test_an_answer_that_reaches_somebody_else_dies_there() -> None:
    """An answer delivered where nobody awaits it ends as its branch does, for every reader."""
    branch = samples.branch(
        samples.forward_steps(),
        samples.reply_steps(),
        outcome=Outcome.TIMEOUT,
        disposition=Disposition.DROPPED,
    )
    path = samples.diagnosis(branch, verdict=Verdict.FAIL).path
    walk = deciding_walk(settled(branch, path))
    assert walk.label == "SYN-ACK"
    assert fate(walk).endswith("which is not where it was awaited")


def test_an_end_behind_an_undecided_rule_is_not_told_as_certain() -> None:
    """Where the verdict is UNKNOWN, a drop that follows only if the rule matches is drawn as unknown."""
    path = samples.unknown().path
    branch = next(b for b in path.branches if b.outcome is Outcome.TIMEOUT)
    certain = replace(branch.forward.last, unknown="")
    bare = replace(branch, forward=samples.walk("SYN", [*branch.forward.steps[:-1], certain]))
    station = places(settled(bare, path).forward.steps)[-1].stations[-1]
    assert station.unknown == branch.unknowns[0]
    assert not station.dies


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("filter INPUT rule 1", "rule 1 of INPUT (filter)"),
        ("filter INPUT rule 1 (legacy)", "rule 1 of INPUT (filter, legacy)"),
        ("filter FORWARD policy", "the policy of FORWARD (filter)"),
        ("table main", "table main"),
        ("", "route"),
    ],
)
def test_a_rule_s_place_is_told_in_words(location: str, words: str) -> None:
    """A location becomes words; one of another shape stays as it is."""
    assert rule_place(Evidence("route", "x", location)) == words


def test_headers_bracket_ipv6_and_leave_out_absent_ports() -> None:
    """An IPv6 address with a port is readable; ICMP has no ports."""
    view = samples.packet("10.0.0.1:1", "10.0.0.2:2")
    six = replace(view, source="fd00::1", destination="fd00::2", destination_port="")
    assert header(six) == "[fd00::1]:1 → fd00::2 tcp"


@pytest.mark.parametrize(("weight", "words"), [(0.001, "<1%"), (1 / 3, "33%"), (0.999, ">99%"), (1, "100%")])
def test_shares_never_round_to_none_or_all(weight: float, words: str) -> None:
    """A rare branch is not shown as 0%, nor a near-certain one as 100%."""
    assert share(weight) == words


def test_shares_behind_an_unknown_are_not_given() -> None:
    """The model's even split of an unknown is no probability."""
    path = samples.unknown().path
    assert {share_of(branch, path) for branch in path.branches} == {"not known"}


def test_a_branch_without_choices_is_known_by_its_address() -> None:
    """The last endpoint is what is left when no rule chose another: its address names it."""
    branch = replace(samples.endpoint_branch("10.244.2.203", ok=True, weight=1), choices=())
    assert chosen(branch) == "to 10.244.2.203:8080"
