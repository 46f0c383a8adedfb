"""Mul, Add, Sub, Div, Floor, Clip and casts between a layer and the next: they only lengthen a chain."""

from __future__ import annotations

from dataclasses import replace
from math import lcm

import numpy as np

from dory.frontend.integer.chain import Chain, whole_numbers
from dory.frontend.integer.eight import Inputs, Walk, constants_of, need, per_channel
from dory.frontend.integer.sources import Anything, Chained, Elements, Sum, chained
from dory.frontend.onnx_file import NodeView
from dory.frontend.operator import scalar_attr_or_input
from dory.frontend.values import Const, Ints
from dory.graph.types import IntArray

INTEGER_TYPES = (2, 3, 4, 5, 6, 7, 12, 13)
FLOAT_TYPES = (1, 10, 11, 16)
BEYOND = 2.0**40  # a clip bound that is none


def _extended(node: NodeView, x: Chained, chain: Chain) -> Chained:
    return replace(x, chain=chain, name=node.outputs[0])


def _operands(node: NodeView, inputs: Inputs) -> tuple[Anything, Anything, bool]:
    """(activation, other operand, whether they were swapped): the constant comes last."""
    a, b = need(node, inputs, 0), need(node, inputs, 1)
    return (b, a, True) if isinstance(a, Const) else (a, b, False)


def _constant(node: NodeView, x: Chained, value: Const, what: str) -> IntArray:
    return per_channel(node, x, whole_numbers(node, value.array, what))


def import_mul(w: Walk, node: NodeView, inputs: Inputs) -> Anything:
    """An activation times integers."""
    x, c, _ = _operands(node, inputs)
    if not isinstance(c, Const):
        raise node.error("a product of two activations", "accepted are constant factors")
    x = w.chain(x, node)
    return _extended(node, x, x.chain.times(node, _constant(node, x, c, "factors")))


def import_div(w: Walk, node: NodeView, inputs: Inputs) -> Anything:
    """An activation divided by one integer."""
    x, c, swapped = _operands(node, inputs)
    if not isinstance(c, Const) or swapped:
        raise node.error("a division by an activation", "accepted are constant divisors")
    x = w.chain(x, node)
    divisor = np.unique(_constant(node, x, c, "divisors"))
    if divisor.size != 1:
        raise node.error("a divisor per channel", "accepted is one divisor for all channels")
    return _extended(node, x, x.chain.over(node, int(divisor[0])))


def import_add(w: Walk, node: NodeView, inputs: Inputs) -> Anything:
    """An activation plus integers, or the sum of two activations."""
    x, c, swapped = _operands(node, inputs)
    if not isinstance(c, Const):
        if node.op == "Sub":
            raise node.error("a difference of two activations", "accepted are sums, and differences to constants")
        return _sum(w, node, x, c)
    x = w.chain(x, node)
    term = _constant(node, x, c, "terms")
    if node.op == "Add":
        return _extended(node, x, x.chain.plus(node, term))
    chain = x.chain.times(node, np.array([-1])).plus(node, term) if swapped else x.chain.plus(node, -term)
    return _extended(node, x, chain)


