"""A hand in a network namespace of the lab: a process there that makes traffic and trouble, and counts it."""

from __future__ import annotations

import json
import select
import subprocess
from types import TracebackType
from typing import Any, Self

from skoopctl.errors import LabError
from skoopctl.lab.commands import NETNS_DIR, environment, program_argv
from skoopctl.lab.probe import Source

DEADLINE_S = 60.0


class Hand:
    """One process in a pod's or a node's network namespace, for as long as the block lasts.

    What can be asked is in `skoopctl/lab/programs/hand.py`. It ends with its stdin, and with the lab.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        path = source.netns if source.netns.startswith("/") else str(NETNS_DIR / source.netns)
        self._process = subprocess.Popen(
            ["nsenter", f"--net={path}", "--", *program_argv("hand")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment(),
            start_new_session=True,
        )

    def ask(self, do: str, **wanted: Any) -> dict[str, Any]:
        """Have something done, and return what came of it. Raises `LabError` when the process does not answer."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None  # noqa: S101 - asked for as pipes
        assert stdout is not None  # noqa: S101 - the same
        try:
            stdin.write(json.dumps({"do": do, **wanted}) + "\n")
            stdin.flush()
            ready, _, _ = select.select([stdout], [], [], DEADLINE_S)
            line = stdout.readline() if ready else ""
        except OSError:
            line = ""
        if not line:
            raise LabError(
                f"{self.source.name}: the process that makes traffic there does not answer",
                hint="is the lab still up? skoopctl lab status",
            )
        return dict(json.loads(line))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
