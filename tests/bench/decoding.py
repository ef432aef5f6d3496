"""Decoding what nodes answer, beside ``json.loads`` of the same state as iproute2 and nft print it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

from skoopctl.errors import UsageError
from skoopctl.kernel import netlink
from skoopctl.kernel.iptables import Backend
from skoopctl.kernel.iptables_save import decode_iptables_save
from tests.bench.figure import Figure
from tests.bench.setting import Setting
from tests.bench.stopwatch import cpu_of
from tests.support.kernel_dump import dump_in, namespaces
from tests.support.recorded import RECORDINGS

NAMESPACE = "skoop-bench"
DEVICES, QUICK_DEVICES = 100, 20
PER_DEVICE = 10
DECODERS: dict[str, Callable[[bytes, Mapping[int, str]], netlink.Dump[Any]]] = {
    "link": lambda raw, _: netlink.decode_links(raw),
    "addr": lambda raw, _: netlink.decode_addresses(raw),
    "route": lambda raw, devices: netlink.decode_routes(raw, devices=devices, nexthops=()),
    "neigh": lambda raw, devices: netlink.decode_neighbours(raw, devices=devices),
    "fdb": lambda raw, devices: netlink.decode_fdb(raw, devices=devices),
}
PRINTED = {
    "link": ("ip", "-j", "-d", "link"),
    "addr": ("ip", "-j", "addr"),
    "route": ("ip", "-j", "route", "show", "table", "all"),
    "neigh": ("ip", "-j", "neigh"),
    "fdb": ("bridge", "-j", "fdb"),
}


def iptables_decoding(setting: Setting) -> Iterator[Figure]:
    """Decode the iptables rules of a recorded node, beside the same rules as ``nft -j`` prints them."""
    folder = RECORDINGS / "iptables" / "nodes" / "node1-c4"
    text, printed = (folder / "iptables-save.txt").read_text(), (folder / "nft.json").read_bytes()
    rules = text.count("] -A ")
    spent = cpu_of(
        lambda: decode_iptables_save(text, family=4, backend=Backend.NFT), rounds=setting.rounds(7)
    )
    loads = cpu_of(lambda: json.loads(printed), rounds=setting.rounds(7))
    what = "iptables rules decoded"
    yield Figure("iptables", what, rules / spent, "/s", rules / loads, "json.loads of nft -j")


def netlink_decoding(setting: Setting) -> Iterator[Figure]:
    """Decode raw dumps of a namespace with many devices, beside what ``ip -j`` prints of it."""
    if os.geteuid() != 0:
        raise UsageError("making a network namespace takes root", hint="run it with sudo")
    devices = QUICK_DEVICES if setting.quick else DEVICES
    with namespaces(NAMESPACE):
        for program, lines in _furniture(devices).items():
            _batch(program, lines)
        raw = dump_in(NAMESPACE)
        printed = {name: _printed(argv) for name, argv in PRINTED.items()}
    found = netlink.decode_links(raw["link"]).entries
    devices_by_index = {link.index: link.name for link in found}
    for name, text in printed.items():
        yield _beside_json(setting, name, raw[name], text, devices_by_index)


def _beside_json(setting: Setting, name: str, raw: bytes, text: bytes, devices: Mapping[int, str]) -> Figure:
    decode = DECODERS[name]
    count, rounds = len(decode(raw, devices).entries), setting.rounds(5)
    setting.say(f"decoding {count} entries of {name}")
    spent = cpu_of(lambda: decode(raw, devices), rounds=rounds)
    loads = cpu_of(lambda: json.loads(text), rounds=rounds)
    return Figure(
        f"netlink.{name}",
        f"netlink {name} entries decoded",
        count / spent,
        "/s",
        count / loads,
        f"json.loads of {' '.join(PRINTED[name][:2])} …",
        detail={"entries": count, "bytes": len(raw), "json_bytes": len(text)},
    )


def _furniture(devices: int) -> dict[str, list[str]]:
    """Return lines for ``ip`` and ``bridge`` that make cables, addresses, routes, neighbours, FDB entries."""
    links, entries, fdb = ["link add br0 type bridge", "link set br0 up"], [], []
    for number in range(devices):
        name = f"v{number}"
        links += [
            f"link add {name} type veth peer name p{number}",
            f"link set {name} up",
            f"link set p{number} up",
        ]
        links += [f"link set p{number} master br0", f"address add 10.{number}.0.1/24 dev {name}"]
    for number, other in product(range(devices), range(PER_DEVICE)):
        mac = f"02:00:00:00:{number:02x}:{other:02x}"
        entries.append(f"route add 172.{16 + other}.{number}.0/24 via 10.{number}.0.2 dev v{number}")
        entries.append(f"neigh add 10.{number}.0.{other + 2} lladdr {mac} dev v{number} nud permanent")
        fdb.append(f"fdb add {mac} dev p{number} master static")
    return {"ip": [*links, *entries], "bridge": fdb}


def _batch(program: str, lines: list[str]) -> None:
    argv = ["nsenter", f"--net=/run/netns/{NAMESPACE}", program, "-batch", "-"]
    subprocess.run(argv, input="\n".join([*lines, ""]), text=True, check=True, capture_output=True)


def _printed(argv: tuple[str, ...]) -> bytes:
    command = ["nsenter", f"--net=/run/netns/{NAMESPACE}", *argv]
    return subprocess.run(command, check=True, capture_output=True).stdout
