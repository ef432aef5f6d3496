"""Random rules of iptables at one hook, at whose end every packet but neighbour discovery is dropped."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tests.support.flow_stage import ADDRESSES, CLIENT, ROUTER, SERVER, Wanted

HOOKS = {CLIENT: "OUTPUT", ROUTER: "FORWARD", SERVER: "INPUT"}
CHAINS = ("ONE", "TWO")
PORTS = {
    "tcp": ("", "--dport 80", "--dport 81", "--syn", "! --syn", "-m multiport --dports 79,80"),
    "udp": ("", "--dport 80", "--dport 1:70", "! --dport 81"),
}
STATES = ("NEW", "ESTABLISHED", "NEW,RELATED", "INVALID", "ESTABLISHED,RELATED")
DISCOVERY = ("neighbour-solicitation", "neighbour-advertisement")


@dataclass(frozen=True)
class Drawn:
    """Rules for one of the places, and a flow of the client's."""

    where: str
    hook: str
    commands: str
    flow: Wanted


@dataclass
class Draw:
    """Draws by a seed: the same rules each time."""

    seed: int
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def likely(self, share: float) -> bool:
        """Tell whether something is so, in a share of the cases."""
        return self.chance.random() < share

    def drawn(self) -> Drawn:
        """Return rules and a flow that meets them."""
        pick = self.chance.choice
        family, where = pick((4, 6)), pick(tuple(HOOKS))
        tool = f"{'ip6' if family == 6 else 'ip'}tables{pick(('', '-legacy'))} -w"
        hook, table = HOOKS[where], pick(("filter", "filter", "mangle"))
        lines = [f"{tool} -t {table} -N {chain}" for chain in CHAINS]
        if family == 6:
            lines += [f"{tool} -t {table} -A {hook} -p icmpv6 --icmpv6-type {d} -j ACCEPT" for d in DISCOVERY]
        if self.likely(0.4):
            early = "OUTPUT" if where == CLIENT else "PREROUTING"
            mark = f"MARK --set-xmark {pick(('0x1', '0x2', '0x3'))}/0xff"
            lines.append(f"{tool} -t mangle -I {early} {self.match(family)} -j {mark}")
        for chain, most in ((hook, 4), ("ONE", 3), ("TWO", 2)):
            lines += [f"{tool} -t {table} -A {chain} {self.rule(chain, family)}" for _ in range(most)]
        lines.append(f"{tool} -t {table} -A {hook} -j DROP")
        return Drawn(where, hook, "; ".join(lines), Wanted(pick(("tcp", "tcp", "udp", "icmp")), family))

    def rule(self, chain: str, family: int) -> str:
        """Return matches and a target."""
        targets = {"ONE": ("DROP", "RETURN", "TWO"), "TWO": ("DROP", "RETURN")}.get(chain, ("DROP", *CHAINS))
        return f"{self.match(family)} -j {self.chance.choice(targets)}"

    def match(self, family: int) -> str:
        """Return some matches of a rule; sometimes none."""
        pick = self.chance.choice
        source, destination = ADDRESSES[family]
        words = []
        if self.likely(0.4):
            words.append(f"{pick(('', '! '))}-s {pick((source, destination))}")
        if self.likely(0.4):
            words.append(f"-d {pick((source, destination))}")
        if self.likely(0.6):
            protocol = pick(tuple(PORTS))
            words.append(f"-p {protocol} {pick(PORTS[protocol])}")
        if self.likely(0.3):
            words.append(f"-m conntrack {pick(('', '! '))}--ctstate {pick(STATES)}")
        if self.likely(0.2):
            words.append(f"-m mark {pick(('', '! '))}--mark {pick(('0x0', '0x1', '0x2/0x2'))}")
        return " ".join(words)
