"""Events of a node get the names that can be known for certain; the rest waits, or is told as not known."""

from __future__ import annotations

from skoopctl.bpf.stream import Detached, HookReport, Passed, SelfTest
from skoopctl.events.event import EndKind, Event
from skoopctl.events.naming import REUSED
from skoopctl.events.node_events import MOST_PENDING, NodeEvents
from skoopctl.evidence.item import ItemStatus
from skoopctl.evidence.rounds import Change
from skoopctl.probes.node_series import NodeSeries
from skoopctl.probes.sample import State
from tests.unit.events.node_said import (
    API,
    CLUSTER,
    HOST_POD,
    WEB,
    batch,
    cookies,
    counts,
    flow,
    lives,
    seen,
    setup,
    total,
)
from tests.unit.probes.rounds import HOST_NETNS, node_round, place, places, uid


class Watched:
    """One node's series and events, round after round; ``at_s`` is its monotonic clock."""

    def __init__(self, *changes: Change, named: bool = True) -> None:
        self.series = NodeSeries("n1", (), address="192.168.1.1")
        self.events = NodeEvents("n1", ("packetloss", "tcpreset"))
        if named:
            self.series.name_pods(CLUSTER)
        self.number = 0
        self.events.take(setup())
        self.round(*(changes or lives()), at_s=1)

    def round(self, *changes: Change, at_s: float, gone: tuple[int, ...] = ()) -> list[Event]:
        """Take a round; return the events that it made known."""
        self.number += 1
        came = node_round(self.number, *changes, gone=gone, at_s=at_s)
        self.series.apply(came)
        return self.events.round(came, self.series)


def owners(events: list[Event]) -> list[str]:
    """Return whose events they are."""
    return [event.owner for event in events]


def test_a_known_namespace_is_named_at_once() -> None:
    """Pod, node, both ends, and the backend that saw it; ports and times are as they came."""
    (event,) = Watched().events.take(batch(seen(WEB)))
    assert (event.owner, event.doubt, event.node, event.backend) == ("shop/web-0", "", "node1", "core")
    assert event.source is not None
    assert event.destination is not None
    assert (event.source.kind, event.source.place, event.source.node) == (
        EndKind.POD,
        "shop/web-0",
        "node1",
    )
    assert (event.destination.kind, event.destination.place) == (EndKind.SERVICE, "svc shop/api")
    assert (event.protocol, event.tcp_flags, event.source.port) == ("TCP", "SYN", 4242)


def test_the_host_s_namespace_is_the_node_and_a_socket_of_a_pod_there_is_the_pod_s() -> None:
    """Pods on the host's network are told apart by the cgroup of the socket."""
    watched = Watched()
    found = watched.events.take(batch(seen(HOST_NETNS), seen(HOST_NETNS, cgroup=HOST_POD)))
    assert owners(found) == ["", "infra/agent"]


def test_what_belongs_to_no_namespace_is_the_node_s() -> None:
    """A softirq is of the whole node."""
    assert owners(Watched().events.take(batch(seen(0)))) == [""]


def test_a_loopback_address_is_whoever_used_it() -> None:
    """127.0.0.1 in a pod is that pod, on the host the node."""
    watched = Watched()
    inside, outside = watched.events.take(
        batch(
            seen(WEB, source="127.0.0.1", destination="127.0.0.1"),
            seen(HOST_NETNS, source="::1", destination="::1", family=6),
        )
    )
    assert inside.source is not None
    assert outside.source is not None
    assert (inside.source.kind, inside.source.place) == (EndKind.POD, "shop/web-0")
    assert (outside.source.kind, outside.source.place) == (EndKind.NODE, "node1")


def test_an_event_of_a_new_pod_waits_for_the_next_round() -> None:
    """A namespace that no round knows yet is named by the next one, in its own words."""
    watched = Watched(*lives(pods=(WEB,)))
    assert watched.events.take(batch(seen(API, mono_ns=2_000_000_000))) == []
    new = [places(place(WEB, uid(1)), place(API, uid(2)), host_uids=[uid(3)]), *cookies({API: 80})]
    assert owners(watched.round(*new, at_s=3)) == ["shop/api-0"]


def test_a_namespace_that_no_round_knows_is_told_as_unknown() -> None:
    """A round from after the event decides: whoever it does not know is nobody's guess."""
    watched = Watched()
    assert watched.events.take(batch(seen(12, mono_ns=2_000_000_000))) == []
    assert watched.round(at_s=1.5) == []
    (event,) = watched.round(at_s=3)
    assert (event.owner, event.namespace) == ("unknown/netns-12", "unknown")
    assert "ended before a round saw it" in event.doubt


def test_a_number_that_is_another_namespace_s_now_names_nobody() -> None:
    """The kernel gives numbers away again: with another cookie, the event is not the pod's that has it now."""
    watched = Watched()
    assert watched.events.take(batch(seen(WEB, net_cookie=71, mono_ns=2_000_000_000))) == []
    (event,) = watched.round(at_s=3)
    assert (event.owner, event.doubt) == (f"unknown/netns-{WEB}", REUSED)


def test_a_kernel_without_cookies_names_by_the_number() -> None:
    """Before 5.12 events have none, before 5.14 rounds have none."""
    assert owners(Watched().events.take(batch(seen(WEB, net_cookie=0)))) == ["shop/web-0"]
    without = [change for change in lives() if change.item != "netns-cookie"]
    assert owners(Watched(*without).events.take(batch(seen(WEB)))) == ["shop/web-0"]


