"""The backend ``bcc``: the same programs, compiled on the node by BCC against the headers of its kernel.

Clang takes seconds and some 200 MB, so that a child does it, with limits of its own, and hands over what it has loaded:
descriptors of programs and maps. From there on it is as with ``core``, and the child and all that clang took are gone.
What stands in a kernel's types (BTF) is read from its headers here: how many arguments a tracepoint has, the names of
reasons. Only headers that are installed are used; those that a kernel carries itself would be unpacked into /tmp.
"""
import _socket as sockets
import posix
import struct
import sys
import time
from _signal import SIGKILL
from array import array
from select import POLLIN, poll

HEADERS = ("/lib/modules/%s/source", "/lib/modules/%s/build")
COMPILER_BYTES = 1 << 30  # of addresses, for the child
REASON_FILES = ("net/dropreason-core.h", "net/dropreason.h", "net/rstreason.h", "linux/skbuff.h")
EVENT_FILES = {"kfree_skb": "skb", "tcp_send_reset": "tcp", "tcp_retransmit_skb": "tcp", "block_rq_issue": "block"}
LEVELS = (2, 3, 4)  # numbers of arguments that programs ask about: skoop_args_N
KPROBES = ("kprobe", "kretprobe")
ARRAYS = (2, 6)

class HeaderTypes:
    """What the programs need to know of a kernel, from its headers."""

    def __init__(self, folders):
        self.folders = folders
        self.texts = {}

    def text(self, name):
        """Return a header, or nothing; the first folder that has it is right."""
        if name not in self.texts:
            self.texts[name] = ""
            for folder in self.folders:
                found = text_of(folder + "/include/" + name)
                if found:
                    self.texts[name] = found
                    break
        return self.texts[name]

    def arity(self, tracepoint):
        """Return how many arguments a tracepoint hands over: those of its TP_PROTO."""
        text = self.text("trace/events/%s.h" % EVENT_FILES.get(tracepoint, "none"))
        for kind in ("TRACE_EVENT(", "DEFINE_EVENT("):
            for part in text.split(kind)[1:]:
                head, found, rest = part.partition("TP_PROTO(")
                if found and tracepoint in [word.strip() for word in head.split(",")]:
                    return rest.partition(")")[0].count(",") + 1
        return 0

    def names_of(self, enumeration):
        """Return {number: name} of an enumeration."""
        for name in REASON_FILES:
            _, found, rest = self.text(name).partition("enum %s {" % enumeration)
            if found:
                return enumerators(rest.partition("};")[0])
        return {}

    def has(self, name, begins, needle):
        """Return whether a header has some words in a struct."""
        _, _, rest = self.text(name).partition(begins)
        return needle in " ".join(rest.partition("\n};")[0].split())


def enumerators(text):
    """Return {number: name} of what stands between the braces of an enumeration; what is computed ends it."""
    while "/*" in text:
        before, _, rest = text.partition("/*")
        text = before + rest.partition("*/")[2]
    found, number = {}, 0
    for word in text.split(","):
        name, assigned, value = word.partition("=")
        lines = [line for line in name.split("\n") if line.strip() and not line.strip().startswith(("#", "//"))]
        if not lines:
            continue
        if assigned:
            if not value.strip().isdigit():
                break
            number = int(value)
        found[str(number)] = lines[-1].strip()
        number += 1
    return found


def asked_about(text):
    """Return the enumerators that a text asks for with ``is_reason(value, NAME)``, some of which kernels lack."""
    pairs = [part.partition(")")[0].split(",") for part in text.split("is_reason(")[1:]]
    return sorted(set(pair[1].strip() for pair in pairs if len(pair) == 2 and pair[1].strip().isupper()))


class Bcc:
    """BCC and the headers of this kernel."""

    name = "bcc"

    def __init__(self, session):
        self.request = session.request
        self.bpf = Loader()
        self.probes = {}
        self.refusal = self.types = None

    def start(self, asked, namespaces):
        """Return a probe with a hook that is attached, or raise an Outcome. What was compiled once is not again."""
        if self.refusal:
            raise self.refusal
        try:
            if self.types is None:
                self.types = self.prepare()
            probe = self.probes.pop(asked["name"], None) or BccProbe(self.bpf, self.types, asked, self.request)
        except Outcome as outcome:
            if outcome.status != "failed":
                self.refusal = outcome  # what stops one of them stops them all, and each try may take a minute
            raise
        probe.begin(namespaces)
        if not probe.attach():
            hooks = probe.hooks
            probe.let_go()
            raise Outcome(hooks[0]["status"], hooks[0]["detail"], hooks)
        probe.backend = self
        return probe

    def prepare(self):
        """Look for lockdown, and for the headers."""
        if "[confidentiality]" in small_file(self.request["lockdown"]):
            raise Outcome("denied", "lockdown is [confidentiality]: programs may not read the kernel's memory")
        release = posix.uname().release
        folders = [each % release for each in HEADERS if kind_of((each % release) + "/include") == FOLDER]
        if not folders:
            raise Outcome("absent", "BCC has no headers of this kernel: no %s (linux-headers-%s, kernel-devel-%s)" % (HEADERS[-1] % release, release, release))
        raise_memlock()
        return HeaderTypes(folders)


