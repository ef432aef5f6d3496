"""The node program through login shells of all kinds, and through whatever accounts print before it."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from sshd_host import CLIENT, SshdHost, in_time, new_host, password_hash

from skoopctl.evidence import Bundle, Request
from skoopctl.evidence.bundle import HostRecord
from skoopctl.evidence.collect import collect
from skoopctl.inventory import InventoryHost
from skoopctl.transport import Deadlines, HostStatus
from skoopctl.transport.choice import RealTransports
from skoopctl.transport.credentials import Credentials, Secret

pytestmark = pytest.mark.lab

SHELLS = ("sh", "dash", "bash", "csh", "tcsh", "fish", "zsh", "busybox")
PORT, FORCED, SFTP, BANNER, SILENT, DRY, NARROW = range(2901, 2908)
OPEN = "sesame"
LOUD = "#!/bin/sh\necho motd of the day; echo warning >&2; printf 'no newline at the end'\n"
HOMES = {
    "loud": f"{LOUD}",
    "late": "sleep 0.4\n",
    "endless": "yes\n",
    "reads": "head -c 1000 >/dev/null <&- ; stty -a; tty; mesg n\n",
    "chinese": "export LANG=zh_CN.UTF-8; unset LC_ALL\n",
    "exits": "echo bye >&2; exit 5\n",
}
REQUEST = Request(items=("identity",))


def _users(folder: Path) -> str:
    """Return accounts: one for each shell, and bash ones whose start-up files do odd things."""
    lines = []
    for number, shell in enumerate(SHELLS):
        path = shutil.which(shell)
        if shell == "busybox" and path:  # a login shell is called by its name
            link = folder / "busybox-sh" / "sh"
            link.parent.mkdir()
            link.symlink_to(path)
            path = str(link)
        lines.append(f"skt-{shell}:x:{4800 + number}:{4800 + number}::/:{path}\n")
    for number, (name, text) in enumerate(HOMES.items()):
        home = folder / f"home-{name}"
        home.mkdir()
        (home / ".bashrc").write_text(text)
        lines.append(f"skt-{name}:x:{4850 + number}:{4850 + number}::{home}:/bin/bash\n")
    return "".join(lines)


@pytest.fixture(scope="module")
def sshd() -> Iterator[SshdHost]:
    """Start a server with all those accounts, and servers that run something else than what they are asked to."""
    with new_host() as host:
        banner = host.folder / "banner"
        banner.write_text("Authorised use only\n" * 50)
        users = _users(host.folder)
        names = [line.split(":")[0] for line in users.splitlines()]
        rules = "".join(f"{name} ALL=(ALL) NOPASSWD: ALL\n" for name in names if name != "skt-late")
        hashed = password_hash(OPEN)
        shadow = "root:*:19000::::::\n" + "".join(f"{name}:{hashed}:19000::::::\n" for name in names)
        host.start(
            PORT, users=users, sudoers=f"{rules}skt-late ALL=(ALL) ALL\n", files={"/etc/shadow": shadow}
        )
        host.start(FORCED, "ForceCommand=echo this account is for backups only")
        host.start(SFTP, "ForceCommand=internal-sftp")
        host.start(BANNER, f"Banner={banner}", "PrintMotd=yes")
        host.start(SILENT, "ForceCommand=true")
        narrow = host.folder / "narrow_keys"
        narrow.write_text(f'restrict,from="{CLIENT}" {host.user_key.with_suffix(".pub").read_text()}')
        host.start(NARROW, f"AuthorizedKeysFile={narrow}")
        yield host


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever runs the tests has no say: neither an SSH configuration nor an agent."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def gather(
    hosts: Sequence[InventoryHost], transports: RealTransports | None = None, **limits: float
) -> Bundle:
    """Collect as the command does."""
    return asyncio.run(collect(hosts, deadlines=Deadlines(**limits), request=REQUEST, transports=transports))


def one(host: InventoryHost, transports: RealTransports | None = None, **limits: float) -> HostRecord:
    """Collect from one host."""
    return gather([host], transports, **limits).results[host.name]


@pytest.mark.parametrize("become", [False, True], ids=["as user", "by sudo"])
@pytest.mark.parametrize("shell", SHELLS)
def test_every_login_shell_starts_the_node_program(sshd: SshdHost, shell: str, become: bool) -> None:
    """Its command is read the same by all of them, with sudo before it and without."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    record = one(sshd.target(port=PORT, user=f"skt-{shell}", become=become))
    assert record.status is HostStatus.OK, record.detail


