"""Any unary function of an 8-bit tensor: a table of 256 entries, exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dory.graph.types import IntArray, Shape
from dory.layers.base import Access, Geometry, Layer, PackedWeights
from dory.layers.cost import Number, Work
from dory.plan import LayerPlan


@dataclass(frozen=True, eq=False)
class LutAttrs:
    """table[256], values 0..255, indexed by the unsigned input. `function` names it for reports."""

    table: IntArray
    function: str


class Lut(Layer[LutAttrs]):
    """y = table[x]."""

    op = "lut"
    kernel = "dory_lut"
    code = 256
    summary = "any 8-bit unary function, and a stand-alone requantisation, as a table"

    def out_shape(self, attrs: LutAttrs, shapes: Sequence[Shape]) -> Shape:
        return shapes[0]

    def reference(self, attrs: LutAttrs, inputs: Sequence[IntArray]) -> IntArray:
        return attrs.table[inputs[0]]

    def geometry(self, attrs: LutAttrs, shapes: Sequence[Shape]) -> Geometry:
        return Geometry(shapes[0], (Access(shapes[0]),))

    def highest(self, attrs: LutAttrs, inputs: Sequence[int]) -> int:
        return int(attrs.table[: inputs[0] + 1].max())

    def weights(self, attrs: LutAttrs) -> PackedWeights:
        return PackedWeights(attrs.table.astype("uint8").tobytes(), 0, 256)

    def cost_features(self, layer: LayerPlan, work: Work) -> tuple[Number, ...]:
        """Words of four outputs; the last ones one by one."""
        size = work.pixels * work.out[2]
        return (1.0, work.share(work.up(size, 4)), size % 4)
