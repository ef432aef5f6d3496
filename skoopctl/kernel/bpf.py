"""Programs on a packet's way that are not the kernel's own: XDP, tc filters, tcx, netkit, cgroup, sk_lookup.

What such a program does is not known; where it is attached, its name and whose it is, are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from struct import Struct
from typing import Any

from skoopctl.kernel.netlink.dump import Dump, attributes, decode_dump, number32, text

# include/uapi/linux/bpf.h: enum bpf_attach_type, enum bpf_prog_type.
_PLACES = {
    0: "cgroup ingress",
    1: "cgroup egress",
    3: "cgroup sock_ops",
    10: "cgroup connect4",
    11: "cgroup connect6",
    14: "cgroup sendmsg4",
    15: "cgroup sendmsg6",
    36: "sk_lookup",
    37: "xdp",
    46: "tcx ingress",
    47: "tcx egress",
    54: "netkit primary",
    55: "netkit peer",
}
_TYPES = {3: "sched_cls", 6: "xdp", 8: "cgroup_skb", 13: "sock_ops", 18: "cgroup_sock_addr", 30: "sk_lookup"}
# Who names programs so. Kernels cut the name of a program to 15 characters.
_OWNERS = (
    ("cil_", "Cilium"),
    ("cali_", "Calico's eBPF dataplane"),
    ("calico_", "Calico's eBPF dataplane"),
    ("conntrack_clean", "Calico's eBPF dataplane"),
    ("sd_", "systemd (IPAccounting, IPAddressAllow/Deny)"),
    ("kmesh", "Kmesh"),
    ("antrea", "Antrea"),
    ("retina", "Retina"),
    ("tc_ingress_flow", "NetObserv"),
    ("tc_egress_flow", "NetObserv"),
    ("tcx_ingress_flow", "NetObserv"),
    ("tcx_egress_flow", "NetObserv"),
    ("istio", "Istio"),
    ("kuma", "Kuma"),
    ("merbridge", "Merbridge"),
)
_TCMSG = Struct("=BxxxiIII")  # family, index, handle, parent, info (priority and protocol)
_RTM_NEWTFILTER = 44
_KIND, _OPTIONS = 1, 2
_BPF_NAME, _BPF_ID = 7, 11
_EGRESS_SIDE = 0xFFFFFFF3  # TC_H_CLSACT, TC_H_MIN_EGRESS; every other parent of the two qdiscs is ingress
_ONLY_A_NAME = 65535


@dataclass(frozen=True, slots=True)
class Attachment:
    """One program at one place. ``index`` is the device's ifindex (0: the namespace's or cgroup's).

    ``place`` is ``xdp``, ``tc ingress``, ``tcx egress``, ``cgroup connect4`` and so on; ``kind`` its type,
    or for a tc filter without a program its kind (``u32``); ``id`` is 0 where there is none.
    """

    place: str
    index: int = 0
    id: int = 0
    kind: str = ""
    name: str = ""

    @property
    def owner(self) -> str:
        """Who names its programs like this, or ''."""
        return next((owner for prefix, owner in _OWNERS if self.name.startswith(prefix)), "")

    def __str__(self) -> str:
        if not self.id and self.kind:
            return f"the tc filter {self.kind} at {self.place}"
        about = ", ".join(
            part for part in (f"id {self.id}" if self.id else "", self.kind, self.place, self.owner) if part
        )
        return f"the program {self.name or 'without a name'} ({about})"


def decode_programs(text_: str, filters: tuple[Attachment, ...] = ()) -> tuple[Attachment, ...]:
    """Decode the item ``bpf``: rows of [attach type, ifindex, id, type, name]. Raises ValueError.

    tc filters know the ids of their programs, and only the name of the file that those came from: they get the
    programs' names here.
    """
    try:
        rows = json.loads(text_)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(rows, list):
        raise ValueError("not a list of programs")  # noqa: TRY004 - the decoders' one error
    found = dict.fromkeys(_row(row) for row in rows)
    names = {each.id: each.name for each in found if each.name}
    named = (replace(each, name=names.get(each.id, each.name)) if each.id else each for each in filters)
    return (*named, *(each for each in found if each.place))


def _row(row: Any) -> Attachment:
    if not isinstance(row, list) or len(row) != 5:
        raise ValueError("a program is a list of five")
    attach, index, number, kind, name = row
    if not all(isinstance(n, int) for n in (attach, index, number, kind)) or not isinstance(name, str):
        raise ValueError("a program's numbers are no numbers")
    place = "" if attach == _ONLY_A_NAME else _PLACES.get(attach, f"attach type {attach}")
    return Attachment(
        place,
        index,
        number,
        _TYPES.get(kind, f"type {kind}"),
        name[:64],
    )


def decode_tc_filters(raw: bytes) -> Dump[Attachment]:
    """Decode the dumps of RTM_GETTFILTER: filters on both sides of devices."""
    found = decode_dump(raw, _RTM_NEWTFILTER, _filter)
    return Dump(tuple(dict.fromkeys(found.entries)), found.problem)


def _filter(body: bytes) -> Attachment | None:
    _, index, handle, parent, _ = _TCMSG.unpack_from(body)
    found = attributes(body, 20)
    kind = text(found.get(_KIND, b""))
    side = "tc egress" if parent == _EGRESS_SIDE else "tc ingress"
    if not handle or _OPTIONS not in found:
        return None  # the chain's head, which each kind of filter prints first
    if kind != "bpf":
        return Attachment(side, index, 0, kind)
    options = attributes(found[_OPTIONS])
    name = text(options.get(_BPF_NAME, b""))
    return Attachment(side, index, number32(options, _BPF_ID), "sched_cls", name)
