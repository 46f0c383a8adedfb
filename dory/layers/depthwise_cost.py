"""Cost of dory_depthwise: groups of four channels taken apart into planes, see csrc/gap8_kernels/dory_depthwise.c."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from dory.graph.types import Window
from dory.layers.base import STRIP, PlaneScratch
from dory.layers.cost import Number, Work, busiest_of, distinct, least, most, same_bank, where
from dory.plan import LayerPlan

GROUP = 4
WEIGHTS = (180, 120, 13, 15, 10, 25, 11, 0, 100, 45, 34, 50, 58, 5, 13, 50, 80, 120, 5, 10, 2, 4, 1, 1, 1, 0)
"""About what each count of a core costs, to find the busiest one."""
FAST = {(3, 1): "3x3", (3, 2): "3x3s2", (5, 1): "5x5"}
TURN_GAIN = 1.1
MOST_OF_TWO = 0.47  # the larger of two standard normal numbers is 0.56 on average, of four 1.03, of eight 1.42
PLANES_BYTES = 16384  # of all cores together: dory_depthwise_scratch


def variant(layer: LayerPlan) -> str:
    """ "dilated" (inputs read in place); the windows that are in assembly; "any" other window."""
    window = layer.inputs[0].window
    if window.dilation != (1, 1):
        return "dilated"
    square = window.kernel[0] == window.kernel[1] and window.stride[0] == window.stride[1]
    return FAST.get((window.kernel[0], window.stride[0]), "any") if square else "any"


@lru_cache(maxsize=4096)
def form_shares(form: str) -> tuple[float, float, float, float]:
    """Shares of the channels in the narrow, mul15, wide and exact form; the layer's form has their numbers."""
    counts = dict(part.split(":") for part in form.split("+") if ":" in part)
    found = [int(counts.get(name, 0)) for name in ("narrow", "mul15", "wide", "exact")]
    narrow, mul15, wide, exact = (n / (sum(found) or 1) for n in found)
    return (narrow, mul15, wide, exact)


