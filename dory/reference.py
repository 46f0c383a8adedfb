"""The golden: a NumPy interpreter of the integer graph, every layer's output kept."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dory.graph.types import Graph, IntArray
from dory.layers import LAYERS


def run(graph: Graph, inputs: Mapping[str, IntArray]) -> dict[str, IntArray]:
    """Evaluate the graph on HWC integer inputs; returns every tensor by name (HWC, int64).

    Raises ValueError when an input is missing, has another shape or holds values outside its type.
    """
    values: dict[str, IntArray] = {}
    for name in graph.inputs:
        tensor, x = graph.tensors[name], np.asarray(inputs[name], np.int64)
        if x.shape != tensor.shape or x.min() < tensor.qtype.lo or x.max() > tensor.qtype.hi:
            raise ValueError(f"input {name}: expected {tensor.shape} of {tensor.qtype}, got {x.shape}")
        values[name] = x
    for node in graph.nodes:
        y = LAYERS[node.op].reference(node.attrs, [values[t] for t in node.inputs])
        tensor = graph.tensors[node.output]
        if y.shape != tensor.shape or y.min() < tensor.qtype.lo or y.max() > tensor.qtype.hi:
            raise ValueError(
                f"layer {node.name}: {y.shape} in {y.min()}..{y.max()} is not {tensor.shape} of {tensor.qtype}"
            )
        values[node.output] = y
    return values
