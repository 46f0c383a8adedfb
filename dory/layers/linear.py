"""Fully connected layer over the flat input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from dory.graph.types import IntArray, Requant, Shape
from dory.layers import conv_cost
from dory.layers.base import Access, Geometry, Layer, PackedWeights, Steps
from dory.layers.cost import Number, Work, least
from dory.layers.rescale import FORMS, Rescale, choose, pack_form
from dory.plan import LayerPlan

GROUP = 4


@dataclass(frozen=True, eq=False)
class LinearAttrs:
    """weights [N, K] in the input's HWC memory order, bias [N] with the input zero-point folded."""

    weights: IntArray
    bias: IntArray
    requant: Requant


class Linear(Layer[LinearAttrs]):
    """y[n] = rescale(bias[n] + sum_k w[n, k] * x[k])."""

    op = "linear"
    kernel = "dory_linear"
    code = 768
    rate = 1.5
    summary = "fully connected layer"

    def out_shape(self, attrs: LinearAttrs, shapes: Sequence[Shape]) -> Shape:
        return (1, 1, attrs.weights.shape[0])

    def reference(self, attrs: LinearAttrs, inputs: Sequence[IntArray]) -> IntArray:
        acc = attrs.weights.astype(np.float64) @ inputs[0].reshape(-1).astype(np.float64)  # exact: < 2**53
        return attrs.requant.apply(acc.astype(np.int64) + attrs.bias).reshape(1, 1, -1)

    def geometry(self, attrs: LinearAttrs, shapes: Sequence[Shape]) -> Geometry:
        flat = (1, 1, prod(shapes[0]))
        return Geometry(self.out_shape(attrs, shapes), (Access(flat, channels="all"),), c_step=GROUP)

    def highest(self, attrs: LinearAttrs, inputs: Sequence[int]) -> int:
        return attrs.requant.hi

    def weights(self, attrs: LinearAttrs) -> PackedWeights:
        return pack_form(attrs.weights, _rescale(attrs), GROUP)

    def macs(self, attrs: LinearAttrs, shapes: Sequence[Shape]) -> int:
        return int(attrs.weights.size)

    def steps(self, attrs: LinearAttrs, shapes: Sequence[Shape]) -> Steps:
        return Steps(attrs.weights.shape[1], 1, 1)

    def constants(self, attrs: LinearAttrs) -> Mapping[str, Any]:
        return {"requant": attrs.requant, "form": _rescale(attrs).form}

    def cost_features(self, layer: LayerPlan, work: Work) -> tuple[Number, ...]:
        """Groups of four outputs with their words, whose inputs other cores read as well, and the tail of the input;
        outputs by rescale form."""
        if layer.depth:
            return conv_cost.step_features(layer, work)
        k = layer.inputs[0].shape[2]
        groups = work.share(work.up(work.out[2], GROUP))
        outputs = least(groups * GROUP, work.out[2])
        tails = groups if k % 4 else 0 * groups
        others = least(-(-work.out[2] // GROUP), work.cores) - 1
        forms = (outputs if layer.form == form else 0 * outputs for form in FORMS)
        return (1.0, groups, groups * (k // 4), groups * (k // 4) * others, tails, tails * (k % 4), *forms)


def _rescale(attrs: LinearAttrs) -> Rescale:
    return choose(attrs.weights, attrs.bias, attrs.requant)
