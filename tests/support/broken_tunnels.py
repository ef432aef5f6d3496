"""Small clusters whose tunnel or MTU is wrong, and what is to be found out about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from skoopctl.checks.snapshot import Snapshot
from skoopctl.kernel.route import TABLE_MAIN
from tests.support.broken import Case, nothing, snapshot_of
from tests.support.tunnel_worlds import gre, only, wireguard
from tests.support.worlds import UNDERLAY, Cluster, cluster, filter_table


@dataclass
class TunnelCase(Case):
    """A case whose cluster is made by ``make``."""

    make: Callable[[], Cluster] = cluster

    def snapshot(self) -> Snapshot:
        """Build the broken cluster with its objects."""
        made = self.make()
        self.damage(made)
        return snapshot_of(made)


def over_itself(made: Cluster) -> None:
    """Route the remote's address over the tunnel."""
    made.n1.route(f"{UNDERLAY['n2']}/32", dev="flannel.1")


def small_veth(made: Cluster) -> None:
    """Let the node's end of a pod's veth take less than the pod sends; the route to the pod does not know."""
    made.n1.change("veth-a", mtu=1300)


def filtered_error(made: Cluster) -> None:
    """A smaller route to the other node's pods, and no ICMP out of the node."""
    made.n1.routes = [r for r in made.n1.routes if str(r.destination) != "10.244.2.0/24"]
    made.n1.route("10.244.2.0/24", "10.244.2.0", "flannel.1", table=TABLE_MAIN, mtu=1300)
    made.n1.iptables(filter_table("-A OUTPUT -p icmp -j DROP"))


TUNNEL_CASES = (
    TunnelCase("tunnel-remote-missing", nothing, make=lambda: gre({"remote": 0, "local": 0})),
    TunnelCase("tunnel-loop", over_itself),
    TunnelCase(
        "tunnel-not-listening",
        nothing,
        name="gre key",
        make=lambda: gre({"out_key": 7}),
    ),
    TunnelCase("wireguard-no-peer", nothing, make=lambda: wireguard(peer=only("n1", allowed_ips=()))),
    TunnelCase("wireguard-endpoint-missing", nothing, make=lambda: wireguard(peer=only("n1", endpoint=None))),
    TunnelCase(
        "wireguard-key-unknown", nothing, make=lambda: wireguard(device=only("n2", public_key="other"))
    ),
    TunnelCase("wireguard-source-refused", nothing, make=lambda: wireguard(peer=only("n2", allowed_ips=()))),
    TunnelCase("mtu-black-hole", small_veth, "set the MTU of veth-a to 1450 on n1", name="veth"),
    TunnelCase("mtu-black-hole", filtered_error, "set the MTU of eth0 to 1300 in a on n1", name="filtered"),
)
