"""Operators that move elements only: reshapes, transposes, padding, concatenation, shapes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dory.frontend import ops_shape
from dory.frontend.builder import canonical_idx
from dory.frontend.integer.eight import Inputs, Walk, constants_of, need
from dory.frontend.integer.sources import Anything, Chained
from dory.frontend.onnx_file import NodeView
from dory.frontend.operator import axis_of, ints_attr_or_input, scalar_attr_or_input
from dory.frontend.values import Const, Ints, Target, View


def import_view(w: Walk, node: NodeView, inputs: Inputs) -> Anything:
    """Reshape, Flatten, Transpose, Squeeze and Unsqueeze: indices only."""
    x = need(node, inputs, 0)
    move = _MOVES[node.op]
    if isinstance(x, Const):
        return move(w.b, node, [x, *constants_of(inputs)[1:]])
    shape = x.shape
    rows = Const(np.arange(int(np.prod(shape, dtype=np.int64)), dtype=np.int64).reshape(shape))
    moved = move(w.b, node, [rows, *constants_of(inputs)[1:]])
    assert isinstance(moved, Const)
    order = moved.array
    if isinstance(x, Chained):
        return replace(x, order=x.order.reshape(-1)[order], name=node.outputs[0])
    ints = w.eight(x, node)
    return Ints(w.b.moved(w.b.settle(ints.view, node), order, node), ints.signed)


_MOVES = {
    "Reshape": ops_shape.import_reshape,
    "Flatten": ops_shape.import_flatten,
    "Transpose": ops_shape.import_transpose,
    "Squeeze": ops_shape.import_squeeze,
    "Unsqueeze": ops_shape.import_squeeze,
}


def import_identity(w: Walk, node: NodeView, inputs: Inputs) -> Anything:
    """Operators that do nothing at inference."""
    return need(node, inputs, 0)


def import_shape(w: Walk, node: NodeView, inputs: Inputs) -> Anything:
    """The static shape as a constant."""
    shape = need(node, inputs, 0).shape
    return Const(np.array(shape[node.integer("start", 0) : node.integer("end", len(shape))], np.int64))


def import_pad(w: Walk, node: NodeView, inputs: Inputs) -> Anything:
    """Pad of height and width by an integer; the next convolution absorbs zeros."""
    if node.text("mode", "constant") != "constant":
        raise node.error(f"mode {node.text('mode', '')}", "accepted is constant padding")
    x = need(node, inputs, 0)
    known = constants_of(inputs)
    pads = ints_attr_or_input(node, known, "pads", 1) or []
    value = scalar_attr_or_input(node, known, "value", 2) or 0.0
    if len(inputs) > 3:
        raise node.error("pads for some axes only", "accepted are pads for all axes")
    rank = len(x.shape)
    if len(pads) != 2 * rank:
        raise node.error(f"pads {pads} for an input of shape {list(x.shape)}", "export the network again")
    if not any(pads):
        return x
    begin, end = pads[:rank], pads[rank:]
    if rank not in (3, 4) or any(begin[:2]) or any(end[:2]) or min(pads) < 0:
        raise node.error(f"pads {pads}", "accepted is padding of height and width, by 0 or more elements")
    ints = w.eight(x, node)
    byte = value + w.zero(ints.view)
    if byte != int(byte) or not 0 <= byte <= 255:
        raise node.error(f"its value is {value:g}", "accepted are integers that fit the input's 8 bits")
    top, left, bottom, right = (*([0] if rank == 3 else []), *begin[2:], *([0] if rank == 3 else []), *end[2:])
    view = ints.view
    if any(view.pads) and view.pad_value == int(byte):
        old = view.pads
        pads4 = (old[0] + top, old[1] + left, old[2] + bottom, old[3] + right)
        return Ints(View(view.tensor, view.idx, pads4, view.pad_value), ints.signed)
    tensor, _ = w.b.canonical(view, node)
    return Ints(View(tensor, canonical_idx(view.shape), (top, left, bottom, right), int(byte)), ints.signed)


def import_concat(w: Walk, node: NodeView, inputs: Inputs) -> Anything:
    """Concatenation of 8-bit tensors of equal signedness."""
    parts = [w.eight(x, node) for x in inputs]
    axis = axis_of(node, node.integer("axis", 1), len(parts[0].shape))
    others = {p.shape[:axis] + p.shape[axis + 1 :] for p in parts}
    if len(others) != 1:
        raise node.error(f"shapes {[list(p.shape) for p in parts]}", "inputs must agree on all other axes")
    zeros = {w.zero(p.view) for p in parts}
    if len(zeros) != 1:
        raise node.error("signed and unsigned inputs", "all inputs must have one range: 0..255, or -128..127")
    if len(parts) == 1:
        return parts[0]
    views = [w.b.settle(p.view, node) for p in parts]
    target = Target(1.0, zeros.pop(), node.outputs[0])
    return Ints(ops_shape.concatenate(w.b, node, views, axis, target), parts[0].signed)
