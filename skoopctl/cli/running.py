"""The steps of ``skoopctl run``: aim at hosts, ask them, work it out, keep it, push it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skoopctl.cli.aim import LAB_INVENTORY, Aim
from skoopctl.cli.collect import Progress
from skoopctl.cli.login import LoginFlags
from skoopctl.cli.run_listing import check_text
from skoopctl.errors import UsageError

if TYPE_CHECKING:
    from skoopctl.evidence.bundle import Bundle
    from skoopctl.inventory import InventoryHost
    from skoopctl.plans.model import Plan
    from skoopctl.runs.changes import Changes
    from skoopctl.runs.probed import Probed
    from skoopctl.runs.result import RunResult
    from skoopctl.runs.store import Store
    from skoopctl.sinks.gateway import Access
    from skoopctl.transport.choice import RealTransports

CHECK_SCHEMA = "skoopctl.run-check/1"


@dataclass(slots=True)
class Running:
    """One run of a plan. ``quiet`` keeps progress off standard error."""

    plan: Plan
    file: Path
    push: str | None = None
    quiet: bool = False
    login: LoginFlags = field(default_factory=LoginFlags)
    inventory: str = ""
    hosts: tuple[InventoryHost, ...] = ()
    cluster: str = ""
    store: Store | None = None
    kept: Path | None = field(default=None, init=False)
    """Where the result is kept, once it is."""
    _gateway: Access | None = field(default=None, init=False)
    _probed: Probed | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._gateway = self._find_gateway()

    def aim(self, aim: Aim, state: Path | None) -> None:
        """Find the hosts that are meant, and where results are kept; nobody is asked yet."""
        from skoopctl.runs.store import Store

        loaded = aim.load(quiet=self.quiet)
        chosen = loaded.select(self.plan.hosts)
        if aim.limit is not None:
            allowed = {host.name for host in loaded.select(aim.limit)}
            chosen = tuple(host for host in chosen if host.name in allowed)
            if not chosen:
                raise UsageError(f"--limit {aim.limit} leaves none of the plan's hosts ({self.plan.hosts})")
        self.inventory, self.hosts = aim.label, self.login.applied(chosen)
        self.cluster = self.plan.cluster or loaded.name
        self.store = Store.of(self.plan.plan, self.cluster, state)
        self.plan = self.plan.model_copy(update={"kubeconfig": self._kubeconfig(aim)})

    def _kubeconfig(self, aim: Aim) -> str:
        """Return the kubeconfig to use: relative ones stand beside the plan; the lab has its own."""
        given = self.plan.kubeconfig
        if not given:
            lab = LAB_INVENTORY.with_name("kubeconfig")
            return str(lab) if aim.is_lab and lab.is_file() else ""
        path = Path(given).expanduser()
        beside = self.file.parent / path
        found = path if path.is_file() or not beside.is_file() else beside
        if not found.is_file():
            raise UsageError(f"kubeconfig {given}: there is no such file")
        return str(found)

    def live(self, *, retry_failed: bool) -> tuple[RunResult, Changes | None]:
        """Ask the hosts, work the result out, keep it; return it with what has changed."""
        from skoopctl.runs.as_json import run_to_json
        from skoopctl.runs.changes import compare

        assert self.store is not None  # noqa: S101 - aim() comes first
        # Whoever must be asked for a password is asked before the lock is taken and the clock runs.
        transports = self.login.transports(self.hosts)
        started, begin = datetime.now(UTC), time.monotonic()
        with self.store.locked():
            last = self.store.last()
            bundle = (
                self._retried(last, transports) if retry_failed else self._collect(self.hosts, transports)
            )
            result = self._evaluate(bundle)
            result = replace(result, started=started, duration_s=time.monotonic() - begin)
            changes = compare(result, last) if last is not None else None
            shown = run_to_json(result, changes)
            self.kept = self.store.keep(
                shown, bundle, runs=self.plan.keep.runs, bundles=self.plan.keep.bundles
            )
        return result, changes

    def of_bundle(self, file: str) -> RunResult:
        """Work a result out of evidence that was collected before."""
        from skoopctl.evidence import read_bundle

        if self.plan.probes and not self.quiet:
            click.echo("skoopctl: note: the plan's probes are left out: a bundle cannot be watched", err=True)
        bundle, begin = read_bundle(file), time.monotonic()
        self.inventory, self.cluster = (
            bundle.inventory,
            self.plan.cluster or Path(bundle.inventory).stem or "bundle",
        )
        return replace(self._evaluate(bundle), started=bundle.created, duration_s=time.monotonic() - begin)

    def _collect(self, hosts: Sequence[InventoryHost], transports: RealTransports) -> Bundle:
        from skoopctl.cli.run_probes import watch_probes
        from skoopctl.evidence import collect as live
        from skoopctl.transport.base import Deadlines

        limits = self.plan.deadlines
        progress = Progress(sys.stderr, tell=True) if sys.stderr.isatty() and not self.quiet else None
        deadlines = Deadlines(limits.connect, limits.program, limits.host, limits.run)

        async def ask() -> Bundle:
            bundle = await live.collect(
                hosts,
                deadlines=deadlines,
                forks=self.plan.forks,
                observer=progress,
                transports=transports,
                inventory=self.inventory,
                kubeconfig=self.plan.kubeconfig or None,
            )
            if self.plan.probes:
                self._probed = await watch_probes(
                    self.plan,
                    self.hosts,
                    hosts,
                    bundle,
                    transports=transports,
                    deadlines=deadlines,
                    cluster=self.cluster,
                    quiet=self.quiet,
                )
            return bundle

        return asyncio.run(ask())

    def _retried(self, last: dict[str, Any] | None, transports: RealTransports) -> Bundle:
        """Ask the hosts that failed in the last run; what the others said then is taken from its evidence."""
        if last is None:
            raise UsageError(
                "--retry-failed: this plan has not run on this cluster yet", hint="run it without"
            )
        rows = last.get("coverage", {}).get("hosts", [])
        failed = {str(row.get("host")) for row in rows if row.get("status") != "ok"}
        again = tuple(host for host in self.hosts if host.name in failed)
        if not again:
            raise UsageError(f"--retry-failed: every host answered in the last run ({last.get('started')})")
        fresh = self._collect(again, transports)
        assert self.store is not None  # noqa: S101 - aim() comes first
        kept = self.store.last_bundle()
        if kept is None:
            return fresh
        wanted = {host.name for host in self.hosts}
        before = {name: record for name, record in kept.results.items() if name in wanted}
        cluster = fresh.cluster or kept.cluster
        return replace(fresh, results={**before, **fresh.results}, cluster=cluster)

    def _evaluate(self, bundle: Bundle) -> RunResult:
        from skoopctl.checks.load import snapshot_of
        from skoopctl.runs.evaluate import evaluate

        def told(name: str) -> None:
            if sys.stderr.isatty() and not self.quiet:
                sys.stderr.write(f"\r\x1b[Kinspecting: {name}")
                sys.stderr.flush()

        result = evaluate(
            self.plan,
            snapshot_of(bundle),
            cluster=self.cluster,
            inventory=self.inventory,
            told=told,
            probed=self._probed,
        )
        if sys.stderr.isatty() and not self.quiet:
            sys.stderr.write("\r\x1b[K")
        return result

    # --- what would be done ------------------------------------------------------------------------------

    def check(self, *, as_json: bool) -> str:
        """Return exactly what would run where, with which privileges; nothing is dialled or written."""
        from skoopctl.evidence.collect import request_within
        from skoopctl.evidence.payload import job
        from skoopctl.transport.base import Deadlines
        from skoopctl.transport.command import command_line

        limits = self.plan.deadlines
        asked = job(request_within(Deadlines(limits.connect, limits.program, limits.host, limits.run)))
        hosts = [
            {
                "host": host.name,
                "connection": host.connection,
                "address": host.address,
                "port": host.port,
                "user": host.user,
                "becomes": (host.become_user or "root") if host.become else None,
                "command": command_line(host, asked.command),
            }
            for host in self.hosts
        ]
        found = {
            "schema": CHECK_SCHEMA,
            "plan": self.plan.plan,
            "cluster": self.cluster,
            "hosts": hosts,
            "stdin_bytes": len(asked.stdin),
            "stdin_sha256": hashlib.sha256(asked.stdin).hexdigest(),
            "api": self.plan.kubeconfig or None,
            "inspections": list(self.plan.inspections),
            "probes": self._probes_asked(),
            "paths": len(self.plan.paths),
            "pushes_to": self._gateway.url if self._gateway is not None else None,
            "writes": [str(self.store.folder) if self.store else "", *(r.file for r in self.plan.reports)],
        }
        return json.dumps(found, indent=2) if as_json else check_text(found)

    def _probes_asked(self) -> dict[str, Any] | None:
        """Return what would be watched after that, and the program that would be sent for it."""
        if not self.plan.probes:
            return None
        from skoopctl.watching.asked import Asked
        from skoopctl.watching.for_a_while import Stay

        stay = Stay(self.plan.probe_duration, self.plan.probe_interval)
        sent = Asked(tuple(self.plan.probes), stay.interval_s, stay.rounds).job(stay.rounds).stdin
        return {
            "names": list(self.plan.probes),
            "rounds": stay.rounds,
            "interval_s": stay.interval_s,
            "stdin_bytes": len(sent),
            "stdin_sha256": hashlib.sha256(sent).hexdigest(),
        }

    # --- metrics -----------------------------------------------------------------------------------------

    def _find_gateway(self) -> Access | None:
        from skoopctl.sinks.gateway import Access

        part = self.plan.push
        if self.push is not None and (not self.push.startswith(("http://", "https://")) or "@" in self.push):
            raise UsageError(
                f"--push {self.push.rpartition('@')[2]}: not a gateway's URL",
                hint="http://HOST:9091, without user and password: those stand in the plan's push",
            )
        if part is None:
            return Access(self.push) if self.push is not None else None
        url = self.push or part.gateway
        if not url:
            return None
        return Access(
            url,
            part.user,
            part.password_file,
            part.ca_file,
            timeout_s=part.timeout,
        )

    @property
    def _group(self) -> dict[str, str]:
        return {"cluster": self.cluster, "plan": self.plan.plan}

    def push_metrics(self, result: RunResult) -> None:
        """Replace this plan's group at the gateway, if there is one. Raises `PushError`."""
        if self._gateway is None:
            return
        from skoopctl.sinks.gateway import GatewayClient
        from skoopctl.sinks.run_metrics import page_of

        with closing(GatewayClient(self._gateway)) as client:
            client.put(self._group, page_of(result))

    def delete_group(self) -> None:
        """Delete this plan's group at the gateway. Raises `PushError`."""
        if self._gateway is None:
            raise UsageError("--push-delete needs a gateway", hint="give --push URL, or push: in the plan")
        from skoopctl.sinks.gateway import GatewayClient

        with closing(GatewayClient(self._gateway)) as client:
            client.delete(self._group)
