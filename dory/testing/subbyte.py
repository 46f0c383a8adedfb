"""Networks whose layers have operands of 8, 4 and 2 bits, in all 27 combinations of input, weights and output."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from dory.graph.types import U8, Graph, IntArray, IoLayout, Node, Requant, Shape, Tensor, Window
from dory.layers import LAYERS
from dory.layers.add import AddAttrs
from dory.layers.concat import ConcatAttrs
from dory.layers.convolution import ConvAttrs
from dory.layers.linear import LinearAttrs
from dory.layers.lut import LutAttrs
from dory.layers.pad import PadAttrs
from dory.layers.permute import mixed_radix
from dory.layers.pool import AvgPoolAttrs, MaxPoolAttrs

BITS = (8, 4, 2)
COMBINATIONS = tuple(product(BITS, BITS, BITS))
"""(input, weights, output)."""
WITH_WEIGHTS = ("conv", "pointwise", "depthwise", "grouped_conv", "linear")
WITHOUT_WEIGHTS = ("add", "concat", "maxpool", "avgpool", "lut", "pad")
OPS = (*WITH_WEIGHTS, *WITHOUT_WEIGHTS)


class _Builder:
    """Collects nodes and tensors."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.nodes: list[Node] = []
        self.tensors: dict[str, Tensor] = {}

    def tensor(self, name: str, shape: Shape) -> str:
        self.tensors[name] = Tensor(name, shape, U8, 1.0, 0)
        return name

    def layer(self, op: str, inputs: list[str], attrs: Any) -> str:
        name = f"l{len(self.nodes)}_{op}"
        shape = LAYERS[op].out_shape(attrs, [self.tensors[t].shape for t in inputs])
        self.nodes.append(Node(name, op, tuple(inputs), self.tensor(f"{name}_out", shape), attrs))
        return f"{name}_out"

    def requant(self, weights: IntArray, bits_in: int, bits: int) -> tuple[IntArray, Requant]:
        """Bias and rescale that spread the sums over the output's range and a little beyond."""
        n, top = weights.shape[0], (1 << bits_in) - 1
        reach = top * np.abs(weights.reshape(n, -1)).sum(1) + 1
        mult = np.rint((1 << bits) / reach * self.rng.uniform(1, 4, n) * 2.0**30).astype(np.int64)
        drop = np.maximum(np.ceil(np.log2(mult + 1)).astype(np.int64) - 15, 0)
        bias: IntArray = np.asarray(self.rng.integers(-top, top + 1, n))
        return bias, Requant(mult >> drop, 30 - drop, 0, 0, (1 << bits) - 1)

    def weights(self, shape: tuple[int, ...], bits: int) -> IntArray:
        found: IntArray = self.rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), shape)
        found.reshape(-1)[:2] = -(1 << (bits - 1)), (1 << (bits - 1)) - 1  # no fewer bits hold them
        return found


def combinations(
    op: str, seed: int, shape: Shape | None = None, some: Sequence[tuple[int, int, int]] = COMBINATIONS
) -> Graph:
    """A network with a layer `op` for each combination, between tables that change the bits and maxima over its output.

    Operators without weights have one layer for each input and output. `shape` is the input's (H, W, C).
    """
    rng = np.random.default_rng(seed)
    b = _Builder(rng)
    size = shape or (int(rng.integers(3, 9)), int(rng.integers(3, 9)), int(rng.choice([1, 3, 4, 5, 8, 12, 17, 32])))
    x, outputs = b.tensor("x", size), []
    narrow = {bits: b.layer("lut", [x], _table(rng, bits)) if bits < 8 else x for bits in BITS}
    for a, w, y in some if op in WITH_WEIGHTS else dict.fromkeys((a, 8, y) for a, _, y in some):
        out = b.layer(*_layer(b, op, narrow, a, w, y))
        h, width, _ = b.tensors[out].shape
        outputs.append(b.layer("maxpool", [out], MaxPoolAttrs(Window((h, width)))))
    layouts = {t: _layout(b.tensors[t]) for t in (x, *outputs)}
    return Graph(f"subbyte_{op}", tuple(b.nodes), b.tensors, (x,), tuple(outputs), (), layouts)


