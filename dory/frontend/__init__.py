"""ONNX file -> integer graph."""

from __future__ import annotations

from pathlib import Path

from dory.errors import UserError
from dory.frontend.formats import FORMATS, ImportOptions, choose_format
from dory.frontend.importer import Imported, Place
from dory.frontend.io import from_hwc, to_hwc
from dory.frontend.onnx_file import read
from dory.frontend.registry import ops_table
from dory.graph.rescale import RESCALE_BITS
from dory.graph.types import Graph

__all__ = ["FORMATS", "Imported", "Place", "from_hwc", "load", "load_with_places", "ops_table", "to_hwc"]


def load(path: Path, *, rescale_bits: int = 15, signed_inputs: bool = False) -> Graph:
    """The integer graph of an ONNX network; UserError for a file that is not an accepted network.

    rescale_bits is the width of the rescale multipliers, 15 or 31. signed_inputs: inputs whose type the file does not
    tell (networks of integers) hold -128..127 rather than 0..255.
    """
    return load_with_places(path, rescale_bits=rescale_bits, signed_inputs=signed_inputs).graph


def load_with_places(path: Path, *, rescale_bits: int = 15, signed_inputs: bool = False) -> Imported:
    """Like `load`, with the place of every quantised ONNX value in the graph, for comparisons layer by layer."""
    if rescale_bits not in RESCALE_BITS:
        raise UserError(
            f"rescale multipliers of {rescale_bits} bits", where="--rescale-bits", hint="accepted are 15 and 31"
        )
    file = read(Path(path))
    return choose_format(file).load(file, ImportOptions(rescale_bits, signed_inputs))
