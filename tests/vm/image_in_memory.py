"""Guests for other kernels and machines: a Debian's kernel, and a root in memory that is unpacked and never installed.

No package's script runs, for that would need this machine to run programs of another: what the few programs need
of a system, such as a list of users, is written here.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from tests.vm.image import LEFT_OUT, SSHD, Image, debian, kept, let_in, pack, run
from tests.vm.machines import AARCH64, X86_64, Machine


@dataclass(frozen=True, slots=True)
class Release:
    """A release of Debian for a machine: its kernel, its Python, its iptables."""

    suite: str
    machine: Machine
    tells_reasons: bool = True
    """Whether its kernel says why it drops a packet (since 5.17)."""

    def __str__(self) -> str:
        """Return what it is called."""
        return f"{self.suite}, {self.machine.name}"


RELEASES = {
    "5.10": Release("bullseye", X86_64, tells_reasons=False),
    "6.12": Release("trixie", X86_64),
    "aarch64": Release("bookworm", AARCH64),
    "sid": Release("sid", X86_64),
}
"""By the kernel, or by what is special about them."""
USUAL = ("5.10", "aarch64")
"""What every run tries: what is furthest from the kernels of other tests."""
PACKAGES = (
    "bash",
    "busybox-static",
    "coreutils",
    "dash",
    "findutils",
    "grep",
    "ipset",
    "iproute2",
    "iptables",
    "kmod",
    "mawk",
    "mount",
    "nfacct",
    "nftables",
    "openssh-server",
    "procps",
    "python3",
    "sed",
    "util-linux",
)
DRIVERS = (
    "crypto",
    "drivers/block",
    "drivers/char/hw_random",
    "drivers/net",
    "drivers/virtio",
    "fs/ext4",
    "fs/jbd2",
    "fs/mbcache.ko",
    "lib",
    "net",
)
"""Modules of the kernel that are kept: the others are most of its size."""
LINKS = {
    "usr/bin/sh": "dash",
    "usr/bin/awk": "mawk",
    **{
        f"usr/sbin/{name}{what}": "xtables-nft-multi"
        for name in ("iptables", "ip6tables")
        for what in ("", "-save", "-restore")
    },
}
"""What the packages' scripts would have linked."""
FILES = {
    "etc/passwd": "root:x:0:0::/root:/bin/bash\nsshd:x:101:65534::/run/sshd:/usr/sbin/nologin\n",
    "etc/shadow": "root:*:19000::::::\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/ssh/sshd_config": SSHD,
    "etc/inittab": "::respawn:/usr/sbin/sshd -D\n",
    "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "init": """#!/bin/busybox sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
/bin/busybox mount -t devtmpfs dev /dev
for each in proc:/proc sysfs:/sys tmpfs:/run tmpfs:/tmp; do /bin/busybox mount -t ${each%:*} vm ${each#*:}; done
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
mkdir -p /dev/pts /dev/shm /run/sshd /run/netns
for each in devpts:/dev/pts cgroup2:/sys/fs/cgroup bpf:/sys/fs/bpf tracefs:/sys/kernel/tracing; do
  /bin/busybox mount -t ${each%:*} vm ${each#*:}
done
modprobe -a virtio_pci virtio_blk virtio_net virtio_rng ext4
until [ -b /dev/vda ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 /dev/vda /var/tmp
ip link set lo up
ip addr add 10.0.2.15/24 dev eth0
ip link set eth0 up
echo vm >/proc/sys/kernel/hostname
exec /bin/busybox init
""",
}


def image_of(release: Release) -> Image:
    """Return the image, and build it when this recipe has none yet."""
    here = Path(__file__)
    made = kept(
        release.machine,
        release.suite,
        (here, here.with_name("image.py")),
        lambda built, root: _build(release, built, root),
    )
    # With two, QEMU now and then runs a breakpoint that the kernel has already taken out of its own code again
    # (tracepoints are switched on by such), and 6.12 takes that for its end.
    return replace(made, cpus=1)


def _build(release: Release, built: Path, root: Path) -> None:
    packages = (*PACKAGES, f"linux-image-cloud-{release.machine.package}")
    # The shortest line is the archive itself: the others are its updates.
    words = debian()[0].split()
    words[-2] = release.suite
    run(
        "mmdebstrap",
        "--mode=root",
        "--format=directory",
        "--variant=extract",
        f"--architectures={release.machine.package}",
        f"--include={','.join(packages)}",
        "--aptopt=APT::Install-Recommends false",
        # A mirror may be older than its lists are good for; who signed them is checked all the same.
        "--aptopt=Acquire::Check-Valid-Until false",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT),
        release.suite,
        str(root),
        " ".join(words),
    )
    _merge(root)
    (modules,) = (root / "usr/lib/modules").iterdir()
    (kernel,) = (*modules.glob("vmlinuz"), *(root / "boot").glob("vmlinuz-*"))
    shutil.move(kernel, built / "vmlinuz")
    shutil.rmtree(root / "boot", ignore_errors=True)
    for pattern in LEFT_OUT:
        shutil.rmtree(root / pattern.strip("/*"), ignore_errors=True)
    _keep_drivers(modules, root)
    for path, target in LINKS.items():
        (root / path).unlink(missing_ok=True)
        (root / path).symlink_to(target)
    for path, text in FILES.items():
        (root / path).write_text(text)
    (root / "init").chmod(0o755)
    (root / "root").chmod(0o700)
    let_in(built, root)
    pack(root, built / "initramfs")
    run("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", str(built / "disk.ext4"), "16M")


def _merge(root: Path) -> None:
    """Have one folder for programs and one for libraries, as an installed system has."""
    for name in ("bin", "sbin", "lib", "lib64"):
        old, new = root / name, root / "usr" / name
        if old.is_dir() and not old.is_symlink():
            run("cp", "-a", f"{old}/.", f"{new}/") if new.is_dir() else shutil.move(old, new)
            shutil.rmtree(old, ignore_errors=True)
        if not old.exists() and new.is_dir():
            old.symlink_to(f"usr/{name}")


def _keep_drivers(modules: Path, root: Path) -> None:
    """Take away the modules that no guest needs."""
    kept_here = tuple(str(modules / "kernel" / name) for name in DRIVERS)
    for module in (modules / "kernel").rglob("*.ko*"):
        if not str(module).startswith(kept_here):
            module.unlink()
    run("depmod", "-b", str(root), modules.name)
