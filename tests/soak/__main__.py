"""``make soak``: two minutes of kills over the lab; ``--seconds`` and ``--seed`` say otherwise."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from skoopctl.lab import down, up
from skoopctl.lab.processes import lab_processes
from tests.services.push_process import Pushing
from tests.soak.chaos import INTERVAL_S, Chaos, Server
from tests.soak.soak import CLUSTER, soak


def main() -> int:
    """Run it; 1 if something was not as it must be."""
    asked = argparse.ArgumentParser(prog="make soak", description=__doc__)
    asked.add_argument("--seconds", type=float, default=120.0)
    asked.add_argument("--seed", type=int, default=1)
    words = asked.parse_args()
    lab = up()
    try:
        with tempfile.TemporaryDirectory(prefix="skoopctl-soak-") as place:
            folder = Path(place)
            service = Pushing(
                folder,
                {
                    "inventories": [str(lab.inventory)],
                    "kubeconfig": str(lab.kubeconfig),
                    "hosts": "nodes",
                    "cluster": CLUSTER,
                    "interval": INTERVAL_S,
                },
            )
            leaver = lab.nodes[-1].name

            def chaos(gateway: Server) -> Chaos:
                lot = random.Random(words.seed)
                return Chaos(service, gateway, sessions, lambda: service.write(hosts=f"nodes:!{leaver}"), lot)

            try:
                soak(folder, service, chaos, nodes=len(lab.nodes), seconds=words.seconds, tell=say)
            except AssertionError:
                say("the last words of push:\n" + "\n".join(service.log.splitlines()[-20:]))
                raise
    except AssertionError as wrong:
        say(f"seed {words.seed}: {wrong}")
        return 1
    finally:
        down()
    return 0


def sessions() -> set[int]:
    """Return the lab's node programs, and the servers of the sessions that they run in."""
    return {pid for pid in lab_processes() if _is_session(pid)}


def _is_session(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:
        return False
    return b" -I -S -B " in words or b"sshd: root@" in words


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"soak: {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
