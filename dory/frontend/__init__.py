"""ONNX file -> integer graph."""

from __future__ import annotations

from pathlib import Path

from dory.errors import UserError
from dory.frontend.importer import Imported, Place, import_qdq
from dory.frontend.io import from_hwc, to_hwc
from dory.frontend.kind import require_qdq
from dory.frontend.onnx_file import read
from dory.frontend.registry import ops_table
from dory.graph.rescale import RESCALE_BITS
from dory.graph.types import Graph

__all__ = ["Imported", "Place", "from_hwc", "load", "load_with_places", "ops_table", "to_hwc"]


def load(path: Path, *, rescale_bits: int = 15) -> Graph:
    """The integer graph of an ONNX network; UserError for a file that is not an accepted network.

    rescale_bits is the width of the rescale multipliers, 15 or 31.
    """
    return load_with_places(path, rescale_bits=rescale_bits).graph


def load_with_places(path: Path, *, rescale_bits: int = 15) -> Imported:
    """Like `load`, with the place of every quantised ONNX value in the graph, for comparisons layer by layer."""
    if rescale_bits not in RESCALE_BITS:
        raise UserError(
            f"rescale multipliers of {rescale_bits} bits", where="--rescale-bits", hint="accepted are 15 and 31"
        )
    file = read(Path(path))
    require_qdq(file)
    return import_qdq(file, rescale_bits)
