"""Counterfactuals: the collected hosts with one thing changed, so that the walk can be asked "what if?".

Every function returns new hosts and leaves the old ones as they were; nothing touches a node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import ip_interface

from skoopctl.dataplane.topology import NsKey
from skoopctl.kernel.address import Address
from skoopctl.kernel.iptables import Rule, Table
from skoopctl.kernel.iptables_save import decode_iptables_save
from skoopctl.kernel.link import Link
from skoopctl.kernel.neighbour import FdbEntry, Neighbour
from skoopctl.kernel.netns import Host, NetNamespace
from skoopctl.kernel.nft import NftTable
from skoopctl.kernel.route import TABLE_MAIN, NextHop, Route

Hosts = Mapping[str, Host]
Change = Callable[[NetNamespace], NetNamespace]


def edit_netns(hosts: Hosts, key: NsKey, change: Change) -> dict[str, Host]:
    """Return the hosts with one namespace changed."""
    host = hosts[key[0]]
    namespaces = {**host.namespaces, key[1]: change(host.namespaces[key[1]])}
    return {**hosts, key[0]: replace(host, namespaces=namespaces)}


def without_rule(text: str, table: str, chain: str, number: int) -> Change:
    """Delete one iptables rule, known by its place and its text."""

    def change(netns: NetNamespace) -> NetNamespace:
        return replace(netns, iptables=tuple(_cut(t, text, table, chain, number) for t in netns.iptables))

    return change


def _cut(table: Table, text: str, name: str, chain: str, number: int) -> Table:
    known = table.chains.get(chain)
    if table.name != name or known is None:
        return table
    rules = tuple(r for r in known.rules if not (r.number == number and r.text == text))
    if len(rules) == len(known.rules):
        return table
    return replace(table, chains={**table.chains, chain: replace(known, rules=rules)})


def with_policy(table: str, chain: str, policy: str) -> Change:
    """Change the policy of a built-in chain (``iptables -P``)."""

    def change(netns: NetNamespace) -> NetNamespace:
        tables = tuple(
            replace(t, chains={**t.chains, chain: replace(t.chains[chain], policy=policy)})
            if t.name == table and chain in t.chains
            else t
            for t in netns.iptables
        )
        return replace(netns, iptables=tables)

    return change


def without_nft_rule(family: str, table: str, chain: str, handle: int) -> Change:
    """Delete one nft rule by its handle."""

    def cut(item: NftTable) -> NftTable:
        known = item.chains.get(chain)
        if (item.family, item.name) != (family, table) or known is None:
            return item
        rules = tuple(rule for rule in known.rules if rule.handle != handle)
        return replace(item, chains={**item.chains, chain: replace(known, rules=rules)})

    def change(netns: NetNamespace) -> NetNamespace:
        return replace(netns, nft=tuple(cut(item) for item in netns.nft))

    return change


def with_nft_policy(family: str, table: str, chain: str) -> Change:
    """Let a base chain accept by default."""

    def free(item: NftTable) -> NftTable:
        if (item.family, item.name) != (family, table) or chain not in item.chains:
            return item
        return replace(item, chains={**item.chains, chain: replace(item.chains[chain], policy="accept")})

    def change(netns: NetNamespace) -> NetNamespace:
        return replace(netns, nft=tuple(free(item) for item in netns.nft))

    return change


def with_first_rule(family: int, chain: str, line: str) -> Change:
    """Insert a rule at the top of a chain of the filter table (``iptables -I``); ``line`` begins with ``-A``."""
    text = f"*filter\n:{chain} ACCEPT [0:0]\n{line}\nCOMMIT\n"

    def change(netns: NetNamespace) -> NetNamespace:
        return replace(netns, iptables=tuple(_with_first(t, family, chain, text) for t in netns.iptables))

    return change


def _with_first(table: Table, family: int, chain: str, text: str) -> Table:
    known = table.chains.get(chain)
    if (table.name, table.family) != ("filter", family) or known is None:
        return table
    read = decode_iptables_save(text, family=family, backend=table.backend).tables[0].chains[chain].rules
    return replace(
        table,
        chains={**table.chains, chain: replace(known, rules=(*read, *(_later(r) for r in known.rules)))},
    )


def _later(rule: Rule) -> Rule:
    return replace(rule, number=rule.number + 1)


def without_policy_rule(text: str) -> Change:
    """Delete a policy rule, known by its line."""

    def change(netns: NetNamespace) -> NetNamespace:
        return replace(netns, rules=tuple(r for r in netns.rules if r.text != text))

    return change


def with_sysctls(values: Mapping[str, str]) -> Change:
    """Set sysctls (paths below ``/proc/sys``)."""

    def change(netns: NetNamespace) -> NetNamespace:
        return replace(netns, sysctls=replace(netns.sysctls, values={**netns.sysctls.values, **values}))

    return change


def with_link(index: int, change_link: Callable[[Link], Link]) -> Change:
    """Change one device."""

    def change(netns: NetNamespace) -> NetNamespace:
        return replace(netns, links={**netns.links, index: change_link(netns.links[index])})

    return change


def with_link_up(index: int) -> Change:
    """Set a device up; the kernel gives back the routes of its own subnets (fib_add_ifaddr)."""

    def change(netns: NetNamespace) -> NetNamespace:
        up = with_link(index, lambda link: replace(link, up=True, carrier=True))(netns)
        missing = tuple(
            route
            for address in netns.addresses
            if address.index == index
            for route in _connected(address)
            if all(r.destination != route.destination or r.table != TABLE_MAIN for r in netns.routes)
        )
        return replace(up, routes=(*up.routes, *missing))

    return change


def _connected(address: Address) -> tuple[Route, ...]:
    network = ip_interface(f"{address.ip}/{address.prefixlen}").network
    if network.prefixlen == network.max_prefixlen:
        return ()
    hop = NextHop(address.index)
    return (Route(TABLE_MAIN, network, next_hops=(hop,), prefsrc=address.ip, scope=253, text=f"{network}"),)


def with_route(route: Route) -> Change:
    """Add a route, in place of one to the same destination in the same table."""

    def change(netns: NetNamespace) -> NetNamespace:
        others = tuple(
            r for r in netns.routes if (r.destination, r.table) != (route.destination, route.table)
        )
        return replace(netns, routes=(*others, route))

    return change


def without_route(text: str) -> Change:
    """Delete a route, known by its line."""

    def change(netns: NetNamespace) -> NetNamespace:
        return replace(netns, routes=tuple(r for r in netns.routes if r.text != text))

    return change


def with_neighbour(neighbour: Neighbour) -> Change:
    """Replace a neighbour entry."""

    def change(netns: NetNamespace) -> NetNamespace:
        others = tuple(
            n for n in netns.neighbours if (n.index, n.ip) != (neighbour.index, neighbour.ip) or n.proxy
        )
        return replace(netns, neighbours=(*others, neighbour))

    return change


def with_fdb(entry: FdbEntry) -> Change:
    """Add a forwarding entry."""

    def change(netns: NetNamespace) -> NetNamespace:
        others = tuple(e for e in netns.fdb if (e.index, e.mac) != (entry.index, entry.mac))
        return replace(netns, fdb=(*others, entry))

    return change
