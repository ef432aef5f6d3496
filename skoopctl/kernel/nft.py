"""The model of an nftables ruleset (``nft -j -a list ruleset``, libnftables-json(5)).

Statements and expressions are small typed trees. What the decoder does not know becomes `Unknown`
with the raw JSON beside it: never dropped, never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

# --- expressions -----------------------------------------------------------------------------------------


@dataclass(slots=True, frozen=True)
class Literal:
    """An immediate value: an address, number, name or boolean as JSON gives it."""

    value: str | int | bool


@dataclass(slots=True, frozen=True)
class Prefix:
    """``{"prefix": {"addr": "10.0.0.0", "len": 8}}``."""

    address: str
    length: int


@dataclass(slots=True, frozen=True)
class Range:
    """An inclusive range of two expressions."""

    low: Expression
    high: Expression


@dataclass(slots=True, frozen=True)
class Payload:
    """A header field: protocol ``ip ip6 tcp udp sctp th icmp icmpv6 ether vlan arp …`` and its field."""

    protocol: str
    field: str


@dataclass(slots=True, frozen=True)
class RawPayload:
    """``@nh,OFFSET,LENGTH``: bits of the link (``ll``), network (``nh``) or transport (``th``) header."""

    base: str
    offset: int
    length: int


@dataclass(slots=True, frozen=True)
class Extension:
    """A part of a packet that may be missing: ``kind`` is ``exthdr``, ``tcp option``, ``ip option``.

    Without ``field`` it asks whether the part is there.
    """

    kind: str
    name: str
    field: str = ""


@dataclass(slots=True, frozen=True)
class RouteKey:
    """``rt KEY``: ``classid nexthop mtu ipsec`` of the route that the packet has taken."""

    key: str
    family: str = ""


@dataclass(slots=True, frozen=True)
class Meta:
    """``meta KEY``: ``mark l4proto iifname oifname iif oif nfproto protocol pkttype skuid …``."""

    key: str


@dataclass(slots=True, frozen=True)
class Ct:
    """``ct KEY``, with ``direction`` ``original`` or ``reply`` where one is given."""

    key: str
    direction: str = ""


@dataclass(slots=True, frozen=True)
class Fib:
    """``fib FLAGS RESULT``: flags ``saddr daddr mark iif oif``, result ``type oif oifname``."""

    result: str
    flags: tuple[str, ...]


@dataclass(slots=True, frozen=True)
class Concat:
    """``a . b . c``."""

    parts: tuple[Expression, ...]


@dataclass(slots=True, frozen=True)
class SetReference:
    """``@name``: a named set or map of the same table."""

    name: str


@dataclass(slots=True, frozen=True)
class Element:
    """One element of a set or map: ``value`` is None in a set, else an expression or a `VerdictStatement`."""

    key: Expression
    value: Expression | VerdictStatement | None = None


@dataclass(slots=True, frozen=True)
class AnonymousSet:
    """``{ a, b }`` or ``{ a : x, b : y }``."""

    elements: tuple[Element, ...]


@dataclass(slots=True, frozen=True)
class MapLookup:
    """``KEY map DATA``: the value found."""

    key: Expression
    data: Expression


@dataclass(slots=True, frozen=True)
class Numgen:
    """``numgen random|inc mod N offset M``."""

    mode: str
    modulus: int
    offset: int = 0


@dataclass(slots=True, frozen=True)
class Hash:
    """``jhash KEY mod N seed S offset M`` or ``symhash mod N``, whose key is the flow (None here).

    ``seed`` is None where the kernel drew one for itself, which it does not tell.
    """

    kind: str
    modulus: int
    offset: int = 0
    seed: int | None = None
    key: Expression | None = None


@dataclass(slots=True, frozen=True)
class Binary:
    """``left OP right`` with operator ``& | ^ << >>``."""

    operator: str
    left: Expression
    right: Expression


@dataclass(slots=True, frozen=True)
class FlagSet:
    """A list of flag names, such as the right side of ``ct state { established, related }``: any of them."""

    names: tuple[str, ...]


@dataclass(slots=True, frozen=True)
class UnknownExpression:
    """An expression outside the model. ``reason`` names it."""

    reason: str
    raw: str = ""


Expression = (
    Literal
    | Prefix
    | Range
    | Payload
    | RawPayload
    | Extension
    | RouteKey
    | Meta
    | Ct
    | Fib
    | Concat
    | SetReference
    | AnonymousSet
    | MapLookup
    | Numgen
    | Hash
    | Binary
    | FlagSet
    | UnknownExpression
)

# --- statements ------------------------------------------------------------------------------------------


@dataclass(slots=True, frozen=True)
class MatchStatement:
    """``left OP right`` with operator ``== != < > <= >= in !``.

    ``in`` (the one that is not written) asks of flags whether any is set, and ``!`` whether none is.
    """

    operator: str
    left: Expression
    right: Expression


@dataclass(slots=True, frozen=True)
class VerdictStatement:
    """``accept drop continue return jump goto``; ``chain`` for jump and goto."""

    kind: str
    chain: str = ""


@dataclass(slots=True, frozen=True)
class VmapStatement:
    """``KEY vmap DATA``."""

    key: Expression
    data: Expression


@dataclass(slots=True, frozen=True)
class MangleStatement:
    """``KEY set VALUE``."""

    key: Expression
    value: Expression


@dataclass(slots=True, frozen=True)
class NatStatement:
    """``snat dnat masquerade redirect``.

    ``address`` may be a `MapLookup` or `Concat` that carries the port too (``dnat ip addr . port to …``);
    then ``address_and_port`` is true. ``flags`` are ``random fully-random persistent netmap``; with ``netmap``
    the address is a prefix, and the host part of the packet's own address is kept (``snat prefix to``).
    """

    kind: str
    address: Expression | None = None
    port: Expression | None = None
    family: str = ""
    address_and_port: bool = False
    flags: tuple[str, ...] = ()


@dataclass(slots=True, frozen=True)
class RejectStatement:
    """``reject with TYPE EXPR``; empty for the default (ICMP port unreachable)."""

    type: str = ""
    code: str = ""


@dataclass(slots=True, frozen=True)
class NotrackStatement:
    """``notrack``."""


@dataclass(slots=True, frozen=True)
class CounterStatement:
    """``counter packets P bytes B``."""

    packets: int
    octets: int


@dataclass(slots=True, frozen=True)
class SetUpdateStatement:
    """``add|update|delete @set { KEY [: VALUE] }``: no verdict, but later rules find the element."""

    operation: str
    set_name: str
    key: Expression | None = None
    value: Expression | None = None


@dataclass(slots=True, frozen=True)
class BudgetStatement:
    """``limit quota ct count meter``: the rule goes on while a budget lasts; ``name`` is for people."""

    name: str


@dataclass(slots=True, frozen=True)
class QueueStatement:
    """``queue``: a program decides; without one the packet is dropped, or goes on with ``bypass``."""

    bypass: bool = False


@dataclass(slots=True, frozen=True)
class ForwardStatement:
    """``fwd to DEVICE``: the packet leaves by another device at once (netdev only)."""

    device: str


@dataclass(slots=True, frozen=True)
class TproxyStatement:
    """``tproxy to ADDRESS:PORT``: a local socket takes the packet, if there is one."""

    target: str


@dataclass(slots=True, frozen=True)
class SynproxyStatement:
    """``synproxy``: the kernel answers the SYN in the server's place."""


