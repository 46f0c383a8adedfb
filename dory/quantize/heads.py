"""Outputs that are picked from one linear layer become linear layers of their own."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper


def split_heads(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace Gather(Gemm(x, W, b), constant, axis=1) by Gemm of the chosen rows.

    Each head then has a scale of its own, and no operator moves single elements. A Gemm that is also read by something
    else stays as it is.
    """
    graph = model.graph
    constants = {t.name: t for t in graph.initializer}
    outputs = {o.name for o in graph.output}
    nodes: list[onnx.NodeProto] = []
    replaced: dict[str, list[onnx.NodeProto]] = {}
    for gemm in graph.node:
        readers = [n for n in graph.node if gemm.output[0] in n.input]
        if gemm.op_type != "Gemm" or gemm.output[0] in outputs or not readers:
            continue
        if any(name not in constants for name in gemm.input[1:]) or not all(
            _picks(n, gemm.output[0], constants) for n in readers
        ):
            continue
        replaced[gemm.output[0]] = []
        for reader in readers:
            replaced[reader.output[0]] = _head(graph, gemm, reader, constants)
    for node in graph.node:
        nodes.extend(replaced.get(node.output[0], [node]) if node.output else [node])
    if replaced:
        del graph.node[:]
        graph.node.extend(nodes)
    return model


def _picks(node: onnx.NodeProto, x: str, constants: dict[str, onnx.TensorProto]) -> bool:
    axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
    return node.op_type == "Gather" and node.input[0] == x and axis in (1, -1) and node.input[1] in constants


def _head(
    graph: onnx.GraphProto, gemm: onnx.NodeProto, gather: onnx.NodeProto, constants: dict[str, onnx.TensorProto]
) -> list[onnx.NodeProto]:
    rows = numpy_helper.to_array(constants[gather.input[1]]).astype(np.int64)
    attributes = {a.name: helper.get_attribute_value(a) for a in gemm.attribute}
    weight = numpy_helper.to_array(constants[gemm.input[1]])
    weight = np.take(weight, rows.reshape(-1), 0 if attributes.get("transB", 0) else 1)
    name = gather.output[0]
    inputs = [gemm.input[0], f"{name}/weight"]
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(weight), inputs[1]))
    if len(gemm.input) > 2:
        bias = numpy_helper.to_array(constants[gemm.input[2]])
        bias = np.take(np.broadcast_to(bias, (1, _columns(constants, gemm, attributes))), rows.reshape(-1), 1)[0]
        inputs.append(f"{name}/bias")
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(bias), inputs[2]))
    made = name if rows.ndim == 1 else f"{name}/rows"
    out = [helper.make_node("Gemm", inputs, [made], name=f"{gemm.name or gemm.output[0]}/{name}", **attributes)]
    if rows.ndim != 1:
        shape = f"{name}/shape"
        graph.initializer.append(numpy_helper.from_array(np.array([1, *rows.shape] if rows.ndim else [1]), shape))
        out.append(helper.make_node("Reshape", [made, shape], [name], name=f"{name}/reshape"))
    return out


def _columns(constants: dict[str, onnx.TensorProto], gemm: onnx.NodeProto, attributes: dict[str, object]) -> int:
    return int(constants[gemm.input[1]].dims[0 if attributes.get("transB", 0) else 1])
