"""Whose each network namespace and each cgroup is: a pod by its namespace and name, or the node itself.

Three things tell: the cgroups of the processes in a namespace (which pod's UID), the API (which pod has it), and
the folders that the kubelet makes in /var/log/pods. None of them is sure alone, and nothing is guessed: what cannot
be told has ``unknown`` in place of a pod's namespace, and is never taken for the node itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from skoopctl.cluster.cluster import Cluster
from skoopctl.cluster.objects import Pod
from skoopctl.evidence.untrusted import parse_json
from skoopctl.probes.decode.cgroups import uid_of
from skoopctl.probes.sample import Entity

UNKNOWN = "unknown"

_MAX_PLACES_BYTES = 16 << 20
_FOLDER = re.compile(r"([a-z0-9][a-z0-9-]{0,62})_([a-z0-9][a-z0-9.-]{0,252})_([0-9a-f][0-9a-f-]{0,63})")
"""``NAMESPACE_NAME_UID``: a name of Kubernetes holds no underscore (pkg/kubelet/kuberuntime/helpers.go)."""

Name = tuple[str, str]
"""A pod's namespace and name; both empty: the node itself."""


@dataclass(frozen=True, slots=True)
class Place:
    """One network namespace, with the pods whose processes are in it."""

    inode: int
    host: bool
    named: bool
    """Whether a file points to it, as container runtimes make one for a pod's namespace."""
    uids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Whose:
    """What was told: names by namespace and by UID. ``notes`` say what could not be, and why."""

    host: int = 0
    by_netns: Mapping[int, Name] | None = None
    by_uid: Mapping[str, Name] | None = None
    owners: frozenset[str] = frozenset()
    """UIDs of pods that have a namespace of their own."""
    on_host: frozenset[str] = frozenset()
    """UIDs of pods that are known to be on the host's network."""
    entities: tuple[Entity, ...] = ()
    notes: tuple[str, ...] = ()


def decode_places(raw: bytes) -> tuple[Place, ...]:
    """Decode the ``places`` item. Raises ValueError when it is not what it should be."""
    found = parse_json(raw, max_bytes=_MAX_PLACES_BYTES)
    if not isinstance(found, list):
        raise ValueError("a list was expected")  # noqa: TRY004 - one error type for hostile input
    return tuple(map(_place, found))


def _place(entry: object) -> Place:
    if not isinstance(entry, dict):
        raise ValueError("an object was expected")  # noqa: TRY004
    inode = entry.get("inode")
    if not isinstance(inode, int) or isinstance(inode, bool) or inode <= 0:
        raise ValueError("a namespace without an inode")
    cgroups = entry.get("cgroups")
    paths = [path for path in cgroups if isinstance(path, str)] if isinstance(cgroups, list) else []
    uids = dict.fromkeys(filter(None, map(uid_of, paths)))
    return Place(inode, entry.get("host") is True, bool(entry.get("names")), tuple(uids))


def decode_pod_folders(raw: bytes) -> dict[str, Name]:
    """Decode the ``pods`` item: names by UID. What is no pod's folder is left out."""
    matches = map(_FOLDER.fullmatch, raw.decode("utf-8", "replace").split("\n"))
    return {found[3]: (found[1], found[2]) for found in matches if found}


def tell(
    places: Iterable[Place],
    folders: Mapping[str, Name],
    cluster: Cluster | None,
    uids: Iterable[str],
    has_device: Callable[[int], bool],
) -> Whose:
    """Work out whose everything is; ``uids`` are pods that were seen by their cgroup alone.

    ``has_device`` tells whether a namespace has a device but lo: one that a program made for itself has none.
    """
    places = tuple(places)
    notes: list[str] = []
    claims = _claims(places, cluster, notes)
    owned = _owned(claims, places, has_device, notes)
    alive = dict.fromkeys((*(uid for place in places for uid in place.uids), *uids))
    by_uid = _names(alive, folders, cluster, notes)
    by_netns: dict[int, Name] = {}
    for inode, uid in claims.items():
        if uid is None:
            by_netns[inode] = UNKNOWN, f"netns-{inode}"
        elif owned[uid] == inode:
            by_netns[inode] = by_uid[uid]
        elif not owned[uid]:
            by_netns[inode] = UNKNOWN, f"{uid}-netns-{inode}"
    host = next((place.inode for place in places if place.host), 0)
    owners = frozenset(uid for uid, inode in owned.items() if inode)
    entities = _entities(host, by_netns, by_uid, owned)
    on_host = _on_host(places, by_uid, cluster)
    return Whose(host, by_netns, by_uid, owners, on_host, entities, tuple(notes))


