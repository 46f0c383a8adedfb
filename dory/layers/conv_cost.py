"""Cost of dory_conv: blocks of four or five pixels x four channels, see csrc/gap8_kernels/dory_conv.c."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from dory.layers.cost import Number, Work, least, most, same_bank, where
from dory.plan import LayerPlan

FLAT_CHANNELS, FLAT_K = 16, 320  # in dory_conv_work.h
BLOCK = 4
"""Pixels of a block, channels of a group."""
FIVE = 5
"""Pixels of a block where there are enough."""
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


def by_form(layer: LayerPlan, pixels: Number) -> list[Number]:
    """Pixels x groups; again where the form takes more than the narrow one, and than mul15."""
    return [pixels, pixels * (layer.form != "narrow"), pixels * (layer.form == "wide")]


def features(layer: LayerPlan, work: Work) -> tuple[Number, ...]:
    """Visits to blocks, the addresses or rows made for each, and units of a block and a group with their words."""
    way = variant(layer)
    if way == "plain":
        return _plain(layer, work)
    if way == "point":
        return _point(layer, work)
    if way == "flat":
        return _flat(layer, work)
    if way == "rows":
        return _rows(layer, work)
    if way == "slide":
        return _slide(layer, work)
    x = layer.inputs[0]
    (kh, kw), c = x.window.kernel, x.shape[2]
    visits, units, partial = _shares(work)
    words = kh * kw * -(-c // 4)
    split = _border(layer, work, BLOCK) if c % 4 == 0 and x.window.dilation[1] == 1 else 1.0
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
    "flat": _floors({15: 29.0, 16: 24.0}, 17),
    "runs": _floors({9: 24.0}, 5),
    "rows": _floors({10: 29.0, 11: 24.0}, 12),
    "slide": _floors({11: 22.0, 12: 24.0}, 13),
}
"""A word of K takes 29 instructions for blocks of five pixels, 24 for four (dory_block_asm.h), 22 for four neighbours
(dory_slide_asm.h)."""
FIRST, LAST = 1, 2
"""Work.setting of a step that begins the sums of a tile, and of one that makes outputs of them."""


def step_features(layer: LayerPlan, work: Work) -> tuple[Number, ...]:
    """Of a step of dory_conv_sums: visits to blocks and runs made for each, units with their words, zeros, outputs."""
    x = layer.inputs[0]
    (kh, kw), c = x.window.kernel, work.inputs[0][2]
    visits, units, _ = _shares(work)
    words = -(-c // 4) * kh * kw
    split = _border(layer, work, BLOCK) if x.window.dilation[1] == 1 else 1.0
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


def _flat(layer: LayerPlan, work: Work) -> tuple[Number, ...]:
    """Rows of windows gathered, by pixels where there are many, else by units; then blocks of them."""
    x = layer.inputs[0]
    k4 = max(8, -(-x.window.kernel[0] * x.window.kernel[1] * x.shape[2] // 4) * 4)
    words, at_once = k4 // 4, 4 if k4 <= 32 else 2 if k4 <= 64 else 1
    groups, width = -(-work.out[2] // BLOCK), work.out[1]
    many = where((work.out[2] % BLOCK == 0) & (work.pixels >= 12 * work.cores), 1, 0)
    visits, units, partial = _shares(work)
    visits, units, partial = (n * (1 - many) for n in (visits, units, partial))
    copied, kernel = _copied(layer, work)[0][0], x.window.kernel[0]
    shared = _gathered(layer, work, BLOCK * visits, where(copied > 0, kernel, work.tap_rows / work.out[0]))
    cores = []
    for start, end in work.shares(work.pixels):
        n = (end - start) * many
        fours = (5 - n % 5) % 5 * many
        fives = most((n - 4 * fours) // 5, 0)
        chunks = -(-fives // at_once) + -(-fours // at_once)
        inside = work.rows_inside(x.window, start, most(end, start + 1))
        own = _gathered(layer, work, n, where(copied > 0, kernel, inside))
        cores.append((chunks, chunks + n / width, *own, fives * groups, fours * groups))
    busiest = work.busiest(cores, (60, 60, 10, 1, 1, 1, 20, 5, 30, 40, 5, 30 + 29 * words, 20 + 24 * words))
    chunks, segments, units5, units4 = *busiest[:2], *busiest[-2:]
    units4 = units4 + units
    gathered = (a + b for a, b in zip(busiest[2:-2], shared, strict=True))
    return (
        1.0,
        visits,
        chunks,
        segments + visits * (1 + BLOCK / width),
        *gathered,
        units5,
        units4,
        units5 * words,
        units4 * words,
        *by_form(layer, FIVE * units5 + BLOCK * units4),
        partial,
        partial * (work.out[2] % BLOCK),
        *((units5 + units4) * words * b for b in same_bank(at_once * FIVE * words + 2)),
        *_copied(layer, work)[0],
    )


def _rows(layer: LayerPlan, work: Work) -> tuple[Number, ...]:
    """A copy with padding; rows of the output in blocks of five and four, or in blocks of four that straddle them."""
    x = layer.inputs[0]
    (kh, kw), c = x.window.kernel, x.shape[2]
    words, groups = kh * kw * c // 4, -(-work.out[2] // BLOCK)
    copy, pitch = _copied(layer, work)
    even, fives, fours = _in_rows(work)
    units5, units4, last, calls = _blocks(work, even, fives, fours, words)
    visits, units, partial = _shares(work)
    visits, units, partial = (n * (1 - even) for n in (visits, units, partial))
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
    copy, pitch = _copied(layer, work)
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
    fours = (5 - w % 5) % 5
    even = where(4 * fours <= w, 1, 0)
    return even, even * h * ((w - 4 * fours) // 5), even * h * fours


def _blocks(
    work: Work, even: Number, fives: Number, fours: Number, words: int, in_rows: bool = True
) -> tuple[Number, Number, Number, Number]:
    """Of the busiest core: units of five and of four pixels, blocks with the partial group, and calls: one for each
    row of the output that it has a share of, at most three for contiguous pixels."""
    h, _, c = work.out
    full = c // BLOCK
    last = even * where(c % BLOCK != 0, -(-work.pixels // BLOCK), 0)
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


def _copied(layer: LayerPlan, work: Work) -> tuple[tuple[Number, Number, Number], Number]:
    """Whether a copy with padding is made, lines that the busiest core copies of it, and their words; the columns of
    the tile, with padding where it is copied."""
    x = layer.inputs[0]
    win, (h_in, w_in, c) = x.window, work.inputs[0]
    if not layer.padded:
        return (0 * work.pixels,) * 3, w_in
    rows = (work.out[0] - 1) * win.stride[0] + win.span(0)
    columns = (work.out[1] - 1) * win.stride[1] + win.span(1)
    inside = (work.pad[0] == 0) & (work.pad[1] == 0) & (rows <= h_in) & (columns <= w_in)
    copied = where(inside, 0, 1)
    columns = -(-((most(work.out[1], 4) - 1) * win.stride[1] + win.span(1)) // 4) * 4
    row = columns * c
    parts = least(-(-2 * work.cores // most(rows, 1)), row // 64 + 1)
    lines = work.share(rows * parts) * copied
    return (copied, lines, lines * row / parts / 4), where(inside, w_in, columns)


def _gathered(layer: LayerPlan, work: Work, pixels: Number, rows: Number) -> tuple[Number, ...]:
    """Of windows inside the columns: pixels, rows copied, rows filled with their words. Of others as well."""
    x = layer.inputs[0]
    (kh, kw), c = x.window.kernel, x.shape[2]
    line = -(-kw * c // 4)
    copied = (0, 3, 4, 6)[line] if line < 4 else 3 + 4 * -(-line // 2)  # instructions of copy_windows for a row
    border = _border(layer, work, 1) if x.window.dilation[1] == 1 else 1.0
    border = where(work.inputs[0][1] * c >= 8, border, 1.0)  # rows of input are copied as words
    if layer.padded and x.window.dilation[1] == 1:
        border = 0.0 * border
    inside, outside = pixels * (1 - border), pixels * border
    taps = kw if x.window.dilation[1] > 1 else 1
    words = inside * rows * line
    apart = work.out[2] * 0 + work.inputs[0][1] * c * x.window.stride[0] * (work.pixels // work.cores // work.out[1])
    return (
        inside,
        inside * rows * copied,
        words * (_askew(c * x.window.stride[1]) + _askew(kw * c)),
        words * sum(b * share for b, share in zip(same_bank(apart // 4), (1.0, 0.5, 0.25), strict=True)),
        inside * (kh - rows),
        inside * (kh - rows) * line,
        outside,
        outside * kh * taps,
        outside * kh * line,
    )


def _askew(step: int) -> float:
    """How often a word begins inside a word of memory, of words that lie `step` bytes apart."""
    return (0.0, 0.75, 0.5, 0.75)[step % 4]


def _point(layer: LayerPlan, work: Work) -> tuple[Number, ...]:
    """1x1: contiguous pixels in blocks of five and four; others, and too few, in blocks of four one by one."""
    window, words = layer.inputs[0].window, layer.inputs[0].shape[2] // 4
    pixels = work.pixels
    fours = (5 - pixels % 5) % 5
    fives = (pixels - 4 * fours) // 5
    together = where(pixels >= 4 * fours, 1, 0)
    strided = window.stride != (1, 1)
    if strided:
        together, fives, fours = _in_rows(work)
    units5, units4, last, calls = _blocks(work, together, together * fives, together * fours, words, strided)
    visits, units, partial = _shares(work)
    visits, units, partial = (n * (1 - together) for n in (visits, units, partial))
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


def _shares(work: Work) -> tuple[Number, Number, Number]:
    """Of the busiest core: visits to blocks, units, and units with a partial group (or with all of too few pixels)."""
    groups = -(-work.out[2] // BLOCK)
    blocks = -(-work.pixels // BLOCK)
    few, cut = work.pixels < BLOCK, work.out[2] % BLOCK != 0
    rows = []
    for start, end in work.shares(blocks * groups):
        units = end - start
        visits = where(units > 0, (end - 1) // groups - start // groups + 1, 0)
        partial = where(few, units, where(cut, end // groups - start // groups, 0))
        rows.append((visits, units, partial))
    visits, units, partial = work.busiest(rows, (300, 350, 300))
    if work.even:  # blocks that are no more than begun, groups and pixels that fill up the last ones
        scale = work.pixels * work.out[2] / (blocks * groups * BLOCK * BLOCK)
        units = units * scale
        visits = least(visits, blocks / work.cores)
    return visits, units, partial


def _border(layer: LayerPlan, work: Work, block: int) -> Number:
    """Share of blocks of so many pixels with one whose kernel rows do not lie inside the tensor's columns."""
    window = layer.inputs[0].window
    args = (work.out[1], work.pad[1], work.inputs[0][1], window.kernel[1], window.stride[1], window.dilation[1], block)
    if any(isinstance(a, np.ndarray) for a in args):
        return _each(args)
    return _border_share(*args)


