"""Write docs/ebpf.md from the table of eBPF probes; with ``--check``, only say whether it is fresh.

Run it with ``make docs``.
"""

from __future__ import annotations

from pathlib import Path

from docs.pages import write_or_check
from skoopctl.bpf.artefact import built
from skoopctl.bpf.calls import NETFILTER_HOOKS, NO_LOSS, NO_LOSS_WITHOUT_REASON
from skoopctl.bpf.catalogue import KINDS, PROBES, BpfProbe, EventKind
from skoopctl.bpf.metric import TUPLE_LABELS, EventMetric

PAGE = Path(__file__).with_name("ebpf.md")

_OPENING = """\
# eBPF on demand

<!-- Written by `make docs` from skoopctl/bpf/. Edit docs/ebpf.py or the tables. -->

Kernel events with a cause, from any node with Python 3.6, root and BTF (`/sys/kernel/btf/vmlinux`): no compiler, no
headers, no libbpf, no file on the node. The programs are built beforehand ([`bpf/`](../bpf), `make bpf`); the node
program fills them in for its kernel, loads and attaches them, and sends what they see. Everything hangs on file
descriptors: when the program ends, even by SIGKILL, programs and maps are gone.

- **Nothing is guessed.** A field that the kernel has not refuses the program, by name, unless the program asks first
  whether it is there. So does a field of another size, and one that two types of one name have at different places.
- **Features are tried, versions are not read.** How many arguments a tracepoint has is read from the kernel's types;
  where they do not tell, the program is tried with fewer and fewer. Without the ring buffer there are perf buffers.
- **Tried on kernels, not only built for them.** Every probe of eBPF starts, sees its self-test and tells what goes on,
  by ring buffer and by perf buffer, on Linux 6.18 (the lab's machine) and in guests with Debian's kernels: 5.10 and
  6.1, and 6.1 for aarch64, in every test run; 6.12 and 7.2 with `make test-vm ARGS=--all-kernels`. 5.10 tells no
  reasons: a drop has its function there, and its netfilter hook, from which the rule is found all the same.
- **What cannot be had is told**, with the errno and the verifier's words. A probe is *degraded* while one useful hook
  lives, and *unavailable* with one reason otherwise: lockdown, missing BTF, missing privilege.
- **Attached is not firing.** Before a probe counts, a second instance of it must see two things that are made to
  happen on the node's own loopback, in the node's own network namespace: a datagram to a port where nobody reads, and
  a connection that is refused. Both ports are held meanwhile, nothing leaves the machine, and of all counters only
  the kernel's own have one more (`UdpNoPorts`, `TcpOutRsts`). Each probe's result is `ok`, `silent` (it is *degraded*
  then), or `none` where nothing harmless provokes it, or loopback is down or filtered. `BpfRequest.selftest` turns it
  off.
- **No probe costs more than its budget.** The kernel measures what programs take, for 1 s of every 10 s
  (`BPF_ENABLE_STATS`; before 5.8 it is worked out from the number of events). A probe that is over its budget, 2 % of
  all CPUs unless `BpfRequest.budget` says otherwise, in two slices in a row is detached; what it counted is kept, and
  the node says so, with the measured share.
- **Counts in maps, samples in buffers.** Every event is counted. A sample that found no room is in `lost`, counted by
  the program itself: what came and what was lost are together all that happened, but for what a program could not see
  because it was running already on that CPU, which is rare, and told as `missed` (since 5.12 the kernel counts it).
  Kinds of which there may be very many are only counted, and say so. Of a flood, records travel in batches, 5 ms or
  more apart; after 32 MiB at once it is 8 MiB of them a second (40,000 drops), and what is more is counted as lost
  (`make bench ARGS="--only events"`).
- Reasons have the names of the node's own kernel; functions are named by its `/proc/kallsyms`. The netfilter hook of
  a drop is known by the calls that led there, and is empty where they do not tell.

Times are integers in nanoseconds: `mono_ns` of the kernel's monotonic clock, `wall_ns` by the node's offset between
both clocks, sampled with each batch.

Probes of latencies count everything in histograms on the node, in slots of powers of two of nanoseconds, and tell as
events what took longer than a threshold. What a run costs was measured by the kernel itself (`BPF_ENABLE_STATS`, which
adds some of its own) on a virtual machine with two CPUs.

Some probes are no eBPF and need no BTF and no CAP_BPF, but stand in the same table and send by the same program:
sockets, one in each network namespace that is asked for, or in all. New namespaces are found within two seconds, so
that the first moments of a pod may be missed; one that nobody lives in any more is left as soon, because a socket
keeps it alive. Their messages that found no room are `lost`, as the kernel counts them for the socket (Linux 4.12);
more than 2,000 events a second are counted but not sent (`unsent`). Between turns the program rests three times as
long as it worked, so that a flood costs the node a quarter of a CPU, and messages. Counts of a namespace that has
ended are told once more. No module is loaded: where one is not there, the probe is unavailable.
"""

