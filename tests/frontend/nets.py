"""A small builder of QDQ networks for the importer's tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ELEM = {
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.int8): TensorProto.INT8,
    np.dtype(np.uint8): TensorProto.UINT8,
}


class Net:
    """Values are names. `q` parameters are (scale, zero-point); the activation type is `dtype`."""

    def __init__(self, opset: int = 17, dtype: type = np.int8, seed: int = 0) -> None:
        self.opset, self.dtype = opset, np.dtype(dtype)
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.count = 0
        self.feeds: dict[str, np.ndarray] = {}

    def name(self, stem: str) -> str:
        self.count += 1
        return f"{stem}_{self.count}"

    def const(self, array: Any, dtype: Any = None, name: str | None = None) -> str:
        name = name or self.name("c")
        self.constants.append(numpy_helper.from_array(np.asarray(array, dtype), name))
        return name

    def node(
        self, op: str, *inputs: str, outputs: int = 1, name: str | None = None, domain: str = "", **attrs: Any
    ) -> str:
        outs = [self.name(op.lower()) for _ in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), outs, name=name or outs[0], domain=domain, **attrs))
        return outs[0]

    def q(self, x: str, scale: float, zero: int | None = 0, dtype: Any = None, **attrs: Any) -> str:
        zp = [] if zero is None else [self.const(zero, dtype or self.dtype)]
        return self.node("QuantizeLinear", x, self.const(scale, np.float32), *zp, **attrs)

    def dq(self, x: str, scale: Any, zero: Any = 0, dtype: Any = None, **attrs: Any) -> str:
        zp = [] if zero is None else [self.const(zero, dtype or self.dtype)]
        return self.node("DequantizeLinear", x, self.const(scale, np.float32), *zp, **attrs)

    def qdq(self, x: str, scale: float, zero: int | None = 0) -> str:
        return self.dq(self.q(x, scale, zero), scale, zero)

    def input(self, shape: tuple[int | str, ...], scale: float = 0.05, zero: int = 3, name: str | None = None) -> str:
        """A float input that covers the whole 8-bit range, quantised."""
        name = name or self.name("x")
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        fixed = [s if isinstance(s, int) else 1 for s in shape]
        info = np.iinfo(self.dtype)
        q = self.rng.integers(info.min, info.max + 1, fixed)
        self.feeds[name] = ((q - zero) * scale).astype(np.float32)
        return self.qdq(name, scale, zero)

    def weight(self, shape: tuple[int, ...], scale: Any = 0.02, axis: int = 0) -> str:
        w = self.const(self.rng.integers(-127, 128, shape), np.int8)
        scale = np.asarray(scale, np.float32)
        zero = np.zeros(scale.shape, np.int8)
        return self.dq(w, scale, zero, np.int8, **({"axis": axis} if scale.ndim else {}))

    def conv(
        self,
        x: str,
        cin: int,
        cout: int,
        kernel: tuple[int, ...] = (3, 3),
        group: int = 1,
        bias: bool = True,
        sx: float = 0.05,
        **attrs: Any,
    ) -> str:
        """An unquantised convolution of an input of scale sx."""
        per_axis = self.opset >= 13
        sw = self.rng.uniform(0.01, 0.03, cout if per_axis else ()).astype(np.float32)
        w = self.weight((cout, cin // group, *kernel), sw)
        extra = []
        if bias:
            b = self.const(self.rng.integers(-3000, 3000, cout), np.int32)
            extra = [self.dq(b, np.float32(sx) * sw, np.zeros(sw.shape), np.int32, **({"axis": 0} if per_axis else {}))]
        return self.node("Conv", x, w, *extra, group=group, kernel_shape=list(kernel), **attrs)

    def output(self, x: str, dtype: Any = np.float32) -> None:
        self.outputs.append(helper.make_tensor_value_info(x, ELEM[np.dtype(dtype)], None))

    def model(self) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "net", self.inputs, self.outputs, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)

    def save(self, folder: Path, name: str = "net.onnx") -> Path:
        path = folder / name
        onnx.save(self.model(), str(path))
        return path
