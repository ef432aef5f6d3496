"""Write docs/plans.md from the model of plans and the table of inspections, and docs/schema/plan-1.schema.json.

``make docs`` runs it; with ``--check`` it only says whether the pages are fresh.
"""

from __future__ import annotations

import json
from pathlib import Path

from docs.keys import tables
from docs.pages import write_or_check
from skoopctl.checks.inspections import INSPECTIONS, THRESHOLDS
from skoopctl.events.thresholds import EVENT_THRESHOLDS
from skoopctl.plans import model
from skoopctl.plans.load import builtin_plans, load_plan
from skoopctl.plans.loki_part import LokiPart
from skoopctl.plans.model import Plan, plan_schema
from skoopctl.plans.part import Part
from skoopctl.probes.anomalies import THRESHOLDS as PROBE_THRESHOLDS

HERE = Path(__file__).parent
PARTS: tuple[tuple[str, type[Part]], ...] = (
    ("The plan", Plan),
    ("An entry of `paths`", model.Path),
    ("`deadlines`", model.DeadlinesPart),
    ("An entry of `reports`", model.Report),
    ("`push`", model.Push),
    ("`loki` of `push`", LokiPart),
    ("`keep`", model.Keep),
)
KINDS = {
    "thresholds": "numbers by name",
    "labels": "texts by name",
    "from": "text or list",
    "to": "text or list",
}
OPENING = """\
# Plans

*Written by `make docs` from the code's tables.*

A plan says who is asked, what is looked at, and what must be so. `skoopctl run PLAN -i INVENTORY` carries it out:
every host is asked once, over one connection with one exec; all the rest is worked out on the workstation. Nothing
on the nodes is changed. A mistake in a plan is one line with its file and line number, before anybody is asked.

```yaml
# yaml-language-server: $schema=https://…/docs/schema/plan-1.schema.json
plan: shop
description: What the shop needs
hosts: "nodes:!spare"
inspections: [evidence, forwarding, conntrack, mesh, dns]
paths:
  - name: web reaches the database
    from: [pod/shop/web-0, pod/shop/web-1]
    to: svc/shop/db
    port: 5432
  - name: nobody else does
    from: pod/test/runner-0
    to: svc/shop/db
    port: 5432
    expect: blocked
thresholds: {conntrack-usage: 0.7}
fail-on: critical
reports:
  - {format: html, file: "shop-{time}.html"}
push: {gateway: "http://pushgateway:9091"}
keep: {runs: 60, bundles: 2}
```

Editors complete and check plans with [schema/plan-1.schema.json](schema/plan-1.schema.json). `--check` prints exactly
what would run where, as whom, with the bytes that would be sent, and touches nothing.

A path that is walked is not a packet that is sent: it goes through the routes, rules, tables and sockets that the
nodes' kernels had when they were asked. `reachable` means that the connection would be made and answered,
`refused` that the client would hear so at once, `blocked` that it would not be made in whatever way. What cannot be
decided is neither met nor unmet: it is a warning, and the exit status 3.

"""

PROBING = """
## Probes

`probes: [tcp, tcpext, udp]` makes a run watch these metrics of every node and its pods for `probe-duration` seconds,
once the inspections' evidence is there: a second login to each node, and one exec. What reaches a threshold
is a finding of the run like any other. [probes.md](probes.md) says how to watch by hand, and from where the
numbers come. From evidence in a bundle nothing can be watched: the probes are left out, and that is said.

| threshold | default | severity | finding |
|---|---|---|---|
"""


def page() -> str:
    """Return docs/plans.md."""
    text = OPENING
    text += tables(PARTS, "##", KINDS)
    text += "## Inspections\n\n| name | asks |\n|---|---|\n"
    text += "".join(f"| `{each.name}` | {each.title} |\n" for each in INSPECTIONS.values())
    text += "\n## Thresholds\n\n| name | default | what it decides |\n|---|---|---|\n"
    text += "".join(f"| `{t.name}` | {t.default:g} {t.unit} | {t.decides} |\n" for t in THRESHOLDS.values())
    text += PROBING
    text += "".join(
        f"| `{t.name}` | {t.default:,.7g} {t.unit} | {t.severity.word} | `{t.finding}` |\n"
        for t in PROBE_THRESHOLDS.values()
    )
    text += "".join(
        f"| `{t.name}` | {t.default:,.7g} {t.unit} | {t.severity.word} | `{t.finding}` |\n"
        for t in EVENT_THRESHOLDS.values()
    )
    text += "\n## Plans that come with skoopctl\n\n| name | for | inspections |\n|---|---|---|\n"
    for name in builtin_plans():
        plan, _ = load_plan(name)
        text += f"| `{name}` | {plan.description} | {', '.join(plan.inspections)} |\n"
    return text


def main() -> None:
    """Write the pages, or check them."""
    schema = json.dumps(plan_schema(), indent=2) + "\n"
    write_or_check({HERE / "plans.md": page(), HERE / "schema/plan-1.schema.json": schema})


if __name__ == "__main__":
    main()
