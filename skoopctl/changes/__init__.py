"""Changes: the difference of two collections in terms of the model, never of their bytes.

`difference` is a pure function of two snapshots. What one of them could not see is *unseen*, never removed.
"""

from skoopctl.changes.difference import difference
from skoopctl.changes.model import Change, Difference, Section, Sign, Unseen

__all__ = ["Change", "Difference", "Section", "Sign", "Unseen", "difference"]
