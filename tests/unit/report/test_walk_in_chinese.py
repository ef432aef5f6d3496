"""Why a walk stops or is not sure how it goes on, in Chinese: each reason of the code, with names in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from skoopctl.dataplane.tunnels.unfollowed import _REASONS
from tests.unit.report.test_told_in_chinese import PACKAGE, WORDS, untold

SAID = [
    "br0 takes no question from 10.0.0.1: no route to 10.0.0.1",
    "ignored, because a rule has set its hop limit to 64",
    "the VLANs of br0 on n1 were not read",
    "the bridge port veth1 is locked: whether it takes this source is not followed",
    "filter INPUT rule 3 on n1: what the rule does cannot be read (--foo)",
    "whether the IPv6 socket :::80 takes IPv4 was not read (bindv6only is 1)",
    "NAT to one of 10.0.0.1-10.0.0.9",
    "connect() succeeds, and then nothing that is sent arrives: no route to 10.0.0.1",
    "the ACK does not arrive: no route to 10.0.0.1",
    "connect() succeeds, and then large packets do not arrive: no route to 10.0.0.1",
    "gnv0 takes its remote from metadata (external), which is not modelled",
    "tun0 wraps its packets in UDP (FOU or GUE), which is not modelled",
    "iptables-nft and nft ip x have the same priority at INPUT on n1: which runs first is not known",
    "whether the chain in0 of netdev t is hooked to eth0 of n1 is not in the dump",
    "-j SET cannot be read: -A INPUT -j SET --foo",
    "IPVS does not bring a packet from outside to 10.0.0.1",
    "IPVS sends to 10.0.0.1 in a gue tunnel, which is not followed",
    "IPVS sends to 10.0.0.1, a server of the other family, which is not modelled",
    "a server of tcp 10.0.0.1:80 on n1 could not be read",
    "net.ipv4.vs.backup_only is on: whether n1 is a backup was not read",
    "net.ipv4.vs.conntrack of n1 was not read",
    "whether IPVS of n1 has a service 10.0.0.1:80 was not read: denied: ipvs: EPERM, root is needed",
    "n1, n2 all answer for 10.0.0.1 on eth0 of n1: whose answer is heard is a race",
    "XDP x (id 3) on eth0 of n1 decides, and was not read",
    "XDP x (id 3) on eth0 of n1 decides, and is not read",
    "XDP x (id 3) on n1 decides, and is not read",
    "cgroup connect4 x on n1 may send what is for 10.0.0.1 elsewhere: a packet to that address may never exist",
    "gre1 requires a checksum or sequence numbers, and the packet has none",
    "the packet has a GRE checksum, and gre1 takes none (icsum is off)",
    "SYNPROXY: the kernel answers in the server's place",
    "TPROXY hands the packet to the program on port 80, and what it does is not known",
    "TPROXY: sockets of n1 were not read",
    "n1 (shop/web-0) has old connections from 10.0.0.1 to this destination",
    "conntrack's table on n1 is full (7 of 7 entries)",
    "conntrack's table on n1 is full (7 of 7 entries): a new connection is dropped",
    "queue: a program in user space decides",
    "queue: a program in user space decides, or nobody, and then it passes",
    "NFQUEUE: a program in user space decides",
    "target -j FOO is not modelled",
    "policy rules: denied: rule: EPERM, root is needed",
    "routes of n1: denied: route: EPERM, root is needed",
    "policy rule '100: fwmark 0x1 lookup 7' on n1: uidrange depends on which user's program sends",
    "IPVS tcp 10.0.0.1:80: the scheduler sh takes one of its servers, unknown which",
    "IPVS tcp 10.0.0.1:80: the scheduler rr takes one of its servers",
    "veth1 of br0 is no member of untagged frames",
    "it would leave by the port it came in on, and hairpin is off on veth1",
    "more than 40 ways through the rules: not all were walked",
    "whether a socket is bound to the VRF red was not read, and net.ipv4.tcp_l3mdev_accept is not 1",
    "vx0 floods to the multicast group 239.1.1.1, which the walk does not follow",
    "vx0 has a static entry for 02:00:00:00:00:01 at 10.0.0.1, and drops its frames from 10.0.0.2",
    "no VXLAN device for VNI 7 listens on UDP port 4789",
    "no WireGuard device listens on UDP port 51820",
    "no GRE device with key 3 takes packets from 10.0.0.1",
    "the outer packets of vx0 are sent in a namespace that was not collected",
    "the packet is inside of 4 tunnels already: the tunnels lead over each other",
    "the route to 10.0.0.1, where vx0 sends to, leads over vx0 itself",
    "tun0 is a tun device: a program at its other end decides",
    "gtp0 is a gtp device: its tunnels are set by a program over netlink, and they are not read",
    "amt0 is a amt device: it tunnels multicast",
    "x is a l2tpeth device: its sessions are not read",
    "x is a ovpn device: its peers are set by a program, and they are not read",
    "x is a bareudp device: it takes its remote from metadata",
    "x is a erspan device: an ERSPAN device mirrors frames",
    "x is a ppp device: a program or a modem at its other end decides",
]
"""Examples, one a reason at least."""
PIECES = {"{self._place(rule)} on {self._node}: {what}"}
"""Reasons that are put together of others."""


def assigned() -> Iterator[str]:
    """Yield the texts that the code keeps as reasons and doubts of a walk, with each value as in ``{name}``."""
    for file in sorted((PACKAGE / "dataplane").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.JoinedStr | ast.Constant):
                continue
            names = {target.id for target in node.targets if isinstance(target, ast.Name)}
            text = template(node.value)
            if names & {"reason", "doubt"} and re.search(r"[a-z] [a-z]|[a-z]\W* \{", text):
                yield text


def template(node: ast.expr) -> str:
    """Return a text of the code with its names in braces."""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(template, node.values))
    if isinstance(node, ast.FormattedValue):
        return "{" + ast.unparse(node.value) + "}"
    return str(node.value) if isinstance(node, ast.Constant) else ""


@pytest.mark.parametrize("said", SAID)
def test_why_a_walk_stops_is_told_in_chinese(said: str) -> None:
    """No word of ours is left in English, and none of the names is lost."""
    told = WORDS.sentence(said)
    assert untold(said, told) == []
    names = re.findall(r"\b(?:n\d|eth0|veth1|br0|vx0|gre1|\d+\.\d+\.\d+\.\d+)\b", said)
    assert [name for name in names if name not in told] == []


@pytest.mark.parametrize("reason", sorted(set(_REASONS.values())))
def test_why_a_device_is_not_followed_is_told_in_chinese(reason: str) -> None:
    """Each kind of device that is outside of the model is so for a reason in Chinese."""
    assert untold(reason, WORDS.sentence(f"x0 is a some device: {reason}")) == []


def test_every_reason_of_the_code_has_an_example() -> None:
    """A reason that is added to the walk is added here, and so to the table of Chinese."""
    without = []
    for text in sorted(set(assigned()) - PIECES):
        literal = "".join(
            ".*" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{[^{}]*\})", text)
        )
        known = any(re.fullmatch(literal, said) for said in SAID)
        if not known and untold(text, WORDS.sentence(re.sub(r"\{[^{}]*\}", "10.0.0.1", text))):
            without.append(text)
    assert without == []
