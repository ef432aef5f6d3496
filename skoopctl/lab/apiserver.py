"""Starting the lab's API server (``programs/api_server.py``), and the kubeconfig for it."""

from __future__ import annotations

import json
import subprocess

from skoopctl.errors import LabError
from skoopctl.lab.commands import environment, program_argv
from skoopctl.lab.objects import VERSION, api_objects
from skoopctl.lab.statefile import STATE_DIR
from skoopctl.lab.topology import Plan

VERSION_INFO = {
    "major": "1",
    "minor": VERSION.split(".")[1],
    "gitVersion": VERSION,
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}


def start_api_server(plan: Plan) -> int:
    """Start a server for the plan's objects on 127.0.0.1, write the kubeconfig, and return the port."""
    request = json.dumps({"version": VERSION_INFO, "objects": api_objects(plan)})
    log = STATE_DIR / "apiserver.log"
    with log.open("wb") as errors:
        server = subprocess.Popen(
            program_argv("api_server"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment(),
            start_new_session=True,
            cwd="/",
        )
    assert server.stdin is not None  # noqa: S101 - asked for as a pipe
    assert server.stdout is not None  # noqa: S101 - the same
    with server.stdin as stdin, server.stdout as stdout:
        stdin.write(request)
        stdin.close()
        answer = stdout.readline()
    # It goes on by itself; Popen would warn about a child that nobody waited for.
    server.returncode = 0
    if not answer:
        last = (
            log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["it said nothing"]
        )[-1]
        raise LabError(f"the lab's API server did not start: {last}")
    port = int(json.loads(answer)["port"])
    (STATE_DIR / "kubeconfig").write_text(kubeconfig_text(port), encoding="utf-8")
    return port


def kubeconfig_text(port: int) -> str:
    """Return a kubeconfig for the server on ``port``: plain HTTP on the loopback, nobody logs in."""
    return f"""\
apiVersion: v1
kind: Config
current-context: skoop-lab
clusters:
- name: skoop-lab
  cluster:
    server: http://127.0.0.1:{port}
contexts:
- name: skoop-lab
  context: {{cluster: skoop-lab, user: skoop-lab}}
users:
- name: skoop-lab
  user: {{}}
"""
