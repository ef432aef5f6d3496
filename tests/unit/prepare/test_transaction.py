"""What package managers say that they would do, in their own words."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.prepare import transaction
from skoopctl.prepare.transaction import Transaction

APT = """\
NOTE: This is only a simulation!
Reading package lists...
Building dependency tree...
The following NEW packages will be installed:
  ipvsadm libnl-3-200
The following packages will be upgraded:
  libc6
The following packages will be REMOVED:
  old-one
Remv old-one [1.0]
Inst libc6 [2.36-9] (2.36-9+deb12u4 Debian:12.5/stable [amd64])
Inst libnl-3-200 (3.7.0-0.2+b1 Debian:12.5/stable [amd64])
Inst ipvsadm (1:1.31-1+b1 Debian:12.5/stable [amd64])
Conf libc6 (2.36-9+deb12u4 Debian:12.5/stable [amd64])
Conf ipvsadm (1:1.31-1+b1 Debian:12.5/stable [amd64])
"""
APT_PURGE = "Purg ipvsadm [1:1.31-1+b1]\nPurg libnl-3-200 [3.7.0-0.2+b1]\n"
DNF = """\
Last metadata expiration check: 0:12:41 ago on Mon 01 Jan 2026 10:00:00 AM UTC.
Dependencies resolved.
================================================================================
 Package           Architecture  Version             Repository            Size
================================================================================
Installing:
 ipset             x86_64        7.11-8.el9          baseos                41 k
Upgrading:
 kernel-modules-a-name-that-is-too-long-for-its-column
                   x86_64        5.14.0-427.el9      baseos                 2 M
Installing dependencies:
 ipset-libs        x86_64        7.11-8.el9          baseos                69 k

Transaction Summary
================================================================================
Install  2 Packages
Upgrade  1 Package

Total download size: 110 k
Operation aborted.
"""
DNF_REMOVE = """\
Dependencies resolved.
================================================================================
 Package        Architecture    Version             Repository             Size
================================================================================
Removing:
 ipset          x86_64          7.11-8.el9          @baseos                87 k
Removing dependent packages:
 firewalld      noarch          1.3.4-1.el9         @baseos               2.0 M

Transaction Summary
================================================================================
Remove  2 Packages
"""
ZYPPER = """\
Loading repository data...
Reading installed packages...
Resolving package dependencies...

The following 2 NEW packages are going to be installed:
  ipset
  libipset13

The following package is recommended, but will not be installed:
  ipset-bash-completion

The following package is going to be upgraded:
  libmnl0

The following package is going to be REMOVED:
  ipset-old

2 new packages to install, 1 to upgrade, 1 to remove.
Overall download size: 98.4 KiB.
"""
APK = """\
(1/3) Installing libmnl (1.0.5-r2)
(2/3) Upgrading musl (1.2.4-r1 -> 1.2.4-r2)
(3/3) Purging ipset-openrc (7.19-r0)
OK: 12 MiB in 27 packages
"""


def sets(new: str = "", gone: str = "", replaced: str = "") -> Transaction:
    """Return a transaction by names with blanks between."""
    return Transaction(*(frozenset(names.split()) for names in (new, gone, replaced)))


@pytest.mark.parametrize(
    ("read", "text", "expected"),
    [
        (transaction.apt, APT, sets("ipvsadm libnl-3-200", "old-one", "libc6")),
        (transaction.apt, APT_PURGE, sets(gone="ipvsadm libnl-3-200")),
        (
            transaction.dnf,
            DNF,
            sets("ipset ipset-libs", replaced="kernel-modules-a-name-that-is-too-long-for-its-column"),
        ),
        (transaction.dnf, DNF_REMOVE, sets(gone="ipset firewalld")),
        (transaction.zypper, ZYPPER, sets("ipset libipset13", "ipset-old", "libmnl0")),
        (transaction.apk, APK, sets("libmnl", "ipset-openrc", "musl")),
    ],
    ids=["apt", "apt-purge", "dnf", "dnf-remove", "zypper", "apk"],
)
def test_what_would_come_go_and_change_is_told_apart(
    read: Callable[[str], Transaction], text: str, expected: Transaction
) -> None:
    """New packages, removals and other versions of what is there are three different things."""
    assert read(text) == expected


def test_nothing_to_do_is_said_in_words() -> None:
    """A package manager that finds what was asked for under another name says so."""
    text = "Package iptables-nft-1.8.10 is already installed.\nDependencies resolved.\nNothing to do.\nComplete!\n"
    assert transaction.dnf(text) == Transaction(nothing=True)


@given(st.text(st.sampled_from("aAIRP:()[] \t\n1/->"), max_size=300))
def test_any_output_can_be_read(text: str) -> None:
    """A node may say anything; it gives names or none, and no error."""
    for read in (transaction.apt, transaction.dnf, transaction.zypper, transaction.apk):
        assert isinstance(read(text), Transaction)
