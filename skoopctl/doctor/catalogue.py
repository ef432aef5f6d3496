"""All checks, in the order in which they are shown. docs/doctor.md is written from this table."""

from __future__ import annotations

from skoopctl.doctor import connection, machine, probing, reading
from skoopctl.doctor.check import Check, Judgement, Level

CHECKS: dict[str, Check] = {
    check.id: check for check in (*connection.CHECKS, *reading.CHECKS, *probing.CHECKS, *machine.CHECKS)
}


def fix_of(name: str, row: Judgement) -> str:
    """Return what to do about a row, or nothing: what is not known has no cure of its own."""
    if row.level in {Level.OK, Level.UNKNOWN}:
        return row.fix
    return row.fix or CHECKS[name].fix
