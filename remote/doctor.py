"""What this node would let skoopctl do. Sent only when `skoopctl doctor` asks; nothing is loaded or changed for good.

The self-test of eBPF makes a map, a program and a link of this process, and closes each at once: the kernel
frees them with their descriptors.
"""
import errno
import posix
import struct
import sys
import time

# Name, argument that makes it tell its version (none: it is not started), module without which it is not started:
# nft, conntrack and ipset open netlink families before they read their arguments, and ipvsadm calls modprobe.
TOOLS = (
    ("iptables-save", "-V", ""),
    ("iptables-nft-save", "-V", ""),
    ("iptables-legacy-save", "-V", ""),
    ("ip6tables-save", "-V", ""),
    ("ip6tables-nft-save", "-V", ""),
    ("ip6tables-legacy-save", "-V", ""),
    ("nft", "--version", "nfnetlink"),
    ("ipset", "--version", "ip_set"),
    ("conntrack", "--version", "nf_conntrack_netlink"),
    ("ipvsadm", "--version", "ip_vs"),
    ("tc", "-V", ""),
    ("ss", "-V", ""),
    ("bpftool", "version", ""),
    ("sudo", "", ""),
    ("doas", "", ""),
)
SETTINGS = {
    "lockdown": "/sys/kernel/security/lockdown",
    "lsm": "/sys/kernel/security/lsm",
    "unprivileged_bpf_disabled": "/proc/sys/kernel/unprivileged_bpf_disabled",
    "perf_event_paranoid": "/proc/sys/kernel/perf_event_paranoid",
    "bpf_jit_enable": "/proc/sys/net/core/bpf_jit_enable",
    "modules_disabled": "/proc/sys/kernel/modules_disabled",
}
BTF = "/sys/kernel/btf/vmlinux"
FILESYSTEMS = ("tracefs", "debugfs", "securityfs", "bpf", "cgroup2")
STATUS_LINES = ("CapEff", "NoNewPrivs", "Seccomp")
TOOL_TIMEOUT_S = 2.0
MAP_CREATE, PROG_LOAD, RAW_TRACEPOINT_OPEN = 0, 5, 17
TYPE_ARRAY, TYPE_RAW_TRACEPOINT = 2, 17
# (code, destination, source, immediate): bpf_probe_read(stack, 8, 0), which a lockdown for confidentiality refuses to
# load; then r0 = 0 and exit.
READS_KERNEL = ((0xBF, 1, 10, 0), (0x07, 1, 0, -8), (0xB7, 2, 0, 8), (0xB7, 3, 0, 0), (0x85, 0, 0, 4), (0xB7, 0, 0, 0), (0x95, 0, 0, 0))
EVENT = b"kfree_skb\0"
RLIMIT_MEMLOCK = 8


def error_name(error):
    """Return the name of an error number."""
    return errno.errorcode.get(error.errno, str(error.errno))


def setting(path):
    """Return a small file's text, and the name of the error if there is none."""
    try:
        with open(path, "rb", 0) as file:
            return {"text": file.read(4096).decode("utf-8", "replace").strip(), "error": ""}
    except OSError as error:
        return {"text": "", "error": error_name(error)}


def tools(program):
    """Tell which tools are there, and the version of those that tell it without touching the kernel."""
    found = {}
    for name, argument, module in TOOLS:
        path = find_program(name)
        if not path:
            continue
        version, problem = "", ""
        if module and not program.modules.is_asked_freely(module):
            problem = "not started: module %s is not loaded" % module
        elif argument:
            version, problem = version_of([path, argument], program.before_program())
        found[name] = {"path": path, "target": final_name(path), "version": version, "problem": problem}
    return text_payload(to_json(found), program.cap)


def version_of(argv, left_s):
    """Return the first line that a tool says, and what went wrong."""
    try:
        payload, complaint, status = run_program(argv, SMALL - 1, min(TOOL_TIMEOUT_S, left_s))
    except Outcome as outcome:
        return "", outcome.detail
    except OSError as error:
        return "", error_name(error)
    said = (payload.finish()[1].decode("utf-8", "replace").strip() or complaint.strip()).split("\n")[0][:200]
    return said, "" if status == 0 else "it ended with a failure"


def kernel_settings(program):
    """Read what decides about eBPF and tracing, and whether the module guard can do its work."""
    facts = dict((name, setting(path)) for name, path in SETTINGS.items())
    try:
        facts["btf"] = {"text": str(posix.stat(BTF).st_size) if posix.access(BTF, posix.R_OK) else "", "error": ""}
        if not facts["btf"]["text"]:
            posix.stat(BTF)
            facts["btf"]["error"] = "EACCES"
    except OSError as error:
        facts["btf"] = {"text": "", "error": error_name(error)}
    # Not the folder below debugfs: looking into it makes the kernel mount tracefs there.
    mounts = [line.split(" ") for line in setting_lines("/proc/self/mounts")]
    facts["mounts"] = dict((row[2], row[1]) for row in mounts if len(row) > 2 and row[2] in FILESYSTEMS)
    facts["modules"] = {
        "loadable": program.modules.can_load(),
        "list": program.modules.text is not None,
        "builtin": posix.access(program.modules.folder + "/modules.builtin", posix.R_OK),
    }
    return text_payload(to_json(facts), program.cap)


