"""What the model says: evidence that the real node program collects here, through `build_host` and `walk`."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass

from skoopctl.dataplane.path import Network, walk
from skoopctl.dataplane.topology import Station, Topology
from skoopctl.dataplane.trace import Branch, Evidence, Outcome, PathResult, Verdict
from skoopctl.dataplane.trace import Flow as Question
from skoopctl.evidence.frames import decode_answer
from skoopctl.evidence.payload import job
from skoopctl.evidence.request import Request
from skoopctl.kernel.build import build_host
from skoopctl.kernel.link import Link, PortState
from skoopctl.kernel.netns import Host
from tests.kernel.namespaces import inode_of
from tests.kernel.plan import BY_NAME, ENDS
from tests.kernel.state import Flow

HOST = "fuzz"
COUNTED = ("iptables-nft", "iptables-legacy", "ip6tables-nft", "ip6tables-legacy", "nft")


def collect(items: tuple[str, ...] | None = None) -> Host:
    """Run the node program in the worker's own process tree, and decode its answer."""
    asked = job(Request(items=items))
    program = subprocess.Popen(
        ["sh", "-c", asked.command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert program.stdin is not None
    assert program.stdout is not None
    assert program.stderr is not None
    with program.stdin, program.stdout, program.stderr:
        program.stdin.write(asked.stdin)
        program.stdin.flush()  # its end would end the program
        answer = program.stdout.read()
        trouble = program.stderr.read()
    program.wait()
    evidence = decode_answer(HOST, answer)
    assert evidence.complete, f"the node program: {evidence.problem} {trouble.decode(errors='replace')}"
    return build_host(evidence)


def settle(patience_s: float = 1.2, long_s: float = 20.0) -> None:
    """Wait until devices have their carrier and bridge ports forward: a work queue of the kernel sees to it.

    A device that a line took down keeps its peer without carrier; then this waits in vain, and that is well. Where
    both ends of a veth are up the carrier must come, however late the work queue of a busy machine is.
    """
    began = time.monotonic()
    while (waited_s := time.monotonic() - began) < long_s:
        topology = Topology({HOST: collect(("link", "nsid"))})
        stations = [Station(netns, link) for netns in topology.namespaces() for link in netns.links.values()]
        if not any(_unsettled(station.link) for station in stations):
            return
        if waited_s > patience_s and not any(_will_settle(topology, station) for station in stations):
            return
        time.sleep(0.02)


def _will_settle(topology: Topology, station: Station) -> bool:
    peer = topology.peer(station)
    return station.link.up and not station.link.carrier and peer is not None and peer.link.up


def _unsettled(link: Link) -> bool:
    disabled = link.port is not None and link.port.state is PortState.DISABLED
    return link.up and (disabled or not link.carrier)


@dataclass(frozen=True, slots=True)
class Prediction:
    """One flow's walk, or the exception that it raised: an exception is always a bug."""

    flow: Flow
    result: PathResult | None
    crash: str = ""

    @property
    def branches(self) -> tuple[Branch, ...]:
        """All branches, none after a crash."""
        return self.result.branches if self.result is not None else ()

    @property
    def unknown(self) -> bool:
        """Whether the model could not decide."""
        return self.result is not None and self.result.verdict is Verdict.UNKNOWN

    @property
    def single(self) -> Branch | None:
        """The one way to go, if there is only one and it is decided."""
        return self.branches[0] if len(self.branches) == 1 and not self.unknown else None

    def __str__(self) -> str:
        if self.result is None:
            return f"crash {self.crash}"
        ways = "; ".join(
            f"{b.outcome.value} {b.responder} {b.seen_source} [{b.disposition.value}] "
            f"({b.fatal_walk.label}: {b.fatal_walk.last.decision})"
            for b in self.branches[:4]
        )
        why = f" because {'; '.join(self.result.unknowns[:2])}" if self.unknown else ""
        return f"{self.result.verdict.value}: {ways}{why}"


class Model:
    """The collected state, ready to be asked about flows."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.places = {inode_of(place.name): place.name for place in ENDS}
        self._inodes = {name: inode for inode, name in self.places.items()}
        labels = {(HOST, inode): name for inode, name in self.places.items()}
        self.network = Network(Topology({HOST: host}, labels))

    def predict(self, flow: Flow) -> Prediction:
        """Walk one flow. A crash is a result too."""
        place = BY_NAME[flow.source]
        source = place.v6 if ":" in flow.destination else place.v4
        question = Question(source, flow.destination, flow.protocol, flow.port)
        try:
            return Prediction(flow, walk(self.network, question, (HOST, self._inodes[flow.source])))
        except Exception as error:  # noqa: BLE001 - the harness looks for exactly these
            return Prediction(flow, None, f"{type(error).__name__}: {error}")

    def responder(self, branch: Branch) -> str:
        """Return the place that answers in a branch, or ''."""
        return self.places.get(branch.responder_netns[1], "?") if branch.responder_netns else ""


def blamed(prediction: Prediction) -> Evidence | None:
    """Return the rule that drops or rejects, where the one branch ends at a rule."""
    branch = prediction.single
    if branch is None or branch.outcome is Outcome.CONNECTED:
        return None
    ended = [step for walk_ in branch.walks for step in walk_.steps if step.ends is not None and step.hook]
    if not ended or branch.fatal_walk.last is not ended[0]:
        return None
    if "runs first is not known" in ended[0].decision:
        return None  # another table has a rule that decides alike
    last = ended[0].evidence[-1:]
    return last[0] if last and last[0].kind in {"iptables-rule", "nft-rule"} else None
