"""The application: addresses of the page, and what answers each. It reads; one button collects again."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from skoopctl.checks.diagnosis import Diagnosis
from skoopctl.checks.snapshot import Snapshot
from skoopctl.errors import SkoopError
from skoopctl.report.jsonout import to_json
from skoopctl.report.messages import Messages, messages
from skoopctl.report.overview_in import detail_in
from skoopctl.report.svg import render_svg
from skoopctl.web.assets import assets
from skoopctl.web.diagnosis_page import page_of
from skoopctl.web.guard import Access, Guard, refused
from skoopctl.web.held import Held
from skoopctl.web.recollection import Collect, Recollection
from skoopctl.web.render import Around, render_diagnosis, render_run_page
from skoopctl.web.run_page import KeptRun, Sieve, run_page_of
from skoopctl.web.wanted import LONGEST, Wanted, wanted_of

Answer = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Shown:
    """What is served: evidence, the question to begin with, a kept run, and how to collect again, if it can be.

    ``words`` are the language of the pages; that of the JSON is the schema's.
    """

    snapshot: Snapshot | None
    first: Wanted = field(default_factory=Wanted)
    run: KeptRun | None = None
    run_file: str = ""
    run_evidence: str = ""
    collect: Collect | None = None
    words: Messages = field(default_factory=messages)


class Site:
    """The page. ``close`` ends what it has begun."""

    def __init__(self, shown: Shown, access: Access) -> None:
        self._shown = shown
        self._held = Held(shown.snapshot) if shown.snapshot is not None else None
        self._again: Recollection | None = None
        if shown.collect is not None and self._held is not None:
            self._again = Recollection(shown.collect, self._held)
        routes = [
            Route("/", self._home, methods=["GET"]),
            Route("/diagnose", self._diagnose, methods=["GET"]),
            Route("/diagnosis.json", self._json, methods=["GET"]),
            Route("/picture.svg", self._svg, methods=["GET"]),
            Route("/run", self._run, methods=["GET"]),
            Route("/progress", self._progress, methods=["GET"]),
            Route("/collect", self._collect, methods=["POST"]),
            Route("/assets/{name}", self._asset, methods=["GET"]),
        ]
        inner = Starlette(routes=routes, exception_handlers={404: self._no_page, Exception: self._bug})
        self.app: ASGIApp = Guard(inner, access, shown.words)

    async def close(self) -> None:
        """End a collection that runs, and the worker."""
        if self._again is not None:
            await self._again.stop()
        if self._held is not None:
            self._held.close()

    async def _home(self, request: Request) -> Response:
        return await (self._run if self._shown.run is not None else self._diagnose)(request)

    async def _diagnose(self, request: Request) -> Response:
        wanted = wanted_of(request.query_params)
        if not wanted.asks:
            wanted = self._shown.first
        held = self._held
        if held is None:
            return HTMLResponse(
                render_diagnosis(None, wanted, self._around(), error=self._shown.run_evidence), 404
            )
        evidence = held.now

        def made() -> str:
            around = self._around()
            if not wanted.asks:
                return render_diagnosis(None, wanted, around)
            try:
                diagnosis = evidence.diagnose(wanted.question())
            except SkoopError as error:
                return render_diagnosis(None, wanted, around, error=error.message, hint=error.hint)
            return render_diagnosis(page_of(diagnosis, wanted, around.words), wanted, around)

        return HTMLResponse(await held.work(made))

    async def _json(self, request: Request) -> Response:
        return await self._file(
            request, "application/json", lambda found, _: json.dumps(to_json(found), indent=2)
        )

    async def _svg(self, request: Request) -> Response:
        return await self._file(request, "image/svg+xml", self._picture)

    async def _file(
        self, request: Request, media_type: str, made: Callable[[Diagnosis, Wanted], str]
    ) -> Response:
        """Answer with a diagnosis as a file; a question that cannot be answered is one line."""
        wanted, held = wanted_of(request.query_params), self._held
        if held is None:
            return self._missing()
        evidence = held.now
        try:
            text = await held.work(lambda: made(evidence.diagnose(wanted.question()), wanted))
        except SkoopError as error:
            return PlainTextResponse(f"skoopctl: {detail_in(str(error), self._shown.words)}\n", 422)
        return Response(text, media_type=media_type)

    async def _run(self, request: Request) -> Response:
        run = self._shown.run
        if run is None:
            return self._missing()
        given = request.query_params
        sieve = Sieve(given.get("severity", ""), given.get("node", ""), given.get("q", "").strip()[:LONGEST])
        page = run_page_of(run, sieve, file=self._shown.run_file, evidence=self._shown.run_evidence)
        return HTMLResponse(render_run_page(page, self._around()))

    def _around(self) -> Around:
        again = self._again
        return Around(
            run=self._shown.run is not None,
            evidence=self._held.now if self._held is not None else None,
            progress=again.progress if again is not None else None,
            csrf=again.token if again is not None else "",
            words=self._shown.words,
        )

    async def _progress(self, _request: Request) -> Response:
        if self._again is None:
            return self._missing()
        return JSONResponse(asdict(self._again.progress))

    async def _collect(self, request: Request) -> Response:
        if self._again is None:
            return self._missing()
        form = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=20)
        token = form.get("csrf", [""])[0]
        elsewhere = request.headers.get("sec-fetch-site", "same-origin") != "same-origin"
        if elsewhere or not hmac.compare_digest(token.encode(), self._again.token.encode()):
            return refused(self._shown.words, "foreign", 403)
        self._again.start()
        fields = {name: values[0] for name, values in form.items()}
        return RedirectResponse(wanted_of(fields).href(), 303)

    def _picture(self, diagnosis: Diagnosis, wanted: Wanted) -> str:
        branches = diagnosis.path.branches
        known = wanted.branch is not None and wanted.branch < len(branches)
        branch = branches[wanted.branch or 0] if known else None
        return render_svg(diagnosis, branch=branch, words=self._shown.words)

    async def _asset(self, request: Request) -> Response:
        found = assets().get(request.path_params["name"])
        if found is None:
            return self._missing()
        return Response(found.body, media_type=found.media_type)

    def _bug(self, _request: Request, _error: Exception) -> Response:
        """Say so; the server writes the trace to standard error."""
        return refused(self._shown.words, "bug", 500)

    def _no_page(self, _request: Request, _error: Exception) -> Response:
        return self._missing()

    def _missing(self) -> Response:
        return refused(self._shown.words, "missing", 404)
