"""Storage of 4 and 2 bits: which tensors and weights fit it, how weights are packed, and what repacking costs.

Kernels compute on bytes. In memory, and on its way into L1, a tensor whose values lie in 0..15 or 0..3, and weights in
-8..7 or -2..1, take 4 or 2 bits an element. Around a layer's kernel the cores unpack its operands and pack its output.

Weights are packed by words: bits [k * bits, (k + 1) * bits) of every byte of a packed word are the four weights of the
k-th of 8 / bits unpacked words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from dory.graph.types import Graph, QType, Tensor
from dory.layers import LAYERS
from dory.layers.base import PackedWeights
from dory.layers.cost import Work
from dory.plan import LayerPlan, Unit, packed_bytes

NARROW = (2, 4)
KERNELS = ("dory_subbyte", "dory_unpack", "dory_unpack_weights", "dory_pack")
CODE = 2560
"""Bytes of L2 that these kernels take at most."""


def weight_bits(packed: PackedWeights) -> int:
    """The fewest bits that hold all weights and save memory: 2, 4 or 8."""
    if packed.unit is None or packed.bits != 8:
        return packed.bits
    body = _body(packed)
    low, high = int(body.min()), int(body.max())
    for bits in NARROW:
        fits = -(1 << (bits - 1)) <= low and high < 1 << (bits - 1)
        if fits and packed.unit.bytes(bits) < packed.unit.bytes():
            return bits
    return 8


def narrowed(packed: PackedWeights, bits: int) -> PackedWeights:
    """The same weights in `bits` bits, which hold them; constants keep their 32."""
    if packed.unit is None or bits == packed.bits:
        return packed
    unit, per = packed.unit, 8 // bits
    raw = np.frombuffer(packed.data, np.uint8).reshape(-1, unit.bytes())
    words = _body(packed).view(np.uint8).reshape(len(raw), -1, 4)
    parts = np.pad(words, ((0, 0), (0, -words.shape[1] % per), (0, 0))).reshape(len(raw), -1, per, 4)
    mask, shifts = (1 << bits) - 1, (np.arange(per) * bits)[:, None]
    body = ((parts.astype(np.int64) & mask) << shifts).sum(2).astype(np.uint8).reshape(len(raw), -1)
    data = np.concatenate([raw[:, : unit.head], body, raw[:, unit.head + unit.body :]], axis=1).tobytes()
    groups = len(packed.data) // packed.group_bytes
    return replace(packed, data=data, group_bytes=len(data) // groups, bits=bits)


def _body(packed: PackedWeights) -> np.ndarray:
    """The int8 weights of every unit."""
    unit = packed.unit
    assert unit is not None
    raw = np.frombuffer(packed.data, np.int8).reshape(-1, unit.bytes())
    return np.ascontiguousarray(raw[:, unit.head : unit.head + unit.body])


def subbyte_tensors(graph: Graph) -> Graph:
    """The graph with every tensor inside the network in the fewest bits that provably hold it.

    Inputs and outputs keep their 8 bits, as do operands of layers that run on L2 in place.
    """
    highest: dict[str, int] = {t: graph.tensors[t].qtype.hi for t in graph.inputs}
    for node in graph.nodes:
        highest[node.output] = LAYERS[node.op].highest(node.attrs, [highest[t] for t in node.inputs])
    views = _views(graph)
    tensors = {
        name: t if name in (*graph.inputs, *graph.outputs) else _narrowest(t, highest[name], views[name])
        for name, t in graph.tensors.items()
    }
    return replace(graph, tensors=tensors)


def _views(graph: Graph) -> Mapping[str, list[int]]:
    """Channels of every view that a layer has of a tensor; 0 for one that runs in place."""
    out: dict[str, list[int]] = {name: [] for name in graph.tensors}
    for node in graph.nodes:
        geometry = LAYERS[node.op].geometry(node.attrs, [graph.tensors[t].shape for t in node.inputs])
        views = [*(a.shape for a in geometry.inputs), geometry.out]
        for name, view in zip((*node.inputs, node.output), views, strict=True):
            out[name].append(0 if geometry.direct else view[2])
    return out


def _narrowest(tensor: Tensor, high: int, views: list[int]) -> Tensor:
    channels = tensor.shape[2]
    for bits in NARROW:
        fits = high < 1 << bits and tensor.zero_point < 1 << bits
        # Views with other channels see the tensor as one run, without bits that fill up a pixel.
        whole = channels * bits % 8 == 0
        seen = all(v == channels or (v and whole) for v in views)
        if fits and seen and packed_bytes(channels, bits) < channels and bits < tensor.qtype.bits:
            return replace(tensor, qtype=QType(bits, False))
    return tensor


FEATURES = (
    "once",
    *(f"{what}{bits}{how}" for what in ("unpack", "pack") for bits in NARROW for how in ("", " rows", " tails")),
    *(f"weights{bits}" for bits in NARROW),
    "constants",
    "units",
)
"""Tiles; words of packed elements, rows of them, elements behind whole words; words of weights, constants, units."""


def repack_features(layer: LayerPlan, work: Work, new_x: bool, new_w: bool) -> tuple[float, ...]:
    """What the busiest core does around the kernel of a tile: counts that its cycles are linear in, named by FEATURES.

    new_x, new_w: the tile brings inputs, weights with it.
    """
    counts = {**no_counts(), "once": 1.0}
    if new_x:
        for x, (h, w, c) in zip(layer.inputs, work.inputs, strict=True):
            count_rows(counts, "unpack", x.bits, h * w, c, work)
    count_rows(counts, "pack", layer.output.bits, work.pixels, work.out[2], work)
    weights = layer.weights
    if new_w and weights and weights.unit and weights.bits < 8:
        units = weights.bytes_for(work.out[2]) // weights.unit.bytes(weights.bits)
        count_weights(counts, weights.unit, weights.bits, units, work)
    return tuple(counts[name] for name in FEATURES)


def least_repack_features(layer: LayerPlan, cores: int) -> tuple[float, ...]:
    """What no tiling can do with less of: the words of every operand, each once and evenly split."""
    counts = no_counts()

    def count(name: str, bits: int, elements: float) -> None:
        if bits < 8:
            counts[f"{name}{bits}"] += elements * bits / 32 / cores

    h, w, c = layer.output.shape
    for x in layer.inputs:
        if all(x.window.span(a) >= x.window.stride[a] for a in (0, 1)):  # else some of it may never be read
            (top, bottom, *_), (left, right, *_) = (x.window.in_range(a, 0, (h, w)[a], x.shape[a]) for a in (0, 1))
            count("unpack", x.bits, (bottom - top) * (right - left) * x.shape[2])
    count("pack", layer.output.bits, h * w * c)
    return tuple(counts[name] for name in FEATURES)


def no_counts() -> dict[str, float]:
    """Nothing, by the names of FEATURES."""
    return dict.fromkeys(FEATURES, 0.0)


def count_rows(counts: dict[str, float], what: str, bits: int, rows: int, elements: int, work: Work) -> None:
    """Add rows of elements ("unpack" or "pack") as their kernels split them: rows without gaps are one."""
    if bits == 8:
        return
    name, per = f"{what}{bits}", 32 // bits
    if elements * bits % 8 == 0:
        counts[name] += work.share(rows * elements // per)
        counts[f"{name} rows"] += 1
        counts[f"{name} tails"] += rows * elements % per
    else:
        mine = work.share(rows)
        counts[name] += mine * (elements // per)
        counts[f"{name} rows"] += mine
        counts[f"{name} tails"] += mine * (elements % per)


def count_weights(counts: dict[str, float], unit: Unit, bits: int, units: int, work: Work) -> None:
    """Add units of packed weights, whose words the cores share."""
    constants = unit.head + unit.tail
    counts[f"weights{bits}"] += work.share(units * ((unit.bytes(bits) - constants) // 4))
    counts["constants"] += work.share(units) * constants // 4
    counts["units"] += work.share(units) + 1
