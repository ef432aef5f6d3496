"""What ``skoopctl run --check`` and ``--list`` print."""

from __future__ import annotations

import json
from typing import Any


def check_text(found: dict[str, Any]) -> str:
    """Return what would be done, for people."""
    lines = [f"Plan {found['plan']} on {found['cluster']}: nothing was asked, nothing is changed.", ""]
    for host in found["hosts"]:
        user = f"{host['user']}@" if host["user"] else ""
        becomes = f", as {host['becomes']}" if host["becomes"] else ""
        where = (
            "on this machine"
            if host["connection"] == "local"
            else f"ssh {user}{host['address']}:{host['port']}"
        )
        lines.append(f"{host['host']}: {where}{becomes}")
    commands = list(dict.fromkeys(host["command"] for host in found["hosts"]))
    for command in commands:
        number = sum(host["command"] == command for host in found["hosts"])
        lines += ["", f"On {number} of them, once: {command}"]
    lines += [
        "",
        f"Its standard input: the node program, {found['stdin_bytes']:,} bytes, SHA-256 {found['stdin_sha256']}",
        f"API: {found['api'] or 'not asked'}",
        f"Then, here: {', '.join(found['inspections']) or 'no inspections'}; {found['paths']} entries of paths",
        f"Pushes to: {found['pushes_to'] or 'nobody'}",
        f"Writes: {', '.join(found['writes'])}",
    ]
    return "\n".join(lines)


def listing(*, as_json: bool) -> str:
    """Return the built-in plans, the inspections and the thresholds."""
    from skoopctl.checks.inspections import INSPECTIONS, THRESHOLDS
    from skoopctl.plans.load import builtin_plans, load_plan

    plans = {name: load_plan(name)[0] for name in builtin_plans()}
    if as_json:
        return json.dumps(
            {
                "plans": {
                    name: {"description": p.description, "inspections": p.inspections}
                    for name, p in plans.items()
                },
                "inspections": {each.name: each.title for each in INSPECTIONS.values()},
                "thresholds": {t.name: {"default": t.default, "unit": t.unit} for t in THRESHOLDS.values()},
            },
            indent=2,
        )
    lines = ["Plans:"]
    lines += [f"  {name:<12}{plan.description}" for name, plan in plans.items()]
    lines += ["", "Inspections:"]
    lines += [f"  {each.name:<12}{each.title}" for each in INSPECTIONS.values()]
    lines += ["", "Thresholds:"]
    lines += [f"  {t.name:<16}{t.default:g} {t.unit}: {t.decides}" for t in THRESHOLDS.values()]
    return "\n".join(lines)
