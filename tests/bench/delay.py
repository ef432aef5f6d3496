"""A wire with a round-trip time: a TCP proxy that holds back every byte, and the connect, by as much.

Run as a program: ``delay.py HOST PORT ROUND_TRIP_S``; it prints the port on 127.0.0.1 that it listens on.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    """Pass on what comes in, in order, each piece ``delay_s`` after it came."""
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def deliver() -> None:
        while True:
            due, data = await pieces.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not data:
                writer.close()
                return
            writer.write(data)

    delivery = asyncio.create_task(deliver())
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            pieces.put_nowait((loop.time() + delay_s, data))
    pieces.put_nowait((loop.time() + delay_s, b""))
    with contextlib.suppress(ConnectionError):
        await delivery


async def serve(host: str, port: int, round_trip_s: float) -> None:
    """Listen until the process ends."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(round_trip_s)  # the handshake of TCP, which a listener nearby gives for nothing
        far_reader, far_writer = await asyncio.open_connection(host, port)
        half_s = round_trip_s / 2
        await asyncio.gather(carry(reader, far_writer, half_s), carry(far_reader, writer, half_s))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - the caller reads it
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
