"""All checks, in the order in which they are shown. docs/doctor.md is written from this table."""

from __future__ import annotations

from skoopctl.doctor import connection, machine, probing, reading
from skoopctl.doctor.check import Check

CHECKS: dict[str, Check] = {
    check.id: check for check in (*connection.CHECKS, *reading.CHECKS, *probing.CHECKS, *machine.CHECKS)
}
