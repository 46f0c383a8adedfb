"""Cost of dory_conv: blocks of four or five pixels x four channels, see csrc/gap8_kernels/dory_conv.c."""

from __future__ import annotations

from collections.abc import Mapping

from dory.layers import conv_gather_cost
from dory.layers.conv_parts import BLOCK, FIVE, border_blocks, by_form, padded_copy, shares_of, uneven_shares
from dory.layers.cost import Number, Work, least, most, same_bank, where
from dory.plan import LayerPlan

FLAT_CHANNELS, FLAT_K = 16, 320  # in dory_conv_work.h
SLIDE = 3
"""Columns of a window of which neighbours share all but one."""


def path(layer: LayerPlan) -> str:
    """How pixels are read: gathered ("flat"), or in place: rows of words at equal distances ("rows", of a copy with
    padding if need be; "slide" where neighbours share them), through a table of addresses ("runs"), or alone ("point").
    """
    x = layer.inputs[0]
    c, taps = x.shape[2], x.window.kernel[0] * x.window.kernel[1]
    in_place = layer.padded or not any(x.window.pads)
    if in_place and c % 4 == 0 and taps > 1 and x.window.dilation[1] == 1 and x.window.kernel[1] * c >= 8:
        return "slide" if x.window.kernel[1] == SLIDE and x.window.stride[1] == 1 else "rows"
    if c <= FLAT_CHANNELS if c % 4 else taps > 1 and taps * c <= FLAT_K:
        return "flat"
    return "point" if taps == 1 and c % 4 == 0 and c >= 8 and not any(x.window.pads) else "runs"


def variant(layer: LayerPlan) -> str:
    """The path; "plain" is C code. Rescale forms differ only in cycles a unit."""
    return "plain" if layer.form == "exact" else path(layer)


