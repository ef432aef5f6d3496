"""Live collection: every host asked once, its answer decoded, and the API's lists beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from skoopctl.errors import EvidenceError, TransportError
from skoopctl.evidence.bundle import Bundle, HostRecord
from skoopctl.evidence.frames import Seen, decode_answer
from skoopctl.evidence.item import HOST_WIDE, HostEvidence, Item, ItemStatus
from skoopctl.evidence.payload import job
from skoopctl.evidence.request import Request
from skoopctl.evidence.untrusted import printable
from skoopctl.evidence.who import read_identity
from skoopctl.inventory import InventoryHost
from skoopctl.transport.apart import apart
from skoopctl.transport.base import Deadlines, FleetObserver, HostResult, HostStatus, TransportFactory
from skoopctl.transport.fleet import run_fleet

_BROKEN = (ItemStatus.DENIED, ItemStatus.TIMEOUT, ItemStatus.TRUNCATED, ItemStatus.FAILED)
UNREADABLE = "unreadable:"
"""How the detail of an absent item begins when there is something that nothing on the node can read."""


async def collect(
    hosts: Sequence[InventoryHost],
    *,
    deadlines: Deadlines | None = None,
    forks: int | None = None,
    observer: FleetObserver | None = None,
    request: Request | None = None,
    transports: TransportFactory | None = None,
    inventory: str = "",
    kubeconfig: Path | str | None = None,
) -> Bundle:
    """Ask every host and, with ``kubeconfig``, the API; return what came.

    No host's failure is raised, and neither is the API's: both are in the bundle. Nothing is written.
    """
    limits = deadlines or Deadlines()
    asked = request or request_within(limits)
    created = datetime.now(UTC)
    lists = asyncio.create_task(lists_of(kubeconfig))
    records = _Records({host.name: host.address for host in hosts}, observer)
    try:
        await run_fleet(
            hosts,
            job(asked),
            deadlines=limits,
            forks=forks,
            observer=records,
            transports=transports,
            keep_output=False,
        )
        cluster, problem = await lists
    finally:
        lists.cancel()
    return Bundle(
        results={host.name: records.decoded[host.name] for host in hosts},
        cluster=cluster,
        cluster_problem=problem,
        inventory=inventory,
        created=created,
    )


class _Records:
    """Decodes each answer when it comes, while other hosts still work, and tells the caller's observer."""

    def __init__(self, addresses: Mapping[str, str], observer: FleetObserver | None) -> None:
        self._addresses = addresses
        self._observer = observer
        self._seen: Seen = {}
        self.decoded: dict[str, HostRecord] = {}

    def run_started(self, hosts: Sequence[InventoryHost]) -> None:
        """Pass it on."""
        if self._observer is not None:
            self._observer.run_started(hosts)

    def host_started(self, host: InventoryHost) -> None:
        """Pass it on."""
        if self._observer is not None:
            self._observer.host_started(host)

    def host_finished(self, result: HostResult) -> None:
        """Decode the answer, then pass it on."""
        self.decoded[result.host] = record_of(result, self._addresses[result.host], self._seen)
        if self._observer is not None:
            self._observer.host_finished(result)

    def run_finished(self, results: Sequence[HostResult]) -> None:
        """Pass it on."""
        if self._observer is not None:
            self._observer.run_finished(results)


def request_within(deadlines: Deadlines) -> Request:
    """Return a request whose own deadline leaves time for a partial answer to arrive."""
    deadline_s = max(deadlines.program_s * 0.9, deadlines.program_s - 3.0)
    return Request(deadline_s=deadline_s, item_timeout_s=min(10.0, deadline_s / 2))


def record_of(result: HostResult, address: str = "", seen: Seen | None = None) -> HostRecord:
    """Decode one host's answer and say, in a status and one line, how far it can be relied on."""
    evidence = decode_answer(result.host, result.stdout, seen)
    status, detail = _verdict(result, evidence)
    return HostRecord(status, printable(detail, 500), evidence, result.elapsed_s, address, result.began_s)


def _verdict(result: HostResult, evidence: HostEvidence) -> tuple[HostStatus, str]:
    answered = bool(evidence.items)
    if result.error is not None:
        said = _without_name(result.error)
        if not answered:
            return result.status, said
        return HostStatus.PARTIAL, f"{len(evidence.items)} items came, then: {said}"
    if not answered:
        tail = printable(result.stderr.strip().rpartition("\n")[2], 200)
        return HostStatus.UNSUPPORTED, f"{evidence.problem}{': ' + tail if tail else ''}"
    if not evidence.complete:
        return HostStatus.PARTIAL, f"{len(evidence.items)} items came, then: {evidence.problem}"
    broken = [item for item in evidence.items.values() if _is_broken(item)]
    if not broken:
        return HostStatus.OK, ""
    if not _is_root(evidence):
        return HostStatus.DENIED, (
            f"the login is not root, {len(broken)} of {len(evidence.items)} items could not be read: "
            "set ansible_become: true, or log in as root"
        )
    return HostStatus.PARTIAL, _broken_items(broken)


def _is_broken(item: Item) -> bool:
    """Tell whether something that may be there was not read."""
    return item.status in _BROKEN or (item.status is ItemStatus.ABSENT and item.detail.startswith(UNREADABLE))


def _broken_items(broken: Sequence[Item]) -> str:
    first = broken[0]
    where = "" if first.netns == HOST_WIDE else f" of namespace {first.netns}"
    more = f", and {len(broken) - 1} more" if len(broken) > 1 else ""
    return f"{first.name}{where}: {first.status}: {first.detail}{more}"


def _is_root(evidence: HostEvidence) -> bool:
    identity = evidence.item("identity")
    if identity is None:
        return False
    try:
        return read_identity(identity.payload).get("uid") == 0
    except ValueError:
        return False


def _without_name(error: Exception) -> str:
    """Return an error's line without the host's name: it stands in the host's own row."""
    text = str(error)
    return text.removeprefix(f"{error.host}: ") if isinstance(error, TransportError) else text


async def lists_of(kubeconfig: Path | str | None) -> tuple[dict[str, bytes], str]:
    """Return the API's lists, and what kept them from coming: from a thread that a cancellation need not wait for."""
    if kubeconfig is None:
        return {}, ""
    return await apart(_fetched, kubeconfig)


def _fetched(kubeconfig: Path | str) -> tuple[dict[str, bytes], str]:
    from skoopctl.evidence.api import fetch_cluster  # noqa: PLC0415 - importing the client takes a second

    try:
        return fetch_cluster(kubeconfig), ""
    except EvidenceError as error:
        return {}, str(error)
