"""Any unary function of an 8-bit tensor: a table of 256 entries, exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from dory.graph.types import IntArray, Shape
from dory.layers.base import Access, Geometry, Layer, PackedWeights
from dory.layers.cost import Number, Work
from dory.plan import LayerPlan

ENTRIES = 256
COPIES = 8
"""Of a table, one a core: cores that look up the same entry of one table would wait for each other, as after a ReLU."""
STEP = ENTRIES + 4
"""Bytes from one copy to the next: each begins one bank of L1 further."""
LARGE = 2048
"""Elements from which on the copies pay for their way to L1."""


@dataclass(frozen=True, eq=False)
class LutAttrs:
    """table[256], values 0..255, indexed by the unsigned input. `function` names it for reports. spread: every core has
    its own copy."""

    table: IntArray
    function: str
    spread: bool = False


class Lut(Layer[LutAttrs]):
    """y = table[x]."""

    op = "lut"
    kernel = "dory_lut"
    code = 320
    summary = "any 8-bit unary function, and a stand-alone requantisation, as a table"

    def out_shape(self, attrs: LutAttrs, shapes: Sequence[Shape]) -> Shape:
        return shapes[0]

    def reference(self, attrs: LutAttrs, inputs: Sequence[IntArray]) -> IntArray:
        return attrs.table[inputs[0]]

    def geometry(self, attrs: LutAttrs, shapes: Sequence[Shape]) -> Geometry:
        return Geometry(shapes[0], (Access(shapes[0]),))

    def highest(self, attrs: LutAttrs, inputs: Sequence[int]) -> int:
        return int(attrs.table[: inputs[0] + 1].max())

    def tuned(self, attrs: LutAttrs, shapes: Sequence[Shape]) -> LutAttrs:
        return replace(attrs, spread=prod(shapes[0]) >= LARGE)

    def weights(self, attrs: LutAttrs) -> PackedWeights:
        table = attrs.table.astype("uint8").tobytes()
        data = table.ljust(STEP, b"\0") * COPIES if attrs.spread else table
        return PackedWeights(data, 0, len(data))

    def constants(self, attrs: LutAttrs) -> Mapping[str, Any]:
        return {"step": STEP if attrs.spread else 0}

    def cost_features(self, layer: LayerPlan, work: Work) -> tuple[Number, ...]:
        """Words of four outputs, from a common table and from copies; the last ones one by one."""
        size = work.pixels * work.out[2]
        words = work.share(work.up(size, 4))
        spread = layer.weights is not None and layer.weights.bytes > ENTRIES
        return (1.0, words * (1 - spread), size % 4, words * spread)