def _each(args: tuple[Number, ...]) -> Number:
    """_border_share of every element, each distinct one computed once."""
    rows = [np.asarray(a, np.int64) for a in np.broadcast_arrays(*args)]
    code = np.zeros_like(rows[0])
    for row in rows:
        code = code * (int(row.max()) + 1) + row
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    return np.array([_border_share(*(int(row[i]) for row in rows)) for i in first])[inverse.reshape(-1)]


@lru_cache(maxsize=65536)
def _border_share(width: int, pad: int, columns: int, kernel: int, stride: int, dilation: int, block: int) -> float:
    """In a row-major tile of `width` columns."""
    span = (kernel - 1) * dilation
    crossing = [not 0 <= x * stride - pad <= columns - 1 - span for x in range(width)]
    blocks = width  # as many blocks as columns: every phase, the same number of times
    hit = sum(any(crossing[(block * b + i) % width] for i in range(block)) for b in range(blocks))
    return hit / blocks


def _plain(layer: LayerPlan, work: Work) -> tuple[Number, ...]:
    """Outputs in fours of channels, one tap after the other."""
    x = layer.inputs[0]
    taps = x.window.kernel[0] * x.window.kernel[1]
    units = work.share(work.pixels * -(-work.out[2] // BLOCK))
    return (1.0, units, units * taps, units * taps * x.shape[2], units * work.out[2] / -(-work.out[2] // BLOCK))
