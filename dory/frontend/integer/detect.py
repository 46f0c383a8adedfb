"""Whether a file holds a network of integers, by its weights and arithmetic, never by names."""

from __future__ import annotations

import numpy as np

from dory.errors import UserError
from dory.frontend.onnx_file import NodeView, OnnxFile, constant_value

WEIGHTED = ("Conv", "Gemm", "MatMul")
QUANTISERS = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")


def why_not_integer(file: OnnxFile) -> str | None:
    """None for a network of integers held in floats; else the reason why it is none."""
    quantiser = next((n for n in file.nodes if n.op in QUANTISERS or n.op.startswith("QLinear")), None)
    if quantiser is not None:
        return f"it has {quantiser.op} nodes"
    constants = dict(file.constants)
    seen = 0
    for node in file.nodes:
        if node.op not in WEIGHTED:
            continue
        weights = _weights(file, node, constants)
        if weights is None:
            continue
        seen += 1
        if weights.dtype.kind == "f" and not np.array_equal(weights, np.rint(weights)):
            return f"the weights of {node.op} '{node.label}' are not integers"
        if weights.size and np.abs(weights.astype(np.float64)).max() > 128:
            return f"the weights of {node.op} '{node.label}' are integers beyond -128..127"
    return None if seen else "no Conv, Gemm or MatMul has constant weights"


def _weights(file: OnnxFile, node: NodeView, constants: dict[str, np.ndarray]) -> np.ndarray | None:
    """Constant weights, from an initialiser or a Constant node."""
    if len(node.inputs) < 2:
        return None
    name = node.inputs[1]
    if name in constants:
        return constants[name]
    maker = next((n for n in file.nodes if name in n.outputs and n.op == "Constant"), None)
    try:
        return constant_value(maker) if maker is not None else None
    except (UserError, ValueError, TypeError):
        return None
