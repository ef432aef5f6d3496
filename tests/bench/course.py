"""How many flows to services are walked in a second: through large rules, and through a recording's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skoopctl.dataplane.path import Network, walk
from skoopctl.dataplane.topology import Topology
from skoopctl.dataplane.trace import Flow, Verdict
from skoopctl.kernel.netns import Host
from tests.bench.figure import Figure, at_least
from tests.bench.setting import Setting
from tests.bench.stopwatch import MeasurementError, cpu_of
from tests.support.recorded import Recorded


@dataclass(frozen=True, slots=True)
class Course:
    """What to walk: the figure's ``name`` and ``what``, and the recording whose hosts hold the ``large`` rules.

    ``addresses`` are cluster IPs of services in those rules, one for each walk; ``client`` is a source of
    the recording; ``floor`` is walks a second.
    """

    name: str
    what: str
    recording: Recorded
    large: Mapping[str, Host]
    client: str
    addresses: Sequence[str]
    baseline: str
    floor: float


def walks_figure(setting: Setting, course: Course) -> Figure:
    """Walk one flow to each address, and as many to one service of the recording."""
    small, large = Network(Topology(course.recording.hosts)), Network(Topology(course.large))
    host, inode, source = course.recording.sources[course.client]
    setting.say(f"walking to {len(course.addresses)} services: {course.what}")
    flows = [Flow(source, address, "tcp", 80) for address in course.addresses]

    def through_large() -> None:
        for flow in flows:
            result = walk(large, flow, (host, inode))
            if result.verdict is not Verdict.PASS:
                raise MeasurementError(f"{flow.destination}: the walk says {result.verdict}, not PASS")

    def through_small() -> None:
        for _ in flows:
            walk(small, Flow(source, "10.96.10.1", "tcp", 80), (host, inode))

    spent, few = (cpu_of(work, rounds=setting.rounds(3)) for work in (through_large, through_small))
    target = None if setting.quick else at_least(course.floor)
    return Figure(
        course.name, course.what, len(flows) / spent, "/s", len(flows) / few, course.baseline, target
    )
