"""Packages on nodes: the only code of skoopctl that changes one, and only when it was told to.

It installs what skoopctl's readers and probes can use, remembers on the workstation exactly what was not there
before, and takes exactly that away again. Nothing else of skoopctl needs it.
"""
