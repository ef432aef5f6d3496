"""All series of one node, from its rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from skoopctl.cluster.cluster import Cluster
from skoopctl.evidence.item import ItemStatus
from skoopctl.evidence.rounds import HOST, Change, Round
from skoopctl.evidence.untrusted import printable
from skoopctl.evidence.who import read_identity
from skoopctl.probes.catalogue import READINGS, probes_named
from skoopctl.probes.decode.rows import Key
from skoopctl.probes.feed import Feed
from skoopctl.probes.labels import additional_text, head
from skoopctl.probes.metric import POD_LABELS, Scope
from skoopctl.probes.pod_names import (
    UNKNOWN,
    Name,
    Place,
    Whose,
    decode_places,
    decode_pod_folders,
    node_label,
    tell,
)
from skoopctl.probes.sample import Availability, Entity, Sample, SeriesKey, Snapshot, State

__all__ = ["Availability", "Entity", "NodeSeries", "Sample", "Snapshot", "State"]

_WHO = ("identity", "places", "pods")
_NODE: Name = ("", "")


class NodeSeries:
    """What one node's rounds say, as series. Cheap to update: only what changed is decoded.

    ``node`` and ``address`` are the inventory's; `label` is what stands in ``k8s_node``. ``additional_labels``
    are KubeSkoop's: names, with texts in which ``${labels:NAME}`` is a pod's label. Raises UsageError for a probe
    that does not exist, or a label that cannot be.
    """

    def __init__(
        self,
        node: str,
        probes: Sequence[str],
        *,
        address: str = "",
        additional_labels: Mapping[str, str] | None = None,
    ) -> None:
        self.node = node
        self.address = address
        self.last: Round | None = None
        self._probes = probes_named(probes)
        self._additional = additional_text(additional_labels or {})
        self._cluster: Cluster | None = None
        self._label = node
        self._feeds: dict[str, Feed] = {}
        self._by_item: dict[str, list[Feed]] = {}
        self._reset()

    @property
    def label(self) -> str:
        """The value of ``k8s_node``."""
        return self._label

    @property
    def whose(self) -> Whose:
        """Whose each namespace and each cgroup is now."""
        return self._whose

    @property
    def cluster(self) -> Cluster | None:
        """The API's objects, where there are any."""
        return self._cluster

    @property
    def probes(self) -> tuple[str, ...]:
        """The names of the probes, in the catalogue's order."""
        return tuple(probe.name for probe in self._probes)

    def apply(self, round_: Round) -> None:
        """Take one round. What in it cannot be decoded makes its probe unavailable or degraded; never raises."""
        if round_.number == 1:
            self._reset()
        self.last = round_
        for inode in round_.gone:
            for feed in self._feeds.values():
                feed.forget(inode)
        who = [change for change in round_.changes if change.item in _WHO]
        for change in who:
            self._take_who(change)
        host = self._host
        for change in round_.changes:
            for feed in self._by_item.get(change.item, ()):
                feed.take(change, host=change.netns in (HOST, host))
        for feed in self._feeds.values():
            feed.settle()
        if who or round_.gone or self._uids() != self._seen:
            self._tell()
        self._expect()

    def name_pods(self, cluster: Cluster | None) -> None:
        """Take the API's objects; None: there is no API. They may come late, and change."""
        self._cluster = cluster
        self._tell()
        self._expect()

    def entities(self) -> tuple[Entity, ...]:
        """Return whom there are series of: the node first, then pods by namespace and name."""
        return self._whose.entities

    def values(self) -> Iterator[Sample]:
        """Yield every series that has a value now."""
        for feed in self._feeds.values():
            yield from feed.table.series(self._labels_for(feed), self._head_for(feed))

    def snapshot(self) -> Snapshot:
        """Return all series of this moment; empty before the first round."""
        found: dict[SeriesKey, int | float] = {}
        for feed in self._feeds.values():
            for column in feed.table.values(self._labels_for(feed), self._head_for(feed)):
                found.update(column)
        last = self.last
        return Snapshot(last.mono_ns if last else 0, last.wall_ns if last else 0, found)

    def texts(self) -> Iterator[tuple[str, str]]:
        """Yield each metric's name with its lines, as a page shows them."""
        for feed in self._feeds.values():
            yield from feed.table.texts(self._labels_for(feed), self._head_for(feed))

    def availability(self) -> Mapping[str, Availability]:
        """Return how each probe fares on this node, and why."""
        return {probe.name: self._availability(probe.name, probe.scope) for probe in self._probes}

    # --- whose it all is ------------------------------------------------------------------------------

    def _reset(self) -> None:
        """Forget the node."""
        by_source: dict[str, list[str]] = {}
        readings = [reading for probe in self._probes for reading in READINGS[probe.name]]
        for reading in readings:
            by_source.setdefault(reading.source, [])
        self._feeds = {
            source: Feed.of(source, [reading for reading in readings if reading.source == source])
            for source in by_source
        }
        self._by_item = {}
        for feed in self._feeds.values():
            for item in feed.source.items:
                self._by_item.setdefault(item, []).append(feed)
        self._host = 0
        self._places: tuple[Place, ...] = ()
        self._folders: dict[str, Name] = {}
        self._trouble: dict[str, str] = {}
        self._seen: frozenset[str] = frozenset()
        self._whose = Whose()
        self._suffixes: dict[Name, str] = {}

    def _take_who(self, change: Change) -> None:
        """Take one of the items that tell whose the others are."""
        self._trouble.pop(change.item, None)
        if change.status is not ItemStatus.OK or change.detail:
            word = "" if change.status is ItemStatus.OK else f"{change.status}: "
            self._trouble[change.item] = printable(f"{change.item}: {word}{change.detail}", 200)
        try:
            if change.item == "identity":
                root = read_identity(change.payload).get("root_netns")
                self._host = self._host or (root if isinstance(root, int) else 0)
            elif change.item == "places":
                self._places = decode_places(change.payload or b"[]")
                self._host = next((place.inode for place in self._places if place.host), self._host)
            else:
                self._folders = decode_pod_folders(change.payload)
        except ValueError as error:
            self._trouble[change.item] = printable(f"{change.item}: {error}", 200)

    def _uids(self) -> frozenset[str]:
        """Return the pods that were seen by their cgroups."""
        tables = (
            self._feeds[name].table
            for name in ("cgroup-io", "cgroup-fd", "tcp-states")
            if name in self._feeds
        )
        return frozenset(key for table in tables for key in table if key and isinstance(key, str))

    def _tell(self) -> None:
        """Work out anew whose everything is; series are written anew only when that is not as it was."""
        self._seen = self._uids()
        counted = self._feeds.get("net-dev")
        whose = tell(
            self._places,
            self._folders,
            self._cluster,
            sorted(self._seen),
            lambda inode: counted is not None and counted.table.has_values(inode),
        )
        label = node_label(self.node, self.address, self._cluster)
        suffixes = self._additional.by_pod(self._cluster)
        if (whose, label, suffixes) != (self._whose, self._label, self._suffixes):
            self._whose, self._label, self._suffixes = whose, label, suffixes
            for feed in self._feeds.values():
                feed.table.relabel()

    def _expect(self) -> None:
        """A pod on the host's network without any socket has 0 of them, where the kernel tells sockets' cgroups.

        Where it does not, the node remarks it, and nothing is known of such pods.
        """
        feed = self._feeds.get("tcp-states")
        if feed is not None:
            known = feed.read_well(self._host)
            feed.table.expect(frozenset(self._whose.on_host) if known else frozenset())

    # --- labels -----------------------------------------------------------------------------------------

    def _labels_for(self, feed: Feed) -> Callable[[Key], tuple[str, ...] | None]:
        """Return what makes a row's labels of its key."""
        names = feed.table.metrics[0].labels
        by_netns, by_uid = self._whose.by_netns or {}, self._whose.by_uid or {}
        host, label = self._host, self._label
        own = self._whose.owners if feed.source.name == "tcp-states" else frozenset()

        def labels_of(key: Key) -> tuple[str, ...] | None:
            if isinstance(key, tuple):
                return (label, *key) if names[1:] and names[1] not in POD_LABELS else (label, *_NODE, *key)
            if isinstance(key, int):
                name = _NODE if key in (HOST, host) else by_netns.get(key)
            else:  # a pod with its own namespace has its sockets counted there
                name = _NODE if not key else None if key in own else by_uid.get(key)
            return None if name is None else (label, *name)

        return labels_of

    def _head_for(self, feed: Feed) -> Callable[[tuple[str, ...]], str]:
        """Return what writes labels as the head of a line."""
        names = feed.table.metrics[0].labels
        if names[:3] != POD_LABELS:
            return lambda labels: head(names, labels)
        suffixes, plain = self._suffixes, self._additional.plain
        return lambda labels: head(names, labels, suffixes.get((labels[1], labels[2]), plain))

    # --- how it fares -----------------------------------------------------------------------------------

    def _availability(self, probe: str, scope: Scope) -> Availability:
        if self.last is None:
            return Availability(State.UNKNOWN, "the node has not said anything yet")
        if scope is Scope.NAMESPACE and not self._host:
            return Availability(
                State.UNAVAILABLE, self._trouble.get("places", "places: the node did not send it")
            )
        of = {self._host, *(self._whose.by_netns or {})}
        sources = dict.fromkeys(reading.source for reading in READINGS[probe])
        told = [self._feeds[source].availability(of, self._host) for source in sources]
        states = {each.state for each in told}
        why = "; ".join(dict.fromkeys(each.why for each in told if each.why))
        state = states.pop() if len(states) == 1 else State.DEGRADED
        notes = self._notes()
        if notes and scope is not Scope.HOST and state is State.AVAILABLE:
            more = f" (and {len(notes) - 1} more)" if len(notes) > 1 else ""
            return Availability(State.DEGRADED, "; ".join(filter(None, (why, notes[0] + more))))
        return Availability(state, why)

    def _notes(self) -> list[str]:
        """Return what could not be told of whose everything is; names are missed only where a pod lacks one."""
        unnamed = any(entity.namespace == UNKNOWN for entity in self._whose.entities)
        troubles = [why for item, why in self._trouble.items() if item != "pods" or unnamed]
        return [*troubles, *self._whose.notes]
