"""Events at a receiver that knows Loki's push API: all of them, in order, once, whatever becomes of the receiver."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import random
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest

from skoopctl.events.as_json import event_to_json
from skoopctl.events.event import Event
from skoopctl.events.words import line_of
from skoopctl.sinks.connection import Access
from skoopctl.sinks.loki import LokiSink
from skoopctl.sinks.loki_queue import Batching
from tests.lab.sshd_host import in_time
from tests.services.loki_receiver import Receiver, Reply, loki_receiver, problems_of
from tests.services.servers import free_port
from tests.unit.events.made_events import DROP, WALL_NS, made

DEADLINE_S = 60.0
QUICK = Batching(age_s=0.05, first_backoff_s=0.05, most_backoff_s=0.2)
SLOW = Batching(age_s=3600, first_backoff_s=0.05, most_backoff_s=0.2)
"""Nothing goes out by age."""


@pytest.fixture
def loki() -> Iterator[Receiver]:
    """Run a receiver; whatever was against the protocol fails the test."""
    with loki_receiver() as running:
        yield running
    assert running.problems == []
    assert running.most_flying <= 1


def sink_at(loki: Receiver, batching: Batching = QUICK, **more: object) -> LokiSink:
    """Return a sink that sends there."""
    access = Access(loki.url, timeout_s=10)
    return LokiSink(access, cluster="prod", batching=batching, **more)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def running(sink: LokiSink) -> AsyncIterator[LokiSink]:
    """Run a sink until the end of the block."""
    task = asyncio.create_task(sink.run())
    try:
        yield sink
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"waited {DEADLINE_S:g} s for {what}"
        await asyncio.sleep(0.005)


def some(number: int, **changes: object) -> list[Event]:
    """Return events a microsecond apart."""
    return [made(wall_ns=WALL_NS + 1000 * at, mono_ns=at, **changes) for at in range(number)]


async def test_an_event_arrives_as_its_json_with_few_labels(loki: Receiver) -> None:
    """Its stream has job, cluster, node and type; its time is the node's; all else is in the line, in words too."""
    async with running(sink_at(loki, labels={"site": "b"})) as sink:
        sink.put(DROP)
        await until(lambda: sink.tally.sent == 1, "the event to be taken")
    (entry,) = loki.entries
    assert entry.labels == {
        "job": "skoopctl",
        "cluster": "prod",
        "node": "node1",
        "type": "packet-loss",
        "site": "b",
    }
    assert (entry.wall_ns, entry.metadata) == (WALL_NS, {})
    assert entry.event == {"says": line_of(DROP), **event_to_json(DROP)}


async def test_events_wait_for_others_but_not_for_long(loki: Receiver) -> None:
    """What comes within the age of a batch goes out together; nobody waits for the batch to be full."""
    async with running(sink_at(loki, Batching(age_s=0.5))) as sink:
        for event in some(20):
            sink.put(event)
        await until(lambda: sink.tally.sent == 20, "all events")
    assert len(loki.requests) == 1


async def test_a_full_batch_goes_out_at_once(loki: Receiver) -> None:
    """By number: whole batches are sent, and the rest waits for its age."""
    async with running(sink_at(loki, replace(SLOW, entries=10))) as sink:
        for event in some(25):
            sink.put(event)
        await until(lambda: sink.tally.sent == 20, "two batches")
        assert (sink.length, [len(r["streams"][0]["values"]) for r in loki.requests]) == (5, [10, 10])


async def test_a_batch_is_bounded_in_size(loki: Receiver) -> None:
    """By characters: a request has no more than it may, and an event that is larger alone goes alone."""
    small, large = made(), made(function="f" * 3000, wall_ns=WALL_NS + 1)
    async with running(sink_at(loki, replace(QUICK, size=2000))) as sink:
        for event in (*[replace(small, mono_ns=at) for at in range(5)], large):
            sink.put(event)
        await until(lambda: sink.tally.sent == 6, "all events")
    sizes = [sum(len(v[1]) for v in r["streams"][0]["values"]) for r in loki.requests]
    assert len(sizes) >= 3
    assert [size for size in sizes if size > 2000] == sizes[-1:]


