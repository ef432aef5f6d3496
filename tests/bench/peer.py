"""Ansible as it is to be compared with: at its best settings, and leaving nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from skoopctl.errors import UsageError
from skoopctl.lab import Lab
from tests.bench.setting import CHECKOUT, Setting, environment
from tests.bench.stopwatch import GRACE_S, MeasurementError, Run, run

VARIABLE = "SKOOP_BENCH_ANSIBLE"
FORKS = 50
ADMIN_NETNS = "skoop-lab"
CONFIG = """\
[defaults]
forks = {forks}
gathering = explicit
host_key_checking = True
interpreter_python = /usr/bin/python3
home = {home}
local_tmp = {home}/local
remote_tmp = {home}/remote
retry_files_enabled = False
nocolor = True

[connection]
pipelining = True

[ssh_connection]
control_path_dir = {home}/cp
ssh_common_args = -F none -o GlobalKnownHostsFile=/dev/null -o UserKnownHostsFile={known_hosts}
"""


def find_ansible() -> Path:
    """Return the ansible command: of the environment, of .venv-bench, or on PATH."""
    named = os.environ.get(VARIABLE)
    if named:
        if not os.access(named, os.X_OK):
            raise UsageError(f"{VARIABLE}={named}: there is no such program")
        return Path(named)
    beside = (CHECKOUT / ".venv-bench" / "bin" / "ansible", Path(sys.executable).with_name("ansible"))
    for candidate in beside:
        if candidate.is_file():
            return candidate
    found = shutil.which("ansible")
    if found is None:
        raise UsageError(
            "ansible is not here", hint=f"'make bench' installs it; or set {VARIABLE} to its path"
        )
    return Path(found)


def ansible_version(setting: Setting, ansible: Path) -> Run:
    """Run ``ansible --version``."""
    return run([str(ansible), "--version"], env=_environment(setting.folder))


def _environment(home: Path) -> dict[str, str]:
    """Return an environment in which ansible writes below ``home`` and nowhere else."""
    return {**environment(), "ANSIBLE_HOME": str(home), "ANSIBLE_LOCAL_TEMP": str(home / "local")}


@dataclass(frozen=True, slots=True)
class Peer:
    """Ansible set up for one lab."""

    ansible: Path
    lab: Lab
    home: Path
    inventory: Path
    expected: int
    """How many hosts of the group ``nodes`` must answer."""

    @classmethod
    def prepare(cls, ansible: Path, lab: Lab, folder: Path) -> Peer:
        """Write its configuration into ``folder``."""
        known_hosts = lab.inventory.with_name("known_hosts")
        config = CONFIG.format(forks=FORKS, home=folder, known_hosts=known_hosts)
        (folder / "ansible.cfg").write_text(config, encoding="utf-8")
        return cls(ansible, lab, folder, lab.inventory, len(lab.nodes))

    def ping(self) -> Run:
        """Ping every node of the lab; connections that stayed open from an earlier run are used again."""
        env = {**_environment(self.home), "ANSIBLE_CONFIG": str(self.home / "ansible.cfg")}
        command = [str(self.ansible), "-i", str(self.inventory), "-m", "ping", "-f", str(FORKS), "nodes"]
        done = run(["ip", "netns", "exec", ADMIN_NETNS, *command], env=env, cwd=self.home)
        answered = done.stdout.count("| SUCCESS =>")
        if answered != self.expected:
            raise MeasurementError(f"ansible -m ping: {answered} of {self.expected} nodes answered")
        return done

    @contextmanager
    def from_scratch(self) -> Iterator[None]:
        """Begin without open connections, and close those that are opened meanwhile."""
        self.close_connections()
        try:
            yield
        finally:
            self.close_connections()

    def close_connections(self) -> None:
        """Tell every ssh process that ansible left in the background to end, and wait until it did."""
        folder = self.home / "cp"
        sockets = list(folder.iterdir()) if folder.is_dir() else []
        for socket in sockets:
            argv = ["ssh", "-F", "none", "-o", f"ControlPath={socket}", "-O", "exit", "lab"]
            subprocess.run(argv, check=False, capture_output=True)
        deadline = time.monotonic() + GRACE_S
        while any(socket.exists() for socket in sockets):
            if time.monotonic() > deadline:
                raise MeasurementError(f"ssh left in the background by ansible does not end: {folder}")
            time.sleep(0.01)
