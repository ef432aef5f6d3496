"""What the walk predicts is what a real connect() gets: everywhere in the lab, healthy and broken.

Every source (pods, nodes, the outside host) tries every destination, in both proxy modes and over both
backends, healthy and under each fault. The prediction is made from evidence collected just before, over
real SSH, and the two are compared row by row. UNKNOWN is counted, listed, and must be 0.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from skoopctl.checks.load import snapshot_of
from skoopctl.checks.snapshot import Snapshot
from skoopctl.dataplane import edit
from skoopctl.dataplane.path import walk
from skoopctl.dataplane.trace import Branch, Disposition, Flow, Outcome, PathResult, Verdict
from skoopctl.evidence.collect import collect
from skoopctl.inventory import load_inventory
from skoopctl.lab import Backend, Lab, LabOptions, ProbeResult, ProxyMode, Source
from skoopctl.lab import Outcome as Heard
from skoopctl.lab.probe import Flow as Tried
from skoopctl.lab.probe import probe_sources

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

MODES = [(proxy, backend) for proxy in ProxyMode for backend in Backend]
CLOSED = 9
HEADLESS = "None"
PATIENCE_S = 2.5
THIRDS = 3
REFILL_S = 5.5
"""After five ICMP errors at once a router sends one a second (ip_error): this fills it up again."""


@dataclass(frozen=True)
class Row:
    """One flow with what really happened and what the walk says."""

    source: str
    flow: tuple[str, str, int]
    real: ProbeResult
    predicted: PathResult

    def agrees(self) -> bool:
        """Tell whether the real outcome, responder and source address are among the predicted branches.

        Where it passes, or fails, in every case there must be one outcome, unless the walk says what it does not
        know.
        """
        outcomes = {self._heard(b) for b in self.predicted.branches}
        possible = [b for b in self.predicted.branches if self._heard(b) == self.real.outcome.value]
        if self.predicted.verdict in {Verdict.PASS, Verdict.FAIL} and not self.predicted.unknowns:
            possible = possible if len(outcomes) == 1 else []
        if not self.real.who:
            return bool(possible)
        name = self.real.who.rpartition("/")[2]
        return any(
            b.seen_source == self.real.seen and (name in b.responder or b.responder == "host")
            for b in possible
        )

    def _heard(self, branch: Branch) -> str:
        """Return what the prober says of a branch: a connection that is made and then silent is connected."""
        walks = branch.forward, branch.reply
        made = all(w is not None and w.disposition is Disposition.DELIVERED for w in walks)
        silent = self.real.outcome is Heard.CONNECTED and not self.real.who
        return Heard.CONNECTED.value if made and silent and self.flow[0] == "tcp" else branch.outcome.value

    def is_open(self) -> bool:
        """Tell whether the walk leaves two outcomes open and says why: the order of two tables, for one."""
        return bool(self.predicted.unknowns) and len(self.predicted.outcomes()) > 1

    def depends_on_time(self) -> bool:
        """Tell whether the kernel may answer otherwise a moment later.

        It sends at most five ICMP errors at once to one address, and a packet that arrives in one batch behind
        another one for the same address is not checked by rp_filter (ip_route_use_hint).
        """
        if self.real.outcome is Heard.TIMEOUT:
            return Outcome.UNREACHABLE in self.predicted.outcomes()
        return self.meets_rp_filter()

    def meets_rp_filter(self) -> bool:
        """Tell whether a packet of the flow, there or back, is predicted to be dropped by rp_filter."""
        return any(w.disposition is Disposition.RP_FILTER for b in self.predicted.branches for w in b.walks)

    def __str__(self) -> str:
        real = f"{self.real.outcome.value} {self.real.who} {self.real.seen} {self.real.errno}".strip()
        branches = "; ".join(
            f"{b.outcome.value} {b.responder} {b.seen_source} ({b.fatal_walk.last.decision})"
            for b in self.predicted.branches[:4]
        )
        return (
            f"{self.source} -> {self.flow}: real {real}, predicted {self.predicted.verdict.value}: {branches}"
        )


def destinations(lab: Lab) -> Iterator[tuple[str, str, int]]:
    """Yield every destination of the lab: services in all their forms, pods, nodes, closed ports, nobody."""
    for service in lab.services:
        addresses = [a for a in (service.cluster_ip, *service.external_ips, service.load_balancer_ip) if a]
        if service.cluster_ip == HEADLESS:
            continue
        for port in service.ports:
            protocol = port.protocol.lower()
            yield from ((protocol, address, port.number) for address in addresses)
            if port.node_port:
                yield from ((protocol, node.address, port.node_port) for node in lab.nodes)
        yield "tcp", service.cluster_ip, CLOSED
    for pod in lab.pods:
        yield from ((port.protocol.lower(), pod.address, port.number) for port in pod.ports)
        yield "tcp", pod.address, CLOSED
        yield "udp", pod.address, CLOSED
    for node in lab.nodes:
        yield "tcp", node.address, CLOSED
    yield "tcp", "10.244.9.9", 80
    yield "tcp", "10.96.99.99", 80
    yield "tcp", "192.168.3.99", CLOSED


def compare(lab: Lab, third: int | None = None) -> list[Row]:
    """Collect, then try every flow for real while the walk predicts it; with ``third`` (0 to 2), one in three."""
    snapshot = _snapshot(lab)
    flows = list(dict.fromkeys(destinations(lab)))
    sources = lab.sources()
    clients = _clients(snapshot, sources)
    wanted = {
        source: [f for n, f in enumerate(flows) if third is None or (place + n) % THIRDS == third]
        for place, source in enumerate(sources)
    }
    with ThreadPoolExecutor(1) as pool:
        tried = {source: [Tried(*flow) for flow in each] for source, each in wanted.items()}
        really = pool.submit(probe_sources, tried, timeout_s=PATIENCE_S)
        predicted = {
            (s.name, f): _predict(snapshot, clients[s.name], s, f) for s in sources for f in wanted[s]
        }
        results = really.result()
    rows = [
        Row(s.name, flow, real, predicted[s.name, flow])
        for s in sources
        for flow, real in zip(wanted[s], results[s.name], strict=True)
    ]
    rows = _asked_again(lab, rows)
    return [_unchecked(snapshot, clients[row.source], row) for row in rows]


def _unchecked(snapshot: Snapshot, client: tuple[str, int], row: Row) -> Row:
    """Predict once more without rp_filter where a packet that it should drop came through.

    The kernel does not check a forwarded packet that arrives in one batch behind another one for the same
    address (ip_route_use_hint): such a flow then must behave exactly as if the filter were off.
    """
    if not row.meets_rp_filter() or row.agrees():
        return row
    hosts = snapshot.hosts
    for key in [(name, inode) for name, host in hosts.items() for inode in host.namespaces]:
        paths = [path for path in snapshot.netns(key).sysctls.values if path.endswith("/rp_filter")]
        hosts = edit.edit_netns(hosts, key, edit.with_sysctls(dict.fromkeys(paths, "0")))
    protocol, address, port = row.flow
    flow = Flow(row.predicted.flow.source, address, protocol, port)
    return replace(row, predicted=walk(snapshot.network_of(hosts), flow, client))


def _asked_again(lab: Lab, rows: list[Row]) -> list[Row]:
    """Try those flows again, one by one, whose outcome is a matter of time."""
    for _ in range(3):
        doubtful = [n for n, row in enumerate(rows) if row.depends_on_time() and not row.agrees()]
        if not doubtful:
            break
        time.sleep(REFILL_S)
        for n in doubtful:
            (real,) = lab.probe(rows[n].source, [rows[n].flow], timeout_s=PATIENCE_S)
            rows[n] = replace(rows[n], real=real)
    return rows


def _snapshot(lab: Lab) -> Snapshot:
    hosts = load_inventory(lab.inventory).hosts
    bundle = asyncio.run(collect(hosts, inventory=str(lab.inventory), kubeconfig=str(lab.kubeconfig)))
    assert bundle.whole == len(bundle.results), bundle.coverage()
    assert not bundle.cluster_problem, bundle.cluster_problem
    return snapshot_of(bundle)


def _predict(
    snapshot: Snapshot, client: tuple[str, int], source: Source, flow: tuple[str, str, int]
) -> PathResult:
    protocol, address, port = flow
    return walk(snapshot.network, Flow(source.address, address, protocol, port), client)


def _clients(snapshot: Snapshot, sources: tuple[Source, ...]) -> dict[str, tuple[str, int]]:
    """Find every source's namespace by its inode: a fault may have taken its address."""
    by_inode = {inode: name for name, host in snapshot.hosts.items() for inode in host.namespaces}
    found = {}
    for source in sources:
        path = Path(source.netns) if "/" in source.netns else Path("/run/netns") / source.netns
        inode = path.stat().st_ino
        found[source.name] = (by_inode[inode], inode)
    return found


