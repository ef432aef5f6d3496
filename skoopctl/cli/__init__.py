"""The command line. One file a command, thin; each is imported only when it is called."""

from skoopctl.cli.app import main, script

__all__ = ["main", "script"]
