"""The text of a file that people wrote, or one clear error."""

from __future__ import annotations

import os
from pathlib import Path

from skoopctl.errors import InventoryError

LARGEST_FILE = 16 * 1024 * 1024
_VAULT = b"$ANSIBLE_VAULT;"


def at_home(text: str | os.PathLike[str]) -> Path:
    """Return a path, with ``~`` as the home directory; ``~x`` stays when there is no user x."""
    path = Path(text)
    try:
        return path.expanduser()
    except (RuntimeError, ValueError):
        return path


def is_vaulted(path: Path) -> bool:
    """Return whether a file is encrypted with ansible-vault."""
    try:
        with path.open("rb") as file:
            return file.read(len(_VAULT)) == _VAULT
    except OSError:
        return False  # said where it is read


def read_text(path: Path, *, missing: str = "name an inventory file with -i") -> str:
    """Return a file's text; raise :class:`InventoryError` when it is no readable UTF-8 text, or encrypted."""
    name = str(path)
    try:
        if not path.is_file() and path.exists():
            raise InventoryError("is not a regular file", path=name)
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise InventoryError(f"{size} bytes are too much for an inventory", path=name)
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except FileNotFoundError:
        raise InventoryError("no such file", path=name, hint=missing) from None
    except UnicodeDecodeError:
        raise InventoryError("the file is not UTF-8 text", path=name) from None
    except OSError as error:
        raise InventoryError(f"cannot be read: {error.strerror}", path=name) from None
    except ValueError:
        raise InventoryError("this cannot be a file's name", path=repr(name)) from None
    if data.startswith(_VAULT):
        raise InventoryError(
            "the file is encrypted with ansible-vault, and might hold what decides a login",
            path=name,
            line=1,
            hint="keep what decides a login in a plain file; --skip-vaulted leaves out group_vars and host_vars",
        )
    return text
