"""Each accepted ONNX pattern: the layers it becomes, and every layer within 1 LSB of onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.frontend.ladder import check, ops, output
from tests.frontend.nets import Net

DTYPES = (np.int8, np.uint8)


def zero(dtype: type) -> int:
    return 5 if dtype == np.int8 else 133


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bits", (15, 31))
@pytest.mark.parametrize(
    ("op", "cout", "args"),
    [
        ("conv", 5, {"kernel": (3, 3), "pads": [1, 1, 1, 1]}),
        ("conv", 5, {"kernel": (3, 2), "pads": [0, 2, 1, 0], "strides": [2, 1]}),
        ("conv", 8, {"kernel": (1, 1)}),
        ("conv", 4, {"kernel": (3, 3), "dilations": [2, 3], "pads": [2, 3, 2, 3]}),
        ("conv", 4, {"kernel": (3, 3), "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
        ("conv", 4, {"kernel": (4, 3), "auto_pad": "SAME_LOWER", "strides": [3, 2]}),
        ("conv", 4, {"kernel": (4, 3), "auto_pad": "VALID"}),
        ("conv", 4, {"kernel": (3, 3), "bias": False}),
        ("depthwise", 6, {"kernel": (3, 3), "group": 6, "pads": [1, 1, 1, 1]}),
        ("grouped_conv", 12, {"kernel": (3, 3), "group": 6, "pads": [1, 1, 1, 1]}),
        ("grouped_conv", 4, {"kernel": (3, 3), "group": 2, "strides": [2, 2]}),
    ],
)
def test_conv(tmp_path: Path, op: str, cout: int, args: dict, bits: int, dtype: type) -> None:
    net = Net(dtype=dtype)
    x = net.input((1, 6, 9, 11), zero=zero(dtype))
    net.output(net.qdq(net.conv(x, 6, cout, **args), 0.2, zero(dtype) - 20))
    graph, _ = check(net, tmp_path, bits=bits, compared=1)
    assert ops(graph) == [op]


@pytest.mark.parametrize("dtype", DTYPES)
def test_conv_1d(tmp_path: Path, dtype: type) -> None:
    net = Net(dtype=dtype)
    x = net.input((1, 6, 30), zero=zero(dtype))
    net.output(net.qdq(net.conv(x, 6, 8, (5,), pads=[1, 2], dilations=[2], strides=[2]), 0.2, zero(dtype)))
    graph, _ = check(net, tmp_path, compared=1)
    assert graph.tensors[graph.outputs[0]].shape == (1, 13, 8)


@pytest.mark.parametrize("how", ("relu", "relu6-attributes", "relu6-inputs", "clip-min", "relu+clip"))
def test_activation_folds_into_the_range(tmp_path: Path, how: str) -> None:
    net = Net(opset=10 if how == "relu6-attributes" else 17)
    x = net.input((1, 3, 8, 8))
    y = net.conv(x, 3, 4)
    if how == "relu6-attributes":
        y = net.node("Clip", y, min=0.0, max=6.0)
    elif how == "relu6-inputs":
        y = net.node("Clip", y, net.const(0.0, np.float32), net.const(6.0, np.float32))
    elif how == "clip-min":
        y = net.node("Clip", y, net.const(-1.03, np.float32))
    else:
        y = net.node("Relu", y)
        if how == "relu+clip":
            y = net.node("Clip", y, "", net.const(4.01, np.float32))
    net.output(net.qdq(y, 0.1, -30))
    graph, _ = check(net, tmp_path, compared=1)
    (node,) = graph.nodes
    requant = node.attrs.requant
    lo, hi = {
        "relu": (98, 255),
        "clip-min": (88, 255),
        "relu+clip": (98, 138),
    }.get(how, (98, 158))
    assert (requant.lo, requant.hi) == (lo, hi)


def test_relu_with_its_own_quantisation_joins_the_convolution(tmp_path: Path) -> None:
    net = Net()
    y = net.qdq(net.conv(net.input((1, 3, 8, 8)), 3, 4), 0.1, -30)
    net.output(net.qdq(net.node("Relu", y), 0.1, -30))
    graph, _ = check(net, tmp_path, compared=1)
    assert ops(graph) == ["conv"]
    assert graph.nodes[0].attrs.requant.lo == 98


def test_relu_is_a_table_when_something_else_reads_its_input(tmp_path: Path) -> None:
    net = Net()
    y = net.qdq(net.conv(net.input((1, 3, 8, 8)), 3, 4), 0.1, -30)
    r = net.qdq(net.node("Relu", y), 0.05, -128)
    net.output(net.qdq(net.node("Add", y, r), 0.15, 0))
    graph, _ = check(net, tmp_path, compared=3)
    assert ops(graph) == ["conv", "lut", "add"]


def test_unquantised_relu_before_a_convolution(tmp_path: Path) -> None:
    net = Net()
    y = net.qdq(net.conv(net.input((1, 3, 8, 8)), 3, 4), 0.05, -30)
    net.output(net.qdq(net.conv(net.node("Relu", y), 4, 4), 0.2, 1))
    graph, _ = check(net, tmp_path, compared=1)
    assert ops(graph) == ["conv", "conv"]


@pytest.mark.parametrize("form", ("float bias", "uint8 weights", "float weights", "transposed", "scalar scale", "[1]"))
def test_weight_forms(tmp_path: Path, form: str) -> None:
    net = Net()
    x = net.input((1, 3, 8, 8))
    extra = []
    if form == "float bias":
        w, extra = net.weight((4, 3, 3, 3), 0.02), [net.const(net.rng.normal(0, 1, 4), np.float32)]
    elif form == "uint8 weights":
        w = net.dq(net.const(net.rng.integers(0, 256, (4, 3, 3, 3)), np.uint8), 0.02, 128, np.uint8)
    elif form == "float weights":
        real = net.const(net.rng.normal(0, 0.8, (4, 3, 3, 3)), np.float32)
        scale, zp = np.array([0.01, 0.02, 0.03, 0.015], np.float32), np.zeros(4)
        q = net.node("QuantizeLinear", real, net.const(scale), net.const(zp, np.int8), axis=0)
        w = net.dq(q, scale, zp, np.int8, axis=0)
    elif form == "transposed":
        w = net.node("Transpose", net.weight((3, 3, 3, 4), np.full(4, 0.02) * [1, 2, 3, 1], axis=3), perm=[3, 2, 0, 1])
    elif form == "scalar scale":
        w = net.dq(net.const(net.rng.integers(-128, 128, (4, 3, 3, 3)), np.int8), 0.02, None)
    else:
        w = net.weight((4, 3, 3, 3), [0.02])
    net.output(net.qdq(net.node("Conv", x, w, *extra), 0.2, 0))
    graph, _ = check(net, tmp_path, compared=1)
    assert ops(graph) == ["conv"]


def test_bias_of_another_scale_is_requantised(tmp_path: Path) -> None:
    net = Net()
    x = net.input((1, 3, 8, 8))
    bias = net.dq(net.const(net.rng.integers(-100, 100, 4), np.int32), 0.037, 0, np.int32)
    net.output(net.qdq(net.node("Conv", x, net.weight((4, 3, 3, 3)), bias), 0.2, 0))
    check(net, tmp_path, compared=1)


@pytest.mark.parametrize("op", ("Conv", "Gemm", "MatMul"))
def test_batch_normalisation_after(tmp_path: Path, op: str) -> None:
    net = Net()
    if op == "Conv":
        y = net.conv(net.input((1, 3, 8, 8)), 3, 4)
    else:
        x = net.input((1, 20))
        y = net.node("Gemm", x, net.weight((20, 4))) if op == "Gemm" else net.node("MatMul", x, net.weight((20, 4)))
    params = [[0.8, -1.2, 0.0, 2.0], [0.5, 1.0, 0.3, -2.0], [0.1, -0.3, 3.0, 0.0], [0.5, 1.5, 1.0, 0.25]]
    y = net.node("BatchNormalization", y, *(net.const(p, np.float32) for p in params), epsilon=1e-3)
    net.output(net.qdq(net.node("Relu", y), 0.1, -60))
    graph, _ = check(net, tmp_path, compared=1)
    assert ops(graph) == ["conv" if op == "Conv" else "linear"]
    assert any("1 output channels are constant" in n for n in graph.notes)


@pytest.mark.parametrize("op", ("BatchNormalization", "Mul", "Div", "Sub", "rsub"))
def test_channel_factors_alone_are_a_depthwise_layer(tmp_path: Path, op: str) -> None:
    net = Net()
    x = net.input((1, 4, 8, 8))
    c = net.const(np.array([0.5, -1.5, 2.0, 0.03]).reshape(4, 1, 1), np.float32)
    if op == "BatchNormalization":
        params = [[0.8, -1.2, 0.0, 2.0], [0.5, 1.0, 0.3, -2.0], [0.1, -0.3, 3.0, 0.0], [0.5, 1.5, 1.0, 0.25]]
        y = net.node(op, x, *(net.const(p, np.float32) for p in params))
    else:
        y = net.node("Sub", c, x) if op == "rsub" else net.node(op, x, c)
    net.output(net.qdq(y, 0.09, 7))
    graph, _ = check(net, tmp_path, compared=1)
    assert ops(graph) == ["depthwise"]


def test_factors_and_offsets_after_a_convolution(tmp_path: Path) -> None:
    net = Net()
    y = net.conv(net.input((1, 3, 8, 8)), 3, 4)
    y = net.node("Mul", y, net.const(np.array([1, 2, -0.5, 1]).reshape(1, 4, 1, 1), np.float32))
    y = net.node("Add", net.const(np.array([1, 2, 3, 4]).reshape(4, 1, 1), np.float32), y)
    y = net.node("Div", y, net.const(3.0, np.float32))
    net.output(net.qdq(y, 0.1, 0))
    graph, _ = check(net, tmp_path, compared=1)
    assert ops(graph) == ["conv"]


@pytest.mark.parametrize("trans", (0, 1))
@pytest.mark.parametrize(("alpha", "beta"), ((1.0, 1.0), (0.5, 2.0), (-1.0, 1.0), (0.7, 0.7)))
def test_gemm(tmp_path: Path, trans: int, alpha: float, beta: float) -> None:
    net = Net()
    w = net.weight((7, 20) if trans else (20, 7), np.linspace(0.01, 0.03, 7), axis=0 if trans else 1)
    bias = net.const(net.rng.normal(0, 2, 7), np.float32)
    y = net.node("Gemm", net.input((1, 20)), w, bias, transB=trans, alpha=alpha, beta=beta)
    net.output(net.qdq(y, 0.15, 0))
    graph, _ = check(net, tmp_path, compared=1)
    assert ops(graph) == ["linear"]


@pytest.mark.parametrize("shape", ((1, 20), (1, 6, 20), (1, 2, 3, 20), (5, 20)))
def test_matmul_with_bias(tmp_path: Path, shape: tuple[int, ...]) -> None:
    net = Net()
    x = net.input((1, int(np.prod(shape))))
    x = net.node("Reshape", x, net.const(shape, np.int64))
    y = net.node("MatMul", x, net.weight((20, 7), np.linspace(0.01, 0.03, 7), axis=1))
    y = net.node("Add", y, net.const(net.rng.normal(0, 2, 7), np.float32))
    net.output(net.qdq(y, 0.15, 0))
    graph, ladder = check(net, tmp_path, compared=1)
    assert ops(graph)[-1] == ("linear" if np.prod(shape[:-1]) == 1 else "conv")
    ours, theirs = output(graph, ladder)
    assert ours.shape == theirs.shape == (*shape[:-1], 7)


@pytest.mark.parametrize("same", (True, False))
@pytest.mark.parametrize("relu", (True, False))
def test_add(tmp_path: Path, same: bool, relu: bool) -> None:
    net = Net()
    x = net.input((1, 4, 8, 8))
    a = net.qdq(net.conv(x, 4, 4, pads=[1, 1, 1, 1]), 0.11, 10)
    y = net.node("Add", a, a if same else x)
    net.output(net.qdq(net.node("Relu", y) if relu else y, 0.13, -20))
    graph, _ = check(net, tmp_path, compared=2)
    assert ops(graph) == ["conv", "lut" if same else "add"]


def test_add_of_two_equally_flattened_maps_moves_nothing(tmp_path: Path) -> None:
    net = Net()
    a, b = (net.node("Flatten", net.input((1, 4, 3, 5))) for _ in range(2))
    net.output(net.qdq(net.node("Add", a, b), 0.1, 0))
    graph, ladder = check(net, tmp_path, compared=1)
    assert ops(graph) == ["add"]
    ours, theirs = output(graph, ladder)
    assert np.abs(ours - theirs).max() <= 0.1001


def test_add_of_differently_ordered_maps_needs_a_permutation(tmp_path: Path) -> None:
    net = Net()
    a = net.node("Flatten", net.input((1, 4, 3, 5)))
    b = net.input((1, 60))
    net.output(net.qdq(net.node("Add", a, b), 0.1, 0))
    graph, ladder = check(net, tmp_path, compared=1)
    assert ops(graph) == ["permute", "add"]
    ours, theirs = output(graph, ladder)
    assert np.abs(ours - theirs).max() <= 0.1001


@pytest.mark.parametrize(
    "op",
    ("Sigmoid", "HardSigmoid", "HardSwish", "LeakyRelu", "Tanh", "Elu", "Selu", "Softplus", "Exp", "Abs", "Neg", "Erf"),
)
def test_unary_functions_are_tables(tmp_path: Path, op: str) -> None:
    net = Net()
    attrs = {"alpha": 0.1} if op == "LeakyRelu" else {}
    net.output(net.qdq(net.node(op, net.input((1, 4, 16, 16)), **attrs), 0.03, -50))
    graph, ladder = check(net, tmp_path, compared=1)
    assert ops(graph) == ["lut"]
    assert ladder.differing == 0


def test_island_of_one_tensor_is_one_table(tmp_path: Path) -> None:
    """x * HardSigmoid(x) + 0.5, then Relu: MobileNetV3's activation as older exporters write it."""
    net = Net()
    x = net.input((1, 4, 16, 16))
    y = net.node("Mul", x, net.node("HardSigmoid", x))
    y = net.node("Add", y, net.const(0.5, np.float32))
    y = net.node("Pow", net.node("Relu", y), net.const(1.5, np.float32))
    net.output(net.qdq(y, 0.05, -128))
    graph, ladder = check(net, tmp_path, compared=1)
    assert ops(graph) == ["lut"]
    assert ladder.differing == 0