def test_a_node_that_sees_not_all_of_its_machine_tells_of_its_own_namespaces_only() -> None:
    """A lab's node hears of its neighbours' namespaces: they are counted apart, and are no events of it."""
    watched = Watched(*lives(whole_machine=False))
    found = watched.events.take(batch(seen(WEB), seen(12, mono_ns=2_000_000_000)))
    watched.events.take(counts(total(WEB, 3), total(12, 9)))
    assert [*owners(found), *owners(watched.round(at_s=3))] == ["shop/web-0"]
    assert watched.events.elsewhere == 1
    assert [(tally.pod, tally.count) for tally in watched.events.tallies()] == [("web-0", 3)]


def test_what_waits_has_a_limit_and_is_told_at_the_end() -> None:
    """Nothing is kept without bounds, and nothing is dropped in silence."""
    watched = Watched()
    flood = [seen(12, mono_ns=10_000_000_000)] * (MOST_PENDING + 3)
    assert len(watched.events.take(batch(*flood))) == 3
    assert len(watched.events.rest()) == MOST_PENDING
    assert watched.events.rest() == []


def test_names_may_come_late() -> None:
    """Without the API the node's own words count; when it answers, later events have its names."""
    watched = Watched(named=False)
    (before,) = watched.events.take(batch(seen(WEB)))
    watched.series.name_pods(CLUSTER)
    watched.events.renamed(watched.series)
    (after,) = watched.events.take(batch(seen(WEB)))
    assert (before.namespace, after.owner) == ("unknown", "shop/web-0")
    assert before.destination is not None
    assert before.destination.kind is EndKind.UNKNOWN


def test_counts_grow_under_the_name_of_their_time() -> None:
    """A namespace's number that another pod has later gives that pod what was counted since, and no more."""
    watched = Watched()
    watched.events.take(counts(total(WEB, 5)))
    watched.round(
        places(place(WEB, uid(2)), host_uids=[uid(3)]), *cookies({WEB: 71}), at_s=3, gone=(WEB, API)
    )
    watched.events.take(counts(total(WEB, 7)))
    assert {(tally.pod, tally.count) for tally in watched.events.tallies()} == {("web-0", 5), ("api-0", 2)}


def test_counts_go_on_when_the_program_begins_anew() -> None:
    """After a break the node counts from 0; what was counted before is kept."""
    watched = Watched()
    watched.events.take(counts(total(WEB, 5), flows=[flow(WEB, 5)], lost=2, missed=4))
    watched.events.take(setup(ms=2.0))
    watched.events.take(counts(total(WEB, 1), flows=[flow(WEB, 1)], lost=1, missed=3))
    assert [tally.count for tally in watched.events.tallies()] == [6]
    assert [tally.count for tally in watched.events.flows()] == [6]
    assert (watched.events.lost, watched.events.missed) == (3, 7)


def test_a_setup_that_is_told_again_does_not_begin_anew() -> None:
    """A probe whose namespaces change says how it fares now; its counts are the same program's."""
    watched = Watched()
    watched.events.take(counts(total(WEB, 5)))
    watched.events.take(setup(status="degraded", detail="one namespace could not be entered"))
    watched.events.take(counts(total(WEB, 6)))
    assert [tally.count for tally in watched.events.tallies()] == [6]
    assert watched.events.availability()["packetloss"].state is State.DEGRADED


def test_how_probes_fare_is_told_with_the_reason() -> None:
    """Unknown before the node says it; then what it says: hooks, better backends, a silent test, a budget."""
    events = Watched().events
    assert events.availability()["tcpreset"].state is State.UNKNOWN
    hook = HookReport("p", "kprobe", "tcp_v4_send_reset", "resets", "absent", "ENOENT", "")
    passed = Passed("core", "absent", "no BTF")
    events.take(setup("tcpreset", status="degraded", hooks=(hook,), backend="tracefs", passed=(passed,)))
    why = events.availability()["tcpreset"].why
    assert "kprobe/tcp_v4_send_reset: ENOENT" in why
    assert "by tracefs (core: no BTF)" in why
    unseen = "attached, and did not see what it was made to see: packet-loss"
    events.take(setup("packetloss", status="degraded", detail=unseen))
    events.take(SelfTest("packetloss", "silent", unseen, 1000))
    silent = events.availability()["packetloss"]
    assert (silent.state, silent.why) == (State.DEGRADED, unseen), (
        "the node tells it with the start: once is enough"
    )
    events.take(Detached("packetloss", "overhead", 0.11, 0.04, "time"))
    gone = events.availability()["packetloss"]
    assert (gone.state, gone.why) == (
        State.UNAVAILABLE,
        f"taken off, as it took 11.0% of a CPU, its budget is 4.0% (--budget); {unseen}",
    )
    events.broken("the server allows one exec a connection")
    assert {each.why for each in events.availability().values()} == {
        "the server allows one exec a connection"
    }


def test_what_cannot_be_decoded_is_not_known() -> None:
    """Items of surroundings that are nonsense name nothing, and break nothing."""
    bad = [
        Change(0, "cgroup-ids", ItemStatus.OK, "", b"x y z\n"),
        Change(WEB, "netns-cookie", ItemStatus.OK, "", b"many"),
        Change(WEB, "link", ItemStatus.OK, "", b"\0" * 7),
    ]
    watched = Watched(*lives(), *bad)
    (event,) = watched.events.take(batch(seen(WEB)))
    assert (event.owner, event.device) == ("shop/web-0", "")


def test_who_quotes_no_events_keeps_none() -> None:
    """A service over many nodes hands events on, and holds counts alone."""
    events = NodeEvents("n1", ("packetloss",), keep=0)
    assert len(events.take(batch(seen(0)))) == 1
    assert (len(events.recent), events.told) == (0, 1)
