"""8-bit tensors out of chains, and network outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

import numpy as np

from dory.frontend.builder import Builder
from dory.frontend.integer.chain import Chain
from dory.frontend.integer.sources import Anything, Chained, Elements, Host, Limits, Products, chained
from dory.frontend.onnx_file import NodeView, OnnxFile
from dory.frontend.operator import Inputs as ValueInputs
from dory.frontend.values import Const, Ints, View
from dory.graph.types import IntArray

Inputs: TypeAlias = Sequence[Anything | None]


def get(inputs: Inputs, i: int) -> Anything | None:
    """Input i, None when it is absent."""
    return inputs[i] if i < len(inputs) else None


def need(node: NodeView, inputs: Inputs, i: int) -> Anything:
    """Input i, which the operator cannot do without."""
    value = get(inputs, i)
    if value is None:
        raise node.error(f"input {i} is missing", "export the network again")
    return value


def constants_of(inputs: Inputs) -> ValueInputs:
    """The inputs for helpers that read constants; to them anything else is computed at run time."""
    return cast(ValueInputs, inputs)


@dataclass(eq=False)
class Walk:
    """What the importers of operators share: the graph under construction and the tensors made so far."""

    b: Builder
    file: OnnxFile
    made: dict[int, Ints] = field(default_factory=dict)  # by id of the Chained, which keep_alive holds
    keep_alive: list[Chained] = field(default_factory=list)

    def zero(self, view: View) -> int:
        """The zero-point of a tensor: 0, or 128 for one with negative values."""
        return self.b.tensors[view.tensor].zero_point

    def limits(self, value: Chained) -> tuple[int, int]:
        """Range of a chain's values."""
        lo, hi = value.source.bounds(self.b)
        low, high = value.chain.bounds(value.source.node, lo, hi)
        return int(low.min()), int(high.max())

    def fits(self, value: Chained, saturate: bool = True) -> Limits | None:
        """The 8-bit tensor that holds the value's range; None when there is none.

        saturate: sums of two tensors and averages may be limited to 8 bits.
        """
        if not value.chain.whole or value.chain.lo is not None or value.chain.hi is not None:
            return None
        lo, hi = self.limits(value)
        if saturate and value.source.saturates:
            lo, hi = (max(lo, 0), min(hi, 255)) if lo >= 0 else (max(lo, -128), min(hi, 127))
        if 0 <= lo <= hi <= 255:
            return Limits(lo, hi, 0)
        return Limits(lo, hi, 128) if -128 <= lo <= hi <= 127 else None

    def eight(self, value: Anything | None, node: NodeView) -> Ints:
        """The value as an 8-bit tensor, for an operator that needs one. UserError when it is none."""
        if isinstance(value, Ints):
            return value
        if isinstance(value, Host):
            raise value.reason
        if not isinstance(value, Chained):
            kind = "a constant" if isinstance(value, Const) else "absent"
            raise node.error(f"its input is {kind}", "accepted is an activation of integers")
        if id(value) in self.made:
            return self.made[id(value)]
        limits = self.fits(value)
        if limits is None:
            raise self.too_wide(value, node)
        if value.source.saturates:
            self._note_saturation(value, limits)
        view = value.source.emit(self.b, value.chain, limits, value.name)
        if not value.unmoved:
            view = self.b.moved(view, value.order, node)
        self.made[id(value)] = Ints(view, limits.zero == 128)
        self.keep_alive.append(value)
        return self.made[id(value)]

    def _note_saturation(self, value: Chained, limits: Limits) -> None:
        lo, hi = self.limits(value)
        if lo < limits.lo or hi > limits.hi:
            self.b.notes.append(
                f"{value.source.node.label}: the file lets this value reach {lo}..{hi}; it saturates at"
                f" {limits.lo} and {limits.hi}"
            )

    def too_wide(self, value: Chained, node: NodeView) -> Exception:
        """The error for a value that has no 8-bit form."""
        maker = value.source.node
        if not value.chain.whole or value.chain.lo is not None or value.chain.hi is not None:
            found = f"its input '{value.name}' is a fraction that nothing rounds"
        else:
            lo, hi = self.limits(value)
            found = f"its input '{value.name}' ({maker.op} '{maker.label}') ranges over {lo}..{hi}, more than 8 bits"
        return node.error(found, "between two layers there must be a division, a floor and a clip to 8 bits")

    def chain(self, value: Anything | None, node: NodeView) -> Chained:
        """The value as something that arithmetic can go on with.

        A value that is a clipped 8-bit one becomes a tensor first, so that each layer keeps one rounding.
        """
        if isinstance(value, Chained):
            done = value.chain.stages and value.chain.trivial
            if not done or self.fits(value, saturate=False) is None:
                return value
        if isinstance(value, Chained | Host) or value is None or isinstance(value, Const):
            value = self.eight(value, node)
        assert isinstance(value, Ints)
        view = self.b.settle(value.view, node)
        return chained(Elements(node, view, self.zero(view)), Chain.start(), node.outputs[0])

    def words(self, value: Chained) -> tuple[View, bool] | None:
        """(the value as a network output, whether it is int32); None when it can be neither 8 bits nor int32."""
        if isinstance(value.source, Products):
            view = value.source.emit_words(self.b, value.chain, value.name)
            if view is not None:
                return (view if value.unmoved else self._moved_words(view, value.order)), True
        if self.fits(value) is None:
            return None
        return self.eight(value, value.source.node).view, False

    def _moved_words(self, view: View, order: IntArray) -> View:
        idx: IntArray = view.idx.reshape(-1)[order]
        return View(view.tensor, idx)


def per_channel(node: NodeView, x: Chained, constant: IntArray) -> IntArray:
    """A constant operand as one number or one per channel of the value; UserError for any other shape."""
    if constant.size == 1:
        return constant.reshape(1)
    axis = x.source.channel_axis
    aligned = (1,) * (len(x.shape) - constant.ndim) + constant.shape
    channels = x.source.shape[axis] if x.source.shape else 1
    wanted = tuple(channels if i == axis else 1 for i in range(len(x.shape)))
    if not x.unmoved or aligned != wanted:
        if np.unique(constant).size == 1 and len(aligned) == len(x.shape):
            return constant.reshape(-1)[:1]
        raise node.error(
            f"a constant of shape {list(constant.shape)} for an activation of shape {list(x.shape)}",
            "accepted are one number, or one per channel",
        )
    return constant.reshape(-1)
