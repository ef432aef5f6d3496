"""Installing and removing on a real Debian: a real SSH server, apt and dpkg, on an overlay of this machine's root.

The node's file system is an overlay in the mount namespace of its SSH server, with a repository of packages that
are made here; this machine's own files are below it and are never written.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))
from sshd_host import SERVER, SshdHost, keypair, processes, run, sshd_host, wait_for

from skoopctl.cli.node import node as node_command
from skoopctl.errors import HostKeyError, UnreachableError
from skoopctl.inventory import InventoryHost
from skoopctl.prepare import clean, install
from skoopctl.prepare.record import Record
from skoopctl.prepare.row import Row, State
from skoopctl.prepare.session import session

DPKG = Path("/var/lib/dpkg/status")

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces"),
    pytest.mark.skipif(not DPKG.exists() or not shutil.which("apt-get"), reason="this is not a Debian"),
]

USERS = "skt-admin:*:4712:4712::/:/bin/sh\nskt-user:*:4711:4711::/:/bin/sh\n"
SUDOERS = "root ALL=(ALL:ALL) ALL\nskt-admin ALL=(root) NOPASSWD: ALL\n"
PACKAGES: dict[str, dict[str, str]] = {
    "ipvsadm": {"Depends": "skt-ipvsadm-data (>= 1)"},
    "skt-ipvsadm-data": {},
    "skt-uses-ipvsadm": {"Depends": "ipvsadm"},
    "skt-present": {"Version": "1"},
    "ipset": {"Depends": "skt-present (>= 2)"},
    "conntrack": {"Conflicts": "skt-present"},
    "python3-bpfcc": {},
    f"linux-headers-{os.uname().release}-extra": {},
}
OURS = ("ipvsadm", "skt-ipvsadm-data")
SETUP = r"""
set -e
export DEBIAN_FRONTEND=noninteractive
rm -rf /etc/apt/sources.list.d/* /etc/apt/apt.conf.d/* /etc/apt/preferences.d/* /var/lib/apt/lists/*
echo 'deb [trusted=yes] file:REPOSITORY ./' > /etc/apt/sources.list
python3 - <<'END'
import re
path = "/var/lib/dpkg/status"
rows = open(path).read().split("\n\n")
ours = re.compile(r"^Package: (ipvsadm|ipset|conntrack|python3-bpfcc|linux-headers-.*|skt-.*)$", re.M)
open(path, "w").write("\n\n".join(row for row in rows if not ours.search(row)))
END
apt-get -q update
dpkg -i REPOSITORY/skt-present.deb
"""


@dataclass
class DebianNode(SshdHost):
    """A host whose root is an overlay: what is written there, is written into memory that goes with it."""

    first: int = 0
    """The first process of the node, as this machine knows it."""

    def _spawn(self, port: int, before: str, words: list[str]) -> subprocess.Popen[bytes]:
        (self.folder / "setup.sh").write_text(SETUP.replace("REPOSITORY", str(self.folder / "repository")))
        root = self.folder / "root"
        root.mkdir()
        own_root = textwrap.dedent(f"""\
            set -e; mount -t tmpfs none {root}; cd {root}; mkdir upper work merged
            mount -t overlay none -o lowerdir=/,upperdir=upper,workdir=work merged; cd merged
            for folder in proc dev sys; do mount --rbind /$folder $folder; done
            mkdir -p run/sshd .{self.folder} .old; mount --bind {self.folder} .{self.folder}
            pivot_root . .old; umount -l /.old
            sh {self.folder}/setup.sh > {self.folder}/setup-{port}.log 2>&1
            """)
        process = super()._spawn(port, own_root + before, words)
        self.first = process.pid
        return process

    def shell(self, command: str) -> str:
        """Run a shell command on the node; return what it said."""
        child = Path(f"/proc/{self.first}/task/{self.first}/children").read_text().split()[0]
        return run("nsenter", "-t", child, "-m", "-p", "-n", "sh", "-c", command)

    def installed(self) -> set[str]:
        """Return which packages of the repository are installed, or have left settings behind."""
        said = self.shell(r"dpkg-query -W -f='${Package} ${db:Status-Status}\n'")
        rows = dict(line.split(" ", 1) for line in said.splitlines())
        return {name for name in PACKAGES if rows.get(name, "not-installed") != "not-installed"}


def build(folder: Path) -> None:
    """Make the packages and the index of a repository."""
    folder.mkdir()
    index = []
    for name, more in PACKAGES.items():
        tree = folder / "tree" / name
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "etc").mkdir()
        (tree / "etc" / f"{name}.skt").write_text(f"{name}\n")
        fields = {
            "Package": name,
            "Version": "1",
            "Architecture": "all",
            "Maintainer": "skt <skt@example.org>",
            "Description": "a package of a test",
            **more,
        }
        control = "".join(f"{key}: {value}\n" for key, value in fields.items())
        (tree / "DEBIAN" / "control").write_text(control)
        (tree / "DEBIAN" / "conffiles").write_text(f"/etc/{name}.skt\n")
        file = folder / f"{name}.deb"
        run("dpkg-deb", "--root-owner-group", "-Znone", "-b", str(tree), str(file))
        data = file.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        index.append(f"{control}Filename: ./{file.name}\nSize: {len(data)}\nSHA256: {digest}\n")
        if name == "skt-present":
            index.append(index[-1].replace("Version: 1", "Version: 2"))
    (folder / "Packages").write_text("\n".join(index))


@pytest.fixture
def debian() -> Iterator[DebianNode]:
    """Start a node on which nothing was installed yet, and see that this machine has not changed after it."""
    before = (DPKG.read_bytes(), sorted(Path("/etc").iterdir()))
    with tempfile.TemporaryDirectory(prefix="skp-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        build(folder / "repository")
        with sshd_host(folder, f"skp{os.getpid() % 100_000}") as plain:
            host = DebianNode(folder, plain.client, plain.server)
            try:
                host.start(22, users=USERS, sudoers=SUDOERS)
                yield host
            finally:
                host.stop()
    assert (DPKG.read_bytes(), sorted(Path("/etc").iterdir())) == before


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever runs the tests has no say, and has no record."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def target(debian: SshdHost, **changes: Any) -> InventoryHost:
    """Return the node as an inventory host."""
    host = InventoryHost(
        name="node1",
        address=SERVER,
        user="root",
        key_file=str(debian.user_key),
        known_hosts=str(debian.known_hosts),
        netns=debian.client,
    )
    return replace(host, **changes)


def prepared(host: InventoryHost, *names: str) -> Row:
    """Install, as the command does: what was shown first."""
    shown = install.plan(host, names)
    assert shown.state is State.PLANNED, shown
    return install.install(host, names, shown, Record())


def cleaned(host: InventoryHost) -> Row:
    """Remove, as the command does."""
    shown = clean.plan(host, Record(), forget=True)
    return clean.clean(host, shown, Record()) if shown.state is State.PLANNED else shown


def test_what_is_installed_is_taken_away_again(debian: DebianNode) -> None:
    """Prepare installs a package and what it depends on, clean removes both with their settings, and no others."""
    host = target(debian)
    row = prepared(host, "ipvsadm")
    assert (row.state, row.packages) == (State.DONE, OURS)
    assert debian.installed() == {*OURS, "skt-present"}
    row = cleaned(host)
    assert (row.state, row.packages) == (State.DONE, OURS)
    assert debian.installed() == {"skt-present"}
    assert debian.shell("ls /etc/*.skt") == "/etc/skt-present.skt\n"
    assert cleaned(host).state is State.NOTHING


def test_a_plan_touches_nothing(debian: DebianNode, tmp_path: Path) -> None:
    """Looking shows the command in full, installs nothing, and writes nothing on the workstation either."""
    row = install.plan(target(debian), ["ipvsadm"])
    assert (row.state, row.packages) == (State.PLANNED, OURS)
    assert shlex.join(row.commands[0]).endswith("install -- ipvsadm")
    assert debian.installed() == {"skt-present"}
    assert not (tmp_path / "state").exists()


def test_sudo_is_used_where_the_inventory_says_so(debian: DebianNode) -> None:
    """An administrator installs with sudo -n; a user whom sudo refuses is told, and nothing happens."""
    row = prepared(target(debian, user="skt-admin", become=True), "ipvsadm")
    assert row.state is State.DONE
    assert row.commands[0][:3] == ("sudo", "-n", "--")
    refused = install.plan(target(debian, user="skt-user", become=True), ["ipvsadm"])
    assert refused.state is State.UNREACHABLE
    assert "sudo did not make us root" in refused.detail
    plain = install.plan(target(debian, user="skt-user"), ["ipvsadm"])
    assert "the login is not root" in plain.detail


@pytest.mark.parametrize("name", ["ipset", "conntrack"], ids=["newer", "conflict"])
def test_what_is_there_is_never_changed(debian: DebianNode, name: str) -> None:
    """A package that would update or remove one that is there is not installed, and that one is named."""
    row = install.plan(target(debian), [name])
    assert row.state is State.REFUSED
    assert "skt-present" in row.detail
    assert debian.installed() == {"skt-present"}


def test_a_name_is_not_a_pattern(debian: DebianNode) -> None:
    """When the running kernel's headers are not in the repository, nothing with a similar name is taken for them."""
    row = install.plan(target(debian), ["bcc"])
    assert row.state is State.REFUSED
    assert f"linux-headers-{os.uname().release}" in row.detail
    assert debian.installed() == {"skt-present"}


def test_what_others_need_by_now_stays(debian: DebianNode) -> None:
    """When something else depends on ours by now, clean removes nothing and names it."""
    host = target(debian)
    prepared(host, "ipvsadm")
    debian.shell("apt-get -q -y install skt-uses-ipvsadm")
    row = cleaned(host)
    assert row.state is State.REFUSED
    assert "skt-uses-ipvsadm, which skoopctl has not installed" in row.detail
    assert debian.installed() == {*OURS, "skt-present", "skt-uses-ipvsadm"}


def test_what_was_there_before_is_not_on_record(debian: DebianNode) -> None:
    """A dependency that was there is kept by clean; so are settings that an earlier installation has left."""
    host = target(debian)
    debian.shell("apt-get -q -y install ipvsadm && apt-get -q -y remove ipvsadm")
    row = prepared(host, "ipvsadm")
    assert row.packages == ("ipvsadm",)
    assert cleaned(host).state is State.DONE
    assert debian.shell("ls /etc/ipvsadm.skt /etc/skt-ipvsadm-data.skt").count("\n") == 2


def test_what_somebody_removed_is_forgotten(debian: DebianNode) -> None:
    """A package that was removed by hand, and installed again by hand after a look, is no longer ours."""
    host = target(debian)
    prepared(host, "ipvsadm")
    debian.shell("apt-get -q -y purge ipvsadm skt-ipvsadm-data")
    assert cleaned(host).state is State.NOTHING
    debian.shell("apt-get -q -y install ipvsadm")
    assert cleaned(host).state is State.NOTHING
    assert debian.installed() == {*OURS, "skt-present"}


def test_a_run_that_was_cut_off_is_cleaned_up_after(debian: DebianNode) -> None:
    """What was about to be installed when the workstation died is on record, and is removed if it has come."""
    host = target(debian)
    prepared(host, "ipvsadm")
    record = Record()
    entry = record.of_node("node1")[0]
    record.removed(entry, entry.packages)
    record.begin(replace(entry, packages=()), OURS, ())
    assert cleaned(host).state is State.DONE
    assert debian.installed() == {"skt-present"}


def test_another_machine_of_the_same_name_is_left_alone(debian: DebianNode) -> None:
    """A node that was set up anew has another machine-id: what is on it is not ours."""
    host = target(debian)
    prepared(host, "ipvsadm")
    debian.shell(f"echo {'0' * 31}7 > /etc/machine-id")
    row = cleaned(host)
    assert row.state is State.REFUSED
    assert "another machine" in row.detail
    assert debian.installed() == {*OURS, "skt-present"}


def test_a_plan_that_no_longer_holds_is_not_carried_out(debian: DebianNode) -> None:
    """When the node has changed since people agreed, nothing is done."""
    host = target(debian)
    shown = install.plan(host, ["ipvsadm"])
    debian.shell("apt-get -q -y install skt-ipvsadm-data")
    row = install.install(host, ["ipvsadm"], shown, Record())
    assert row.state is State.REFUSED
    assert debian.installed() == {"skt-ipvsadm-data", "skt-present"}


def test_a_package_that_fails_is_a_row(debian: DebianNode) -> None:
    """What the package manager says of its failure stands in the row, and what came all the same is on record."""
    host = target(debian)
    shown = install.plan(host, ["ipvsadm"])
    debian.shell("mount -t tmpfs -o size=4k,nr_inodes=1 none /etc/alternatives")
    debian.shell(f"rm {debian.folder}/repository/ipvsadm.deb")
    row = install.install(host, ["ipvsadm"], shown, Record())
    assert row.state is State.FAILED
    assert row.detail.startswith("E: ")
    assert debian.installed() == {"skt-present"}


def test_a_distribution_without_a_table_is_refused(debian: DebianNode) -> None:
    """Nothing is guessed about a distribution that is not known."""
    debian.shell("rm /etc/os-release; echo ID=plan9 > /etc/os-release")
    row = install.plan(target(debian), ["ipvsadm"])
    assert row.state is State.REFUSED
    assert "'plan9'" in row.detail


def invoke(debian: DebianNode, tmp_path: Path, *words: str) -> Any:
    """Run the command with an inventory of the node and one that is not there."""
    lines = [
        "all:",
        "  vars:",
        f"    ansible_ssh_private_key_file: {debian.user_key}",
        f"    skoop_known_hosts: {debian.known_hosts}",
        f"    skoop_netns: {debian.client}",
        "    ansible_user: root",
        "  hosts:",
        f"    node1: {{ansible_host: {SERVER}}}",
        f"    gone: {{ansible_host: {SERVER}, ansible_port: 4}}",
    ]
    (tmp_path / "hosts.yaml").write_text("\n".join(lines) + "\n")
    return CliRunner().invoke(
        node_command, [*words, "-i", str(tmp_path / "hosts.yaml")], standalone_mode=False
    )


def test_the_commands_from_end_to_end(debian: DebianNode, tmp_path: Path) -> None:
    """Check shows, --yes does, a node that is not there costs its own row and status 3, and clean ends it."""
    checked = invoke(debian, tmp_path, "prepare", "-l", "all", "--packages", "ipvsadm", "--check")
    assert checked.return_value == 3
    assert "apt-get -q -y" in checked.stdout
    assert "gone: unreachable: nothing listens on" in checked.stdout
    assert debian.installed() == {"skt-present"}
    done = invoke(debian, tmp_path, "prepare", "-l", "node1", "--packages", "ipvsadm", "--yes", "--json")
    printed = json.loads(done.stdout)
    assert printed["nodes"][0]["state"] == "done"
    assert printed["nodes"][0]["packages"] == list(OURS)
    file = tmp_path / "state" / "skoopctl" / "prepared.json"
    assert file.stat().st_mode & 0o777 == 0o600
    cleaned_up = invoke(debian, tmp_path, "clean", "-l", "node1", "--yes")
    assert cleaned_up.return_value == 0
    assert "node1: done: 2 packages removed" in cleaned_up.stdout
    assert debian.installed() == {"skt-present"}


@pytest.fixture(scope="module")
def sshd() -> Iterator[SshdHost]:
    """Start a plain server, for what is about the login alone."""
    with tempfile.TemporaryDirectory(prefix="skp-") as name:
        Path(name).chmod(0o755)
        with sshd_host(Path(name), f"skq{os.getpid() % 100_000}") as host:
            host.start(22)
            host.start(2222)
            yield host


@pytest.mark.parametrize("port", [22, 2222])
def test_a_known_host_is_logged_in_to(sshd: SshdHost, port: int) -> None:
    """With its key in known_hosts a server is trusted, on its own port and on another."""
    with session(target(sshd, port=port, port_given=True)) as opened:
        assert opened.run(("echo", "it's", "$HOME")).stdout == "it's $HOME\n"


RELAY = """
import os, socket, sys, threading, time
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def out():
    while data := sock.recv(65536): os.write(1, data)
threading.Thread(target=out, daemon=True).start()
while data := os.read(0, 65536): sock.sendall(data)
time.sleep(1000)
"""


def test_a_proxy_command_is_the_way(sshd: SshdHost, tmp_path: Path) -> None:
    """A ProxyCommand of ~/.ssh/config is used, and is ended with the session, also one that would stay."""
    (tmp_path / ".ssh").mkdir()
    relay = tmp_path / "relay.py"
    relay.write_text(RELAY)
    command = f"ip netns exec {sshd.client} {sys.executable} {relay} %h %p"
    (tmp_path / ".ssh" / "config").write_text(f"Host *\n  ProxyCommand {command}\n")
    with session(target(sshd, netns=None)) as opened:
        assert opened.run(("echo", "there")).stdout == "there\n"
    wait_for(lambda: not processes(str(relay)), "the proxy to end")


def test_the_keys_of_the_home_are_offered(sshd: SshdHost, tmp_path: Path) -> None:
    """Without a key in the inventory, the usual files count, and those that ~/.ssh/config names."""
    (tmp_path / ".ssh").mkdir()
    key = tmp_path / ".ssh" / "id_ed25519"
    shutil.copy(sshd.user_key, key)
    with session(target(sshd, key_file=None)) as opened:
        assert opened.run(("true",)).status == 0
    key.rename(tmp_path / "elsewhere")
    (tmp_path / ".ssh" / "config").write_text(f"Host *\n  IdentityFile {tmp_path}/elsewhere\n")
    with session(target(sshd, key_file=None)) as opened:
        assert opened.run(("true",)).status == 0


def test_an_unknown_host_key_ends_it(sshd: SshdHost, tmp_path: Path) -> None:
    """A server whose key is not in known_hosts is refused, and no file learns it."""
    known = tmp_path / "known_hosts"
    known.write_text("")
    with pytest.raises(HostKeyError, match="not known"), session(target(sshd, known_hosts=str(known))):
        pass
    assert known.read_text() == ""
    assert not (tmp_path / ".ssh").exists()


def test_a_changed_host_key_ends_it(sshd: SshdHost, tmp_path: Path) -> None:
    """A server that shows another key of the same kind than the known one is refused."""
    other = " ".join(keypair(tmp_path / "other").with_suffix(".pub").read_text().split()[:2])
    known = tmp_path / "known_hosts"
    known.write_text(f"{SERVER} {other}\n")
    with pytest.raises(HostKeyError, match="HAS CHANGED"), session(target(sshd, known_hosts=str(known))):
        pass


def test_a_revoked_host_key_ends_it(sshd: SshdHost, tmp_path: Path) -> None:
    """A key that known_hosts revokes is not trusted, although another line has it."""
    line = sshd.known_hosts.read_text()
    known = tmp_path / "known_hosts"
    known.write_text(f"{line}@revoked {line}")
    with pytest.raises(HostKeyError), session(target(sshd, known_hosts=str(known))):
        pass


def test_a_refused_key_is_said(sshd: SshdHost, tmp_path: Path) -> None:
    """A key that the server does not accept is a row of its own kind."""
    row = install.plan(target(sshd, key_file=str(keypair(tmp_path / "mine"))), ["nft"])
    assert row.state is State.UNREACHABLE
    assert "the login was refused" in row.detail


def test_a_server_that_says_nothing_costs_its_deadline_only(
    sshd: SshdHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port that accepts and stays silent ends the login in time."""
    from skoopctl.prepare import session as module

    monkeypatch.setattr(module, "CONNECT_S", 1.0)
    silent = sshd.listener(2299)
    try:
        with pytest.raises(UnreachableError), session(target(sshd, port=2299, port_given=True)):
            pass
    finally:
        silent.close()


def test_a_command_that_hangs_costs_its_deadline_only(sshd: SshdHost) -> None:
    """A command that does not end is given up, and the error says that it may still run."""
    from skoopctl.errors import DeadlineError

    with session(target(sshd)) as opened, pytest.raises(DeadlineError, match="may still run"):
        opened.run(("sleep", "1000"), timeout_s=0.5)
