"""Closed forms of a kernel's work on one tile: what a cycle model multiplies with measured coefficients.

A layer module's `cost_features` gives numbers that its kernel's time on the busiest core is a non-negative linear
combination of: loop iterations of each kind, outputs, bytes moved. `dory.sim.model` fits the coefficients.

Sizes in a `Work` are whole numbers, or NumPy arrays of one length, an element for each of many tiles; then features
are arrays as well. The functions here serve both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from dory.graph.types import Window

Number: TypeAlias = Any
"""An int or float, or an array of them."""


@dataclass(frozen=True)
class Work:
    """One tile and the team that computes it, in elements: out and inputs are (h, w, c).

    taps: kernel positions inside the tensor, summed over the tile's output pixels (of the first input; pixels
    themselves when it has no window); tap_rows: kernel rows inside it, summed over the tile's output rows. pad: rows
    above and columns left of the tile that its window sees.
    even: shares are fractions, as if the work split evenly over the cores. lucky: as if sizes had no remainder, tiles
    no padding, and no cores met in a bank, where that costs more: less than tiles of like sizes take. setting: what
    `Layer.settings` has for the tiling, which is known if `settled`.
    """

    out: tuple[Number, Number, Number]
    inputs: tuple[tuple[Number, Number, Number], ...]
    taps: Number
    cores: int
    even: bool = False
    pad: tuple[Number, Number] = (0, 0)
    tap_rows: Number = 0
    setting: Number = 0
    settled: bool = False
    lucky: bool = False

    @property
    def pixels(self) -> Number:
        """Output pixels."""
        return self.out[0] * self.out[1]

    def share(self, items: Number) -> Number:
        """Items of the busiest core."""
        return items / self.cores if self.even else -(-items // self.cores)

    def up(self, items: Number, size: int) -> Number:
        """Blocks of `size` that `items` fill; whole blocks unless the split is even."""
        return items / size if self.even else -(-items // size)

    def shares(self, items: Number) -> list[tuple[Number, Number]]:
        """[from, to) of every core, as dory_share cuts them."""
        each, rest = items // self.cores, items % self.cores
        cuts = [i * each + least(i, rest) for i in range(self.cores + 1)]
        return list(pairwise(cuts))

    def rows_inside(self, window: Window, start: Number, end: Number) -> Number:
        """Kernel rows inside the tensor, of the mean output pixel of [start, end) (of the first input)."""
        if not any(window.pads):
            return window.kernel[0]
        width, size = self.out[1], self.inputs[0][0]
        first, last = start // width, most((end - 1) // width + 1, start // width + 1)
        inside = 0
        for k in range(window.kernel[0]):
            at = k * window.dilation[0] - self.pad[0]  # input row of output 0
            low = most(first, -(at // window.stride[0]))
            high = least(last, (size - 1 - at) // window.stride[0] + 1)
            inside = inside + most(high - low, 0)
        return inside / (last - first)

    def busiest(self, cores: Iterable[Sequence[Number]], weights: Sequence[float]) -> tuple[Number, ...]:
        """The features of the core with the most work, in about `weights` cycles each; of all cores' mean when even."""
        rows = list(cores)
        if self.even:
            return tuple(sum(f) / self.cores for f in zip(*rows, strict=True))
        if not any(isinstance(n, np.ndarray) for n in rows[0]):  # many times faster than the choice by element
            some: list[tuple[Number, ...]] = list(dict.fromkeys(tuple(row) for row in rows))
            return max(some, key=lambda row: _dot(row, weights))
        cycles_of_all = [_dot(row, weights) for row in rows]
        best, most = rows[0], cycles_of_all[0]
        for row, cycles in zip(rows[1:], cycles_of_all[1:], strict=True):
            best = [where(cycles > most, a, b) for a, b in zip(row, best, strict=True)]
            most = where(cycles > most, cycles, most)
        return tuple(best)


def busiest_of(rows: Sequence[Number], weights: Sequence[float], some: np.ndarray) -> tuple[Number, ...]:
    """Of many tiles the features of the core with the most work.

    some: [cores, tiles], which cores' features there are; rows: they, in the order of the true ones.
    """
    cycles, places, count = np.full(some.shape, -1.0), np.zeros(some.shape, np.int64), int(some.sum())
    cycles[some], places[some] = _dot(rows, weights), np.arange(count)
    best = places[cycles.argmax(axis=0), np.arange(some.shape[1])]
    return tuple(np.broadcast_to(f, (count,))[best] for f in rows)


def distinct(shares: Sequence[np.ndarray]) -> np.ndarray:
    """Where a core's share of a tile's work is no earlier core's as well; shares are arrays [cores, tiles], like it."""
    key = np.zeros(shares[0].shape, np.int64)
    for share in shares:
        key = key * (int(share.max(initial=0)) + 1) + share
    found = np.ones(key.shape, bool)
    for i in range(1, len(key)):
        for j in range(i):
            found[i] &= key[i] != key[j]
    return found


def where(condition: Number, a: Number, b: Number) -> Number:
    """a or b, element by element."""
    if isinstance(condition, np.ndarray):
        return np.where(condition, a, b)
    return a if condition else b


def least(a: Number, b: Number) -> Number:
    """The smaller one."""
    return where(a < b, a, b)


def most(a: Number, b: Number) -> Number:
    """The larger one."""
    return where(a > b, a, b)


def clamp(value: Number, low: Number, high: Number) -> Number:
    """The nearest number in low..high."""
    return least(most(value, low), high)


def same_bank(words: Number) -> tuple[Number, Number, Number]:
    """Whether cores whose data lie so many words apart meet in one bank of 16, two or four; each 1 or 0."""
    rest = words % 16
    return where(rest == 0, 1, 0), where(rest == 8, 1, 0), where(rest % 8 == 4, 1, 0)


def misaligned(step: Number) -> Number:
    """Share of the words at multiples of `step` bytes that lie across two words of memory."""
    return where(step % 4 == 0, 0.0, where(step % 4 == 2, 0.5, 0.75))


def short(divisor: Number) -> Number:
    """Leading zeros of an 8-bit divisor: a division takes a cycle for each."""
    return 8 - np.frexp(divisor)[1] if isinstance(divisor, np.ndarray) else 8 - int(divisor).bit_length()


def _dot(row: Sequence[Number], weights: Sequence[float]) -> Number:
    return sum(a * b for a, b in zip(row, weights, strict=True))


def valid_taps(first: int, count: int, stride: int, pad: int, kernel: int, dilation: int, size: int) -> int:
    """Kernel positions inside [0, size) summed over outputs [first, first + count) along one axis."""
    before = _taps_before(1 << (first + count).bit_length(), stride, pad, kernel, dilation, size)
    return before[first + count] - before[first]


@lru_cache(maxsize=4096)
def _taps_before(outputs: int, stride: int, pad: int, kernel: int, dilation: int, size: int) -> list[int]:
    """Kernel positions inside [0, size) summed over the outputs before each of 0..outputs."""
    low = np.arange(outputs) * stride - pad
    skipped = np.clip(-(low // dilation), 0, kernel)
    end = np.clip(-((low - size) // dilation), 0, kernel)
    sums: list[int] = np.concatenate(([0], np.cumsum(np.maximum(end - skipped, 0)))).tolist()
    return sums
