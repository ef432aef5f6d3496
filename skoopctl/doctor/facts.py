"""What a node said of itself, typed. What it did not say is a `Gap` with the reason, never an empty value.

A node is not trusted: sizes are capped, and whatever has another shape than the node program writes is a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from skoopctl.evidence.item import HOST_WIDE, HostEvidence, Item, ItemStatus
from skoopctl.evidence.untrusted import parse_object, printable

_MAX_BYTES = 1 << 20
_MOST = 2**63
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that is not known, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Which machine it is, and who we are there."""

    hostname: str
    os: str
    kernel: str
    machine: str
    python: str
    uid: int
    wall_ns: int


@dataclass(frozen=True, slots=True)
class Tool:
    """A program of the node. ``problem`` says why there is no version."""

    path: str
    target: str
    version: str
    problem: str


@dataclass(frozen=True, slots=True)
class Setting:
    """A small file of the kernel: its text, or the name of the error that reading it gave."""

    text: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class ModuleGuard:
    """What is known of kernel modules: whether any can be loaded, and whether both lists could be read."""

    loadable: bool
    listed: bool
    builtin: bool


@dataclass(frozen=True, slots=True)
class KernelSettings:
    """What decides about eBPF and tracing. ``mounts`` holds where a kind of file system is mounted."""

    settings: Mapping[str, Setting]
    mounts: Mapping[str, str]
    modules: ModuleGuard


@dataclass(frozen=True, slots=True)
class Machine:
    """Memory in kB (0: not told), the load of the last minute, processors."""

    total_kb: int
    available_kb: int
    load: float
    processors: int


@dataclass(frozen=True, slots=True)
class Account:
    """Of how many processes there are, how many have namespaces that this login may not see."""

    processes: int
    hidden: int


