"""What eBPF probes would need of the kernel, and whether a real program can be loaded."""

from __future__ import annotations

from skoopctl.doctor.check import Check, Judgement, Subject, degraded, missing, of_node, ok, unknown
from skoopctl.doctor.facts import Gap, NodeFacts, Setting

ARCHITECTURES = ("x86_64", "aarch64")
"""What the probes are built for."""
_STEPS = (("map", "a map"), ("load", "a program"), ("attach", "the event kfree_skb"))
_MEANINGS = {
    "EPERM": "not permitted: no root, a lockdown, a security module or seccomp",
    "EACCES": "not permitted",
    "ENOSYS": "this kernel has no bpf(2)",
    "EINVAL": "this kernel does not know it",
    "ENOENT": "this kernel does not have it",
    "ENOMEM": "no memory",
}


def _setting(facts: NodeFacts, name: str) -> Setting | Gap:
    if isinstance(facts.kernel, Gap):
        return facts.kernel
    return facts.kernel.settings.get(name, Gap(f"the node said nothing of {name}"))


def _is_root(facts: NodeFacts) -> bool:
    return not isinstance(facts.identity, Gap) and facts.identity.uid == 0


def _architecture(_: Subject, facts: NodeFacts) -> Judgement:
    identity = facts.identity
    if isinstance(identity, Gap):
        return unknown(identity)
    if identity.machine in ARCHITECTURES:
        return ok(f"{identity.machine}, {identity.kernel}")
    return missing(f"{identity.machine}; there are objects for {' and '.join(ARCHITECTURES)}")


def _btf(_: Subject, facts: NodeFacts) -> Judgement:
    btf = _setting(facts, "btf")
    if isinstance(btf, Gap):
        return unknown(btf)
    if btf.text:
        return ok(f"{btf.text} bytes")
    if btf.error == "ENOENT":
        return missing(
            "/sys/kernel/btf/vmlinux is not there: the kernel was built without CONFIG_DEBUG_INFO_BTF"
        )
    return missing(f"/sys/kernel/btf/vmlinux: {btf.error}")


def _lockdown(_: Subject, facts: NodeFacts) -> Judgement:
    lockdown = _setting(facts, "lockdown")
    if isinstance(lockdown, Gap):
        return unknown(lockdown)
    if not lockdown.text:
        if lockdown.error == "ENOENT":
            return _no_lockdown_file(facts)
        return unknown(f"/sys/kernel/security/lockdown: {lockdown.error}")
    mode = lockdown.text.partition("[")[2].partition("]")[0] or lockdown.text
    if mode == "confidentiality":
        return missing("confidentiality: the kernel lets no program read its memory (security/lockdown)")
    return ok(mode)


def _no_lockdown_file(facts: NodeFacts) -> Judgement:
    """Without the file there is no lockdown, if its file system is mounted; otherwise nobody knows."""
    if isinstance(facts.kernel, Gap) or "securityfs" in facts.kernel.mounts:
        return ok("this kernel has none")
    if not isinstance(facts.ebpf, Gap) and all(step == "ok" for step in facts.ebpf.values()):
        return ok("securityfs is not mounted, but a program that reads the kernel's memory was loaded")
    return unknown("securityfs is not mounted, so /sys/kernel/security/lockdown cannot be read")


def _unprivileged(_: Subject, facts: NodeFacts) -> Judgement:
    value = _setting(facts, "unprivileged_bpf_disabled")
    if isinstance(value, Gap):
        return unknown(value)
    if not value.text:
        return ok(f"this kernel has no such setting ({value.error})")
    if _is_root(facts):
        return ok(f"{value.text}; root may load programs all the same")
    return (
        missing(f"{value.text}, and the login is not root")
        if value.text != "0"
        else degraded("0, without root")
    )


def _perf(_: Subject, facts: NodeFacts) -> Judgement:
    value = _setting(facts, "perf_event_paranoid")
    if isinstance(value, Gap):
        return unknown(value)
    if not value.text:
        return missing(f"perf_event_paranoid: {value.error}: the kernel was built without perf events")
    if _is_root(facts) or value.text == "-1":
        return ok(value.text)
    return missing(f"{value.text}, and the login is not root")


def _tracefs(_: Subject, facts: NodeFacts) -> Judgement:
    if isinstance(facts.kernel, Gap):
        return unknown(facts.kernel)
    if "tracefs" in facts.kernel.mounts:
        return ok(facts.kernel.mounts["tracefs"])
    if "debugfs" in facts.kernel.mounts:
        return ok(f"{facts.kernel.mounts['debugfs']}/tracing, mounted by the kernel when it is used")
    return degraded("not mounted: probes on raw tracepoints and BTF work, kprobes by name do not")


def _ebpf(_: Subject, facts: NodeFacts) -> Judgement:
    steps = facts.ebpf
    if isinstance(steps, Gap):
        return unknown(steps)
    for name, what in _STEPS:
        said = steps.get(name, "not tried")
        if said not in {"ok", "not tried"}:
            done = {"map": "made", "load": "loaded", "attach": "attached to"}[name]
            return missing(f"{what} could not be {done}: {said} ({_MEANINGS.get(said, 'see bpf(2)')})")
    if all(steps.get(name) == "ok" for name, _ in _STEPS):
        return ok("a map was made, a program loaded and attached, and all closed again")
    return unknown("the self-test did not come to its end")


CHECKS = (
    Check(
        "architecture",
        "probes are built for this machine",
        f"one of {', '.join(ARCHITECTURES)}",
        "missing on any other",
        "nothing can be done; metrics from /proc work all the same",
        of_node(_architecture),
    ),
    Check(
        "btf",
        "the kernel describes its types (BTF)",
        "/sys/kernel/btf/vmlinux, readable",
        "missing when it is not there or may not be read",
        "use a kernel built with CONFIG_DEBUG_INFO_BTF (most distributions' since 2020), or the BCC backend: "
        "skoopctl node prepare --packages bcc",
        of_node(_btf),
    ),
    Check(
        "lockdown",
        "the kernel is not locked down",
        "not `confidentiality` in /sys/kernel/security/lockdown; `integrity` and `none` are fine",
        "missing in the mode confidentiality; unknown when the file's file system is not mounted",
        "start the node with lockdown=integrity, or without Secure Boot's policy that sets it",
        of_node(_lockdown),
    ),
    Check(
        "bpf-unprivileged",
        "bpf(2) is open to this login",
        "root; sysctl kernel.unprivileged_bpf_disabled only closes it to others",
        "missing when the login is not root and the sysctl is not 0",
        "become root on the node; leave the sysctl as it is",
        of_node(_unprivileged),
    ),
    Check(
        "perf",
        "perf events are open to this login",
        "root, or sysctl kernel.perf_event_paranoid at -1",
        "missing when the kernel has no perf events, or the login is not root and the sysctl is above -1",
        "become root on the node; leave the sysctl as it is",
        of_node(_perf),
    ),
    Check(
        "tracefs",
        "tracefs is mounted",
        "/sys/kernel/tracing, or debugfs, which brings it; only /proc/self/mounts is looked at",
        "degraded when neither is mounted",
        "mount -t tracefs nodev /sys/kernel/tracing (systemd does it by itself)",
        of_node(_tracefs),
    ),
    Check(
        "ebpf",
        "an eBPF program can be loaded",
        "a kernel that makes a map, loads a program that reads its memory, and attaches it to a raw tracepoint",
        "by doing it, and closing each at once; missing with the step that failed and its errno",
        "look at the errno, at the checks lockdown and root, and at the node's security modules and seccomp",
        of_node(_ebpf),
    ),
)