class BccProbe(BpfProbe):
    """One probe that BCC has compiled. Its samples come by perf buffers."""

    def __init__(self, bpf, types, asked, request):
        self.given, self.said, self.compile_ms = {}, {}, 0.0
        self.compile(types, asked, request)
        BpfProbe.__init__(self, bpf, types, asked, "perf", ())
        self.ms["compile"] = self.compile_ms

    def compile(self, types, asked, request):
        """Have the child compile and load it."""
        begun, timeout_s = time.monotonic(), request["bcc_timeout_s"]
        text = asked["bcc"]
        for name, begins, needle, reading in asked["not_everywhere"]:
            if not types.has(name, begins, needle):
                text = text.replace(reading, "0")
        arity = dict((program["name"], types.arity(program["target"])) for program in asked["programs"])
        most = max(arity.values())
        reasons = dict((word, number) for number, word in types.names_of(asked["reasons"]).items())
        flags = ["-Dskoop_args_%d=%d" % (level, int(level <= most)) for level in LEVELS]
        flags += ["-Dskoop_%s=%dULL" % each for each in sorted(asked["settings"].items())]
        for word in asked_about(text):
            flags += ["-DHAS_%s=%d" % (word, int(word in reasons)), "-DVALUE_%s=%s" % (word, reasons.get(word, 0))]
        flags += ["-w", "-D__TARGET_ARCH_%s" % ("x86" if posix.uname().machine == "x86_64" else "arm64")]
        programs = [[program["name"], program["hook"]] for program in asked["programs"] if program["hook"] in ("raw_tp",) + KPROBES]
        maps = [row["name"] for row in asked["maps"] if row["name"] != "ring"] + ["filter"]
        order = {"text": text, "flags": flags, "programs": programs, "maps": maps, "memory": COMPILER_BYTES, "timeout_s": int(timeout_s)}
        self.said, descriptors = compiled(request["bcc_compiler"], order, timeout_s)
        for name, trouble in self.said["programs"].items():
            if not trouble:
                self.given[name] = descriptors.pop(0)
        self.tables = dict(zip(self.said["maps"], descriptors))
        self.compile_ms = (time.monotonic() - begun) * 1e3

    def make_maps(self, buffers, namespaces):
        """Take the maps that BCC has made; those of the artefact have the same keys and values."""
        self.maps.rows["filter"] = {"name": "filter", "type": 2, "key": 4, "value": 4, "entries": 1, "flags": 0}
        self.maps.fds = self.tables
        self.buffer = PerfBuffers(self.bpf, self.maps, "perf")

    def begin(self, namespaces):
        """Start from nothing: which namespaces are wanted, and no counts. Nothing is attached meanwhile."""
        self.hooks, self.degraded = [], False
        for name in self.tables:
            if name != "perf":
                wipe(self.maps, name)
        self.buffer.drain()
        for inode in namespaces:
            self.maps.put("wanted", struct.pack("=I", inode), struct.pack("=I", 1))
        self.maps.put("filter", struct.pack("=I", 0), struct.pack("=I", int(bool(namespaces))))

    def try_level(self, program, level):
        """Attach a program that BCC has loaded."""
        name = program["name"]
        if name not in self.given:
            said = self.said["programs"].get(name, "")
            raise Outcome("failed" if said else "absent", "BCC: " + (last_line(said) if said else "not for %s" % program["hook"]), said)
        begun = time.monotonic()
        self.links.extend(attach(self.bpf, program, self.given[name]))
        self.ms["attach"] += (time.monotonic() - begun) * 1e3
        self.loaded[name] = self.given[name]
        self.levels[program["target"]] = level

    def possible_levels(self, program):
        """The headers have told."""
        return [self.types.arity(program["target"])]

    def setup(self):
        """Return how it went."""
        setup = BpfProbe.setup(self)
        setup["backend"] = "bcc"
        setup["missing"] = ["which are tail loss probes"] if self.name == "tcpretrans" else []
        return setup

    def close(self):
        """Detach it, and keep what was compiled: this was the self-test."""
        self.detach()
        self.backend.probes[self.name] = self

    def let_go(self):
        """Let go of everything."""
        self.loaded.update(self.given)
        BpfProbe.close(self)


