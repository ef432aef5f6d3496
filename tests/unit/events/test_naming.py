"""Names of a node's numbers: what was named once is not named wrongly the next time, and not kept for ever."""

from __future__ import annotations

import pytest

from skoopctl.cluster.cluster import Cluster, Identity
from skoopctl.events.event import EndKind
from skoopctl.events.naming import MOST_ENDS, Naming, Owner
from skoopctl.events.surroundings import Surroundings
from skoopctl.probes.pod_names import Whose

WEB, DB = Owner("shop", "web-0"), Owner("shop", "db-0")


@pytest.fixture
def naming() -> Naming:
    """Return the names of a node that nobody has told anything of."""
    return Naming("node1", Whose(), None, Surroundings())


def test_a_loopback_address_is_whoever_used_it_last(naming: Naming) -> None:
    """Two pods and the node have the same loopback address and port: each is told as its own."""
    ends = [naming.end("127.0.0.1", 80, owner) for owner in (WEB, DB, Owner(), WEB)]
    places = [end.place for end in ends if end is not None]
    assert places == ["shop/web-0", "shop/db-0", "node1", "shop/web-0"]


def test_one_address_has_each_of_its_ports(naming: Naming) -> None:
    """Ends of one address differ by their ports, and none is made up where there is no address."""
    first, second = naming.end("10.0.0.1", 80, WEB), naming.end("10.0.0.1", 443, WEB)
    assert first is not None
    assert second is not None
    assert (first.socket_address, second.socket_address) == ("10.0.0.1:80", "10.0.0.1:443")
    assert first.kind is second.kind is EndKind.UNKNOWN
    assert naming.end("", 80, WEB) is None


def test_a_flood_from_ever_other_ports_is_not_kept(naming: Naming) -> None:
    """However many ends there are, only so many are kept, and each is what it is."""
    for number in range(2 * MOST_ENDS):
        end = naming.end(f"10.0.{number >> 8}.{number & 255}", number, WEB)
        assert end is not None
        assert end.port == number
        assert naming.kept <= MOST_ENDS


class Asked(Cluster):
    """The API's objects, which know nobody, and count how often they were asked."""

    times = 0

    def whois(self, ip: str) -> Identity | None:
        """Count it."""
        type(self).times += 1
        return super().whois(ip)


def test_an_address_is_looked_up_once_as_long_as_the_api_says_the_same() -> None:
    """Rounds come and go every second; a flow's ends are asked for again only when there are other objects."""
    same = Asked()
    names = Naming("node1", Whose(), same, Surroundings())
    for port in (80, 443):
        names = names.renewed("node1", Whose(host=port), same)
        names.end("10.0.0.1", port, WEB)
    assert Asked.times == 1
    names.renewed("node1", Whose(), Asked()).end("10.0.0.1", 80, WEB)
    assert Asked.times == 2
