"""What an operator's importer is, and helpers to read its inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

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


def channel_axis(array: Array, shape: tuple[int, ...], preferred: int) -> int | None:
    """The only axis of `shape` along which a constant varies when it is broadcast; None when there is no such axis.

    `preferred` is the answer for a constant that does not vary.
    """
    aligned = (1,) * (len(shape) - array.ndim) + tuple(array.shape)
    if len(aligned) != len(shape):
        return None
    axes = [i for i, s in enumerate(aligned) if s != 1]
    if not axes:
        return preferred
    return axes[0] if len(axes) == 1 and aligned[axes[0]] == shape[axes[0]] else None
