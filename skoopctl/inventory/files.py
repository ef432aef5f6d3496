"""The text of a file that people wrote, or one clear error."""

from __future__ import annotations

from pathlib import Path

from skoopctl.errors import InventoryError

LARGEST_FILE = 16 * 1024 * 1024
_VAULT = "$ANSIBLE_VAULT;"


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
    if text.startswith(_VAULT):
        raise InventoryError(
            "the file is encrypted with ansible-vault, and might hold what decides a login",
            path=name,
            line=1,
            hint="keep such variables in a plain file, and secrets of other programs out of this folder",
        )
    return text
