"""A real permutation of the elements in memory (Reshape and Transpose that HWC does not absorb)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dory.errors import UserError
from dory.graph.types import IntArray, Shape
from dory.layers.base import Access, Geometry, Layer
from dory.layers.cost import Work
from dory.plan import LayerPlan

MAX_DIMS = 6  # DORY_PERMUTE_MAX in dory_kernels.h


@dataclass(frozen=True)
class PermuteAttrs:
    """Output element i, counted in mixed radix ((count, stride), ...), is at input offset sum(digit * stride)."""

    dims: tuple[tuple[int, int], ...]
    out_shape: Shape


def mixed_radix(offsets: IntArray, where: str) -> tuple[tuple[int, int], ...]:
    """((count, stride), ...), outermost first, whose enumeration is the flat offset sequence.

    A transpose of row-major data has this form, and so have most chains of reshapes and transposes (a second reshape
    may cut across the digits of the first). UserError when the sequence does not have it or needs too many digits.
    """
    rest = np.asarray(offsets, np.int64).reshape(-1)
    dims: list[tuple[int, int]] = []
    while rest.size > 1:
        stride = int(rest[1] - rest[0])
        steps = np.flatnonzero(np.diff(rest) != stride)
        count = int(steps[0]) + 1 if steps.size else rest.size
        if rest.size % count:
            count = int(np.gcd(count, rest.size))
        blocks = rest.reshape(-1, count)
        if count < 2 or not np.array_equal(
            blocks - blocks[:, :1], np.broadcast_to(np.arange(count) * stride, blocks.shape)
        ):
            raise UserError("this reordering of elements is not a reshape or transpose", where=where)
        dims.insert(0, (count, stride))
        rest = blocks[:, 0]
    if len(dims) > MAX_DIMS:
        raise UserError(f"this transpose needs {len(dims)} loops, {MAX_DIMS} are accepted", where=where)
    return tuple(dims) or ((1, 0),)


def radix_offsets(dims: Sequence[tuple[int, int]]) -> IntArray:
    """The flat offset sequence that a mixed radix enumerates."""
    out = np.zeros(1, np.int64)
    for count, stride in dims:
        out = (out[:, None] + np.arange(count, dtype=np.int64) * stride).reshape(-1)
    return out


class Permute(Layer[PermuteAttrs]):
    """Gather in memory, on L2 directly."""

    op = "permute"
    kernel = "dory_permute"
    code = 512
    summary = "Transpose and Reshape that are a real permutation in HWC memory"

    def out_shape(self, attrs: PermuteAttrs, shapes: Sequence[Shape]) -> Shape:
        return attrs.out_shape

    def reference(self, attrs: PermuteAttrs, inputs: Sequence[IntArray]) -> IntArray:
        return inputs[0].reshape(-1)[radix_offsets(attrs.dims)].reshape(attrs.out_shape)

    def geometry(self, attrs: PermuteAttrs, shapes: Sequence[Shape]) -> Geometry:
        return Geometry(attrs.out_shape, (Access(shapes[0], channels="all"),), direct=True)

    def constants(self, attrs: PermuteAttrs) -> Mapping[str, Any]:
        return {"dims": attrs.dims}

    def cost_features(self, layer: LayerPlan, work: Work) -> tuple[float, ...]:
        """Elements, and the ends of the innermost loop."""
        moved = work.share(work.pixels * work.out[2])
        return (1.0, moved, moved / _innermost(layer.inputs[0].shape, layer.output.shape))


def _innermost(source: Shape, target: Shape) -> int:
    """Elements of the innermost loop, guessed: the plan has shapes and not the order of the axes."""
    for order in ((1, 0, 2), (0, 2, 1), (2, 0, 1), (1, 2, 0), (2, 1, 0)):
        if tuple(source[i] for i in order) == target:
            return _merged([i for i in order if source[i] > 1], source)
    return target[2]


def _merged(order: list[int], source: Shape) -> int:
    """Size of the last axes, as far as they follow each other in the source too; axes of one element are left out."""
    place = {axis: k for k, axis in enumerate(sorted(order))}
    inner = source[order[-1]] if order else 1
    for a, b in zip(order[-2::-1], order[:0:-1], strict=True):
        if place[a] + 1 != place[b]:
            break
        inner *= source[a]
    return inner
