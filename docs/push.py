"""Write docs/push.md from the model of the configuration, and docs/schema/push-1.schema.json.

``make docs`` runs it; with ``--check`` it only says whether the pages are fresh.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from docs.keys import tables
from docs.pages import write_or_check
from skoopctl.plans.loki_part import LokiPart
from skoopctl.plans.part import Part
from skoopctl.pushing import config
from skoopctl.pushing.config import PushConfig, config_schema

HERE = Path(__file__).parent
MARK = "<!-- keys: written by `make docs` from skoopctl/pushing/config.py -->\n"
PARTS: tuple[tuple[str, type[Part]], ...] = (
    ("The file", PushConfig),
    ("An entry of `probes`", config.ProbePart),
    ("`gateway`", config.GatewayPart),
    ("`loki`", LokiPart),
    ("`listen`", config.ListenPart),
    ("`deadlines`", config.DeadlinesPart),
    ("`limits`", config.LimitsPart),
)
KINDS = {
    "probes": "list, see below",
    "additional-labels": "texts by name",
    "args": "texts by name",
    "labels": "texts by name",
}


def page() -> str:
    """Return docs/push.md: what people wrote, and the tables behind the mark."""
    written = (HERE / "push.md").read_text(encoding="utf-8")
    before, mark, rest = written.partition(MARK)
    if not mark:
        sys.exit("docs/push.md: the mark before the tables of keys is gone")
    after = rest[rest.index("\n## ") :] if "\n## " in rest else ""
    return before + mark + "\n" + tables(PARTS, "###", KINDS).removesuffix("\n") + after


def main() -> None:
    """Write the pages, or check them."""
    schema = json.dumps(config_schema(), indent=2) + "\n"
    write_or_check({HERE / "push.md": page(), HERE / "schema/push-1.schema.json": schema})


if __name__ == "__main__":
    main()
