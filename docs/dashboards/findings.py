"""The dashboard of what ``skoopctl run --push`` found: findings, coverage, paths."""

from __future__ import annotations

from docs.dashboards.network import ANY
from docs.dashboards.parts import FINE, NOTE, WRONG, Board, Kind, Link, Panel, Query, Row, Variable, board_url

RUN = 'cluster=~"$cluster",plan=~"$plan"'
GROUP = (("cluster", "cluster"), ("plan", "plan"))
_SEVERITIES = (
    ("fatal", WRONG, "Traffic does not pass: begin here."),
    ("critical", WRONG, "Traffic is lost, or will be soon."),
    ("warning", NOTE, "Not as it should be; it can wait for the day."),
    ("info", FINE, "Worth knowing."),
)


def _count(severity: str, color: str, about: str) -> Panel:
    return Panel(
        severity.capitalize(),
        f"Findings of severity {severity} in the last run of each plan. {about}",
        (Query(f'sum(skoopctl_findings{{{RUN},severity="{severity}"}})'),),
        kind=Kind.NUMBER,
        steps=((1, color),),
        width=4,
        height=4,
        empty="no run",
    )


GLANCE = Row(
    "The last runs",
    (
        *(_count(*row) for row in _SEVERITIES),
        Panel(
            "Hosts that did not answer",
            "Hosts of the last run without a whole answer. What a run says holds only for those that answered.",
            (Query(f'sum(skoopctl_hosts{{{RUN},status!="ok"}})'),),
            kind=Kind.NUMBER,
            steps=((1, NOTE),),
            width=4,
            height=4,
            empty="no run",
        ),
        Panel(
            "Age of the oldest last run",
            "How long ago the plan that ran longest ago began. Old results are no results: look at its timer.",
            (Query(f"max(time() - skoopctl_run_timestamp_seconds{{{RUN}}})"),),
            unit="s",
            kind=Kind.NUMBER,
            steps=((90000, NOTE), (172800, WRONG)),
            width=4,
            height=4,
            empty="no run",
        ),
    ),
)

NOW = Row(
    "Now",
    (
        Panel(
            "Findings",
            "Every finding of the last runs, and how often it was found there. `skoopctl explain ID` says "
            "what it means and what to do; docs/findings.md holds the same. A click on a node shows its "
            "metrics.",
            (Query(f"skoopctl_finding{{{RUN}}}", "times", steps=((1, NOTE),)),),
            kind=Kind.TABLE,
            width=14,
            height=9,
            columns=(("id", "finding"), ("severity", "severity"), ("node", "node"), *GROUP),
            sort="times",
            links=(
                Link(
                    "This node's metrics", board_url("skoopctl-nodes", node="${__data.fields.node}"), "node"
                ),
                Link(
                    "What it means: docs/findings.md", "$docs/findings.md#${__data.fields.finding}", "finding"
                ),
            ),
            empty="nothing was found",
        ),
        Panel(
            "Paths",
            "Whether each path that a plan expects is so. A path that could not be decided is not here. "
            "`skoopctl run` prints which step ended it.",
            (Query(f"skoopctl_path_expected{{{RUN}}}", "as expected", steps=((1, FINE),)),),
            kind=Kind.TABLE,
            width=10,
            height=9,
            columns=(("path", "path"), *GROUP),
            words=((0, "no", WRONG), (1, "yes", FINE)),
            empty="no plan has paths",
        ),
    ),
)

HISTORY = Row(
    "History",
    (
        Panel(
            "Findings by severity",
            "How many findings the last run had, over time. A step up tells when it began.",
            (Query(f"sum by (severity) (skoopctl_findings{{{RUN}}})", "{{severity}}"),),
        ),
        Panel(
            "Hosts by answer",
            "How asking the hosts went, over time.",
            (Query(f"sum by (status) (skoopctl_hosts{{{RUN}}}) > 0", "{{status}}"),),
        ),
        Panel(
            "Paths by state",
            "How many paths are as expected (met), are not (unmet), or could not be decided, over time.",
            (Query(f"sum by (state) (skoopctl_paths{{{RUN}}})", "{{state}}"),),
        ),
        Panel(
            "Duration of runs",
            "How long the last run of each plan took.",
            (Query(f"skoopctl_run_duration_seconds{{{RUN}}}", "{{plan}} on {{cluster}}"),),
            unit="s",
            width=12,
        ),
        Panel(
            "Inspections that broke off",
            "An inspection that broke off is a bug of skoopctl; the other inspections are not affected.",
            (Query(f"sum by (inspection) (skoopctl_inspection_fault{{{RUN}}})", "{{inspection}}"),),
            steps=ANY,
            width=12,
        ),
    ),
)

BOARD = Board(
    "skoopctl-findings",
    "skoopctl / findings",
    "What the last inspections found, whom they could ask, and whether paths are as expected.",
    (
        Variable("cluster", "cluster", "skoopctl_run_timestamp_seconds", "Cluster", all=True),
        Variable("plan", "plan", 'skoopctl_run_timestamp_seconds{cluster=~"$cluster"}', "Plan", all=True),
    ),
    (GLANCE, NOW, HISTORY),
    refresh="5m",
    since="now-7d",
)
