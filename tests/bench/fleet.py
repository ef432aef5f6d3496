"""Many hosts: two hundred beside Ansible and pyinfra, five hundred in memory, one over a slow wire."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

from skoopctl.lab import Lab
from tests.bench.cluster import lab_of
from tests.bench.figure import Figure, Of, at_most
from tests.bench.names import Names, name_nodes
from tests.bench.peer import ADMIN_NETNS, FORKS, Peer, find_ansible
from tests.bench.setting import CHECKOUT, Setting, environment, python, skoopctl
from tests.bench.stopwatch import MeasurementError, Run, alternate, cpu, peak_mb, run, spread, wall

NODES, QUICK_NODES = 50, 6
EACH, QUICK_EACH = 4, 2
CONNECTIONS = 500
BASTION_PORT = 2222
MOST_RSS_MB = 150
ROUND_TRIPS = 12
CPU_PER_HOST_S = 0.006
DELAYS_S = (0.0, 0.1, 0.2)
FACTS = (
    "hardware.NetworkDevices",
    "hardware.Ipv4Addrs",
    "iptables.IptablesRules",
    "iptables.Ip6tablesRules",
    "server.Sysctl",
    "server.KernelModules",
)
"""What pyinfra knows to ask of what ``collect`` asks: the root namespace's devices, addresses, rules, settings."""
PYINFRA = CHECKOUT / ".venv-bench/bin/pyinfra"


