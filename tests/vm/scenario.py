"""A scenario: namespaces that are wired up in the guest, and flows that are really tried there.

The script of a scenario is ``sh -e`` with these functions:

- ``ns NAME...`` makes namespaces with a loopback and short timers; ``router NAME...`` such that forward;
- ``wire A:DEV:ADDRESS[,ADDRESS...] B:DEV:ADDRESS[,...]`` connects two of them by veth;
- ``on NAME COMMAND...`` runs a command in one; ``set_of NAME KEY=VALUE...`` writes sysctls there;
- ``via NAME ADDRESS...`` gives default routes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

PRELUDE = """set -e
set_of() { n=$1; shift; ip netns exec $n sysctl -q -w "$@"; }
on() { n=$1; shift; ip netns exec $n "$@"; }
ns() {
  for each; do
    ip netns add $each
    ip netns exec $each sh -c 'ip link set lo up; cd /proc/sys/net
      echo 0 >ipv4/icmp_ratelimit; echo 0 2147483647 >ipv4/ping_group_range
      echo 0 >ipv6/conf/default/accept_dad; echo 0 >ipv6/conf/all/accept_dad'
  done
}
router() { ns "$@"; for each; do set_of $each net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1; done; }
wire() {
  a=${1%%:*}; rest=${1#*:}; adev=${rest%%:*}; aips=${rest#*:}
  b=${2%%:*}; rest=${2#*:}; bdev=${rest%%:*}; bips=${rest#*:}
  ip -n $a link add $adev type veth peer name $bdev netns $b
  wired $a $adev $aips; wired $b $bdev $bips
}
wired() {
  { for ip in $(echo $3 | tr , ' '); do [ $ip = - ] || echo addr add $ip dev $2; done; echo link set $2 up; } |
    ip -n $1 -batch -
}
via() { n=$1; shift; for each; do ip -n $n route add default via $each; done; }
"""


@dataclass(frozen=True, slots=True)
class Try:
    """A flow to be tried ``times`` over: from a namespace, to an address and a port.

    With ``spread`` each of the predicted answers must have been seen: the scheduler takes turns.
    ``either``: whether it ends in silence or in EHOSTUNREACH is a matter of time. What is ``first`` is tried
    before all else, for it wakes something up. ``extra`` goes to the prober (``tests/vm/inside.py``).
    """

    source: str
    protocol: str
    address: str
    port: int = 0
    times: int = 1
    spread: bool = False
    first: bool = False
    either: bool = False
    extra: tuple[tuple[str, str | int], ...] = ()

    @property
    def label(self) -> str:
        """Return the flow in one line."""
        more = "".join(f" {key}={value}" for key, value in self.extra)
        return f"{self.source} {self.protocol} {self.address} {self.port}{more}"


@dataclass(frozen=True, slots=True)
class Scenario:
    """What to build, who serves what, and which flows to try. ``about`` says which fact is at stake."""

    name: str
    about: str
    script: str
    serve: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    tries: tuple[Try, ...] = ()


SCENARIOS: dict[str, Scenario] = {}
"""All scenarios by name, in the order in which they are written down."""


def flows(text: str) -> tuple[Try, ...]:
    """Read flows, one a line: ``SOURCE PROTOCOL ADDRESS PORT [xTIMES] [FLAG...] [KEY=VALUE...]``."""
    return tuple(_flow(line.split()) for line in text.strip().splitlines() if line.split("#")[0].strip())


def _flow(words: list[str]) -> Try:
    source, protocol, address, port, *more = words
    extra = tuple(tuple(word.split("=", 1)) for word in more if "=" in word)
    typed = tuple((key, int(value, 0) if key == "mark" else value) for key, value in extra)
    times = next((int(word[1:]) for word in more if word.startswith("x") and word[1:].isdigit()), 1)
    flags = {word: True for word in more if word in {"spread", "first", "either"}}
    return Try(source, protocol, address, int(port), times, extra=typed, **flags)


def scenario(name: str, about: str, script: str, tries: str, serve: str = "") -> None:
    """Register a scenario. ``serve`` is ``NAMESPACE tcp:80 udp:53``, one a line."""
    if name in SCENARIOS:
        raise ValueError(f"two scenarios are called {name}")
    SCENARIOS[name] = Scenario(name, about, script, _servers(serve), flows(tries))


def _servers(text: str) -> dict[str, dict[str, list[int]]]:
    servers: dict[str, dict[str, list[int]]] = {}
    for line in text.strip().splitlines():
        name, *ports = line.split()
        for port in ports:
            protocol, _, number = port.partition(":")
            servers.setdefault(name, {}).setdefault(protocol, []).append(int(number))
    return servers
