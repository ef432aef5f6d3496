"""What people ask for, by the names that each family of distributions has for it. Nothing else is ever installed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skoopctl.errors import UsageError

USUAL = ("iptables", "nft")
"""What is installed when nothing is named: what a diagnosis may need of a node."""

_RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,99}")


@dataclass(frozen=True, slots=True)
class Family:
    """Distributions that share names and a package manager.

    ``ids`` are those of os-release(5), ID and ID_LIKE. In ``packages``, ``{release}`` is the running kernel's, and
    ``{flavour}`` what stands behind its last dash.
    """

    name: str
    ids: tuple[str, ...]
    manager: str
    packages: Mapping[str, tuple[str, ...]]


FAMILIES = (
    Family(
        "Debian",
        ("debian", "ubuntu"),
        "apt",
        {
            "bcc": ("python3-bpfcc", "linux-headers-{release}"),
            "iptables": ("iptables",),
            "nft": ("nftables",),
            "ipset": ("ipset",),
            "conntrack": ("conntrack",),
            "ipvsadm": ("ipvsadm",),
        },
    ),
    Family(
        "RHEL",
        ("rhel", "fedora", "centos"),
        "dnf",
        {
            "bcc": ("python3-bcc", "kernel-devel-{release}"),
            "iptables": ("iptables",),
            "nft": ("nftables",),
            "ipset": ("ipset",),
            "conntrack": ("conntrack-tools",),
            "ipvsadm": ("ipvsadm",),
        },
    ),
    Family(
        "SUSE",
        ("suse", "opensuse", "sles"),
        "zypper",
        {
            "bcc": ("python3-bcc", "kernel-{flavour}-devel"),
            "iptables": ("iptables",),
            "nft": ("nftables",),
            "ipset": ("ipset",),
            "conntrack": ("conntrack-tools",),
            "ipvsadm": ("ipvsadm",),
        },
    ),
    Family(
        "Alpine",
        ("alpine",),
        "apk",
        {
            "bcc": ("py3-bcc", "linux-{flavour}-dev"),
            "iptables": ("iptables",),
            "nft": ("nftables",),
            "ipset": ("ipset",),
            "conntrack": ("conntrack-tools",),
            "ipvsadm": ("ipvsadm",),
        },
    ),
)
NAMES = tuple(FAMILIES[0].packages)
"""What can be asked for."""


def asked_for(text: str) -> tuple[str, ...]:
    """Return the names in ``--packages``: a list with commas, or ``all``."""
    if text.strip() == "all":
        return NAMES
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    wrong = [name for name in names if name not in NAMES]
    if wrong or not names:
        found = repr(wrong[0]) if wrong else "nothing"
        raise UsageError(f"--packages: {found} is not known", hint=f"there are {', '.join(NAMES)}, and all")
    return names


def family_of(ids: Sequence[str]) -> Family | None:
    """Return the family of a distribution: the first of its ids that is known counts."""
    for each in ids:
        for family in FAMILIES:
            if each in family.ids:
                return family
    return None


def package_names(family: Family, names: Sequence[str], release: str) -> tuple[str, ...]:
    """Return the packages of a family for what was asked, with the running kernel's release put in.

    ValueError for a release that no kernel has: it comes from the node and goes into a command line.
    """
    if not _RELEASE.fullmatch(release):
        raise ValueError("the node's kernel release is not one")
    flavour = release.rpartition("-")[2]
    return tuple(
        package.format(release=release, flavour=flavour)
        for name in names
        for package in family.packages[name]
    )
