"""Running the programs that build the lab: ``ip``, ``bridge``, ``iptables-restore`` and the like.

Every child has the lab's marker in its environment and a session of its own, so that a crashed build can be
found and an interrupt at the terminal reaches only the process that can clean up.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from skoopctl.errors import LabError

MARKER = "SKOOPCTL_LAB"
PROGRAMS = Path(__file__).parent / "programs"
NETNS_DIR = Path("/run/netns")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

PACKAGES = {
    "bridge": "iproute2",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "iptables-legacy-restore": "iptables",
    "iptables-nft-restore": "iptables",
    "nfacct": "nfacct",
    "nft": "nftables",
    "nsenter": "util-linux",
    "ssh-keygen": "openssh-client",
    "sshd": "openssh-server",
}
"""The programs that the lab needs, and the Debian packages that have them."""


def require_programs() -> None:
    """Raise LabError if a program is missing, and name the packages to install."""
    missing = [name for name in PACKAGES if not shutil.which(name, path=SYSTEM_PATH)]
    if missing:
        packages = " ".join(sorted({PACKAGES[name] for name in missing}))
        raise LabError(f"missing programs: {', '.join(missing)}", hint=f"apt-get install {packages}")


def require_root() -> None:
    """Raise LabError unless this process may make namespaces."""
    if os.geteuid() != 0:
        raise LabError("the lab makes network namespaces, which takes root", hint="run it with sudo")


def find_program(name: str) -> str:
    """Return the full path of a program."""
    path = shutil.which(name, path=SYSTEM_PATH)
    if not path:
        raise LabError(f"missing program {name}", hint=f"apt-get install {PACKAGES.get(name, name)}")
    return path


def environment() -> dict[str, str]:
    """Return the environment of the lab's processes."""
    return {"PATH": SYSTEM_PATH, "LANG": "C.UTF-8", MARKER: "1"}


def run(argv: Sequence[str], *, stdin: str = "") -> str:
    """Run a command to its end and return what it printed; LabError with its own words if it fails."""
    done = subprocess.run(
        argv,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        start_new_session=True,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise LabError(f"{' '.join(argv)}: {'; '.join(said[:3]) or f'exit status {done.returncode}'}")
    return done.stdout


def run_in(netns: str, argv: Sequence[str], *, stdin: str = "") -> str:
    """Run a command in a network namespace: a name of ``ip netns``, or a path such as ``/proc/42/ns/net``."""
    path = netns if netns.startswith("/") else str(NETNS_DIR / netns)
    return run(["nsenter", f"--net={path}", "--", *argv], stdin=stdin)


def ip_batch(netns: str, lines: Sequence[str]) -> None:
    """Run lines of ``ip`` in a network namespace, in one process; the first failure ends it."""
    if lines:
        run_in(netns, ["ip", "-batch", "-"], stdin="\n".join([*lines, ""]))


def bridge_batch(netns: str, lines: Sequence[str]) -> None:
    """Run lines of ``bridge`` in a network namespace, in one process."""
    if lines:
        run_in(netns, ["bridge", "-batch", "-"], stdin="\n".join([*lines, ""]))


def program_argv(name: str, *arguments: str) -> list[str]:
    """Return the command line of one of the lab's own programs: isolated, without site packages."""
    return [sys.executable, "-I", "-S", "-B", str(PROGRAMS / f"{name}.py"), *arguments]
