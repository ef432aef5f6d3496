"""RDMA devices: counters of ports as ``DEVICE/PORT/counters/NAME value``, and resources out of RDMA netlink."""

from __future__ import annotations

import re
from collections.abc import Sequence
from struct import Struct

from skoopctl.kernel.netlink.dump import attributes, attributes_in_order, decode_dump, text
from skoopctl.probes.decode.rows import Decode, Key, Rows, Value, text_of, whole

_COUNTER = re.compile(r"([\w.-]{1,64})/(\d{1,4})/(?:hw_)?counters/(\w{1,64})\t(\d{1,20})")

# include/uapi/rdma/rdma_netlink.h
_RES_GET = 5 << 10 | 9  # RDMA_NL_NLDEV, RDMA_NLDEV_CMD_RES_GET
_DEV_NAME, _SUMMARY, _ENTRY, _ENTRY_NAME, _ENTRY_CURRENT = 2, 15, 16, 17, 18
_U64 = Struct("=Q")
MOST_ROWS = 256
"""Ports, or devices, of one node that are shown."""

UNKNOWN_TYPE = "unknown"
_TYPES = frozenset({"mlx5", "erdma"})


def type_of(device: str) -> str:
    """Return a device's type by its name: ``mlx5_0`` is an mlx5."""
    word = device.partition("_")[0]
    return word if word in _TYPES else UNKNOWN_TYPE


def compile_counters(fields: Sequence[str]) -> Decode:
    """Make a decoder of fields such as ``mlx5.port_rcv_data``: a row a port."""

    def decode(_netns: int, _host: bool, items: Sequence[bytes | None]) -> Rows:
        ports: dict[Key, dict[str, int]] = {}
        for line in text_of(items[0] or b"").split("\n"):
            if not line:
                continue
            found = _COUNTER.fullmatch(line)
            if found is None:
                continue  # a counter that says N/A, or is no number
            device, port, name, value = found.groups()
            kind = type_of(device)
            ports.setdefault((device, kind, port), {})[f"{kind}.{name}"] = whole(value)
        rows: Rows = [(key, tuple(map(told.get, fields))) for key, told in ports.items()]
        return rows[:MOST_ROWS]

    return decode


def compile_resources(fields: Sequence[str]) -> Decode:
    """Make a decoder of ``qp``, ``mr`` and their kin: a row a device."""

    def decode(_netns: int, _host: bool, items: Sequence[bytes | None]) -> Rows:
        dump = decode_dump(items[0] or b"", _RES_GET, _device)
        if dump.problem:
            raise ValueError(dump.problem)
        rows: Rows = []
        for device, told in dump.entries:
            row: tuple[Value, ...] = tuple(map(told.get, fields))
            rows.append(((device, type_of(device)), row))
        return rows[:MOST_ROWS]

    return decode


def _device(body: bytes) -> tuple[str, dict[str, int]]:
    found = attributes(body)
    entries = attributes_in_order(found.get(_SUMMARY, b""))
    told = (attributes(entry) for kind, entry in entries if kind == _ENTRY)
    numbers = {
        text(each[_ENTRY_NAME]): _U64.unpack(each[_ENTRY_CURRENT])[0]
        for each in told
        if _ENTRY_NAME in each and _ENTRY_CURRENT in each
    }
    return text(found.get(_DEV_NAME, b"")), numbers
