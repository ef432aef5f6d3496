"""Diagnoses to render: each is what the walk and the checks leave behind for one kind of day."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from skoopctl.checks.diagnosis import Coverage, Detected, Diagnosis, Endpoint, HostCoverage
from skoopctl.checks.finding import Confidence, Finding, Fix, Severity, Where
from skoopctl.dataplane.trace import (
    Branch,
    Disposition,
    Evidence,
    Flow,
    Outcome,
    PacketView,
    PathResult,
    Step,
    StepKind,
    Verdict,
    Walk,
)

CLIENT = "tools/client"
SERVER = "demo/web-7d4b9c6f5-x2k8p"
RANGE = "32768-60999"
HOSTS = ("master-c4", "node1-c4", "node2-c4")
DROP_RULE = Evidence(
    "iptables-rule",
    "-A INPUT -s 192.168.3.87/32 -j DROP",
    "filter INPUT rule 1",
    1284,
    64200,
    "node1-c4",
    4026531840,
)


def packet(source: str, destination: str, **more: str | int) -> PacketView:
    """Make a TCP packet's header from ``address:port`` pairs."""
    from_address, _, from_port = source.partition(":")
    to_address, _, to_port = destination.partition(":")
    fields = {"protocol": "tcp", "flags": "SYN", "state": "NEW"} | more
    return PacketView(
        source=from_address, destination=to_address, source_port=from_port, destination_port=to_port, **fields
    )  # type: ignore[arg-type]


def at(place: str, kind: StepKind, point: str, decision: str, *evidence: Evidence, **more: object) -> Step:
    """Make a step at ``node/namespace``; ``point`` is a hook's name in capitals, or a device."""
    node, _, namespace = place.partition("/")
    netns = 4026531840 if namespace == "host" else 4026532000 + len(namespace)
    hook, device = (point, "") if point.isupper() else ("", point)
    return Step(kind, node, namespace, netns, device, hook, decision, evidence, **more)  # type: ignore[arg-type]


def route(text: str, node: str, table: str = "table main") -> Evidence:
    """Make a route's evidence."""
    return Evidence("route", text, table, node=node)


def policy(chain: str, node: str) -> Evidence:
    """Make the evidence of a chain's policy."""
    return Evidence("iptables-policy", f":{chain} ACCEPT [0:0]", f"filter {chain} policy", 9021, None, node)


def leave_pod(place: str, header: PacketView, gateway: str, kind: StepKind = StepKind.SEND) -> list[Step]:
    """Make the steps inside the sending pod."""
    node = place.partition("/")[0]
    return [
        at(place, kind, "eth0", "sent by the process", before=header, after=header),
        at(
            place,
            StepKind.ROUTE,
            "eth0",
            f"default via {gateway} dev eth0",
            route(f"default via {gateway} dev eth0", node),
        ),
        at(place, StepKind.HOOK, "OUTPUT", "accepted: no rules"),
        at(place, StepKind.HOOK, "POSTROUTING", "accepted: no rules"),
        at(
            place,
            StepKind.NEIGHBOUR,
            "eth0",
            f"{gateway} is at 4a:5e:01:0c:33:01",
            Evidence("neighbour", f"{gateway} dev eth0 lladdr 4a:5e:01:0c:33:01 REACHABLE", node=node),
        ),
        at(place, StepKind.TRANSMIT, "eth0", "handed to the peer on the node"),
    ]


