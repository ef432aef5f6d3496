"""The story of ``skoopctl demo --metrics``: calm traffic, then a pod that stops listening, and what metrics say."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from skoopctl.lab.hand import Hand
from skoopctl.lab.lab import Lab
from skoopctl.lab.stand import Stand

CALM_S, TROUBLE_S, BEAT_S = 8.0, 15.0, 0.25
CALLER, SERVER, SERVER_PORT = "tools/tools-74bdbfc69d-q4h8h", "tools/demo-5bf67dcbc9-hxtmt", 8080
DEAF, FLOODER = "tools/web-a", "tools/web-b"
UDP_PORT, TCP_PORT, CLOSED_PORT = 5353, 9999, 4444
WINDOW = "15s"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question to Prometheus, and whom its answer must name: pods, as NAMESPACE/NAME."""

    question: str
    expr: str
    names: tuple[str, ...]


QUESTIONS = (
    Asked(
        "UDP datagrams that found a full buffer, a second",
        f'rate(kubeskoop_udp_rcvbuferrors{{cluster="lab"}}[{WINDOW}]) > 0',
        (DEAF,),
    ),
    Asked(
        "connections that found a full accept queue, a second",
        f'rate(kubeskoop_tcpext_listenoverflows{{cluster="lab"}}[{WINDOW}]) > 0',
        (DEAF,),
    ),
    Asked(
        "connections that were refused to a pod, a second",
        f'rate(kubeskoop_tcp_attemptfails{{cluster="lab"}}[{WINDOW}]) > 0',
        (CALLER,),
    ),
)


@dataclass(frozen=True, slots=True)
class Answered:
    """What Prometheus answered: pods with their rates."""

    asked: Asked
    rows: tuple[tuple[str, float], ...]

    @property
    def as_told(self) -> bool:
        """Whether it names whom it must, and nobody else."""
        return sorted(name for name, _ in self.rows) == sorted(self.asked.names)


class Actors:
    """Who calls whom. ``beat`` is a quarter of a second of traffic."""

    def __init__(self, lab: Lab, hands: ExitStack) -> None:
        names = (CALLER, DEAF, FLOODER)
        self._caller, self._deaf, self._flooder = (
            hands.enter_context(Hand(lab.source(name))) for name in names
        )
        self._server = lab.source(SERVER).address
        self._victim = lab.source(DEAF).address

    def calm(self) -> None:
        """Call a pod that answers."""
        self._caller.ask("call", to=[self._server, SERVER_PORT], count=5, timeout_s=1)

    def deafen(self) -> None:
        """Let a pod stop listening: its ports stay open, and nobody takes what comes."""
        self._deaf.ask("deafen", udp=UDP_PORT, tcp=TCP_PORT, backlog=1)

    def trouble(self) -> None:
        """Call on as before; flood the deaf pod, knock at it, and call a port that nobody has."""
        self.calm()
        self._flooder.ask("datagrams", to=[self._victim, UDP_PORT], count=50, size=512)
        self._flooder.ask("knock", to=[self._victim, TCP_PORT], count=4)
        self._caller.ask("call", to=[self._server, CLOSED_PORT], count=1, timeout_s=1)


@contextmanager
def actors_in(lab: Lab) -> Iterator[Actors]:
    """Give the actors, who leave at the end of the block."""
    with ExitStack() as hands:
        yield Actors(lab, hands)


def play(actors: Actors, stand: Stand) -> None:
    """Wait until every node is heard, then play calm traffic, then trouble."""
    stand.wait_for('sum(skoopctl_push_node_up{cluster="lab"}) == 3', "metrics of all three nodes")
    _beats(CALM_S, actors.calm, stand)
    actors.deafen()
    _beats(TROUBLE_S, actors.trouble, stand)


def answers(stand: Stand) -> list[Answered]:
    """Ask every question, and return what Prometheus says now."""
    return [Answered(asked, tuple(_rows(stand, asked.expr))) for asked in QUESTIONS]


def _rows(stand: Stand, expr: str) -> Iterator[tuple[str, float]]:
    for labels, value in stand.ask(expr):
        pod = f"{labels['k8s_namespace']}/{labels['k8s_pod']}" if labels.get("k8s_pod") else ""
        yield pod or f"node {labels['k8s_node']}", value


def _beats(seconds: float, beat: Callable[[], None], stand: Stand) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        stand.check()
        beat()
        time.sleep(BEAT_S)