def wipe(maps, name):
    """Empty a hash, fill an array with zeros."""
    row = maps.rows[name]
    if row["type"] not in ARRAYS:
        for key, _ in maps.items(name, row["entries"]):
            maps.drop(name, key)
        return
    nothing = bytes((row["value"] + 7) // 8 * 8 * (maps.cpus if row["type"] in PER_CPU else 1))
    for index in range(row["entries"]):
        maps.put(name, struct.pack("=I", index), nothing)


def last_line(text):
    """Return the last line with words in it."""
    lines = [line for line in text.split("\n") if line.strip()]
    return lines[-1].strip()[:200] if lines else ""


def compiled(source, order, timeout_s):
    """Return what the compiler says it has, and its descriptors. Raises an Outcome with the reason otherwise."""
    ours, theirs = sockets.socketpair(sockets.AF_UNIX, sockets.SOCK_STREAM)
    read_order, write_order = posix.pipe()
    complaints, complain = posix.pipe()
    try:
        pid = run_compiler(source, read_order, theirs.fileno(), complain)
    except OSError as error:
        raise from_errno(error.errno, sys.executable)
    finally:
        posix.close(read_order)
        posix.close(complain)
        theirs.close()
    try:
        send_all(write_order, to_json(order).encode() + b"\n")
        message, given, before = hear(ours, complaints, time.monotonic() + timeout_s)
    finally:
        posix.kill(pid, SIGKILL)
        status = posix.waitpid(pid, 0)[1]
        with open(complaints, "rb", 0) as rest:
            complaint = rest.read(1 << 20).decode("utf-8", "replace")
        ours.close()
    complaint = before + complaint
    if message is None:
        raise Outcome("timeout", "BCC has not compiled it in %g s" % timeout_s)
    if not message:
        raise Outcome("failed", "BCC: " + (last_line(complaint) or "its process ended with %d" % status))
    from json import loads

    said = loads(message.decode())
    if "error" in said:
        wrong = [line for line in complaint.split("\n") if "error:" in line] or [said["error"]]
        status = "absent" if said["error"].startswith(("ModuleNotFoundError", "ImportError")) else "failed"
        raise Outcome(status, "BCC: %s (python3-bpfcc, python3-bcc)" % said["error"] if status == "absent" else "BCC: " + wrong[0][:200])
    return said, given


def send_all(descriptor, data):
    """Write everything into a pipe, and close it. A reader that is gone has said why, or will not."""
    try:
        view = memoryview(data)
        while len(view):
            view = view[posix.write(descriptor, view):]
    except BrokenPipeError:
        pass
    finally:
        posix.close(descriptor)


def hear(channel, complaints, until):
    """Return the compiler's message, its descriptors and what it complained of; no message (None) when time is up."""
    waiting = poll()
    waiting.register(channel.fileno(), POLLIN)
    waiting.register(complaints, POLLIN)
    said = b""
    while True:
        left = until - time.monotonic()
        if left <= 0:
            return None, [], said.decode("utf-8", "replace")
        for descriptor, _ in waiting.poll(left * 1e3):
            if descriptor == complaints:
                data = posix.read(complaints, 1 << 16)
                said = (said + data)[-(1 << 16):]
                if not data:
                    waiting.unregister(complaints)
                continue
            message, rights, _, _ = channel.recvmsg(1 << 16, 1 << 10)
            given = array("i")
            for level, kind, data in rights:
                if level == sockets.SOL_SOCKET and kind == sockets.SCM_RIGHTS:
                    given.frombytes(data[:len(data) // 4 * 4])
            return message, list(given), said.decode("utf-8", "replace")


def run_compiler(source, order, channel, complain):
    """Start the node's Python with its packages. It is in our process group, and ends with it."""
    argv = [sys.executable or "/usr/bin/python3", "-I", "-B", "-c", source]
    environment = {"LC_ALL": "C", "PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}
    places = ((order, 0), (channel, 1), (complain, 2))
    if hasattr(posix, "posix_spawn"):
        return posix.posix_spawn(argv[0], argv, environment, file_actions=[(posix.POSIX_SPAWN_DUP2,) + each for each in places])
    pid = posix.fork()
    if pid == 0:
        try:
            for source, target in places:
                posix.dup2(source, target)
            posix.execve(argv[0], argv, environment)
        finally:
            posix._exit(127)
    return pid