def over_vxlan(
    source: str, target: str, nets: tuple[str, str], veth: str, vias: tuple[str, str]
) -> list[Step]:
    """Make the steps of the host part between two nodes, ``source`` and ``target`` being node names."""
    addresses = {"node1-c4": "192.168.3.86", "node2-c4": "192.168.3.87", "master-c4": "192.168.3.85"}
    inner = f"{nets[0]} → {nets[1]}"
    outer = packet(
        f"{addresses[source]}:{RANGE}",
        f"{addresses[target]}:8472",
        protocol="udp",
        flags="",
        encapsulates=f"VXLAN 1: {inner}",
    )
    peer = vias[1].partition("/")[0]
    here, there = f"{source}/host", f"{target}/host"
    return [
        at(here, StepKind.RECEIVE, veth, "received from the pod"),
        at(here, StepKind.BRIDGE, "cni0", f"port {veth} of cni0, for the bridge itself"),
        at(here, StepKind.HOOK, "PREROUTING", "accepted by policy", policy("PREROUTING", source)),
        at(
            here,
            StepKind.ROUTE,
            "flannel.1",
            f"{vias[1]} via {peer} dev flannel.1 onlink",
            route(f"{vias[1]} via {peer} dev flannel.1 onlink", source),
        ),
        at(
            here,
            StepKind.HOOK,
            "FORWARD",
            "accepted by rule 1 of FLANNEL-FWD",
            Evidence(
                "iptables-rule",
                '-A FLANNEL-FWD -s 10.244.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT',
                "filter FLANNEL-FWD rule 1",
                88213,
                None,
                source,
            ),
        ),
        at(here, StepKind.HOOK, "POSTROUTING", "not masqueraded: RETURN for the pod network"),
        at(
            here,
            StepKind.NEIGHBOUR,
            "flannel.1",
            "neighbour PERMANENT, FDB entry to the peer",
            Evidence("neighbour", f"{peer} dev flannel.1 lladdr 5a:01 PERMANENT", node=source),
            Evidence("fdb", f"5a:01 dev flannel.1 dst {addresses[target]} self permanent", node=source),
        ),
        at(
            here,
            StepKind.ENCAPSULATE,
            "flannel.1",
            f"VXLAN 1 to {addresses[target]}:8472",
            Evidence("link", "flannel.1 vxlan id 1 dstport 8472 nolearning", node=source),
            before=outer,
            after=outer,
            depth=1,
        ),
        at(here, StepKind.ROUTE, "eth0", "192.168.3.0/24 dev eth0", depth=1),
        at(here, StepKind.HOOK, "OUTPUT", "accepted by policy", policy("OUTPUT", source), depth=1),
        at(here, StepKind.HOOK, "POSTROUTING", "accepted by policy", depth=1),
        at(here, StepKind.TRANSMIT, "eth0", f"sent to {addresses[target]}", depth=1),
        at(there, StepKind.RECEIVE, "eth0", f"received from {addresses[source]}", depth=1),
        at(there, StepKind.HOOK, "PREROUTING", "accepted by policy", depth=1),
        at(there, StepKind.ROUTE, "lo", "local 192.168.3.86", depth=1),
        at(
            there,
            StepKind.HOOK,
            "INPUT",
            "accepted by policy",
            policy("INPUT", target),
            depth=1,
            before=outer,
        ),
        at(
            there,
            StepKind.DECAPSULATE,
            "flannel.1",
            "VXLAN 1 opened",
            before=packet(*nets),
            after=packet(*nets),
        ),
        at(there, StepKind.HOOK, "PREROUTING", "accepted by policy"),
        at(there, StepKind.ROUTE, "cni0", f"{nets[1].partition(':')[0]} is on cni0"),
        at(there, StepKind.HOOK, "FORWARD", "accepted by rule 1 of FLANNEL-FWD"),
        at(there, StepKind.HOOK, "POSTROUTING", "not masqueraded: RETURN for the pod network"),
        at(there, StepKind.BRIDGE, "cni0", "out of port veth2f81aa03"),
    ]


def enter_pod(place: str, decision: str = "a process listens on 0.0.0.0:8080") -> list[Step]:
    """Make the steps inside the receiving pod."""
    return [
        at(place, StepKind.RECEIVE, "eth0", "received"),
        at(place, StepKind.HOOK, "PREROUTING", "accepted: no rules"),
        at(place, StepKind.HOOK, "INPUT", "accepted: no rules"),
        at(
            place,
            StepKind.SOCKET,
            "eth0",
            decision,
            Evidence("socket", "LISTEN 0.0.0.0:8080", node=place.partition("/")[0]),
            ends=Disposition.DELIVERED,
        ),
    ]


