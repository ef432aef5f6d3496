"""Building a lab, step by step; whatever happens on the way, nothing is left behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager

from skoopctl.errors import LabError
from skoopctl.lab.apiserver import start_api_server
from skoopctl.lab.cgroups import make_cgroups
from skoopctl.lab.commands import bridge_batch, ip_batch, require_programs, require_root, run
from skoopctl.lab.launch import identity_source, start_hosts, start_pods
from skoopctl.lab.logins import make_keys, write_inventory, write_known_hosts
from skoopctl.lab.network import (
    admin_lines,
    host_lines,
    peer_fdb_lines,
    pod_cable_lines,
    pod_lines,
    switch_lines,
)
from skoopctl.lab.probe import Flow, Outcome, Source, probe_sources
from skoopctl.lab.readiness import DEADLINE_S, SSH_PORT, wait_for_listeners
from skoopctl.lab.rules import load_rules
from skoopctl.lab.statefile import STATE_DIR, LabState, state_held
from skoopctl.lab.teardown import lab_remains, note_netns_dir, take_down
from skoopctl.lab.topology import (
    ADMIN_ADDRESS,
    ADMIN_NETNS,
    OUTSIDE_ADDRESS,
    SWITCH_NETNS,
    LabNode,
    LabOptions,
    LabPod,
    Plan,
    host_netns,
    netns_names,
    plan_lab,
)

WORKERS = 4

Progress = Callable[[str], None]


def build_lab(options: LabOptions, progress: Progress) -> LabState:
    """Build a lab; on any error, and on an interrupt, take down what was built and pass the error on."""
    require_root()
    require_programs()
    plan = plan_lab(options)
    state = LabState(options)
    with _cleaning_up(), state_held():
        state.save()
        _build(plan, state, progress)
        state.phase = "up"
        state.save()
    return state


@contextmanager
def _cleaning_up() -> Iterator[None]:
    """Claim the state directory; take everything down if the body fails or is interrupted.

    Signals wait while the directory is made, so that an interrupt comes either before it or inside ``try``.
    """
    main = threading.current_thread() is threading.main_thread()
    held = {signal.SIGINT, signal.SIGTERM} if main else set()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        _claim()
    except BaseException:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield
    except BaseException:
        take_down()
        raise


def _claim() -> None:
    """Make the state directory, which only one lab can have."""
    there = LabError(
        "a lab is already there",
        hint="skoopctl lab status shows it; skoopctl lab up --replace builds another in its place",
    )
    if lab_remains():
        raise there
    try:
        STATE_DIR.mkdir(mode=0o700)
    except FileExistsError:
        raise there from None


def _build(plan: Plan, state: LabState, progress: Progress) -> None:
    """Do the steps in order."""
    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            _build_hosts(plan, state, pool, progress)
            _build_pods(plan, state, pool, progress)
            progress(f"kube-proxy's rules ({plan.options.proxy})")
            list(pool.map(lambda node: load_rules(plan, node), plan.nodes))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    progress("API server")
    state.api_port = start_api_server(plan)
    state.save()
    progress("waiting until everything answers")
    wait_for_listeners(plan, state.pids)
    _check_reach(plan)


def _build_hosts(plan: Plan, state: LabState, pool: Executor, progress: Progress) -> None:
    """Make the keys, the namespaces, the hosts and the network between them."""
    progress("SSH keys and inventory")
    make_keys(plan, pool)
    write_known_hosts(plan)
    write_inventory(plan)
    progress(f"{len(plan.host_names)} hosts")
    note_netns_dir()
    run(["ip", "-batch", "-"], stdin="".join(f"netns add {name}\n" for name in netns_names(plan.options)))
    cgroup = make_cgroups(plan)
    state.identity = identity_source(cgroup)
    state.pids.update(start_hosts(plan, cgroup))
    state.save()
    progress(f"network ({plan.options.backend})")
    ip_batch(SWITCH_NETNS, switch_lines(plan))
    ip_batch(ADMIN_NETNS, admin_lines())
    list(pool.map(lambda host: ip_batch(host_netns(host), host_lines(plan, host)), plan.host_names))
    list(pool.map(lambda node: bridge_batch(node.netns, peer_fdb_lines(plan, node)), plan.nodes))
    progress(f"{len(plan.pods)} pods")
    state.pids.update(start_pods(plan.pods, state.pids, cgroup))
    state.save()


def _build_pods(plan: Plan, state: LabState, pool: Executor, progress: Progress) -> None:
    """Connect the pods to their nodes' bridges."""
    progress("pods' links")

    def connect(node: LabNode) -> None:
        pods = [pod for pod in plan.pods_on(node.name) if not pod.host_network]
        lines = [line for pod in pods for line in pod_cable_lines(pod, state.pids[pod.key])]
        ip_batch(node.netns, lines)

    def configure(pod: LabPod) -> None:
        ip_batch(f"/proc/{state.pids[pod.key]}/ns/net", pod_lines(plan.node(pod.node), pod))

    list(pool.map(connect, plan.nodes))
    list(pool.map(configure, [pod for pod in plan.pods if not pod.host_network]))


def _check_reach(plan: Plan) -> None:
    """Connect to every SSH server over the lab's own network, as skoopctl will."""
    source = Source("admin", ADMIN_ADDRESS, ADMIN_NETNS)
    addresses = [*(node.address for node in plan.nodes), OUTSIDE_ADDRESS]
    flows = [Flow("tcp", address, SSH_PORT) for address in addresses]
    results = probe_sources({source: flows}, timeout_s=DEADLINE_S)[source.name]
    silent = [result.flow.address for result in results if result.outcome is not Outcome.CONNECTED]
    if silent:
        raise LabError(f"no SSH answer from {', '.join(silent)} over the lab's switch")
