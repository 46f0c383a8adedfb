"""What follows the deployed layers, as an ONNX model of its own for the host."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

from dory.frontend.onnx_file import NodeView, OnnxFile


def epilogue_model(file: OnnxFile, inputs: Mapping[str, tuple[int, ...]]) -> tuple[bytes, list[NodeView]]:
    """(serialised model, its nodes): the nodes between the values `inputs` (ONNX shapes, float32) and the outputs."""
    maker = {name: node for node in file.nodes for name in node.outputs}
    nodes: list[NodeView] = []
    seen, stack = set(inputs), [p.name for p in file.outputs]
    constants: dict[str, np.ndarray] = {}
    while stack:
        name = stack.pop()
        if name in seen or not name:
            continue
        seen.add(name)
        if name in file.constants:
            constants[name] = file.constants[name]
        elif name in maker:
            nodes.append(maker[name])
            stack.extend(maker[name].inputs)
    order = {id(n): i for i, n in enumerate(file.nodes)}
    nodes = sorted({id(n): n for n in nodes}.values(), key=lambda n: order[id(n)])
    read = {n for node in nodes for n in node.inputs} | {p.name for p in file.outputs}
    ports = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list(shape))
        for name, shape in inputs.items()
        if name in read
    ]
    outputs = [helper.make_tensor_value_info(p.name, p.elem_type or 1, list(p.shape)) for p in file.outputs]
    initialisers = [numpy_helper.from_array(a, name) for name, a in sorted(constants.items())]
    graph = helper.make_graph([n.proto for n in nodes], "epilogue", ports, outputs, initialisers)
    opset = nodes[0].opset if nodes else 13
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="dory")
    model.ir_version = 7
    return bytes(model.SerializeToString(deterministic=True)), nodes