def _claims(places: tuple[Place, ...], cluster: Cluster | None, notes: list[str]) -> dict[int, str | None]:
    """Return the one pod of each namespace; None where there are several that could be.

    A pod on the host's network has no namespace of its own: when the API says that of a pod, its processes in another
    pod's namespace are visitors (network plugins and meshes send some).
    """
    claims: dict[int, str | None] = {}
    for place in places:
        if place.host or not place.uids:
            continue
        uids = [uid for uid in place.uids if not _on_host_network(uid, cluster)]
        if len(uids) == 1:
            claims[place.inode] = uids[0]
        elif uids:
            claims[place.inode] = None
            notes.append(f"namespace {place.inode} has processes of {len(uids)} pods: {', '.join(uids[:3])}")
    return claims


def _owned(
    claims: Mapping[int, str | None],
    places: tuple[Place, ...],
    has_device: Callable[[int], bool],
    notes: list[str],
) -> dict[str, int]:
    """Return the namespace of each pod; 0 where it is not clear which of several it is.

    A program may make namespaces for itself (a browser's sandbox, containers in a pod). The pod's own is the one that
    a runtime has given a name, or else the one with a device.
    """
    found: dict[str, list[int]] = {}
    for inode, uid in claims.items():
        if uid is not None:
            found.setdefault(uid, []).append(inode)
    named = {place.inode for place in places if place.named}
    owned: dict[str, int] = {}
    for uid, inodes in found.items():
        kept = inodes
        for test in (named.__contains__, has_device):
            if len(kept) > 1:
                kept = [inode for inode in kept if test(inode)] or kept
        owned[uid] = kept[0] if len(kept) == 1 else 0
        if len(kept) > 1:
            notes.append(f"pod {uid} has processes in {len(kept)} namespaces: which is its own is not known")
        elif len(inodes) > 1:
            notes.append(f"pod {uid}: {len(inodes) - 1} namespaces that its programs made are not shown")
    return owned


def _on_host(places: tuple[Place, ...], uids: Iterable[str], cluster: Cluster | None) -> frozenset[str]:
    """Return pods with processes in the host's namespace and in no other, and those of which the API says it."""
    elsewhere = {uid for place in places if not place.host for uid in place.uids}
    here = {uid for place in places if place.host for uid in place.uids}
    return frozenset(here - elsewhere) | {uid for uid in uids if _on_host_network(uid, cluster)}


def _on_host_network(uid: str, cluster: Cluster | None) -> bool:
    pod = _pod(uid, cluster)
    return pod is not None and pod.host_network


def _pod(uid: str, cluster: Cluster | None) -> Pod | None:
    return cluster.pod_of_cgroup(uid) if cluster is not None else None


def _names(
    uids: Iterable[str], folders: Mapping[str, Name], cluster: Cluster | None, notes: list[str]
) -> dict[str, Name]:
    """Return a name for each UID, no two alike: of two pods of one name, the API's is the one that has it.

    What stands for no name is nobody's name, so that two rows never get the same labels, whatever a node says.
    """
    names: dict[str, Name] = {}
    sure: dict[Name, str] = {}
    for uid in uids:
        pod = _pod(uid, cluster)
        name = (pod.namespace, pod.name) if pod else folders.get(uid, (UNKNOWN, uid))
        names[uid] = name if name[0] != UNKNOWN else (UNKNOWN, uid)
        if pod:
            sure[names[uid]] = uid
    bearers: dict[Name, list[str]] = {}
    for uid, name in names.items():
        bearers.setdefault(name, []).append(uid)
    for name, alike in bearers.items():
        if len(alike) > 1:
            notes.append(f"{len(alike)} pods are called {'/'.join(name)}")
            names |= {uid: (UNKNOWN, uid) for uid in alike if sure.get(name) != uid}
    return names


def _entities(
    host: int, by_netns: Mapping[int, Name], by_uid: Mapping[str, Name], owned: Mapping[str, int]
) -> tuple[Entity, ...]:
    """Return the node, the pods, and the namespaces that could not be given to one of them."""
    whose = {inode: uid for uid, inode in owned.items() if inode}
    found = [Entity(*name, uid, owned.get(uid, 0)) for uid, name in by_uid.items()]
    found += [Entity(*name, "", inode) for inode, name in by_netns.items() if inode not in whose]
    found.sort(key=lambda entity: (entity.namespace, entity.pod))
    return (Entity("", "", "", host), *found)


def node_label(node: str, address: str, cluster: Cluster | None) -> str:
    """Return the API's name of a host of the inventory, if the API knows it by name or address; else its own name.

    Two nodes of the API with that address say nothing.
    """
    if cluster is None or node in cluster.nodes:
        return node
    known = {node, address} - {""}
    found = [each.name for each in cluster.nodes.values() if known & {value for _, value in each.addresses}]
    return found[0] if len(found) == 1 else node
