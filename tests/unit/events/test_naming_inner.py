"""Names in place of a node's numbers, for packets inside others."""

from __future__ import annotations

import pytest

from skoopctl.bpf.inner import Inner
from skoopctl.cluster.cluster import Cluster
from skoopctl.cluster.objects import Pod
from skoopctl.events.drop_packet import key_of, packet_of
from skoopctl.events.event import End, EndKind, InnerPacket
from skoopctl.events.naming import PROTOCOLS, Naming
from skoopctl.events.surroundings import Surroundings
from skoopctl.probes.pod_names import Whose
from tests.unit.events.made import event

WEB = Pod("shop", "web-0", node="n1", ips=("10.244.1.5", "fd00::5"))


def naming() -> Naming:
    """Return the names of a node, with a pod of the cluster."""
    return Naming("n1", Whose(), Cluster(pods={("shop", "web-0"): WEB}), Surroundings())


@pytest.mark.parametrize(("family", "address"), [(4, "10.244.1.5"), (6, "fd00::5")])
def test_both_ends_inside_have_names_where_they_are_known(family: int, address: str) -> None:
    """An address of a pod is that pod's, another one is shown as it is; numbers are words."""
    raw = Inner("VXLAN", 1, family, 6, address, 40000, "203.0.113.9", 80, 0x12, fragment=False)
    assert naming().inner(raw) == InnerPacket(
        "VXLAN",
        1,
        "TCP",
        End(address, 40000, EndKind.POD, "shop", "web-0", "n1"),
        End("203.0.113.9", 80),
        "SYN,ACK",
    )


def test_a_loopback_address_inside_is_nobodys() -> None:
    """Whoever got the packet outside has nothing to do with it."""
    raw = Inner("IPIP", None, 4, 17, "127.0.0.1", 1, "127.0.0.2", 2, 0, fragment=False)
    told = naming().inner(raw)
    assert (told.source, told.destination) == (End("127.0.0.1", 1), End("127.0.0.2", 2))


@pytest.mark.parametrize(("number", "name"), PROTOCOLS.items())
def test_a_protocols_name_is_understood_when_rules_are_asked(number: int, name: str) -> None:
    """A packet whose protocol has a name can be asked about as well as one whose protocol is a number."""
    ends = {"source": End("10.0.0.1", 1), "destination": End("10.0.0.2", 2)}
    key = key_of(event(protocol=name, reason="NETFILTER_DROP", hook="INPUT", **ends))
    assert key is not None
    packet = packet_of(key)
    assert not isinstance(packet, str)
    assert packet.protocol == number
