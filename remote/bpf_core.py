"""The backend ``core``: built programs, filled in for this kernel by its own types (CO-RE), loaded by bpf(2)."""
import errno
import struct
import time

MEMLOCK = 8


class Core:
    """What all its probes need, read once."""

    name = "core"

    def __init__(self, session):
        self.request, self.ms = session.request, session.ms
        self.bpf = Loader()
        self.types = None
        self.refusal = None

    def start(self, asked, namespaces):
        """Return a probe with a hook that is attached, or raise an Outcome."""
        if self.refusal:
            raise self.refusal
        if self.types is None:
            try:
                self.types = self.prepare()
            except Outcome as outcome:
                self.refusal = outcome
                raise
        try:
            probe = BpfProbe(self.bpf, self.types, asked, self.request["buffers"], namespaces)
            works = probe.attach()
        except (IndexError, ValueError):
            raise Outcome("failed", "the kernel's types (BTF) are damaged")
        except OSError as error:
            outcome = from_errno(error.errno, "bpf")
            if error.errno == errno.EPERM:
                outcome.detail += " (CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN before 5.8; RLIMIT_MEMLOCK before 5.11)"
            raise outcome
        if not works:
            hooks = probe.hooks
            probe.close()
            worst = hooks[0] if hooks else {"status": "absent", "detail": "this kernel has none of its hooks"}
            raise Outcome(worst["status"], worst["detail"], hooks)
        return probe

    def prepare(self):
        """Look at what forbids everything, raise the limit of locked memory, and read the kernel's types."""
        lockdown = small_file(self.request["lockdown"])
        if "[confidentiality]" in lockdown:
            raise Outcome("denied", "lockdown is [confidentiality]: programs may not read the kernel's memory")
        raise_memlock()
        begun = time.monotonic()
        try:
            with open(self.request["btf"], "rb", 0) as file:
                raw_types = file.read()
        except OSError as error:
            if error.errno == errno.ENOENT:
                raise Outcome("absent", "%s: ENOENT, this kernel does not show its types (CONFIG_DEBUG_INFO_BTF)" % self.request["btf"])
            raise from_errno(error.errno, self.request["btf"])
        programs = [asked for asked in self.request["probes"] if "programs" in asked]
        names = set(asked["reasons"] for asked in programs if asked["reasons"])
        for asked in programs:
            names |= names_of_artefact(asked)
        try:
            types = KernelTypes(raw_types, names)
        except (IndexError, ValueError, struct.error):
            raise Outcome("failed", "the kernel's types (BTF) are damaged")
        self.bpf.reads_kernel = has_read_kernel(self.bpf)
        self.ms["btf"] = (time.monotonic() - begun) * 1e3
        return types


def raise_memlock():
    """Lift the limit of locked memory, which maps and programs count against before 5.11. It may be refused."""
    try:
        from resource import RLIM_INFINITY, setrlimit

        setrlimit(MEMLOCK, (RLIM_INFINITY, RLIM_INFINITY))
    except (ImportError, OSError, ValueError):
        pass
