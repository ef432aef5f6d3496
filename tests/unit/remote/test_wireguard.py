"""What the node program tells of WireGuard: everything that the walk needs, and never a secret."""

from __future__ import annotations

import base64
import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from skoopctl.evidence.payload import program_source
from skoopctl.evidence.request import Request
from skoopctl.kernel.netlink import decode_wireguard

PROGRAM: dict[str, Any] = {}
exec(program_source(Request()).rpartition("\nmain(")[0], PROGRAM)  # noqa: S102 - the program, without its call
Outcome = PROGRAM["Outcome"]

PRIVATE, PRESHARED, FUTURE = b"P" * 32, b"S" * 32, b"F" * 32
PUBLIC, PEER = b"D" * 32, b"E" * 32
FAMILY = 31
NESTED = 0x8000


def attribute(kind: int, data: bytes) -> bytes:
    """Frame one attribute."""
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def message(kind: int, body: bytes) -> bytes:
    """Frame one message."""
    return struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 0) + body


def allowed(*networks: str) -> bytes:
    """Write a peer's allowed IPs."""
    items = b""
    for text in networks:
        network = ip_network(text)
        family = socket.AF_INET if network.version == 4 else socket.AF_INET6
        inside = attribute(1, struct.pack("=H", family)) + attribute(2, network.network_address.packed)
        items += attribute(0 | NESTED, inside + attribute(3, bytes([network.prefixlen])))
    return attribute(9 | NESTED, items)


def peer(*networks: str, key: bytes = PEER, endpoint: bool = True) -> bytes:
    """Write a peer as the kernel does, preshared key and an attribute of the future included."""
    where = struct.pack("=H", 2) + struct.pack(">H", 51820) + ip_address("192.168.3.87").packed + bytes(8)
    body = attribute(1, key) + attribute(2, PRESHARED) + attribute(6, struct.pack("=qq", 1_700_000_000, 5))
    body += (attribute(4, where) if endpoint else b"") + attribute(5, struct.pack("=H", 25))
    body += attribute(8, struct.pack("=Q", 7)) + attribute(7, struct.pack("=Q", 9)) + attribute(77, FUTURE)
    return attribute(0 | NESTED, body + allowed(*networks) + attribute(10, struct.pack("=I", 1)))


def device(*peers: bytes, first: bool = True) -> bytes:
    """Write a device's message; the later ones of a long dump have no keys and no index."""
    body = struct.pack("=BBH", 0, 1, 0)
    if first:
        body += attribute(6, struct.pack("=H", 51820)) + attribute(7, struct.pack("=I", 0xCA6C))
        body += attribute(1, struct.pack("=I", 7)) + attribute(3, PRIVATE) + attribute(4, PUBLIC)
    body += attribute(2, b"wg0\0") + attribute(8 | NESTED, b"".join(peers)) + attribute(99, FUTURE)
    return message(FAMILY, body)


DONE = message(3, bytes(4))
WHOLE = device(peer("10.244.2.0/24", "fd00:2::/64")) + DONE
LINKS = message(
    16,
    struct.pack("=BxHiII", 0, 65534, 7, 0x1, 0)
    + attribute(3, b"wg0\0")
    + attribute(18, attribute(1, b"wireguard\0")),
)


class FakeNetlink:
    """The kernel's answers, without a kernel."""

    def __init__(self, raw: bytes, cap_hit: bool = False) -> None:
        self.raw = raw
        self.cap_hit = cap_hit
        self.closed = False

    def messages(self, *_: object) -> Iterator[tuple[int, bytes]]:
        """Answer the family's number."""
        yield 16, struct.pack("=BBH", 1, 2, 0) + attribute(1, struct.pack("=H", FAMILY))

    def dump(self, kind: int, body: bytes, cap: int, what: str) -> bytes:
        """Answer the device, or more than fits."""
        assert (kind, struct.unpack_from("=I", body, 8)[0]) == (FAMILY, 7)
        if self.cap_hit:
            raise Outcome("truncated", f"{what}: more than {cap} bytes", PROGRAM["packed"](self.raw, 1 << 20))
        return self.raw

    def close(self) -> None:
        """Note it."""
        self.closed = True


