"""Tries many flows at once from the network namespace that it is started in.

Reads one JSON object on stdin: ``{"timeout_s": 1.5, "flows": [["tcp", "10.0.0.1", 80], ...]}``; prints a JSON
list, one ``[outcome, who, seen]`` a flow, in order. ``outcome`` is ``connected`` (``who`` answered, and the
source address that was ``seen``; empty when the other side speaks another protocol), ``refused``,
``timeout``, or ``unreachable`` (``who`` is then the errno's name). A UDP flow is connected when an answer
comes.
"""

from __future__ import annotations

import errno
import json
import re
import selectors
import socket
import sys
import time

ANSWER_SIZE = 512
IPV4 = re.compile(r"\d+(\.\d+){3}")
UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH)


class Attempt:
    """One flow that is being tried."""

    def __init__(self, protocol: str, address: str, port: int) -> None:
        self.tcp = protocol == "tcp"
        self.target = (address, port)
        self.connected = False
        self.data = b""
        self.result = ["timeout", "", ""]
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM if self.tcp else socket.SOCK_DGRAM)
        self.sock.setblocking(False)

    def start(self) -> bool:
        """Send the first packet; return whether something is left to wait for."""
        code = self.sock.connect_ex(self.target)
        if code not in (0, errno.EINPROGRESS):
            return self.fail(code)
        if not self.tcp:
            try:
                self.sock.send(b"?\n")
            except OSError as error:
                return self.fail(error.errno or 0)
        return True

    def events(self) -> int:
        """Return what to wait for now."""
        return selectors.EVENT_READ if self.connected or not self.tcp else selectors.EVENT_WRITE

    def advance(self) -> bool:
        """Take one step after an event; return whether something is left to wait for."""
        if self.tcp and not self.connected:
            code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                return self.fail(code)
            self.connected = True
            self.result = ["connected", "", ""]
            return True
        try:
            chunk = self.sock.recv(ANSWER_SIZE)
        except OSError as error:
            # A TCP connection that was made counts as made, whatever becomes of it.
            return False if self.tcp else self.fail(error.errno or 0)
        self.data += chunk
        if chunk and self.tcp and b"\n" not in self.data and len(self.data) < ANSWER_SIZE:
            return True
        who, _, seen = self.data.decode("ascii", "replace").strip().partition(" ")
        if not IPV4.fullmatch(seen):
            who = seen = ""
        self.result = ["connected", who, seen]
        return False

    def fail(self, code: int) -> bool:
        """Sort an errno into an outcome."""
        if code == errno.ECONNREFUSED:
            self.result = ["refused", "", ""]
        elif code == errno.ETIMEDOUT:
            self.result = ["timeout", "", ""]
        else:
            self.result = ["unreachable", errno.errorcode.get(code, str(code)), ""]
        return False


def run(flows: list[tuple[str, str, int]], timeout_s: float) -> list[list[str]]:
    """Try all flows at once and return their results in order."""
    attempts = [Attempt(*flow) for flow in flows]
    with selectors.DefaultSelector() as selector:
        waiting = 0
        deadline = time.monotonic() + timeout_s
        for attempt in attempts:
            if attempt.start():
                selector.register(attempt.sock, attempt.events(), attempt)
                waiting += 1
        last = False
        while waiting and not last:
            left = max(0.0, deadline - time.monotonic())
            # Whoever was not scheduled in time still hears what had come by then.
            last = not left
            for key, _ in selector.select(left):
                attempt = key.data
                if attempt.advance():
                    selector.modify(attempt.sock, attempt.events(), attempt)
                else:
                    selector.unregister(attempt.sock)
                    waiting -= 1
    return [attempt.result for attempt in attempts]


def main() -> None:
    """Read the request, print the results."""
    request = json.load(sys.stdin)
    flows = [(str(protocol), str(address), int(port)) for protocol, address, port in request["flows"]]
    print(json.dumps(run(flows, float(request["timeout_s"]))))  # noqa: T201 - stdout is the answer


if __name__ == "__main__":
    main()
