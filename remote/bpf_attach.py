"""Hooks: a program on its way to run. Every one is a descriptor, so that the end of this process is the end of it."""
import posix
import struct

RAW_TRACEPOINT_OPEN_ = 17
PERF_TYPE_TRACEPOINT = 2
PERF_IOC_SET_BPF, PERF_IOC_ENABLE = 0x40042408, 0x2400
PERF_CLOEXEC = 8
PERF_ATTR = 112
PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}
KPROBE_TYPE = "/sys/bus/event_source/devices/kprobe/type"


def attach(bpf, program, descriptor):
    """Attach a loaded program; return the descriptors that keep it. Raises an Outcome with the name of the errno."""
    hook, target = program["hook"], program["target"]
    try:
        if hook in ("tracepoint", "kprobe", "kretprobe"):
            return perf_hook(bpf, hook, target, descriptor)
        name = bytearray(target.encode() + b"\0")
        attr = struct.pack("=QII", bpf.address(name) if hook == "raw_tp" else 0, descriptor, 0)
        return [bpf.call(RAW_TRACEPOINT_OPEN_, bytearray(attr))]
    except OSError as error:
        outcome = from_errno(error.errno, "%s/%s" % (hook, target))
        outcome.errno = error.errno
        raise outcome


def perf_hook(bpf, hook, target, descriptor):
    """Attach to a perf event: a tracepoint by its number, or a kprobe by the PMU of kprobes, which needs no tracefs."""
    attr = bytearray(PERF_ATTR)
    name = bytearray(target.encode() + b"\0")
    if hook == "tracepoint":
        struct.pack_into("=IIQQ", attr, 0, PERF_TYPE_TRACEPOINT, PERF_ATTR, tracepoint_number(target), 1)
    else:
        kind = small_file(KPROBE_TYPE)
        if not kind.isdigit():
            raise Outcome("absent", "%s/%s: ENOENT, this kernel has no kprobes (%s)" % (hook, target, KPROBE_TYPE))
        struct.pack_into("=IIQQ", attr, 0, int(kind), PERF_ATTR, int(hook == "kretprobe"), 1)
        struct.pack_into("=Q", attr, 56, bpf.address(name))
    event = perf_event_open(bpf, attr, -1, 0)
    try:
        ioctl(event, PERF_IOC_SET_BPF, descriptor)
        ioctl(event, PERF_IOC_ENABLE, 0)
    except OSError:
        posix.close(event)
        raise
    return [event]


def perf_event_open(bpf, attr, pid, cpu):
    """Return the descriptor of a perf event."""
    machine = posix.uname().machine
    if machine not in PERF_EVENT_OPEN:
        raise Outcome("absent", "perf_event_open(2) has no number for %s here" % machine)
    return bpf.system_call(PERF_EVENT_OPEN[machine], attr, (pid, cpu, -1, PERF_CLOEXEC))


def ioctl(descriptor, request, value):
    """Call ioctl(2) with a number."""
    from fcntl import ioctl as call

    call(descriptor, request, value)


def tracepoint_number(target):
    """Return the number of group/name. Where tracefs is not mounted there is none, and we mount nothing."""
    for folder in ("/sys/kernel/tracing", "/sys/kernel/debug/tracing"):
        text = small_file(folder + "/events/" + target + "/id")
        if text.isdigit():
            return int(text)
    raise Outcome("absent", "tracepoint/%s: ENOENT, tracefs is not mounted or has no such event" % target)