_BACKENDS = """\
## Backends

Each probe is started by the first backend that can; which one it is, why the better ones could not, and what it
cannot tell are in `Setup` (`backend`, `passed`, `missing`). `BpfRequest.backend` asks for one alone.

| backend | needs | tells |
|---|---|---|
| `core` | BTF, root | everything |
| `bcc` | BCC and the kernel's headers ([`skoopctl node prepare`](node.md)), root | everything of each \
eBPF probe, but which retransmissions are tail loss probes |
| `tracefs` | a mounted tracefs, root | each event of `packetloss` (reason, function, protocol), and of `tcpreset` \
and `tcpretrans` (both ends); no namespace, and of a dropped packet neither ends, inside nor netfilter hook |
| `proc` | root | counts of `packetloss`, `tcpreset` and `tcpretrans` by namespace and reason, from the kernel's \
counters; nothing of what rules drop |

- `bcc` is for kernels without BTF. A child of the node program, with BCC of the node's own Python,
  compiles the same sources against the headers, within 60 s, 1 GiB of addresses and nice 19, loads them, hands over
  the descriptors and ends: what clang takes is gone before the probe runs. It takes seconds (about 3 s a probe
  natively, against some 5 ms), and headers that are only in the kernel (`kheaders`) are not used, because BCC would
  unpack them into /tmp. All of them compile against the headers of Linux 5.10 and 6.1.
- `tracefs` makes an instance of the kernel's tracing for each probe, `skoopctl-BOOT-PID.START-PROBE`, with 512 KB a
  CPU, and removes it at its end. SIGKILL would leave it: so a shell of its own process group waits for the program's
  end and removes it then, and every start removes those whose process is gone. Fields, and the names of reasons, are
  those of the event's `format` on the node. tracefs that is not mounted is not mounted.
- `proc` gives counters the kernel's names of reasons where they count the same thing, and their own name otherwise.
"""
_NOTES = {
    "packetloss": """\
Of a packet of a tunnel the event has what it carries too: the first IP packet inside, with its ends, protocol, TCP
flags, and the tunnel's number. Tunnels are VXLAN (UDP to 8472 or 4789, with a VNI), Geneve (UDP to 6081), GRE (version
0, with or without key, IP or Ethernet in it) and IP in IP (`IPIP`: the protocols 4 and 41); Ethernet inside may have
one VLAN tag. What is inside is told as far as the kernel has it in one piece with the outer headers: not what lies in
pages of its own, nor of fragments behind the first, of another port, of what IPsec or WireGuard has encrypted, nor of
a tunnel in a tunnel. Nothing behind the packet's end is read. Ports, device, namespace and counts are those of the
packet outside, and so are flows and their series: what is inside is in samples alone, so that a finding's counts of it
are of those that were seen.

Cost: some 1.8 us a drop, mostly the calls that led there; what is inside adds 0.1 us at most, less than the noise.

""",
    "conntrackevents": """\
It looks at the host's namespace, and at others where they are named. Source and destination are the first direction's;
details have the other one's (`reply_source`, `reply_source_port`, `reply_destination`, `reply_destination_port`: where
they differ, there is NAT), `state` of TCP, `status`, `timeout_s`, `mark`, `zone`, `id`, and at the end `packets` and
`bytes` of both directions where the kernel counts them (`nf_conntrack_acct`). Times are those of reading the message.

Asking is listening, and that makes the kernel tell events where `nf_conntrack_events` is 2 (the default since 5.19):
a connection that was begun before has no events of its own then, not even its end. With 0 there are none, and the
probe says so. Each event costs the kernel a message while somebody listens. Messages that found no room are counted
exactly since 4.12; before, `lost` is how often there were any.

""",
    "flow": """\
Flows have growth since the beginning of the run: `count` connections with these ends and ports, `bytes` of payload
without what was sent again, `packets` (segments, those without payload too), `retransmits` of what was sent, and the
socket's last `rtt_us`. `flow-sent` has the namespace's own end as source, `flow-received` its peer: of a connection
with both ends on watched nodes, the one's sent is the other's received. The largest flows are told; how many were not
is in `uncounted`. Flows that ended an hour ago are told no more.

TCP alone: other sockets count no bytes. A connection that has ended may have a byte more received, the peer's FIN. One
that its own end resets (`SO_LINGER` 0) has what the last snapshot saw, because its socket forgets its numbers; the
peer's end has them. One that ends while the program does is seen as far as the last snapshot.

Nothing is attached to the packets' way. A snapshot walks the kernel's hash of connections, once a namespace.

""",
    "dns": """\
Each query ends as one kind of event, and is counted once, for the namespace that it left first: a pod's own, whatever
happens to its addresses behind that. In the host's namespace a query that came in with the same id and question in
the second before is a pod's, and is passed over; pods on the host's network are the host. A loopback device is looked
at where packets leave.

The reason is the answer's code (RCODE), the latency is from the first time that the query was sent; details are
`name`, `type`, `rcode`, `tries`, and `truncated` where the answer was. What is no printable ASCII in a name is written
as `\\DDD`. Flows count by client and server, without the client's port.

Over TCP, messages are put together from the segments of each direction, from the connection's beginning on, or from a
segment that is one message. Where a segment was not seen, the queries of that connection that still wait are told as
not counted, not as without an answer. A connection that is refused or not answered has no query: see tcpconnect.

Not seen: DNS over TLS or HTTPS, other ports than 53, fragments behind the first, IPv6 with extension headers,
and what a proxy in the pod's own namespace takes away before it leaves.

The tap does not switch on promiscuous mode. While it is open the kernel makes a second head for every packet that a
device of the namespace sends, before the filter throws it away; in an A/B of datagrams over a veth (3 us each) that
was below the noise. A query and its answer, seen at both ends, cost the node program some 45 us of CPU.

""",
}
"""What the numbers of a probe are, and what they do not tell."""