def test_number_times_activation_only_changes_the_scale(tmp_path: Path) -> None:
    net = Net()
    x = net.node("Mul", net.input((1, 3, 8, 8)), net.const(0.25, np.float32))
    net.output(net.qdq(net.conv(x, 3, 4, sx=0.0125), 0.05, 0))
    graph, _ = check(net, tmp_path, compared=1)
    assert ops(graph) == ["conv"]


@pytest.mark.parametrize(
    ("op", "args"),
    [
        ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ("MaxPool", {"kernel_shape": [3, 2], "strides": [2, 3], "ceil_mode": 1}),
        ("MaxPool", {"kernel_shape": [2, 2], "strides": [3, 3], "ceil_mode": 1, "pads": [1, 0, 1, 0]}),
        ("MaxPool", {"kernel_shape": [2, 3], "dilations": [3, 2]}),
        ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
        ("GlobalMaxPool", {}),
        ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 0, 1, 2], "count_include_pad": 1}),
        ("AveragePool", {"kernel_shape": [3, 2], "strides": [2, 3], "ceil_mode": 1}),
        ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"}),
        ("GlobalAveragePool", {}),
    ],
)
@pytest.mark.parametrize("requantised", (True, False))
def test_pools(tmp_path: Path, op: str, args: dict, requantised: bool) -> None:
    net = Net()
    y = net.node(op, net.input((1, 5, 10, 13)), **args)
    net.output(net.qdq(y, *((0.04, -9) if requantised else (0.05, 3))))
    graph, ladder = check(net, tmp_path)
    layer = "maxpool" if "Max" in op else "avgpool"
    assert ops(graph) == ([layer, "lut"] if requantised and layer == "maxpool" else [layer])
    ours, theirs = output(graph, ladder)
    assert np.abs(ours - theirs).max() <= 0.0501
    if layer == "maxpool":
        assert ladder.differing == 0


