"""The guest's disk: a small Debian, built once for each list of packages and kept in a cache folder.

The packages come from the archive that this machine's own apt uses. Beside the disk lie the kernel, an initramfs
of six modules, the key that logs in and the host key that must answer. The folder's name is a hash of this file,
so that a changed list builds a new one, and an unchanged one costs nothing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.vm.machines import X86_64, Machine

PROGRAMS = ("mmdebstrap", "mke2fs", "cpio", "ssh", "ssh-keygen")
PACKAGES = (
    "busybox-static",
    "conntrack",
    "fish",
    "ipset",
    "iproute2",
    "iptables",
    "ipvsadm",
    "kmod",
    "nfacct",
    "nftables",
    "openssh-server",
    "procps",
    "python3",
    "python3-bpfcc",
    "systemd",
    "systemd-sysv",
    "tcsh",
    "wireguard-tools",
)
KERNEL = "linux-image-cloud-amd64"
"""Debian's kernel for virtual machines: every network feature as a module, and few drivers."""

LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")
BOOT_MODULES = (
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci",
    "drivers/block/virtio_blk",
)
INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in {modules}; do /bin/busybox insmod /$module.ko; done
tries=0
until [ -b /dev/vda ] || [ $tries = 100 ]; do /bin/busybox sleep 0.1; tries=$((tries+1)); done
/bin/busybox mount -t ext4 -o rw,noatime /dev/vda /new || exec /bin/busybox poweroff -f
/bin/busybox mount -o move /dev /new/dev
exec /bin/busybox switch_root /new /sbin/init
"""
NETWORK_UNIT = """[Unit]
DefaultDependencies=no
After=systemd-modules-load.service
Before=ssh.service
[Service]
Type=oneshot
ExecStart=/sbin/ip link set lo up
ExecStart=/sbin/ip addr add 10.0.2.15/24 dev eth0
ExecStart=/sbin/ip link set eth0 up
[Install]
WantedBy=multi-user.target
"""
SSHD = """HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
MaxSessions 50
MaxStartups 50
"""
SHELLS = {"root": "/bin/bash", "tcsh": "/usr/bin/tcsh", "fish": "/usr/bin/fish", "ash": "/bin/ash"}
"""Logins of the guest and their shells. All of them are root: what is tried is the shell."""


class ImageError(Exception):
    """The image could not be built; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Image:
    """A folder with a bootable guest."""

    folder: Path
    machine: Machine
    cpus: int = 2

    @property
    def disk(self) -> Path:
        """Return its disk; it is never written to."""
        return self.folder / "disk.ext4"

    @property
    def kernel(self) -> Path:
        """Return the kernel."""
        return self.folder / "vmlinuz"

    @property
    def initramfs(self) -> Path:
        """Return what the kernel begins with."""
        return self.folder / "initramfs"

    @property
    def key(self) -> Path:
        """Return the private key that logs in."""
        return self.folder / "login"

    @property
    def host_key(self) -> str:
        """Return the public key that the guest must answer with."""
        return (self.folder / "host.pub").read_text().rsplit(" ", 1)[0].strip()


