"""What is known of each node: rounds, silence, errors; and nothing of a node that has left."""

from __future__ import annotations

import gc
import json
import weakref

from skoopctl.cluster.cluster import load_cluster
from skoopctl.errors import DeadlineError, UnreachableError
from skoopctl.inventory import InventoryHost
from skoopctl.pushing.book import Book
from tests.unit.pushing.booked import Booked, a_round, host, measured


def test_a_round_makes_a_node_s_series_fresh() -> None:
    """With the first round the node is up and shown, and the sinks hear of every round."""
    booked = Booked()
    book = booked.joined(["n1", "n2"])
    book.round_came(host("n1"), a_round())
    book.round_came(host("n1"), a_round(2, processed=9, skipped=3))
    assert booked.fresh == ["n1", "n1"]
    (record,) = book.shown()
    assert (record.rounds, record.skipped, record.received) == (2, 3, 200)
    assert (
        b'kubeskoop_softnet_processed{k8s_node="n1",k8s_namespace="",k8s_pod=""} 9\n'
        in book.text(record).data
    )


def test_a_node_that_says_nothing_is_withdrawn_once_and_comes_back() -> None:
    """After two intervals and a grace its series go; with the next round they are there again."""
    booked = Booked()
    book = booked.joined(["n1"])
    book.round_came(host("n1"), a_round())
    booked.now += 40
    book.tick()
    assert booked.stale == []
    booked.now += 1
    book.tick()
    book.tick()
    assert booked.stale == ["n1"]
    assert book.shown() == []
    assert "n1: no round for 41 s; its series are withdrawn" in booked.log.getvalue()
    book.round_came(host("n1"), a_round())
    assert [record.name for record in book.shown()] == ["n1"]
    booked.now += 41
    book.tick()
    assert booked.stale == ["n1", "n1"]


def test_what_an_earlier_service_left_of_a_node_that_never_speaks_is_withdrawn() -> None:
    """A node that is down when the service starts has no series at the gateway after its time."""
    booked = Booked()
    book = booked.joined(["n1"])
    booked.now += 41
    book.tick()
    assert booked.stale == ["n1"]


def test_a_node_that_leaves_is_forgotten_whole() -> None:
    """Its series are withdrawn, what comes late of it is ignored, and its memory is freed."""
    booked = Booked()
    book = booked.joined(["n1", "n2"])
    book.round_came(host("n1"), a_round())
    gone = weakref.ref(book.nodes["n1"].series)
    assert book.set_hosts([host("n2")]) == ["n1"]
    assert booked.stale == ["n1"]
    book.round_came(host("n1"), a_round(2))
    book.broken(host("n1"), UnreachableError("n1", "gone"), 1.0)
    book.connected(host("n1"))
    assert set(book.nodes) == {"n2"}
    gc.collect()
    assert gone() is None


def test_a_node_with_too_many_series_is_withheld_as_a_whole() -> None:
    """Half of a node's series would look like all of them: none are shown, and that is said."""
    booked = Booked(what=measured(node_series=1))
    book = booked.joined(["n1"])
    book.round_came(host("n1"), a_round())
    (record,) = book.shown()
    assert book.text(record).data == b""
    assert book.shown() == []
    assert booked.stale == ["n1"]
    assert "more than limits.node-series allows (1)" in booked.log.getvalue()
    book.measured = measured(node_series=1000)
    book.round_came(host("n1"), a_round(2))
    assert b"kubeskoop_softnet_processed" in book.text(record).data


def test_errors_are_counted_by_kind_and_said_with_what_comes() -> None:
    """Each break has a kind for metrics, and a line with when it is tried again."""
    booked = Booked()
    book = booked.joined(["n1", "n2"])
    book.connected(host("n1"))
    book.broken(host("n1"), UnreachableError("n1", "connection reset"), 4.0)
    book.broken(host("n1"), DeadlineError("n1", "program", 30), 4.0)
    book.broken(host("n2"), UnreachableError("n2", "x"), None)
    book.connected(host("n1"))
    record = book.nodes["n1"]
    assert record.errors == {"unreachable": 1, "timeout": 1}
    assert record.reconnects == 1
    lines = booked.log.getvalue().splitlines()
    assert lines[0] == "skoopctl: push: n1: connection reset (again in 4 s)"
    assert lines[-1] == "skoopctl: push: n2: x (it is not tried again)"


def test_lag_is_how_much_later_a_round_comes_than_the_promptest() -> None:
    """The clocks of node and workstation need not agree: differences count, from each first round anew."""
    booked = Booked()
    book = booked.joined(["n1"])
    record = book.nodes["n1"]
    for number, (mono, delay) in enumerate([(5.0, 0.2), (20.0, 0.1), (35.0, 3.1)], 1):
        booked.now = 1000 + mono + delay
        book.round_came(host("n1"), a_round(number, mono_s=mono))
    assert round(record.lag_s, 6) == 3.0
    book.round_came(host("n1"), a_round(1, mono_s=777_777))
    assert record.lag_s == 0


def test_other_probes_count_from_the_next_first_round() -> None:
    """Rounds of the old conversation that still come are read as what they are."""
    booked = Booked()
    book = booked.joined(["n1"])
    book.round_came(host("n1"), a_round())
    book.set_measured(measured(probes=("netdev",)))
    book.round_came(host("n1"), a_round(2))
    (record,) = book.shown()
    assert b"kubeskoop_softnet_processed{" in book.text(record).data
    book.round_came(host("n1"), a_round(1))
    assert b"kubeskoop_softnet_processed{" not in book.text(record).data


def test_health_is_that_rounds_come_from_anybody() -> None:
    """Not yet, yes, and no longer: each with its reason."""
    booked = Booked()
    book = booked.joined(["n1", "n2"])
    assert "no round has come yet from any of 2 nodes" in book.unhealthy()
    book.round_came(host("n1"), a_round())
    assert book.unhealthy() == ""
    booked.now += 41
    assert book.unhealthy() == "no round from any of 2 nodes for 41 s"


NODES = [
    {
        "metadata": {"name": name},
        "status": {"addresses": [{"type": "InternalIP", "address": address}]},
    }
    for name, address in (("ip-10-0-0-1", "10.0.0.1"), ("ip-10-0-0-2", "10.0.0.2"))
]


def known(*hosts: InventoryHost) -> Book:
    """Return a book with rounds of hosts that the API knows by their addresses."""
    book = Booked().book
    book.set_hosts(hosts)
    book.name_pods(load_cluster({"nodes": json.dumps(NODES).encode()}))
    for each in hosts:
        book.round_came(each, a_round())
    return book


def test_nodes_are_called_as_the_api_calls_them() -> None:
    """The API knows a host by its address, whatever its name in the inventory; after a move it is the other node."""
    book = known(InventoryHost("worker", "10.0.0.1"))
    assert b'k8s_node="ip-10-0-0-1"' in book.text(book.nodes["worker"]).data
    moved = InventoryHost("worker", "10.0.0.2")
    book.set_hosts([moved])
    book.round_came(moved, a_round())
    assert b'k8s_node="ip-10-0-0-2"' in book.text(book.nodes["worker"]).data


def test_two_names_of_one_node_stand_on_a_page_once() -> None:
    """Its series twice would be a page that Prometheus refuses: the first by name is shown."""
    book = known(
        InventoryHost("b", "10.0.0.1"), InventoryHost("a", "10.0.0.1"), InventoryHost("c", "10.0.0.2")
    )
    assert [record.name for record in book.distinct()] == ["a", "c"]
    assert [record.name for record in book.shown()] == ["a", "b", "c"]
