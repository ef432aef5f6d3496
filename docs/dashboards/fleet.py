"""The dashboard of the whole fleet: who is heard, what is measured, whose packets are lost, and push itself."""

from __future__ import annotations

from docs.dashboards.network import ANY, WINDOW
from docs.dashboards.nodes import FULL, LOSS
from docs.dashboards.parts import (
    FINE,
    NOTE,
    WRONG,
    Board,
    Kind,
    Link,
    Panel,
    Query,
    Row,
    Variable,
    board_url,
)

ALL = 'cluster=~"$cluster"'
PUSH = f"{{{ALL}}}"
NODE_LINK = Link("This node", board_url("skoopctl-nodes", node="${__data.fields.node}"), "node")
POD_LINK = Link(
    "This pod",
    board_url("skoopctl-pods", namespace="${__data.fields.namespace}", pod="${__data.fields.pod}"),
    "pod",
)
PLACED = (("k8s_node", "node"), ("k8s_namespace", "namespace"), ("k8s_pod", "pod"))
UP = ((0, "silent", WRONG), (1, "heard", FINE))
OK = ((0, "no", WRONG), (1, "yes", FINE))


def _number(title: str, about: str, expr: str, unit: str = "short", **more: object) -> Panel:
    return Panel(title, about, (Query(expr),), unit=unit, kind=Kind.NUMBER, width=4, height=4, **more)  # type: ignore[arg-type]


GLANCE = Row(
    "Coverage",
    (
        _number(
            "Nodes that are heard",
            "Nodes whose rounds come. What these dashboards show is of them alone.",
            f'sum(skoopctl_push_nodes{{{ALL},state="up"}})',
            empty="push is not scraped",
        ),
        _number(
            "Nodes that are silent",
            "Nodes of the inventory whose rounds do not come: the table below has their names, and "
            "`skoopctl doctor -l NODE` says why.",
            f'sum(skoopctl_push_nodes{{{ALL},state="down"}})',
            steps=((1, WRONG),),
            empty="push is not scraped",
        ),
        _number(
            "Share that is heard",
            "Nodes that are heard, of all in the inventory.",
            f"avg(skoopctl_push_node_up{PUSH})",
            "percentunit",
            empty="push is not scraped",
        ),
        _number(
            "Oldest round",
            "How long ago the round came that is the oldest of all nodes that are heard. Above two intervals, "
            "something is slow: see the lag.",
            f"max(time() - (skoopctl_push_node_last_round_timestamp_seconds{PUSH} > 0))",
            "s",
            steps=((60, NOTE), (300, WRONG)),
            empty="no round yet",
        ),
        _number(
            "Probes that do not work",
            "Probes of all nodes that are unavailable: the table below says which and where, "
            "`skoopctl probe list -i INVENTORY` says why.",
            f'count(skoopctl_push_node_probe{{{ALL},state="unavailable"}})',
            steps=((1, NOTE),),
            empty="none",
        ),
        _number(
            "Gateway",
            "Whether the Pushgateway takes what is pushed; nothing stands here when none is configured.",
            f"min(skoopctl_push_gateway_up{PUSH})",
            words=((0, "refuses", WRONG), (1, "takes all", FINE)),
            empty="none configured",
        ),
    ),
)

NODES = Row(
    "Nodes",
    (
        Panel(
            "Nodes",
            "Every node of the inventory: whether it is heard, how late its last round was, how often it was logged "
            "in to again and how often that failed in the last hour, what the program there costs. A click on a node "
            "shows its network.",
            (
                Query(f"skoopctl_push_node_up{PUSH}", "heard", words=UP),
                Query(
                    f"time() - (skoopctl_push_node_last_round_timestamp_seconds{PUSH} > 0)", "last round", "s"
                ),
                Query(f"skoopctl_push_node_lag_seconds{PUSH}", "lag", "s", ((5, NOTE), (15, WRONG))),
                Query(
                    f"sum by (node) (increase(skoopctl_push_node_errors_total{PUSH}[1h]))",
                    "errors",
                    steps=ANY,
                ),
                Query(f"increase(skoopctl_push_node_reconnects_total{PUSH}[1h])", "logins again", steps=ANY),
                Query(
                    f"increase(skoopctl_push_node_skipped_rounds_total{PUSH}[1h])",
                    "rounds skipped",
                    steps=ANY,
                ),
                Query(
                    f"rate(skoopctl_push_node_program_cpu_seconds_total{PUSH}[{WINDOW}])",
                    "CPU there",
                    "percentunit",
                    ((0.05, NOTE),),
                ),
                Query(f"skoopctl_push_node_program_memory_bytes{PUSH}", "memory there", "bytes"),
            ),
            kind=Kind.TABLE,
            width=24,
            height=9,
            columns=(("node", "node"),),
            sort="lag",
            links=(NODE_LINK,),
            empty="push is not scraped",
        ),
        Panel(
            "Probes that are not available",
            "Probes that cannot be read on a node, or not wholly. Unavailable is often right: IPVS where kube-proxy "
            "uses iptables, RDMA without such devices. `skoopctl probe list -i INVENTORY` says why.",
            (Query(f'skoopctl_push_node_probe{{{ALL},state=~"degraded|unavailable"}}', "is so", words=OK),),
            kind=Kind.TABLE,
            columns=(("node", "node"), ("probe", "probe"), ("state", "state")),
            sort="state",
            links=(NODE_LINK,),
            empty="every probe can be read everywhere",
        ),
        Panel(
            "Errors by kind",
            "Connections that failed or broke, a second. unreachable: the network or the node; auth-failed and "
            "host-key: keys; denied: sudo; timeout: a node that is stuck.",
            (Query(f"sum by (kind) (rate(skoopctl_push_node_errors_total{PUSH}[{WINDOW}]))", "{{kind}}"),),
            unit="ops",
            empty="no connection has failed",
        ),
        Panel(
            "Lag of rounds",
            "How much later rounds come than the promptest of the same connection, of the ten worst nodes.",
            (Query(f"topk(10, skoopctl_push_node_lag_seconds{PUSH})", "{{node}}"),),
            unit="s",
        ),
    ),
)


