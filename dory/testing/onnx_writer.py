"""Writes the nodes and constants of an ONNX graph, and hides how opsets 9 to 21 differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSETS = range(9, 22)
_MICROSOFT = "com.microsoft"

# Attributes that became an input: operator -> (attribute, since opset, position of the input, type)
_INPUTS: Mapping[str, Sequence[tuple[str, int, int, type[np.generic]]]] = {
    "Clip": (("min", 11, 1, np.float32), ("max", 11, 2, np.float32)),
    "Pad": (("pads", 11, 1, np.int64), ("value", 11, 2, np.float32)),
    "Squeeze": (("axes", 13, 1, np.int64),),
    "Unsqueeze": (("axes", 13, 1, np.int64),),
    "ReduceMean": (("axes", 18, 1, np.int64),),
    "Dropout": (("ratio", 12, 1, np.float32),),
}


class OnnxWriter:
    """Collects a graph in the order of the calls. Names are made from the operators, one number each."""

    def __init__(self, name: str, opset: int) -> None:
        if opset not in OPSETS:
            raise ValueError(f"opset {opset}: accepted are {OPSETS.start} to {OPSETS.stop - 1}")
        self.name = name
        self.opset = opset
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._renamed: dict[str, str] = {}

    @property
    def per_axis(self) -> bool:
        """Whether DequantizeLinear takes a scale per channel."""
        return self.opset >= 13

    def node(self, op: str, inputs: Sequence[str], *, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output, whose name is returned. Attributes are given as in the newest opset."""
        inputs = list(inputs)
        for attribute, since, position, dtype in _INPUTS.get(op, ()):
            if attribute in attributes and self.opset >= since:
                inputs += [""] * (position - len(inputs))
                inputs.append(self.constant(attribute, np.asarray(attributes.pop(attribute), dtype)))
        output = f"{op}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, inputs, [output], name=f"n{output}", domain=domain, **attributes))
        return output

    def constant(self, hint: str, array: NDArray[Any] | np.generic) -> str:
        """Add an initialiser; its name is returned."""
        name = f"{hint}_c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def quantise(self, x: str, scale: float, zero: int, dtype: np.dtype[Any]) -> str:
        """QuantizeLinear and DequantizeLinear, per tensor; the name of the dequantised value."""
        parameters = [self.constant("scale", np.float32(scale)), self.constant("zero", np.asarray(zero, dtype))]
        return self._linear("DequantizeLinear", [self._linear("QuantizeLinear", [x, *parameters]), *parameters])

    def dequantised(self, hint: str, ints: NDArray[Any], scale: NDArray[Any], axis: int = 0) -> str:
        """An integer initialiser with zero-point 0 and its DequantizeLinear; `scale` is a scalar or per axis."""
        zero = self.constant("zero", np.zeros(scale.shape, ints.dtype))
        names = [self.constant(hint, ints), self.constant("scale", scale.astype(np.float32)), zero]
        return self._linear("DequantizeLinear", names, **({"axis": axis} if scale.ndim else {}))

    def _linear(self, op: str, inputs: Sequence[str], **attributes: Any) -> str:
        # The standard has these operators since opset 10; exporters used onnxruntime's before.
        return self.node(op, inputs, domain=_MICROSOFT if self.opset < 10 else "", **attributes)

    def input(self, name: str, shape: Sequence[int]) -> None:
        """Add a float input."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))

    def output(self, value: str, name: str, shape: Sequence[int]) -> None:
        """Make a value a float output under a new name."""
        if value in self._renamed:
            raise ValueError(f"'{value}' is the output '{self._renamed[value]}' already")
        self._renamed[value] = name
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))

    def model(self) -> onnx.ModelProto:
        """The whole network."""
        nodes = []
        for original in self._nodes:
            node = onnx.NodeProto()
            node.CopyFrom(original)
            for names in (node.input, node.output):
                for i, value in enumerate(names):
                    names[i] = self._renamed.get(value, value)
            nodes.append(node)
        graph = helper.make_graph(nodes, self.name, self._inputs, self._outputs, initializer=self._constants)
        opsets = [helper.make_opsetid("", self.opset)]
        if self.opset < 10:
            opsets.append(helper.make_opsetid(_MICROSOFT, 1))
        versions = helper.find_min_ir_version_for(opsets[:1])
        return helper.make_model(graph, opset_imports=opsets, ir_version=max(versions, 4), producer_name="dory.testing")
