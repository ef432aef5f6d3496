"""``skoopctl probe run`` with event probes in the lab: a real cause each, and the event that it must give."""

from __future__ import annotations

import ipaddress
import json
import time
from pathlib import Path

import pytest

from skoopctl.lab import Lab, LabOptions
from skoopctl.lab.commands import run_in
from skoopctl.lab.hand import Hand
from skoopctl.lab.processes import lab_processes
from tests.lab.conftest import Labs
from tests.lab.event_runs import (
    CALLER,
    LATE_S,
    SERVER,
    Json,
    Run,
    check_published,
    found,
    of_the_lab,
    summed,
    told,
    watching,
)
from tests.lab.node_host import wait_until
from tests.lab.running_lab import skoopctl
from tests.lab.sshd_host import in_time
from tests.services.loki_receiver import loki_receiver
from tests.support.ebpf_held import are_gone, held_by
from tests.support.floods import counting

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

NODE = "node2-c4"
CLOSED, OPEN = 4444, 8080
ENDS = ("source", "destination")
BY_RULES = "packets-dropped-by-rules"


def window_s(idle_s: float) -> int:
    """Return how long a watch that ends by itself lasts, which takes so long on an idle machine."""
    return round(min(60.0, in_time(idle_s)))


@pytest.fixture
def lab(labs: Labs) -> Lab:
    """Return a lab without what other tests have left half open."""
    return labs.fresh(LabOptions())


def test_a_healthy_idle_lab_tells_nothing(lab: Lab) -> None:
    """Without traffic there is neither an event nor a count, and every line is as its schema says."""
    assert lab.nodes
    with watching("packetloss", "tcpreset", "tcpretrans", "tcpconnect", more_s=4) as run:
        pass
    assert of_the_lab(run) == ([], []), json.dumps(of_the_lab(run))
    check_published(run.lines)


def test_the_manuals_example_drop_has_both_nodes_and_the_hook(lab: Lab) -> None:
    """A DROP rule of INPUT is told where it drops, between whom, and in which hook; nobody else tells it."""
    lab.apply_fault("input-drop")
    try:
        with watching("packetloss", "tcpreset") as run, Hand(lab.source(NODE)) as hand:
            hand.ask("call", to=["192.168.3.86", 9100], count=1, timeout_s=1)
            assert run.waited(lambda: bool(told(run, "packet-loss", protocol="TCP")))
    finally:
        lab.undo_fault("input-drop")
    events = told(run, "packet-loss", protocol="TCP")
    check_published(events)
    for event in events:
        assert (event["node"], event["reason"], event["hook"]) == ("node1-c4", "NETFILTER_DROP", "INPUT")
        assert (event["source_kind"], event["source_name"]) == ("node", NODE)
        assert (event["destination_name"], event["destination_port"]) == ("node1-c4", 9100)
        assert (event["device"], event["tcp_flags"], event["backend"]) == ("ens192", "SYN", "core")
    lost = summed(run, "packet-loss", "NETFILTER_DROP")
    assert {place["node"] for place in lost["places"]} == {"node1-c4"}
    assert lost["count"] >= len(events)


def test_the_rule_that_drops_is_named_by_the_finding(lab: Lab) -> None:
    """When the time is up, the rules of the node are collected, and the finding has the one that did it."""
    lab.apply_fault("input-drop")
    try:
        # From the first round: time enough for the programs to be loaded, and for the calls.
        with watching("packetloss", lasting=f"{window_s(8)}s") as run, Hand(lab.source(NODE)) as hand:
            hand.ask("call", to=["192.168.3.86", 9100], count=2, timeout_s=1)
    finally:
        lab.undo_fault("input-drop")
    finding = found(run, BY_RULES)
    assert finding["severity"] == "critical"
    assert "by filter INPUT rule 1 (-A INPUT -s 192.168.3.87/32 -j DROP)" in finding["summary"]
    assert "node2-c4 (192.168.3.87) -> node1-c4 (192.168.3.86:9100)" in finding["summary"]


