"""A program that netfilter asks what to do with packets (NFQUEUE), and that takes its time."""

from __future__ import annotations

import socket
import struct
from types import TracebackType
from typing import Self

from tests.kernel.bpf_pair import Side
from tests.support.kernel_dump import inside

NETLINK_NETFILTER = 12
SUBSYSTEM = 3 << 8  # linux/netfilter/nfnetlink.h: NFNL_SUBSYS_QUEUE
PACKET, VERDICT, CONFIG = SUBSYSTEM, SUBSYSTEM | 1, SUBSYSTEM | 2  # nfnetlink_queue.h
CFG_CMD, CFG_PARAMS, PACKET_HDR, VERDICT_HDR = 1, 2, 1, 2
BIND, COPY_META, ACCEPT = 1, 1, 1
REQUEST = 1
HEADERS = 16 + 4


class Queue:
    """One queue of a namespace; packets in it stay there until they are let go."""

    def __init__(self, side: Side, number: int) -> None:
        self.number = number
        with inside(side.name):
            self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self.socket.settimeout(20)
        self._send(CONFIG, CFG_CMD, struct.pack("!BxH", BIND, 0))
        self._send(CONFIG, CFG_PARAMS, struct.pack("!IB", 0, COPY_META))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def _send(self, kind: int, attribute: int, value: bytes) -> None:
        body = struct.pack("!BBH", 0, 0, self.number)
        body += struct.pack("=HH", 4 + len(value), attribute) + value.ljust((len(value) + 3) & ~3, b"\0")
        self.socket.send(struct.pack("=IHHII", 16 + len(body), kind, REQUEST, 0, 0) + body)

    def held(self) -> int:
        """Wait for a packet and return its number."""
        while True:
            data = self.socket.recv(65536)
            if struct.unpack_from("=H", data, 4)[0] == PACKET:
                break
        at = HEADERS
        while struct.unpack_from("=HH", data, at)[1] != PACKET_HDR:
            at += (struct.unpack_from("=H", data, at)[0] + 3) & ~3
        return int(struct.unpack_from("!I", data, at + 4)[0])

    def let_go(self, packet: int) -> None:
        """Let a packet go on."""
        self._send(VERDICT, VERDICT_HDR, struct.pack("!II", ACCEPT, packet))
