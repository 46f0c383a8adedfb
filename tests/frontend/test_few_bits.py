"""QDQ networks with declared types of 4 bits (opset 21), against onnxruntime and against plain loops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from dory import frontend, reference
from dory.frontend import to_hwc
from dory.layers.subbyte import subbyte_tensors, weight_bits
from dory.testing.ladder import run_onnxruntime
from dory.tiler.planner import lower
from tests.frontend.nets import ELEM, Net

TYPES: dict[str, Any] = {"int4": ml_dtypes.int4, "uint4": ml_dtypes.uint4}
ELEM.update({np.dtype(ml_dtypes.int4): TensorProto.INT4, np.dtype(ml_dtypes.uint4): TensorProto.UINT4})


class FewBits(Net):
    """Activations of `dtype`, int4 weights."""

    def few_input(self, shape: tuple[int, ...], scale: float, zero: int) -> str:
        name = self.name("x")
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        self.feeds[name] = self.rng.uniform(-20, 20, shape).astype(np.float32) * np.float32(scale)
        return self.qdq(name, scale, zero)

    def weight(self, shape: tuple[int, ...], scale: Any = 0.02, axis: int = 0) -> str:
        w = self.const(self.rng.integers(-8, 8, shape), ml_dtypes.int4)
        scale = np.asarray(scale, np.float32)
        zero = np.zeros(scale.shape, ml_dtypes.int4)
        return self.dq(w, scale, zero, ml_dtypes.int4, **({"axis": axis} if scale.ndim else {}))

    def model(self) -> onnx.ModelProto:
        model = super().model()
        model.ir_version = 10
        return model


def network(kind: str, zero: int) -> FewBits:
    net = FewBits(21, TYPES[kind], seed=1)
    x = net.few_input((1, 8, 6, 5), 0.1, zero)
    y = net.conv(x, 8, 12, sx=0.1, pads=[1, 1, 1, 1], bias=False)
    y = net.qdq(net.node("Relu", y), 0.08, zero)
    y = net.conv(y, 12, 6, (1, 1), sx=0.08, bias=False)
    net.output(net.qdq(y, 0.04, zero))
    return net


@pytest.mark.parametrize(("kind", "zero"), [("uint4", 0), ("uint4", 7), ("int4", 0), ("int4", -3)])
def test_declared_types_are_exact_and_stored_in_their_bits(kind: str, zero: int, tmp_path: Path) -> None:
    net = network(kind, zero)
    path = net.save(tmp_path)
    graph = frontend.load(path, rescale_bits=31)
    values = reference.run(graph, {t: to_hwc(graph, t, net.feeds[graph.io_layouts[t].onnx_name]) for t in graph.inputs})
    for name in graph.tensors:
        if name not in graph.inputs:
            assert values[name].max() - values[name].min() <= 15
    (output,) = graph.outputs
    got = frontend.from_hwc(graph, output, values[output])
    (want,) = run_onnxruntime(path, net.feeds).values()
    mine, theirs = (np.rint(v / np.float32(0.04)).astype(int) for v in (got, want))
    assert len(np.unique(theirs)) > 3
    assert np.abs(mine - theirs).max() <= 1 and (mine != theirs).mean() < 0.02
    # A signed type's twin begins at 120: it is stored in bytes.
    inner = [
        t.qtype.bits for n, t in subbyte_tensors(graph).tensors.items() if n not in (*graph.inputs, *graph.outputs)
    ]
    assert inner and set(inner) == {4 if kind == "uint4" else 8}
    lowered = lower(graph)
    assert [p.bits for p in lowered.packed if p and p.unit] == [4, 4]
    assert all(weight_bits(p) == 4 for p in lower(graph, False).packed if p and p.unit)
