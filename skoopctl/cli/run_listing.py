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
        *_probes(found["probes"]),
        f"API: {found['api'] or 'not asked'}",
        f"Then, here: {', '.join(found['inspections']) or 'no inspections'}; {found['paths']} entries of paths",
        f"Pushes to: {found['pushes_to'] or 'nobody'}",
        f"Writes: {', '.join(found['writes'])}",
    ]
    return "\n".join(lines)


def _probes(asked: dict[str, Any] | None) -> list[str]:
    if asked is None:
        return []
    watched = f"{asked['rounds']} rounds of {', '.join(asked['names'])}, one every {asked['interval_s']:g} s"
    sent = f"{asked['stdin_bytes']:,} bytes, SHA-256 {asked['stdin_sha256']}"
    return [f"Then, the same command again, for {watched}; its standard input: {sent}"]


def listing(*, as_json: bool) -> str:
    """Return the built-in plans, the inspections and the thresholds."""
    from skoopctl.checks.inspections import INSPECTIONS, THRESHOLDS
    from skoopctl.events.thresholds import EVENT_THRESHOLDS
    from skoopctl.plans.load import builtin_plans, load_plan
    from skoopctl.probes.anomalies import THRESHOLDS as PROBE_THRESHOLDS
    from skoopctl.probes.catalogue import PROBES

    thresholds = {t.name: (t.default, t.unit, t.decides) for t in THRESHOLDS.values()}
    thresholds |= {
        t.name: (t.default, t.unit, f"from here on it is {t.finding}") for t in PROBE_THRESHOLDS.values()
    } | {t.name: (t.default, t.unit, f"from here on it is {t.finding}") for t in EVENT_THRESHOLDS.values()}
    plans = {name: load_plan(name)[0] for name in builtin_plans()}
    if as_json:
        return json.dumps(
            {
                "plans": {
                    name: {"description": p.description, "inspections": p.inspections}
                    for name, p in plans.items()
                },
                "inspections": {each.name: each.title for each in INSPECTIONS.values()},
                "probes": {each.name: each.title for each in PROBES.values()},
                "thresholds": {
                    name: {"default": default, "unit": unit}
                    for name, (default, unit, _) in thresholds.items()
                },
            },
            indent=2,
        )
    lines = ["Plans:"]
    lines += [f"  {name:<12}{plan.description}" for name, plan in plans.items()]
    lines += ["", "Inspections:"]
    lines += [f"  {each.name:<12}{each.title}" for each in INSPECTIONS.values()]
    lines += ["", "Probes:"]
    lines += [f"  {each.name:<12}{each.title}" for each in PROBES.values()]
    lines += ["", "Thresholds:"]
    lines += [
        f"  {name:<22}{default:g} {unit}: {decides}" for name, (default, unit, decides) in thresholds.items()
    ]
    return "\n".join(lines)