def single(op: str, shape: Shape, channels: int, bits: tuple[int, int, int], seed: int) -> Graph:
    """One layer `op` (3x3 with borders where it has a window) with (input, weights, output) of so many bits."""
    rng = np.random.default_rng(seed)
    b = _Builder(rng)
    x = b.layer("lut", [b.tensor("x", shape)], _table(rng, bits[0]))
    groups = shape[2] if op == "depthwise" else 1
    kernel = (1, 1) if op in ("pointwise", "linear") else (3, 3)
    weights = b.weights((channels, *kernel, shape[2] // groups), bits[1])
    bias, requant = b.requant(weights, bits[0], bits[2])
    if op == "linear":
        y = b.layer(op, [x], LinearAttrs(weights.reshape(channels, -1), bias, requant))
    else:
        window = Window(kernel, pads=(kernel[0] // 2,) * 4)
        attrs = ConvAttrs(window, weights, bias, requant, 0, groups)
        y = b.layer("depthwise" if op == "depthwise" else "conv", [x], attrs)
    out = b.layer("lut", [y], _table(rng, 8))
    layouts = {t: _layout(b.tensors[t]) for t in ("x", out)}
    return Graph(f"subbyte_{op}", tuple(b.nodes), b.tensors, ("x",), (out,), (), layouts)


def _table(rng: np.random.Generator, bits: int) -> LutAttrs:
    values = rng.integers(0, 1 << bits, 256)
    values[:2] = (1 << bits) - 1, 0
    return LutAttrs(values, "any")


def _layout(t: Tensor) -> IoLayout:
    return IoLayout(t.name, t.shape, mixed_radix(np.arange(t.size), t.name), False)


def _layer(b: _Builder, op: str, narrow: dict[int, str], a: int, w: int, y: int) -> tuple[str, list[str], Any]:
    rng, x, top = b.rng, narrow[a], (1 << y) - 1
    h, width, c = b.tensors[x].shape
    if op == "linear":
        weights = b.weights((int(rng.integers(2, 20)), h * width * c), w)
        return op, [x], LinearAttrs(weights, *b.requant(weights, a, y))
    if op in WITH_WEIGHTS:
        groups = {"depthwise": c, "grouped_conv": c}.get(op, 1)
        channels = {"depthwise": c, "grouped_conv": 2 * c}.get(op, int(rng.choice([*range(2, 24), 40, 64])))
        kernel = (1, 1) if op == "pointwise" else (min(3, h), min(3, width))
        pad = tuple(int(p) for p in rng.integers(0, 2, 4)) if op != "pointwise" else (0, 0, 0, 0)
        weights = b.weights((channels, *kernel, c // groups), w)
        window = Window(kernel, (int(rng.choice([1, 1, 2])),) * 2, pads=pad)  # type: ignore[arg-type]
        attrs = ConvAttrs(window, weights, *b.requant(weights, a, y), int(rng.integers(0, 1 << a)), groups)
        return "conv" if op == "pointwise" else op, [x], attrs
    window = Window((min(2, h), min(2, width)), (2, 2))
    area = window.kernel[0] * window.kernel[1]
    mult = np.rint(2.0**20 / np.maximum(np.arange(area + 1), 1) * (1 << y) / (1 << a)).astype(np.int64)
    some: dict[str, tuple[list[str], Any]] = {
        "add": ([x, narrow[int(rng.choice(BITS))]], AddAttrs(300, 200, 100, 12 - y + a, 0, top)),
        "concat": ([x, narrow[y]], ConcatAttrs(2)),
        "maxpool": ([x], MaxPoolAttrs(window, 0, top)),
        "avgpool": ([x], AvgPoolAttrs(window, mult, 20, 0, 0, 0, top)),
        "lut": ([x], _table(rng, y)),
        "pad": ([x], PadAttrs((1, 0, 1, 2), int(rng.integers(0, 1 << y)))),
    }
    return op, *some[op]
