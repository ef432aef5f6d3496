"""Asking fifty nodes for everything, beside Ansible asking them for nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from skoopctl.lab import Lab
from tests.bench.cluster import lab_of
from tests.bench.figure import Figure, Of, at_most
from tests.bench.peer import ADMIN_NETNS, FORKS, Peer, find_ansible
from tests.bench.setting import Setting, python, skoopctl
from tests.bench.stopwatch import MeasurementError, Run, alternate, cpu, run, spread, wall

NODES, QUICK_NODES = 50, 6
SHARE_OF_PEER = 1 / 8
CPU_PER_NODE_S = 0.006


def collecting(setting: Setting) -> Iterator[Figure]:
    """Measure ``skoopctl collect`` beside ``ansible -m ping``, in turn, on the same nodes."""
    ansible = find_ansible()
    with lab_of(setting, QUICK_NODES if setting.quick else NODES) as lab:
        yield from _beside(setting, lab, Peer.prepare(ansible, lab, setting.folder))


def _beside(setting: Setting, lab: Lab, peer: Peer) -> Iterator[Figure]:
    nodes, ping = len(lab.nodes), f"ansible -m ping -f {FORKS}, pipelining"
    warm: list[Run] = []

    def pinged() -> Run:
        with peer.from_scratch():
            done = peer.ping()
            if len(warm) < setting.rounds(3):
                warm.append(peer.ping())
        setting.say(f"ansible pinged {nodes} nodes in {done.wall_s:.2f} s")
        return done

    def collected() -> Run:
        done = collect(setting.folder / "fleet.skoop", "nodes", nodes)
        setting.say(f"skoopctl collected {nodes} nodes in {done.wall_s:.2f} s")
        return done

    ours, theirs, floor = alternate(setting.rounds(5), collected, pinged, log_in)
    detail = {"skoopctl": spread(ours), "ansible": spread(theirs), "ansible, connections open": spread(warm)}
    target = None if setting.quick else at_most(SHARE_OF_PEER, Of.RATIO)
    what = f"skoopctl collect, {nodes} nodes"
    yield Figure("collect", what, wall(ours), "s", wall(theirs), ping, target, detail)
    yield Figure("collect.warm", what, wall(ours), "s", wall(warm), "the same, connections open already")
    yield Figure("collect.floor", what, wall(ours), "s", wall(floor), "asyncssh logins that run true")
    one = alternate(setting.rounds(5), lambda: collect(setting.folder / "one.skoop", lab.nodes[0].name, 1))[0]
    own, others = cpu(ours) / nodes, cpu(theirs) / nodes
    each = (cpu(ours) - cpu(one)) / (nodes - 1)
    target = None if setting.quick else at_most(CPU_PER_NODE_S)
    yield Figure("collect.cpu", "client's CPU a node, start-up shared", own, "s", others, ping, target)
    yield Figure("collect.cpu-more", "client's CPU for one more node", each, "s", others, ping)


def log_in() -> Run:
    """Do nothing but log in to every node."""
    return run(["ip", "netns", "exec", ADMIN_NETNS, *python("-m", "tests.bench.logins")])


def collect(bundle: Path, limit: str, nodes: int) -> Run:
    """Collect from the running lab; a run in which a node did not answer wholly does not count."""
    done = run(skoopctl("collect", "-i", "lab", "--limit", limit, "-o", str(bundle), "--json"))
    coverage = json.loads(done.stdout)["coverage"]
    if coverage["whole"] != nodes:
        raise MeasurementError(f"skoopctl collect: {coverage['whole']} of {nodes} nodes answered wholly")
    return done
