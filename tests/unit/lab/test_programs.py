"""The lab's own programs, as processes on the loopback."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from skoopctl.lab.commands import program_argv

DEADLINE_S = 30.0
TRIES = 3


def free_port() -> int:
    """Return a port that nobody has, neither of TCP nor of UDP."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("", 0))
            port = int(tcp.getsockname()[1])
            with contextlib.suppress(OSError):
                udp.bind(("", port))
                return port


def probe(*flows: tuple[str, str, int], timeout_s: float = 10.0) -> list[list[str]]:
    """Run the prober and return its answer."""
    request = json.dumps({"timeout_s": timeout_s, "flows": flows})
    done = subprocess.run(program_argv("prober"), input=request, capture_output=True, text=True, check=True)
    answer: list[list[str]] = json.loads(done.stdout)
    return answer


def wait_for(port: int, wanted: str, process: subprocess.Popen[bytes]) -> bool:
    """Wait until a TCP port of the loopback gives the wanted outcome; return whether its process is there, too."""
    deadline = time.monotonic() + DEADLINE_S
    while process.poll() is None and probe(("tcp", "127.0.0.1", port))[0][0] != wanted:
        assert time.monotonic() < deadline, f"port {port} is not {wanted}"
    return process.poll() is None


@pytest.fixture
def responder() -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Run a responder named ``web-a`` on a free port; where somebody was faster, on another one."""
    for _ in range(TRIES):
        port = free_port()
        argv = program_argv("responder", "web-a", "--tcp", str(port), "--udp", str(port), "--uid", "u")
        with subprocess.Popen(argv) as process:
            try:
                if wait_for(port, "connected", process):
                    yield port, process
                    return
            finally:
                process.kill()
    pytest.fail(f"no responder came up, {TRIES} times")


def test_the_prober_tells_who_answered_and_whom_it_saw(
    responder: tuple[int, subprocess.Popen[bytes]],
) -> None:
    """Over TCP and UDP alike, the answer names the responder and the source address that it saw."""
    port, _ = responder
    flows = [("tcp", "127.0.0.1", port), ("udp", "127.0.0.1", port), ("udp", "127.0.0.2", port)]
    assert probe(*flows) == [["connected", "web-a", "127.0.0.1"]] * 3


def test_closed_ports_are_refused_and_silent_ones_time_out() -> None:
    """Refused, silent and answered flows are told apart in one go, in order, for the price of one timeout."""
    closed = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        start = time.monotonic()
        flows = [
            ("tcp", "127.0.0.1", closed),
            ("udp", "127.0.0.1", closed),
            *[("udp", "127.0.0.1", int(silent.getsockname()[1]))] * 20,
        ]
        results = probe(*flows, timeout_s=0.5)
    assert [row[0] for row in results] == ["refused", "refused", *["timeout"] * 20]
    assert time.monotonic() - start < 5


def test_another_protocols_greeting_is_no_name() -> None:
    """A server that greets in its own way is connected, without a name."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        request = json.dumps({"timeout_s": 2, "flows": [["tcp", "127.0.0.1", server.getsockname()[1]]]})
        with subprocess.Popen(
            program_argv("prober"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            with contextlib.suppress(BrokenPipeError):
                assert child.stdin is not None
                child.stdin.write(request)
                child.stdin.close()
                child.stdin = None
            peer, _ = server.accept()
            with peer:
                peer.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n")
            out, _ = child.communicate(timeout=DEADLINE_S)
    assert json.loads(out) == [["connected", "", ""]]


def test_a_responder_closes_and_opens_its_ports_on_signals(
    responder: tuple[int, subprocess.Popen[bytes]],
) -> None:
    """The fault of a listener that is gone keeps the process, and so the pod's network namespace."""
    port, process = responder
    process.send_signal(signal.SIGUSR1)
    assert wait_for(port, "refused", process)
    process.send_signal(signal.SIGUSR2)
    assert wait_for(port, "connected", process)


def test_spawn_says_what_failed_in_one_line() -> None:
    """A namespace that is not there is one line on stderr and a failure."""
    request = json.dumps({"namespaces": [{"name": "x", "netns": "/run/netns/skoop-nowhere", "sysctls": {}}]})
    done = subprocess.run(program_argv("spawn"), input=request, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert "skoop-nowhere" in done.stderr
