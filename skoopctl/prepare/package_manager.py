"""Package managers: their command lines as words, and how to read their answers. Names come from our table alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from skoopctl.prepare import transaction
from skoopctl.prepare.transaction import Transaction

Words = tuple[str, ...]

_QUIET = ("env", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1")
"""No questions; and needrestart, where it is, must not restart a node's services on this occasion."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What is installed: ids, each with its package's name; and the names of which only settings are left (dpkg)."""

    packages: dict[str, str]
    configured: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Manager:
    """One package manager.

    ``install`` and ``remove`` make the command that changes a node, ``simulated`` turns it into one that only says
    what it would do, and ends with a status of ``simulation_ends``.
    """

    name: str
    listing: Words
    read_listing: Callable[[str], Inventory]
    install: Callable[[Sequence[str]], Words]
    remove: Callable[[Sequence[str]], Words]
    simulated: Callable[[Words], Words]
    read: Callable[[str], Transaction]
    name_of: Callable[[str], str] = str
    """The package's name in an id."""
    purge: Callable[[Sequence[str]], Words] | None = None
    """Removes settings too; only for packages of which there was nothing before."""
    simulation_ends: tuple[int, ...] = (0,)
    exact: bool = False
    """Whether each name that is asked for must be among those that would come."""


def _simulated(flag: str, after: str, without: Sequence[str] = ()) -> Callable[[Words], Words]:
    """Return a function that puts ``flag`` behind the word ``after``, and leaves some words out."""

    def changed(words: Words) -> Words:
        at = words.index(after) + 1
        return (*words[:at], flag, *(word for word in words[at:] if word not in without))

    return changed


def _dpkg_listing(text: str) -> Inventory:
    """Read the machine's architecture, then ``NAME:ARCH<tab>status`` of every package that dpkg knows."""
    native, _, rest = text.partition("\n")
    packages, configured = {}, set()
    for line in rest.splitlines():
        qualified, _, status = line.partition("\t")
        name = qualified.removesuffix(f":{native.strip()}")
        if status == "config-files":
            configured.add(name)
        elif status and status != "not-installed":
            packages[name] = name
    return Inventory(packages, frozenset(configured))


def _rpm_listing(text: str) -> Inventory:
    """Read ``NAME<tab>VERSION-RELEASE.ARCH`` of every package; the id is all of it, for kernels come in several."""
    rows = [line.split("\t") for line in text.splitlines()]
    return Inventory({f"{row[0]}-{row[1]}": row[0] for row in rows if len(row) == 2})


def _rpm_name(identity: str) -> str:
    """Return the name in NAME-VERSION-RELEASE.ARCH; neither version nor release has a dash."""
    return identity.rsplit("-", 2)[0]


def _apk_listing(text: str) -> Inventory:
    return Inventory({name: name for name in text.split()})


def _simulated_zypper(words: Words) -> Words:
    """Put --dry-run behind the command, of which it is an option."""
    return _simulated("--dry-run", "install" if "install" in words else "remove")(words)


_APT = (*_QUIET, "apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=60")
_APT_INSTALL = (
    *("--no-install-recommends", "--no-remove"),
    *("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"),
)
_RPM_LISTING = ("rpm", "-qa", "--qf", r"%{NAME}\t%{VERSION}-%{RELEASE}.%{ARCH}\n")
_DNF = ("env", "LC_ALL=C", "dnf", "-q", "-y")
_ZYPPER = ("env", "LC_ALL=C", "zypper", "--non-interactive", "--no-refresh")
_APK = ("env", "LC_ALL=C", "apk")

MANAGERS: dict[str, Manager] = {
    manager.name: manager
    for manager in (
        Manager(
            name="apt",
            listing=(
                *("env", "LC_ALL=C", "sh", "-c"),
                r"dpkg --print-architecture && dpkg-query -W -f='${binary:Package}\t${db:Status-Status}\n'",
            ),
            read_listing=_dpkg_listing,
            install=lambda names: (*_APT, *_APT_INSTALL, "install", "--", *names),
            remove=lambda names: (*_APT, "remove", "--", *names),
            purge=lambda names: (*_APT, "purge", "--", *names),
            # Without --no-remove, it also says what it would remove, so that a row can name it.
            simulated=_simulated("-s", "apt-get", ["--no-remove"]),
            read=transaction.apt,
            exact=True,  # a name that apt does not know is taken for a pattern, which other packages may match
        ),
        Manager(
            name="dnf",
            listing=_RPM_LISTING,
            read_listing=_rpm_listing,
            name_of=_rpm_name,
            install=lambda names: (*_DNF, "--setopt=install_weak_deps=False", "install", *names),
            remove=lambda names: (*_DNF, "--setopt=clean_requirements_on_remove=False", "remove", *names),
            simulated=_simulated("--assumeno", "dnf", ["-q", "-y"]),
            read=transaction.dnf,
            simulation_ends=(0, 1),
        ),
        Manager(
            name="zypper",
            listing=_RPM_LISTING,
            read_listing=_rpm_listing,
            name_of=_rpm_name,
            install=lambda names: (*_ZYPPER, "install", "--no-recommends", *names),
            remove=lambda names: (*_ZYPPER, "remove", "--no-clean-deps", *names),
            simulated=_simulated_zypper,
            read=transaction.zypper,
        ),
        Manager(
            name="apk",
            listing=("apk", "info"),
            read_listing=_apk_listing,
            install=lambda names: (*_APK, "add", *names),
            remove=lambda names: (*_APK, "del", *names),
            simulated=_simulated("--simulate", "apk"),
            read=transaction.apk,
            exact=True,
        ),
    )
}