async def test_entries_of_a_stream_are_in_the_order_of_time(loki: Receiver) -> None:
    """Nodes and types are streams of their own; within one the receiver insists on order, and equal times are kept."""
    events = [
        made(node=node, kind=kind, wall_ns=WALL_NS + at // 2, mono_ns=at)
        for at in range(200)
        for node in ("node1", "node2")
        for kind in ("packet-loss", "retransmit")
    ]
    random.Random(7).shuffle(events)
    async with running(sink_at(loki)) as sink:
        for event in events:
            sink.put(event)
        await until(lambda: sink.tally.sent == len(events), "all events")
    assert loki.counts("node") == {"node1": 400, "node2": 400}
    assert loki.counts("type") == {"packet-loss": 400, "retransmit": 400}
    assert sorted(e.event["mono_ns"] for e in loki.entries) == sorted(e.mono_ns for e in events)


@pytest.mark.parametrize(
    "trouble",
    [
        [Reply(429, "Ingestion rate limit exceeded")],
        [Reply(500, "at least 1 live replicas required")],
        [Reply(503), Reply(502), Reply(504)],
        [Reply(vanish=True)],
    ],
    ids=["429", "500", "gateways", "vanishes"],
)
async def test_a_request_that_may_succeed_later_is_sent_again(loki: Receiver, trouble: list[Reply]) -> None:
    """Too many requests, an error of the server and a connection that breaks cost time, and no event."""
    loki.replies = list(trouble)
    said: list[str] = []
    async with running(sink_at(loki, say=lambda event, _: said.append(event))) as sink:
        for event in some(5):
            sink.put(event)
        await until(lambda: sink.tally.sent == 5, "the events to be taken")
        assert (sink.tally.retries, sink.tally.refused, sink.tally.dropped) == (len(trouble), 0, 0)
        assert sink.tally.up is True
    assert len(loki.entries) == 5
    assert said == ["loki-failed"] * len(trouble) + ["loki-back"]


async def test_an_answer_that_got_lost_makes_no_event_appear_twice(loki: Receiver) -> None:
    """Loki keeps what has the same labels, time and line once; what is sent again has."""
    async with running(sink_at(loki)) as sink:
        loki.replies = [Reply(vanish=True)]
        taken = loki.take

        def take_and_vanish(body: bytes) -> Reply:
            taken(body)
            loki.take = taken  # type: ignore[method-assign]
            return Reply(vanish=True)

        loki.take = take_and_vanish  # type: ignore[method-assign]
        for event in some(3):
            sink.put(event)
        await until(lambda: sink.tally.sent == 3, "the events to be taken")
    assert len(loki.requests) == 2
    assert len(loki.entries) == 3


@pytest.mark.parametrize("date", [False, True], ids=["seconds", "date"])
async def test_loki_is_asked_again_no_sooner_than_it_wants(loki: Receiver, date: bool) -> None:
    """Retry-After is heeded, as seconds and as a date, though the own wait would be shorter."""
    then = int(time.time()) + 6
    after = formatdate(then, usegmt=True) if date else "2"
    loki.replies = [Reply(429, "", {"Retry-After": after})]
    async with running(sink_at(loki)) as sink:
        sink.put(DROP)
        await until(lambda: sink.tally.sent == 1, "the event to be taken")
    refused, taken = loki.came
    assert taken > (then if date else refused + 2) - 0.1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 302])
async def test_a_request_that_would_never_succeed_is_not_sent_again(loki: Receiver, status: int) -> None:
    """Its events are counted as refused, one line says what Loki said, and those that come later are sent."""
    loki.replies = [Reply(status, "no, because")]
    said: list[str] = []
    async with running(sink_at(loki, say=lambda _, text: said.append(text))) as sink:
        for event in some(4):
            sink.put(event)
        await until(lambda: sink.tally.refused == 4, "the refusal")
        sink.put(made(mono_ns=99))
        await until(lambda: sink.tally.sent == 1, "the event behind them")
        assert (sink.tally.retries, sink.tally.dropped, sink.length) == (0, 0, 0)
    assert [entry.event["mono_ns"] for entry in loki.entries] == [99]
    assert said[0] == f"{loki.url}: Loki says {status}: no, because (4 of 4 events are lost)"


