"""Matches on what no dump shows: rates, clocks, payloads, programs. Both ways are walked, with the reason."""

from __future__ import annotations

from skoopctl.dataplane.rules.matches.registry import undecided

_REASONS = {
    "limit": "how many packets came before this one is not known",
    "hashlimit": "how many packets came before this one is not known",
    "quota": "how many octets came before this packet is not known",
    "quota2": "how many octets came before this packet is not known",
    "rateest": "the rate of other traffic is not known",
    "connlimit": "how many connections there are is not known",
    "connbytes": "how much the connection has carried is not known",
    "connlabel": "the labels of connections are not read",
    "time": "it depends on when the packet is sent",
    "string": "it depends on what the packet carries",
    "u32": "it depends on what the packet carries",
    "bpf": "a program decides",
    "socket": "it depends on the sockets of all programs",
    "cgroup": "it depends on which program sends",
    "osf": "it depends on the operating system that sends",
    "helper": "it depends on which connection this one belongs to",
    "geoip": "its database of countries is not read",
    "cpu": "it depends on which processor takes the packet",
    "ipcomp": "the walk does not compress packets",
    "l2tp": "the walk does not build L2TP tunnels",
}

for _module, _reason in _REASONS.items():
    undecided(_module, _reason)
