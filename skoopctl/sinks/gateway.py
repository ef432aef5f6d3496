"""A Pushgateway: one group a cluster and plan, replaced as a whole, so that nothing stale stays in it.

PUT replaces the group, samples have no timestamps (the gateway refuses them), and a gateway that cannot be
reached is a warning: the run's own result does not depend on it.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.request import HTTPHandler, HTTPSHandler, ProxyHandler, Request, build_opener

from skoopctl.errors import PushError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

JOB = "skoopctl"
_SAID = 200


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where to push, and how to log in. The password is read from its file when it is needed."""

    url: str
    user: str = ""
    password_file: str = ""
    ca_file: str = ""
    timeout_s: float = 10.0

    def put(self, registry: CollectorRegistry, group: Mapping[str, str]) -> None:
        """Replace a group. Raises `PushError` in one line."""
        from prometheus_client import push_to_gateway  # noqa: PLC0415 - heavy

        self._said(
            lambda: push_to_gateway(
                self.url, JOB, registry, dict(group), timeout=self.timeout_s, handler=self._handler
            )
        )

    def delete(self, group: Mapping[str, str]) -> None:
        """Delete a group. Raises `PushError` in one line."""
        from prometheus_client import delete_from_gateway  # noqa: PLC0415 - heavy

        self._said(
            lambda: delete_from_gateway(
                self.url, JOB, dict(group), timeout=self.timeout_s, handler=self._handler
            )
        )

    def _said(self, push: Callable[[], None]) -> None:
        try:
            push()
        except HTTPError as error:
            body = error.read(_SAID).decode("utf-8", "replace").strip()
            raise PushError(
                f"{self.url}: the gateway says {error.code} {error.reason}: {body or 'nothing more'}"
            ) from None
        except URLError as error:
            raise PushError(f"{self.url}: the gateway cannot be reached: {error.reason}") from None
        except (OSError, ValueError) as error:
            raise PushError(f"{self.url}: nothing was pushed: {error}") from None

    def _handler(
        self, url: str, method: str, timeout: float | None, headers: list[tuple[str, str]], data: bytes
    ) -> Callable[[], None]:
        """Return what sends one request; no proxy of the environment is asked."""

        def send() -> None:
            request = Request(url, data=data, method=method)  # noqa: S310 - http or https, as the plan's pattern says
            for name, value in headers:
                request.add_header(name, value)
            if self.user:
                request.add_header("Authorization", f"Basic {self._credentials()}")
            handlers = (ProxyHandler({}), HTTPHandler(), HTTPSHandler(context=self._tls()))
            with build_opener(*handlers).open(request, timeout=timeout) as answer:
                answer.read()

        return send

    def _credentials(self) -> str:
        lines = Path(self.password_file).read_text(encoding="utf-8") if self.password_file else ""
        password = lines.partition("\n")[0]
        return base64.b64encode(f"{self.user}:{password}".encode()).decode("ascii")

    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_file or None)