def forward_steps(server: str = "10.244.2.201") -> list[Step]:
    """Make the way of the SYN of the healthy flow."""
    header = packet(f"10.244.3.70:{RANGE}", f"{server}:8080")
    return [
        *leave_pod(f"node2-c4/{CLIENT}", header, "10.244.3.1"),
        *over_vxlan(
            "node2-c4",
            "node1-c4",
            (f"10.244.3.70:{RANGE}", f"{server}:8080"),
            "veth93b2c1d0",
            ("10.244.3.0/24", "10.244.2.0/24"),
        ),
        *enter_pod(f"node1-c4/{SERVER}"),
    ]


def reply_steps(server: str = "10.244.2.201") -> list[Step]:
    """Make the way of the SYN-ACK of the healthy flow."""
    header = packet(f"{server}:8080", f"10.244.3.70:{RANGE}", flags="SYN,ACK", state="ESTABLISHED")
    return [
        *leave_pod(f"node1-c4/{SERVER}", header, "10.244.2.1"),
        *over_vxlan(
            "node1-c4",
            "node2-c4",
            (f"{server}:8080", f"10.244.3.70:{RANGE}"),
            "veth2f81aa03",
            ("10.244.2.0/24", "10.244.3.0/24"),
        ),
        *enter_pod(f"node2-c4/{CLIENT}", "the connecting socket takes it"),
    ]


def branch(
    forward: Iterable[Step],
    reply: Iterable[Step] | None = None,
    others: tuple[Walk, ...] = (),
    outcome: Outcome = Outcome.CONNECTED,
    **more: object,
) -> Branch:
    """Make a branch; its disposition is that of the last packet."""
    there = walk("SYN", forward)
    back = walk("SYN-ACK", reply) if reply is not None else None
    last = [w for w in (there, back, *others) if w is not None][-1]
    fields = {"weight": 1.0, "choices": (), "unknowns": (), "disposition": last.disposition} | more
    return Branch(forward=there, reply=back, others=others, outcome=outcome, **fields)  # type: ignore[arg-type]


def walk(label: str, steps: Iterable[Step]) -> Walk:
    """Make a walk that ends as its last step says."""
    way = tuple(steps)
    return Walk(label, way, way[-1].ends or Disposition.UNKNOWN)


def diagnosis(
    *branches: Branch, verdict: Verdict, findings: tuple[Finding, ...] = (), **more: object
) -> Diagnosis:
    """Make a diagnosis of the manual's flow from branches."""
    first = max(branches, key=lambda b: (b.outcome is not Outcome.CONNECTED, b.weight))
    path = PathResult(
        flow=Flow("10.244.3.70", "10.244.2.201", "tcp", 8080),
        verdict=verdict,
        disposition=first.disposition,
        outcome=first.outcome,
        branches=branches,
        unknowns=tuple(dict.fromkeys(reason for b in branches for reason in b.unknowns)),
    )
    fields: dict[str, object] = {
        "source": Endpoint("10.244.3.70", "10.244.3.70", "pod", CLIENT, "node2-c4"),
        "destination": Endpoint("10.244.2.201", "10.244.2.201", "pod", SERVER, "node1-c4"),
        "path": path,
        "findings": findings,
        "coverage": Coverage(
            tuple(HostCoverage(h, "ok") for h in ("master-c4", "node1-c4", "node2-c4")), "asked"
        ),
        "detected": Detected("flannel (vxlan)", ("eth0",), "iptables", "nft"),
        "collected_at": "2026-07-14T02:41:07Z",
        "tool_version": "0.1.0",
    }
    return Diagnosis(**(fields | more))  # type: ignore[arg-type]