@dataclass(slots=True, frozen=True)
class NoEffectStatement:
    """A statement that changes no verdict: ``log``, ``comment``, ``nftrace`` …; ``name`` says which."""

    name: str


@dataclass(slots=True, frozen=True)
class UnknownStatement:
    """A statement outside the model, or ``xt`` compatibility: it may match, and may do anything."""

    reason: str
    raw: str = ""


Statement = (
    MatchStatement
    | VerdictStatement
    | VmapStatement
    | MangleStatement
    | NatStatement
    | RejectStatement
    | NotrackStatement
    | CounterStatement
    | SetUpdateStatement
    | BudgetStatement
    | QueueStatement
    | ForwardStatement
    | TproxyStatement
    | SynproxyStatement
    | NoEffectStatement
    | UnknownStatement
)

# --- the ruleset -----------------------------------------------------------------------------------------


class RuleSource(Protocol):
    """Where a rule's statements come from: of ten thousands of rules a walk meets few, and reads only those."""

    def statements(self) -> tuple[Statement, ...]:
        """Return what the rule says; never raises."""

    def text(self) -> str:
        """Return the rule as near to nft's own syntax as can be."""


@dataclass(slots=True, frozen=True)
class NftRule:
    """One rule. ``number`` counts from 1 in its chain. Its statements are decoded when they are asked for."""

    family: str
    table: str
    chain: str
    number: int
    handle: int
    source: RuleSource = field(repr=False, compare=False)
    comment: str = ""

    @property
    def statements(self) -> tuple[Statement, ...]:
        """What the rule says, in order."""
        return self.source.statements()

    @property
    def text(self) -> str:
        """The rule in nft's syntax."""
        return self.source.text()

    @property
    def counter(self) -> CounterStatement | None:
        """The rule's first counter, if it has one."""
        return next((s for s in self.statements if isinstance(s, CounterStatement)), None)


@dataclass(slots=True, frozen=True)
class NftChain:
    """One chain; the base chain's fields are empty or None for a regular chain.

    Chains of one table are registered in the order of their handles (nf_tables_api.c: nf_tables_alloc_handle).
    ``devices`` may be empty for an ingress or egress chain: nft 1.0.6 does not print them as JSON.
    """

    name: str
    rules: tuple[NftRule, ...] = ()
    type: str = ""
    hook: str = ""
    priority: int | None = None
    policy: str = ""
    devices: tuple[str, ...] = ()
    handle: int = 0


@dataclass(slots=True, frozen=True)
class NftSet:
    """A named set or map. ``interval``: it holds prefixes and ranges; ``dynamic``: it changes by itself."""

    name: str
    key_type: tuple[str, ...]
    elements: tuple[Element, ...] = ()
    is_map: bool = False
    interval: bool = False
    dynamic: bool = False
    data_type: tuple[str, ...] = ()


@dataclass(slots=True, frozen=True)
class NftTable:
    """One table. ``family`` is ``ip ip6 inet arp bridge netdev``; ``order`` is its place in the dump.

    The chains of a ``dormant`` table are not hooked: no packet meets them.
    """

    family: str
    name: str
    chains: Mapping[str, NftChain]
    sets: Mapping[str, NftSet] = field(default_factory=dict)
    order: int = 0
    dormant: bool = False
