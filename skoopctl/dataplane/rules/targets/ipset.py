"""The target on sets of ipset(8): ``-j SET`` (net/netfilter/xt_set.c: set_target_v3).

What it adds and deletes is seen by later rules of the same walk, in every packet of the flow.
"""

from __future__ import annotations

from skoopctl.dataplane.rules.scene import Scene
from skoopctl.dataplane.rules.sets import index_of, key_of, look_up
from skoopctl.dataplane.rules.targets.registry import target
from skoopctl.dataplane.truth import Unknown
from skoopctl.kernel.ipset import Dimension, IpSet, Member, Net, Value
from skoopctl.kernel.iptables import Target

_WORD = 0xFFFFFFFF


@target("SET", quiet=True)
def set_target(scene: Scene, item: Target) -> None:
    """``--add-set``, ``--del-set`` and ``--map-set`` with NAME and FLAGS."""
    flags = {option.name for option in item.options}
    for option in item.options:
        if option.name not in {"add-set", "del-set", "map-set"} or len(option.values) < 2:
            continue
        name, directions = option.values[0], tuple(option.values[1].split(","))
        if option.name == "map-set":
            _map(scene, name, directions, flags)
        else:
            _change(scene, name, directions, adds=option.name == "add-set")


def _change(scene: Scene, name: str, directions: tuple[str, ...], *, adds: bool) -> None:
    changes = scene.connections.set_changes
    ipset = scene.netns.ipsets.get(name)
    if ipset is None or changes.get(name, {}) is None:
        return
    dimensions = ipset.dimensions
    if not dimensions or Dimension.SET in dimensions:
        changes[name] = None
        return
    if len(directions) < len(dimensions) or ipset.family not in {0, scene.packet.family}:
        return
    found = key_of(scene, ipset, directions)
    if found is None:
        return
    if isinstance(found, Unknown) or found[1] is not None or _is_scanned(ipset):
        # Which member it is cannot be told, or the index of such sets cannot be changed.
        changes[name] = None
        return
    key = _stored(scene, ipset, found[0])
    made = changes.setdefault(name, {})
    if made is not None:
        made[key] = Member(key) if adds else None


def _is_scanned(ipset: IpSet) -> bool:
    return ipset.type in {"hash:net,iface", "bitmap:ip,mac"}


def _stored(scene: Scene, ipset: IpSet, values: tuple[Value, ...]) -> tuple[Value, ...]:
    """Networks are added and deleted with the longest prefix that the set has (INIT_CIDR: nets[0])."""
    index = index_of(scene, ipset)
    lengths = iter(index.lengths)
    key: list[Value] = []
    for dimension, value in zip(ipset.dimensions, values, strict=True):
        if dimension is Dimension.NET and isinstance(value, Net):
            key.append(index.masked(value, next(lengths)[0]))
        else:
            key.append(value)
    return tuple(key)


def _map(scene: Scene, name: str, directions: tuple[str, ...], flags: set[str]) -> None:
    """``--map-mark``: the mark that the set keeps for the packet; priority and queue decide no way."""
    if "map-mark" not in flags:
        return
    truth, member = look_up(scene, name, directions)
    if truth is False:
        return
    if truth is not True:
        reason = truth.reason
        scene.unknowns.append(f"-j SET --map-set {name}: {reason}")
        if not scene.choices.unknown(reason, key=("map-set", name, scene.netns.inode)):
            return
    value, mask = member.skbmark if member is not None and member.skbmark is not None else (0, _WORD)
    scene.packet.mark = (scene.packet.mark & ~mask & _WORD) ^ value
