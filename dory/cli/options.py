"""Option types shared by commands: sizes, arrays, targets."""

from __future__ import annotations

import argparse
import re
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dory.errors import UserError

if TYPE_CHECKING:
    from dory.sim.iss.params import IssParams

_UNITS = {"": 1, "k": 1024, "m": 1024 * 1024}


def size(text: str) -> int:
    """'48k', '64KiB', '65536' to bytes; k is 1024."""
    found = re.fullmatch(r"(\d+)\s*([km]?)(?:i?b)?", text.strip().lower())
    if not found or int(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; accepted are e.g. 65536, 48k, 1M")
    return int(found[1]) * _UNITS[found[2]]


def add_target(parser: argparse.ArgumentParser) -> None:
    """--target, --l1, --l2, --cores."""
    parser.add_argument(
        "--target", default="gap8", metavar="NAME|FILE.toml", help="hardware description (default gap8)"
    )
    parser.add_argument(
        "--l1", type=size, metavar="BYTES", help="L1 that tiles may use, e.g. 32k (default: all there is)"
    )
    parser.add_argument("--l2", type=size, metavar="BYTES", help="L2 for code, weights and activations (default: all)")
    parser.add_argument("--cores", type=int, metavar="N", help="use fewer of the cluster's cores (default: all)")


def add_pack(parser: argparse.ArgumentParser) -> None:
    """--pack; None where not given, which is auto."""
    parser.add_argument(
        "--pack",
        choices=("auto", "off"),
        help="auto (the default) stores weights and activations that provably fit 4 or 2 bits in them, off in bytes",
    )


def add_input_type(parser: argparse.ArgumentParser) -> None:
    """--input-type, None where not given: uint8."""
    parser.add_argument(
        "--input-type",
        choices=("uint8", "int8"),
        help="range of inputs whose type the file does not tell, as in networks of integers (default uint8)",
    )


def add_clocks(parser: argparse.ArgumentParser) -> None:
    """--fc-mhz, --cluster-mhz."""
    for name, what in (("fc", "fabric controller"), ("cluster", "cluster")):
        parser.add_argument(
            f"--{name}-mhz", type=float, metavar="MHZ", help=f"clock of the {what} (default: the target's)"
        )


def with_clocks(params: IssParams, fc_mhz: float | None, cluster_mhz: float | None) -> IssParams:
    """The parameters at other clocks; None keeps one. UserError for nonsense."""
    for option, mhz in (("--fc-mhz", fc_mhz), ("--cluster-mhz", cluster_mhz)):
        if mhz is not None and not 1 <= mhz <= 10_000:
            raise UserError(f"{mhz:g} MHz; accepted are 1 to 10000", where=option)
    return replace(
        params,
        fc_khz=params.fc_khz if fc_mhz is None else round(fc_mhz * 1000),
        cluster_khz=params.cluster_khz if cluster_mhz is None else round(cluster_mhz * 1000),
    )


def write_text(path: Path, text: str, option: str) -> None:
    """Write a text file whole or not at all. UserError, naming the option, when it cannot be written."""
    write_bytes(path, text.encode(), option)


def write_bytes(path: Path, data: bytes, option: str) -> None:
    """Write a file whole or not at all. UserError, naming the option, when it cannot be written."""
    scratch = path.with_name(f".{path.name}.part")
    try:
        scratch.write_bytes(data)
        scratch.replace(path)
    except OSError as e:
        scratch.unlink(missing_ok=True)
        raise UserError(f"cannot be written: {e.strerror}", where=str(path), hint=f"another {option}") from e


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
