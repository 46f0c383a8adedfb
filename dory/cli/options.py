"""Option types shared by commands: sizes, arrays, targets."""

from __future__ import annotations

import argparse
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dory.errors import UserError

_UNITS = {"": 1, "k": 1024, "m": 1024 * 1024}


def size(text: str) -> int:
    """'48k', '64KiB', '65536' to bytes; k is 1024."""
    found = re.fullmatch(r"(\d+)\s*([km]?)(?:i?b)?", text.strip().lower())
    if not found or int(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; accepted are e.g. 65536, 48k, 1M")
    return int(found[1]) * _UNITS[found[2]]


def add_target(parser: argparse.ArgumentParser) -> None:
    """--target, --l1, --l2."""
    parser.add_argument(
        "--target", default="gap8", metavar="NAME|FILE.toml", help="hardware description (default gap8)"
    )
    parser.add_argument(
        "--l1", type=size, metavar="BYTES", help="L1 that tiles may use, e.g. 32k (default: all there is)"
    )
    parser.add_argument("--l2", type=size, metavar="BYTES", help="L2 for code, weights and activations (default: all)")


def load_arrays(path: Path, names: list[str]) -> Mapping[str, np.ndarray]:
    """Network inputs from .npy (one input) or .npz (arrays by input name, or one array for one input).

    Raises UserError naming what is missing.
    """
    try:
        data = np.load(path, allow_pickle=False)
    except FileNotFoundError as e:
        raise UserError("no such file", where=str(path), hint="--input FILE.npy or FILE.npz") from e
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as e:
        raise UserError("not a NumPy file", where=str(path), hint="np.save or np.savez") from e
    if isinstance(data, np.ndarray):
        arrays = {names[0]: data} if len(names) == 1 else {}
    else:
        arrays = {name: data[name] for name in names if name in data.files}
        if not arrays and len(names) == len(data.files) == 1:
            arrays = {names[0]: data[data.files[0]]}
    missing = [n for n in names if n not in arrays]
    if missing:
        has = "one unnamed array" if isinstance(data, np.ndarray) else f"arrays {', '.join(data.files)}"
        raise UserError(
            f"holds {has}, but the network's inputs are {', '.join(names)}",
            where=str(path),
            hint="np.savez(file, " + ", ".join(f"{n}=..." for n in names) + ")",
        )
    return arrays