_UNWANTED = """\
## What is no loss

The kernel frees packets in the normal course of things, and the tracepoint does not tell. Those that are freed with
the reasons CONSUMED and QUEUE_PURGE are passed over, and those in these functions are counted apart:

| function | |
|---|---|
"""

_HOOKS = """\
## Netfilter hooks by function

| function | hook |
|---|---|
"""

_ADDING = """\
## Adding a probe

For one that is no eBPF, a file `ev_NAME.py` in `remote/` with a class of `SourceProbe` (`remote/ev_source.py`),
its row with `source`, its file in `SOURCE_FILES` of `skoopctl/bpf/program.py`, and a paragraph in `docs/ebpf.py`.

By eBPF, a source in `bpf/NAME.bpf.c` that fills in `struct record` of `bpf/record.h`, a row in the catalogue,
`make bpf`, `make docs`, and a test in `tests/kernel` that provokes the real cause. Structs hold only the fields that
are read, with `RELOCATED`; functions are `__always_inline`; there is no global data, but `SETTING(name)` for numbers
that the loader puts in; what newer kernels have is asked for with `bpf_core_field_exists()`, or is `skoop_args_N`
for arguments. `tests/kernel/test_bpf_relocations_live.py` compares each relocation with libbpf's.
"""


def page() -> str:
    """Return the page."""
    table = ["## Probes", "", "| probe | tells | made by |", "|---|---|---|"]
    table += [f"| [`{each.name}`](#{each.name}) | {each.title} | {_size(each)} |" for each in PROBES.values()]
    sections = [line for each in PROBES.values() for line in _section(each)]
    unwanted = [f"| `{name}` | {why} |" for name, why in NO_LOSS.items()]
    unwanted += [f"| `{name}`, without a reason | {why} |" for name, why in NO_LOSS_WITHOUT_REASON.items()]
    hooks = [f"| `{name}` | {hook} |" for name, hook in NETFILTER_HOOKS.items()]
    parts = [
        _OPENING,
        *table,
        "",
        *sections,
        _BACKENDS,
        _UNWANTED.rstrip(),
        *unwanted,
        "",
        _HOOKS.rstrip(),
        *hooks,
        "",
        _ADDING,
    ]
    return "\n".join(parts)


