"""The sources of the programs as one text for BCC: ``bpf/bcc.h`` in the place of the types, maps in BCC's way.

BCC rewrites calls of maps before it compiles, and only sees those that stand in the text as ``name.lookup(…)``.
"""

from __future__ import annotations

import re
from pathlib import Path

from skoopctl.errors import BpfObjectError

_MAP = re.compile(r"struct \{\n(?:\t__\w+\([^;]*\);\n)+\} (\w+) SEC\(\"\.maps\"\);\n")
_INCLUDE = re.compile(r"^#include \"([^\n\"]*)\"\n", re.MULTILINE)
_FIELD = re.compile(r"__(?:uint|type)\((\w+), ([^;]*)\);")
_TABLES = {
    "BPF_MAP_TYPE_HASH": "hash",
    "BPF_MAP_TYPE_ARRAY": "array",
    "BPF_MAP_TYPE_LRU_HASH": "lru_hash",
    "BPF_MAP_TYPE_PERCPU_ARRAY": "percpu_array",
}
_CGROUP = "BPF_CORE_READ({}, kn, id)"
_STRUCT = re.compile(r"^struct (\w+) \{\n[^}]*\} RELOCATED;\n", re.MULTILINE)
_DECLARED = {
    "css_set": "linux/cgroup-defs.h",
    "gendisk": "linux/blkdev.h",
    "nsproxy": "linux/nsproxy.h",
    "request": "linux/blk-mq.h",
    "request_queue": "linux/blkdev.h",
    "task_struct": "linux/sched.h",
}
"""Where the kernel declares what a probe alone reads; bcc.h has the headers of what all read."""
_FIELDS = (
    ("net/net_namespace.h", "struct net {", "u64 net_cookie;", "BPF_CORE_READ(net, net_cookie)"),
    (
        "linux/cgroup-defs.h",
        "struct sock_cgroup_data {",
        "struct cgroup *cgroup;",
        _CGROUP.format("sk, sk_cgrp_data.cgroup"),
    ),
    *(
        ("linux/kernfs.h", "struct kernfs_node {", "u64 id;", _CGROUP.format(way))
        for way in ("sk, sk_cgrp_data.cgroup", "task, cgroups, dfl_cgrp")
    ),
    ("linux/skbuff.h", "struct sk_buff {", "u64 skb_mstamp_ns;", "BPF_CORE_READ(skb, skb_mstamp_ns)"),
    *(
        ("linux/blkdev.h", "struct request_queue {", "struct gendisk *disk;", reading)
        for reading in ("bpf_core_field_exists(queue->disk)", "BPF_CORE_READ(queue, disk)")
    ),
    (
        "linux/blkdev.h",
        "struct request {",
        "struct gendisk *rq_disk;",
        "BPF_CORE_READ((struct request *)request, rq_disk)",
    ),
    *(
        ("linux/sched.h", "struct task_struct {", "unsigned int __state;", reading)
        for reading in ("bpf_core_field_exists(task->__state)", "BPF_CORE_READ(task, __state)")
    ),
    ("linux/sched.h", "struct task_struct {", "volatile long state;", "BPF_CORE_READ(old, state)"),
)
"""What some kernels have not: the header and the struct that declare it, how, and what asks for it or reads it."""
_COMMENT = re.compile(r"[ \t]*//[^\n]*")
_REWRITES = (
    (re.compile(r"(\w+)___\w+"), r"\1"),
    (re.compile(r"^#define (?:SETTING|IS_SET)\(name\) [^S\n][^\n]*\n", re.MULTILINE), ""),
    (re.compile(r"^SETTING\([^\n]*\n", re.MULTILINE), ""),
    (re.compile(r"^#pragma once\n", re.MULTILINE), ""),
    (re.compile(r"&(skoop_\w+_us)"), r"\1"),
    (re.compile(r"IS_SET\(skoop_filter\) && (!is_wanted\()"), r"\1"),
    (re.compile(r"bpf_map_lookup_elem\(&(\w+), "), r"\1.lookup("),
    (re.compile(r"bpf_map_delete_elem\(&(\w+), "), r"\1.delete("),
    (re.compile(r"bpf_map_update_elem\(&(\w+), ([^,]+), ([^,]+), BPF_NOEXIST\)"), r"\1.insert(\2, \3)"),
    (re.compile(r"bpf_map_update_elem\(&(\w+), ([^,]+), ([^,]+), 0\)"), r"\1.update(\2, \3)"),
    (re.compile(r"bpf_perf_event_output\(ctx, &perf, BPF_F_CURRENT_CPU, "), "perf.perf_submit(ctx, "),
    (re.compile(r"\tif \(IS_SET\(skoop_ring\)\)\n[^\n]*\n\telse\n"), ""),
    (
        re.compile(r"\tif \(!IS_SET\(skoop_filter\)\)\n"),
        "\tu32 first = 0, *on = filter.lookup(&first);\n\n\tif (!on || !*on)\n",
    ),
    (re.compile(r"^SEC\(\"fentry/[^\n]*\n[^}]*\}\n", re.MULTILINE), ""),
    (re.compile(r"^SEC\([^\n]*\n", re.MULTILINE), ""),
    (re.compile(r"^char LICENSE[^\n]*\n", re.MULTILINE), ""),
    (re.compile(r"\n{3,}"), "\n\n"),
)


def rendered(name: str, folder: Path) -> str:
    """Return the text of one probe, from the sources in ``folder``."""
    text = _COMMENT.sub("", _inlined(f"{name}.bpf.c", folder, set()))
    read = [struct for struct in _STRUCT.findall(text) if "___" not in struct]
    text = _STRUCT.sub("", _MAP.sub(_table, text))
    for pattern, instead in _REWRITES:
        text = pattern.sub(instead, text)
    text = text.replace("enum kind {", "BPF_ARRAY(filter, u32, 1);\n\nenum kind {", 1)
    for left in ('SEC("', "bpf_map_", "skoop_ring)", "SET(skoop_filter)"):
        if left in text:
            raise BpfObjectError(f"{name} cannot be written for BCC: {left!r} is left in it")
    headers = sorted({_DECLARED[struct] for struct in read})
    return "".join(f"#include <{header}>\n" for header in headers) + text.lstrip()


def not_everywhere(text: str) -> list[tuple[str, str, str, str]]:
    """Return (header, words that begin a struct, declaration, reading) of what a text reads and kernels may lack.

    On a node whose header has no such declaration in that struct the reading becomes 0.
    """
    return [row for row in _FIELDS if row[-1] in text]


def _inlined(file: str, folder: Path, seen: set[str]) -> str:
    """Return a source with the headers that it includes, each once; ``bcc.h`` stands in the place of the types."""
    if file in seen:
        return ""
    seen.add(file)
    text = (folder / ("bcc.h" if file == "kernel.h" else file)).read_text(encoding="utf-8")
    return _INCLUDE.sub(lambda found: _inlined(found[1], folder, seen), text)


def _table(found: re.Match[str]) -> str:
    """Return a map's definition in BCC's words. Samples go to perf buffers: no ring, which old kernels have not."""
    name = found[1]
    if name == "ring":
        return ""
    if name == "perf":
        return "BPF_PERF_OUTPUT(perf);\n"
    fields = {match[1]: match[2] for match in _FIELD.finditer(found[0])}
    kind = _TABLES[fields["type"]]
    return f'BPF_TABLE("{kind}", {fields["key"]}, {fields["value"]}, {name}, {fields["max_entries"]});\n'
