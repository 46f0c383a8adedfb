"""What the rows of the kernel table share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dory.graph.types import IntArray, Requant
from dory.testing.kernel_runs import Job


@dataclass(frozen=True, eq=False)
class Row:
    """One line of the table: a call with its expected output."""

    name: str
    bar: float
    aim: float
    job: Job
    want: IntArray
    form: str = ""


def as_bytes(x: IntArray) -> NDArray[np.uint8]:
    """Elements in memory order."""
    return np.ascontiguousarray(x.astype(np.uint8)).reshape(-1)


def packed(layer: Any, attrs: Any) -> NDArray[np.uint8]:
    """The layer's packed weights."""
    return np.frombuffer(layer.weights(attrs).data, np.uint8)


def requant_for(rng: np.random.Generator, acc: IntArray, form: str) -> tuple[IntArray, Requant]:
    """Bias and rescale per channel that spread these sums [..., channels] over the output's range.

    Multipliers have as many bits as `form` leaves: 15 for mul15, 31 for wide, for narrow what products have room for.
    """
    flat = acc.reshape(-1, acc.shape[-1])
    bias = -flat.min(0) + rng.integers(-100, 100, flat.shape[1])
    spread = np.maximum(flat.max(0) - flat.min(0), 1) * rng.uniform(1.0, 1.5, flat.shape[1])
    bits = {"narrow": 7, "mul15": 15, "wide": 31}[form]
    mantissa, exponent = np.frexp(255.0 / spread)
    mult = np.rint(np.ldexp(mantissa, bits)).astype(np.int64)
    return bias, Requant(np.minimum(mult, 2**bits - 1), bits - exponent.astype(np.int64), 0, 0, 255)
