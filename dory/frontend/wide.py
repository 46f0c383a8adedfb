"""Weights of nine bits: uint8 weights less a zero-point reach beyond int8.

They are the sum of two int8 tensors (three for 255), so that the layer reads its input that often:
w * x = w1 * x + w2 * x, exactly.
"""

from __future__ import annotations

import numpy as np

from dory.frontend.builder import Builder
from dory.frontend.onnx_file import NodeView
from dory.frontend.ops_shape import concatenate
from dory.frontend.values import QConst, View

LIMIT = 127  # a part also fits when its sign is changed


def parts_of(weights: QConst) -> int:
    """The number of int8 tensors that the weights are the sum of; 1 when they fit, or when they are out of reach."""
    lo, hi = int(weights.ints.min(initial=0)), int(weights.ints.max(initial=0))
    if (lo >= -128 and hi <= 127) or max(-lo, hi) > 255:
        return 1
    return -(-max(-lo, hi) // LIMIT)


def split(weights: QConst, parts: int, axis: int) -> QConst:
    """The int8 tensors, one behind the other along the axis of the inputs."""
    found, rest = [], weights.ints
    for _ in range(parts):
        found.append(np.clip(rest, -LIMIT, LIMIT))
        rest = rest - found[-1]
    return QConst(np.concatenate(found, axis), np.concatenate([weights.scale] * parts, axis))


def repeat(b: Builder, node: NodeView, view: View, parts: int, axis: int, groups: int = 1) -> View:
    """The input's channels, each group's `parts` times."""
    view = b.settle(view, node)
    b.notes.append(
        f"{node.label}: its weights without their zero-point are beyond int8 and became a sum of {parts}, which takes"
        f" {parts} times the work; quantise weights symmetrically"
    )
    target = b.target_like(view.tensor, f"{view.tensor}/repeated")
    if groups == 1:
        return concatenate(b, node, [view] * parts, axis, target)
    shape = view.shape
    grouped = (*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])
    part = View(view.tensor, view.idx.reshape(grouped))
    all_parts = concatenate(b, node, [part] * parts, axis + 1, target)
    return View(all_parts.tensor, all_parts.idx.reshape((*shape[:axis], parts * shape[axis], *shape[axis + 1 :])))