def test_ctrl_c_right_after_an_event_has_it_in_the_summary_with_the_rule(lab: Lab) -> None:
    """What was counted since the last time is told before the end, however long the interval, and rules are asked."""
    lab.apply_fault("input-drop")
    try:
        with (
            watching("packetloss", more_s=0, interval="1m") as run,
            Hand(lab.source(NODE)) as hand,
        ):
            hand.ask("call", to=["192.168.3.86", 9100], count=1, timeout_s=1)
            assert run.waited(lambda: bool(told(run, "packet-loss", protocol="TCP")))
    finally:
        lab.undo_fault("input-drop")
    events = told(run, "packet-loss", reason="NETFILTER_DROP")
    assert summed(run, "packet-loss", "NETFILTER_DROP")["count"] >= len(events) > 0
    finding = found(run, BY_RULES)
    assert "by filter INPUT rule 1 (-A INPUT -s 192.168.3.87/32 -j DROP)" in finding["summary"]


PLAN = """\
plan: watch-drops
cluster: lab
hosts: nodes
probes: [packetloss, udp]
probe-duration: {seconds}
probe-interval: 1
thresholds: {{dropped-by-rules: 2}}
push:
  loki: {{url: "{url}", batch-wait: 0.2}}
"""


def test_a_plan_watches_events_too(lab: Lab, tmp_path: Path) -> None:
    """A run has the finding with the rule, and its events are in Loki under the plan's cluster."""
    plan = tmp_path / "plan.yaml"
    lab.apply_fault("input-drop")
    try:
        with counting(), loki_receiver() as loki, Hand(lab.source(NODE)) as hand:
            # From the first round: on a busy machine programs take some of it to be loaded.
            plan.write_text(PLAN.format(url=loki.url, seconds=window_s(5)))
            words = ("run", str(plan), "-i", "lab", "--kubeconfig", str(lab.kubeconfig))
            process = skoopctl(*words, "--state-dir", str(tmp_path), "--json")
            end = time.monotonic() + 150
            while process.poll() is None:
                assert time.monotonic() < end
                hand.ask("call", to=["192.168.3.86", 9100], count=1, timeout_s=0.2)
            out, _ = process.communicate()
    finally:
        lab.undo_fault("input-drop")
    (finding,) = [each for each in json.loads(out)["findings"] if each["id"] == BY_RULES]
    assert "INPUT rule 1 (-A INPUT -s 192.168.3.87/32 -j DROP)" in finding["summary"]
    mine = [entry for entry in loki.entries if entry.event.get("destination_port") == 9100]
    assert mine
    assert {(entry.labels["cluster"], entry.labels["node"]) for entry in mine} == {("lab", "node1-c4")}


def pods_inside(event: Json) -> tuple[str, ...]:
    """Return who a tunnel's packet is from and to."""
    return tuple(f"{event[f'inner_{side}_namespace']}/{event[f'inner_{side}_name']}" for side in ENDS)


def is_to_a_group(event: Json) -> bool:
    """Return whether it is of a packet to a multicast address."""
    return ipaddress.ip_address(event.get("destination_address", "::")).is_multicast


def test_the_manuals_example_drop_names_the_pods_that_it_hits(lab: Lab) -> None:
    """What the rule drops of a pod's call is a packet of VXLAN: event and finding name both pods, and no other."""
    server = lab.source(SERVER)
    lab.apply_fault("input-drop")
    try:
        with watching("packetloss") as run, Hand(lab.source(CALLER)) as hand:
            hand.ask("call", to=[server.address, OPEN], count=1, timeout_s=1)
            assert run.waited(lambda: bool(told(run, "packet-loss", inner_tunnel="VXLAN")))
    finally:
        lab.undo_fault("input-drop")
    events = told(run, "packet-loss", inner_tunnel="VXLAN")
    # To a group, such as IGMP's reports: the node sends them of itself in its first seconds, and the rule drops them.
    others = [event for event in of_the_lab(run)[0] if event not in events and not is_to_a_group(event)]
    assert others == [], json.dumps(others)
    check_published(events)
    for event in events:
        assert (event["node"], event["hook"], event["protocol"]) == ("node1-c4", "INPUT", "UDP")
        assert [event[f"{side}_name"] for side in ENDS] == [NODE, "node1-c4"]
        assert event["destination_port"] == 8472
        assert pods_inside(event) == (CALLER, SERVER)
        assert (event["inner_protocol"], event["inner_tcp_flags"]) == ("TCP", "SYN")
        assert (event["inner_destination_address"], event["inner_destination_port"]) == (server.address, OPEN)
    finding = found(run, BY_RULES)
    assert "(192.168.3.86:8472), carrying TCP tools/web-c (" in finding["summary"]
    assert f"-> tools/web-a ({server.address}:{OPEN}) in VXLAN" in finding["summary"]
    inside = [each["text"] for each in finding["evidence"] if each["text"].startswith("inside: ")]
    assert len(inside) == 1, inside


