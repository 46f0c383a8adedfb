"""Forms of a layer's rescale: the cheapest evaluation that is proved equal to the graph's, and its packed constants.

The graph defines y = clip(zp + ((acc * m + 2**(s-1)) >> s), lo, hi), the product in 64 bits, any addend part of zp.
Kernels compute y = lo + min(max(v, 0), hi - lo), v from a channel's constants bias, mult, add, shift and its sum raw,
without bias:

    narrow   v = (raw * mult + add) >> shift                      all in 32 bits, the bias folded into add
    mul15    v = ((((raw + bias) * mult) >> 16) + add) >> shift   mult < 2**15
    wide     v = ((((raw + bias) * mult) >> 32) + add) >> shift
    exact    v = ((((raw + bias) * mult) + 2**(shift-1)) >> shift) + add     plain 64-bit arithmetic

A form is chosen for a whole layer: the first one in which every channel is proved equal for every input. A channel with
one possible output has mult = 0 in every form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dory.graph.types import ACC_MAX, ACC_MIN, IntArray, Requant
from dory.layers.base import PackedWeights
from dory.plan import Unit

FORMS = ("narrow", "mul15", "wide", "exact")  # in the order of the enum in dory_forms.h


@dataclass(frozen=True)
class Channel:
    """Constants of one channel."""

    bias: int
    mult: int
    add: int
    shift: int


@dataclass(frozen=True, eq=False)
class Rescale:
    """The form of a layer and the constants of its channels."""

    form: str
    channels: tuple[Channel, ...]

    @property
    def words(self) -> int:
        """32-bit constants of a channel in packed weights."""
        return 3 if self.form == "narrow" else 4

    def packed(self, first: int, count: int) -> tuple[bytes, bytes]:
        """Constants of channels [first, first + count), which may not exist: the biases, which come before the weights
        (none in the narrow form), and (mult, add, shift) of each channel, which come after them."""
        absent = Channel(0, 0, 0, 1)
        group = [self.channels[c] if c < len(self.channels) else absent for c in range(first, first + count)]
        head = [] if self.form == "narrow" else [c.bias for c in group]
        tail = []
        for c in group:
            tail += [c.mult | c.mult << 16 if self.form == "mul15" else c.mult, c.add, c.shift]
        return _words(head), _words(tail)


def choose(weights: IntArray, bias: IntArray, requant: Requant, forms: tuple[str, ...] = FORMS) -> Rescale:
    """The first of `forms` that is exact for weights [channels, ...], bias [channels] and any uint8 input."""
    flat = weights.reshape(weights.shape[0], -1).astype(np.int64)
    low = 255 * np.minimum(flat, 0).sum(1) + bias
    high = 255 * np.maximum(flat, 0).sum(1) + bias
    n = flat.shape[0]
    mult = np.broadcast_to(requant.mult, (n,)).tolist()
    shift = np.broadcast_to(requant.shift, (n,)).tolist()
    zero = (np.broadcast_to(requant.adds, (n,)) + requant.zero_point).tolist()
    rows = list(zip(low.tolist(), high.tolist(), np.asarray(bias).tolist(), mult, shift, zero, strict=True))
    for form in forms:
        channels = [_channel(form, requant, *row) for row in rows]
        if all(channels):
            return Rescale(form, tuple(c for c in channels if c))
    raise ValueError(f"none of the forms {forms} is exact")


def channel_rescales(weights: IntArray, bias: IntArray, requant: Requant) -> list[Rescale]:
    """The form and constants of every channel by itself; weights are [channels, ...]."""
    n = weights.shape[0]
    mult, shift, add = (np.broadcast_to(v, (n,)) for v in (requant.mult, requant.shift, requant.adds))
    out = []
    for c in range(n):
        one = slice(c, c + 1)
        single = Requant(mult[one], shift[one], requant.zero_point, requant.lo, requant.hi, add[one])
        out.append(choose(weights[one], bias[one], single))
    return out


def pack_form(rows: IntArray, rescale: Rescale, group: int) -> PackedWeights:
    """Pack int8 weight rows [channels, K] in groups: biases, [K4/4][group][4 bytes], each channel's (mult, add, shift).

    K is zero-filled to K4, a multiple of 4, and the last group with channels of zeros.
    """
    n, k = rows.shape
    groups, k4 = -(-n // group), -(-k // 4) * 4
    full = np.zeros((groups * group, k4), np.int8)
    full[:n, :k] = rows
    body = full.reshape(groups, group, k4 // 4, 4).transpose(0, 2, 1, 3)
    constants = [rescale.packed(g * group, group) for g in range(groups)]
    data = b"".join(head + body[g].tobytes() + tail for g, (head, tail) in enumerate(constants))
    unit = Unit(len(constants[0][0]), k4 * group, len(constants[0][1]))
    return PackedWeights(data, group, len(data) // groups, unit)


def _words(values: list[int]) -> bytes:
    return np.array(values, np.int64).astype("<i4").tobytes()


def _fits(*values: int) -> bool:
    return all(ACC_MIN <= v <= ACC_MAX for v in values)


def _channel(form: str, r: Requant, low: int, high: int, bias: int, m: int, s: int, zero: int) -> Channel | None:
    """Constants of one channel whose accumulators, bias included, lie in low..high; None where nothing is proved."""
    first, last = (min(max(zero + ((a * m + (1 << (s - 1))) >> s), r.lo), r.hi) for a in (low, high))
    if first == last:  # monotone: nothing in between either
        y = first - r.lo
        return Channel(0, 0, y, 1) if form == "exact" else Channel(0, 0, 2 * y, 1)
    if form == "exact":
        return Channel(bias, m, zero - r.lo, s)
    if form == "narrow":
        while m % 2 == 0 and s > 1:
            m, s = m // 2, s - 1
        add = (1 << (s - 1)) + ((zero - r.lo) << s)
        # Sums may wrap on the way: only the last one is shifted.
        if s > 31 or not _fits(low * m + add, high * m + add, m):
            return None
        return Channel(0, m, _wrap(bias * m + add), s)
    drop, limit = (16, 2**15) if form == "mul15" else (32, 2**31)
    if form == "mul15" and m < 0:  # its halves are a signed and an unsigned product
        return None
    while m % 2 == 0 and abs(m) >= limit and s > 1:
        m, s = m // 2, s - 1
    while s <= drop and 2 * abs(m) < limit:
        m, s = 2 * m, s + 1
    if abs(m) >= limit or not drop < s <= drop + 31:
        return None
    # The half and the zero-point are multiples of 2**drop, so that dropping bits of the product first changes nothing.
    add = (1 << (s - drop - 1)) + ((zero - r.lo) << (s - drop))
    if not _fits(low, high, add, (low * m >> drop) + add, (high * m >> drop) + add):
        return None
    return Channel(bias, m, add, s - drop)


def _wrap(v: int) -> int:
    return (v + 2**31) % 2**32 - 2**31
