"""Rounds with numbers in them: a node and a pod, whose TCP counters a test sets."""

from __future__ import annotations

import json
from collections.abc import Mapping

from skoopctl.evidence.item import ItemStatus
from skoopctl.evidence.rounds import HOST, Change, Round

NODE, POD = 4026531840, 4026532500
UID = "0c5ad2ab-4c8c-4f5e-9f3e-1d3b7c0b2f10"
POD_NAME = ("shop", "web-0")
SECOND_NS = 1_000_000_000

FIELDS = ("ActiveOpens", "InSegs", "OutSegs", "RetransSegs", "OutRsts")


def snmp(**counters: int) -> bytes:
    """Return a /proc/net/snmp with these counters of Tcp; the others are 0."""
    values = " ".join(str(counters.get(name, 0)) for name in FIELDS)
    return f"Tcp: {' '.join(FIELDS)}\nTcp: {values}\n".encode()


def a_round(number: int, counters: Mapping[int, bytes], at_s: float | None = None, boot: str = "") -> Round:
    """Return a round at so many seconds of the node's clock; ``counters`` are /proc/net/snmp by namespace."""
    seconds = float(number) if at_s is None else at_s
    changes = [Change(inode, "snmp", ItemStatus.OK, "", text) for inode, text in counters.items()]
    if number == 1:
        places = [
            {"inode": NODE, "host": True, "names": [], "cgroups": []},
            {"inode": POD, "host": False, "names": [], "cgroups": [f"/kubepods/burstable/pod{UID}/x"]},
        ]
        folder = f"{POD_NAME[0]}_{POD_NAME[1]}_{UID}\n".encode()
        identity = json.dumps({"root_netns": NODE, "uid": 0, "boot_id": boot}).encode()
        changes = [
            Change(HOST, "identity", ItemStatus.OK, "", identity),
            Change(HOST, "pods", ItemStatus.OK, "", folder),
            Change(HOST, "places", ItemStatus.OK, "", json.dumps(places).encode()),
            *changes,
        ]
    mono_ns = int(seconds * SECOND_NS)
    return Round(number, 1_700_000_000 * SECOND_NS + mono_ns, mono_ns, 1.0, 2.0, 9000, 0, 500, tuple(changes))


def numbers(number: int, *, sent: int, again: int = 0) -> Round:
    """Return a round in which the pod has sent so many segments, and some of them again."""
    pod = snmp(OutSegs=sent, RetransSegs=again, InSegs=sent)
    return a_round(number, {NODE: snmp(OutSegs=7), POD: pod})
