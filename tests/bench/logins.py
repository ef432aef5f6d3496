"""The floor of any tool that uses SSH: log in to every node of the lab, run ``true``, log out.

Run as a program inside the lab administrator's network namespace.
"""

from __future__ import annotations

import asyncio

import asyncssh

from skoopctl.lab import Lab, LabNode


async def log_in_everywhere(lab: Lab) -> None:
    """Log in to all nodes at once; an error of any of them is raised."""
    folder = lab.inventory.parent
    key, known_hosts = folder / "id_ed25519", folder / "known_hosts"

    async def log_in(node: LabNode) -> None:
        options = {"username": "root", "client_keys": [str(key)], "known_hosts": str(known_hosts)}
        async with asyncssh.connect(node.address, config=None, **options) as connection:
            await connection.run("true", check=True)

    await asyncio.gather(*(log_in(node) for node in lab.nodes))


if __name__ == "__main__":
    asyncio.run(log_in_everywhere(Lab.load()))