@dataclass(frozen=True, slots=True)
class Reading:
    """How reading something went in all namespaces: how many there are, and what went wrong in some."""

    namespaces: int
    failures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of all namespaces together that only a tool of the node can read.

    ``nft`` has family and name. ``troubles`` says where that could not be found out.
    """

    nft: frozenset[tuple[str, str]]
    iptables_legacy: frozenset[str]
    ip6tables_legacy: frozenset[str]
    troubles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """All that a node said. ``problem`` says why the answer is not whole, or is empty."""

    problem: str
    identity: Identity | Gap
    namespaces: Item | Gap
    links: Reading
    tables: Tables
    tools: Mapping[str, Tool] | Gap
    kernel: KernelSettings | Gap
    ebpf: Mapping[str, str] | Gap
    machine: Machine | Gap
    account: Account | Gap
    ending_wall_ns: int | Gap


def facts_of(evidence: HostEvidence) -> NodeFacts | None:
    """Return what the items of an answer say, or ``None`` when there is no item at all."""
    if not evidence.items:
        return None
    return NodeFacts(
        problem="" if evidence.complete else evidence.problem,
        identity=_read(evidence, "identity", _identity),
        namespaces=evidence.item("namespaces") or Gap("the node said nothing of its namespaces"),
        links=_links(evidence),
        tables=_tables(evidence),
        tools=_read(evidence, "doctor-tools", _tools),
        kernel=_read(evidence, "doctor-kernel", _kernel),
        ebpf=_read(evidence, "doctor-ebpf", _texts),
        machine=_read(evidence, "doctor-machine", _machine),
        account=_read(evidence, "doctor-account", _account),
        ending_wall_ns=_read(evidence, "doctor-clock", lambda raw: _number(raw, "wall_ns")),
    )


def _read(evidence: HostEvidence, name: str, decode: Callable[[Mapping[str, Any]], _T]) -> _T | Gap:
    """Decode one item of the host; anything but a whole one is a gap."""
    item = evidence.item(name)
    if item is None:
        return Gap(f"the answer has no item {name}")
    return _decoded(item, decode)


def _decoded(item: Item, decode: Callable[[Mapping[str, Any]], _T]) -> _T | Gap:
    if item.status is not ItemStatus.OK:
        return Gap(f"{item.status}: {item.detail}")
    try:
        return decode(parse_object(item.payload, max_bytes=_MAX_BYTES))
    except (ValueError, TypeError, KeyError):
        return Gap(f"item {item.name} is not what the node program writes")


def _number(raw: Mapping[str, Any], key: str) -> int:
    value = raw[key]
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(key)
    if abs(value) > _MOST:
        raise ValueError(key)
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return printable(value)


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(value)
    return value


def _texts(raw: Mapping[str, Any]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in raw.items()}


def _identity(raw: Mapping[str, Any]) -> Identity:
    return Identity(
        hostname=_text(raw["hostname"]),
        os=_text(raw["os"]),
        kernel=_text(raw["kernel"]),
        machine=_text(raw["machine"]),
        python=_text(raw["python"]),
        uid=_number(raw, "uid"),
        wall_ns=_number(raw, "wall_ns"),
    )


def _tools(raw: Mapping[str, Any]) -> dict[str, Tool]:
    columns = ("path", "target", "version", "problem")
    return {
        _text(name): Tool(*(_text(_object(row)[column]) for column in columns)) for name, row in raw.items()
    }


def _setting(value: object) -> Setting:
    raw = _object(value)
    return Setting(_text(raw["text"]), _text(raw["error"]))


def _kernel(raw: Mapping[str, Any]) -> KernelSettings:
    modules = _object(raw["modules"])
    settings = {_text(name): _setting(row) for name, row in raw.items() if name not in {"mounts", "modules"}}
    guard = ModuleGuard(modules["loadable"] is True, modules["list"] is True, modules["builtin"] is True)
    return KernelSettings(settings, _texts(_object(raw["mounts"])), guard)


def _machine(raw: Mapping[str, Any]) -> Machine:
    memory, load = _object(raw["memory_kb"]), raw["loadavg"]
    available = "MemAvailable" if "MemAvailable" in memory else "MemFree"
    return Machine(
        _number(memory, "MemTotal") if memory else 0,
        _number(memory, available) if memory else 0,
        float(_text(load[0])) if load else 0.0,
        _number(raw, "processors"),
    )


def _account(raw: Mapping[str, Any]) -> Account:
    return Account(_number(raw, "processes"), _number(raw, "hidden"))


def _links(evidence: HostEvidence) -> Reading:
    """Tell how dumping the links went in each namespace."""
    items = [item for (netns, name), item in evidence.items.items() if name == "link" and netns != HOST_WIDE]
    failures = [
        f"namespace {item.netns}: {item.status}: {item.detail}" for item in items if item.status != "ok"
    ]
    return Reading(len(items), tuple(failures))


def _tables(evidence: HostEvidence) -> Tables:
    """Put together which tables there are, in any namespace."""
    nft: set[tuple[str, str]] = set()
    legacy: dict[str, set[str]] = {"iptables": set(), "ip6tables": set()}
    troubles: list[str] = []
    for (netns, name), item in evidence.items.items():
        if name != "doctor-netfilter":
            continue
        found = _decoded(item, _namespace_tables)
        if isinstance(found, Gap):
            troubles.append(f"namespace {netns}: {found.reason}")
            continue
        nft |= found.nft
        legacy["iptables"] |= found.iptables_legacy
        legacy["ip6tables"] |= found.ip6tables_legacy
        troubles += [f"namespace {netns}: {trouble}" for trouble in found.troubles]
    return Tables(
        frozenset(nft), frozenset(legacy["iptables"]), frozenset(legacy["ip6tables"]), tuple(troubles)
    )


def _namespace_tables(raw: Mapping[str, Any]) -> Tables:
    names = [_setting(raw["iptables"]), _setting(raw["ip6tables"])]
    troubles = [f"legacy tables: {each.error}" for each in names if each.error not in {"", "ENOENT"}]
    troubles += [_text(raw["nft_trouble"])] if raw["nft_trouble"] else []
    return Tables(
        frozenset((_text(family), _text(name)) for family, name in raw["nft"]),
        frozenset(names[0].text.split()),
        frozenset(names[1].text.split()),
        tuple(troubles),
    )
