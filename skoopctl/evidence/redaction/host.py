"""Redact what a node says about itself: who it is, its namespaces and processes, its programs of eBPF."""

from __future__ import annotations

import json
import re
from typing import Any

from skoopctl.evidence.redaction.words import Redactor

_IDENTITY_NUMBERS = ("uid", "wall_ns", "mono_ns", "root_netns")
_IDENTITY_WORDS = ("machine", "python", "program_version")
_PLAIN = re.compile(r"[0-9A-Za-z_.+-]{1,32}")
_RELEASE = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_UUID = r"[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}"
_ID = re.compile(rf"{_UUID}|[0-9a-f]{{64}}|[0-9a-f]{{32}}")
_SEPARATORS = re.compile(r"([/\n:=,])")
_RUNTIMES = frozenset(
    {
        *(
            "kubepods-burstable-pod",
            "kubepods-besteffort-pod",
            "kubepods-pod",
            "pod",
            ".slice",
            ".scope",
            ".mount",
        ),
        *("cri-containerd-", "crio-", "crio-conmon-", "docker-", "libpod-", "cni-", "kubelet-kubepods-pod"),
    }
)
"""What container runtimes write around ids."""
# Who names programs so: `skoopctl.kernel.bpf` tells the owner by it.
_PROGRAMS = re.compile(
    r"(?:cil_|cali_|calico_|conntrack_clean|sd_|kmesh|antrea|retina|tcx?_(?:in|e)gress_flow|istio|kuma|merbridge)\w*"
)


def redact_identity(payload: bytes, redactor: Redactor) -> bytes:
    """Keep clocks and versions of a node's identity; its name is replaced, and its boot id left out."""
    found = _loaded(payload, dict)
    new: dict[str, Any] = {key: found[key] for key in _IDENTITY_NUMBERS if isinstance(found.get(key), int)}
    new |= {key: found[key] for key in _IDENTITY_WORDS if _PLAIN.fullmatch(str(found.get(key, "")))}
    new["hostname"] = redactor.names.name(str(found.get("hostname", "")))
    release = _RELEASE.match(str(found.get("kernel", "")))
    new["kernel"] = release[0] if release else ""
    return _dumped(new)


def redact_namespaces(payload: bytes, redactor: Redactor) -> bytes:
    """Keep inodes and process ids; names of namespaces, commands, and cgroups are replaced."""
    return _dumped([_namespace(each, redactor) for each in _loaded(payload, list) if isinstance(each, dict)])


def _namespace(entry: dict[str, Any], redactor: Redactor) -> dict[str, Any]:
    processes = entry.get("processes")
    names = entry.get("names")
    return {
        "inode": _integer(entry.get("inode")),
        "host": entry.get("host") is True,
        "names": [_with_ids(str(name), redactor) for name in names] if isinstance(names, list) else [],
        "processes": [
            {
                "pid": _integer(each.get("pid")),
                "comm": redactor.composite(str(each.get("comm", ""))),
                "cgroup": cgroup(str(each.get("cgroup", "")), redactor),
            }
            for each in (processes if isinstance(processes, list) else [])
            if isinstance(each, dict)
        ],
    }


def cgroup(text: str, redactor: Redactor) -> str:
    """Replace what is somebody's in the text of /proc/PID/cgroup: pods' UIDs, containers' ids, names of units."""
    return "".join(
        part if _SEPARATORS.fullmatch(part) else _with_ids(part, redactor) for part in _SEPARATORS.split(text)
    )


def _with_ids(text: str, redactor: Redactor) -> str:
    """Replace ids, and then what stands around them."""
    parts: list[str] = []
    at = 0
    for found in _ID.finditer(text):
        parts += [_around(text[at : found.start()], redactor), redactor.names.identifier(found[0])]
        at = found.end()
    return "".join([*parts, _around(text[at:], redactor)])


def _around(text: str, redactor: Redactor) -> str:
    if text in _RUNTIMES:
        return text
    return redactor.composite(text)


def redact_nsids(payload: bytes, _redactor: Redactor) -> bytes:
    """Keep numbers of namespaces and their inodes: they tell of no one."""
    found = _loaded(payload, dict)
    return _dumped({str(int(nsid)): _integer(inode) for nsid, inode in found.items()})


def redact_programs(payload: bytes, redactor: Redactor) -> bytes:
    """Keep places, devices and kinds of eBPF programs; a name stays where it tells whose product it is."""
    return _dumped([_program(row, redactor) for row in _loaded(payload, list)])


def _program(row: Any, redactor: Redactor) -> list[Any]:
    if not isinstance(row, list) or len(row) != 5:
        raise ValueError("a program is a list of five")
    name = str(row[4])
    return [
        *(_integer(number) for number in row[:4]),
        name if _PROGRAMS.fullmatch(name) else redactor.composite(name),
    ]


def _integer(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _loaded(payload: bytes, kind: type) -> Any:
    """Parse JSON of one type. Raises ValueError."""
    try:
        found = json.loads(payload)
    except RecursionError as error:
        raise ValueError("JSON nested too deeply") from error
    if not isinstance(found, kind):
        raise ValueError(f"{kind.__name__} expected")  # noqa: TRY004 - one error for what cannot be read
    return found


def _dumped(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
