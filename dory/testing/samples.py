"""Seeded random inputs with structure: patches of several sizes, so that two of them differ after averaging too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

Floats = NDArray[np.float32]
_PATCHES = (1, 3, 8)
"""Patches per axis of the coarse layers; the finest layer has one patch per element."""


def random_field(rng: np.random.Generator, shape: Sequence[int]) -> Floats:
    """Values in [-1, 1], shape [N, C, H, W], [N, C, W] or [N, C]: a sum of random patches of several sizes.

    White noise would not do: all of its averages are alike, and so would be a network's answers.
    """
    image = _four_axes(shape)
    total = np.zeros(image, np.float32)
    rows, columns = image[2:]
    for patches in (*_PATCHES, max(rows, columns)):
        grid = (min(patches, rows), min(patches, columns))
        layer = rng.random((*image[:2], *grid), np.float32) * 2 - 1
        total += layer[:, :, np.arange(rows) * grid[0] // rows][..., np.arange(columns) * grid[1] // columns]
    clipped: Floats = np.clip(total * np.float32(0.5), -1, 1)
    return clipped.reshape(tuple(shape))


def _four_axes(shape: Sequence[int]) -> tuple[int, int, int, int]:
    """NCHW; the elements of a vector count as one row."""
    n, *rest = shape
    if len(rest) == 3:
        return (n, rest[0], rest[1], rest[2])
    return (n, 1, 1, rest[0]) if len(rest) == 1 else (n, rest[0], 1, int(np.prod(rest[1:])))


def sample_input(model: onnx.ModelProto, seed: int = 0) -> dict[str, Floats]:
    """Random float32 inputs of a QDQ model by name, over the range that the input's QuantizeLinear can represent.

    Dynamic sizes become 1. An input that no QuantizeLinear reads is spread over [-1, 1].
    """
    constants = {t.name: t for t in model.graph.initializer}
    quantise = {n.input[0]: n for n in model.graph.node if n.op_type == "QuantizeLinear"}
    samples: dict[str, Floats] = {}
    for i, value in enumerate(v for v in model.graph.input if v.name not in constants):
        shape = [d.dim_value or 1 for d in value.type.tensor_type.shape.dim]
        field = random_field(np.random.default_rng([seed, i]), shape)
        lo, hi = -1.0, 1.0
        if value.name in quantise:
            node = quantise[value.name]
            scale = float(numpy_helper.to_array(constants[node.input[1]]).reshape(-1)[0])
            has_zero = len(node.input) > 2 and node.input[2] in constants
            zero = numpy_helper.to_array(constants[node.input[2]]) if has_zero else np.zeros(1, np.uint8)
            limits = np.iinfo(zero.dtype)
            offset = int(zero.reshape(-1)[0])
            lo, hi = (limits.min - offset) * scale, (limits.max - offset) * scale
        samples[value.name] = ((lo + hi) / 2 + field * np.float32((hi - lo) / 2)).astype(np.float32)
    return samples