async def test_events_that_are_too_old_are_counted_and_the_others_kept(loki: Receiver) -> None:
    """Loki takes a batch in part; what it says that it left out of each stream is refused, and never sent again."""
    loki.oldest_ns = WALL_NS
    old = [made(wall_ns=WALL_NS - 1 - at, node=node) for at in range(3) for node in ("node1", "node2")]
    async with running(sink_at(loki)) as sink:
        for event in (*old, *some(4)):
            sink.put(event)
        await until(lambda: sink.tally.sent + sink.tally.refused == 10, "the answer")
        assert (sink.tally.sent, sink.tally.refused, sink.tally.retries) == (4, 6, 0)
        assert sink.tally.up is True
    assert len(loki.entries) == 4
    assert len(loki.requests) == 1


@pytest.mark.parametrize("wall_ns", [-1, 2**63, 2**64])
async def test_a_node_s_impossible_clock_spoils_no_batch(loki: Receiver, wall_ns: int) -> None:
    """Loki refuses a whole request for one time beyond 64 bits; such an event is refused before."""
    async with running(sink_at(loki)) as sink:
        sink.put(made(wall_ns=wall_ns))
        sink.put(DROP)
        await until(lambda: sink.tally.sent == 1, "the other event")
        assert sink.tally.refused == 1


async def test_a_line_that_loki_would_refuse_is_not_sent(loki: Receiver) -> None:
    """A node that tells too much costs one event."""
    async with running(sink_at(loki)) as sink:
        sink.put(made(function="x" * 70_000))
        sink.put(DROP)
        await until(lambda: sink.tally.sent == 1, "the other event")
        assert sink.tally.refused == 1


async def test_the_oldest_make_room_while_loki_is_down() -> None:
    """The queue is bounded; how many were dropped is exact, and what Loki gets once it is back are the newest."""
    said: list[tuple[str, str]] = []
    port = free_port()
    first = Receiver(f"http://127.0.0.1:{port}")
    sink = sink_at(first, replace(QUICK, queue=50), say=lambda event, text: said.append((event, text)))
    async with running(sink):
        for event in some(500):
            sink.put(event)
        await until(lambda: sink.tally.retries >= 3, "some failures")
        assert (sink.tally.dropped, sink.length) == (450, 50)
        assert sink.tally.up is False
        assert "Loki cannot be reached" in sink.tally.last_error
        with loki_receiver(port=port) as loki:
            await until(lambda: sink.tally.sent == 50, "the rest")
    assert [entry.event["mono_ns"] for entry in loki.entries] == list(range(450, 500))
    assert loki.problems == []
    assert [event for event, _ in said].count("loki-dropped") == 1
    assert said[-1] == ("loki-back", f"{first.url}: Loki takes events again; 450 were dropped meanwhile")


async def test_the_queue_is_bounded_in_size_too() -> None:
    """Long lines of a node that floods fill the memory no more than short ones."""
    gone = Receiver(f"http://127.0.0.1:{free_port()}")
    async with running(sink_at(gone, replace(SLOW, queue_size=100_000))) as sink:
        for at in range(100):
            sink.put(made(function="x" * 10_000, mono_ns=at))
        assert sink.length < 10
        assert sink.tally.dropped + sink.length == 100


async def test_put_never_waits_for_a_loki_that_hangs(loki: Receiver) -> None:
    """The event loop goes on, thousands of events are taken in meanwhile, and the request ends by its deadline."""
    loki.replies, loki.stuck = [Reply(hang=True)], True
    access = Access(loki.url, timeout_s=3)
    async with running(LokiSink(access, cluster="prod", batching=QUICK)) as sink:
        sink.put(DROP)
        await until(lambda: loki.hanging >= 1, "the request")
        began = time.monotonic()
        for event in some(5000):
            sink.put(event)
        assert time.monotonic() - began < in_time(5)
        await until(lambda: sink.tally.retries >= 1, "the deadline")
        assert "Loki gave no answer within 3 s" in sink.tally.last_error
        loki.stuck, loki.replies = False, []
        await until(lambda: sink.tally.sent == 5001, "all events")


async def test_an_answer_that_drips_is_none(loki: Receiver) -> None:
    """A body that does not end is cut by the deadline, and the request is sent again."""
    loki.replies = [Reply(200, "ok", drip=True)]
    access = Access(loki.url, timeout_s=3)
    async with running(LokiSink(access, cluster="prod", batching=QUICK)) as sink:
        sink.put(DROP)
        await until(lambda: sink.tally.sent == 1, "the second try")
        assert sink.tally.retries == 1


