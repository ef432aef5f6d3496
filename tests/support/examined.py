"""Nodes for the doctor, made by hand: a healthy one, changed where a test wants it, judged as if it had answered."""

from __future__ import annotations

import json
from typing import Any

from skoopctl.doctor.examine import Examination, judge
from skoopctl.doctor.stopwatch import Timing
from skoopctl.errors import SkoopError
from skoopctl.evidence import Item, ItemStatus
from skoopctl.inventory import InventoryHost
from skoopctl.transport.base import HostResult, HostStatus
from tests.support.answers import answer

NETNS = 7
SECOND_NS = 1_000_000_000
NOON_NS = 1_790_000_000 * SECOND_NS
HOST = InventoryHost("node1", "192.0.2.1")
TIMING = Timing(0.05, 0.1, NOON_NS, NOON_NS + SECOND_NS // 10)


def tool(name: str, version: str = "v1.8.9 (nf_tables)", problem: str = "") -> dict[str, str]:
    """Return what a node says of one of its tools."""
    return {"path": f"/usr/sbin/{name}", "target": name, "version": version, "problem": problem}


def text(value: str, error: str = "") -> dict[str, str]:
    """Return what a node says of a small file."""
    return {"text": value, "error": error}


def healthy() -> dict[str, Any]:
    """Return the payloads, by item, of a node on which everything works."""
    return {
        "identity": {
            "hostname": "node1",
            "os": "Debian GNU/Linux 12 (bookworm)",
            "kernel": "6.1.0-18-amd64",
            "machine": "x86_64",
            "python": "3.11.2",
            "uid": 0,
            "wall_ns": NOON_NS + SECOND_NS // 50,
        },
        "doctor-netfilter": {
            "nft": [["ip", "filter"], ["inet", "mine"]],
            "nft_trouble": "",
            "iptables": text(""),
            "ip6tables": text("", "ENOENT"),
        },
        "doctor-tools": {
            "iptables-nft-save": tool("iptables-nft-save"),
            "nft": tool("nft", "nftables v1.0.6"),
        },
        "doctor-kernel": {
            "lockdown": text("[none] integrity confidentiality"),
            "unprivileged_bpf_disabled": text("2"),
            "perf_event_paranoid": text("3"),
            "btf": text("5000000"),
            "mounts": {"tracefs": "/sys/kernel/tracing", "securityfs": "/sys/kernel/security"},
            "modules": {"loadable": True, "list": True, "builtin": True},
        },
        "doctor-ebpf": {"map": "ok", "load": "ok", "attach": "ok"},
        "doctor-machine": {
            "memory_kb": {"MemTotal": 8_000_000, "MemAvailable": 4_000_000},
            "loadavg": ["0.50", "0.50", "0.50"],
            "processors": 4,
        },
        "doctor-account": {"uid": 0, "processes": 90, "hidden": 0, "status": {}},
        "doctor-clock": {"wall_ns": NOON_NS + SECOND_NS // 20, "mono_ns": 5},
    }


def changed(item: str, **fields: Any) -> dict[str, Any]:
    """Return a healthy node's payloads with some fields of one item changed."""
    payloads = healthy()
    payloads[item] = {**payloads[item], **fields}
    return payloads


def output(payloads: dict[str, Any], *more: Item, without: str = "") -> bytes:
    """Return the node program's output with these payloads; ``more`` items take the place of those."""
    items = {"link": Item(NETNS, "link", ItemStatus.OK, b"x"), "namespaces": _host("namespaces", b"[]")}
    for name, payload in payloads.items():
        netns = NETNS if name == "doctor-netfilter" else 0
        items[name] = Item(netns, name, ItemStatus.OK, json.dumps(payload).encode())
    items |= {item.name: item for item in more}
    return answer(item for name, item in items.items() if name != without)


def examined(
    payloads: dict[str, Any] | None = None,
    *more: Item,
    error: SkoopError | None = None,
    timing: Timing = TIMING,
    without: str = "",
    host: InventoryHost = HOST,
) -> Examination:
    """Judge a node that gave such an answer."""
    stdout = output(payloads or healthy(), *more, without=without)
    return judge(host, HostResult(host.name, HostStatus.OK, stdout, "", 0, error, 0.2), timing)


def failed(error: SkoopError, timing: Timing | None = None) -> Examination:
    """Judge a node that could not be asked."""
    result = HostResult(HOST.name, HostStatus.UNREACHABLE, b"", "", None, error, 0.2)
    return judge(HOST, result, timing or Timing())


def _host(name: str, payload: bytes) -> Item:
    return Item(0, name, ItemStatus.OK, payload)