def disagreements(rows: list[Row], title: str, report: Callable[[str], None]) -> list[str]:
    """Return the rows that the walk got wrong or could not decide, in words, and report the count."""
    unknown = [row for row in rows if row.predicted.verdict is Verdict.UNKNOWN]
    wrong = [row for row in rows if row.predicted.verdict is not Verdict.UNKNOWN and not row.agrees()]
    agreeing = len(rows) - len(unknown) - len(wrong)
    left_open = sum(row.is_open() for row in rows if row not in unknown)
    also = f", {left_open} of them one of several ways to fail" if left_open else ""
    report(f"{title}: {agreeing} of {len(rows)} flows agree{also}, {len(unknown)} unknown")
    lines = [f"{title}: {row}" for row in wrong[:8]]
    lines += [f"{title}: {row}: unknown: {row.predicted.unknowns}" for row in unknown[:8]]
    more = len(wrong) + len(unknown) - len(lines)
    return [*lines, f"{title}: and {more} more"] if more > 0 else lines


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Return a function that keeps a line for the end of the run: the counts belong to the record."""
    return lambda text: record_property("counted", text)


@pytest.mark.parametrize(("proxy", "backend"), MODES, ids=lambda mode: mode.value)
def test_healthy_lab(
    lab_of: Callable[[LabOptions], Lab],
    proxy: ProxyMode,
    backend: Backend,
    report: Callable[[str], None],
) -> None:
    """In a healthy lab the walk and the kernel agree about every flow."""
    rows = compare(lab_of(LabOptions(proxy=proxy, backend=backend)))
    assert {row.real.outcome.value for row in rows} >= {o.value for o in Outcome if o is not Outcome.UNKNOWN}
    wrong = disagreements(rows, f"healthy, {proxy.value}, {backend.value}", report)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("proxy", "backend"), MODES, ids=lambda mode: mode.value)
def test_every_fault(
    lab_of: Callable[[LabOptions], Lab],
    proxy: ProxyMode,
    backend: Backend,
    report: Callable[[str], None],
    pytestconfig: pytest.Config,
) -> None:
    """Under every fault the walk and the kernel agree about the flows: all of them with ``--all-flows``.

    Otherwise each fault has its third of them, so that all are tried under some fault, and CI has an end.
    """
    lab = lab_of(LabOptions(proxy=proxy, backend=backend))
    wrong: list[str] = []
    for number, fault in enumerate(lab.faults(), MODES.index((proxy, backend))):
        lab.apply_fault(fault.name)
        try:
            rows = compare(lab, None if pytestconfig.getoption("--all-flows") else number % THIRDS)
        finally:
            lab.undo_fault(fault.name)
        wrong += disagreements(rows, f"{fault.name}, {proxy.value}, {backend.value}", report)
    assert not wrong, "\n".join(wrong)