def test_a_closed_port_of_a_pod_is_a_drop_and_a_reset_in_that_pod(lab: Lab) -> None:
    """The pod that nobody listens in tells both; the caller's pod tells the reset that it got. All have names."""
    kinds = {"packet-loss": SERVER, "reset-no-socket": SERVER, "reset-received": CALLER}
    with watching("packetloss", "tcpreset", "tcpconnect") as run, Hand(lab.source(CALLER)) as hand:
        answers = hand.ask("call", to=[lab.source(SERVER).address, CLOSED], count=3, timeout_s=5)
        run.waited(lambda: all(len(told(run, kind)) >= 3 for kind in (*kinds, "connect-failed")))
    assert answers["refused"] == 3
    for kind, pod in kinds.items():
        events = told(run, kind)
        assert len(events) == 3, (kind, run.events)
        assert {f"{event['namespace']}/{event['pod']}" for event in events} == {pod}
    assert {event["reason"] for event in told(run, "packet-loss")} == {"NO_SOCKET"}
    for event in told(run, "reset-no-socket"):
        ends = [f"{event[f'{side}_namespace']}/{event[f'{side}_name']}" for side in ("source", "destination")]
        assert ends == [SERVER, CALLER]
        assert event["source_port"] == CLOSED
    failed = told(run, "connect-failed")
    assert {(event["error"], f"{event['namespace']}/{event['pod']}") for event in failed} == {
        ("ECONNREFUSED", CALLER)
    }
    for kind in (*kinds, "connect-failed"):
        reasons = {event.get("reason", "") for event in told(run, kind)}
        places = [
            place for reason in reasons for place in summed(run, kind, reason)["places"] if place["pod"]
        ]
        assert [place["count"] for place in places] == [3], kind


def again(run: Run) -> list[Json]:
    """Return what was sent again of the calls."""
    return [
        event
        for event in run.events
        if event["kind"].startswith("retransmit")
        and OPEN in (event["source_port"], event["destination_port"])
    ]


def test_a_lossy_rule_makes_retransmits_of_the_callers_pod(lab: Lab) -> None:
    """What a rule in the server's pod drops is sent again by the caller, and each is told with its flow."""
    rule = [
        "INPUT",
        "-p",
        "tcp",
        "--dport",
        str(OPEN),
        "-m",
        "statistic",
        "--mode",
        "nth",
        "--every",
        "3",
        "--packet",
        "0",
    ]
    server = lab.source(SERVER)
    run_in(server.netns, ["iptables-nft", "-A", *rule, "-j", "DROP"])
    try:
        with watching("packetloss", "tcpretrans") as run, Hand(lab.source(CALLER)) as hand:
            hand.ask("call", to=[server.address, OPEN], count=4, timeout_s=5)
            run.waited(lambda: any(event["destination_name"] == "web-a" for event in again(run)))
    finally:
        run_in(server.netns, ["iptables-nft", "-D", *rule, "-j", "DROP"])
    drops = told(run, "packet-loss", reason="NETFILTER_DROP", hook="INPUT")
    assert drops
    assert {f"{event['namespace']}/{event['pod']}" for event in drops} == {SERVER}
    assert {f"{event['namespace']}/{event['pod']}" for event in again(run)} <= {SERVER, CALLER}
    assert any(event["destination_name"] == "web-a" for event in again(run))


def test_nothing_is_left_when_skoopctl_is_killed(lab: Lab) -> None:
    """After SIGKILL the programs are gone from the kernel within some seconds, on all nodes."""
    assert lab.nodes
    run = Run(skoopctl("probe", "run", "packetloss", "tcpreset", "-d", "60s", "--interval", "1s", "--json"))
    assert run.starting.wait(LATE_S)
    held = held_by(*lab_processes())
    assert len(held["prog"]) >= 4
    run.end()
    assert wait_until(lambda: are_gone(held), 30)
