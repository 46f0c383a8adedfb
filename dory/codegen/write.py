"""Writing a folder atomically: everything in a temporary sibling, then one rename."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dory.codegen.app import MARKER
from dory.errors import UserError


def check_replaceable(folder: Path, force: bool) -> None:
    """UserError when `folder` exists and is not an application of ours (unless force), or cannot be made."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UserError("exists and is not a folder", where=str(folder), hint="another -o")
    if folder.is_dir() and any(folder.iterdir()) and not force and not (folder / MARKER).is_file():
        raise UserError(
            f"the output folder exists, is not empty and has no {MARKER}: it was not made by dory",
            where=str(folder),
            hint="another -o, or --force to replace it",
        )
    parent = folder.absolute().parent
    if parent.exists() and not parent.is_dir():
        raise UserError(f"{parent} is not a folder", where=str(folder), hint="another -o")


def write_tree(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files below a folder of the caller's own."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write all files, then put the folder in place; a failure leaves what was there before.

    Raises UserError when the folder cannot be written.
    """
    folder = folder.absolute()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as e:
        raise UserError(f"cannot be written: {e.strerror}", where=str(folder), hint="another -o") from e
    try:
        fresh = scratch / "new"
        write_tree(fresh, files)
        if folder.exists():
            folder.rename(scratch / "old")
        try:
            fresh.rename(folder)
        except OSError:
            if (scratch / "old").exists():
                (scratch / "old").rename(folder)
            raise
    except OSError as e:
        raise UserError(f"cannot be written: {e.strerror}", where=str(folder), hint="another -o") from e
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