def _worst(
    title: str, about: str, expr: str, head: str, unit: str, steps: tuple[tuple[float, str], ...]
) -> Panel:
    return Panel(
        title,
        f"{about} From recording rules (`reports/prometheus/skoopctl-metrics.yaml`).",
        (Query(f"topk(10, {expr})", head, unit, steps),),
        kind=Kind.TABLE,
        width=12,
        columns=PLACED,
        sort=head,
        links=(NODE_LINK, POD_LINK),
        empty="none, or the recording rules are not loaded",
    )


WORST = Row(
    "Where packets are lost",
    (
        _worst(
            "Most segments sent again",
            "The ten nodes and pods that send the largest share of their TCP segments again.",
            f"skoopctl:tcp_resent:ratio_rate5m{PUSH} > 0",
            "sent again",
            "percentunit",
            LOSS,
        ),
        _worst(
            "Most listen queue overflows",
            "The ten nodes and pods whose accept queues overflow most, a second.",
            f"skoopctl:listen_overflows:rate5m{PUSH} > 0",
            "overflows",
            "cps",
            ANY,
        ),
        _worst(
            "Most full UDP buffers",
            "The ten nodes and pods that lose most datagrams to full receive buffers, a second.",
            f"skoopctl:udp_buffer_full:rate5m{PUSH} > 0",
            "lost",
            "pps",
            ANY,
        ),
        _worst(
            "Fullest conntrack tables",
            "The ten fullest tables of connections; when one is full, new connections through it are dropped.",
            f"skoopctl:conntrack_used:ratio{PUSH} > 0",
            "used",
            "percentunit",
            FULL,
        ),
    ),
)

ITSELF = Row(
    "skoopctl push itself",
    (
        Panel(
            "Pushes",
            "Groups that the gateway took, that it did not take, and rounds that a newer one replaced before they "
            "were pushed, a second. Drops without failures: the gateway is slow.",
            (
                Query(f"rate(skoopctl_push_gateway_pushes_total{PUSH}[{WINDOW}])", "pushed"),
                Query(f"sum(rate(skoopctl_push_gateway_failures_total{PUSH}[{WINDOW}]))", "failed"),
                Query(f"rate(skoopctl_push_gateway_drops_total{PUSH}[{WINDOW}])", "dropped"),
            ),
            unit="ops",
            empty="no gateway is configured",
        ),
        Panel(
            "Gateway queue",
            "Groups that wait to be pushed. One that stays near the number of nodes: the gateway does not keep up.",
            (Query(f"skoopctl_push_gateway_queue_length{PUSH}", "waiting"),),
            empty="no gateway is configured",
        ),
        Panel(
            "Traffic from nodes",
            "Bytes of all rounds that came over SSH, a second.",
            (Query(f"sum(rate(skoopctl_push_node_received_bytes_total{PUSH}[{WINDOW}]))", "received"),),
            unit="Bps",
        ),
        Panel(
            "CPU",
            "The share of one core that the service uses, and all node programs together.",
            (
                Query(f"rate(skoopctl_push_cpu_seconds_total{PUSH}[{WINDOW}])", "service"),
                Query(
                    f"sum(rate(skoopctl_push_node_program_cpu_seconds_total{PUSH}[{WINDOW}]))", "all nodes"
                ),
            ),
            unit="percentunit",
        ),
        Panel(
            "Memory",
            "What the service holds. It is bounded by the nodes: a line that only rises is a bug.",
            (Query(f"skoopctl_push_memory_bytes{PUSH}", "memory"),),
            unit="bytes",
        ),
        Panel(
            "Configuration, inventory, names",
            "Whether the configuration, the inventory and the API's list of pods could be read the last time. If not, "
            "the one before goes on, and the log says why.",
            (
                Query(f"min(skoopctl_push_config_last_reload_successful{PUSH})", "configuration"),
                Query(f"min(skoopctl_push_inventory_last_read_successful{PUSH})", "inventory"),
                Query(f"min(skoopctl_push_names_last_read_successful{PUSH})", "names of pods"),
            ),
            kind=Kind.TABLE,
            words=OK,
        ),
    ),
)

BOARD = Board(
    "skoopctl-fleet",
    "skoopctl / fleet",
    "All nodes: who is heard, which probes work, where packets are lost, and how the service itself is.",
    (Variable("cluster", "cluster", "skoopctl_push_nodes", "Cluster", all=True),),
    (GLANCE, NODES, WORST, ITSELF),
)
