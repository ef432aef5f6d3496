"""Starts workers and hands them tasks. A worker cannot outlive its supervisor, whatever ends that.

setpriv sets the signal that ``unshare`` gets when we die; ``unshare --kill-child`` passes it on to process 1 of
the worker's PID namespace, and with that every process in it goes, and so do its network namespaces.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]
_FURNISH = (
    "mount -t tmpfs skoop-fuzz /run && mkdir -p /run/netns /run/lock /run/tracing && "
    'mount -t sysfs sysfs /sys && { mount -t tracefs tracefs /run/tracing || true; } 2>/dev/null && exec "$@"'
)
Task = dict[str, Any]


class Worker:
    """One worker process."""

    def __init__(self) -> None:
        argv = [
            "setpriv", "--pdeathsig", "KILL",
            "unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc",
            "nice", "sh", "-c", _FURNISH, "sh", sys.executable, "-m", "tests.kernel.worker",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            start_new_session=True,
        )

    def run(self, task: Task) -> dict[str, Any]:
        """Have one task done. Raises RuntimeError when the worker died over it."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(task) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker died with status {process.wait()} over {task}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the worker by the end of its stdin, and wait."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


class Crew:
    """Some workers that share a list of tasks."""

    def __init__(self, size: int) -> None:
        # Started here, in the thread that lives longest: the death signal follows the thread that forked.
        self._idle = [Worker() for _ in range(size)]
        self._all = tuple(self._idle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._all:
            worker.close()

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, dict[str, Any]]]:
        """Yield each task with its result, as they come."""
        waiting = list(reversed(tasks))
        running: dict[Future[dict[str, Any]], tuple[Worker, Task]] = {}
        with ThreadPoolExecutor(len(self._all)) as pool:
            while waiting or running:
                while waiting and self._idle:
                    worker, task = self._idle.pop(), waiting.pop()
                    running[pool.submit(worker.run, task)] = worker, task
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    worker, task = running.pop(future)
                    self._idle.append(worker)
                    yield task, future.result()
