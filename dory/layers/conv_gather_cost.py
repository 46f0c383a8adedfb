"""Cost of convolutions whose windows are gathered into rows first, see csrc/gap8_kernels/dory_conv_gather.h."""

from __future__ import annotations

from dory.layers.conv_parts import BLOCK, FIVE, border_blocks, by_form, padded_copy, uneven_shares
from dory.layers.cost import Number, Work, least, most, same_bank, where
from dory.plan import LayerPlan


def features(layer: LayerPlan, work: Work) -> tuple[Number, ...]:
    """Rows of windows gathered, by pixels where there are many, else by units; then blocks of them."""
    x = layer.inputs[0]
    k4 = max(8, -(-x.window.kernel[0] * x.window.kernel[1] * x.shape[2] // 4) * 4)
    words, at_once = k4 // 4, 4 if k4 <= 32 else 2 if k4 <= 64 else 1
    groups, width = -(-work.out[2] // BLOCK), work.out[1]
    many = where((work.out[2] % BLOCK == 0) & (work.pixels >= 12 * work.cores), 1, 0)
    visits, units, partial = uneven_shares(work, many)
    copy, kernel = padded_copy(layer, work)[0], x.window.kernel[0]
    whole, tail = _whole(layer, work)
    rows = where(copy[0] > 0, kernel, work.tap_rows / work.out[0])
    present = least(work.pixels, BLOCK)
    shared = _gathered(layer, work, present * visits, rows, _behind(work, visits, least(tail, present)))
    cores, shares = [], work.shares(work.pixels)
    for i, (start, end) in enumerate(shares):
        n = (end - start) * many
        fours = (5 - n % 5) % 5 * many
        fives = most((n - 4 * fours) // 5, 0)
        chunks = -(-fives // at_once) + -(-fours // at_once)
        inside = where(copy[0] > 0, kernel, work.rows_inside(x.window, start, most(end, start + 1)))
        own = _gathered(layer, work, n, inside, least(tail, n) if i == len(shares) - 1 else 0 * n)
        cores.append((chunks, chunks + n / width, *own, fives * groups, fours * groups))
    weights = (60, 60, 10, 1, 1, 1, 20, 5, 50, 40, 5, 5, 40, 20, 5, 30 + 29 * words, 20 + 24 * words)
    busiest = work.busiest(cores, weights)
    chunks, segments, units5, units4 = *busiest[:2], *busiest[-2:]
    segments, units4 = segments + visits * (1 + BLOCK / width), units4 + units
    gathered = (a + b for a, b in zip(busiest[2:-2], shared, strict=True))
    return (
        1.0,
        where(many > 0, FIVE * at_once, BLOCK) * (1 + (k4 == 8)),
        visits,
        chunks,
        segments,
        segments * (1 - whole),
        *gathered,
        units5,
        units4,
        units5 * words,
        units4 * words,
        *by_form(layer, FIVE * units5 + BLOCK * units4),
        partial,
        partial * (work.out[2] % BLOCK),
        *((units5 + units4) * words * b for b in same_bank(at_once * FIVE * words + 2)),
        *copy,
    )


VISIT, ALONE = 450, 100
"""Cycles of a visit to a block, and of a window that is copied by the byte, about."""


def _behind(work: Work, visits: Number, tail: Number) -> Number:
    """Windows of the `tail` that the core with the last block copies when the busiest one has ended."""
    groups = -(-work.out[2] // BLOCK)
    start, end = work.shares(-(-work.pixels // BLOCK) * groups)[-1]
    own = where(end > start, (end - 1) // groups - start // groups + 1, visits)
    return where(visits > 0, most(tail - (visits - own) * (VISIT / ALONE), 0), 0)


def _whole(layer: LayerPlan, work: Work) -> tuple[Number, Number]:
    """Whether no window, with what its copy as words runs over, leaves the tile (or the copy with its padding); else
    the windows at the end of the tile's last row that are copied by the byte."""
    x = layer.inputs[0]
    (_, kw), (sh, sw), c, win = x.window.kernel, x.window.stride, x.shape[2], x.window
    line = -(-kw * c // 4)
    over = 4 * (line if line < 4 else -(-line // 2) * 2) - kw * c
    copy, columns = padded_copy(layer, work)
    windows = (columns - win.span(1)) // sw + 1 - -(-over // (sw * c))
    reached = (work.out[0] - 1) * sh + win.span(0) >= work.inputs[0][0] + work.pad[0]
    inside = (copy[0] > 0) | ((work.pad[0] == 0) & (work.pad[1] == 0))
    tail = where(reached | (copy[0] > 0), most(work.out[1] - windows, 0), 0)
    return where(inside & (windows >= work.out[1]), int(win.dilation[1] == 1), 0), tail


def _gathered(layer: LayerPlan, work: Work, pixels: Number, rows: Number, tail: Number) -> tuple[Number, ...]:
    """Of windows inside the columns: pixels, rows copied, rows filled with their words. Of others as well, with the
    words and the bytes of each; and of the `tail`."""
    x = layer.inputs[0]
    (kh, kw), c = x.window.kernel, x.shape[2]
    line = -(-kw * c // 4)
    copied = (0, 3, 4, 6)[line] if line < 4 else 3 + 4 * -(-line // 2)  # instructions of copy_windows for a row
    border = border_blocks(layer, work, 1) if x.window.dilation[1] == 1 else 1.0
    border = where(work.inputs[0][1] * c >= 8, border, 1.0)  # rows of input are copied as words
    if layer.padded and x.window.dilation[1] == 1:
        border = 0.0 * border
    inside, outside = pixels * (1 - border), pixels * border
    tail = least(tail, inside)
    inside, alone = inside - tail, tail * rows
    taps = kw if x.window.dilation[1] > 1 else 1
    words, run = inside * rows * line, kw * c // taps
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
        outside * kh * taps * (run // 4),
        outside * kh * taps * (run % 4),
        tail,
        alone,
        alone * (kw * c // 4 + kw * c % 4),
    )


def _askew(step: int) -> float:
    """How often a word begins inside a word of memory, of words that lie `step` bytes apart."""
    return (0.0, 0.75, 0.5, 0.75)[step % 4]