def setting_lines(path):
    """Return the lines of a file of any size, or none."""
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20).decode("utf-8", "replace").split("\n")
    except OSError:
        return []


def ebpf_self_test(program):
    """Make a map, load a program, attach it to an event; close each. Tell how each step went."""
    bpf = program.bpf
    steps = {}
    opened = []
    try:
        descriptor, steps["map"] = bpf_step(bpf, MAP_CREATE, struct.pack("=IIIII", TYPE_ARRAY, 4, 8, 1, 0))
        if steps["map"] == "EPERM" and more_locked_memory():
            descriptor, steps["map"] = bpf_step(bpf, MAP_CREATE, struct.pack("=IIIII", TYPE_ARRAY, 4, 8, 1, 0))
        opened.append(descriptor)
        code, licence, event = bytearray(instructions(READS_KERNEL)), bytearray(b"GPL\0"), bytearray(EVENT)
        load = struct.pack("=IIQQIIQII", TYPE_RAW_TRACEPOINT, len(READS_KERNEL), bpf.address(code), bpf.address(licence), 0, 0, 0, 0, 0)
        loaded, steps["load"] = bpf_step(bpf, PROG_LOAD, load)
        opened.append(loaded)
        steps["attach"] = "not tried"
        if loaded >= 0:
            descriptor, steps["attach"] = bpf_step(bpf, RAW_TRACEPOINT_OPEN, struct.pack("=QII", bpf.address(event), loaded, 0))
            opened.append(descriptor)
    finally:
        for descriptor in reversed(opened):
            if descriptor >= 0:
                posix.close(descriptor)
    return text_payload(to_json(steps), program.cap)


def instructions(rows):
    """Return instructions as struct bpf_insn; its two registers share a byte, in the order of the machine."""
    high, low = (16, 1) if sys.byteorder == "little" else (1, 16)
    return b"".join(struct.pack("=BBhi", code, target * low + source * high, 0, value) for code, target, source, value in rows)


def bpf_step(bpf, command, attr):
    """Call bpf(2); return the descriptor, or -1, and how it went."""
    try:
        return bpf.call(command, bytearray(attr)), "ok"
    except OSError as error:
        return -1, error_name(error)


def more_locked_memory():
    """Lift this process's own limit, by which kernels before 5.11 count eBPF's memory; tell whether that worked."""
    try:
        import resource

        resource.setrlimit(RLIMIT_MEMLOCK, (-1, -1))
        return True
    except (ImportError, OSError, ValueError):
        return False


def machine_state(program):
    """Tell memory in kB, load and processors."""
    memory = {}
    for line in setting_lines("/proc/meminfo"):
        name, _, value = line.partition(":")
        if name in ("MemTotal", "MemAvailable", "MemFree") and value.split():
            memory[name] = int(value.split()[0])
    return text_payload(to_json({
        "memory_kb": memory,
        "loadavg": small_file("/proc/loadavg").split()[:3],
        "processors": posix.cpu_count() or 0,
    }), program.cap)


def account(program):
    """Tell what this login is: its capabilities, and of how many processes it may not see the namespaces."""
    status = dict(line.split(":\t", 1) for line in setting_lines("/proc/self/status") if ":\t" in line)
    return text_payload(to_json({
        "uid": posix.geteuid(),
        "processes": sum(1 for entry in posix.listdir("/proc") if entry.isdigit()),
        "hidden": program.hidden,
        "status": dict((name, status.get(name, "").strip()) for name in STATUS_LINES),
    }), program.cap)


def clock(program):
    """Tell the time, as late as possible."""
    return text_payload(to_json({"wall_ns": int(time.time() * 1e9), "mono_ns": int(time.monotonic() * 1e9)}), program.cap)


def netfilter_tables(program):
    """Tell which tables the current namespace has, by what must be read with a tool of the node."""
    trouble = program.netfilter.trouble
    return text_payload(to_json({
        "nft": [[FAMILIES.get(family, str(family)), name] for family, name in program.netfilter.tables],
        "nft_trouble": trouble.detail if trouble and trouble.status != "absent" else "",
        "iptables": setting("/proc/self/net/ip_tables_names"),
        "ip6tables": setting("/proc/self/net/ip6_tables_names"),
    }), program.cap)


Program.netns_extras = (("doctor-netfilter", netfilter_tables),)
Program.host_extras = (
    ("doctor-tools", tools),
    ("doctor-kernel", kernel_settings),
    ("doctor-ebpf", ebpf_self_test),
    ("doctor-machine", machine_state),
    ("doctor-account", account),
    ("doctor-clock", clock),
)
