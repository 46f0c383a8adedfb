"""Fully connected layer whose sums are the result: int32, without a rescale.

The output tensor holds bytes: (1, 1, 4 N), the bytes of sum n, least significant first, at 4 n. Only the host reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from dory.graph.types import IntArray, Shape
from dory.layers.base import Access, Geometry, Layer, PackedWeights
from dory.layers.cost import Number, Work
from dory.plan import LayerPlan, Unit

GROUP = 4  # sums that share a group of packed weights


@dataclass(frozen=True, eq=False)
class Linear32Attrs:
    """weights [N, K] in the input's HWC memory order, bias [N] with the input zero-point folded."""

    weights: IntArray
    bias: IntArray


class Linear32(Layer[Linear32Attrs]):
    """y[n] = bias[n] + sum_k w[n, k] * x[k], as four bytes each."""

    op = "linear32"
    kernel = "dory_linear32"
    code = 768
    rate = 1.0
    summary = "fully connected layer with int32 results, for outputs that are not rescaled"

    def out_shape(self, attrs: Linear32Attrs, shapes: Sequence[Shape]) -> Shape:
        return (1, 1, 4 * attrs.weights.shape[0])

    def reference(self, attrs: Linear32Attrs, inputs: Sequence[IntArray]) -> IntArray:
        acc = attrs.weights.astype(np.float64) @ inputs[0].reshape(-1).astype(np.float64)  # exact: < 2**53
        return to_bytes(acc.astype(np.int64) + attrs.bias).reshape(1, 1, -1)

    def geometry(self, attrs: Linear32Attrs, shapes: Sequence[Shape]) -> Geometry:
        flat = (1, 1, prod(shapes[0]))
        return Geometry(self.out_shape(attrs, shapes), (Access(flat, channels="all"),), c_step=4 * GROUP)

    def weights(self, attrs: Linear32Attrs) -> PackedWeights:
        """Groups of [K4/4][4 sums][4 bytes], K zero-filled to K4, a multiple of 4, then int32 bias[4]."""
        n, k = attrs.weights.shape
        groups, k4 = -(-n // GROUP), -(-k // 4) * 4
        full = np.zeros((groups * GROUP, k4), np.int8)
        full[:n, :k] = attrs.weights
        bias = np.zeros(groups * GROUP, np.int64)
        bias[:n] = attrs.bias
        body = full.reshape(groups, GROUP, k4 // 4, 4).transpose(0, 2, 1, 3)
        tail = bias.reshape(groups, GROUP).astype("<i4")
        data = b"".join(body[g].tobytes() + tail[g].tobytes() for g in range(groups))
        return PackedWeights(data, 4 * GROUP, len(data) // groups, Unit(0, GROUP * k4, 4 * GROUP))

    def macs(self, attrs: Linear32Attrs, shapes: Sequence[Shape]) -> int:
        return int(attrs.weights.size)

    def constants(self, attrs: Linear32Attrs) -> Mapping[str, Any]:
        return {}

    def cost_features(self, layer: LayerPlan, work: Work) -> tuple[Number, ...]:
        """Groups of four sums with their words and the tail of the input."""
        k = layer.inputs[0].shape[2]
        groups = work.share(work.up(work.out[2], 4 * GROUP))
        tails = groups if k % 4 else 0 * groups
        return (1.0, groups, groups * (k // 4), tails, tails * (k % 4))


def to_bytes(words: IntArray) -> IntArray:
    """int32 values as their bytes, least significant first."""
    return np.frombuffer(np.asarray(words).astype("<i4").tobytes(), np.uint8).astype(np.int64)


def from_bytes(values: IntArray) -> IntArray:
    """Inverse of to_bytes."""
    return np.frombuffer(np.asarray(values).astype(np.uint8).tobytes(), "<i4").astype(np.int64)