def features(layer: LayerPlan, work: Work) -> tuple[Number, ...]:
    """Visits to blocks, the addresses or rows made for each, and units of a block and a group with their words."""
    way = variant(layer)
    if way == "plain":
        return _plain(layer, work)
    if way == "point":
        return _point(layer, work)
    if way == "flat":
        return conv_gather_cost.features(layer, work)
    if way == "rows":
        return _rows(layer, work)
    if way == "slide":
        return _slide(layer, work)
    x = layer.inputs[0]
    (kh, kw), c = x.window.kernel, x.shape[2]
    visits, units, partial = shares_of(work)
    words = kh * kw * -(-c // 4)
    split = border_blocks(layer, work, BLOCK) if c % 4 == 0 and x.window.dilation[1] == 1 else 1.0
    runs = kh * (split * kw + (1 - split))
    # Words that do not lie at multiples of 4 take a cycle more.
    crossing = units * words if c % 4 else 0 * units
    return (
        1.0,
        visits,
        visits * kh,
        visits * runs,
        visits * runs * split,
        *by_form(layer, BLOCK * units),
        units * runs,
        units * words,
        crossing,
        partial,
        partial * (work.out[2] % BLOCK),
        *(units * words * b for b in same_bank(-(-c // 4))),
    )


RESCALE = (12.0, 4.0, 12.0)
"""Cycles of four outputs in the narrow form, 3 instructions each; more in mul15, one each; more in the wide one, whose
mulh takes 5 cycles."""


def _floors(words: Mapping[int, float], forms: int) -> Mapping[int, float]:
    """Least coefficients: of words of K, and of outputs by their form, which begin at feature `forms`."""
    return {**words, **{forms + i: cycles for i, cycles in enumerate(RESCALE)}}


FLOORS = {
    "point": _floors({6: 29.0, 7: 24.0}, 8),
    "flat": _floors({21: 29.0, 22: 24.0}, 23),
    "runs": _floors({9: 24.0}, 5),
    "rows": _floors({8: 50.0, 9: 42.0, 10: 4.0, 11: 29.0, 12: 24.0}, 13),
    "slide": _floors({9: 44.0, 10: 42.0, 11: 4.0, 12: 22.0, 13: 24.0}, 14),
}
"""A word of K takes 29 instructions for blocks of five pixels, 24 for four (dory_block_asm.h), 22 for four neighbours
(dory_slide_asm.h); around it are what begins the sums and stores the outputs, and, in ways whose samples are mostly of
one form, the floors of that keep it apart from the form."""
FIRST, LAST = 1, 2
"""Work.setting of a step that begins the sums of a tile, and of one that makes outputs of them."""


def step_features(layer: LayerPlan, work: Work) -> tuple[Number, ...]:
    """Of a step of dory_conv_sums: visits to blocks and runs made for each, units with their words, zeros, outputs."""
    x = layer.inputs[0]
    (kh, kw), c = x.window.kernel, work.inputs[0][2]
    visits, units, _ = shares_of(work)
    words = -(-c // 4) * kh * kw
    split = border_blocks(layer, work, BLOCK) if x.window.dilation[1] == 1 else 1.0
    split = where(c % 4 == 0, split, 1.0)
    runs = kh * (split * kw + (1 - split))
    first, last = work.setting % 2, work.setting // 2
    return (
        1.0,
        visits,
        visits * runs,
        visits * runs * split,
        units,
        units * runs,
        units * words,
        where(c % 4 != 0, units * words, 0),
        units * first,
        units * last,
        *(units * words * b for b in same_bank(-(-c // 4))),
    )


def _rows(layer: LayerPlan, work: Work) -> tuple[Number, ...]:
    """A copy with padding; rows of the output in blocks of five and four, or in blocks of four that straddle them."""
    x = layer.inputs[0]
    (kh, kw), c = x.window.kernel, x.shape[2]
    words, groups = kh * kw * c // 4, -(-work.out[2] // BLOCK)
    copy, pitch = padded_copy(layer, work)
    even, fives, fours = _in_rows(work)
    units5, units4, last, calls = _blocks(work, even, fives, fours, words)
    visits, units, partial = uneven_shares(work, even)
    all4 = units4 + units + last
    return (
        1.0,
        *copy,
        calls,
        (units5 + units4) / groups,
        visits + last,
        units5,
        all4,
        (units5 + all4) * kh,
        units5 * words,
        all4 * words,
        *by_form(layer, FIVE * units5 + BLOCK * all4),
        partial + last,
        (partial + last) * (work.out[2] % BLOCK),
        *((units5 + all4) * words * b for b in same_bank(pitch * x.window.stride[0] * (c // 4))),
    )


def _slide(layer: LayerPlan, work: Work) -> tuple[Number, ...]:
    """A copy with padding; blocks of four neighbours, columns that are left in blocks of four rows, and a corner."""
    x = layer.inputs[0]
    (kh, kw), c = x.window.kernel, x.shape[2]
    words, (h, w, c_out) = kh * kw * c // 4, work.out
    groups, rest = c_out // BLOCK, w % BLOCK
    copy, pitch = padded_copy(layer, work)
    many = where(work.pixels >= BLOCK, 1, 0)
    counts = tuple(n * many for n in (h * (w // BLOCK), rest * (h // BLOCK), -(-(rest * (h % BLOCK)) // BLOCK)))
    shares = [work.shares(n * groups) for n in counts]
    partial = where(c_out % BLOCK != 0, -(-work.pixels // BLOCK), 0)
    lasts = work.shares(where(many, partial, -(-c_out // BLOCK)))
    cores = []
    for i in range(work.cores):
        # The larger shares of what comes later are other cores'.
        across, down, corner, last = (
            s[k][1] - s[k][0] for s, k in zip((*shares, lasts), (i, -1 - i, -1 - i, i), strict=True)
        )
        lines = where(across > 0, across * h / most(counts[0] * groups, 1) + 1, 0)
        lines = lines + where(down > 0, down * rest / most(counts[1] * groups, 1) + 1, 0)
        cores.append((across, down, corner, last, lines))
    cycles = (110 + 22 * words, 100 + 24 * words, 200 + 24 * words, 300 + 24 * words, 70)
    across, down, corner, last, lines = work.busiest(cores, cycles)
    fours = down + corner + last
    units = across + fours
    return (
        1.0,
        *copy,
        lines,
        (across + down) / most(groups, 1),
        corner,
        last,
        across,
        fours,
        units * kh,
        across * words,
        fours * words,
        *by_form(layer, BLOCK * units),
        last * (c_out % BLOCK),
        *(units * words * b for b in same_bank(pitch * x.window.stride[0] * (c // 4))),
    )


def _in_rows(work: Work) -> tuple[Number, Number, Number]:
    """Whether output rows come out even in blocks of five and up to four of four; and all of those blocks."""
    h, w, _ = work.out
    if work.lucky:
        return 1, h * w / 5, 0
    fours = (5 - w % 5) % 5
    even = where(4 * fours <= w, 1, 0)
    return even, even * h * ((w - 4 * fours) // 5), even * h * fours


def _blocks(
    work: Work, even: Number, fives: Number, fours: Number, words: int, in_rows: bool = True
) -> tuple[Number, Number, Number, Number]:
    """Of the busiest core: units of five and of four pixels, blocks with the partial group, and calls: one for each
    row of the output that it has a share of, at most three for contiguous pixels."""
    h, _, c = work.out
    full = c / BLOCK if work.lucky else c // BLOCK
    last = even * where(c % BLOCK != 0, -(-work.pixels // BLOCK), 0) * (not work.lucky)
    shares = [work.shares(n) for n in (fives * full, fours * full, last)]
    cores = []
    for i in range(work.cores):
        # The larger shares of blocks of four are other cores'.
        u5, u4, u1 = (s[k][1] - s[k][0] for s, k in zip(shares, (i, -1 - i, i), strict=True))
        if in_rows:
            calls = sum(where(u > 0, u * h / most(n * full, 1) + 1, 0) for u, n in ((u5, fives), (u4, fours)))
        else:
            calls = least(u5, 3) + least(u4, 3)
        cores.append((u5, u4, u1, calls))
    found = work.busiest(cores, (100 + 29 * words, 90 + 24 * words, 300 + 24 * words, 70))
    return found[0], found[1], found[2], found[3]


def _point(layer: LayerPlan, work: Work) -> tuple[Number, ...]:
    """1x1: contiguous pixels in blocks of five and four; others, and too few, in blocks of four one by one."""
    window, words = layer.inputs[0].window, layer.inputs[0].shape[2] // 4
    pixels = work.pixels
    fours = (5 - pixels % 5) % 5
    fives = (pixels - 4 * fours) // 5
    together = where(pixels >= 4 * fours, 1, 0)
    strided = window.stride != (1, 1)
    if strided or work.lucky:
        together, fives, fours = _in_rows(work)
    units5, units4, last, calls = _blocks(work, together, together * fives, together * fours, words, strided)
    visits, units, partial = uneven_shares(work, together)
    groups = -(-work.out[2] // BLOCK)
    all4 = units4 + units + last
    return (
        1.0,
        calls + last,
        (units5 + units4) / groups,
        visits,
        units5,
        all4,
        units5 * words,
        all4 * words,
        *by_form(layer, FIVE * units5 + BLOCK * all4),
        partial + last,
        (partial + last) * (work.out[2] % BLOCK),
        *((units5 + all4) * words * b for b in same_bank(words)),
    )


def _plain(layer: LayerPlan, work: Work) -> tuple[Number, ...]:
    """Outputs in fours of channels, one tap after the other."""
    x = layer.inputs[0]
    taps = x.window.kernel[0] * x.window.kernel[1]
    units = work.share(work.pixels * -(-work.out[2] // BLOCK))
    return (1.0, units, units * taps, units * taps * x.shape[2], units * work.out[2] / -(-work.out[2] // BLOCK))
