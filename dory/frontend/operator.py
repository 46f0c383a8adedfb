"""What an operator's importer is, and helpers to read its inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dory.frontend.builder import Builder
from dory.frontend.onnx_file import NodeView
from dory.frontend.values import Array, Const, QConst, Value

Inputs: TypeAlias = Sequence[Value | None]


@dataclass(frozen=True)
class Operator:
    """ONNX operators that one function imports. `accepted` and `layer` are their line in the README's table."""

    names: tuple[str, ...]
    accepted: str
    layer: str
    run: Callable[[Builder, NodeView, Inputs], Value]


def get(inputs: Inputs, i: int) -> Value | None:
    """Input i, None when it is absent."""
    return inputs[i] if i < len(inputs) else None


def need(node: NodeView, inputs: Inputs, i: int) -> Value:
    """Input i, which the operator cannot do without."""
    value = get(inputs, i)
    if value is None:
        raise node.error(f"input {i} is missing", "export the network again")
    return value


def constant(value: Value | None) -> Array | None:
    """The real values of a constant (dequantised where it is quantised), None for anything else."""
    if isinstance(value, Const):
        return value.array
    if isinstance(value, QConst):
        return (value.ints * value.scale).astype(np.float32)
    return None


def constant_ints(node: NodeView, value: Value | None, what: str) -> list[int] | None:
    """A constant list of integers (axes, a shape); None when the input is absent, an error when it is not constant."""
    if value is None:
        return None
    array = constant(value)
    if array is None:
        raise node.error(f"its {what} is computed at run time", f"the {what} must be constant: export with fixed sizes")
    return [int(v) for v in np.asarray(array).reshape(-1)]


def ints_attr_or_input(node: NodeView, inputs: Inputs, name: str, i: int) -> list[int] | None:
    """A list that older opsets hold in an attribute and newer ones in input i."""
    return node.integers(name) if name in node.attrs else constant_ints(node, get(inputs, i), name)


def scalar_attr_or_input(node: NodeView, inputs: Inputs, name: str, i: int) -> float | None:
    """A number that older opsets hold in an attribute and newer ones in input i; None when absent."""
    if name in node.attrs:
        return node.real(name, 0.0)
    value = get(inputs, i)
    if value is None:
        return None
    array = constant(value)
    if array is None or array.size != 1:
        raise node.error(f"its {name} is not a constant number", f"{name} must be a constant scalar")
    return float(array.reshape(-1)[0])


def axis_of(node: NodeView, axis: int, rank: int) -> int:
    """A non-negative axis; an error when it is outside the rank."""
    if not -rank <= axis < rank:
        raise node.error(f"axis {axis} of a tensor of rank {rank}", "export the network again")
    return axis % rank


def per_channel(array: Array, channels: int, rank: int) -> NDArray[np.float64] | None:
    """A constant that multiplies or adds to channels of an NCHW value, as a vector [channels]; None when it has another shape."""
    a = np.asarray(array, np.float64)
    if a.size == 1:
        return np.full(channels, a.reshape(-1)[0])
    shape = (1,) * (rank - a.ndim) + a.shape
    if len(shape) == rank and shape[1] == channels and a.size == channels:
        return a.reshape(channels)
    return None
