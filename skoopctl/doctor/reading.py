"""What the node program can read: namespaces, netlink, and the rules that only the node's own tools print."""

from __future__ import annotations

import re
from collections.abc import Mapping

from skoopctl.doctor.check import Check, Judgement, Subject, degraded, missing, of_node, ok, unknown
from skoopctl.doctor.facts import Gap, NodeFacts, Tool
from skoopctl.evidence.item import ItemStatus

_FAMILIES = {"ip": "iptables", "ip6": "ip6tables"}
_IPTABLES_TABLES = frozenset({"raw", "mangle", "nat", "filter", "security"})
BY_HAND = ("ipset", "conntrack", "ipvsadm", "tc", "ss", "bpftool")
"""Tools for people at the node. The node program reads over netlink what they would print."""


def _namespaces(_: Subject, facts: NodeFacts) -> Judgement:
    item, account = facts.namespaces, facts.account
    if isinstance(item, Gap):
        return unknown(item)
    if isinstance(account, Gap):
        return unknown(account)
    seen = f"{facts.links.namespaces} found"
    if item.status is ItemStatus.OK:
        # Even root is refused some processes by a security module or from inside a container.
        return ok(f"{seen}; {account.hidden} of {account.processes} processes hidden")
    return missing(f"{seen}, those of {account.hidden} of {account.processes} processes may not be seen")


def _netlink(_: Subject, facts: NodeFacts) -> Judgement:
    links = facts.links
    if not links.namespaces:
        return unknown("no namespace was read")
    if not links.failures:
        return ok(f"links dumped in each of {links.namespaces} namespaces")
    said = f"{len(links.failures)} of {links.namespaces} namespaces failed: {links.failures[0]}"
    return missing(said) if len(links.failures) == links.namespaces else degraded(said)


def savers(tools: Mapping[str, Tool], stem: str) -> frozenset[str]:
    """Return the stores (``nft``, ``legacy``) whose rules a save program of ``stem`` can print.

    Since 1.8 ``iptables-save -V`` tells its store; before there was only legacy.
    """
    found = {store for store in ("nft", "legacy") if f"{stem}-{store}-save" in tools}
    plain = tools.get(f"{stem}-save")
    if plain is not None:
        found.add("nft" if "nf_tables" in plain.version or "nft" in plain.target else "legacy")
    return frozenset(found)


def _iptables(_: Subject, facts: NodeFacts) -> Judgement:
    tools, tables = facts.tools, facts.tables
    if isinstance(tools, Gap):
        return unknown(tools)
    lacking, used = [], []
    for family, stem in _FAMILIES.items():
        in_nft = {name for kind, name in tables.nft if kind == family} & _IPTABLES_TABLES
        in_legacy = tables.iptables_legacy if stem == "iptables" else tables.ip6tables_legacy
        for store, names in (("nft", in_nft), ("legacy", in_legacy)):
            if not names:
                continue
            program = f"{stem}-{store}-save"
            used.append(program)
            if store not in savers(tools, stem):
                lacking.append((store, f"{program} is not there for the tables {', '.join(sorted(names))}"))
    if lacking:
        said = "; ".join(text for _, text in lacking)
        readable = "nft" in tools and all(store == "nft" for store, _ in lacking)
        return degraded(f"{said}: nft is used in its place") if readable else missing(said)
    if tables.troubles:
        return unknown(tables.troubles[0])
    versions = sorted({tool.version for name, tool in tools.items() if name in used and tool.version})
    return ok("; ".join(versions) if used else "no namespace has iptables rules")


def _nft(_: Subject, facts: NodeFacts) -> Judgement:
    tools, tables = facts.tools, facts.tables
    if isinstance(tools, Gap):
        return unknown(tools)
    own = sorted(
        f"{family} {name}"
        for family, name in tables.nft
        if family not in _FAMILIES or name not in _IPTABLES_TABLES
    )
    nft = tools.get("nft")
    if own and nft is None:
        shown = ", ".join(own[:4]) + (f" and {len(own) - 4} more" if len(own) > 4 else "")
        return missing(f"nft is not there for the tables {shown}")
    if tables.troubles and nft is None:
        return unknown(tables.troubles[0])
    if not own:
        return ok("no namespace has tables of its own making")
    return ok((nft.version or nft.problem) if nft is not None else "")


def _tools(_: Subject, facts: NodeFacts) -> Judgement:
    if isinstance(facts.tools, Gap):
        return unknown(facts.tools)
    tools = {name: tool for name, tool in facts.tools.items() if name not in {"sudo", "doas"}}
    there = [f"{name} {_version(tool)}" for name, tool in tools.items()]
    absent = [name for name in BY_HAND if name not in tools]
    words = ", ".join(there) or "none"
    return ok(f"{words}; not there: {', '.join(absent)}" if absent else words)


def _version(tool: Tool) -> str:
    """Return what looks like a version in what a tool says, or why there is none."""
    found = re.search(r"\d+\.[\w.+~-]*\w", tool.version)
    return found.group() if found else f"({tool.problem or 'its version is not known'})"


def _modules(_: Subject, facts: NodeFacts) -> Judgement:
    if isinstance(facts.kernel, Gap):
        return unknown(facts.kernel)
    guard = facts.kernel.modules
    if not guard.loadable:
        return ok("this kernel loads no module")
    if guard.listed and guard.builtin:
        return ok("loaded and built-in modules are known")
    return degraded("modules.builtin of this kernel cannot be read: what may be a module there is not asked")


CHECKS = (
    Check(
        "namespaces",
        "every process's network namespace is seen",
        "root, or CAP_SYS_PTRACE and CAP_SYS_ADMIN: /proc/PID/ns/net of all processes",
        "missing when this login may not see those of other users' processes",
        "become root on the node",
        of_node(_namespaces),
    ),
    Check(
        "netlink",
        "the kernel's tables can be dumped in each of them",
        "setns(2) and a netlink socket in every namespace",
        "missing when the dump of the links fails in all namespaces, degraded when in some",
        "become root on the node; a security module or a container around the SSH server may refuse it",
        of_node(_netlink),
    ),
    Check(
        "iptables",
        "iptables rules can be read",
        "iptables-nft-save or iptables-legacy-save (and ip6), for the store in which a namespace has tables",
        "missing when there are such tables and no program prints them; degraded when nft must do instead",
        "install iptables on the node: skoopctl node prepare does it, or your distribution's package",
        of_node(_iptables),
    ),
    Check(
        "nft",
        "nftables tables can be read",
        "nft, where a namespace has tables that iptables did not make",
        "missing when there are such tables and no nft",
        "install nftables on the node: skoopctl node prepare --packages nft",
        of_node(_nft),
    ),
    Check(
        "tools",
        "which tools are there",
        f"nothing: {', '.join(BY_HAND)} are not needed, netlink is read instead; iptables and nft have checks of "
        "their own",
        "ok, and tells which are there in which version; those that would touch the kernel are not started",
        "nothing needs to be done",
        of_node(_tools),
    ),
    Check(
        "module-guard",
        "nothing is loaded by looking",
        "/proc/modules and modules.builtin of the running kernel, by which the node program knows what it may ask",
        "degraded when modules could be loaded and modules.builtin cannot be read",
        "install the package of the running kernel again, or reboot into the installed one",
        of_node(_modules),
    ),
)