def healthy() -> Diagnosis:
    """Pod to pod over VXLAN, everything arrives."""
    ack = [replace(step, ends=Disposition.DELIVERED) if step.ends else step for step in forward_steps()]
    whole = branch(
        forward_steps(),
        reply_steps(),
        (walk("ACK", ack),),
        responder=f"{SERVER} (10.244.2.201)",
        seen_source="10.244.3.70",
    )
    return diagnosis(whole, verdict=Verdict.PASS)


def drop_finding() -> Finding:
    """Make the finding of the manual's example."""
    return Finding(
        id="tunnel-packet-dropped",
        severity=Severity.FATAL,
        where=Where("node1-c4", "host"),
        summary="rule 1 of INPUT (filter) drops the VXLAN packets from node2-c4 (192.168.3.87)",
        evidence=(DROP_RULE,),
        why="A tunnelled packet arrives as a UDP packet of the underlay: from 192.168.3.87 to "
        "192.168.3.86:8472. It meets INPUT on node1-c4 before flannel.1 opens it, and the first rule there "
        "drops everything from 192.168.3.87. Every pod of node2-c4 is cut off from every pod of node1-c4.",
        fix=Fix("Delete rule 1 of INPUT on node1-c4.", "node1-c4", ("iptables -D INPUT 1",), checked=True),
        cause=True,
    )


def dropped() -> Diagnosis:
    """Break the healthy flow as the manual does: rule 1 of INPUT drops the outer packet."""
    steps = forward_steps()
    inside = next(i for i, s in enumerate(steps) if s.node == "node1-c4" and s.hook == "INPUT")
    fatal = replace(
        steps[inside],
        decision="dropped by rule 1",
        evidence=(DROP_RULE,),
        ends=Disposition.DROPPED,
    )
    dead = branch([*steps[:inside], fatal], outcome=Outcome.TIMEOUT)
    mtu = Finding(
        "conntrack-nearly-full",
        Severity.WARNING,
        Where("node2-c4", "host"),
        "the connection tracking table is 91 % full (119,012 of 131,072)",
        (Evidence("sysctl", "net.netfilter.nf_conntrack_count = 119012", node="node2-c4"),),
        "When the table is full, new connections are dropped without a rule saying so.",
        Fix("Raise nf_conntrack_max.", "node2-c4", ("sysctl -w net.netfilter.nf_conntrack_max=262144",)),
        Confidence.LIKELY,
    )
    return diagnosis(dead, verdict=Verdict.FAIL, findings=(drop_finding(), mtu))


def endpoint_branch(address: str, *, ok: bool, weight: float) -> Branch:
    """One endpoint of the service; a refused one has nobody listening."""
    steps = forward_steps(address)
    client = packet(f"10.244.3.70:{RANGE}", "10.96.17.4:80")
    steps[0] = replace(steps[0], before=client, after=client)
    hook = next(i for i, s in enumerate(steps) if s.hook == "PREROUTING")
    rules = (
        Evidence(
            "iptables-rule",
            '-A KUBE-SERVICES -d 10.96.17.4/32 -p tcp -m comment --comment "demo/web:http cluster IP" '
            "-m tcp --dport 80 -j KUBE-SVC-YW3ZB2SOHSHYR3ZR",
            "nat KUBE-SERVICES rule 7",
            412,
            None,
            "node2-c4",
        ),
        Evidence(
            "iptables-rule",
            "-A KUBE-SVC-YW3ZB2SOHSHYR3ZR -m statistic --mode random "
            "--probability 0.33333333349 -j KUBE-SEP-2",
            "nat KUBE-SVC-YW3ZB2SOHSHYR3ZR rule 2",
            137,
            None,
            "node2-c4",
        ),
    )
    changed = packet(f"10.244.3.70:{RANGE}", f"{address}:8080")
    nat = at(
        "node2-c4/host",
        StepKind.NAT,
        "PREROUTING",
        f"DNAT to {address}:8080",
        *rules,
        before=client,
        after=changed,
    )
    steps.insert(hook + 1, nat)
    if ok:
        return branch(
            steps,
            reply_steps(address),
            weight=weight,
            choices=(f"endpoint {address}:8080",),
            seen_source="10.244.3.70",
        )
    steps[-1] = at(
        f"node1-c4/{SERVER}",
        StepKind.SOCKET,
        "eth0",
        "no process listens on port 8080: RST",
        Evidence("socket", "LISTEN 0.0.0.0:80", "the only TCP socket", node="node1-c4"),
        ends=Disposition.REFUSED,
    )
    rst = walk(
        "RST",
        [
            *reply_steps(address)[:-1],
            replace(reply_steps(address)[-1], decision="the connecting socket is refused"),
        ],
    )
    return branch(
        steps,
        None,
        (rst,),
        Outcome.REFUSED,
        weight=weight,
        choices=(f"endpoint {address}:8080",),
        disposition=Disposition.REFUSED,
    )


