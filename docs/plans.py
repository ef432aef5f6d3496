"""Write docs/plans.md from the model of plans and the table of inspections, and docs/schema/plan-1.schema.json.

``make docs`` runs it; with ``--check`` it only says whether the pages are fresh.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from skoopctl.checks.inspections import INSPECTIONS, THRESHOLDS
from skoopctl.plans import model
from skoopctl.plans.load import builtin_plans, load_plan
from skoopctl.plans.model import Part, Plan, plan_schema
from skoopctl.probes.anomalies import THRESHOLDS as PROBE_THRESHOLDS

HERE = Path(__file__).parent
PARTS: tuple[tuple[str, type[Part]], ...] = (
    ("The plan", Plan),
    ("An entry of `paths`", model.Path),
    ("`deadlines`", model.DeadlinesPart),
    ("An entry of `reports`", model.Report),
    ("`push`", model.Push),
    ("`keep`", model.Keep),
)
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
    for title, part in PARTS:
        text += f"## {title}\n\n| key | value | what it says |\n|---|---|---|\n"
        for name, field in part.model_fields.items():
            text += f"| `{field.alias or name}` | {_value(field)} | {_said(field)} |\n"
        text += "\n"
    text += "## Inspections\n\n| name | asks |\n|---|---|\n"
    text += "".join(f"| `{each.name}` | {each.title} |\n" for each in INSPECTIONS.values())
    text += "\n## Thresholds\n\n| name | default | what it decides |\n|---|---|---|\n"
    text += "".join(f"| `{t.name}` | {t.default:g} {t.unit} | {t.decides} |\n" for t in THRESHOLDS.values())
    text += PROBING
    text += "".join(
        f"| `{t.name}` | {t.default:,.7g} {t.unit} | {t.severity.word} | `{t.finding}` |\n"
        for t in PROBE_THRESHOLDS.values()
    )
    text += "\n## Plans that come with skoopctl\n\n| name | for | inspections |\n|---|---|---|\n"
    for name in builtin_plans():
        plan, _ = load_plan(name)
        text += f"| `{name}` | {plan.description} | {', '.join(plan.inspections)} |\n"
    return text


def _said(field: FieldInfo) -> str:
    if field.description:
        return " ".join(field.description.replace("``", "`").split())
    return (getattr(field.annotation, "__doc__", "") or "").strip()


def _value(field: FieldInfo) -> str:
    kind = _kind(field.annotation)
    if field.is_required():
        return f"{kind}, needed"
    default = field.get_default(call_default_factory=True)
    if default in (None, "", [], {}) or isinstance(default, Part):
        return kind
    return f"{kind}, `{default:g}`" if isinstance(default, float) else f"{kind}, `{default}`"


def _kind(annotation: Any) -> str:
    """Say in a word what a key takes."""
    if str(get_origin(annotation)) == "typing.Literal":
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    text = str(annotation)
    for sign, word in (("dict", "numbers by name"), ("list", "list"), ("int", "number"), ("float", "number")):
        if sign in text and "str | list" not in text:
            return word
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return "see below"
    return "see below" if "model.Push" in text else "text or list" if "list" in text else "text"


def main() -> int:
    """Write the pages, or compare them."""
    pages = {
        HERE / "plans.md": page(),
        HERE / "schema/plan-1.schema.json": json.dumps(plan_schema(), indent=2) + "\n",
    }
    stale = [
        path.name for path, text in pages.items() if not path.exists() or path.read_text("utf-8") != text
    ]
    if "--check" in sys.argv[1:]:
        if stale:
            sys.stderr.write(f"{', '.join(stale)}: not what the code says; run: make docs\n")
        return bool(stale)
    for path, text in pages.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
