"""What all tiles of many tilings cost, as arrays: kernel cycles, and cycles of the DMA.

A tiling cuts each axis into tiles of few classes (borders, the last one); a class of tiles costs the same wherever it
lies. Costs are evaluated once for each class; transfers of a tiling are products of sums along the axes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from dory.graph.types import Shape
from dory.layers import LAYERS
from dory.layers.cost import Work
from dory.plan import LayerPlan, Operand, packed_bytes
from dory.sim.iss.params import IssParams
from dory.sim.model.coefficients import Coefficients
from dory.sim.model.laws import dma_copies
from dory.sim.model.tiles import LayerTiles, Piece, pieces

IntArray = np.ndarray[Any, np.dtype[np.int64]]

AT_ONCE = 8192
"""Costs that are evaluated together: a cost law's many arrays stay in the cache, and in memory that is used again."""


SAME_SIZE, OTHER_SIZE = 0.97, 0.85
"""How much less work tiles may be than by their outputs, inputs and taps: blocks may come out even."""


class _Axis:
    """Classes of tiles along one axis, numbered; of each step of the axis, its tiles in order."""

    def __init__(self) -> None:
        self.classes: list[Piece] = []
        self.numbers: dict[object, int] = {}
        self.cuts: dict[int, list[int]] = {}

    def add(self, step: int, found: Sequence[Piece]) -> None:
        cut = []
        for piece in found:
            key = (piece.count, piece.inputs, piece.taps, piece.pad)  # as Piece.key, which is slow when asked for once
            number = self.numbers.setdefault(key, len(self.numbers))
            if number == len(self.classes):
                self.classes.append(piece)
            cut.append(number)
        self.cuts[step] = cut

    def counts(self, steps: Sequence[int]) -> tuple[IntArray, IntArray]:
        """(class, how many) of each step: arrays [steps, widest], filled up with none."""
        rows = []
        for s in steps:
            count: dict[int, int] = {}
            for number in self.cuts[s]:
                count[number] = count.get(number, 0) + 1
            rows.append(count)
        out = np.zeros((2, len(rows), max(map(len, rows))), np.int64)
        for i, row in enumerate(rows):
            out[0, i, : len(row)] = list(row)
            out[1, i, : len(row)] = list(row.values())
        return out[0], out[1]

    def commonest(self, step: int) -> tuple[int, float]:
        """The most frequent class of a step's tiles, and how much work all of them are at least, in tiles of it."""
        cut = self.cuts[step]
        most = max(dict.fromkeys(cut), key=cut.count)
        size, total = self.classes[most], 0.0
        for number in cut:
            piece = self.classes[number]
            ratios = [piece.count / size.count, *(a / b for a, b in zip(piece.inputs, size.inputs, strict=True) if b)]
            if size.taps:
                ratios.append(piece.taps / size.taps)
            total += 1.0 if number == most else min(ratios) * (SAME_SIZE if piece.count == size.count else OTHER_SIZE)
        return most, total

    def pieces(self, step: int) -> list[Piece]:
        """The tiles of a step, in order."""
        return [self.classes[n] for n in self.cuts[step]]

    def of(self, numbers: IntArray, value: Callable[[Piece], int]) -> IntArray:
        """A property of classes."""
        return np.array([value(p) for p in self.classes], np.int64)[numbers]


@dataclass(frozen=True)
class Sums:
    """Of each tiling, cycles: of all tiles' kernels; of the transfers of its first tile and of its last store.

    tiles counts all tiles, spatial those of one channel tile. x is cycles of all inputs passing once (inputs in slices:
    each slice once), y of all outputs.
    """

    kernel: IntArray
    tiles: IntArray
    spatial: IntArray
    first: IntArray
    last: IntArray
    x_all: IntArray
    x_slices: IntArray
    y: IntArray

    def of(self, some: IntArray) -> Sums:
        """Of some of the tilings, by number."""
        return Sums(*(getattr(self, f.name)[some] for f in fields(self)))


