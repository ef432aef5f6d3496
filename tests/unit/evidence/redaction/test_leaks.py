"""The last look at a redacted bundle finds every original that is left, in whatever form."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping

import pytest

from skoopctl.evidence import Bundle, HostEvidence, HostRecord, Item, ItemStatus
from skoopctl.evidence.redaction.leaks import find_leaks
from skoopctl.transport.base import HostStatus

KEY = bytes(range(32))
REPLACED: Mapping[str, Mapping[str, str]] = {
    "addresses": {
        "10.244.3.70": "10.9.8.70",
        "10.244.3.71": "10.244.3.72",
        "10.244.3.72": "10.244.3.71",
        "fd00:1::5": "fd7a:9::5",
        "02:69:42:50:8f:bf": "0e:11:22:33:44:55",
        "10.0.0.0/9": "10.128.0.0/9",
    },
    "names": {"cart-db-0": "xyzw-qq-1", "web": "abc", "network": "zxcvbnm", "20261130": "91827364"},
    "keys": {KEY.hex(): bytes(32).hex()},
}


def attribute(kind: int, payload: bytes) -> bytes:
    """Write a netlink attribute."""
    return (
        (4 + len(payload)).to_bytes(2, "little")
        + kind.to_bytes(2, "little")
        + payload
        + bytes(-len(payload) % 4)
    )


def dump(*attributes: bytes, header: int = 12) -> bytes:
    """Write a netlink dump of one message."""
    body = bytes(header) + b"".join(attributes)
    return (16 + len(body)).to_bytes(4, "little") + (24).to_bytes(2, "little") + bytes(10) + body


def bundle(payload: bytes = b"", *, name: str = "host", detail: str = "", cluster: bytes = b"") -> Bundle:
    """Make a bundle of one host with one item."""
    item = Item(7, "route", ItemStatus.OK, payload, detail)
    evidence = HostEvidence(name, {(7, "route"): item})
    record = HostRecord(HostStatus.OK, "", evidence)
    return Bundle({name: record}, {"pods": cluster} if cluster else {}, redacted=True)


def originals(made: Bundle) -> list[str]:
    """Return the originals that are found."""
    return [leak.original for leak in find_leaks(made, REPLACED)]


LEFT = {
    "a text": (b"-A INPUT -s 10.244.3.70/32 -j DROP", "10.244.3.70"),
    "an address with a port": (b"to 10.244.3.70:8080", "10.244.3.70"),
    "an IPv6 address": (b"via fd00:1::5 dev eth0", "fd00:1::5"),
    "a MAC in capitals": (b"--mac-source 02:69:42:50:8F:BF", "02:69:42:50:8f:bf"),
    "hexadecimal": (b" 0: 0AF40346:1F90 00000000:0000", "10.244.3.70"),
    "hexadecimal, as in memory": (b" 0: 4603F40A:1F90 00000000:0000", "10.244.3.70"),
    "an attribute": (dump(attribute(1, bytes([10, 244, 3, 70]))), "10.244.3.70"),
    "an attribute of an attribute": (
        dump(attribute(9, attribute(1, attribute(2, bytes([10, 244, 3, 70]))))),
        "10.244.3.70",
    ),
    "a socket address": (dump(attribute(4, bytes([2, 0, 0, 80, 10, 244, 3, 70]) + bytes(8))), "10.244.3.70"),
    "a MAC in an attribute": (dump(attribute(2, bytes.fromhex("026942508fbf"))), "02:69:42:50:8f:bf"),
    "a key in an attribute": (dump(attribute(1, KEY), header=4), KEY.hex()),
    "a name": (b"pod cart-db-0 of", "cart-db-0"),
    "a name within a name": (b"prefix.cart-db-0.suffix", "cart-db-0"),
    "a name in an attribute": (dump(attribute(3, b"cart-db-0\0")), "cart-db-0"),
}


@pytest.mark.parametrize("form", LEFT)
def test_what_is_left_in_an_item_is_found(form: str) -> None:
    """An original that a rewriter forgot is found in its item, in every form that evidence has."""
    payload, original = LEFT[form]
    (leak,) = find_leaks(bundle(payload), REPLACED)
    assert (leak.original, leak.member) == (original, "hosts/host/7/route")


def test_what_is_left_beside_the_items_is_found() -> None:
    """The manifest, the API's lists and the names of members are looked through too."""
    assert originals(bundle(detail="on cart-db-0")) == ["cart-db-0"]
    assert originals(bundle(cluster=b'{"podIP":"10.244.3.70"}')) == ["10.244.3.70"]
    assert originals(bundle(name="cart-db-0")) == ["cart-db-0"]


@pytest.mark.parametrize(
    "payload",
    [
        b"10.244.3.71 and 10.244.3.72 stand for each other",
        b"the network, and the web: words and names too short to be told from chance",
        b"10.0.0.0/8 is everybody's",
        b"pid 20261130",
        b64encode(b"nothing of anybody"),
        bytes(400),
    ],
)
def test_what_is_no_leak_is_not_reported(payload: bytes) -> None:
    """Originals that stand for others, common words, short names and numbers are passed over."""
    assert originals(bundle(payload)) == []
