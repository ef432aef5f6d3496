"""What a watch writes line by line: the one pod's events where one is asked for, and each complaint once."""

from __future__ import annotations

import json

import pytest

from skoopctl.cli.probe_lines import JsonLines, KubeSkoopLines
from skoopctl.cli.probe_session import Session
from skoopctl.inventory import InventoryHost
from skoopctl.transport.base import Deadlines
from skoopctl.watching.for_a_while import Stay
from skoopctl.watching.observation import NodeView, Observation
from tests.unit.events.made_events import DROP, bare
from tests.unit.events.node_said import setup

HOST = InventoryHost("node1", "10.0.9.1")


def session(pod: tuple[str, str] | None = None) -> Session:
    """Return a watch of packets that are dropped on one node."""
    return Session((), ("packetloss",), Stay(2, 1), [HOST], "inventory.yaml", Deadlines(), pod=pod)


def view() -> NodeView:
    """Return how that node stands."""
    return Observation((), [HOST], events=("packetloss",)).nodes["node1"]


@pytest.mark.parametrize("lines", [JsonLines, KubeSkoopLines])
def test_only_the_pods_events_are_written(lines: type[JsonLines], capsys: pytest.CaptureFixture[str]) -> None:
    """Of one pod's event and one of the node, --pod leaves the pod's; without it both are there."""
    both = [DROP, bare()]
    lines(session((DROP.namespace, DROP.pod))).happened(view(), both)
    (line,) = capsys.readouterr().out.splitlines()
    assert DROP.pod in json.dumps(json.loads(line))
    lines(session()).happened(view(), both)
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_beside_kubeskoops_events_a_lack_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A node that says again and again that a probe cannot be had is one line on standard error."""
    lines, node = KubeSkoopLines(session()), view()
    assert node.events is not None
    for ms in (1, 2, 3):
        node.events.take(setup("packetloss", status="unavailable", detail="no BTF", ms=ms))
        lines.fares(node, "packetloss")
    told = capsys.readouterr()
    assert told.err == "skoopctl: node1: packetloss: unavailable: no BTF\n"
    assert told.out == ""
