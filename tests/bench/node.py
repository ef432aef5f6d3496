"""What looking costs a node that runs thirty pods and kube-proxy."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from statistics import median

from skoopctl.errors import UsageError
from tests.bench.figure import Figure, at_most
from tests.bench.setting import Setting
from tests.bench.stopwatch import MeasurementError, alternate, cpu, run
from tests.lab.node_host import Answer, NodeHost
from tests.support.recorded import RECORDINGS

PODS, QUICK_PODS = 30, 10
CPU_S = 0.060
MEMORY_MB = 40.0
PYTHON = ("/usr/bin/python3", "-I", "-S", "-B", "-c")
# wait4() would tell the peak of our own process before its exec: a small parent on the node measures instead.
PEAK = (
    "import resource, subprocess, sys; subprocess.run(sys.argv[1:]); "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)"
)


def node_program(setting: Setting) -> Iterator[Figure]:
    """Measure the node program's CPU and memory on a host of its own, beside a Python that does nothing."""
    if os.geteuid() != 0:
        raise UsageError("making a host of network namespaces takes root", hint="run it with sudo")
    pods = QUICK_PODS if setting.quick else PODS
    host = NodeHost.start()
    try:
        _furnish(host, pods)
        yield from _measured(setting, host, pods)
    finally:
        host.stop()


def _furnish(host: NodeHost, pods: int) -> None:
    """Give the host pods on a bridge, and the rules that kube-proxy left on a recorded node."""
    host.run("ip link add cni0 type bridge; ip addr add 10.244.9.1/24 dev cni0; ip link set cni0 up")
    rules = (RECORDINGS / "iptables" / "nodes" / "node1-c4" / "iptables-save.txt").read_text()
    for name in sorted(set(re.findall(r"--nfacct-name +(\S+)", rules))):
        host.run(f"nfacct add {name}")
    host.run("iptables-nft-restore --counters", stdin=rules)
    for number in range(pods):
        host.add_pod(f"p{number}", f"10.244.9.{number + 10}")


def _measured(setting: Setting, host: NodeHost, pods: int) -> Iterator[Figure]:
    rounds = setting.rounds(9)
    answers = [_asked(host, pods) for _ in range(rounds + 1)][1:]
    bare = alternate(rounds, lambda: run(host.inside(*PYTHON, "pass")))[0]
    spent = median(answer.cpu_s for answer in answers)
    detail = {"cpu_s": [round(answer.cpu_s, 4) for answer in answers]}
    what = f"node program's CPU, {pods} pods"
    yield Figure("node.cpu", what, spent, "s", cpu(bare), "python3 -c pass", at_most(CPU_S), detail)
    elapsed = median(answer.elapsed_s for answer in answers)
    yield Figure("node.time", "from its start to its end", elapsed, "s", cpu(bare), "python3 -c pass")
    peak = int(host.ask(wrap=[*PYTHON, PEAK]).stderr) / 1024
    least = int(run(host.inside(*PYTHON, PEAK, *PYTHON, "pass")).stderr) / 1024
    yield Figure("node.memory", "its peak memory", peak, "MB", least, "python3 -c pass", at_most(MEMORY_MB))


def _asked(host: NodeHost, pods: int) -> Answer:
    """Ask the host once; an answer that lacks something does not count."""
    answer = host.ask()
    found = len(answer.evidence.namespaces())
    if not answer.evidence.complete or found != pods + 1:
        raise MeasurementError(f"the node program told of {found} of {pods + 1} namespaces")
    return answer
