"""The scenarios, one file a subject."""

from importlib import import_module
from pathlib import Path


def load_all() -> None:
    """Import every file of this folder: each registers its scenarios."""
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        import_module(f"tests.vm.scenarios.{path.stem}")
