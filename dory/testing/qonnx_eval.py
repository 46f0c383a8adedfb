"""QONNX files evaluated in floats by onnx's reference implementation, their own operators by their definitions.

The definitions follow https://github.com/fastmachinelearning/qonnx (docs/qonnx-custom-ops).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

Array = NDArray[Any]
DOMAIN = "qonnx.custom_op.general"


def _rounded(x: Array, mode: str) -> Array:
    whole, part = np.floor(np.abs(x)), np.abs(x) % 1
    if mode.upper() in ("ROUND", "HALF_EVEN"):
        up = (part > 0.5) | ((part == 0.5) & (whole % 2 == 1))
    elif mode.upper() == "HALF_UP":
        up = part >= 0.5
    elif mode.upper() == "HALF_DOWN":
        up = part > 0.5
    elif mode.upper() == "UP":
        up = part > 0
    elif mode.upper() in ("DOWN", "ROUND_TO_ZERO"):
        up = part > 1
    else:
        up = (part > 0) & ((x < 0) == (mode.upper() == "FLOOR"))
    y: Array = np.sign(x) * (whole + up)
    return y


def _bounds(bits: int, signed: int, narrow: int) -> tuple[int, int]:
    top = 2 ** (bits - signed) - 1
    return (narrow - top - 1 if signed else 0), (top if signed else top - narrow)


class Quant(OpRun):
    """Uniform quantisation of any width."""

    op_domain = DOMAIN

    def _run(
        self, x: Array, scale: Array, zero: Array, bits: Array, signed: int, narrow: int, rounding_mode: str
    ) -> tuple[Array]:
        lo, hi = _bounds(int(bits), signed, narrow)
        return (((np.clip(_rounded(x / scale + zero, rounding_mode), lo, hi) - zero) * scale).astype(np.float32),)


class BipolarQuant(OpRun):
    """The sign, zero being positive, times a scale."""

    op_domain = DOMAIN

    def _run(self, x: Array, scale: Array) -> tuple[Array]:
        return ((np.where(x < 0, -1, 1) * scale).astype(np.float32),)


class Trunc(OpRun):
    """Removal of low bits: version 1 has five inputs, version 2 the output's scale among six."""

    op_domain = DOMAIN

    def _run(
        self,
        x: Array,
        scale: Array,
        zero: Array,
        in_bits: Array,
        *rest: Array,
        rounding_mode: str = "FLOOR",
        signed: int = 1,
        narrow: int = 0,
    ) -> tuple[Array]:
        steps = _rounded(x / scale + zero, "ROUND")
        if len(rest) == 1:
            y = _rounded(steps / 2.0 ** float(in_bits - rest[0]), rounding_mode)
            return (((y - zero) * scale).astype(np.float32),)
        power = 2.0 ** np.rint(np.log2(rest[0] / scale))
        lo, hi = _bounds(int(rest[1]), signed, narrow)
        y = _rounded(np.clip(steps / power, lo, hi), rounding_mode)
        return (((y - zero / power) * rest[0]).astype(np.float32),)


def is_qonnx(path: Path) -> bool:
    """Whether the file has operators of QONNX."""
    return any(n.domain == DOMAIN for n in onnx.load(str(path)).graph.node)


def run_qonnx(path: Path, inputs: Mapping[str, Array], extra: tuple[str, ...] = ()) -> dict[str, Array]:
    """The network's outputs and the values named in `extra`, by ONNX name."""
    model = onnx.load(str(path))
    have = [o.name for o in model.graph.output]
    names = list(dict.fromkeys([*have, *(n for n in extra if n not in inputs)]))
    model.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in have)
    given = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    wanted = {i.name: given.get(i.name, inputs.get(i.name)) for i in model.graph.input}
    results = ReferenceEvaluator(model, new_ops=[Quant, BipolarQuant, Trunc]).run(names, wanted)
    return {name: np.asarray(value) for name, value in zip(names, results, strict=True)}
