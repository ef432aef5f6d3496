"""Build the typed model of a host from what it answered.

Every part that was not read, or not read whole, is a gap: it is unknown, never empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from skoopctl.evidence.item import HostEvidence, Item, ItemStatus
from skoopctl.kernel import netlink
from skoopctl.kernel.bpf import Attachment, decode_programs, decode_tc_filters
from skoopctl.kernel.conntrack import ConnectionTable, connection_table
from skoopctl.kernel.host_facts import (
    HostIdentity,
    NamespaceFacts,
    decode_identity,
    decode_namespaces,
    decode_nsids,
    decode_sysctls,
    foreign_sysctl_line,
)
from skoopctl.kernel.ipset import IpSet
from skoopctl.kernel.ipset_save import decode_ipset_save
from skoopctl.kernel.iptables import Backend, Table
from skoopctl.kernel.iptables_save import decode_iptables_save
from skoopctl.kernel.ipvs import Ipvs, IpvsDump, Template, merged
from skoopctl.kernel.ipvs_text import decode_proc_ip_vs, decode_proc_ip_vs_conn
from skoopctl.kernel.link import Link
from skoopctl.kernel.netlink import Dump
from skoopctl.kernel.netns import Gap, Host, NetNamespace
from skoopctl.kernel.nft_json import (
    NftDump,
    decode_nft_json,
    in_order,
    only_foreign_chains,
    shown_by_iptables,
)
from skoopctl.kernel.proc_net import (
    SocketDump,
    decode_proc_net,
    decode_sctp_eps,
    has_virtual_services,
    join_families,
)
from skoopctl.kernel.recent import Ages, decode_recent
from skoopctl.kernel.route import PolicyRule
from skoopctl.kernel.route_text import TABLE_NAMES
from skoopctl.kernel.socket import Socket
from skoopctl.kernel.sysctl import Sysctls
from skoopctl.kernel.tunnel import Wireguard

T = TypeVar("T")

_IPTABLES = (
    ("iptables-nft", 4, Backend.NFT),
    ("iptables-legacy", 4, Backend.LEGACY),
    ("ip6tables-nft", 6, Backend.NFT),
    ("ip6tables-legacy", 6, Backend.LEGACY),
)
_SOCKETS = (
    ("proc-net-tcp", "tcp"),
    ("proc-net-tcp6", "tcp"),
    ("proc-net-udp", "udp"),
    ("proc-net-udp6", "udp"),
)
# How the node program words an absence that means "there is nothing to read". Anything else that is absent
# could not be read, such as rules without the program that shows them.
_NOTHING_THERE = ("no tables", "this kernel has no", "a kernel without")
_NOT_IN_KERNEL = "this kernel does not have it"
_ENDED = "the namespace ended"
# The node program's words for tables without a program to list them; a list of so many names may be cut.
_TABLES_EXIST = re.compile(r"nftables tables exist \((.*)\)")
_NAMES_LISTED = 64


def build_host(evidence: HostEvidence) -> Host:
    """Decode all namespaces of one host. Never raises: what cannot be decoded is among the gaps."""
    gaps: list[Gap] = []
    identity = _host_wide(evidence, "identity", decode_identity, HostIdentity(), gaps)
    nobody: tuple[NamespaceFacts, ...] = ()
    listed = _host_wide(evidence, "namespaces", decode_namespaces, nobody, gaps)
    if not evidence.complete:
        gaps.append(Gap("answer", "truncated", evidence.problem or "the answer has no end frame"))
    facts = {each.inode: each for each in listed}
    for inode in evidence.namespaces():
        facts.setdefault(inode, NamespaceFacts(inode))
    root = identity.root or next((f.inode for f in listed if f.is_host), 0) or next(iter(facts), 0)
    facts.setdefault(root, NamespaceFacts(root, is_host=True))
    namespaces: dict[int, NetNamespace] = {}
    for inode, each in facts.items():
        ended = evidence.item("link", inode)
        if ended is not None and ended.detail.startswith(_ENDED) and inode != root:
            gaps.append(Gap("namespace", ended.status.value, ended.detail, inode))
            continue
        reader = _NamespaceReader(evidence, each, inode == root, identity.uptime_s)
        namespaces[inode] = reader.read()
        gaps += reader.gaps.values()
    return Host(
        evidence.host, root, namespaces, identity.hostname, identity.kernel, tuple(gaps), identity.clock_s
    )


def is_nothing(item: Item) -> bool:
    """Tell whether an item is absent because there is nothing to read, which is an answer and no gap."""
    return item.status is ItemStatus.ABSENT and (
        item.detail.startswith(_NOTHING_THERE) or item.detail.endswith(_NOT_IN_KERNEL)
    )


def _host_wide(
    evidence: HostEvidence, name: str, decode: Callable[[bytes], T], default: T, gaps: list[Gap]
) -> T:
    item = evidence.item(name)
    if item is None:
        gaps.append(Gap(name, "missing", "the host did not answer it"))
        return default
    if item.status is not ItemStatus.OK:
        gaps.append(Gap(name, item.status.value, item.detail))
    if not item.payload:
        return default
    try:
        return decode(item.payload)
    except ValueError as error:
        gaps.append(Gap(name, "malformed", str(error)[:200]))
        return default


@dataclass(slots=True)
class _NamespaceReader:
    """Reads the items of one namespace and keeps the gaps, one for each item."""

    evidence: HostEvidence
    facts: NamespaceFacts
    is_host: bool
    uptime_s: float
    gaps: dict[str, Gap] = field(default_factory=dict)

    def read(self) -> NetNamespace:
        links = {link.index: link for link in self._dump("link", netlink.decode_links)}
        devices = {index: link.name for index, link in links.items()}
        objects = self._dump("nexthop", netlink.decode_nexthops)
        routes = self._dump("route", lambda r: netlink.decode_routes(r, devices=devices, nexthops=objects))
        neighbours = self._dump("neigh", lambda r: netlink.decode_neighbours(r, devices=devices))
        proxies = self._dump("neigh-proxy", lambda r: netlink.decode_neighbours(r, devices=devices))
        iptables = self._iptables()
        nft = self._nft(iptables)
        return NetNamespace(
            self.evidence.host,
            self.facts.inode,
            self.is_host,
            self.facts.names,
            self.facts.pod_uids,
            self.facts.processes,
            pid=self.facts.pid,
            links=links,
            addresses=self._dump("addr", netlink.decode_addresses),
            routes=routes,
            rules=self._rules(),
            neighbours=neighbours + proxies,
            fdb=self._dump("fdb", lambda r: netlink.decode_fdb(r, devices=devices)),
            sockets=self._sockets(),
            sysctls=self._sysctls(),
            iptables=in_order(iptables, nft),
            nft=nft.tables,
            nft_counts=nft.left_out,
            nsids=self._nsids(),
            tc_devices=frozenset(self._dump("qdisc", netlink.decode_tc_devices)),
            speaks_sctp=self._speaks_sctp(),
            programs=self._programs(),
            ipvs_services=has_virtual_services(self._text("ip_vs")),
            ipvs=self._ipvs(),
            conntrack=self._conntrack(),
            recent=self._recent(),
            wireguard=self._wireguard(links.values()),
            ipsets=self._ipsets(),
            gaps={name: f"{gap.status}: {gap.detail}".rstrip(": ") for name, gap in self.gaps.items()},
        )

    def _gap(self, name: str, status: str, detail: str) -> None:
        self.gaps.setdefault(name, Gap(name, status, detail, self.facts.inode))

    def _raw(self, name: str) -> bytes | None:
        """Return an item's bytes, or None where there are none; anything but ``ok`` leaves a gap."""
        item = self.evidence.item(name, self.facts.inode)
        if item is None:
            self._gap(name, "missing", "the host did not answer it")
            return None
        if item.status is ItemStatus.OK:
            return item.payload
        if not is_nothing(item):
            self._gap(name, item.status.value, item.detail)
        return item.payload or None

    def _speaks_sctp(self) -> bool | None:
        """Tell whether SCTP is there; None when it was not read, which only such a flow minds."""
        item = self.evidence.item("proc-net-sctp-eps", self.facts.inode)
        return None if item is None else not is_nothing(item)

    def _text(self, name: str) -> str:
        return (self._raw(name) or b"").decode("utf-8", "backslashreplace")

    def _dump(self, name: str, decode: Callable[[bytes], Dump[T]]) -> tuple[T, ...]:
        raw = self._raw(name)
        if raw is None:
            return ()
        found = decode(raw)
        if found.problem:
            self._gap(name, "malformed", found.problem)
        return found.entries

    def _sysctls(self) -> Sysctls:
        text = self._text("sysctl")
        foreign = foreign_sysctl_line(text)
        if foreign:
            self._gap("sysctl", "malformed", f"line {foreign} is no sysctl")
        return decode_sysctls(text)

    def _rules(self) -> tuple[PolicyRule, ...]:
        item = self.evidence.item("rule", self.facts.inode)
        if item is not None and is_nothing(item):
            return RULES_WITHOUT_POLICY_ROUTING
        return self._dump("rule", netlink.decode_rules)

    def _sockets(self) -> tuple[Socket, ...]:
        sockets: list[Socket] = []
        for name, protocol in _SOCKETS:
            text = self._text(name)
            if text:
                sockets += self._decoded(name, decode_proc_net(text, protocol))
        if self._speaks_sctp():
            sockets += self._decoded("proc-net-sctp-eps", decode_sctp_eps(self._text("proc-net-sctp-eps")))
        return join_families(sockets)

    def _decoded(self, name: str, found: SocketDump) -> tuple[Socket, ...]:
        if found.problem:
            self._gap(name, "malformed", found.problem)
        return found.sockets

    def _iptables(self) -> tuple[Table, ...]:
        tables: tuple[Table, ...] = ()
        for name, family, backend in _IPTABLES:
            found = decode_iptables_save(self._text(name), family=family, backend=backend)
            if found.problems:
                self._gap(name, "malformed", "; ".join(found.problems[:4]))
            tables += found.tables
        return tables

    def _nft(self, iptables: tuple[Table, ...]) -> NftDump:
        shown = shown_by_iptables(t for t in iptables if t.backend is Backend.NFT)
        item = self.evidence.item("nft", self.facts.inode)
        if item is not None and item.status is ItemStatus.ABSENT and _all_shown(item.detail, shown):
            return NftDump(())
        raw = self._raw("nft")
        if raw is None:
            return NftDump(())
        found = decode_nft_json(raw, leave_out=shown)
        if found.problems:
            self._gap("nft", "malformed", "; ".join(found.problems[:4]))
        return only_foreign_chains(found, iptables)

    def _programs(self) -> tuple[Attachment, ...] | None:
        """Return programs and tc filters; None when the node was not asked, or would not say."""
        items = [self.evidence.item(name, self.facts.inode) for name in ("tc-filter", "bpf")]
        if any(item is None or not (item.status is ItemStatus.OK or is_nothing(item)) for item in items):
            return None
        filters = self._dump("tc-filter", decode_tc_filters)
        text = self._text("bpf")
        try:
            return decode_programs(text, filters) if text else filters
        except ValueError as error:
            self._gap("bpf", "malformed", str(error)[:200])
            return None

    def _recent(self) -> dict[str, dict[int, Ages]] | None:
        """Return the lists of ``-m recent``; None when they were not read, which only such a rule minds."""
        item = self.evidence.item("xt-recent", self.facts.inode)
        if item is None or not (item.status is ItemStatus.OK or is_nothing(item)):
            return None
        return decode_recent(item.payload.decode("utf-8", "backslashreplace"), self.uptime_s)

    def _wireguard(self, links: Iterable[Link]) -> tuple[Wireguard, ...]:
        """Return the WireGuard devices; where there is none, nobody minds that they were not asked for."""
        if all(link.kind != "wireguard" for link in links):
            return ()
        return self._dump("wireguard", netlink.decode_wireguard)

    def _ipvs(self) -> Ipvs:
        """Return the services as netlink tells them; as ``/proc`` does, which says less, where it did not."""
        listed = decode_proc_ip_vs(self._text("ip_vs")) if self._has_data("ip_vs") else IpvsDump(())
        if listed.problem:
            self._gap("ip_vs", "malformed", listed.problem)
        if "ip_vs" in self.gaps and listed.services:
            # What was cut or cannot be read may belong to the service before it.
            last = replace(listed.services[-1], damaged=True)
            listed = IpvsDump((*listed.services[:-1], last), listed.problem)
        templates: tuple[Template, ...] | None = ()
        if listed.services:
            item = self.evidence.item("ip_vs_conn", self.facts.inode)
            read = item is not None and item.status is ItemStatus.OK
            templates = (
                decode_proc_ip_vs_conn(item.payload.decode("ascii", "replace")) if read and item else None
            )
        more = netlink.decode_ipvs(self._bytes("ipvs")) if self._has_data("ipvs") else IpvsDump(())
        return Ipvs(merged(listed.services, more.services), templates)

    def _has_data(self, name: str) -> bool:
        return bool(self._bytes(name))

    def _bytes(self, name: str) -> bytes:
        """Return what there is of an item whose absence leaves no gap: only what asks for it minds."""
        item = self.evidence.item(name, self.facts.inode)
        return item.payload if item is not None else b""

    def _conntrack(self) -> ConnectionTable | None:
        """Return the connections; None when they were not read, which leaves no gap: no walk needs them."""
        item = self.evidence.item("conntrack", self.facts.inode)
        if item is None or not (item.payload or item.status is ItemStatus.OK or is_nothing(item)):
            return None
        if not item.payload:
            return ConnectionTable()
        found = netlink.decode_conntrack(item.payload)
        complete = item.status is ItemStatus.OK and not item.detail and not found.problem
        return connection_table(found.entries, complete=complete, detail=item.detail or found.problem)

    def _ipsets(self) -> dict[str, IpSet]:
        """Return the sets, from the kernel's dump or from the text of ``ipset save`` (recorded clusters)."""
        raw = self._raw("ipset")
        if not raw:
            return {}
        if raw.startswith((b"create ", b"add ", b"#")):
            found = decode_ipset_save(raw.decode("utf-8", "backslashreplace"))
        else:
            found = netlink.decode_ipset_dump(raw)
        if found.problem:
            self._gap("ipset", "malformed", found.problem)
        return found.sets

    def _nsids(self) -> dict[int, int]:
        raw = self._raw("nsid")
        if raw is None:
            return {}
        try:
            return decode_nsids(raw)
        except ValueError as error:
            self._gap("nsid", "malformed", str(error)[:200])
            return {}


def _all_shown(detail: str, shown: frozenset[tuple[str, str]]) -> bool:
    """Tell whether a node without ``nft`` lost nothing, because iptables-nft-save shows every table."""
    found = _TABLES_EXIST.search(detail)
    names = found[1].split(", ") if found else []
    return 0 < len(names) < _NAMES_LISTED and all(tuple(n.split(" ", 1)) in shown for n in names)


def _default_rules() -> tuple[PolicyRule, ...]:
    tables = {4: ((0, 255), (32766, 254), (32767, 253)), 6: ((0, 255), (32766, 254))}
    rules = []
    for family, entries in tables.items():
        for priority, table in entries:
            text = f"{priority}:\tfrom all lookup {TABLE_NAMES[table]}"
            rules.append(PolicyRule(family, priority, table=table, text=text))
    return tuple(rules)


RULES_WITHOUT_POLICY_ROUTING = _default_rules()
"""What a kernel without CONFIG_IP_MULTIPLE_TABLES does, written as rules."""
