"""Evaluation of constant nodes and of unary float functions, by onnx's own reference implementation."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import onnx

from dory.frontend.onnx_file import Array, NodeView

MAX_BYTES = 1 << 28


def evaluate(node: NodeView, arrays: Sequence[Array | None]) -> list[Array]:
    """The outputs of one node on constant inputs (None for an absent one). UserError when it cannot be run."""
    from onnx.reference import ReferenceEvaluator

    names = [n if a is not None else "" for n, a in zip(node.inputs, arrays, strict=True)]
    feeds = {n: a for n, a in zip(names, arrays, strict=True) if a is not None}
    proto = onnx.NodeProto()
    proto.CopyFrom(node.proto)
    del proto.input[:]
    proto.input.extend(names)
    outputs = [o for o in node.outputs if o]
    graph = onnx.helper.make_graph(
        [proto],
        "fold",
        [
            onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for n, a in feeds.items()
        ],
        [onnx.helper.make_empty_tensor_value_info(o) for o in outputs],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid(node.domain, node.opset)])
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            results = ReferenceEvaluator(model).run(None, feeds)
    except Exception as exc:  # any failure inside a third-party operator is the node's
        raise node.error(
            f"it cannot be evaluated on constants: {type(exc).__name__}: {exc}",
            "export the network with constants folded",
        ) from exc
    arrays_out = [np.asarray(r) for r in results]
    if sum(a.nbytes for a in arrays_out) > MAX_BYTES:
        raise node.error("it makes a constant of more than 256 MB", "export the network again")
    return arrays_out