class CostTables:
    """Costs of one layer's tiles, on `cores` cores."""

    def __init__(self, layer: LayerPlan, coefficients: Coefficients, p: IssParams, cores: int) -> None:
        self.layer, self.p, self.cores, self._least = layer, p, cores, False
        self._coefficients = coefficients
        self.repack = coefficients.repack
        self._axes = (_Axis(), _Axis(), _Axis())
        self._settled = False
        self._tiles = np.zeros((0, 3), np.int64), np.zeros(0, np.int64)
        self._line_cycles: dict[tuple[int, bool], int] = {}
        self._known: list[tuple[IntArray, IntArray, list[int]]] = []  # (codes in order, cycles, base of the codes)

    def least(self) -> CostTables:
        """As if each tile's work split evenly over the cores, and no tile had an unlucky size."""
        twin = CostTables(self.layer, self._coefficients, self.p, self.cores)
        twin._axes, twin._least = self._axes, True  # the same classes
        return twin

    def kernels(self, tilings: Sequence[Shape]) -> tuple[IntArray, IntArray]:
        """(kernel cycles, tiles) of each tiling (h, w, c)."""
        kernel, spatial, parts, _ = self._work(np.array(tilings, np.int64))
        return kernel, spatial * parts

    def sums(self, tilings: Sequence[Shape]) -> Sums:
        """Over all tiles of each tiling (h, w, c)."""
        kernel, spatial, parts, used = self._work(np.array(tilings, np.int64))
        return Sums(kernel, spatial * parts, spatial, *self._transfers(used))

    def at_least(self, tilings: Sequence[Shape]) -> IntArray:
        """About the kernel cycles of each tiling (h, w, c), rather less: its most frequent class of tiles is evaluated,
        of the others it is known how much smaller they are."""
        steps = np.array(tilings, np.int64)
        ids, times = [], np.ones(len(steps))
        for axis in range(3):
            some, inverse = np.unique(steps[:, axis], return_inverse=True)
            self._cut(axis, some.tolist())
            found = [self._axes[axis].commonest(step) for step in some.tolist()]
            ids.append(np.array([number for number, _ in found], np.int64)[inverse])
            times *= np.array([times for _, times in found])[inverse]
        cycles = self._kernels([(i[:, None], np.ones((len(steps), 1), np.int64)) for i in ids], self._settings(steps))
        return (cycles * times).astype(np.int64)

    def _settings(self, steps: IntArray) -> IntArray:
        layer, few = self.layer, AT_ONCE // 8
        some = [
            LAYERS[layer.op].settings(layer, steps[i : i + few], self.cores) for i in range(0, len(steps), few)
        ]  # arrays of tiles x rows
        known = [s for s in some if s is not None]
        self._settled = len(known) > 0
        self._tiles = (steps, np.concatenate(known) if known else np.zeros(len(steps), np.int64))
        return self._tiles[1]

    def _work(self, steps: IntArray) -> tuple[IntArray, IntArray, IntArray, list[tuple[list[int], IntArray]]]:
        """Kernel cycles, tiles of one channel tile, channel tiles; of each axis its steps, and which a tiling has."""
        tables, used = [], []
        for axis in range(3):
            some, inverse = np.unique(steps[:, axis], return_inverse=True)
            self._cut(axis, some.tolist())
            ids, counts = self._axes[axis].counts(some.tolist())
            tables.append((ids[inverse], counts[inverse]))
            used.append((some.tolist(), inverse))
        spatial = tables[0][1].sum(1) * tables[1][1].sum(1)
        return self._kernels(tables, self._settings(steps)), spatial, tables[2][1].sum(1), used

    def setting(self, tile: Shape) -> int:
        """`Layer.settings` of a tiling."""
        steps, settings = self._tiles
        known = np.flatnonzero((steps == tile).all(axis=1))
        if len(known):
            return int(settings[known[0]])
        found = LAYERS[self.layer.op].settings(self.layer, np.array([tile], np.int64), self.cores)
        return 0 if found is None else int(found[0])

    def cost(self, key: tuple[object, object, int], setting: int) -> int:
        """Cycles of a tile of these classes along the axes, which `sums` has met."""
        rows, columns, channels = self._axes
        r, w, c = rows.numbers[key[0]], columns.numbers[key[1]], channels.numbers[Piece(0, key[2], (), 0).key]
        for codes, cycles, sizes in self._known:
            code = ((setting * sizes[0] + r) * sizes[1] + w) * sizes[2] + c
            at = int(np.searchsorted(codes, code))
            if r < sizes[0] and w < sizes[1] and c < sizes[2] and at < len(codes) and codes[at] == code:
                return int(cycles[at])
        raise KeyError(key)

    def _kernels(self, tables: Sequence[tuple[IntArray, IntArray]], settings: IntArray) -> IntArray:
        (r, kr), (w, kw), (c, kc) = tables
        times = kr[:, :, None, None] * kw[:, None, :, None] * kc[:, None, None, :]
        sizes = [len(a.classes) for a in self._axes]
        code = settings[:, None, None, None] * sizes[0] + r[:, :, None, None]
        code = (code * sizes[1] + w[:, None, :, None]) * sizes[2] + c[:, None, None, :]
        present = times > 0
        codes, inverse = np.unique(code[present], return_inverse=True)
        some = [self._evaluate(codes[i : i + AT_ONCE], sizes) for i in range(0, len(codes), AT_ONCE)]
        cycles = np.concatenate(some)
        self._known.append((codes, cycles, sizes))
        every = np.zeros(times.shape, np.int64)
        every[present] = cycles[inverse.reshape(-1)]
        total: IntArray = (every * times).sum((1, 2, 3))
        return total

    def _cut(self, axis: int, steps: Sequence[int]) -> None:
        out = self.layer.output.shape
        for step in steps:
            if step in self._axes[axis].cuts:
                continue
            if axis < 2:
                found = pieces(self.layer, axis, 0, out[axis], step)
            else:
                whole, rest = divmod(out[2], step)
                found = [Piece(0, step, (), 0)] * whole + [Piece(whole * step, rest, (), 0)] * (rest > 0)
            self._axes[axis].add(step, found)

    def _evaluate(self, codes: IntArray, sizes: Sequence[int]) -> IntArray:
        """Kernel cycles of tiles of (setting, row class, column class, channel class), as digits of a code."""
        layer = self.layer
        rest, c = np.divmod(codes, sizes[2])
        rest, w = np.divmod(rest, sizes[1])
        setting, r = np.divmod(rest, sizes[0])
        rows, columns, channels = self._axes
        out = (rows.of(r, _count), columns.of(w, _count), channels.of(c, _count))
        inputs = tuple(
            (
                rows.of(r, lambda p, i=i: p.inputs[i]),  # type: ignore[misc]
                columns.of(w, lambda p, i=i: p.inputs[i]),  # type: ignore[misc]
                np.full_like(r, x.shape[2]) if x.channels == "all" else out[2],
            )
            for i, x in enumerate(layer.inputs)
        )
        tap_rows, tap_columns = rows.of(r, _taps), columns.of(w, _taps)
        work = Work(
            out,
            inputs,
            tap_rows * tap_columns,
            self.cores,
            even=self._least,
            lucky=self._least,
            pad=(rows.of(r, _pad), columns.of(w, _pad)),
            tap_rows=tap_rows,
            setting=setting,
            settled=self._settled,
        )
        found = self._coefficients.kernel(layer, work, self.p.icache_bytes)
        return np.asarray(np.rint(np.broadcast_to(found, codes.shape)), np.int64)

    def _transfers(self, used: Sequence[tuple[list[int], IntArray]]) -> list[IntArray]:
        """first, last, x_all, x_slices, y of Sums."""
        zero = np.zeros(len(used[0][1]), np.int64)
        first, x_all, x_slices = zero, zero, zero
        for i, x in enumerate(self.layer.inputs):
            every, begin, _ = self._moved(used, x, i, False)
            first = first + begin
            if x.channels == "all":
                x_all = x_all + every
            else:
                x_slices = x_slices + every
        w = self.layer.weights
        if w:
            sizes = [w.bytes_for(step) for step in used[2][0]]
            first = first + -(-np.array(sizes, np.int64) // self.p.dma_bytes_per_cycle)[used[2][1]]
        y, _, last = self._moved(used, self.layer.output, -1, True)
        return [first, last, x_all, x_slices, y]

    def _moved(
        self, used: Sequence[tuple[list[int], IntArray]], operand: Operand, i: int, outward: bool
    ) -> tuple[IntArray, IntArray, IntArray]:
        """Cycles of the DMA for all tiles of an operand (input i, -1: the output), for its first, for its last one."""
        (h, h_of), (w, w_of), (c, c_of) = used
        rows, columns = ([self._sizes(axis, s, i) for s in steps] for axis, steps in ((0, h), (1, w)))
        sliced = i < 0 or operand.channels == "slice"
        depths = [self._sizes(2, s, -1) if sliced else [operand.shape[2]] for s in c]
        out = []
        for pick in (None, 0, -1):
            r, col, d = (
                [x if pick is None else [x[pick]] for x in axis] for axis in (rows, columns, depths)
            )  # of each step the sizes that count
            out.append(self._lines(operand, r, col, d, (h_of, w_of, c_of), outward))
        return out[0], out[1], out[2]

    def _sizes(self, axis: int, step: int, i: int) -> list[int]:
        found = self._axes[axis].pieces(step)
        return [p.count if i < 0 else p.inputs[i] for p in found]

    def _lines(
        self,
        operand: Operand,
        rows: list[list[int]],
        columns: list[list[int]],
        depths: list[list[int]],
        of: tuple[IntArray, IntArray, IntArray],
        outward: bool,
    ) -> IntArray:
        """As dory_tile.h moves them: whole, in lines of some columns, or of some channels."""
        width, channels, pixel = operand.shape[1], operand.shape[2], operand.pixel_bytes
        p = self.p
        r = np.array([sum(x) for x in rows], np.int64)[of[0]]
        whole = -(-r * width * pixel // p.dma_bytes_per_cycle)
        line = [sum(self._line(n * pixel, outward) for n in x if n) for x in columns]
        cols = np.array([sum(x) for x in columns], np.int64)[of[1]]
        lines = [sum(self._line(packed_bytes(n, operand.bits), outward) for n in x) for x in depths]
        deep = np.array(lines, np.int64)[of[2]]
        all_columns = np.array([x == [width] for x in columns])[of[1]]
        all_channels = np.array([x == [channels] for x in depths])[of[2]]
        by_lines = r * np.array(line, np.int64)[of[1]]
        return np.where(all_channels, np.where(all_columns, whole, by_lines), r * cols * deep)

    def _line(self, size: int, outward: bool) -> int:
        """DMA cycles of a line of a two-dimensional command."""
        found = self._line_cycles.get((size, outward))
        if found is None:
            found = self._line_cycles[size, outward] = dma_copies(self.p, 1, 2, size, outward).cycles // 2
        return found


def _count(p: Piece) -> int:
    return p.count


def _taps(p: Piece) -> int:
    return p.taps


def _pad(p: Piece) -> int:
    return p.pad


class PricedTiles(LayerTiles):
    """Tiles whose kernel cycles come from tables."""

    def __init__(self, layer: LayerPlan, tables: CostTables) -> None:
        super().__init__(layer, tables.p, tables.cores, lambda *_: 0, tables.repack)
        self._tables, self._setting = tables, tables.setting(layer.tile)

    def cycles(self, work: Work, key: object) -> tuple[int, int]:
        """From the tables, which have met the tile; no share of it is known."""
        found = self._tables.cost(key, self._setting)  # type: ignore[arg-type]
        return found, found