def _size(probe: BpfProbe) -> str:
    if not probe.is_bpf:
        return ", ".join(dict.fromkeys(hook.by.partition(",")[0].partition(":")[0] for hook in probe.hooks))
    code = sum(len(program.code) for program in built(probe.name, "x86_64").programs)
    return f"{code:,} bytes of eBPF"


def _section(probe: BpfProbe) -> list[str]:
    ours = built(probe.name, "x86_64").programs if probe.is_bpf else ()
    programs = {program.name: program for program in ours}
    lines = [f"### {probe.name}", "", f"{probe.title[0].upper()}{probe.title[1:]}.", ""]
    if probe.reasons:
        lines += [f"Reasons are those of the kernel's `enum {probe.reasons}`.", ""]
    if probe.whole_node:
        lines += ["It is of the whole node: asking for some namespaces does not narrow it.", ""]
    if probe.notes:
        lines += [probe.notes, ""]
    lines += ["| sees | by | kernels |", "|---|---|---|"]
    for hook in probe.hooks:
        ways = [
            ", ".join(f"`{programs[name].hook}/{programs[name].target}`" for name in alternative)
            for alternative in hook.alternatives
        ]
        only = (
            f"; only where `{hook.needed.tracepoint}` has fewer than {hook.needed.arguments} arguments"
            if hook.needed
            else ""
        )
        lines.append(f"| {hook.what} | {hook.by or ', else '.join(ways)}{only} | {hook.since} |")
    lines += ["", "| event | KubeSkoop's | |", "|---|---|---|"]
    lines += [
        f"| `{kind.name}` | {_compatible(kind)} | {kind.tells}{_counted(kind)} |" for kind in probe.kinds
    ]
    return [*lines, "", *_metrics(probe), *_latencies(probe)]


def _counted(kind: EventKind) -> str:
    return "" if kind.sampled else "; it is only counted"


def _compatible(kind: EventKind) -> str:
    return f"`{kind.compatible}`" if kind.compatible else "none"


def _metrics(probe: BpfProbe) -> list[str]:
    if not probe.metrics:
        return []
    lines = ["| KubeSkoop's metric | counts | labels |", "|---|---|---|"]
    for metric in probe.metrics:
        kinds = ", ".join(f"`{KINDS[number].name}`" for number in metric.kinds)
        only = f" with the reason {', '.join(metric.reasons)}" if metric.reasons else ""
        if metric.functions:
            only += f", or in {', '.join(f'`{name}`' for name in metric.functions)}"
        lines.append(f"| `{metric.name}` | {kinds}{only} | {_labels(metric)} |")
    return [*lines, ""]


def _labels(metric: EventMetric) -> str:
    short = ", ".join(f"`{name}`" for name in metric.labels if name not in TUPLE_LABELS)
    return f"{short}, both ends".removeprefix(", ") if TUPLE_LABELS[0] in metric.labels else short


def _latencies(probe: BpfProbe) -> list[str]:
    lines = []
    if probe.thresholds:
        lines += ["| threshold | from then on | by default |", "|---|---|---|"]
        lines += [
            f"| `{probe.name}.{each.name}` | {each.tells} | {each.default_us / 1000:,g} ms |"
            for each in probe.thresholds
        ]
        lines += [""]
    if probe.histograms:
        rows = ", ".join(f"{stage} {of}".rstrip() for stage, of in probe.histograms)
        lines += [f"Histograms, of the slow and the others: {rows}.", ""]
    lines += _NOTES.get(probe.name, "").splitlines()
    if probe.cost:
        lines += [f"Cost: {probe.cost}.", ""]
    return lines


def main() -> None:
    """Write the page, or check it."""
    write_or_check({PAGE: page()})


if __name__ == "__main__":
    main()
