"""The dashboard of events: from Loki which, where and why; from Prometheus how many, the lost samples too."""

from __future__ import annotations

from docs.dashboards.network import WINDOW
from docs.dashboards.nodes import TO_ROW
from docs.dashboards.parts import NOTE, WRONG, Board, Kind, Panel, Query, Row, Variable
from skoopctl.bpf.catalogue import PROBES
from skoopctl.events.reasons import DROP_REASONS
from skoopctl.events.thresholds import EVENT_THRESHOLDS

OURS = 'job="skoopctl",cluster=~"$cluster",node=~"$node"'
LINES = '| json | __error__="" | namespace=~"$namespace"'
"""Fields of the line; an event of the node itself has no namespace, which fits when all are chosen."""
SPAN, STEP = "$__range", "$__interval"
ANY = 'type=~"$type"'
DROPS = 'type="packet-loss"'
DNS = 'type=~"dns-.+"'
SHOWN = 20
NODES = 'cluster=~"$cluster",k8s_node=~"$node"'
PODS = f'{NODES},k8s_namespace=~"$namespace"'
KINDS = f'{PODS},type=~"$type"'
"""The same of Prometheus."""
NO_PROBES = "push has no event probes"

SENTENCE = "{{.kind}}  {{if .pod}}{{.namespace}}/{{.pod}}  {{end}}{{.says}}{{if .doubt}}  ({{.doubt}}){{end}}"


def lines(which: str, more: str = "") -> str:
    """Return the events that are shown, narrowed by the label ``type``, then by ``more``."""
    return f"{{{OURS},{which}}} {LINES}{more}"


def counted(which: str, by: str = "", more: str = "") -> str:
    """Return how many events there were in the time that is shown."""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (count_over_time({lines(which, more)} [{SPAN}]))"


def _grows(metric: str, select: str) -> str:
    return f"rate({metric}{{{select}}}[{WINDOW}])"


def _number(title: str, about: str, which: str) -> Panel:
    return Panel(
        title,
        f"{about} In the time that is shown, as far as they got to Loki.",
        (Query(counted(which)),),
        kind=Kind.NUMBER,
        width=4,
        height=4,
        empty="0",
        events=True,
    )


def _most(
    title: str, about: str, which: str, columns: tuple[tuple[str, str], ...], more: str = "", width: int = 12
) -> Panel:
    by = ", ".join(name for name, _ in columns)
    return Panel(
        title,
        about,
        (Query(f"topk({SHOWN}, {counted(which, by, more)})", "events"),),
        kind=Kind.TABLE,
        width=width,
        height=9,
        columns=columns,
        sort="events",
        empty="no such event",
        events=True,
        links=(TO_ROW,) if "pod" in dict(columns) else (),
    )


GLANCE = Row(
    "At a glance",
    (
        _number("Events", "Events of the chosen nodes, types and namespaces.", ANY),
        _number(
            "Packets dropped",
            "Packets that a kernel freed because they went nowhere. Why, and where: *Why packets are dropped*.",
            DROPS,
        ),
        _number(
            "Resets",
            "TCP resets, sent and received. `reset-no-socket`: nobody listens there any more.",
            'type=~"reset-.+"',
        ),
        _number(
            "Sent again",
            "TCP segments that were sent again, SYN-ACKs and probes too. Loss on the way, or a peer that is too busy.",
            'type=~"retransmit.*"',
        ),
        _number(
            "Connections that failed",
            "Connections that got an error, or were given up without an answer: see *Why connections fail*.",
            'type=~"connect-(failed|abandoned)"',
        ),
        Panel(
            "Did not get to Loki",
            "Events in the last hour that Loki refused or that had no room to wait: what is shown here lacks them. "
            "`skoopctl_push_loki_events_total` tells which, the log of `skoopctl push` why.",
            (
                Query(
                    'sum(increase(skoopctl_push_loki_events_total{cluster=~"$cluster",result!="sent"}[1h]))'
                ),
            ),
            kind=Kind.NUMBER,
            steps=((1, NOTE),),
            width=4,
            height=4,
            empty="not known",
        ),
    ),
)

