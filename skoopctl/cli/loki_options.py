"""The flags that send events to Loki."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from skoopctl.cli.options import with_options
from skoopctl.errors import UsageError

if TYPE_CHECKING:
    from skoopctl.plans.loki_part import LokiPart

_KEYS = {
    "loki": "url",
    "loki_tenant": "tenant",
    "loki_user": "user",
    "loki_password_file": "password_file",
    "loki_token_file": "token_file",
    "loki_ca_file": "ca_file",
}


def loki_options() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the flags; it gets ``loki``, a `LokiPart` or nothing."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def called(**values: Any) -> Any:
            given = {key: values.pop(flag) for flag, key in _KEYS.items()}
            return command(loki=_part(given), **values)

        return with_options(called, _OPTIONS)  # type: ignore[no-any-return]

    return decorate


_OPTIONS = (
    click.option("--loki", metavar="URL", help="Send events to this Loki too; without /loki/api/v1/push."),
    click.option("--loki-tenant", metavar="NAME", help="Its tenant (X-Scope-OrgID)."),
    click.option("--loki-user", metavar="NAME", help="User for basic authentication."),
    click.option("--loki-password-file", metavar="FILE", help="A file with the password in its first line."),
    click.option("--loki-token-file", metavar="FILE", help="A file with a bearer token in its first line."),
    click.option("--loki-ca-file", metavar="FILE", help="What Loki's certificate is checked against."),
)


def _part(given: dict[str, str | None]) -> LokiPart | None:
    found = {key: value for key, value in given.items() if value is not None}
    if not found:
        return None
    if "url" not in found:
        raise UsageError("--loki-… without --loki", hint="give --loki URL")
    from pydantic import ValidationError

    from skoopctl.plans.loki_part import LokiPart

    try:
        return LokiPart(**found)  # type: ignore[arg-type]
    except ValidationError as error:
        said = str(error.errors(include_url=False)[0]["msg"]).removeprefix("Value error, ")
        raise UsageError(f"--loki: {said}") from None
