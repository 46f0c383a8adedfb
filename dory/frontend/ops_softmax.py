"""Softmax: a layer when its output is quantised, the host's work at the end of the network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dory.frontend.builder import Builder
from dory.frontend.onnx_file import NodeView
from dory.frontend.operator import Inputs, Operator, axis_of, need
from dory.frontend.values import Pending, Real, Target, Value, View, pending
from dory.layers.softmax import SoftmaxAttrs, softmax_table


@dataclass(frozen=True, eq=False)
class DeferredSoftmax:
    """Softmax over the channels of rows; left to the host when nothing quantises it."""

    node: NodeView
    x: Real
    columns: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The ONNX shape."""
        return self.x.shape

    def emit(self, b: Builder, target: Target, lo: int, hi: int) -> View:
        """The layer, on a (1, rows, columns) view."""
        if self.node.op != "Softmax":
            raise self.node.error(
                "it is quantised", "accepted at the end of the network, as float, for the host to compute"
            )
        axis = _softmax_axis(self.node, self.x.shape)
        view, quant = b.integers(self.x, self.node)
        view = b.settle(view, self.node)
        numerator = round(1 / target.scale)
        if not 1 <= numerator < 1 << 15:
            raise self.node.error(f"an output scale of {target.scale:g}", "accepted is 2^-15..1, best 1/256")
        moved = view.idx if _from_axis(self.node) else np.moveaxis(view.idx, axis, -1)
        order = moved.reshape(-1, self.columns)
        tensor = view.tensor
        rows = order - order[:, :1]
        contiguous = np.array_equal(rows, np.broadcast_to(np.arange(self.columns), rows.shape))
        out = view.idx
        if not (contiguous and b.tensors[tensor].shape[2] == self.columns and not np.any(order[:, 0] % self.columns)):
            wanted = np.arange(order.size, dtype=np.int64)
            tensor = b.arrange(View(tensor, moved), wanted, (1, order.shape[0], self.columns), self.node)
            out = wanted.reshape(moved.shape)
            out = out if _from_axis(self.node) else np.moveaxis(out, -1, axis)
        attrs = SoftmaxAttrs(softmax_table(quant.scale), numerator, target.zero, lo, hi)
        return View(b.emit("softmax", self.node, [tensor], attrs, target, (lo, hi)), out)


def _from_axis(node: NodeView) -> bool:
    """Before opset 13 softmax runs over all axes from `axis` on."""
    return node.opset < 13


def _softmax_axis(node: NodeView, shape: tuple[int, ...]) -> int:
    return axis_of(node, node.integer("axis", 1 if _from_axis(node) else -1), len(shape))


def import_softmax(b: Builder, node: NodeView, inputs: Inputs) -> Value:
    """Softmax over one axis."""
    x = need(node, inputs, 0)
    if isinstance(x, Pending):
        b.integers(x, node)
    if not isinstance(x, Real):
        raise node.error("its input is not a dequantised activation", "quantise the whole network")
    axis = _softmax_axis(node, x.shape)
    columns = int(np.prod(x.shape[axis:])) if _from_axis(node) else x.shape[axis]
    return pending(DeferredSoftmax(node, x, columns))


OPERATORS = (
    Operator(("Softmax",), "one axis; float at the end of the network: left to the host", "softmax", import_softmax),
    Operator(("LogSoftmax",), "float at the end of the network", "- (left to the host)", import_softmax),
)
