"""The nodes of a Kubernetes cluster as an inventory: one host a node, groups from roles and chosen labels.

Asked for with a YAML file (``skoop_source: kubernetes``) or with ``-i 'k8s:?context=…&user=…'``. Only the list of
nodes is read. Groups are ``control_plane`` and ``worker``, and ``label_KEY_VALUE`` for each label that is named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from skoopctl.inventory import node_list
from skoopctl.inventory.files import at_home
from skoopctl.inventory.hostnames import read_hosts
from skoopctl.inventory.nodes import Document
from skoopctl.inventory.tree import Place, Setting, Tree, read_setting
from skoopctl.inventory.yaml_file import read_variables

SOURCE = "skoop_source"
KEYS = (SOURCE, "kubeconfig", "context", "selector", "address", "labels", "vars")
WORDS = ("kubeconfig", "context", "selector", "address", "label", "user")
"""What may stand behind ``k8s:?``; ``label`` any number of times."""
ADDRESSES = ("InternalIP", "ExternalIP", "Hostname", "InternalDNS", "ExternalDNS")
ANNOTATION = "annotation:"
CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")


@dataclass(frozen=True, slots=True)
class NodeSource:
    """Which nodes to take and how to reach them. ``None`` for kubeconfig and context: what kubectl would use."""

    place: Place
    kubeconfig: str | None = None
    context: str | None = None
    selector: str | None = None
    address: str = "InternalIP"
    labels: tuple[str, ...] = ()
    settings: Mapping[str, Setting] = field(default_factory=dict)


def words(source: str) -> NodeSource:
    """Read ``k8s:`` or ``k8s:?context=prod&selector=…&address=…&label=…&user=…``."""
    place = Place(f"-i {source}")
    query = source.removeprefix("k8s:").removeprefix("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    for name, value in pairs:
        if name not in WORDS:
            raise place.error(f"unknown word {name!r}", hint=f"there are: {', '.join(WORDS)}")
        if not value:
            raise place.error(f"{name} has no value")
    found = dict(pairs)
    settings = {}
    if "user" in found:
        settings["ansible_user"] = read_setting("ansible_user", found["user"], place, Path(), "user")
    kubeconfig = found.get("kubeconfig")
    return NodeSource(
        place=place,
        kubeconfig=None if kubeconfig is None else str(at_home(kubeconfig)),
        context=found.get("context"),
        selector=found.get("selector"),
        address=_address_kind(found.get("address", "InternalIP"), place),
        labels=tuple(value for name, value in pairs if name == "label"),
        settings=settings,
    )


def settings_of(document: Document, folder: Path) -> NodeSource:
    """Read a YAML file with ``skoop_source: kubernetes``; relative paths start at ``folder``."""
    assert document.root is not None  # noqa: S101 - the caller has seen the key in it
    found: dict[str, Any] = {}
    place = Place(document.path)
    for name, key, body in document.pairs(document.root, "a Kubernetes source"):
        here = document.place(key)
        if name not in KEYS:
            raise here.error(
                f"unknown key {name!r} in a Kubernetes source", hint=f"there are: {', '.join(KEYS)}"
            )
        if name == "vars":
            found["settings"] = read_variables(document, body, folder, "vars of the nodes")
        elif name == "labels":
            found["labels"] = _texts(document.value(body), here)
        else:
            value = _text(name, document.value(body), here)
            if name == SOURCE:
                place = here
                if value != "kubernetes":
                    raise here.error(f"{SOURCE} must be kubernetes, found {value!r}")
            elif name == "address":
                found[name] = _address_kind(value, here)
            else:
                found[name] = str(folder / at_home(value)) if name == "kubeconfig" else value
    return NodeSource(place=place, **found)


def read_nodes(source: NodeSource, tree: Tree) -> None:
    """Ask the API server for its nodes and put them into ``tree``."""
    server, nodes = node_list.fetch_nodes(
        source.place, kubeconfig=source.kubeconfig, context=source.context, selector=source.selector
    )
    if not nodes:
        what = f"no node matches the selector {source.selector!r}" if source.selector else "there is no node"
        raise source.place.error(f"{server}: {what}", hint="kubectl get nodes --show-labels shows them all")
    everybody = tree.group("all", source.place)
    everybody.defined = True
    everybody.variables |= source.settings
    members: dict[str, tuple[str, str]] = {}
    for node in nodes:
        name = _name(node, source, server)
        address = _address(node, name, source)
        for group, origin in _groups(node, source.labels).items():
            if members.setdefault(group, origin) != origin:
                one, other = (f"{key}={value}" for key, value in (members[group], origin))
                raise source.place.error(f"the labels {one} and {other} make one group {group!r}")
            tree.group(group, source.place).defined = True
            tree.add_host(name, group, {"ansible_host": Setting(address, address, source.place)}, None)


def _groups(node: dict[str, Any], labels: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """Return the groups of a node, each with the label that makes it."""
    own = node_list.texts_of(node, "metadata", "labels")
    role = "control_plane" if any(label in own for label in CONTROL_PLANE) else "worker"
    groups = {role: ("role", role)}
    for key in labels:
        if key in own:
            groups[re.sub(r"\W", "_", f"label_{key}_{own[key]}", flags=re.ASCII)] = (key, own[key])
    return groups


def _name(node: dict[str, Any], source: NodeSource, server: str) -> str:
    metadata = node.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", name):
        raise source.place.error(f"{server}: a node has no usable name: {name!r}")
    return read_hosts(name, source.place)[0][0]


def _address(node: dict[str, Any], name: str, source: NodeSource) -> str:
    """Return the first address of the wanted kind; an error names those that there are."""
    if source.address.startswith(ANNOTATION):
        kept = node_list.texts_of(node, "metadata", "annotations")
        wanted = kept.get(source.address.removeprefix(ANNOTATION))
        there = [f"annotation {key}" for key in sorted(kept)]
    else:
        pairs = node_list.addresses_of(node)
        wanted = next((address for kind, address in pairs if kind == source.address), None)
        there = [f"{kind} {address}" for kind, address in pairs]
    if not wanted:
        shown = ", ".join(there[:8]) or "none at all"
        raise source.place.error(
            f"node {name!r} has no {source.address}", hint=f"choose another with address; it has: {shown}"
        )
    setting = read_setting("ansible_host", wanted, source.place, Path(), f"node {name!r}")
    return str(setting.value)


def _address_kind(text: str, place: Place) -> str:
    if text in ADDRESSES or (text.startswith(ANNOTATION) and text != ANNOTATION):
        return text
    raise place.error(
        f"unknown kind of address {text!r}", hint=f"there are: {', '.join(ADDRESSES)}, annotation:KEY"
    )


def _text(name: str, value: object, place: Place) -> str:
    if not isinstance(value, str) or not value.strip():
        raise place.error(f"{name}: expected text, found {value!r}")
    return value


def _texts(value: object, place: Place) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise place.error("labels: expected a list of label keys")
    return tuple(value)
