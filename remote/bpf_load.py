"""Programs: filled in for this kernel, and loaded. What the kernel says against one is kept."""
import errno
import posix
import struct

PROG_LOAD_ = 5
RAW_TRACEPOINT, TRACING, KPROBE, TRACEPOINT = 17, 26, 2, 5
# Type of program, attach type, and where the kernel's types have what it is attached to.
HOOK_TYPES = {
    "raw_tp": (RAW_TRACEPOINT, 0, None),
    "tp_btf": (TRACING, 23, ("btf_trace_", (TYPEDEF,))),
    "fentry": (TRACING, 24, ("", (FUNC,))),
    "fexit": (TRACING, 25, ("", (FUNC,))),
    "tracepoint": (TRACEPOINT, 0, None),
    "kprobe": (KPROBE, 0, None),
    "kretprobe": (KPROBE, 0, None),
}
LOG_BYTES = 1 << 20
LOG_KEPT = 2000
LOAD_ATTR = 128
LOAD_ATTEMPTS = 5
PROBE_READ, PROBE_READ_KERNEL = 4, 113
CALL = 0x85
# bpf_probe_read_kernel(stack, 8, 0); r0 = 0; exit.
READS = ((0xBF, 0xA1, 0, 0), (0x07, 0x01, 0, -8), (0xB7, 0x02, 0, 8), (0xB7, 0x03, 0, 0), (CALL, 0, 0, PROBE_READ_KERNEL), (0xB7, 0, 0, 0), (0x95, 0, 0, 0))


def decoded(text):
    """Return the bytes of base64."""
    from binascii import a2b_base64

    return bytearray(a2b_base64(text))


def has_read_kernel(bpf):
    """Return whether this kernel has bpf_probe_read_kernel (5.5). A refusal for another reason is no answer: it has."""
    code = bytearray(b"".join(struct.pack("=BBhi", *each) for each in READS))
    text = bytearray(b"GPL\0")
    attr = bytearray(LOAD_ATTR)
    struct.pack_into("=IIQQ", attr, 0, RAW_TRACEPOINT, len(READS), bpf.address(code), bpf.address(text))
    try:
        posix.close(bpf.call(PROG_LOAD_, attr))
    except OSError as error:
        return error.errno != errno.EINVAL
    return True


def with_old_reads(code):
    """Replace bpf_probe_read_kernel by bpf_probe_read, which older kernels have in its place."""
    for at in range(0, len(code), 8):
        if code[at] == CALL and code[at + 1] == 0 and struct.unpack_from("=i", code, at + 4)[0] == PROBE_READ_KERNEL:
            struct.pack_into("=i", code, at + 4, PROBE_READ)


def filled(program, maps, settings):
    """Return a program's code with its maps and settings; a map that is not made is the number 0."""
    code = decoded(program["code"])
    if not maps.bpf.reads_kernel:
        with_old_reads(code)
    for where, name in program["settings"]:
        struct.pack_into("=I", code, where * 8 + 4, settings.get(name, 0))
    for where, index in program["maps"]:
        descriptor = maps.fds.get(list(maps.rows)[index])
        if descriptor is not None:
            code[where * 8 + 1] = code[where * 8 + 1] & 15 | 1 << 4  # BPF_PSEUDO_MAP_FD
            struct.pack_into("=i", code, where * 8 + 4, descriptor)
    return code


def load_program(bpf, program, relocated, licence, types):
    """Load a program and return its descriptor, or raise an Outcome that says what the kernel has against it."""
    kind, attach, where = HOOK_TYPES[program["hook"]]
    target = 0
    if where:
        found = types.find(where[0] + program["target"], where[1])
        if not found:
            raise Outcome("absent", "this kernel has no %s" % program["target"])
        target = found[0]
    code = relocated.code
    text = bytearray(licence.encode() + b"\0")
    attr = bytearray(LOAD_ATTR)
    struct.pack_into("=IIQQ", attr, 0, kind, len(code) // 8, bpf.address(code), bpf.address(text))
    struct.pack_into("=I", attr, 40, kernel_code() if kind == KPROBE else 0)
    struct.pack_into("=16s", attr, 48, program["name"][:15].encode())
    struct.pack_into("=I", attr, 68, attach)
    struct.pack_into("=I", attr, 108, target)
    number = errno.EAGAIN
    for _ in range(LOAD_ATTEMPTS):
        try:
            return bpf.call(PROG_LOAD_, attr)
        except OSError as error:
            number = error.errno
        if number != errno.EAGAIN:  # a signal came in between
            break
    raise refused(number, said_of(bpf, attr), relocated.missing, program["name"])


def said_of(bpf, attr):
    """Load a program once more and return what the verifier says."""
    log = bytearray(LOG_BYTES)
    struct.pack_into("=IIQ", attr, 24, 1, LOG_BYTES, bpf.address(log))
    try:
        posix.close(bpf.call(PROG_LOAD_, attr))
    except OSError:
        pass
    return bytes(log).partition(b"\0")[0].decode("utf-8", "replace").strip()


def refused(number, log, missing, name):
    """Return the outcome for a program that the kernel refuses; the log's end is its payload."""
    word = errno.errorcode.get(number, str(number))
    tail = log.split("\n")
    for poisoned in missing:
        if "unknown#%d" % poisoned in log:
            return Outcome("absent", "%s: this kernel has no %s" % (name, missing[poisoned]), log[-LOG_KEPT:])
    status = "denied" if number in DENIED else "failed"
    hint = ""
    if number == errno.EPERM and not log:
        hint = ": no privilege, a security policy, or RLIMIT_MEMLOCK before 5.11"
    said = [line for line in tail if line and not line.startswith(("processed ", "verification time", "stack depth"))]
    return Outcome(status, "%s: %s%s%s" % (name, word, hint, ": " + said[-1][:160] if said else ""), log[-LOG_KEPT:])


def kernel_code():
    """Return LINUX_VERSION_CODE, which kernels before 5.0 want of kprobes to the last digit.

    Ubuntu's uname does not have it, but /proc/version_signature; Debian's /proc/version has it last, behind the compiler's.
    """
    text = small_file("/proc/version_signature").split(" ")[-1]
    if not text:
        debian = small_file("/proc/version").split("Debian ")
        text = debian[-1].partition("-")[0] if len(debian) > 1 else posix.uname().release
    numbers = []
    for part in text.split("-")[0].split(".")[:3]:
        numbers.append(int(part) if part.isdigit() else 0)
    numbers += [0] * (3 - len(numbers))
    return numbers[0] << 16 | numbers[1] << 8 | min(numbers[2], 255)