RATES = Row(
    "Over time",
    (
        Panel(
            "Events by type",
            "Events a second by type, as Loki has them. What each type means stands at the end.",
            (Query(f"sum by (type) (rate({lines(ANY)} [{STEP}]))", "{{type}}"),),
            unit="cps",
            width=12,
            height=8,
            empty="no such event",
            events=True,
        ),
        Panel(
            "Events by node",
            "Events a second by node, as Loki has them. One node alone: look at it; all of them: at what they share.",
            (Query(f"sum by (node) (rate({lines(ANY)} [{STEP}]))", "{{node}}"),),
            unit="cps",
            width=12,
            height=8,
            empty="no such event",
            events=True,
        ),
        Panel(
            "Counted in the kernel",
            "Events a second by type, counted on the nodes, whatever became of their samples. More than in *Events by "
            "type*: samples found no room, or did not get to Loki.",
            (Query(f"sum by (type) ({_grows('skoopctl_events_total', KINDS)})", "{{type}}"),),
            unit="cps",
            width=12,
            height=8,
            empty=NO_PROBES,
        ),
        Panel(
            "Packets dropped, by reason",
            "Packets that kernels dropped, a second, by the kernel's own reason, counted on the nodes. What each "
            "means stands in the last row, which is closed.",
            (Query(f"sum by (reason) ({_grows('skoopctl_packet_drops_total', PODS)})", "{{reason}}"),),
            unit="pps",
            width=12,
            height=8,
            empty=NO_PROBES,
        ),
        Panel(
            "KubeSkoop's counters",
            "Packets that were dropped and segments that were sent again, a second, on the chosen nodes, by its "
            "metrics: these have both ends as labels, and the flows that were seen last.",
            (
                Query(f"sum({_grows('kubeskoop_packetloss_total', NODES)})", "dropped"),
                Query(f"sum({_grows('kubeskoop_tcpretrans_total', NODES)})", "sent again"),
            ),
            unit="pps",
            width=8,
            empty=NO_PROBES,
        ),
        Panel(
            "Samples without room",
            "Events a second that were counted, and of which no sample was left: what Loki has of these nodes is not "
            "all. Fewer probes, or higher thresholds, bring fewer samples.",
            (
                Query(
                    f"sum by (k8s_node) ({_grows('skoopctl_event_samples_lost_total', NODES)})",
                    "{{k8s_node}}",
                ),
            ),
            unit="cps",
            width=8,
            empty=NO_PROBES,
        ),
        Panel(
            "Event probes that do not run whole",
            "Probes that are unavailable on a node, or of which a hook is missing there. `skoopctl probe list -i "
            "INVENTORY` says why.",
            (Query(f'skoopctl_event_probe_up{{{NODES},state!="available"}}', "runs"),),
            kind=Kind.TABLE,
            width=8,
            columns=(("k8s_node", "node"), ("probe", "probe"), ("state", "state")),
            words=((0, "not whole", NOTE),),
            sort="state",
            empty="all run, or push has none",
        ),
    ),
)

WHY = Row(
    "Where, and why",
    (
        _most(
            "Pods with most events",
            "Whose network namespace, or whose socket, it was. A click shows the pod's metrics. Events of nodes "
            "themselves are not here; `unknown` is an owner that could not be told.",
            ANY,
            (("namespace", "namespace"), ("pod", "pod"), ("node", "node"), ("type", "type")),
            ' | pod!=""',
        ),
        _most(
            "Why packets are dropped",
            "The kernel's reason, the netfilter hook if it was a rule, and the function. `NETFILTER_DROP`: "
            "`skoopctl diagnose` names the rule; `NO_SOCKET`: nobody listens on that port.",
            DROPS,
            (("reason", "reason"), ("hook", "hook"), ("function", "function")),
        ),
        _most(
            "Packets dropped, by way",
            "Who sent them, and for whom they were, where both have addresses. `skoopctl diagnose -s … -d …` walks "
            "the way and says where it ends.",
            DROPS,
            (
                ("source_name", "from"),
                ("source_address", "address"),
                ("destination_name", "to"),
                ("destination_address", "its address"),
                ("destination_port", "port"),
            ),
            ' | source_address!=""',
        ),
        _most(
            "Why connections fail",
            "What programs got instead of a connection. `ECONNREFUSED`: nobody listens; `ETIMEDOUT`: no answer came; "
            "without an error: it was given up.",
            'type=~"connect-(failed|abandoned)"',
            (
                ("namespace", "namespace"),
                ("pod", "pod"),
                ("error", "error"),
                ("destination_name", "to"),
                ("destination_address", "its address"),
                ("destination_port", "port"),
            ),
        ),
        Panel(
            "Longest latencies",
            "The longest time of each type on each node in the time that is shown, of events that took longer than "
            "their threshold.",
            (
                Query(
                    f'max_over_time({lines(ANY)} | unwrap latency_ns | __error__="" [{SPAN}]) by (type, node)',
                    "longest",
                    unit="ns",
                    steps=((100_000_000, NOTE), (1_000_000_000, WRONG)),
                ),
            ),
            kind=Kind.TABLE,
            width=12,
            height=9,
            columns=(("type", "type"), ("node", "node")),
            sort="longest",
            empty="nothing took long",
            events=True,
        ),
        _most(
            "Ends of resets",
            "Who sent resets, and to whom. A server that resets what it has accepted closes with data unread, or its "
            "program was killed.",
            'type=~"reset-.+"',
            (
                ("type", "type"),
                ("source_name", "from"),
                ("source_address", "address"),
                ("destination_name", "to"),
                ("destination_address", "its address"),
            ),
        ),
    ),
)