def features(layer: LayerPlan, work: Work) -> tuple[Number, ...]:
    """Items (a group in a band of rows), input rows taken apart, strips of four outputs or outputs one by one."""
    window = layer.inputs[0].window
    if layer.turned:
        work = _turned(work)
    c = work.out[2]
    if window.dilation != (1, 1):
        outputs = work.share(work.pixels * c)
        taps = window.kernel[0] * window.kernel[1]
        narrow = form_shares(layer.form)[0] * outputs
        return (1.0, narrow, outputs - narrow, outputs * window.kernel[0], outputs * taps, outputs / c)
    item = _item(layer, work, _band_rows(layer, work))
    groups = -(-c // GROUP)
    cut, rest = _cut(work, groups * item.bands), c % GROUP
    many = isinstance(cut[0][1], np.ndarray)
    if many:
        cut = [(np.stack([start for start, _ in cut]), np.stack([end for _, end in cut]))]
    shares = []
    for start, end in cut:
        partial = where(rest != 0, most(end - most(start, (groups - 1) * item.bands), 0), 0)
        shares.append(_Share.of(start, end, item.bands, partial))
    if many:
        return (1.0, *_of_many(work, item, shares[0], rest))
    cores = {share: _core(item, share, rest) for share in dict.fromkeys(shares)}
    rows = [cores[share] for share in shares] if work.even else cores.values()
    return (1.0, *work.busiest(rows, WEIGHTS))


def _of_many(work: Work, item: _Item, share: _Share, rest: Number) -> tuple[Number, ...]:
    """The features of many tiles; shares are [cores, tiles]. Of equal ones of a tile one is looked at."""
    full = _Share(*(np.broadcast_to(f, share.items.shape) for f in share))
    if work.even:
        rows = _core(item, full, rest)
        return tuple(np.broadcast_to(f, share.items.shape).sum(axis=0) / work.cores for f in rows)
    some = distinct(full)
    tile = np.nonzero(some)[1]
    picked = _Item(**{f.name: _at(getattr(item, f.name), tile) for f in fields(item)})
    rows = _core(picked, _Share(*(f[some] for f in full)), _at(rest, tile))
    return busiest_of(rows, WEIGHTS, some)


def _at(values: Any, some: np.ndarray) -> Any:
    if isinstance(values, tuple):
        return tuple(_at(v, some) for v in values)
    return values[some] if isinstance(values, np.ndarray) else values


def _cut(work: Work, items: Number) -> list[tuple[Number, Number]]:
    """[from, to) of every core."""
    if work.cores != 8:
        return work.shares(items)
    return [(items * i // 8, items * (i + 1) // 8) for i in range(8)]


@dataclass(frozen=True)
class _Item:
    """One group in one band of rows, and what the first and last band have less: rows of the input and the output.

    columns of the input, width of the output, fast: 1 when outputs (of the last band: last_fast) are made in strips of
    four, together: rows of a strip made at a time, words of a kernel, shifted: 1 when rows do not begin in whole words,
    left: where the input's columns begin in a plane's row, border: words of padding, planes: words of a core's, banks:
    1 where those of all cores begin in one bank, in one of two, others: cores that work beside one, and wait for the
    same banks, luck: see _unlucky, narrow: whether outputs take the place of their inputs.
    """

    bands: Number
    rows: Number
    rows_in: Number
    less: Number
    first_less_in: Number
    last_less_in: Number
    columns: Number
    width: Number
    fast: Number
    last_fast: Number
    shifted: Number
    columns_of_words: int
    words: int
    border: Number
    plane_rows: Number
    row_words: Number
    forms: tuple[float, float, float, float]
    planes: Number
    banks: tuple[Number, Number]
    narrow: Number
    left: Number
    together: int
    others: Number
    luck: Number

    def split_at(self, column: Number) -> Number:
        """1 where a word that begins with the input's `column` lies across two of a plane's."""
        return where((self.left + column) % 4 != 0, 1, 0)


def _item(layer: LayerPlan, work: Work, room: Number) -> _Item:
    window = layer.inputs[0].window
    (kh, kw), (sh, sw) = window.kernel, window.stride
    h, w, _ = work.out
    rows, plane_rows = least(room, h), (room - 1) * sh + kh
    h_in, w_in, _ = work.inputs[0]
    bands = -(-h // rows)
    below = most((h - 1) * sh - work.pad[0] + kh - h_in, 0)
    least_rows = {"3x3": 2, "3x3s2": 1, "5x5": 4}.get(variant(layer))
    less = bands * rows - h
    wide = (w >= 4) | (kh == 3)
    fast = 0 * w if least_rows is None else where((rows >= least_rows) & wide, 1, 0)
    last_fast = 0 * w if least_rows is None else where((rows - less >= least_rows) & wide, 1, 0)
    row_words = ((most(w, 4) - 1) * sw + _lead(window) + -(-kw // 4) * 4 + 3) // 4
    left = least(work.pad[1] + where(work.pad[1] % 2 == 1, _lead(window), 0), 4 * row_words)
    items = -(-work.out[2] // GROUP) * bands
    planes = 4 * plane_rows * row_words
    full = items % work.cores == 0  # else only some cores have most of them
    return _Item(
        bands=bands,
        rows=rows,
        rows_in=(rows - 1) * sh + kh,
        less=less,
        first_less_in=work.pad[0],
        last_less_in=less * sh + below,
        columns=w_in,
        width=w,
        fast=fast,
        last_fast=last_fast,
        shifted=where(work.pad[1] % 2 == 1, _lead(window) > 0, False),
        columns_of_words=-(-kw // 4),
        words=kh * -(-kw // 4),
        forms=form_shares(layer.form),
        planes=planes,
        banks=(0, 0) if work.lucky else same_bank(planes)[:2],
        border=4 * plane_rows * (-(-left // 4) + row_words - least(left + w_in, 4 * row_words) // 4),
        plane_rows=plane_rows,
        row_words=row_words,
        narrow=(w < 4) & (kh == 3),
        others=least(items, work.cores) - 1,
        luck=0.0 * items if work.even else MOST_OF_TWO * np.log2(where(full, work.cores, items % work.cores)),
        together=4 if variant(layer) == "5x5" else 1,
        left=left,
    )


class _Share(NamedTuple):
    """Items of a core: all of them, in last bands, in first ones, with a partial group. Many cores have equal ones."""

    items: Number
    lasts: Number
    firsts: Number
    partial: Number

    @staticmethod
    def of(start: Number, end: Number, bands: Number, partial: Number) -> _Share:
        """Of the items [start, end)."""
        return _Share(end - start, end // bands - start // bands, -(-end // bands) - -(-start // bands), partial)


def _core(item: _Item, share: _Share, rest: Number) -> tuple[Number, ...]:
    """Counts of a core: items, bands, rows and blocks taken apart, pixels, bytes, channels, strips, rows, ..."""
    (items, lasts, firsts, partial), bands = share, item.bands
    full = items - partial
    # Narrow outputs take their inputs' place: padding is written anew for each item.
    entered = where(item.narrow | (bands > 1), items, where(items > 0, 1, 0))
    some = most(items, 1)
    rows_in = (items * item.rows_in - firsts * item.first_less_in - lasts * item.last_less_in) / some
    quick = where(item.columns >= 4, full, 0)
    channels = full * GROUP + partial * rest
    odd = item.columns % 4 != 0
    narrow, mul15, wide, exact = _unlucky(item.forms, channels, item.luck)
    # Rows of all items in the fast and the slow way, channels of the mean item.
    each, last_rows = channels / some, item.rows - item.less
    quick_rows = (items - lasts) * item.rows * item.fast + lasts * last_rows * item.last_fast
    slow_rows = (items - lasts) * item.rows + lasts * last_rows - quick_rows
    outputs = each * item.width * (slow_rows + quick_rows)
    if item.together > 1:  # the last rows overlap those before
        whole, last = -(-item.rows // item.together), -(-last_rows // item.together)
        quick_rows = item.together * ((items - lasts) * whole * item.fast + lasts * last * item.last_fast)
    across = each * -(-item.width // 4)
    strips = across * ((items - lasts) * item.fast + lasts * item.last_fast)
    slow = each * item.width * slow_rows
    # Words of padding: beside the input, and above and below it.
    sides = item.border * where(items > 0, 1, 0)
    ends = entered * 4 * most(item.plane_rows - rows_in, 0) * item.row_words
    filled = where(item.narrow, items * item.planes, sides + ends)
    any_way = slow + (outputs - slow) * exact
    return (
        items,
        entered,
        quick * rows_in * (1 + odd),
        quick * rows_in * (item.columns // 4 + odd),
        where(rest != 0, quick * rows_in * (item.columns // 4 + odd), 0),
        (full - quick) * rows_in * item.columns,
        partial * rest * rows_in * item.columns,
        channels,
        # Channels of one form in a row share a call; a form is followed by the other one as often as they are mixed.
        items * (1 + 6 * (narrow * mul15 + narrow * wide + mul15 * wide)),
        strips * (1 - exact),
        across * quick_rows * narrow,
        across * quick_rows * mul15,
        across * quick_rows * wide,
        across * quick_rows * item.shifted,
        where(item.narrow, outputs, 0),
        slow * narrow,
        slow * mul15,
        slow * wide + outputs * exact,
        any_way * item.columns_of_words,
        any_way * item.words,
        filled,
        quick * rows_in * (item.columns // 4 * item.split_at(0) + odd * item.split_at(item.columns)),
        *((across * quick_rows + quick * rows_in * (item.columns // 4)) * b for b in item.banks),
        *(n * item.others for n in (quick * rows_in * (item.columns // 4 + odd), filled)),
    )


def _unlucky(forms: tuple[float, float, float, float], channels: Number, luck: Number) -> tuple[Number, ...]:
    """Shares of the forms among the channels of the core that has most slow ones: which those are, weights decide.

    The largest of several binomial counts, about `luck` standard deviations above the mean.
    """
    narrow, *slow = forms
    share = 1 - narrow
    if not 0 < share < 1:
        return forms
    most_slow = least(share + luck * np.sqrt(share * narrow / most(channels, 1)), 1.0)
    return (1 - most_slow, *(most_slow * (s / share) for s in slow))


def _band_rows(layer: LayerPlan, work: Work) -> Number:
    """Output rows that planes hold, chosen for the whole tiling."""
    if work.lucky:
        return work.out[0]
    return work.setting if work.settled else band_rows(layer.inputs[0].window, layer.tile, work.cores, layer.turned)


def _turned(work: Work) -> Work:
    """The work with rows for columns; window and stride are the same both ways."""
    (h, w, c), (h_in, w_in, c_in) = work.out, work.inputs[0]
    return replace(work, out=(w, h, c), inputs=((w_in, h_in, c_in),), pad=(work.pad[1], work.pad[0]))


def better_turned(window: Window, h: int, w: int) -> bool:
    """Whether rows of `h` outputs fill strips of four clearly better than rows of `w`; square windows only."""
    if window.kernel[0] != window.kernel[1] or window.stride[0] != window.stride[1] or window.dilation != (1, 1):
        return False
    return h >= STRIP and -(-w // STRIP) / w > TURN_GAIN * -(-h // STRIP) / h


def plane_scratch(window: Window, cores: int, turned: bool = False) -> PlaneScratch | None:
    """What the planes of a team take; None for dilated windows, which are convolved in place."""
    if window.dilation != (1, 1):
        return None
    kh, kw = window.kernel
    return PlaneScratch(4 * cores, PLANES_BYTES, (kh, _lead(window) + -(-kw // 4) * 4), window.stride, turned)


def _lead(window: Window) -> int:
    """Where the first input of the first output lies in a plane's row."""
    return 3 if window.kernel[1] == 3 and window.stride[1] == 2 else 0


@lru_cache(maxsize=65536)
def band_rows(window: Window, tile: tuple[int, int, int], cores: int, turned: bool = False) -> int:
    """Output rows that a core takes apart at a time: the cheapest balance of the team, as far as the scratch goes."""
    return int(bands_of_many(window, np.array([tile], np.int64), cores, turned)[0])


def bands_of_many(window: Window, tiles: np.ndarray, cores: int, turned: bool = False) -> np.ndarray:
    """band_rows of each row (h, w, c) of an array."""
    scratch = plane_scratch(window, cores)
    h, w, c = tiles.T
    if turned:
        h, w = w, h
    found: np.ndarray = np.zeros_like(h)
    if scratch is None:
        return np.asarray(found)
    (stride, across), kernel = window.stride, window.kernel[0]
    row = -(-((np.maximum(w, STRIP) - 1) * across + scratch.span[1]) // 4) * 4
    room = np.minimum((h - 1) * stride + kernel, np.maximum(kernel, scratch.limit // (scratch.unit * row)))
    groups, blocks, strips = -(-c // GROUP), -(-across * w // 4), 4 * -(-w // 4)
    # As many bands as rows make, and none that no longer gives the team anything.
    bands = np.arange(1, int(h.max(initial=0)) + 1)[:, None]
    rows = -(-h // bands)
    inputs = (rows - 1) * stride + kernel
    fits = (inputs <= room) & (-(-h // rows) == bands)
    work = inputs * (22 * blocks + 6) + strips * (rows * (kernel * kernel + 22) + 45)
    cost = np.where(fits, -(-groups * bands // cores) * (work + 300), np.inf)
    if len(bands):
        best = cost.argmin(axis=0), np.arange(len(h))
        found = np.where(np.isfinite(cost[best]), rows[best], 0)
    return np.asarray(found)