@pytest.mark.parametrize("op", ("MaxPool", "AveragePool"))
def test_pools_1d(tmp_path: Path, op: str) -> None:
    net = Net()
    y = net.node(op, net.input((1, 5, 20)), kernel_shape=[4], strides=[3], pads=[1, 1])
    net.output(net.qdq(y, 0.05, 3))
    graph, _ = check(net, tmp_path, compared=1)
    assert graph.tensors[graph.outputs[0]].shape == (1, 7, 5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_maxpool_of_integers(tmp_path: Path, dtype: type) -> None:
    """MaxPool between QuantizeLinear and DequantizeLinear (opset 12)."""
    net = Net(dtype=dtype)
    net.input((1, 5, 10, 10), zero=zero(dtype))
    net.nodes.pop()  # the DequantizeLinear
    y = net.node("MaxPool", net.nodes[-1].output[0], kernel_shape=[2, 2], strides=[2, 2])
    net.output(net.dq(y, 0.05, zero(dtype)))
    graph, _ = check_output(net, tmp_path)
    assert ops(graph) == ["maxpool"]


def check_output(net: Net, folder: Path) -> tuple:
    from dory.testing.ladder import climb

    ladder = climb(net.save(folder), net.feeds, rescale_bits=31)
    ours, theirs = output(ladder.graph, ladder)
    assert np.array_equal(ours, theirs)
    return ladder.graph, ladder


@pytest.mark.parametrize(
    ("shape", "axes", "keep", "opset"),
    [
        ((1, 5, 6, 7), [2, 3], 1, 13),
        ((1, 5, 6, 7), [-1, -2], 0, 17),
        ((1, 5, 6, 7), [2, 3], 0, 18),
        ((1, 5, 6, 7), [3], 1, 13),
        ((1, 5, 6, 7), [2], 0, 13),
        ((1, 5, 9), [2], 0, 13),
        ((1, 6, 7, 5), [1, 2], 0, 13),
    ],
)
def test_reduce_mean(tmp_path: Path, shape: tuple[int, ...], axes: list[int], keep: int, opset: int) -> None:
    net = Net(opset=opset)
    x = net.input(shape)
    if opset >= 18:
        y = net.node("ReduceMean", x, net.const(axes, np.int64), keepdims=keep)
    else:
        y = net.node("ReduceMean", x, axes=axes, keepdims=keep)
    net.output(net.qdq(y, 0.03, 3))
    graph, ladder = check(net, tmp_path, compared=1)
    assert ops(graph)[-1] == "avgpool"
    ours, theirs = output(graph, ladder)
    assert ours.shape == theirs.shape


@pytest.mark.parametrize("opset", (10, 13, 18))
@pytest.mark.parametrize("value", (0.0, -1.0, None))
def test_pad_before_a_convolution_is_absorbed_when_it_is_zero(tmp_path: Path, value: float | None, opset: int) -> None:
    net = Net(opset=opset)
    x = net.input((1, 3, 8, 8))
    pads = [0, 0, 1, 2, 0, 0, 3, 0]
    if opset < 11:
        x = net.node("Pad", x, pads=pads, **({} if value is None else {"value": value}))
    else:
        extra = [] if value is None else [net.const(value, np.float32)]
        x = net.node("Pad", x, net.const(pads, np.int64), *extra)
    net.output(net.qdq(net.conv(x, 3, 4, pads=[0, 0, 0, 1]), 0.2, 0))
    graph, _ = check(net, tmp_path, compared=1)
    if value in (0.0, None):
        assert ops(graph) == ["conv"]
        assert graph.nodes[0].attrs.window.pads == (1, 2, 3, 1)
    else:
        assert ops(graph) == ["pad", "conv"]


def test_quantised_pad_is_absorbed_too(tmp_path: Path) -> None:
    net = Net()
    x = net.node("Pad", net.input((1, 3, 8, 8)), net.const([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
    y = net.conv(net.qdq(x, 0.05, 3), 3, 4)
    net.output(net.qdq(y, 0.2, 0))
    graph, _ = check(net, tmp_path, compared=1)
    assert ops(graph) == ["conv"]


@pytest.mark.parametrize("value", (0.0, 1.0, 0.333))
def test_pad_at_the_output(tmp_path: Path, value: float) -> None:
    net = Net()
    pads = net.const([0, 0, 1, 0, 0, 0, 2, 3], np.int64)
    y = net.node("Pad", net.input((1, 3, 5, 6)), pads, net.const(value, np.float32))
    net.output(net.qdq(y, 0.05, 3))
    graph, _ = check_output(net, tmp_path)
    assert ops(graph) == ["pad"]


@pytest.mark.parametrize("count", (0, 1))
def test_pad_before_an_average(tmp_path: Path, count: int) -> None:
    net = Net()
    x = net.node("Pad", net.input((1, 3, 8, 8)), net.const([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
    y = net.node("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], count_include_pad=count)
    net.output(net.qdq(y, 0.05, 3))
    graph, _ = check(net, tmp_path, compared=1)
    assert ops(graph) == ["avgpool"]


@pytest.mark.parametrize("axis", (1, 2, 3, -1))
@pytest.mark.parametrize("scales", ("equal", "different"))
def test_concat(tmp_path: Path, axis: int, scales: str) -> None:
    net = Net()
    shapes = [[1, 4, 5, 6] for _ in range(3)]
    for i, s in enumerate(shapes):
        s[axis] += i
    parts = [
        net.input(tuple(s), *((0.05, 3) if scales == "equal" or i == 1 else (0.02, -60))) for i, s in enumerate(shapes)
    ]
    net.output(net.qdq(net.node("Concat", *parts, axis=axis), 0.05, 3))
    graph, ladder = check(net, tmp_path, compared=1)
    assert ops(graph) == (["concat"] if scales == "equal" else ["lut", "lut", "concat"])
    assert ladder.differing == 0


def test_concat_of_unquantised_convolutions(tmp_path: Path) -> None:
    net = Net()
    x = net.input((1, 4, 6, 6))
    parts = [net.conv(x, 4, c, (1, 1)) for c in (3, 5)]
    net.output(net.qdq(net.node("Relu", net.node("Concat", *parts, axis=1)), 0.1, -100))
    graph, _ = check(net, tmp_path, compared=1)
    assert ops(graph) == ["conv", "conv", "concat"]
    assert graph.nodes[0].attrs.requant.lo == 28


def test_concat_of_many(tmp_path: Path) -> None:
    net = Net()
    parts = [net.input((1, 2, 3, 3)) for _ in range(19)]
    net.output(net.qdq(net.node("Concat", *parts, axis=1), 0.05, 3))
    graph, ladder = check(net, tmp_path)
    assert [len(n.inputs) for n in graph.nodes] == [8, 8, 5]
    assert ladder.differing == 0


def test_concat_of_flattened_maps_then_linear_moves_nothing(tmp_path: Path) -> None:
    net = Net()
    parts = [net.node("Flatten", net.input((1, 4, h, 5))) for h in (3, 2)]
    y = net.node("Gemm", net.node("Concat", *parts, axis=1), net.weight((100, 6)))
    net.output(net.qdq(y, 0.4, 0))
    graph, _ = check(net, tmp_path, compared=2)
    assert ops(graph) == ["concat", "linear"]


def test_concat_of_vectors_of_different_maps(tmp_path: Path) -> None:
    net = Net()
    parts = [net.node("Flatten", net.input(s)) for s in ((1, 4, 3, 5), (1, 3, 2, 2), (1, 7))]
    y = net.node("Gemm", net.node("Concat", *parts, axis=1), net.weight((79, 6)))
    net.output(net.qdq(y, 0.4, 0))
    graph, _ = check(net, tmp_path, compared=2)
    assert ops(graph)[-2:] == ["concat", "linear"]


def test_flatten_before_linear_moves_nothing(tmp_path: Path) -> None:
    net = Net()
    x = net.qdq(net.conv(net.input((1, 3, 8, 8)), 3, 4), 0.05, -30)
    x = net.qdq(net.node("Flatten", x), 0.05, -30)
    net.output(net.qdq(net.node("Gemm", x, net.weight((144, 6))), 0.5, 0))
    graph, _ = check(net, tmp_path, compared=2)
    assert ops(graph) == ["conv", "linear"]


def test_reshape_to_a_map_is_a_permutation(tmp_path: Path) -> None:
    net = Net()
    x = net.node("Gemm", net.input((1, 30)), net.weight((30, 48)))
    x = net.node("Reshape", net.qdq(x, 0.1, 0), net.const([1, 3, 4, 4], np.int64))
    net.output(net.qdq(net.conv(x, 3, 2, sx=0.1), 0.3, 0))
    graph, _ = check(net, tmp_path, compared=2)
    assert ops(graph) == ["linear", "permute", "conv"]


def test_requantisation_after_a_view(tmp_path: Path) -> None:
    net = Net()
    x = net.node("Transpose", net.input((1, 3, 8, 8)), perm=[0, 2, 3, 1])
    net.output(net.qdq(x, 0.06, -3))
    graph, _ = check_output(net, tmp_path)
    assert ops(graph) == ["lut"]


def test_nhwc_input_costs_nothing(tmp_path: Path) -> None:
    net = Net()
    x = net.node("Transpose", net.input((1, 8, 9, 3)), perm=[0, 3, 1, 2])
    y = net.node("Transpose", net.qdq(net.conv(x, 3, 4), 0.2, 0), perm=[0, 2, 3, 1])
    net.output(y)
    graph, ladder = check(net, tmp_path, compared=1)
    assert ops(graph) == ["conv"]
    assert graph.tensors[graph.inputs[0]].shape == (8, 9, 3)
    ours, theirs = output(graph, ladder)
    assert ours.shape == theirs.shape == (1, 6, 7, 4)
    assert np.abs(ours - theirs).max() <= 0.2001


@pytest.mark.parametrize("opset", (11, 13, 17))
@pytest.mark.parametrize("shape", ((1, 10), (1, 10, 4, 3)))
def test_softmax(tmp_path: Path, shape: tuple[int, ...], opset: int) -> None:
    net = Net(opset=opset)
    net.output(net.qdq(net.node("Softmax", net.input(shape), axis=1), 1 / 256, -128))
    graph, ladder = check(net, tmp_path, compared=1)
    assert ops(graph)[-1] == "softmax"
    ours, theirs = output(graph, ladder)
    assert np.abs(ours - theirs).max() <= 1 / 255


@pytest.mark.parametrize("op", ("Softmax", "LogSoftmax", "Sigmoid"))
def test_float_tail_is_left_to_the_host(tmp_path: Path, op: str) -> None:
    net = Net()
    y = net.qdq(net.node("Gemm", net.input((1, 20)), net.weight((20, 7))), 0.15, 0)
    net.output(net.node(op, y))
    graph, _ = check(net, tmp_path, compared=1)
    assert ops(graph) == ["linear"]
    assert any("left to the host" in n and op in n for n in graph.notes)


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    net = Net()
    a, b = net.input((1, 3, 8, 8), name="left eye"), net.input((1, 3, 8, 8), name="左")
    ya = net.qdq(net.conv(a, 3, 4), 0.2, 0)
    net.output(ya)
    net.output(net.qdq(net.node("Add", ya, net.qdq(net.conv(b, 3, 4), 0.2, 4)), 0.3, 0))
    net.output(ya_flat := net.node("Flatten", ya))
    graph, ladder = check(net, tmp_path, compared=3)
    assert graph.inputs == ("left eye", "左")
    assert len(set(graph.outputs)) == 3
    for i in range(3):
        ours, theirs = output(graph, ladder, i)
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() <= 0.3001
    assert ya_flat


@pytest.mark.parametrize("dtype", DTYPES)
def test_integer_network_input_and_output(tmp_path: Path, dtype: type) -> None:
    from onnx import helper

    net = Net(dtype=dtype)
    info = np.iinfo(dtype)
    net.feeds["image"] = net.rng.integers(info.min, info.max + 1, (1, 3, 8, 8)).astype(dtype)
    net.inputs.append(helper.make_tensor_value_info("image", 3 if dtype == np.int8 else 2, (1, 3, 8, 8)))
    x = net.dq("image", 0.05, zero(dtype))
    net.output(net.q(net.conv(x, 3, 4), 0.2, zero(dtype)), dtype)
    graph, ladder = check(net, tmp_path, compared=1)
    ours, theirs = output(graph, ladder)
    assert ours.dtype == theirs.dtype == dtype
    assert graph.tensors["image"].scale == pytest.approx(0.05)
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_dynamic_batch_identity_dropout_dead_code_and_shape_arithmetic(tmp_path: Path) -> None:
    """What PyTorch exports for x.view(x.size(0), -1), around no-ops and branches that feed nothing."""
    net = Net(opset=17)
    x = net.input(("batch", 3, 8, 8))
    y = net.qdq(net.node("Relu", net.conv(x, 3, 4)), 0.1, -128)
    y = net.node("Dropout", net.node("Identity", y), net.const(0.5, np.float32))
    net.node("Tanh", y)
    net.node("SomethingUnknown", y)
    size = net.node("Gather", net.node("Shape", y), net.const(0, np.int64), axis=0)
    shape = net.node("Concat", net.node("Unsqueeze", size, net.const([0], np.int64)), net.const([-1], np.int64), axis=0)
    y = net.node("Reshape", y, shape)
    net.output(net.qdq(net.node("Gemm", y, net.weight((144, 6))), 0.5, 0))
    net.nodes = [n for n in net.nodes if n.op_type != "SomethingUnknown"] + [
        n for n in net.nodes if n.op_type == "SomethingUnknown"
    ]
    model_nodes, net.nodes = net.nodes, [n for n in net.nodes if n.op_type != "SomethingUnknown"]
    graph, _ = check(net, tmp_path, compared=2)
    assert ops(graph) == ["conv", "linear"]
    net.nodes = model_nodes
    from dory.frontend import load

    assert ops(load(net.save(tmp_path))) == ["conv", "linear"]


@pytest.mark.parametrize("opset", (10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21))
def test_opsets(tmp_path: Path, opset: int) -> None:
    net = Net(opset=opset)
    x = net.input((1, 3, 12, 12))
    w = net.weight((4, 3, 3, 3), 0.02)
    y = net.node("Conv", x, w, pads=[1, 1, 1, 1])
    y = net.node("Clip", y, min=0.0, max=6.0) if opset < 11 else net.node("Clip", y, net.const(0.0, np.float32))
    y = net.qdq(y, 0.05, -128)
    y = net.qdq(net.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2]), 0.05, -128)
    axes = {"axes": [2, 3]} if opset < 18 else {}
    extra = [] if opset < 18 else [net.const([2, 3], np.int64)]
    y = net.qdq(net.node("ReduceMean", y, *extra, keepdims=1, **axes), 0.05, -128)
    y = net.node("Squeeze", y, axes=[2, 3]) if opset < 13 else net.node("Squeeze", y, net.const([2, 3], np.int64))
    bias = net.const(np.ones(6), np.float32)  # not optional before opset 11
    net.output(net.qdq(net.node("Gemm", y, net.weight((4, 6)), bias, transB=0), 0.1, 0))
    graph, _ = check(net, tmp_path, compared=4)
    assert ops(graph) == ["conv", "maxpool", "avgpool", "linear"]


def test_quantisation_in_microsofts_domain(tmp_path: Path) -> None:
    from onnx import helper

    net = Net(opset=17)
    x = net.input((1, 3, 8, 8))
    net.output(net.qdq(net.conv(x, 3, 4), 0.2, 0))
    for n in net.nodes:
        if "quantize" in n.op_type.lower():
            n.domain = "com.microsoft"
    model = net.model()
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    import onnx

    from dory.testing.ladder import climb

    onnx.save(model, str(tmp_path / "ms.onnx"))
    assert climb(tmp_path / "ms.onnx", net.feeds, rescale_bits=31).max_lsb <= 1


@pytest.mark.parametrize("first", ("Transpose", "Unsqueeze"))
def test_maps_of_one_row(tmp_path: Path, first: str) -> None:
    """1-D data: [1, T, K] rows and [1, C, 1, W] maps reach convolutions without copies where memory allows it."""
    net = Net(opset=17)
    if first == "Transpose":
        x = net.node("MatMul", net.input((1, 12, 8)), net.weight((8, 6)))
        x = net.node("Transpose", net.qdq(x, 0.1, 0), perm=[0, 2, 1])
        y = net.conv(x, 6, 5, (3,), sx=0.1)
    else:
        x = net.node("Unsqueeze", net.input((1, 6, 30)), net.const([2], np.int64))
        y = net.conv(x, 6, 5, (1, 3))
    net.output(net.qdq(y, 0.3, 0))
    graph, _ = check(net, tmp_path)
    assert "permute" not in ops(graph)[1:]


def test_averages_of_padding_alone(tmp_path: Path) -> None:
    """A pad that an average takes in, whose windows see nothing else."""
    net = Net(opset=17)
    pads = net.const([0, 0, 0, 1, 0, 0, 0, 0], np.int64)
    x = net.qdq(net.node("Pad", net.input((1, 2, 1, 1)), pads), 0.05, 3)
    y = net.node("AveragePool", x, kernel_shape=[1, 1], strides=[1, 2])
    net.output(net.qdq(y, 0.05, -128))
    graph, _ = check(net, tmp_path)
    assert ops(graph)[-1] == "avgpool"
