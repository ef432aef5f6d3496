"""Event probes in ``skoopctl push``: to a receiver of Loki's protocol, to the page, and through kills and reloads."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.services.loki_receiver import Receiver, loki_receiver
from tests.services.push_process import Pushing, pushing
from tests.services.servers import ANSWER_S, free_port, pushgateway, wait_until
from tests.support.ebpf_held import are_gone, held_by

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="eBPF programs take root"),
    pytest.mark.timeout(180),
]

PROBES: list[Any] = ["softnet", "packetloss", "tcpreset"]
LOST = re.compile(r'^kubeskoop_packetloss_total\{k8s_node="n1",protocol="TCP",src="127.0.0.1",', re.MULTILINE)


@pytest.fixture
def loki() -> Iterator[Receiver]:
    """Run a receiver; whatever was against the protocol fails the test."""
    with loki_receiver() as running:
        yield running
    assert running.problems == []


def loaders(service: Pushing) -> list[int]:
    """Return the service's node programs that have eBPF programs."""
    return [pid for pid in service.programs() if held_by(pid)["prog"]]


def watching(folder: Path, loki: Receiver, **config: Any) -> AbstractContextManager[Pushing]:
    """Run push over this machine with event probes."""
    sink = {"url": loki.url, "batch-wait": 0.1}
    return pushing(folder, ("n1",), probes=PROBES, loki=sink, cluster="ev", **config)


def page(service: Pushing) -> str:
    """Return the page."""
    with urlopen(f"{service.url}/metrics", timeout=ANSWER_S) as answer:  # noqa: S310 - our own server on loopback
        return str(answer.read().decode())


def status(service: Pushing) -> dict[str, str]:
    """Return the states of event probes, as /status tells them."""
    with urlopen(f"{service.url}/status", timeout=ANSWER_S) as answer:  # noqa: S310 - the same
        return {row["name"]: row["state"] for row in json.load(answer)["inuse_probes"]["event"]}


def knock(port: int) -> None:
    """Connect to a port of this machine that nobody listens on."""
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", port))


def resets_in(text: str) -> float:
    """Return how many resets without a socket a page counts, of whoever."""
    wanted = {"k8s_node": "n1", "probe": "tcpreset", "type": "reset-no-socket"}.items()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "skoopctl_events_total" and sample.labels.items() >= wanted
    )


def resets(service: Pushing) -> float:
    """Return how many the service's page counts."""
    return resets_in(page(service))


def has_come(loki: Receiver, port: int) -> bool:
    """Knock, and tell whether Loki has an event of it: programs may not be attached yet."""
    knock(port)
    return any(entry.event.get("source_port") == port for entry in loki.entries)


def test_events_arrive_with_names_and_are_counted(loki: Receiver, tmp_path: Path) -> None:
    """What happens is a line in Loki, with few labels, and a series on the page; /status names the probes."""
    port = free_port()
    with watching(tmp_path, loki) as service:
        wait_until(lambda: has_come(loki, port), "an event of a refused connection")
        mine = [entry for entry in loki.entries if entry.event.get("source_port") == port]
        for entry in mine:
            assert entry.labels.keys() == {"job", "cluster", "node", "type"}
            assert (entry.labels["node"], entry.labels["cluster"]) == ("n1", "ev")
            assert entry.event["source_kind"] == "node"
        assert {entry.labels["type"] for entry in mine} <= {"reset-no-socket", "reset-received"}
        wait_until(lambda: resets(service) > 0, "the counts to be on the page")
        # The one probe may be attached a moment before the other, and the counts may be somebody else's.
        wait_until(
            lambda: has_come(loki, port) and LOST.search(page(service)), "the packets that our own calls lost"
        )
        assert 'skoopctl_event_probe_up{k8s_node="n1",probe="packetloss",state="available"} 1' in page(
            service
        )
        assert status(service) == {"packetloss": "Running", "tcpreset": "Running"}
        held = held_by(*service.programs())
        assert held["prog"]
        assert service.stop()[0] == 0
    wait_until(lambda: are_gone(held), "the programs to be gone")


def test_what_was_counted_since_the_last_round_reaches_the_gateway_at_the_end(
    loki: Receiver, tmp_path: Path
) -> None:
    """Counts come once an interval; a stop in the middle of one asks for them, and pushes them."""
    port = free_port()
    with (
        pushgateway(tmp_path) as gateway,
        watching(tmp_path, loki, interval=15, gateway={"url": gateway}) as service,
    ):
        wait_until(lambda: has_come(loki, port), "an event of a refused connection")

        def told() -> int:
            return sum(entry.labels["type"] == "reset-no-socket" for entry in loki.entries.copy())

        def are_uncounted() -> int:
            """Knock, and return how many were told, if the page has not all of them: a round may just have come."""
            knock(port)
            number = told()
            return number if number > resets(service) else 0

        number = wait_until(are_uncounted, "resets that are told and not counted yet")
        assert service.stop()[0] == 0
        with urlopen(f"{gateway}/metrics", timeout=ANSWER_S) as answer:  # noqa: S310 - our own server on loopback
            assert resets_in(answer.read().decode()) >= number


def test_a_killed_event_program_comes_again_and_counts_go_on(loki: Receiver, tmp_path: Path) -> None:
    """SIGKILL to the program on the node costs what happened meanwhile, no round, and no count goes back."""
    port = free_port()
    with watching(tmp_path, loki) as service:
        wait_until(lambda: has_come(loki, port), "an event")
        wait_until(lambda: resets(service) > 0, "counts")
        before, seen = resets(service), len(loki.entries)
        (pid,) = loaders(service)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: "no events" in service.log, "the break to be said")
        wait_until(lambda: has_come(loki, port) and len(loki.entries) > seen, "an event after it")
        # What came last may have been on its way before: only knocks while it runs are counted.
        wait_until(lambda: has_come(loki, port) and resets(service) > before, "counts to go on")
        assert "rounds come" in service.log
        assert service.log.count("rounds come") == 1


def test_a_reload_takes_event_probes_away(loki: Receiver, tmp_path: Path) -> None:
    """After SIGHUP with fewer probes the kernel has no program of ours any more, and rounds go on."""
    port = free_port()
    with watching(tmp_path, loki) as service:
        wait_until(lambda: has_come(loki, port), "an event")
        held = held_by(*service.programs())
        assert held["prog"]
        service.write(probes=["softnet"], loki=None)
        service.signal(signal.SIGHUP)
        wait_until(lambda: are_gone(held), "the programs to be gone")
        wait_until(lambda: "kubeskoop_softnet_processed" in page(service), "rounds of what is left")
        assert status(service) == {}
