"""What event probes cost the traffic that passes them: a fixed load between two namespaces, with and without."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

from skoopctl.bpf.program import BpfRequest
from skoopctl.errors import UsageError
from tests.bench.figure import Figure, Of, at_least
from tests.bench.setting import CHECKOUT, Setting, environment
from tests.bench.stopwatch import MeasurementError
from tests.kernel.bpf_watch import Watch
from tests.lab.node_host import NodeHost

DEFAULT = ("packetloss", "tcpreset", "tcpretrans")
DEAR = ("netiftxlat", "softirq", "kernellatency", "runqueue")
KEPT = 0.98
DATAGRAMS, QUICK_DATAGRAMS = 40_000, 3_200
ADDRESS = "10.244.9.10"


@dataclass(slots=True)
class Load:
    """The program that carries datagrams, and how many at a time."""

    program: subprocess.Popen[str]
    number: int

    def rate(self) -> float:
        """Return how many datagrams a CPU carries in a second now."""
        assert self.program.stdin is not None
        assert self.program.stdout is not None
        self.program.stdin.write(f"{self.number}\n")
        self.program.stdin.flush()
        said = self.program.stdout.readline()
        if not said:
            raise MeasurementError(f"the load ended with {self.program.wait()}")
        return self.number / float(said)


def throughput(setting: Setting) -> Iterator[Figure]:
    """Measure the default set, then each probe that costs much; with, without, with, without."""
    if os.geteuid() != 0:
        raise UsageError("loading eBPF programs takes root", hint="run it with sudo")
    host = NodeHost.start()
    try:
        with _load(host, QUICK_DATAGRAMS if setting.quick else DATAGRAMS) as load:
            load.rate()
            yield _figure(setting, load, "default", DEFAULT)
            for probe in DEAR:
                yield _figure(setting, load, probe, (probe,))
    finally:
        host.stop()


def _figure(setting: Setting, load: Load, name: str, probes: Sequence[str]) -> Figure:
    setting.say(f"with and without {', '.join(probes)}")
    off, on = [], []
    for _ in range(setting.rounds(15)):
        off.append(load.rate())
        with Watch(BpfRequest(tuple(probes), 60.0, backend="core", selftest=False, budget=0)) as watch:
            _check(watch, probes)
            on.append(load.rate())
    return Figure(
        f"throughput.{name}",
        f"UDP datagrams a CPU second, {', '.join(probes)}",
        median(on),
        "/s",
        median(off),
        "without probes",
        at_least(KEPT, Of.RATIO) if name == "default" else None,
        {"on": [round(each) for each in on], "off": [round(each) for each in off]},
    )


def _check(watch: Watch, probes: Sequence[str]) -> None:
    """Refuse to measure probes that are not there."""
    for probe in probes:
        setup = watch.setups.get(probe)
        if setup is None or setup.status == "unavailable":
            raise MeasurementError(f"{probe} cannot be had here: {setup.detail if setup else 'nothing said'}")


@contextmanager
def _load(host: NodeHost, number: int) -> Iterator[Load]:
    """Make a pod on a bridge, and what sends to it from the host; it ends with this."""
    host.run("ip link add cni0 type bridge; ip addr add 10.244.9.1/24 dev cni0; ip link set cni0 up")
    inode = host.add_pod("load", ADDRESS)
    find = f"for p in /proc/[0-9]*; do [ $(stat -L -c %i $p/ns/net) = {inode} ] && echo ${{p#/proc/}} && break; done"
    pid = host.run(find).strip()
    script = str(CHECKOUT / "tests" / "support" / "datagrams.py")
    program = subprocess.Popen(
        host.inside(sys.executable, "-S", script, pid, ADDRESS),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert program.stdin is not None
    assert program.stdout is not None
    try:
        yield Load(program, number)
    finally:
        program.stdin.close()
        program.stdout.close()
        program.wait()
