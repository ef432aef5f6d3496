"""A node's rounds as series and as a page, beside prometheus_client reading and writing the same samples."""

from __future__ import annotations

import json
from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families

from skoopctl.evidence.item import ItemStatus
from skoopctl.evidence.rounds import HOST, Change, Round
from skoopctl.probes.catalogue import DEFAULT_PROBES
from skoopctl.probes.exposition import page
from skoopctl.probes.node_series import NodeSeries
from tests.bench.figure import Figure, at_most
from tests.bench.setting import CHECKOUT, Setting
from tests.bench.stopwatch import cpu_of

PODS, QUICK_PODS = 100, 10
BUDGET_S = 0.010
"""The issue's: the workstation's CPU for one round of a node with 100 pods, the page included."""

CASES = CHECKOUT / "tests" / "unit" / "probes" / "cases"
HOST_NETNS = 4026531840
_STATES = "-\t1\t{0}\t{0}\t0\t0\n-\t6\t3\t0\t0\t0\n-\t8\t1\t0\t9\t0\n-\t10\t2\t0\t0\t0\n"
_DEV = "  eth0: {0} 12 3 4 0 0 0 0 {0} 6 7 8 0 0 0 0\n"


def series(setting: Setting) -> Iterator[Figure]:
    """Take rounds in which every item of every pod has changed, and write the page after each."""
    pods = QUICK_PODS if setting.quick else PODS
    node = NodeSeries("node-1", DEFAULT_PROBES)
    node.apply(_round(1, pods))
    count = page([node]).count(b"\n")
    setting.say(f"{count} lines of {pods} pods, all of them new in each round")
    turns = [_round(2, pods), _round(3, pods)]

    def once() -> None:
        turns.reverse()
        node.apply(turns[0])
        page([node])

    def peer() -> str:
        families = text_string_to_metric_families(text)
        samples = (sample for family in families for sample in family.samples)
        return "\n".join(f"{sample.name}{sample.labels} {sample.value}" for sample in samples)

    spent = cpu_of(once, rounds=setting.rounds(15))
    text = page([node]).decode()
    theirs = cpu_of(peer, rounds=setting.rounds(3))
    yield Figure(
        "series",
        f"a round of {pods} pods to a page",
        spent,
        "s",
        theirs,
        "prometheus_client reads and writes the same samples",
        at_most(BUDGET_S),
        {"pods": pods, "lines": count, "page_bytes": len(text)},
    )


def _round(number: int, pods: int) -> Round:
    """Return a round in which no item is as it was in the round before."""
    changes = _who(pods) if number == 1 else []
    raw = {what: (CASES / f"{name}.{what}").read_text() for name, what in _FILES}
    for netns in (HOST_NETNS, *range(1, pods + 1)):
        changed = {what: text.replace("7", str(number)) for what, text in raw.items()}
        changed["net-dev"] = raw["net-dev"] + _DEV.format(netns + number)
        changes += [_item(what, text, netns) for what, text in changed.items()]
        changes.append(_item("tcp-states", _STATES.format(number), netns))
    io = [f"{_cgroup(pod)}\t3\t{number}\t2\t3\t4\n" for pod in range(1, pods + 1)]
    changes.append(_item("cgroup-io", "".join([*io, f"-\t100\t{number}\t2\t3\t4\n"])))
    return Round(number, 0, number * 10**9, 1.0, 1.0, 9000, 0, 1, tuple(changes))


_FILES = (
    ("snmp-6.18", "snmp"),
    ("netstat-6.18", "netstat"),
    ("net-dev-only-lo", "net-dev"),
    ("sockstat-pod", "sockstat"),
    ("sockstat-pod", "sockstat6"),
)


def _who(pods: int) -> list[Change]:
    names = "\n".join(f"ns-{pod % 7}_pod-{pod}_{_uid(pod)}" for pod in range(1, pods + 1))
    told = [{"inode": HOST_NETNS, "host": True, "names": [], "cgroups": []}]
    told += [
        {"inode": pod, "host": False, "names": [f"cni-{pod}"], "cgroups": [_cgroup(pod)]}
        for pod in range(1, pods + 1)
    ]
    return [_item("pods", names), _item("places", json.dumps(told))]


def _uid(pod: int) -> str:
    return f"{pod:08x}-1111-4222-8333-{pod:012x}"


def _cgroup(pod: int) -> str:
    return f"0::/kubepods.slice/kubepods-pod{_uid(pod).replace('-', '_')}.slice/cri-containerd-a.scope"


def _item(name: str, text: str, netns: int = HOST) -> Change:
    return Change(netns, name, ItemStatus.OK, "", text.encode())
