"""onnxruntime's integer operators one by one: what its quantiser does not write, but other tools do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from dory.errors import UserError
from dory.frontend import from_hwc, load, to_hwc
from dory.reference import run
from tests.frontend.ladder import check, ops
from tests.frontend.nets import Net

MS = "com.microsoft"


class QNet(Net):
    """Writes operators on integers; a value is (name, scale, zero-point)."""

    def quantised(self, shape: tuple[int, ...], scale: float = 0.05) -> tuple[str, ...]:
        zero = 3 if self.dtype == np.int8 else 131
        name = self.name("x")
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        info = np.iinfo(self.dtype)
        q = self.rng.integers(info.min, info.max + 1, shape)
        self.feeds[name] = ((q - zero) * scale).astype(np.float32)
        s, z = self.grid(scale, zero)
        return self.node("QuantizeLinear", name, s, z), s, z

    def grid(self, scale: float, zero: int) -> tuple[str, str]:
        return self.const(scale, np.float32), self.const(zero, self.dtype)

    def weights(self, *shape: int, scale: Any = 0.02) -> tuple[str, str, str]:
        values = self.const(self.rng.integers(-127, 128, shape), np.int8)
        return values, self.const(scale, np.float32), self.const(np.zeros(np.shape(scale)), np.int8)

    def end(self, q: str, scale: str, zero: str) -> None:
        self.output(self.node("DequantizeLinear", q, scale, *([zero] if zero else [])))

    def model(self) -> onnx.ModelProto:
        model = super().model()
        model.opset_import.append(helper.make_opsetid(MS, 1))
        return model


@pytest.fixture(params=(np.int8, np.uint8), ids=("int8", "uint8"))
def net(request: pytest.FixtureRequest) -> QNet:
    return QNet(dtype=request.param)


def test_gemm(net: QNet, tmp_path: Path) -> None:
    """alpha, and a bias whose unit is alpha times both scales."""
    bias, y = net.const([1000, -2000, 500, 0, 77], np.int32), net.grid(0.2, 0 if net.dtype == np.int8 else 100)
    w = net.weights(12, 5, scale=[0.01, 0.02, 0.03, 0.01, 0.05])
    q = net.node("QGemm", *net.quantised((1, 12)), *w, bias, *y, domain=MS, alpha=0.5, transB=0)
    net.end(q, *y)
    graph, ladder = check(net, tmp_path, compared=1)
    assert ops(graph) == ["linear"]
    assert len(np.unique(ladder.reference[graph.outputs[0]])) > 3


def test_gemm_with_transposed_weights_and_no_bias(net: QNet, tmp_path: Path) -> None:
    y = net.grid(3.0, 1)
    q = net.node("QGemm", *net.quantised((1, 12)), *net.weights(5, 12), "", *y, domain=MS, transB=1)
    net.end(q, *y)
    check(net, tmp_path, compared=1)


def test_gemm_with_a_float_result(net: QNet, tmp_path: Path) -> None:
    """Without an output scale its result is real, and must be quantised after it."""
    real = net.node("QGemm", *net.quantised((1, 12)), *net.weights(12, 5), domain=MS)
    net.output(net.qdq(real, 2.0, 0))
    check(net, tmp_path, compared=1)
    net.outputs.clear()
    net.output(real)
    with pytest.raises(UserError, match="unquantised result of Gemm"):
        load(net.save(tmp_path))


@pytest.mark.parametrize("scale", (0.02, [0.02, 0.03, 0.01, 0.04, 0.02]))
def test_matmul(net: QNet, tmp_path: Path, scale: Any) -> None:
    y = net.grid(2.0, 1)
    net.end(net.node("QLinearMatMul", *net.quantised((1, 3, 8)), *net.weights(8, 5, scale=scale), *y), *y)
    graph, _ = check(net, tmp_path, compared=1)
    assert ops(graph)[-1] == "conv"


@pytest.mark.parametrize("value", (-0.7, [[[[0.5]], [[-1.25]], [[2.0]]]]))
def test_product_with_a_constant(net: QNet, tmp_path: Path, value: Any) -> None:
    """A quantised number is a table, quantised factors per channel are a layer."""
    q, s, z = net.quantised((1, 3, 4, 4))
    real = np.asarray(value, np.float32)
    factor = net.const(np.clip(np.rint(real / 0.02) + 20, -128, 127), net.dtype) if net.dtype == np.int8 else None
    if factor is None:
        factor = net.const(np.clip(np.rint(real / 0.02) + 120, 0, 255), net.dtype)
    y = net.grid(0.1, 9)
    grid = net.grid(0.02, 20 if net.dtype == np.int8 else 120)
    net.end(net.node("QLinearMul", q, s, z, factor, *grid, *y, domain=MS), *y)
    check(net, tmp_path, compared=1)


def test_product_of_activations_is_refused(net: QNet, tmp_path: Path) -> None:
    a, b, y = net.quantised((1, 3, 4, 4)), net.quantised((1, 3, 4, 4)), net.grid(0.1, 9)
    net.end(net.node("QLinearMul", *a, *b, *y, domain=MS, name="scaling"), *y)
    with pytest.raises(UserError, match=r"node 'scaling' \(QLinearMul\): Mul of two different activations"):
        load(net.save(tmp_path))


def test_zero_points_left_out(net: QNet, tmp_path: Path) -> None:
    """An absent zero-point is zero in the type of its tensor."""
    s = net.const(0.1, np.float32)
    q, sx, z = net.quantised((1, 3, 4, 4))
    y = net.node("QLinearAdd", q, sx, z, q, sx, z, s, domain=MS)
    net.end(y, s, net.const(0, net.dtype))
    check(net, tmp_path, compared=1)


@pytest.mark.parametrize("op", ("QLinearAveragePool", "QLinearGlobalAveragePool"))
@pytest.mark.parametrize("last", (0, 1))
def test_averages_with_channels_last(net: QNet, tmp_path: Path, op: str, last: int) -> None:
    x, y = net.quantised((1, 6, 4, 3) if last else (1, 3, 6, 4)), net.grid(0.04, 5)
    window = {"kernel_shape": [2, 3], "strides": [2, 1]} if op == "QLinearAveragePool" else {}
    net.end(net.node(op, *x, *y, domain=MS, channels_last=last, **window), *y)
    graph, ladder = check(net, tmp_path)
    assert ops(graph).count("avgpool") == 1
    assert any(d.op == "avgpool" for d in ladder.layers) or not last


def test_mean_over_axes(net: QNet, tmp_path: Path) -> None:
    """onnxruntime has the operator's definition, but no kernel: the mean is computed here."""
    x, y = net.quantised((1, 3, 6, 4)), net.grid(0.03, 5 if net.dtype == np.int8 else 133)
    net.end(net.node("QLinearReduceMean", *x, *y, domain=MS, axes=[2, 3], keepdims=0), *y)
    graph = load(net.save(tmp_path))
    (feed,) = net.feeds.values()
    q = run(graph, {graph.inputs[0]: to_hwc(graph, graph.inputs[0], feed)})[graph.outputs[0]]
    assert np.abs(from_hwc(graph, graph.outputs[0], q) - feed.mean((2, 3))).max() <= 0.0151