async def test_what_waits_is_sent_at_the_end(loki: Receiver) -> None:
    """Draining sends at once what would have waited for its age, and says that all is settled."""
    async with running(sink_at(loki, SLOW)) as sink:
        for event in some(2500):
            sink.put(event)
        assert await sink.drain(DEADLINE_S)
        assert (sink.tally.sent, sink.length) == (2500, 0)
    assert len(loki.entries) == 2500


async def test_draining_goes_on_trying_within_its_bound(loki: Receiver) -> None:
    """A failure at the end is not the end: it is tried again, without the long wait of failures before."""
    loki.replies = [Reply(500)] * 3
    async with running(sink_at(loki, replace(SLOW, most_backoff_s=3600))) as sink:
        sink.put(DROP)
        assert await sink.drain(DEADLINE_S)
    assert len(loki.entries) == 1


async def test_an_end_does_not_wait_for_a_loki_that_hangs(loki: Receiver) -> None:
    """Draining ends with its bound, cancelling at once, and what did not arrive is counted as dropped."""
    loki.replies, loki.stuck = [Reply(hang=True)], True
    sink = LokiSink(Access(loki.url, timeout_s=600), cluster="prod", batching=SLOW)
    began = time.monotonic()
    async with running(sink):
        for event in some(7):
            sink.put(event)
        assert not await sink.drain(0.3)
    assert time.monotonic() - began < in_time(8)
    assert (sink.tally.dropped, sink.tally.sent, sink.length) == (7, 0, 0)


async def test_nothing_is_lost_track_of_in_a_bad_night(loki: Receiver) -> None:
    """With failures of every kind by lot, each event is sent, refused or dropped, and none is anything else."""
    lot = random.Random(11)
    kinds = [Reply(500), Reply(429), Reply(vanish=True), Reply(400, "bad")]
    loki.replies = [lot.choice(kinds) for _ in range(24)]
    sink = sink_at(loki, replace(QUICK, entries=50, queue=300, most_backoff_s=0.1))
    events = some(3000)
    async with running(sink):
        for wave in range(0, len(events), 100):
            for event in events[wave : wave + 100]:
                sink.put(event)
            await until(lambda: sink.length <= 250, "room in the queue")
        assert await sink.drain(DEADLINE_S)
    tally = sink.tally
    assert (loki.replies, tally.sent) == ([], len(loki.entries))
    assert tally.sent + tally.refused + tally.dropped == 3000
    assert min(tally.sent, tally.refused, tally.retries) > 0


@pytest.mark.parametrize("way", ["basic", "token"])
async def test_it_logs_in_with_what_files_say(loki: Receiver, tmp_path: Path, way: str) -> None:
    """User and password or a bearer token, and the tenant; a new secret counts from the next request on."""
    secret = tmp_path / "secret"
    secret.write_text("old\n", encoding="utf-8")

    def header(text: str) -> str:
        return (
            f"Bearer {text}" if way == "token" else "Basic " + base64.b64encode(f"u:{text}".encode()).decode()
        )

    named = {"token_file": str(secret)} if way == "token" else {"user": "u", "password_file": str(secret)}
    loki.tenant, loki.authorization = "team-a", header("old")
    sink = LokiSink(Access(loki.url, **named), cluster="prod", tenant="team-a", batching=QUICK)  # type: ignore[arg-type]
    async with running(sink):
        sink.put(DROP)
        await until(lambda: sink.tally.sent == 1, "the first event")
        loki.authorization = header("new")
        secret.write_text("new\r\n" if way == "token" else "new\n", encoding="utf-8")
        sink.put(made(mono_ns=9))
        await until(lambda: sink.tally.sent + sink.tally.refused == 2, "the second event")
        assert sink.tally.refused == 0
    assert len(loki.connections) == 1


