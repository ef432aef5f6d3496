"""The sources of the programs as one text for BCC: ``bpf/bcc.h`` in the place of the types, maps in BCC's way.

BCC rewrites calls of maps before it compiles, and only sees those that stand in the text as ``name.lookup(…)``.
"""

from __future__ import annotations

import re
from pathlib import Path

from skoopctl.errors import BpfObjectError

BCC_PROBES = ("packetloss", "tcpreset", "tcpretrans")
"""The probes that there are for BCC."""

_MAP = re.compile(r"struct \{\n(?:\t__\w+\([^;]*\);\n)+\} (\w+) SEC\(\"\.maps\"\);\n")
_INCLUDE = re.compile(r"^#include \"([^\n\"]*)\"\n", re.MULTILINE)
_FIELD = re.compile(r"__(?:uint|type)\((\w+), ([^;]*)\);")
_TABLES = {
    "BPF_MAP_TYPE_HASH": "hash",
    "BPF_MAP_TYPE_LRU_HASH": "lru_hash",
    "BPF_MAP_TYPE_PERCPU_ARRAY": "percpu_array",
}
_REWRITES = (
    (re.compile(r"//[^\n]*"), ""),
    (re.compile(r"^#define (?:SETTING|IS_SET)\(name\) [^S\n][^\n]*\n", re.MULTILINE), ""),
    (re.compile(r"^SETTING\([^\n]*\n", re.MULTILINE), ""),
    (re.compile(r"^#pragma once\n", re.MULTILINE), ""),
    (re.compile(r"bpf_map_lookup_elem\(&(\w+), "), r"\1.lookup("),
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
    text = _MAP.sub(_table, _inlined(f"{name}.bpf.c", folder, set()))
    for pattern, instead in _REWRITES:
        text = pattern.sub(instead, text)
    text = text.replace("enum kind {", "BPF_ARRAY(filter, u32, 1);\n\nenum kind {", 1)
    for left in ('SEC("', "bpf_map_", "skoop_ring))"):
        if left in text:
            raise BpfObjectError(f"{name} cannot be written for BCC: {left!r} is left in it")
    return text.lstrip()


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
