"""Where the files that are not Python live, in a wheel and in a source checkout alike."""

from __future__ import annotations

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
