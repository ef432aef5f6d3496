"""Where events go, as people write it: the part ``loki`` of push's configuration and of a plan's ``push``."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from skoopctl.plans.part import ServerPart, Url, label_beside, shaped

OWN_LABELS = frozenset({"job", "cluster", "node", "type"})
"""The labels that streams have anyway."""
MOST_LABELS = 8
_TENANT = re.compile(r"[A-Za-z0-9!_.*'()-]{1,150}")


def _value(text: str) -> str:
    if not text or len(text) > 256:
        raise ValueError("expected a label's value of 1 to 256 characters")
    return text


class LokiPart(ServerPart):
    """A Loki: a line for each event, in streams by cluster, node and type."""

    url: Url
    """Its URL, without user and password; /loki/api/v1/push is put behind it."""
    token_file: str = ""
    """A file with a bearer token in its first line, in place of user and password."""
    tenant: Annotated[str, shaped(_TENANT, "a tenant of at most 150 letters, digits and !-_.*'()")] = ""
    """The tenant (X-Scope-OrgID), where Loki has several."""
    labels: Annotated[
        dict[Annotated[str, label_beside(OWN_LABELS)], Annotated[str, AfterValidator(_value)]],
        Field(max_length=MOST_LABELS),
    ] = Field(default_factory=dict)
    """Labels that all streams get beside job, cluster, node and type: the same for all, such as `site: berlin`."""
    structured_metadata: bool = False
    """Whether namespace and pod are sent beside the line too; a Loki that does not allow it gets the line alone."""
    batch: Annotated[int, Field(ge=1, le=10_000)] = 1_000
    """Events in one request, at most."""
    batch_bytes: Annotated[int, Field(ge=1_024, le=4_194_304)] = 524_288
    """Bytes of events in one request, at most."""
    batch_wait: Annotated[float, Field(gt=0, le=60)] = 1
    """Seconds that an event waits for others."""
    queue: Annotated[int, Field(ge=100, le=1_000_000)] = 20_000
    """Events that wait while Loki is slow or down; then the oldest are dropped, and counted."""

    @model_validator(mode="after")
    def _login_is_one(self) -> Self:
        if self.user and self.token_file:
            raise ValueError("user and token-file exclude each other")
        return self