async def test_a_secret_is_in_no_message(loki: Receiver, tmp_path: Path) -> None:
    """A token that no header can hold is refused by the name of its file alone; a missing file is named."""
    secret = tmp_path / "token"
    secret.write_text("hush\x07hush", encoding="utf-8")
    said: list[str] = []
    access = Access(loki.url, token_file=str(secret))
    async with running(
        LokiSink(access, cluster="prod", batching=QUICK, say=lambda _, text: said.append(text))
    ) as sink:
        sink.put(DROP)
        await until(lambda: sink.tally.retries >= 1, "the failure")
        secret.unlink()
        await until(lambda: "No such file" in sink.tally.last_error, "the other failure")
    assert f"{secret}: expected a token" in said[0]
    assert "hush" not in " ".join(said)
    assert loki.requests == []


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an authority, a server's certificate for 127.0.0.1 and a client's."""
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "ip").write_text("subjectAltName=IP:127.0.0.1\n", encoding="utf-8")
    key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    commands = [f"req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=ca -days 2"]
    for name in ("server", "client"):
        commands.append(f"req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}")
        commands.append(
            f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -days 2 -extfile ip"
        )
    for command in commands:
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    return folder


async def test_it_speaks_tls_with_a_client_s_certificate(certificates: Path) -> None:
    """The server's certificate is checked against the authority that is given, and the client's is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    context.load_verify_locations(certificates / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    files = {name: str(certificates / name) for name in ("ca.pem", "client.pem", "client.key")}
    with loki_receiver(tls=context) as loki:
        access = Access(
            loki.url, ca_file=files["ca.pem"], cert_file=files["client.pem"], key_file=files["client.key"]
        )
        async with running(LokiSink(access, cluster="prod", batching=QUICK)) as sink:
            sink.put(DROP)
            await until(lambda: sink.tally.sent == 1, "the event")
        async with running(sink_at(loki)) as stranger:
            stranger.put(DROP)
            await until(lambda: stranger.tally.retries >= 1, "the failure")
            assert "TLS is not as it should be" in stranger.tally.last_error
    assert len(loki.entries) == 1


async def test_pods_are_in_structured_metadata_where_that_is_asked_for(loki: Receiver) -> None:
    """Namespace and pod are beside the line, and no label; an event of the node itself has none."""
    async with running(sink_at(loki, metadata=True)) as sink:
        sink.put(DROP)
        sink.put(made(pod="", namespace="", mono_ns=9))
        await until(lambda: sink.tally.sent == 2, "the events")
    assert [entry.metadata for entry in loki.entries] == [{"namespace": "shop", "pod": "web-0"}, {}]
    assert all("pod" not in entry.labels for entry in loki.entries)


async def test_a_loki_without_structured_metadata_gets_the_line_alone(loki: Receiver) -> None:
    """What is refused for it is sent again without, and nothing is lost."""
    loki.metadata_allowed = False
    async with running(sink_at(loki, metadata=True)) as sink:
        for event in some(5):
            sink.put(event)
        await until(lambda: sink.tally.sent == 5, "the events")
        assert sink.tally.refused == 0
        sink.put(made(mono_ns=99))
        await until(lambda: sink.tally.sent == 6, "the event behind them")
    assert len(loki.requests) == 3


async def test_the_address_may_have_a_path(loki: Receiver) -> None:
    """The whole address of the push API is taken as well as the server's."""
    access = Access(f"{loki.url}/loki/api/v1/push/")
    async with running(LokiSink(access, cluster="prod", batching=QUICK)) as sink:
        sink.put(DROP)
        await until(lambda: sink.tally.sent == 1, "the event")


@pytest.mark.parametrize(
    "wrong",
    [
        {"streams": []},
        {"streams": [{"stream": {}, "values": [["1", "x"]]}]},
        {"streams": [{"stream": {"a-b": "c"}, "values": [["1", "x"]]}]},
        {"streams": [{"stream": {"a": ""}, "values": [["1", "x"]]}]},
        {"streams": [{"stream": {"a": "b"}, "values": [[1, "x"]]}]},
        {"streams": [{"stream": {"a": "b"}, "values": [["1.5", "x"]]}]},
        {"streams": [{"stream": {"a": "b"}, "values": [["9223372036854775808", "x"]]}]},
        {"streams": [{"stream": {"a": "b"}, "values": [["2", "x"], ["1", "y"]]}]},
        {"streams": [{"stream": {"a": "b"}, "values": [["1", "x", {"n": 1}]]}]},
        {"streams": [{"stream": {"a": "b"}, "values": [["1", "x"]]}] * 2},
        {"streams": [{"stream": {"a": "b"}, "values": [["1", "x"]]}], "more": 1},
    ],
    ids=lambda value: str(value)[:60],
)
def test_the_receiver_is_strict(wrong: dict[str, object]) -> None:
    """The tests above would notice a request that Loki does not take."""
    assert problems_of(wrong) != []
