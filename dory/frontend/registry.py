"""All importers by ONNX operator."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from dory.frontend import ops_conv, ops_elementwise, ops_pool, ops_shape, ops_softmax, qdq
from dory.frontend.operator import Operator

_ALL: tuple[Operator, ...] = (
    *qdq.OPERATORS,
    *ops_conv.OPERATORS,
    *ops_elementwise.OPERATORS,
    *ops_softmax.OPERATORS,
    *ops_pool.OPERATORS,
    *ops_shape.OPERATORS,
)

OPERATORS: Mapping[str, Operator] = MappingProxyType({name: op for op in _ALL for name in op.names})


def ops_table() -> list[tuple[str, str, str]]:
    """(ONNX operators, what is accepted, layer of the integer graph) for the README, in the order of the registry."""
    rows = [(", ".join(op.names), op.accepted, op.layer) for op in _ALL]
    return [*rows, ("Constant and all others on constants", "any that onnx's reference can evaluate", "- (folded)")]