def _sum(w: Walk, node: NodeView, first: Anything, second: Anything) -> Anything:
    own = [_own_requant(w, node, v, i + 1) for i, v in enumerate((first, second))]
    a, b = (_term(w, node, v) for v in own)
    if a.shape != b.shape:
        raise node.error(f"a sum of shapes {list(a.shape)} and {list(b.shape)}", "both operands must have one shape")
    d = lcm(a.chain.d, b.chain.d)
    mults = tuple(int(t.chain.k[0]) * (d // t.chain.d) for t in (a, b))
    term = sum(int(t.chain.l[0]) * (d // t.chain.d) for t in (a, b))
    sources = [t.source for t in (a, b)]
    assert isinstance(sources[0], Elements) and isinstance(sources[1], Elements)
    zeros = (sources[0].zero, sources[1].zero)
    out = Sum(node, sources[0].view, sources[1].view, zeros, (mults[0], mults[1]))
    integral = a.chain.integral and b.chain.integral
    chain = replace(Chain.start(d, integral), l=np.array([term], np.int64))
    return _out_requant(node, chained(out, chain, node.outputs[0]))


def _term(w: Walk, node: NodeView, value: Anything) -> Chained:
    """One operand of a sum: an 8-bit tensor times a number, plus a number."""
    x = value if isinstance(value, Chained) and isinstance(value.source, Elements) else w.chain(value, node)
    plain = isinstance(x.source, Elements) and not x.chain.stages and x.chain.channels == 1 and x.unmoved
    if not plain or x.chain.lo is not None or x.chain.hi is not None:
        ints = w.eight(x, node)
        view = w.b.settle(ints.view, node)
        x = chained(Elements(node, view, w.zero(view)), Chain.start(), node.outputs[0])
    return x


def _own_requant(w: Walk, node: NodeView, value: Anything, i: int) -> Anything:
    """Quantlab's addition: attributes say how each operand is brought to the common scale first."""
    if not node.integer(f"in{i}_rq", 0):
        return value
    ints = w.eight(value, node)
    if ints.signed:
        raise node.error(f"operand {i} is signed and has its own rescale", "accepted are unsigned operands")
    view = w.b.settle(ints.view, node)
    x = chained(Elements(node, view, w.zero(view)), Chain.start(), f"{node.outputs[0]}/in{i}")
    return replace(x, chain=_requant(node, x.chain, f"in{i}"))


def _out_requant(node: NodeView, x: Chained) -> Chained:
    return replace(x, chain=_requant(node, x.chain, "out")) if node.integer("out_rq", 0) else x


def _requant(node: NodeView, chain: Chain, which: str) -> Chain:
    """clip((x * mul + add) >> shift, 0, n_levels - 1)."""
    mul, add = node.integer(f"{which}_mul", 1), node.integer(f"{which}_add", 0)
    shift, levels = node.integer(f"{which}_shift", 0), node.integer(f"{which}_n_levels", 256)
    if not 0 <= shift <= 40 or levels < 1:
        raise node.error(f"{which}_shift {shift}, {which}_n_levels {levels}", "accepted are shifts 0..40, levels >= 1")
    chain = chain.times(node, np.array([mul])).plus(node, np.array([add])).over(node, 1 << shift)
    return chain.rounded(trunc=False).clip(node, 0, levels - 1)


def import_floor(w: Walk, node: NodeView, inputs: Inputs) -> Anything:
    """Floor."""
    x = need(node, inputs, 0)
    if isinstance(x, Ints):
        return x
    x = x if isinstance(x, Chained) else w.chain(x, node)
    return _extended(node, x, x.chain.rounded(trunc=False))


def import_cast(w: Walk, node: NodeView, inputs: Inputs) -> Anything:
    """A cast: between types that hold the value it changes nothing, from a fraction to an integer it truncates."""
    x, to = need(node, inputs, 0), node.integer("to", 0)
    if to not in (*INTEGER_TYPES, *FLOAT_TYPES):
        raise node.error(f"a cast to ONNX type {to}", "accepted are integers and floats")
    if isinstance(x, Ints):
        if to not in INTEGER_TYPES:
            return x
        view = w.b.settle(x.view, node)
        x = chained(Elements(node, view, w.zero(view)), Chain.start(), node.outputs[0])
    x = x if isinstance(x, Chained) else w.chain(x, node)
    if to in FLOAT_TYPES:
        return _extended(node, x, replace(x.chain, integral=False))
    _check_range(w, node, x, to)
    return _extended(node, x, replace(x.chain.rounded(trunc=True), integral=True))


def _check_range(w: Walk, node: NodeView, x: Chained, to: int) -> None:
    """A narrow integer type wraps around: refuse values that it cannot hold."""
    bits = {2: (0, 255), 3: (-128, 127), 4: (0, 65535), 5: (-(2**15), 2**15 - 1), 6: (-(2**31), 2**31 - 1)}
    if to not in bits:
        return
    whole = replace(x, chain=x.chain.rounded(trunc=True))
    lo, hi = w.limits(whole)
    if lo < bits[to][0] or hi > bits[to][1]:
        raise node.error(f"a cast of values in {lo}..{hi} to ONNX type {to}, which wraps around", "clip them first")


def import_clip(w: Walk, node: NodeView, inputs: Inputs) -> Anything:
    """Clip and Relu."""
    lo: float | None = 0.0
    hi: float | None = None
    if node.op == "Clip":
        known = constants_of(inputs)
        lo = scalar_attr_or_input(node, known, "min", 1)
        hi = scalar_attr_or_input(node, known, "max", 2)
    low, high = _bound(node, lo, up=True), _bound(node, hi, up=False)
    x = need(node, inputs, 0)
    if isinstance(x, Ints):
        view = w.b.settle(x.view, node)
        x = chained(Elements(node, view, w.zero(view)), Chain.start(), node.outputs[0])
    x = x if isinstance(x, Chained) else w.chain(x, node)
    return _extended(node, x, x.chain.clip(node, low, high))


def _bound(node: NodeView, value: float | None, up: bool) -> int | None:
    """A bound as an integer: integers lie within 0.5..3.7 when they lie within 1..3."""
    if value is None or abs(value) > BEYOND:
        return None
    if np.isnan(value):
        raise node.error("a bound that is not a number", "export the network again")
    return int(np.ceil(value) if up else np.floor(value))