def service() -> Diagnosis:
    """Ask a service with three endpoints of which one refuses."""
    branches = (
        endpoint_branch("10.244.2.201", ok=True, weight=0.33333333349),
        endpoint_branch("10.244.2.202", ok=False, weight=0.333333333255),
        endpoint_branch("10.244.2.203", ok=True, weight=0.333333333255),
    )
    refused = Finding(
        "nobody-listens",
        Severity.CRITICAL,
        Where("node1-c4", SERVER),
        "1 of 3 endpoints refuses: nobody listens on 10.244.2.202:8080",
        (Evidence("socket", "LISTEN 0.0.0.0:80", "the only TCP socket", node="node1-c4"),),
        "The service's targetPort is 8080, the process in this pod listens on 80.",
        Fix("Let the process listen on 8080, or correct targetPort."),
        Confidence.CERTAIN,
        cause=True,
    )
    whole = diagnosis(
        *branches,
        verdict=Verdict.MIXED,
        findings=(refused,),
        destination=Endpoint("svc/demo/web", "10.96.17.4", "service", "demo/web"),
    )
    flow = Flow("10.244.3.70", "10.96.17.4", "tcp", 80)
    return replace(
        whole, path=replace(whole.path, flow=flow, assumptions=("a new connection: no conntrack entry",))
    )


def unknown() -> Diagnosis:
    """Walk where a host did not answer, and a rule uses a module that cannot be decided."""
    steps = forward_steps()
    cut = next(i for i, s in enumerate(steps) if s.node == "node1-c4")
    reason = "node1-c4 was not collected: its rules and routes are not known"
    steps = [
        *steps[:cut],
        at(
            "node1-c4/host",
            StepKind.RECEIVE,
            "eth0",
            "what node1-c4 does is not known",
            Evidence("gap", "unreachable: no TCP connection within 5 s", "host node1-c4", node="node1-c4"),
            unknown=reason,
            ends=Disposition.UNKNOWN,
            depth=1,
        ),
    ]
    hook = next(i for i, s in enumerate(steps) if s.hook == "FORWARD")
    rule = Evidence(
        "iptables-rule",
        "-A FORWARD -m recent --rcheck --name bad --rsource -j DROP",
        "filter FORWARD rule 2",
        0,
        None,
        "node2-c4",
    )
    module = "rule 2 of FORWARD (filter) on node2-c4 matches by -m recent, which cannot be decided"
    steps[hook] = replace(steps[hook], decision="may be dropped by rule 2", unknown=module, evidence=(rule,))
    passed = branch(
        steps,
        outcome=Outcome.UNKNOWN,
        unknowns=(module, reason),
        choices=("rule 2 of FORWARD does not match",),
        weight=0.5,
    )
    fatal = replace(steps[hook], decision="dropped by rule 2, if it matches", ends=Disposition.DROPPED)
    lost = branch(
        [*steps[:hook], fatal],
        outcome=Outcome.TIMEOUT,
        unknowns=(module,),
        weight=0.5,
        choices=("rule 2 of FORWARD matches",),
    )
    hosts = (
        HostCoverage("master-c4", "ok"),
        HostCoverage("node1-c4", "unreachable", "no TCP connection to 192.168.3.86:22 within 5 s"),
        HostCoverage("node2-c4", "partial", "", ("nft ruleset: denied", "conntrack: absent")),
    )
    finding = Finding(
        "host-not-collected",
        Severity.WARNING,
        Where("node1-c4"),
        "node1-c4 gave no answer",
        (),
        "What it does with packets cannot be known.",
        None,
        Confidence.POSSIBLE,
    )
    whole = diagnosis(
        passed, lost, verdict=Verdict.UNKNOWN, findings=(finding,), coverage=Coverage(hosts, "not asked")
    )
    path = replace(
        whole.path,
        disposition=Disposition.UNKNOWN,
        outcome=Outcome.UNKNOWN,
        assumptions=("the switch between the nodes forwards every packet",),
    )
    return replace(whole, path=path)