NAMES = Row(
    "Names (DNS)",
    (
        _most(
            "Names that were not answered well",
            "What was asked for, by whom, and what came: an error, no such name, no answer, or one that took long. "
            "Many names that are not there are the search list's (ndots); no answer is a lost packet or a server that "
            "is too busy.",
            DNS,
            (
                ("namespace", "namespace"),
                ("pod", "pod"),
                ("type", "type"),
                ("details_name", "name"),
                ("details_type", "asked for"),
                ("details_rcode", "code"),
                ("destination_name", "server"),
            ),
            width=16,
        ),
        Panel(
            "Answers that were not well",
            "Queries a second that got no answer, an error, no such name, or an answer after long.",
            (Query(f"sum by (type) (rate({lines(DNS)} [{STEP}]))", "{{type}}"),),
            unit="ops",
            width=8,
            height=9,
            empty="no such event",
            events=True,
        ),
    ),
)


def _finding(kind: str) -> str:
    """Return a link to the finding that a kind of events becomes, where it becomes exactly one."""
    found = {row.finding for row in EVENT_THRESHOLDS.values() if kind in row.kinds}
    return _linked(found.pop()) if len(found) == 1 else "-"


def _linked(finding: str) -> str:
    return f"[{finding}]($docs/findings.md#{finding})"


def _meanings() -> str:
    rows = [
        f"| `{kind.name}` | {kind.tells} | {_finding(kind.name)} | [{probe.name}]($docs/ebpf.md#{probe.name}) "
        f"| {kind.compatible or '-'} |"
        for probe in PROBES.values()
        for kind in probe.kinds
    ]
    head = "| type | what happened | finding | probe | KubeSkoop's type |"
    return "\n".join([head, "|---|---|---|---|---|", *rows])


def _reasons() -> str:
    rows = [
        f"| `{reason.name}` | {reason.means} | {'it happens where all is well' if reason.noise else reason.cause} "
        f"| {_linked(reason.subject.value.finding) if reason.subject and not reason.noise else '-'} |"
        for reason in DROP_REASONS.values()
    ]
    return "\n".join(["| reason | means | usual cause | finding |", "|---|---|---|---|", *rows])


EACH = Row(
    "The events",
    (
        Panel(
            "Newest events",
            "One line an event; a click on it shows every field. `skoopctl diagnose` walks the way of a packet that "
            "is lost here.",
            (Query(f'{lines(ANY)} | line_format "{SENTENCE}"'),),
            kind=Kind.LOGS,
            width=24,
            height=14,
            events=True,
        ),
        Panel(
            "What each type means",
            "The kinds of events that there are, the finding that many of them are, the probe, and KubeSkoop's name.",
            kind=Kind.TEXT,
            width=24,
            height=12,
            text=_meanings(),
        ),
    ),
)

REASONS = Row(
    "The kernel's reasons for drops",
    (
        Panel(
            "What each reason means",
            "Every reason that kernels from 5.17 to 6.18 have for dropping a packet, what usually causes it, and the "
            "finding that it is. `skoopctl explain` says what to look at.",
            kind=Kind.TEXT,
            width=24,
            height=20,
            text=_reasons(),
        ),
    ),
    collapsed=True,
)

BOARD = Board(
    "skoopctl-events",
    "skoopctl / events",
    "What the kernels of all nodes tell: drops, resets, retransmissions, latencies, each with its cause and its pod.",
    (
        Variable("cluster", "cluster", '{job="skoopctl"}', "Cluster", all=True, events=True),
        Variable("node", "node", '{job="skoopctl"}', "Node", all=True, events=True),
        Variable("type", "type", '{job="skoopctl"}', "Type", all=True, events=True),
        Variable(
            "namespace", "k8s_namespace", 'kubeskoop_netdev_rxbytes{k8s_pod!=""}', "Namespace", all=True
        ),
    ),
    (GLANCE, RATES, WHY, NAMES, EACH, REASONS),
)