def cache_folder() -> Path:
    """Return where images are kept: ``SKOOPCTL_VM_CACHE``, or a folder of the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("SKOOPCTL_VM_CACHE") or f"{base}/skoopctl").expanduser()


def missing_programs(machine: Machine) -> list[str]:
    """Return the programs that building and running a guest takes and that are not here."""
    return [name for name in (*PROGRAMS, machine.qemu[0]) if shutil.which(name) is None]


def image() -> Image:
    """Return the image, and build it when this list of packages has none yet."""
    return kept(X86_64, "installed", (Path(__file__),), _build)


def kept(machine: Machine, name: str, recipe: tuple[Path, ...], build: Callable[[Path, Path], None]) -> Image:
    """Return the image that these files make; without one yet, have it built, with a folder for its root."""
    number = hashlib.sha256(b"".join(path.read_bytes() for path in recipe)).hexdigest()[:16]
    folder = cache_folder() / f"vm-{machine.name}-{name}-{number}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="vm-new-") as work:
            built = Path(work) / "image"
            built.mkdir(mode=0o700)
            build(built, Path(work) / "root")
            built.rename(folder)
    return Image(folder, machine)


def _build(built: Path, root: Path) -> None:
    sources = debian()
    run(
        "mmdebstrap",
        "--mode=root",
        "--format=directory",
        "--variant=essential",
        f"--include={','.join(PACKAGES)}",
        "--aptopt=APT::Install-Recommends false",
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT),
        sources[0].split()[2],
        str(root),
        *sources,
    )
    release = _add_kernel(built, root)
    _add_initramfs(built, root, release)
    _add_logins(built, root)
    _add_settings(root)
    disk = built / "disk.ext4"
    run("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", str(root), str(disk), "2G")


def debian() -> list[str]:
    """Return the lines of sources.list for the Debian that this machine runs."""
    wanted = "deb [signed-by=$(SIGNED_BY)] $(REPO_URI) $(CODENAME) $(COMPONENT)"
    shown = run(
        "apt-get",
        "indextargets",
        "--format",
        wanted,
        "Created-By: Packages",
        "Origin: Debian",
        "Component: main",
    )
    codename = _os_release().get("VERSION_CODENAME", "")
    lines = {line for line in shown.splitlines() if line.split()[-2].startswith(codename)}
    # Where apt trusts all its keys alike, there is no key to name.
    lines = {line.replace("[signed-by=] ", "").replace("[signed-by=$(SIGNED_BY)] ", "") for line in lines}
    if not codename or not lines:
        raise ImageError("apt knows no Debian archive here: run apt-get update")
    return sorted(lines, key=len)


def _os_release() -> dict[str, str]:
    lines = Path("/etc/os-release").read_text().splitlines()
    return {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}


def _add_kernel(built: Path, root: Path) -> str:
    """Unpack the kernel without its package's scripts, and return its release."""
    depends = run("apt-cache", "depends", "--important", KERNEL)
    package = next(line.split()[-1] for line in depends.splitlines() if "Depends:" in line)
    with tempfile.TemporaryDirectory(dir=built) as work:
        run("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package, cwd=work)
        (deb,) = Path(work).glob("*.deb")
        run("dpkg-deb", "-x", str(deb), f"{work}/kernel")
        (kernel,) = Path(work, "kernel/boot").glob("vmlinuz-*")
        shutil.move(kernel, built / "vmlinuz")
        release = kernel.name.removeprefix("vmlinuz-")
        modules = Path(work, "kernel/lib/modules", release)
        shutil.copytree(modules, root / "usr/lib/modules" / release, symlinks=True)
        _add_headers(root, release, work)
    run("depmod", "-b", str(root), release)
    return release


def _add_headers(root: Path, release: str, work: str) -> None:
    """Unpack the kernel's headers, which BCC compiles against, without the compilers that their packages want."""
    version, _, flavour = release.partition("-cloud-")
    packages = (f"linux-headers-{release}", f"linux-headers-{version}-common")
    run("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *packages, cwd=work)
    for deb in Path(work).glob("linux-headers-*.deb"):
        run("dpkg-deb", "-x", str(deb), f"{work}/headers")
    shutil.copytree(Path(work, "headers/usr/src"), root / "usr/src", symlinks=True, dirs_exist_ok=True)
    for name, target in (("build", f"{version}-cloud-{flavour}"), ("source", f"{version}-common")):
        link = root / "usr/lib/modules" / release / name
        link.unlink(missing_ok=True)
        link.symlink_to(f"/usr/src/linux-headers-{target}")


def _add_initramfs(built: Path, root: Path, release: str) -> None:
    names = [name.rpartition("/")[2] for name in BOOT_MODULES]
    with tempfile.TemporaryDirectory(dir=built) as work:
        for folder in ("bin", "dev", "new"):
            Path(work, folder).mkdir()
        busybox = root / "bin/busybox"
        shutil.copy(busybox, f"{work}/bin/busybox")
        for name in BOOT_MODULES:
            shutil.copy(root / "usr/lib/modules" / release / "kernel" / f"{name}.ko", work)
        init = Path(work, "init")
        init.write_text(INIT.format(modules=" ".join(names)))
        init.chmod(0o755)
        pack(Path(work), built / "initramfs")


def pack(folder: Path, target: Path) -> None:
    """Pack a folder as the kernel takes it before there is a disk."""
    files = "\n".join(sorted(str(path.relative_to(folder)) for path in folder.rglob("*")))
    with target.open("wb") as out:
        subprocess.run(
            ["cpio", "--quiet", "-o", "-H", "newc"], input=files.encode(), stdout=out, cwd=folder, check=True
        )


def let_in(built: Path, root: Path) -> None:
    """Make the key that logs in, and the one that answers, and have sshd know both."""
    for name in ("login", "host"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "vm", "-f", str(built / name))
    for stale in (root / "etc/ssh").glob("ssh_host_*"):
        stale.unlink()
    shutil.move(built / "host", root / "etc/ssh/ssh_host_ed25519_key")
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    shutil.copy(built / "login.pub", root / "root/.ssh/authorized_keys")


def _add_logins(built: Path, root: Path) -> None:
    let_in(built, root)
    (root / "etc/ssh/sshd_config.d/vm.conf").write_text(SSHD)
    (root / "usr/bin/ash").symlink_to("busybox")
    others = [name for name in SHELLS if name != "root"]
    with (root / "etc/passwd").open("a") as passwd, (root / "etc/shadow").open("a") as shadow:
        passwd.writelines(f"{name}:x:0:0::/root:{SHELLS[name]}\n" for name in others)
        shadow.writelines(f"{name}:*:19000::::::\n" for name in others)


def _add_settings(root: Path) -> None:
    (root / "etc/hostname").write_text("vm\n")
    (root / "etc/fstab").write_text("")
    (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (root / "etc/modules-load.d/vm.conf").write_text("virtio_net\nvirtio_rng\n")
    units = root / "etc/systemd/system"
    (units / "vm-network.service").write_text(NETWORK_UNIT)
    wants = units / "multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / "vm-network.service").symlink_to("/etc/systemd/system/vm-network.service")
    for unit in (
        "getty.target",
        "timers.target",
        "e2scrub_reap.service",
        "ipvsadm.service",
        "nftables.service",
    ):
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")


def run(*argv: str, cwd: str | None = None) -> str:
    """Run a program and return what it says; fail with its last lines."""
    done = subprocess.run(
        argv, cwd=cwd, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise ImageError(f"{argv[0]} failed: {last}")
    return done.stdout