def long_way() -> Diagnosis:
    """Forty hosts' worth of forwarding, ended by a routing loop."""
    header = packet(f"10.244.3.70:{RANGE}", "10.244.2.201:8080")
    steps = leave_pod(f"node2-c4/{CLIENT}", header, "10.244.3.1")
    for number in range(1, 41):
        place = f"router-{number:02d}/host"
        steps += [
            at(place, StepKind.RECEIVE, "eth0", "received"),
            at(place, StepKind.HOOK, "PREROUTING", "accepted by policy"),
            at(place, StepKind.ROUTE, "eth1", f"10.244.2.0/24 via 172.16.{number}.1 dev eth1"),
            at(place, StepKind.HOOK, "FORWARD", "accepted by policy"),
            at(place, StepKind.HOOK, "POSTROUTING", "accepted by policy"),
            at(place, StepKind.TRANSMIT, "eth1", f"sent to 172.16.{number}.1"),
        ]
    steps.append(
        at(
            "router-01/host",
            StepKind.END,
            "eth0",
            "the packet is back where it was: its TTL runs out",
            route("10.244.2.0/24 via 172.16.1.1 dev eth1", "router-01"),
            ends=Disposition.LOOP,
        )
    )
    return diagnosis(branch(steps, outcome=Outcome.TIMEOUT), verdict=Verdict.FAIL)


def hops40() -> Diagnosis:
    """Forty stations on few hosts, both ways."""
    extra = [
        at(
            "node2-c4/host",
            StepKind.HOOK,
            f"FORWARD{'' if i % 2 else 'ED'}",
            f"accepted by rule {i} of FORWARD",
        )
        for i in range(1, 13)
    ]
    steps = forward_steps()
    cut = next(i for i, s in enumerate(steps) if s.hook == "FORWARD") + 1
    return diagnosis(branch([*steps[:cut], *extra, *steps[cut:]], reply_steps()), verdict=Verdict.PASS)