class Loaded:
    """A kernel with the module."""

    def require(self, _name: str) -> None:
        """Let it be asked."""


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that gives the item for the kernel's answer."""

    def run(raw: bytes, modules: Any = None, links: bytes = LINKS, cap_hit: bool = False) -> bytes:
        monkeypatch.setitem(PROGRAM, "Netlink", lambda *_: FakeNetlink(raw, cap_hit))
        payload, _ = PROGRAM["wireguard"](links, modules or Loaded(), 1 << 20, 5)
        return bytes(payload.finish()[1])

    return run


def test_no_secret_leaves_the_node(ask: Any) -> None:
    """Private and preshared keys, and whatever a newer kernel adds, are not in the item; public keys are."""
    item = ask(WHOLE)
    for secret in (PRIVATE, PRESHARED, FUTURE):
        assert secret in WHOLE
        assert secret not in item
        assert secret[:4] not in item
    assert PUBLIC in item
    assert PEER in item


def test_a_cut_answer_has_no_secret_either(ask: Any) -> None:
    """An answer over the limit is dropped whole: what the kernel gave is never kept as a partial payload."""
    with pytest.raises(Outcome) as caught:
        ask(WHOLE, cap_hit=True)
    assert caught.value.status == "truncated"
    assert caught.value.payload is None


@pytest.mark.parametrize("cut", range(0, len(WHOLE), 7))
def test_garbage_never_lets_a_secret_through(ask: Any, cut: int) -> None:
    """However the kernel's bytes are cut, what is not on the list stays."""
    item = ask(WHOLE[:cut])
    assert PRIVATE[:4] not in item
    assert PRESHARED[:4] not in item


def test_what_is_sent_is_what_the_walk_needs(ask: Any) -> None:
    """Keys, endpoint, allowed IPs, mark and handshake are decoded on the workstation."""
    found = decode_wireguard(ask(WHOLE))
    assert found.problem == ""
    (made,) = found.entries
    (known,) = made.peers
    assert (made.index, made.listen_port, made.fwmark) == (7, 51820, 0xCA6C)
    assert made.public_key == base64.b64encode(PUBLIC).decode()
    assert known.endpoint == (ip_address("192.168.3.87"), 51820)
    assert [str(each) for each in known.allowed_ips] == ["10.244.2.0/24", "fd00:2::/64"]
    assert (known.handshake_s, known.sent, known.received) == (1_700_000_000, 7, 9)
    assert "latest handshake 2023-11-14 22:13:20 UTC" in known.text


def test_a_long_dump_is_joined(ask: Any) -> None:
    """Peers in later messages belong to the same device, and a peer's later allowed IPs to the same peer."""
    raw = device(peer("10.1.0.0/16")) + device(peer("10.2.0.0/16"), first=False)
    raw += device(peer("10.3.0.0/16", key=b"G" * 32, endpoint=False), first=False) + DONE
    (made,) = decode_wireguard(ask(raw)).entries
    assert [[str(n) for n in p.allowed_ips] for p in made.peers] == [
        ["10.1.0.0/16", "10.2.0.0/16"],
        ["10.3.0.0/16"],
    ]
    assert made.peers[1].endpoint is None


def test_a_namespace_without_a_device_is_not_asked(ask: Any) -> None:
    """No WireGuard device, no question: the family is not even looked up."""
    with pytest.raises(Outcome) as caught:
        ask(WHOLE, links=b"")
    assert (caught.value.status, caught.value.detail) == ("absent", "no tables: no WireGuard device")


def test_the_module_is_not_loaded_by_looking(ask: Any) -> None:
    """Looking up the family of a module that is not there would load it."""
    modules = PROGRAM["Modules"]()
    modules.text, modules.folder = b"", "/nowhere"
    modules.can_load = lambda: True
    with pytest.raises(Outcome) as caught:
        ask(WHOLE, modules=modules)
    assert caught.value.status == "absent"


@pytest.mark.parametrize("cut", [1, 20, 40, 90, 200])
def test_a_damaged_item_is_a_problem_and_no_exception(ask: Any, cut: int) -> None:
    """A truncated item is named as damaged."""
    item = ask(WHOLE)
    found = decode_wireguard(item[:-cut])
    assert found.problem
