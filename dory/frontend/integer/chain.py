"""Arithmetic between an accumulator and the next 8-bit tensor, kept exact: affine maps, one rounding each, clips.

A chain is a sequence of stages x -> clip(round((k * x + l) / d), lo, hi) and an affine map that is still open. Factors
are integers, per channel or for all; `round` is floor (Floor of a float) or truncation (division of int64).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd

import numpy as np

from dory.frontend.onnx_file import NodeView
from dory.graph.staircase import NEVER
from dory.graph.types import IntArray

LIMIT = 2**61  # of every intermediate value: int64 arithmetic stays exact


@dataclass(frozen=True, eq=False)
class Stage:
    """x -> clip(round((k * x + l) / d), lo, hi); k and l have one entry per channel or one for all, d > 0."""

    k: IntArray
    l: IntArray  # noqa: E741
    d: int
    trunc: bool = False
    lo: int | None = None
    hi: int | None = None

    def apply(self, x: IntArray) -> IntArray:
        """Values of the stage; the last axis of x is the channel."""
        r = self.k * x + self.l
        y = np.where(r < 0, -(-r // self.d), r // self.d) if self.trunc else r // self.d
        return self.clipped(y)

    def clipped(self, y: IntArray) -> IntArray:
        """y within the stage's limits."""
        y = y if self.lo is None else np.maximum(y, self.lo)
        return y if self.hi is None else np.minimum(y, self.hi)

    def least(self, t: IntArray) -> IntArray:
        """The smallest x with result >= t (k >= 0); -NEVER when all have one, NEVER when none has."""
        always = t <= (-NEVER if self.lo is None else self.lo)
        never = t > (NEVER - 1 if self.hi is None else self.hi)
        inner = np.where(always | never, 0, t)
        # truncation rounds up below zero: trunc(r) >= t for t <= 0 is r > t - 1
        r = inner * self.d if not self.trunc else np.where(inner >= 1, inner * self.d, (inner - 1) * self.d + 1)
        k = np.maximum(self.k, 1)
        x = -((self.l - r) // k)
        flat = np.where(self.l >= r, -NEVER, NEVER)
        x = np.where(self.k == 0, flat, x)
        return np.where(always, -NEVER, np.where(never, NEVER, x))


def _one(value: int) -> IntArray:
    return np.array([value], np.int64)


@dataclass(frozen=True, eq=False)
class Chain:
    """Stages, then the open map (k * x + l) / d. `integral`: the value's ONNX type is an integer, so Div truncates."""

    stages: tuple[Stage, ...]
    k: IntArray
    l: IntArray  # noqa: E741
    d: int
    integral: bool = False
    lo: int | None = None  # a clip that came before the rounding of a fraction
    hi: int | None = None

    @staticmethod
    def start(d: int = 1, integral: bool = False) -> Chain:
        """The map x -> x / d."""
        return Chain((), _one(1), _one(0), d, integral)

    @property
    def trivial(self) -> bool:
        """Nothing is open."""
        plain = self.d == 1 and np.all(self.k == 1) and np.all(self.l == 0)
        return bool(plain) and self.lo is None and self.hi is None

    @property
    def whole(self) -> bool:
        """The value is an integer (nothing is left to round)."""
        return self.d == 1

    @property
    def channels(self) -> int:
        """Length of the factors: 1, or the number of channels."""
        return max((a.size for s in self.all_stages() for a in (s.k, s.l)), default=1)

    def times(self, node: NodeView, factor: IntArray) -> Chain:
        """Multiplied by integers."""
        self._no_clip(node)
        _guard(node, factor, max(_top(self.k), _top(self.l)))
        return self._checked(node, self.k * factor, self.l * factor, self.d)

    def plus(self, node: NodeView, term: IntArray) -> Chain:
        """With integers added."""
        self._no_clip(node)
        _guard(node, term, self.d)
        return self._checked(node, self.k, self.l + term * self.d, self.d)

    def over(self, node: NodeView, divisor: int) -> Chain:
        """Divided by an integer; truncated when the type is an integer."""
        if divisor == 0:
            raise node.error("a division by zero", "export the network again")
        self._no_clip(node)
        sign = -1 if divisor < 0 else 1
        out = self._checked(node, self.k * sign, self.l * sign, self.d * abs(divisor))
        return out.rounded(trunc=True) if self.integral else out

    def rounded(self, trunc: bool) -> Chain:
        """Floor or truncation."""
        if self.whole and self.lo is None and self.hi is None:
            return self
        stage = Stage(self.k, self.l, self.d, trunc, self.lo, self.hi)
        return Chain((*self.stages, stage), _one(1), _one(0), 1, self.integral)

    def clip(self, node: NodeView, lo: int | None, hi: int | None) -> Chain:
        """Limited to integers lo..hi: part of the last rounding when nothing came since."""
        if self.trivial and self.stages:
            last = self.stages[-1]
            return replace(self, stages=(*self.stages[:-1], replace(last, lo=_max(last.lo, lo), hi=_min(last.hi, hi))))
        low, high = _max(self.lo, lo), _min(self.hi, hi)
        if low is not None and high is not None and low > high:
            raise node.error(f"an empty range {low}..{high}", "export the network again")
        out = replace(self, lo=low, hi=high)
        return out.rounded(trunc=False) if self.whole else out

    def all_stages(self) -> tuple[Stage, ...]:
        """The stages, the open map among them."""
        return self.stages if self.trivial else (*self.stages, Stage(self.k, self.l, self.d, False, self.lo, self.hi))

    def apply(self, x: IntArray) -> IntArray:
        """Integer values; the last axis of x is the channel."""
        for stage in self.all_stages():
            x = stage.apply(x)
        return x

    def bounds(self, node: NodeView, lo: IntArray, hi: IntArray) -> tuple[IntArray, IntArray]:
        """Range of the values for x in lo..hi, per channel."""
        for s in self.all_stages():
            top = np.maximum(np.abs(lo), np.abs(hi)).astype(np.float64) * np.abs(s.k) + np.abs(s.l)
            if np.max(top, initial=0) >= LIMIT:
                raise node.error("products beyond 61 bits", "export the network with smaller multipliers")
            a, b = s.apply(lo), s.apply(hi)
            lo, hi = np.minimum(a, b), np.maximum(a, b)
        return lo, hi

    def thresholds(self, node: NodeView, values: IntArray, channels: int) -> tuple[IntArray, IntArray]:
        """([channels, values]: least x that gives at least the value, falling: the channels that fall with x).

        Falling channels are described for -x. Only the first stage may fall.
        """
        stages = self.all_stages()
        falling = np.zeros(channels, bool)
        if stages:
            falling = np.broadcast_to(stages[0].k < 0, (channels,)).copy()
            stages = (replace(stages[0], k=np.abs(stages[0].k)), *stages[1:])
        t = np.broadcast_to(values, (channels, values.size)).T
        for s in stages[::-1]:
            if np.any(s.k < 0):
                raise node.error("a negative factor after a rounding", "export the network with positive factors")
            far = np.abs(t) >= NEVER
            inner = np.where(far, 0, t)
            if np.max(np.abs(inner).astype(np.float64), initial=0) * s.d >= LIMIT:
                raise node.error("products beyond 61 bits", "export the network with smaller multipliers")
            t = np.where(far, t, s.least(inner))
        return np.ascontiguousarray(t.T), falling

    def _checked(self, node: NodeView, k: IntArray, l: IntArray, d: int) -> Chain:  # noqa: E741
        common = gcd(d, *(int(v) for v in k), *(int(v) for v in l)) if d > 1 else 1
        k, l, d = k // common, l // common, d // common  # noqa: E741
        if max(np.abs(k).max(), np.abs(l).max()) >= LIMIT >> 8 or d >= LIMIT >> 8:
            raise node.error("factors beyond 53 bits", "export the network with smaller multipliers")
        return replace(self, k=k, l=l, d=d)

    def _no_clip(self, node: NodeView) -> None:
        if self.lo is not None or self.hi is not None:
            raise node.error("a fraction that is clipped before it is rounded", "put Floor before Clip")


def _top(values: IntArray) -> int:
    return int(np.abs(values).max(initial=0))


def _guard(node: NodeView, values: IntArray, by: int) -> None:
    """UserError when values * by leaves 61 bits."""
    if _top(values) * by >= LIMIT:
        raise node.error("products beyond 61 bits", "export the network with smaller multipliers")


def _max(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else max(a, b)


def _min(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else min(a, b)


def whole_numbers(node: NodeView, array: np.ndarray, what: str) -> IntArray:
    """A constant as int64; UserError when it holds fractions or is beyond 53 bits."""
    a = np.asarray(array)
    if a.dtype.kind == "f":
        if not np.all(np.isfinite(a)) or np.any(a != np.rint(a)) or np.abs(a).max(initial=0) > 2**53:
            raise node.error(
                f"its {what} are not integers (such as {_example(a)})",
                "networks of integers have integer weights, factors and terms: export after integerisation",
            )
    elif a.dtype.kind not in "iu":
        raise node.error(f"its {what} are {a.dtype}", "accepted are integers, stored as float or integer")
    return a.astype(np.int64)


def _example(a: np.ndarray) -> str:
    flat = a.reshape(-1)
    bad = flat[~(np.isfinite(flat) & (flat == np.rint(flat)))]
    return f"{bad[0] if bad.size else flat[np.argmax(np.abs(flat))]:g}"