def hostile() -> Diagnosis:
    """Names and rules made by somebody who wants to be rendered."""
    script = "<script>alert('pod')</script>"
    ansi = "\x1b[2J\x1b]0;owned\x07red\x1b[31m"
    rtl = "abc\u202etxt.exe\u2066שלום"  # noqa: RUF001
    big = "-A INPUT " + "A" * 5_000_000
    place = f"node1-c4/{script}"
    header = PacketView(script, rtl, "tcp", "1-2", "]]>&amp;", encapsulates="\"'><svg onload=x>")
    steps = [
        at(place, StepKind.SEND, ansi, f"sent {rtl}", before=header, after=header),
        at(
            f"{script}/{ansi}",
            StepKind.HOOK,
            "INPUT",
            f"dropped {script}\n{ansi}\x00\ud800\uffff",
            Evidence("iptables-rule", big, script, 1, None, "node1-c4"),
            Evidence("iptables-rule", f'-A INPUT -m comment --comment "{script}{ansi}" -j DROP', ansi),
            ends=Disposition.DROPPED,
        ),
    ]
    finding = Finding(
        "rule-drops",
        Severity.FATAL,
        Where(script, ansi),
        f"{script} {ansi} {rtl}",
        (Evidence("iptables-rule", big, script, 1, None, "node1-c4"),),
        f"{script}{ansi}",
        Fix(f"{script}", script, (f"iptables -D INPUT 1 # {script}\nrm -rf /",)),
        Confidence.LIKELY,
        cause=True,
    )
    lost = branch(steps, outcome=Outcome.TIMEOUT, choices=(script, ansi), unknowns=(rtl,))
    return diagnosis(
        lost,
        verdict=Verdict.FAIL,
        findings=(finding,),
        source=Endpoint(script, script, "pod", rtl, ansi),
        destination=Endpoint(ansi, ansi, "unknown"),
        coverage=Coverage((HostCoverage(script, "partial", ansi, (rtl, script)),), script),
        detected=Detected(script, (ansi,), rtl, "\x9b31m"),
        collected_at="\x1b[5m",
    )


def same_node() -> Diagnosis:
    """Two pods of one node, over its bridge: three stations of interest."""
    header = packet(f"10.244.2.5:{RANGE}", "10.244.2.201:8080")
    back = packet("10.244.2.201:8080", f"10.244.2.5:{RANGE}", flags="SYN,ACK")
    there = [
        at(f"node1-c4/{CLIENT}", StepKind.SEND, "eth0", "sent by the process", before=header, after=header),
        at("node1-c4/host", StepKind.BRIDGE, "cni0", "from port veth1 to port veth2"),
        at(f"node1-c4/{SERVER}", StepKind.SOCKET, "eth0", "a process listens", ends=Disposition.DELIVERED),
    ]
    answer = [
        at(f"node1-c4/{SERVER}", StepKind.SEND, "eth0", "sent by the process", before=back, after=back),
        at("node1-c4/host", StepKind.BRIDGE, "cni0", "from port veth2 to port veth1"),
        at(f"node1-c4/{CLIENT}", StepKind.SOCKET, "eth0", "the socket takes it", ends=Disposition.DELIVERED),
    ]
    return diagnosis(
        branch(there, answer),
        verdict=Verdict.PASS,
        source=Endpoint("10.244.2.5", "10.244.2.5", "pod", CLIENT, "node1-c4"),
    )


def reply_lost() -> Diagnosis:
    """Let the SYN arrive; the SYN-ACK dies on its way: node2-c4 has no route back."""
    steps = reply_steps()
    cut = next(i for i, s in enumerate(steps) if s.kind is StepKind.ROUTE and s.namespace == "host")
    fatal = replace(
        steps[cut],
        decision="no route to 10.244.3.70",
        ends=Disposition.NO_ROUTE,
        device="",
        evidence=(Evidence("gap", "no route matches 10.244.3.70", "table main, 6 routes", node="node1-c4"),),
    )
    finding = Finding(
        "route-missing",
        Severity.FATAL,
        Where("node1-c4", "host"),
        "node1-c4 has no route to 10.244.3.0/24, the pod network of node2-c4",
        fatal.evidence,
        "The answer finds no route and is dropped; the client never sees it.",
        Fix(
            "Add the route.",
            "node1-c4",
            ("ip route add 10.244.3.0/24 via 10.244.3.0 dev flannel.1 onlink",),
            True,
        ),
        cause=True,
    )
    lost = branch(forward_steps(), [*steps[:cut], fatal], outcome=Outcome.TIMEOUT)
    return diagnosis(lost, verdict=Verdict.FAIL, findings=(finding,))


ALL = {
    "healthy": healthy,
    "dropped": dropped,
    "service": service,
    "unknown": unknown,
    "long_way": long_way,
    "hops40": hops40,
    "hostile": hostile,
    "same_node": same_node,
    "reply_lost": reply_lost,
}
