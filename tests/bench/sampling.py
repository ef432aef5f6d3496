"""What watching costs a node with a hundred pods that all have traffic, and what each round costs here."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from skoopctl.errors import UsageError
from skoopctl.evidence.frames import MAGIC, whole_bytes
from skoopctl.evidence.request import SAMPLE_ITEMS, SampleRequest
from skoopctl.evidence.rounds import Round, RoundReader
from skoopctl.probes.catalogue import PROBES
from skoopctl.probes.exposition import page
from skoopctl.probes.node_series import NodeSeries
from tests.bench.figure import Figure, at_most
from tests.bench.setting import CHECKOUT, Setting, environment
from tests.bench.stopwatch import MeasurementError, alternate, cpu, run
from tests.lab.node_host import NodeHost
from tests.lab.sampled_host import Conversation, pod_groups

PODS, QUICK_PODS = 100, 10
INTERVAL_S = 1.0
SHARE_OF_CORE, EVERY_S = 0.01, 15.0
MEMORY_MB, ROUND_BYTES = 40.0, 60_000
WORKSTATION_S = 0.010
FILES = ("snmp", "netstat", "dev", "sockstat", "sockstat6")
PYTHON = ("/usr/bin/python3", "-I", "-S", "-B", "-c")
PEAK = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"


@dataclass(slots=True)
class Crowd:
    """Pods on a host, and a way to make them all talk."""

    program: subprocess.Popen[str]
    sandboxes: list[str]

    def talk(self) -> None:
        """Let every pod make some traffic, and wait until all have."""
        assert self.program.stdin is not None
        assert self.program.stdout is not None
        self.program.stdin.write("talk\n")
        self.program.stdin.flush()
        self.program.stdout.readline()


def sampling(setting: Setting) -> Iterator[Figure]:
    """Measure rounds of all items, beside what it takes to read the same files by ``cat`` in each namespace."""
    if os.geteuid() != 0:
        raise UsageError("making a host of network namespaces takes root", hint="run it with sudo")
    pods = QUICK_PODS if setting.quick else PODS
    with pod_groups() as groups:
        host = NodeHost.start()
        try:
            setting.say(f"making {pods} pods")
            with _crowd(host, groups, pods) as crowd:
                yield from _measured(setting, host, crowd)
        finally:
            host.stop()


@contextmanager
def _crowd(host: NodeHost, groups: Path, pods: int) -> Iterator[Crowd]:
    """Make pods on a bridge; they end with this."""
    program = subprocess.Popen(
        host.inside(
            sys.executable, "-S", str(CHECKOUT / "tests" / "support" / "crowd.py"), str(groups), str(pods)
        ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert program.stdin is not None
    assert program.stdout is not None
    try:
        sandboxes = program.stdout.readline().split()
        if len(sandboxes) != pods:
            raise MeasurementError(f"{len(sandboxes)} of {pods} pods began")
        cables = "".join(
            f"link add v{pid} type veth peer name eth0 netns {pid}\nlink set v{pid} master cni0 up\n"
            for pid in sandboxes
        )
        host.run("ip link add cni0 type bridge; ip link set cni0 up; ip -batch -", cables)
        for pid in sandboxes:
            host.run(f"nsenter -t {pid} -n ip link set eth0 up")
        yield Crowd(program, sandboxes)
    finally:
        program.stdin.close()
        program.stdout.close()
        program.wait()


def _measured(setting: Setting, host: NodeHost, crowd: Crowd) -> Iterator[Figure]:
    pods = len(crowd.sandboxes)
    setting.say("watching")
    rounds, heard = _rounds(host, crowd, setting.rounds(9) + 2)
    spent = [after.cpu_ms - before.cpu_ms for before, after in pairwise(rounds[1:])]
    cat = f"({_cat(crowd.sandboxes)}) >/dev/null"
    by_cat = alternate(setting.rounds(5), lambda: run(host.inside("sh", "-c", cat)))[0]
    target = at_most(SHARE_OF_CORE * EVERY_S)
    detail = {"cpu_ms": [round(each, 1) for each in spent]}
    what, peer = f"node program's CPU a round, {pods} pods with traffic", "nsenter and cat of five files"
    yield Figure("sampling.cpu", what, median(spent) / 1e3, "s", cpu(by_cat), peer, target, detail)
    least = int(run(host.inside(*PYTHON, PEAK)).stdout) / 1024
    memory = max(each.rss_kib for each in rounds) / 1024
    target = at_most(MEMORY_MB)
    yield Figure("sampling.memory", "its memory", memory, "MB", least, "python3 -c pass", target)
    packed = int(run(host.inside("sh", "-c", f"({_cat(crowd.sandboxes)}) | gzip -1 | wc -c")).stdout)
    sent = [each.wire_bytes for each in rounds]
    what, peer = f"sent a round, {pods} pods with traffic", "the five files, gzip -1"
    target = at_most(ROUND_BYTES)
    yield Figure("sampling.bytes", what, median(sent[2:]), "B", packed, peer, target, {"bytes": sent})
    yield Figure("sampling.first", "sent in the first round", sent[0], "B", packed, peer)
    here = [median(turn) for turn in zip(*(_workstation(heard) for _ in range(5)), strict=True)]
    what, peer = f"workstation's CPU a round, {pods} pods, to the page", "the first round, all of it new"
    target = at_most(WORKSTATION_S)
    yield Figure("sampling.here", what, median(here[2:]), "s", here[0], peer, target)


def _workstation(heard: bytes) -> list[float]:
    """Return the CPU seconds that each round costs here, from what came to the page that Prometheus gets."""
    reader, node, spent = RoundReader("skt"), NodeSeries("skt", tuple(PROBES)), []
    while heard:
        size = whole_bytes(heard)
        frame, heard = heard[:size], heard[size:]
        began = time.process_time()
        for each in reader.feed(frame):
            node.apply(each)
            page([node])
            spent.append(time.process_time() - began)
    return spent


def _rounds(host: NodeHost, crowd: Crowd, number: int) -> tuple[Sequence[Round], bytes]:
    """Watch the host with all items while its pods talk; a round that lacks a pod does not count."""
    with Conversation(host, SampleRequest(SAMPLE_ITEMS, interval_s=INTERVAL_S, rounds=number)) as told:
        while len(told.rounds) < number:
            found = told.next()
            changed = {change.netns for change in found.changes if change.item == "netstat"}
            if len(changed) < len(crowd.sandboxes):
                raise MeasurementError(
                    f"round {found.number} told of {len(changed)} of {len(crowd.sandboxes)} pods"
                )
            crowd.talk()
        return told.rounds, bytes(told.heard[told.heard.index(MAGIC) :])


def _cat(pids: Sequence[str]) -> str:
    """Return a command that reads the files in every namespace, as a loop over pods would."""
    files = " ".join(f"/proc/self/net/{name}" for name in FILES)
    return f"for pid in {' '.join(pids)}; do nsenter -t $pid -n cat {files}; done"
