"""ONNX's int4 and uint4, uint8 weights with any zero-point, and clips of integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from dory.errors import UserError
from dory.frontend import load
from tests.frontend.ladder import check, ops, output
from tests.frontend.nets import Net


def narrow(net: Net, kind: int, shape: tuple[int, ...], values: list[int]) -> str:
    """A constant of a type that NumPy does not have."""
    name = net.name("narrow")
    net.constants.append(helper.make_tensor(name, kind, shape, values))
    return name


@pytest.mark.parametrize("kind", (TensorProto.INT4, TensorProto.UINT4))
def test_weights_of_4_bits(tmp_path: Path, kind: int) -> None:
    net = Net(opset=21)
    lo = -8 if kind == TensorProto.INT4 else 0
    w = narrow(net, kind, (4, 3, 3, 3), [int(v) for v in net.rng.integers(lo, lo + 16, 108)])
    zero = narrow(net, kind, (4,), [0, 0, 0, 0] if lo else [8, 7, 3, 15])
    scale = net.const([0.1, 0.2, 0.05, 0.15], np.float32)
    y = net.node("Conv", net.input((1, 3, 6, 6)), net.node("DequantizeLinear", w, scale, zero, axis=0))
    net.output(net.qdq(y, 0.4, 3))
    graph, ladder = check(net, tmp_path, compared=1)
    assert ops(graph) == ["conv"]
    assert ladder.differing < 5


@pytest.mark.parametrize("kind", (TensorProto.INT4, TensorProto.UINT4))
def test_activations_of_4_bits(tmp_path: Path, kind: int) -> None:
    net = Net(opset=21)
    signed = kind == TensorProto.INT4
    scale, zero = net.const(0.7, np.float32), narrow(net, kind, (), [-2 if signed else 5])
    q = net.node("QuantizeLinear", net.conv(net.input((1, 3, 6, 6)), 3, 4), scale, zero)
    y = net.node("DequantizeLinear", q, scale, zero)
    net.output(net.qdq(net.conv(y, 4, 3, sx=0.7), 0.3, 0))
    graph, ladder = check(net, tmp_path, compared=2)
    values = ladder.reference[graph.nodes[0].output]
    lo = 120 if signed else 0
    assert (values.min(), values.max()) == (lo, lo + 15), "the test's scale makes it saturate at both ends"


def test_a_4_bit_type_read_as_another(tmp_path: Path) -> None:
    net = Net(opset=21)
    scale = net.const(0.7, np.float32)
    q = net.node(
        "QuantizeLinear", net.conv(net.input((1, 3, 6, 6)), 3, 4), scale, narrow(net, TensorProto.INT4, (), [0])
    )
    net.output(net.node("DequantizeLinear", q, scale, net.const(0, np.int8)))
    with pytest.raises(UserError, match="its zero-point is int8, its input int4"):
        load(net.save(tmp_path))


@pytest.mark.parametrize("group", (1, 2, 4))
@pytest.mark.parametrize("zero", (0, 100, 131, 255))
def test_uint8_weights_with_any_zero_point(tmp_path: Path, zero: int, group: int) -> None:
    """Nine bits after their zero-point is taken off: exactly the sum of two or three convolutions."""
    net = Net()
    values = net.rng.integers(0, 256, (8, 4 // group, 3, 3))
    values.flat[:2] = 0, 255
    w = net.dq(net.const(values, np.uint8), 0.002, zero, np.uint8)
    x = net.input((1, 4, 7, 5))
    net.output(net.qdq(net.node("Conv", x, w, group=group, pads=[1, 0, 1, 1]), 0.2, 0))
    graph, ladder = check(net, tmp_path)
    assert "concat" in ops(graph)
    assert any("became a sum of" in note for note in graph.notes)
    ours, theirs = output(graph, ladder)
    assert np.abs(ours - theirs).max() < 0.201
    assert ladder.differing < 5


@pytest.mark.parametrize("rows", (1, 3))
def test_uint8_matrix_with_any_zero_point(tmp_path: Path, rows: int) -> None:
    net = Net()
    w = net.dq(net.const(net.rng.integers(0, 256, (6, 5)), np.uint8), 0.01, 140, np.uint8)
    net.output(net.qdq(net.node("MatMul", net.input((1, rows, 6)), w), 0.5, 0))
    check(net, tmp_path)


def test_clip_of_integers_with_two_readers(tmp_path: Path) -> None:
    """Where the clip is not the only reader, both the clipped and the other values exist."""
    net = Net()
    q = net.q(net.conv(net.input((1, 3, 6, 6)), 3, 4), 0.1, 0)
    low, high = net.const(-7, np.int8), net.const(7, np.int8)
    a, b = net.dq(q, 0.1), net.dq(net.node("Clip", q, low, high), 0.1)
    net.output(net.qdq(net.node("Add", a, b), 0.2, 0))
    check(net, tmp_path)


def test_clip_of_a_clip_and_of_a_pool(tmp_path: Path) -> None:
    net = Net()
    q = net.q(net.conv(net.input((1, 3, 6, 6)), 3, 4), 0.1, 0)
    q = net.node("Clip", q, net.const(-50, np.int8), net.const(20, np.int8))
    q = net.node("MaxPool", q, kernel_shape=[2, 2])
    q = net.node("Clip", q, net.const(-9, np.int8))
    net.output(net.dq(q, 0.1))
    graph, ladder = check(net, tmp_path)
    assert ladder.reference[graph.outputs[0]].max() == 148
    assert ladder.reference[graph.outputs[0]].min() == 119


@pytest.mark.parametrize("value", (None, -128, 5))
def test_pad_of_integers(tmp_path: Path, value: int | None) -> None:
    net = Net()
    q = net.q(net.conv(net.input((1, 3, 6, 6)), 3, 4), 0.1, 4)
    more = [] if value is None else [net.const(value, np.int8)]
    q = net.node("Pad", q, net.const([0, 0, 1, 0, 0, 0, 2, 1], np.int64), *more)
    net.output(net.qdq(net.conv(net.dq(q, 0.1, 4), 4, 3, sx=0.1), 0.1, 0))
    check(net, tmp_path)


def test_pad_before_the_first_quantizer(tmp_path: Path) -> None:
    net = Net()
    x = net.input((1, 3, 6, 6))
    first = next(n for n in net.nodes if n.op_type == "QuantizeLinear")
    net.nodes.insert(
        0, helper.make_node("Pad", [first.input[0], net.const([0, 0, 1, 1, 0, 0, 1, 1], np.int64)], ["pad"])
    )
    first.input[0] = "pad"
    net.output(net.qdq(net.conv(x, 3, 4), 0.1, 0))
    graph, _ = check(net, tmp_path)
    assert ops(graph) == ["conv"]
