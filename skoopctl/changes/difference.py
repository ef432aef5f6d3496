"""The difference of two snapshots: hosts by name, namespaces by what lasts, and then kind by kind."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from skoopctl.changes.chains import compare_iptables, compare_nft
from skoopctl.changes.entries import compare_entries, withhold
from skoopctl.changes.kinds import KINDS, Kind, View
from skoopctl.changes.model import CLUSTER, Change, Difference, Section, Sign, Unseen
from skoopctl.changes.objects import OBJECT_KINDS, ObjectKind
from skoopctl.changes.pairing import Named, Pairs, pair_namespaces
from skoopctl.checks.snapshot import Snapshot
from skoopctl.dataplane.topology import Topology
from skoopctl.kernel.netns import Host, NetNamespace

NETNS = "netns"
IPTABLES, NFT = "iptables", "nft"
KIND_NAMES: tuple[str, ...] = (
    NETNS,
    *(kind.name for kind in KINDS),
    IPTABLES,
    NFT,
    *(kind.name for kind in OBJECT_KINDS),
)
"""What may be asked for alone, in the order in which it is shown."""


def difference(
    a: Snapshot,
    b: Snapshot,
    *,
    kinds: Collection[str] | None = None,
    hosts: Collection[str] | None = None,
    volatile: bool = False,
) -> Difference:
    """Return what differs from A to B. Pure: the same snapshots always give the same difference.

    ``kinds`` (of `KIND_NAMES`) and ``hosts`` restrict what is looked at; Kubernetes objects belong to no host
    and are compared whatever ``hosts`` says. ``volatile`` counts what changes by itself too: connections, learned
    neighbours and forwarding entries, sockets on ports that the kernel chose, the order in chains that kube-proxy
    shuffles.
    """
    wanted = frozenset(KIND_NAMES if kinds is None else kinds)
    objects = [kind for kind in OBJECT_KINDS if kind.name in wanted]
    sections = [_objects(a, b, objects)]
    compared = namespaces = 0
    for name in dict.fromkeys((*_asked(a), *_asked(b))):
        if hosts is not None and name not in hosts:
            continue
        one, other = a.hosts.get(name), b.hosts.get(name)
        if one is None or other is None:
            sections.append(_not_compared(name, a, b))
            continue
        pairs = pair_namespaces(_named(one, a), _named(other, b))
        compared += 1
        namespaces += len(pairs.both)
        sections += _host(name, pairs, _gone(one), _gone(other), wanted, volatile)
    kept = tuple(section for section in sections if section.changes or section.unseen)
    met = bool(objects and a.cluster and b.cluster)
    return Difference(kept, compared, namespaces, met, a.collected_at, b.collected_at)


def _asked(snapshot: Snapshot) -> list[str]:
    """Return the hosts that were asked, whether they answered or not."""
    return [*dict.fromkeys((*(host.host for host in snapshot.coverage.hosts), *snapshot.hosts))]


def _not_compared(name: str, a: Snapshot, b: Snapshot) -> Section:
    """Say of a host why it cannot be compared: it may well be there."""
    unseen = [
        Unseen(side, "host", _absence(name, snapshot))
        for side, snapshot in (("A", a), ("B", b))
        if name not in snapshot.hosts
    ]
    return Section(name, "", unseen=tuple(unseen))


def _absence(name: str, snapshot: Snapshot) -> str:
    row = next((host for host in snapshot.coverage.hosts if host.host == name), None)
    return f"{row.status}: {row.detail}".rstrip(": ") if row else "it was not asked"


def _named(host: Host, snapshot: Snapshot) -> list[Named]:
    topology = Topology({host.name: host}, snapshot.labels)
    return [
        Named(netns, topology.label(netns), snapshot.labels.get((host.name, netns.inode), ""))
        for netns in host.namespaces.values()
    ]


def _gone(host: Host) -> str:
    """Return why namespaces may be missing on a host, or ''."""
    parts = ("namespaces", "answer")
    return next((f"{gap.part}: {gap.status}: {gap.detail}" for gap in host.gaps if gap.part in parts), "")


def _host(
    name: str, pairs: Pairs, gap_a: str, gap_b: str, wanted: frozenset[str], volatile: bool
) -> Iterator[Section]:
    if NETNS in wanted:
        found = [Change(Sign.REMOVED, NETNS, f"network namespace {n.label}") for n in pairs.only_a]
        found += [Change(Sign.ADDED, NETNS, f"network namespace {n.label}") for n in pairs.only_b]
        changes, unseen = withhold(NETNS, found, gap_a, gap_b)
        yield Section(name, "", tuple(changes), tuple(unseen))
    for ours, theirs in pairs.both:
        yield _namespace(name, theirs.label, ours.netns, theirs.netns, wanted, volatile)


def _namespace(
    host: str, label: str, a: NetNamespace, b: NetNamespace, wanted: frozenset[str], volatile: bool
) -> Section:
    view_a, view_b = _view(a, b, volatile), _view(b, a, volatile)
    changes: list[Change] = []
    unseen: list[Unseen] = []
    for kind in _kinds(wanted, volatile):
        found = compare_entries(kind.name, kind.entries(view_a), kind.entries(view_b))
        kept, hidden = withhold(kind.name, found, kind.gap(view_a), kind.gap(view_b))
        changes += kept
        unseen += hidden
    if IPTABLES in wanted:
        kept, hidden = compare_iptables(a, b, volatile=volatile)
        changes += kept
        unseen += hidden
    if NFT in wanted:
        kept, hidden = compare_nft(a, b, volatile=volatile)
        changes += kept
        unseen += hidden
    return Section(host, label, tuple(changes), tuple(unseen))


def _view(netns: NetNamespace, other: NetNamespace, volatile: bool) -> View:
    devices, others = ({link.name for link in each.links.values()} for each in (netns, other))
    addresses, theirs = ({address.ip for address in each.addresses} for each in (netns, other))
    return View(netns, volatile, frozenset(devices - others), frozenset(addresses - theirs), other)


def _kinds(wanted: frozenset[str], volatile: bool) -> list[Kind]:
    return [kind for kind in KINDS if kind.name in wanted and (volatile or not kind.only_with_all)]


def _objects(a: Snapshot, b: Snapshot, chosen: Sequence[ObjectKind]) -> Section:
    gaps = {side: _api_gap(snapshot) for side, snapshot in (("A", a), ("B", b))}
    if not chosen or all(gaps.values()):
        return Section(CLUSTER, "")  # where the API was asked for neither, nobody misses it
    if any(gaps.values()):
        unseen = (Unseen(side, "Kubernetes objects", reason) for side, reason in gaps.items() if reason)
        return Section(CLUSTER, "", unseen=tuple(unseen))
    changes: list[Change] = []
    for kind in chosen:
        changes += compare_entries(kind.name, kind.entries(a.cluster), kind.entries(b.cluster))
    return Section(CLUSTER, "", tuple(changes))


def _api_gap(snapshot: Snapshot) -> str:
    if snapshot.cluster:
        return ""
    return (
        "the API was not asked" if snapshot.coverage.api in {"", "ok", "not asked"} else snapshot.coverage.api
    )
