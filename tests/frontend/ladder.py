"""The first rung for the tests: import a network, compare every layer with onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dory.frontend import from_hwc
from dory.graph.types import Graph
from dory.testing.ladder import Ladder, climb
from tests.frontend.nets import Net


def check(
    net: Net, folder: Path, *, bits: int = 31, compared: int | None = None, max_lsb: int = 1
) -> tuple[Graph, Ladder]:
    """Every layer within max_lsb of onnxruntime; `compared` is the number of layers that must have been compared."""
    path = net.save(folder)
    ladder = climb(path, net.feeds, rescale_bits=bits)
    assert ladder.max_lsb <= max_lsb, [d for d in ladder.layers if d.max_lsb > max_lsb]
    if compared is not None:
        assert len(ladder.layers) == compared, ladder.layers
    assert ladder.elements > 0
    return ladder.graph, ladder


def ops(graph: Graph) -> list[str]:
    """The layers' operators in order."""
    return [n.op for n in graph.nodes]


def output(graph: Graph, ladder: Ladder, i: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(the reference's, onnxruntime's) network output i, both as the file has it."""
    tensor = graph.outputs[i]
    name = graph.io_layouts[tensor].onnx_name
    return from_hwc(graph, name, ladder.reference[tensor]), ladder.onnxruntime[name]
