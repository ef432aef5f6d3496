"""The command lines of package managers, and the names that can be in them."""

from __future__ import annotations

import re

import pytest

from skoopctl.errors import UsageError
from skoopctl.inventory import InventoryHost
from skoopctl.prepare.package_manager import MANAGERS
from skoopctl.prepare.packages import FAMILIES, NAMES, asked_for, family_of, package_names
from skoopctl.prepare.session import Session

RELEASE = "6.1.0-18-amd64"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_family_has_every_name(family: object) -> None:
    """What can be asked for has packages in each family, whose manager is known."""
    assert family in FAMILIES
    for each in FAMILIES:
        assert tuple(each.packages) == NAMES
        assert each.manager in MANAGERS


def test_names_carry_the_running_kernel() -> None:
    """Headers are those of the kernel that runs, or of its flavour."""
    by_name = {family.name: family for family in FAMILIES}
    assert package_names(by_name["Debian"], ["bcc"], RELEASE) == ("python3-bpfcc", f"linux-headers-{RELEASE}")
    assert package_names(by_name["SUSE"], ["bcc"], "5.14.21-150500.55-default")[1] == "kernel-default-devel"


@pytest.mark.parametrize("release", ["", "6.1; reboot", "$(reboot)", "-o", "6.1\n", "6.1 x", "a" * 200])
def test_a_release_that_is_none_goes_nowhere(release: str) -> None:
    """The kernel's release comes from the node; what is no release is refused before it is in a command."""
    with pytest.raises(ValueError, match="release"):
        package_names(FAMILIES[0], ["bcc"], release)


@pytest.mark.parametrize(
    ("ids", "name"),
    [
        (["ubuntu", "debian"], "Debian"),
        (["rocky", "rhel", "centos", "fedora"], "RHEL"),
        (["opensuse-leap", "suse", "opensuse"], "SUSE"),
        (["alpine"], "Alpine"),
    ],
)
def test_a_distribution_is_known_by_what_it_is_like(ids: list[str], name: str) -> None:
    """ID counts first, then ID_LIKE in its order."""
    family = family_of(ids)
    assert family is not None
    assert family.name == name


def test_a_distribution_that_is_not_known_has_no_family() -> None:
    """Nothing is guessed."""
    assert family_of(["plan9", ""]) is None


def test_only_names_of_the_table_can_be_asked_for() -> None:
    """A list with commas, or all; anything else is an error that names what there is."""
    assert asked_for("nft, ipset,nft") == ("nft", "ipset")
    assert asked_for("all") == NAMES
    for wrong in ("vim", "nft,vim", "", "--yes"):
        with pytest.raises(UsageError, match="iptables, nft"):
            asked_for(wrong)


SIMULATIONS = {"apt": "-s", "dnf": "--assumeno", "zypper": "--dry-run", "apk": "--simulate"}


@pytest.mark.parametrize("manager", MANAGERS.values(), ids=MANAGERS)
def test_a_simulation_is_the_same_command_with_one_flag(manager: object) -> None:
    """What is looked at is what would be run: the same words, and the flag that keeps it from happening."""
    assert manager in MANAGERS.values()
    for each in MANAGERS.values():
        flag = SIMULATIONS[each.name]
        for make in (each.install, each.remove, each.purge):
            if make is None:
                continue
            real = make(["one", "two"])
            simulated = each.simulated(real)
            assert flag in simulated
            assert flag not in real
            assert real[-2:] == simulated[-2:] == ("one", "two")
            assert set(simulated) - set(real) == {flag}
            assert set(real) - set(simulated) <= {"-q", "-y", "--no-remove"}


def test_dpkg_s_listing_tells_settings_from_packages() -> None:
    """A package of which only settings are left is not installed; foreign architectures keep theirs in the name."""
    rows = [
        "libc6:amd64 installed",
        "libc6:i386 installed",
        "old config-files",
        "half unpacked",
        "no not-installed",
    ]
    text = "\n".join(["amd64", *rows]).replace(" ", "\t")
    found = MANAGERS["apt"].read_listing(text)
    assert set(found.packages) == {"libc6", "libc6:i386", "half"}
    assert found.configured == {"old"}


def test_rpm_s_listing_keeps_kernels_apart() -> None:
    """Two versions of one package are two ids of one name, and the id gives the name back."""
    manager = MANAGERS["dnf"]
    found = manager.read_listing("kernel-devel\t5.14.0-1.el9.x86_64\nkernel-devel\t5.14.0-2.el9.x86_64\n")
    assert set(found.packages.values()) == {"kernel-devel"}
    assert {manager.name_of(identity) for identity in found.packages} == {"kernel-devel"}
    assert len(found.packages) == 2


@pytest.mark.parametrize(
    ("become", "method", "user", "before"),
    [
        (False, "sudo", None, ()),
        (True, "sudo", None, ("sudo", "-n", "--")),
        (True, "sudo", "toor", ("sudo", "-n", "-u", "toor", "--")),
        (True, "doas", None, ("doas", "-n")),
    ],
)
def test_becoming_root_never_asks(
    become: bool, method: str, user: str | None, before: tuple[str, ...]
) -> None:
    """With sudo or doas, the command is preceded by one that fails instead of asking for a password."""
    host = InventoryHost("a", "192.0.2.1", become=become, become_method=method, become_user=user)  # type: ignore[arg-type]
    words = Session(host, None).as_root(("id", "-u"))
    assert words == (*before, "id", "-u")


def test_the_page_has_every_package() -> None:
    """docs/node.md names each package of the table."""
    from pathlib import Path

    page = (Path(__file__).parents[3] / "docs" / "node.md").read_text(encoding="utf-8")
    rows = {match[0]: match[1] for match in re.findall(r"^\| `(\w+)` \| (.*) \|$", page, re.MULTILINE)}
    assert set(rows) == set(NAMES)
    for position, family in enumerate(FAMILIES):
        for name in NAMES:
            cell = rows[name].split(" | ")[position].replace("`RELEASE`", "{release}")
            assert tuple(cell.replace("`FLAVOUR`", "{flavour}").split(", ")) == family.packages[name]
