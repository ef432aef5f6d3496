"""`node prepare` behind bastions: real OpenSSH servers, where the node can be reached from the bastion only."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from sshd_host import SERVER, SshdHost, in_time, new_host, wait_for

from skoopctl.errors import UnreachableError
from skoopctl.inventory import InventoryHost
from skoopctl.prepare.session import session

pytestmark = pytest.mark.lab

NODES, SECOND, CLOSED, NOBODY = 2401, 2402, 2403, 2404
BASTION = f"root@{SERVER}"


@pytest.fixture(scope="module")
def sshd() -> Iterator[SshdHost]:
    """Start a bastion, a second one and a node behind it, and a bastion that carries nothing."""
    with new_host() as host:
        for port, *options in ((22,), (NODES,), (SECOND,), (CLOSED, "AllowTcpForwarding=no")):
            host.start(int(port), *(str(option) for option in options))
        public = " ".join((host.folder / "host_key.pub").read_text().split()[:2])
        host.known_hosts.write_text(f"* {public}\n")
        yield host


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever runs the tests has no say: neither an SSH configuration nor an agent."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def behind(sshd: SshdHost, **changes: Any) -> InventoryHost:
    """Return a node that only the bastion reaches: an address of its loopback."""
    return sshd.target(**{"name": "n1", "address": "127.1.0.1", "port": NODES, "jump": BASTION} | changes)


@pytest.mark.parametrize("way", [BASTION, f"{BASTION},root@127.0.0.1:{SECOND}"])
def test_a_node_behind_bastions_is_logged_in_to(sshd: SshdHost, way: str) -> None:
    """Commands run there, their whole output comes back, and nothing stays: no connection and no thread."""
    wait_for(lambda: sshd.connections(22) == 0, "the end of an earlier session's connection")
    before = set(threading.enumerate())
    with session(behind(sshd, jump=way)) as opened:
        assert len(opened.run(("seq", "200000")).stdout) == 1_288_895
        assert sshd.connections(22) == 1
    wait_for(lambda: sshd.connections(22) == 0, "the end of the bastion's connection", in_time(2))
    wait_for(lambda: set(threading.enumerate()) <= before, "the end of all threads", in_time(2))


def test_a_bastion_of_the_ssh_configuration_is_used(sshd: SshdHost, tmp_path: Path) -> None:
    """ProxyJump of ~/.ssh/config counts where the inventory says nothing of it."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text(f"Host 127.1.*\n  ProxyJump {BASTION}\n")
    with session(behind(sshd, jump=None)) as opened:
        assert opened.run(("echo", "there")).stdout == "there\n"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"jump": f"root@{SERVER}:{CLOSED}"},
            f"bastion root@{SERVER}:{CLOSED} does not reach 127.1.0.1:{NODES}",
        ),
        ({"port": NOBODY}, f"bastion {BASTION} does not reach 127.1.0.1:{NOBODY}: Connection refused"),
        ({"jump": f"root@{SERVER}:{NOBODY}"}, f"bastion root@{SERVER}:{NOBODY}: "),
    ],
    ids=["carries-nothing", "node-refuses", "bastion-refuses"],
)
def test_a_way_that_ends_is_said(sshd: SshdHost, changes: dict[str, Any], said: str) -> None:
    """The row names the bastion, and what it said of the node; no connection stays."""
    with pytest.raises(UnreachableError) as caught, session(behind(sshd, **changes)):
        pass

    assert caught.value.host == "n1"
    assert said in str(caught.value)
    wait_for(lambda: sshd.connections(22) == 0, "the end of the bastion's connection", in_time(2))


def test_a_bastion_with_another_key_is_not_used(sshd: SshdHost, tmp_path: Path) -> None:
    """Its host key is checked as the node's is: nothing is sent to one that is not known."""
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.1.0.1]:{NODES} {sshd.known_hosts.read_text().partition(' ')[2]}")
    with (
        pytest.raises(Exception, match=f"bastion {BASTION}: .*not known") as caught,
        session(behind(sshd, known_hosts=str(known))),
    ):
        pass

    assert type(caught.value).__name__ == "HostKeyError"