@pytest.mark.parametrize("shell", SHELLS)
def test_every_login_shell_carries_the_talk_with_sudo(sshd: SshdHost, shell: str) -> None:
    """The command with a prompt has one more quoted word, and an interpreter of the inventory's choice."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    host = sshd.target(port=PORT, user=f"skt-{shell}", become=True, python=sys.executable)
    record = one(host, RealTransports(Credentials(become_password=Secret(OPEN))))
    assert record.status is HostStatus.OK, record.detail


@pytest.mark.parametrize("account", ["loud", "late", "reads", "chinese"])
def test_what_a_shell_prints_before_the_answer_is_skipped(sshd: SshdHost, account: str) -> None:
    """Words on stdout and stderr, slowness, terminal settings and languages change nothing."""
    record = one(sshd.target(port=PORT, user=f"skt-{account}"))
    assert record.status is HostStatus.OK, record.detail


def test_a_key_that_is_restricted_to_an_exec_is_enough(sshd: SshdHost) -> None:
    """Neither a terminal nor any forwarding is needed on a node."""
    assert one(sshd.target(port=NARROW)).status is HostStatus.OK


def test_a_banner_is_no_answer(sshd: SshdHost) -> None:
    """A kilobyte of warnings before the login."""
    assert one(sshd.target(port=BANNER)).status is HostStatus.OK


def test_a_shell_that_prints_without_end_is_cut_off_after_a_megabyte(sshd: SshdHost) -> None:
    """It costs one row, which says where to look."""
    record = one(sshd.target(port=PORT, user="skt-endless"))
    assert record.status is HostStatus.UNSUPPORTED
    assert "before the program's answer" in record.detail
    assert "start-up files" in record.detail


def test_a_start_up_file_that_ends_the_shell_is_a_clear_row(sshd: SshdHost) -> None:
    """The shell's last words are quoted."""
    record = one(sshd.target(port=PORT, user="skt-exits"))
    assert record.status is HostStatus.UNSUPPORTED
    assert "bye" in record.detail


@pytest.mark.parametrize(
    ("port", "says"), [(FORCED, "this account is for backups only"), (SFTP, ""), (SILENT, "")]
)
def test_a_forced_command_that_does_something_else_is_a_clear_row(
    sshd: SshdHost, port: int, says: str
) -> None:
    """An account that may do one thing only does not do ours; the row says so and does not wait."""
    record = one(sshd.target(port=port), program_s=50)
    assert record.status is HostStatus.UNSUPPORTED
    assert says in record.detail
    assert "ForceCommand" in record.detail
    assert record.elapsed_s < in_time(5)


def test_all_of_them_together_cost_each_other_nothing(sshd: SshdHost) -> None:
    """One fleet of good and odd accounts, each with its own row."""
    accounts = ["loud", "endless", "exits", "late", "chinese"]
    hosts = [sshd.target(name=name, port=PORT, user=f"skt-{name}") for name in accounts]
    results = gather([*hosts, sshd.target(name="silent", port=SILENT)]).results
    good = {name for name, record in results.items() if record.status is HostStatus.OK}
    assert good == {"loud", "late", "chinese"}


def test_a_host_with_platform_python_only_answers(sshd: SshdHost) -> None:
    """Red Hat's own interpreter is found where it stands; python3 need not be on the PATH."""
    hidden = [
        str(path) for pattern in ("python3*",) for path in Path("/usr/bin").glob(pattern) if path.is_file()
    ]
    sshd.start(DRY, before=_platform_python(sshd.folder, hidden))
    record = one(sshd.target(port=DRY))
    assert record.status is HostStatus.OK, record.detail


def _platform_python(folder: Path, hidden: Sequence[str]) -> str:
    """Return shell commands that leave one interpreter, under /usr/libexec."""
    kept = folder / "libexec"
    kept.mkdir()
    shutil.copy("/usr/bin/python3", kept / "platform-python")
    lines = [f"mkdir -p /usr/libexec && mount --bind {kept} /usr/libexec"]
    lines += [f"mount --bind /dev/null {path}" for path in hidden]
    return " && ".join(lines) + " && "
