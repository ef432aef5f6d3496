"""Which machine this is, and when it says so."""
import posix
import sys
import time


def identity(version, root):
    """Return what a node says of itself; ``root`` is the inode of the host's network namespace."""
    system = posix.uname()
    release = dict(line.split("=", 1) for line in small_file("/etc/os-release").split("\n") if "=" in line)
    return {
        "hostname": system.nodename,
        "kernel": system.release,
        "machine": system.machine,
        "os": release.get("PRETTY_NAME", system.sysname).strip("\"'"),
        "boot_id": small_file("/proc/sys/kernel/random/boot_id"),
        "uid": posix.geteuid(),
        "wall_ns": int(time.time() * 1e9),
        "mono_ns": int(time.monotonic() * 1e9),
        "python": "%d.%d.%d" % sys.version_info[:3],
        "program_version": version,
        "root_netns": root,
    }
