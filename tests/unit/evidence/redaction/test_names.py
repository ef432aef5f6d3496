"""The replacement of names: of the same form, with the same beginnings, and never two alike."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from skoopctl.evidence.redaction.names import NameMap
from skoopctl.evidence.redaction.vocabulary import BEGINNINGS, VOCABULARY, WELL_KNOWN
from skoopctl.evidence.redaction.words import Redactor
from skoopctl.kernel.host_facts import pod_uid

KEYS = st.binary(min_size=16, max_size=16)
NAMES = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?", fullmatch=True)
UID = "0e08a2c7-69bd-5058-95e3-d64026394c93"


@given(KEYS, NAMES)
def test_a_name_keeps_its_form(key: bytes, name: str) -> None:
    """A name keeps its length, and letters, digits and dashes stand where they stood: it stays a valid name."""
    new = NameMap(key).name(name)
    classes = [re.sub("[a-z]", "a", re.sub("[0-9]", "0", text)) for text in (name, new)]
    assert len(new) == len(name)
    assert classes[0] == classes[1] or re.fullmatch("[0-9a-f-]{12,}", name)


@given(KEYS, st.lists(NAMES, min_size=2, max_size=12, unique=True))
def test_distinct_names_stay_distinct(key: bytes, names: list[str]) -> None:
    """No two names are replaced by the same one."""
    made = NameMap(key)
    assert len({made.name(name) for name in names}) == len(names)


@given(KEYS, st.lists(NAMES, min_size=2, max_size=12, unique=True))
def test_words_never_become_words_with_a_meaning(key: bytes, names: list[str]) -> None:
    """No name is replaced by what is kept as it is: a device called ``pc`` does not become ``lo``."""
    made = NameMap(key)
    for name in names:
        new = made.word(name)
        assert new == name or new not in VOCABULARY | WELL_KNOWN


@given(KEYS, st.from_regex(r"[a-z]{3,8}", fullmatch=True), st.from_regex(r"-[a-z0-9]{1,6}", fullmatch=True))
def test_what_begins_alike_goes_on_beginning_alike(key: bytes, base: str, end: str) -> None:
    """The pods of one deployment share its name's replacement, and a wildcard goes on matching."""
    assume(not any(base.startswith(each) or each.startswith(base) for each in BEGINNINGS))
    assume(base not in VOCABULARY | WELL_KNOWN and base + end not in VOCABULARY | WELL_KNOWN)
    made = NameMap(key)
    short, long = made._permuted(base), made._permuted(base + end)
    assert long.startswith(short)


@pytest.mark.parametrize(
    "name",
    ["kube-system", "kubernetes", "coredns", "eth0", "ens192", "flannel.1", "cali+", "KUBE-SERVICES", "lo"],
)
def test_what_everybody_has_stays(name: str) -> None:
    """Names that software gives the same everywhere tell nothing, and stay."""
    assert Redactor(b"k" * 32).wildcard(name) == name


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("KUBE-SVC-FCVZRPA6G44S2PSU", r"KUBE-SVC-[A-Z0-9]{16}"),
        ("cali-tw-cali1234abcd", r"cali-tw-cali[0-9]{4}[a-z]{4}"),
        ("veth0da6f504", r"veth[0-9a-z]{8}"),
        ("kube-apiserver-master7", r"kube-apiserver-[a-z]{6}[0-9]"),
        ("service-ULMVA6XW-shop/cart/tcp/http", r"service-[A-Z0-9]{8}-[a-z]{4}/[a-z]{4}/tcp/http"),
        (
            "endpoint-6WWRZXB6-shop/cart/tcp/__10.244.3.70/8080",
            r"endpoint-[A-Z0-9]{8}-[a-z]{4}/[a-z]{4}/tcp/__10(\.[0-9]+){3}/8080",
        ),
    ],
)
def test_made_names_lose_what_is_somebodys(name: str, form: str) -> None:
    """Of a chain's, a device's or a static pod's name, the kind stays and the rest is replaced."""
    new = Redactor(b"k" * 32).composite(name)
    assert new != name
    assert re.fullmatch(form, new)


def test_the_parts_of_made_names_are_those_of_objects() -> None:
    """A node's name in a static pod's, a service's in a comment: the same replacement as that of the object."""
    redactor = Redactor(b"k" * 32)
    node, space, service = (redactor.names.name(name) for name in ("master7", "shop", "cart"))
    assert redactor.names.name("kube-apiserver-master7") == f"kube-apiserver-{node}"
    assert redactor.prose("shop/cart:http has no endpoints") == f"{space}/{service}:http has no endpoints"


def test_uids_are_the_same_in_objects_and_cgroups() -> None:
    """The pod's UID in a cgroup's path is replaced by what replaces it in the pod."""
    redactor = Redactor(b"k" * 32)
    path = f"/kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice/cri-containerd-{'a1' * 32}.scope"
    from skoopctl.evidence.redaction.host import cgroup

    new = cgroup(path, redactor)
    assert pod_uid(new) == redactor.names.identifier(UID) != UID
    assert "a1a1" not in new


def test_names_can_be_kept() -> None:
    """On request, names stay, and ids and addresses are replaced all the same."""
    redactor = Redactor(b"k" * 32, keep_names=True)
    kept = redactor.prose("shop/cart -> 10.1.2.3")
    assert kept.startswith("shop/cart -> 10.")
    assert not kept.endswith("10.1.2.3")
    assert redactor.names.identifier(UID) != UID
