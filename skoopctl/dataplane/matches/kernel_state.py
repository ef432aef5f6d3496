"""Matches that ask the kernel for something that is not in the packet: chance, recent lists, owners."""

from __future__ import annotations

from skoopctl.dataplane.matches.registry import NotUnderstoodError, Predicate, always_true, option
from skoopctl.dataplane.scene import Hook, Scene
from skoopctl.dataplane.truth import Chance, Truth, Unknown
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
    truth = Chance(probability, text)
    # iptables-save writes the `!` of the whole match before --probability or --every.
    if any(o.inverted for o in match.options if o is not opt):
        truth = truth.negated()
    return lambda _scene: truth


@option("statistic", "probability", "every", "packet")
def statistic_value(_opt: Option, _match: Match) -> None:
    """Belong to ``--mode``."""
    return


@option("recent", "rcheck", "update", "set", "remove")
def recent(opt: Option, match: Match) -> Predicate:
    """``-m recent``: ``--set`` matches always; ``--rcheck`` looks into a list of the namespace."""
    if opt.name == "set":
        return lambda _scene: True
    values = {o.name: o.values[0] if o.values else "" for o in match.options}
    name = values.get("name", "DEFAULT")
    by_destination = "rdest" in values
    exact = values.get("mask", "255.255.255.255") == "255.255.255.255" and "hitcount" not in values
    seconds = int(values["seconds"]) if "seconds" in values else None

    def predicate(scene: Scene) -> Truth:
        recents = scene.netns.recent
        if recents is None or not exact:
            return Unknown(f"the list {name} of -m recent was not read")
        packet = scene.packet
        address = packet.destination if by_destination else packet.source
        age = recents.get(name, {}).get(address)
        if age is None:
            return False
        if seconds is None or age[1] <= seconds:
            return True
        return (
            False if age[0] > seconds else Unknown(f"how old an entry of -m recent {name} is cannot be told")
        )

    return predicate


@option("recent", "name", "seconds", "reap", "rsource", "rdest", "mask", "rttl", "hitcount")
def recent_value(_opt: Option, _match: Match) -> None:
    """Belong to the check beside them."""
    return


@option("owner", "uid-owner", "gid-owner", "socket-exists", "suppl-groups")
def owner(opt: Option, _match: Match) -> Predicate:
    """``-m owner``: only packets with a local socket have one; whose it is depends on the client."""

    def predicate(scene: Scene) -> Truth:
        if scene.hook not in {Hook.OUTPUT, Hook.POSTROUTING}:
            return False
        return Unknown(f"--{opt.name} depends on which program sends")

    return predicate
