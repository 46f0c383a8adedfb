"""Chains of element-wise float operators, evaluated on the 256 values that an 8-bit tensor can have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator


@dataclass(frozen=True)
class Step:
    """One operator of a chain: attributes, and a constant number as its second input (or first, for 1 - x)."""

    op: str
    constant: float | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    constant_first: bool = False

    def inputs(self, x: str, add_constant: Callable[[str, NDArray[Any]], str]) -> list[str]:
        """The node's inputs; add_constant(hint, array) makes a constant and returns its name."""
        if self.constant is None:
            return [x]
        value = np.asarray([self.constant] if self.op == "PRelu" else self.constant, np.float32)
        number = add_constant("number", value)
        return [number, x] if self.constant_first else [x, number]


def table(chain: Sequence[Step], values: NDArray[np.float32], opset: int) -> NDArray[np.float32]:
    """The chain's results on values [n], as onnx's reference evaluates them."""
    constants: list[TensorProto] = []

    def add_constant(hint: str, array: NDArray[Any]) -> str:
        constants.append(numpy_helper.from_array(array, f"{hint}{len(constants)}"))
        return constants[-1].name

    nodes, name = [], "x"
    for i, step in enumerate(chain):
        nodes.append(helper.make_node(step.op, step.inputs(name, add_constant), [f"y{i}"], **step.attributes))
        name = f"y{i}"
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [len(values)]) for n in ("x", name)]
    graph = helper.make_graph(nodes, "chain", ports[:1], ports[1:], initializer=constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    with np.errstate(all="ignore"):
        (result,) = ReferenceEvaluator(model).run(None, {"x": values})
    return np.asarray(result, np.float32)