def fleet(setting: Setting) -> Iterator[Figure]:
    """Measure everything on one lab."""
    nodes, each = (QUICK_NODES, QUICK_EACH) if setting.quick else (NODES, EACH)
    with lab_of(setting, nodes) as lab:
        names = name_nodes(lab, each, setting.folder)
        yield from _beside(setting, lab, names)
        yield from _by_bastion(setting, lab, names)
        yield from _slow_wire(setting, lab, names)
        more = name_nodes(lab, 2 * each if setting.quick else CONNECTIONS // nodes, setting.folder)
        yield from _in_memory(setting, more)


def _beside(setting: Setting, lab: Lab, names: Names) -> Iterator[Figure]:
    peer = Peer.prepare(find_ansible(), lab, setting.folder)
    config = setting.folder / "ansible.cfg"
    config.write_text(
        config.read_text().replace(str(lab.inventory.with_name("known_hosts")), str(names.known_hosts))
    )
    peer = replace(peer, inventory=names.inventory, expected=names.number)
    hosts_of_pyinfra = names.pyinfra(setting.folder)

    def pinged() -> Run:
        with peer.from_scratch():
            return peer.ping()

    def by_pyinfra(*words: str) -> Run:
        command = [str(PYINFRA), "-y", str(hosts_of_pyinfra), *words]
        done = run(["ip", "netns", "exec", ADMIN_NETNS, *command], env=environment(), cwd=setting.folder)
        if (done.stdout + done.stderr).count("Success") + done.stderr.count("Loaded fact") < names.number:
            raise MeasurementError(f"pyinfra {' '.join(words)}: not all hosts answered")
        return done

    def asked() -> Run:
        return by_pyinfra("fact", *FACTS)

    def executed() -> Run:
        return by_pyinfra("exec", "--", "true")

    ours, ansible, facts, nothing = alternate(
        setting.rounds(3), lambda: collect(names, setting.folder), pinged, asked, executed
    )
    what = f"skoopctl collect, {names.number} hosts"
    detail = {"skoopctl": spread(ours), "ansible": spread(ansible), "pyinfra": spread(facts)}
    eighth = None if setting.quick else at_most(1 / 8, Of.RATIO)
    faster = None if setting.quick else at_most(1 / 1.5, Of.RATIO)
    own = None if setting.quick else at_most(CPU_PER_HOST_S)
    ping = f"ansible -m ping -f {FORKS}, pipelining"
    yield Figure("fleet.ansible", what, wall(ours), "s", wall(ansible), ping, eighth, detail)
    yield Figure("fleet.pyinfra", what, wall(ours), "s", wall(facts), f"pyinfra, {len(FACTS)} facts", faster)
    yield Figure("fleet.pyinfra-true", what, wall(ours), "s", wall(nothing), "pyinfra exec -- true")
    mine, theirs = cpu(ours) / names.number, cpu(ansible) / names.number
    yield Figure("fleet.cpu", "client's CPU a host", mine, "s", theirs, ping, own)


def collect(names: Names, folder: Path, *more: str) -> Run:
    """Collect from all names; a run in which a host did not answer wholly does not count."""
    done = run(_command(names, folder, *more))
    coverage = json.loads(done.stdout)["coverage"]
    if coverage["whole"] != names.number:
        raise MeasurementError(
            f"skoopctl collect: {coverage['whole']} of {names.number} hosts answered wholly"
        )
    return done


def _command(names: Names, folder: Path, *more: str) -> list[str]:
    bundle = str(folder / "many.skoop")
    return skoopctl("collect", "-i", str(names.inventory), "-o", bundle, "--json", "-q", *more)


def _by_bastion(setting: Setting, lab: Lab, names: Names) -> Iterator[Figure]:
    """Measure all hosts through the first node, whose second sshd takes as many logins as a stock one does."""
    pid, address = lab.pids[lab.nodes[0].name], next(iter(names.addresses.values()))
    config = "/run/skoopctl-lab-host/sshd_config"
    script = f"sed '/^MaxS/d' {config} >{config}.stock && /usr/sbin/sshd -f {config}.stock -p {BASTION_PORT}"
    run(["nsenter", "-t", str(pid), "-a", "sh", "-c", script])
    first, *_ = names.known_hosts.read_text(encoding="ascii").splitlines()
    with names.known_hosts.open("a", encoding="ascii") as known:
        known.write(f"[{address}]:{BASTION_PORT} {first.partition(' ')[2]}\n")
    loaded = json.loads(names.inventory.read_text(encoding="utf-8"))
    loaded["nodes"]["vars"]["ansible_ssh_common_args"] = f"-J root@{address}:{BASTION_PORT}"
    inventory = setting.folder / "behind.yaml"
    inventory.write_text(json.dumps(loaded), encoding="utf-8")
    behind, straight = alternate(
        setting.rounds(3),
        lambda: collect(replace(names, inventory=inventory), setting.folder),
        lambda: collect(names, setting.folder),
    )
    what = f"all {names.number} hosts through one bastion with a stock sshd"
    detail = {"bastion": spread(behind), "straight": spread(straight)}
    yield Figure("fleet.bastion", what, wall(behind), "s", wall(straight), "straight", None, detail)


def _in_memory(setting: Setting, names: Names) -> Iterator[Figure]:
    """Measure the client's memory with every host's connection open at once."""
    collect(names, setting.folder, "--forks", str(names.number))
    mine = peak_mb(_command(names, setting.folder, "--forks", str(names.number)))
    alone = peak_mb(skoopctl("--version"))
    target = None if setting.quick else at_most(MOST_RSS_MB)
    what = f"the client's memory at {names.number} connections, with what they said"
    yield Figure("fleet.memory", what, mine, "MB", alone, "skoopctl --version", target)


def _slow_wire(setting: Setting, lab: Lab, names: Names) -> Iterator[Figure]:
    """Measure one host through wires with round trips of different length: the slope is their number."""
    times = {}
    for delay_s in DELAYS_S:
        with _wire(lab, delay_s) as port:
            one = _through(names, port, setting.folder)
            times[delay_s] = median(collect(one, setting.folder).wall_s for _ in range(setting.rounds(3)))
        setting.say(f"one host at a round trip of {delay_s * 1000:.0f} ms: {times[delay_s]:.2f} s")
    first, last = DELAYS_S[0], DELAYS_S[-1]
    trips = (times[last] - times[first]) / (last - first)
    target = None if setting.quick else at_most(ROUND_TRIPS)
    detail = {"seconds": {str(delay): round(value, 3) for delay, value in times.items()}}
    yield Figure(
        "fleet.round-trips", "round trips a host", trips, "", ROUND_TRIPS, "the design's", target, detail
    )


@contextlib.contextmanager
def _wire(lab: Lab, delay_s: float) -> Iterator[int]:
    """Run the proxy before the first node, inside the administrator's namespace."""
    command = python(str(Path(__file__).with_name("delay.py")), lab.nodes[0].address, "22", str(delay_s))
    with subprocess.Popen(
        ["ip", "netns", "exec", ADMIN_NETNS, *command], stdout=subprocess.PIPE, text=True, env=environment()
    ) as proxy:
        try:
            assert proxy.stdout is not None
            yield int(proxy.stdout.readline())
        finally:
            proxy.kill()


def _through(names: Names, port: int, folder: Path) -> Names:
    """Return the first node as a host behind a wire."""
    first = names.known_hosts.read_text(encoding="ascii").splitlines()[0]
    known = folder / "wire_known_hosts"
    known.write_text(f"[127.0.0.1]:{port} {first.partition(' ')[2]}\n", encoding="ascii")
    inventory = folder / "wire.yaml"
    loaded = json.loads(names.inventory.read_text(encoding="utf-8"))
    variables = {**loaded["nodes"]["vars"], "skoop_known_hosts": str(known), "ansible_port": port}
    hosts = {"far": {"ansible_host": "127.0.0.1"}}
    inventory.write_text(json.dumps({"nodes": {"vars": variables, "hosts": hosts}}), encoding="utf-8")
    return Names({"far": "127.0.0.1"}, known, names.key, inventory)
