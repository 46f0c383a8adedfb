"""How elements of 4 and 2 bits lie in memory: along the channels, lowest bits first, each pixel beginning on a byte."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from dory.graph.types import IntArray, Shape


def pack(values: IntArray, bits: int) -> NDArray[np.uint8]:
    """The bytes of unsigned values [..., C] of 8, 4 or 2 bits each."""
    if bits == 8:
        return values.astype(np.uint8).reshape(-1)
    per = 8 // bits
    flat = values.reshape(-1, values.shape[-1])
    filled = np.pad(flat, ((0, 0), (0, -flat.shape[1] % per))).reshape(flat.shape[0], -1, per)
    shifts = np.arange(per) * bits
    packed: NDArray[np.uint8] = (filled << shifts).sum(-1).astype(np.uint8)
    return packed.reshape(-1)


def unpack(data: NDArray[np.uint8], shape: Shape, bits: int) -> NDArray[np.uint8]:
    """Inverse of pack: the values of an (H, W, C) tensor. Bits that fill up a pixel's last byte are not looked at."""
    if bits == 8:
        return data.reshape(shape)
    per, pixels = 8 // bits, prod(shape[:2])
    shifts = (np.arange(per) * bits).astype(np.uint8)
    values = (data.reshape(pixels, -1, 1) >> shifts) & np.uint8((1 << bits) - 1)
    return values.reshape(pixels, -1)[:, : shape[2]].reshape(shape)
