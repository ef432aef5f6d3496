"""Matches that ask the kernel for something not in the packet: chance, recent lists, owners, IPVS, realms."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from skoopctl.dataplane.packet import Flags
from skoopctl.dataplane.routes.realms import UNKNOWN_REALMS
from skoopctl.dataplane.rules.matches.registry import NotUnderstoodError, Predicate, always_true, option
from skoopctl.dataplane.rules.scene import Hook, Scene
from skoopctl.dataplane.truth import Chance, Truth, Unknown, negate
from skoopctl.kernel.iptables import Match, Option

always_true("comment")
always_true("nfacct")


@option("statistic", "mode")
def statistic(opt: Option, match: Match) -> Predicate:
    """``--mode random --probability P`` and ``--mode nth --every N``: a known share of packets."""
    values = {o.name: o.values[0] for o in match.options if o.values}
    if opt.values[0] == "random":
        probability = float(values["probability"])
        text = f"random with probability {probability:.4g}"
    elif opt.values[0] == "nth":
        probability = 1.0 / int(values["every"])
        text = f"every {values['every']}th packet"
    else:
        raise NotUnderstoodError(opt.values[0])
    truth: Truth = Chance(probability, text)
    if probability >= 1.0 or probability <= 0.0:
        truth = probability >= 1.0
    # iptables-save writes the `!` of the whole match before --probability or --every.
    if any(o.inverted for o in match.options if o is not opt):
        truth = negate(truth, inverted=True)
    return lambda _scene: truth


@option("statistic", "probability", "every", "packet")
def statistic_value(_opt: Option, _match: Match) -> None:
    """Belong to ``--mode``."""
    return


@option("recent", "rcheck", "update", "set", "remove")
def recent(opt: Option, match: Match) -> Predicate:
    """``-m recent``: ``--set`` matches always; ``--rcheck`` and its kin look into a list of the namespace.

    What ``--set`` and ``--update`` add is seen by later rules of the walk (net/netfilter/xt_recent.c: recent_mt).
    """
    values = {o.name: o.values[0] if o.values else "" for o in match.options}
    asked = _Asked(
        opt.name,
        values.get("name", "DEFAULT"),
        int(ip_address(values["mask"])) if "mask" in values else -1,
        "rdest" in values,
        int(values["seconds"]) if "seconds" in values and opt.name != "remove" else None,
        int(values.get("hitcount", "1")) if opt.name != "remove" else 1,
        "rttl" in values and opt.name != "remove",
    )
    return lambda scene: _recent(asked, scene)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What one ``-m recent`` asks for."""

    does: str
    name: str
    mask: int
    by_destination: bool
    seconds: int | None
    hits: int
    same_ttl: bool


def _recent(asked: _Asked, scene: Scene) -> Truth:
    address = (scene.packet.destination if asked.by_destination else scene.packet.source) & asked.mask
    key = (asked.name, address)
    stamps = scene.connections.recent_stamps
    if asked.does == "set":
        stamps[key] = max(stamps.get(key, 0), 0) + 1
        return True
    truth = _in_list(asked, scene, address, stamps.get(key, 0))
    if truth is True and asked.does == "update":
        stamps[key] = stamps.get(key, 0) + 1
    if truth is True and asked.does == "remove":
        stamps[key] = -1
    return truth


def _in_list(asked: _Asked, scene: Scene, address: int, added: int) -> Truth:
    """Decide by the list that was read and by what this walk has added to it (-1: it was removed)."""
    name, recents = asked.name, scene.netns.recent
    if added < 0:
        return False
    enough = added >= asked.hits and added > 0
    if enough and not asked.same_ttl:
        return True
    if recents is None:
        return Unknown(f"the list {name} of -m recent was not read")
    age = recents.get(name, {}).get(address)
    if age is None or (asked.seconds is not None and age[0] > asked.seconds):
        return Unknown(f"--rttl: the TTL that -m recent {name} remembers is not known") if enough else False
    if asked.hits > 1 or asked.same_ttl:
        return Unknown(f"what -m recent {name} remembers of earlier packets is not known")
    if asked.seconds is None or age[1] <= asked.seconds:
        return True
    return Unknown(f"how old an entry of -m recent {name} is cannot be told")


@option("recent", "name", "seconds", "reap", "rsource", "rdest", "mask", "rttl", "hitcount")
def recent_value(_opt: Option, _match: Match) -> None:
    """Belong to the check beside them."""
    return


@option("owner", "uid-owner", "gid-owner", "socket-exists", "suppl-groups")
def owner(opt: Option, _match: Match) -> Predicate:
    """``-m owner``: only packets with a local socket have one; whose it is depends on the client.

    net/netfilter/xt_owner.c: owner_mt. ``--suppl-groups`` only widens ``--gid-owner``.
    """
    if opt.name == "suppl-groups":
        return lambda _scene: True

    def predicate(scene: Scene) -> Truth:
        if scene.hook not in {Hook.OUTPUT, Hook.POSTROUTING} or not scene.born_here:
            return False
        if opt.name == "socket-exists":
            if scene.packet.flags in _FROM_A_SOCKET or scene.packet.protocol == 17:
                return True
            return Unknown("whether the kernel's own answer belongs to a socket is not modelled")
        return Unknown(f"--{opt.name} depends on which program sends")

    return predicate


_FROM_A_SOCKET = frozenset({Flags.SYN, Flags.SYN_ACK, Flags.ACK})


@option("realm", "realm")
def realm(opt: Option, _match: Match) -> Predicate:
    """``--realm VALUE[/MASK]``: the realms of the packet's route, 0 where none are set (xt_realm.c)."""
    value_text, slash, mask_text = opt.values[0].partition("/")
    # The name of 0 in rt_realms, and the only one that iproute2 brings; other names are the node's own.
    value = 0 if value_text == "cosmos" else int(value_text, 0)
    mask = int(mask_text, 0) if slash else 0xFFFFFFFF

    def predicate(scene: Scene) -> Truth:
        if "route" in scene.netns.gaps:
            return Unknown(f"-m realm: the routes of {scene.netns.host} were not read")
        if scene.packet.realms is None:
            return Unknown(f"-m realm: {UNKNOWN_REALMS}")
        return (scene.packet.realms & mask) == value

    return predicate
