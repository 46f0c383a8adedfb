"""Roundings of real numbers to integers that a file may ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]


def _half_up(x: Array) -> Array:
    return np.sign(x) * np.floor(np.abs(x) + 0.5)


def _half_down(x: Array) -> Array:
    return np.sign(x) * np.ceil(np.abs(x) - 0.5)


def _away(x: Array) -> Array:
    return np.sign(x) * np.ceil(np.abs(x))


ROUNDINGS: Mapping[str, Callable[[Array], Array]] = MappingProxyType(
    {
        "ROUND": np.rint,
        "HALF_EVEN": np.rint,
        "HALF_UP": _half_up,
        "HALF_DOWN": _half_down,
        "FLOOR": np.floor,
        "CEIL": np.ceil,
        "UP": _away,
        "DOWN": np.trunc,
        "ROUND_TO_ZERO": np.trunc,
    }
)
"""By QONNX's names; HALF_UP and HALF_DOWN count from zero."""

NEAREST = ("ROUND", "HALF_EVEN", "HALF_UP", "HALF_DOWN")
"""Roundings that differ in ties only. Ties of an activation fall as the layer's own arithmetic has them."""