@pytest.mark.parametrize("opset", (11, 13))
def test_softmax_of_another_opset(net: QNet, tmp_path: Path, opset: int) -> None:
    """Its attribute says which version of Softmax is meant: before 13, over all axes from the given one."""
    y = net.grid(1 / 256, -128 if net.dtype == np.int8 else 0)
    q = net.node("QLinearSoftmax", *net.quantised((1, 3, 4)), *y, domain=MS, axis=1, opset=opset)
    net.end(q, *y)
    check(net, tmp_path, compared=1)


def test_parameters_from_constant_nodes(net: QNet, tmp_path: Path) -> None:
    """Scales may be Constant nodes, or computed from constants."""
    q, s, z = net.quantised((1, 3, 6, 6))
    two = net.node("Constant", value=onnx.numpy_helper.from_array(np.float32(2.0)))
    scale = net.node("Mul", two, net.const(0.01, np.float32))
    w, _, zero = net.weights(4, 3, 3, 3)
    bias = net.const([100, -100, 3000, 0], np.int32)
    y = net.grid(0.3, 1)
    net.end(net.node("QLinearConv", q, s, z, w, scale, zero, *y, bias, kernel_shape=[3, 3]), *y)
    check(net, tmp_path, compared=1)


@pytest.mark.parametrize(
    ("position", "message"),
    [(0, "missing"), (1, "missing"), (3, "missing"), (4, "missing"), (6, "missing")],
)
def test_convolutions_with_an_input_left_out(net: QNet, tmp_path: Path, position: int, message: str) -> None:
    inputs = [*net.quantised((1, 3, 6, 6)), *net.weights(4, 3, 3, 3), *net.grid(0.3, 1)]
    inputs[position] = ""
    net.end(net.node("QLinearConv", *inputs, name="broken"), *net.grid(0.3, 1))
    with pytest.raises(UserError) as caught:
        load(net.save(tmp_path))
    assert "'broken' (QLinearConv)" in str(caught.value) and message in str(caught.value)


def test_scales_computed_at_run_time(net: QNet, tmp_path: Path) -> None:
    inputs = [*net.quantised((1, 3, 6, 6)), *net.weights(4, 3, 3, 3), *net.grid(0.3, 1)]
    inputs[1] = net.node("ReduceMax", next(iter(net.feeds)), keepdims=0)
    bias = net.const([0, 0, 0, 0], np.int32)
    net.end(net.node("QLinearConv", *inputs, bias, name="dynamic"), *net.grid(0.3, 1))
    with pytest.raises(UserError) as caught:
        load(net.save(tmp_path))
    assert "'dynamic' (QLinearConv)" in str(caught.value) and "not a constant" in str(caught.value)
