"""Where the files that are not Python live, in a wheel and in a source checkout alike."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def csrc_dir() -> Path:
    """The folder of the C sources: it holds `gap8_kernels/` and `runtime/`.

    A wheel carries it inside the package as `_csrc`; an editable install and a plain checkout read `csrc`
    beside the package. Raises FileNotFoundError when neither is there: a broken installation.
    """
    package = Path(__file__).resolve().parent
    # The wheel's copy first: beside an installed package, `csrc` could be anybody's.
    candidates = (package / "_csrc", package.parent / "csrc")
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    looked = " and ".join(str(candidate) for candidate in candidates)
    raise FileNotFoundError(f"the C sources of dory are missing (looked in {looked}): install dory again")


def templates_dir() -> Path:
    """The folder of the code generator's templates."""
    return Path(__file__).resolve().parent / "codegen" / "templates"


def share_objects(source: Path, target: Path, wanted: Callable[[Path], bool] = lambda _: True) -> None:
    """Copy compiled kernels and runtime files between build folders, as the newest files there, which make takes as is.

    For applications that this version has just written: nobody compares sources or options.
    """
    for folder in ("kernels", "runtime"):
        for found in sorted((source / folder).glob("*.o")):
            copy = target / folder / found.name
            if wanted(found) and not copy.exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(found, copy)
                os.utime(copy)
