"""How far each activation of the quantised network is from the float network's, in dB."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from dory.quantize.data import Sample
from dory.quantize.float_model import FloatModel
from dory.quantize.qdq import TAILS
from dory.quantize.runtime import Runner

VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Dropout")
MOST_SAMPLES = 64
"""Errors are measured on at most this many samples."""


@dataclass(frozen=True)
class LayerError:
    """One activation over all samples. SQNR in dB, None when there is no error at all.

    `sqnr_db` compares the quantised network, run from its input, with the float network: all errors so far add up.
    `rms_lsb` is that error's root mean square in steps of the tensor's scale. `rounding_db` is what quantising this
    tensor alone costs. `clipped` is the share of float values outside its range.
    """

    layer: str
    op: str
    value: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int
    lowest: float
    highest: float
    sqnr_db: float | None
    rms_lsb: float
    rounding_db: float | None
    clipped: float
    output: bool


@dataclass(frozen=True)
class _Pair:
    """A float value and the dequantised value that stands for it."""

    real: str
    dequantised: str
    scale: np.float32
    zero: int


@dataclass
class _Sums:
    shape: tuple[int, ...] = ()
    count: int = 0
    signal: float = 0.0
    noise: float = 0.0
    rounding: float = 0.0
    clipped: int = 0
    ends: tuple[float, float] = field(default=(math.inf, -math.inf))

    def add(self, real: NDArray[Any], found: NDArray[Any], pair: _Pair) -> None:
        """One sample."""
        x, y = real.astype(np.float64).reshape(-1), found.astype(np.float64).reshape(-1)
        q = np.rint(real.reshape(-1) / pair.scale).astype(np.float64) + pair.zero
        alone = (np.clip(q, 0, 255) - pair.zero) * float(pair.scale)
        self.shape = tuple(real.shape)
        self.count += x.size
        self.signal += float(np.square(x).sum())
        self.noise += float(np.square(x - y).sum())
        self.rounding += float(np.square(x - alone).sum())
        self.clipped += int(np.count_nonzero((q < 0) | (q > 255)))
        self.ends = (min(self.ends[0], float(x.min())), max(self.ends[1], float(x.max())))


def measure(
    model: FloatModel,
    quantised: onnx.ModelProto,
    samples: Sequence[Sample],
    count: Callable[[int, int], None],
    skip: frozenset[str] = frozenset(),
) -> tuple[LayerError, ...]:
    """Errors of all quantised activations but those of `skip`, worst first; one sample in memory at a time."""
    pairs = [p for p in _pairs(model, quantised) if p.real not in skip]
    real = Runner(model.model, model.where, [p.real for p in pairs])
    integer = Runner(quantised, model.where, [p.dequantised for p in pairs])
    sums = [_Sums() for _ in pairs]
    for k, sample in enumerate(samples):
        feeds = sample.read()
        wanted, found = real(feeds, sample.name), integer(feeds, sample.name)
        for pair, total in zip(pairs, sums, strict=True):
            total.add(wanted[pair.real], found[pair.dequantised], pair)
        count(k + 1, len(samples))
    outputs = _outputs(model)
    errors = []
    for pair, total in zip(pairs, sums, strict=True):
        node = _maker(model, pair.real)
        errors.append(
            LayerError(
                layer=node.name if node is not None else pair.real,
                op=node.op_type if node is not None else "input",
                value=pair.real,
                shape=total.shape,
                scale=float(pair.scale),
                zero_point=pair.zero,
                lowest=total.ends[0],
                highest=total.ends[1],
                sqnr_db=decibel(total.signal, total.noise),
                rms_lsb=math.sqrt(total.noise / total.count) / float(pair.scale),
                rounding_db=decibel(total.signal, total.rounding),
                clipped=total.clipped / total.count,
                output=pair.real in outputs,
            )
        )
    return tuple(sorted(errors, key=lambda e: math.inf if e.sqnr_db is None else e.sqnr_db))


def decibel(signal: float, noise: float) -> float | None:
    """10 log10(signal / noise); None without noise."""
    if noise == 0:
        return None
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def _pairs(model: FloatModel, quantised: onnx.ModelProto) -> list[_Pair]:
    """By structure: what a QuantizeLinear reads, or what the DequantizeLinear after it writes, is a float value."""
    graph = quantised.graph
    values = {t.name: t for t in graph.initializer}
    known = set(model.activations)
    readers = {n.input[0]: n for n in graph.node if n.op_type == "DequantizeLinear"}
    pairs: dict[str, _Pair] = {}
    for node in graph.node:
        reader = readers.get(node.output[0]) if node.op_type == "QuantizeLinear" else None
        if reader is None or node.input[0] in values:
            continue
        name = next((n for n in (node.input[0], reader.output[0]) if n in known), None)
        if name is None:
            continue
        scale = numpy_helper.to_array(values[node.input[1]]).reshape(-1)[0]
        zero = int(numpy_helper.to_array(values[node.input[2]]).reshape(-1)[0])
        pairs[name] = _Pair(name, reader.output[0], np.float32(scale), zero)
    order = {n: i for i, n in enumerate(model.activations)}
    outputs = _outputs(model)
    layers: dict[str, _Pair] = {}
    for pair in sorted(pairs.values(), key=lambda p: order[p.real]):
        node = _maker(model, pair.real)
        layer = node.name if node is not None else pair.real
        if layer not in layers or pair.real in outputs:  # of a layer and its reshaped copies, one
            layers[layer] = pair
    return list(layers.values())


def _outputs(model: FloatModel) -> set[str]:
    """Network outputs, and what the host makes one of in float."""
    graph = model.model.graph
    results = {o.name for o in graph.output}
    return results | {n.input[0] for n in graph.node if n.op_type in TAILS and n.output[0] in results}


def _maker(model: FloatModel, name: str) -> onnx.NodeProto | None:
    """The node that computes a value, reshapes and transposes skipped; None for a network input."""
    while True:
        node = next((n for n in model.model.graph.node if name in n.output), None)
        if node is None or node.op_type not in VIEWS:
            return node
        name = node.input[0]
