"""Bad input: one message that names the file, the node, what was found, what is accepted and what next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from dory.errors import DoryError, UserError
from dory.frontend import load, ops_table
from tests.frontend.nets import Net


def failure(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load(path)
    assert caught.value.exit_code == 2
    text = str(caught.value)
    assert path.name in text
    return text


def small() -> Net:
    net = Net()
    net.output(net.qdq(net.conv(net.input((1, 3, 8, 8), name="image"), 3, 4), 0.2, 0))
    return net


def test_missing_file(tmp_path: Path) -> None:
    assert "no such file" in failure(tmp_path / "nothing.onnx")


def test_folder(tmp_path: Path) -> None:
    folder = tmp_path / "net.onnx"
    folder.mkdir()
    assert "folder" in failure(folder)


@pytest.mark.parametrize("content", (b"", b"not a network", b"PK\x03\x04zip", b"\x08\x08"))
def test_not_onnx(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    text = failure(path)
    assert "empty" in text or "not an ONNX file" in text or "not a complete ONNX network" in text


@pytest.mark.parametrize("part", (0.1, 0.5, 0.9, 0.999))
def test_truncated(tmp_path: Path, part: float) -> None:
    path = small().save(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    assert "truncated" in failure(path)


def test_external_data_is_read_and_its_absence_named(tmp_path: Path) -> None:
    net = small()
    path = tmp_path / "net.onnx"
    onnx.save(net.model(), str(path), save_as_external_data=True, location="weights.bin", size_threshold=64)
    assert load(path).nodes
    data = (tmp_path / "weights.bin").read_bytes()
    (tmp_path / "weights.bin").write_bytes(data[:50])
    assert "weights.bin" in failure(path)
    (tmp_path / "weights.bin").unlink()
    text = failure(path)
    assert "weights.bin" in text and "missing" in text


def test_float_network(tmp_path: Path) -> None:
    net = Net()
    net.inputs.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 8, 8)))
    net.output(net.node("Relu", "x"))
    text = failure(net.save(tmp_path))
    assert "float network" in text and "python -m dory quantize" in text


@pytest.mark.parametrize("op", ("DynamicQuantizeLinear", "MatMulInteger", "ConvInteger"))
def test_dynamic_quantisation(tmp_path: Path, op: str) -> None:
    net = small()
    outputs = 3 if op == "DynamicQuantizeLinear" else 1
    net.output(net.node(op, net.nodes[-1].output[0], outputs=outputs))
    text = failure(net.save(tmp_path))
    assert "dynamic quantisation" in text and "calibration" in text and op in text


def test_qoperator_forms_that_are_not_accepted(tmp_path: Path) -> None:
    net = small()
    net.output(net.node("QAttention", net.nodes[-1].output[0], domain="com.microsoft"))
    text = failure(net.save(tmp_path))
    assert "com.microsoft.QAttention" in text and "not supported" in text and "QLinearConv" in text


def test_qoperator_with_inputs_missing(tmp_path: Path) -> None:
    net = small()
    net.output(net.node("QLinearConv", net.nodes[0].output[0], name="short"))
    text = failure(net.save(tmp_path))
    assert "'short' (QLinearConv)" in text and "missing" in text


def test_unsupported_operator_by_name(tmp_path: Path) -> None:
    net = Net()
    net.output(net.qdq(net.node("Einsum", net.input((1, 4)), name="my node"), 0.1))
    text = failure(net.save(tmp_path))
    assert "node 'my node' (Einsum)" in text and "Einsum is not supported" in text
    assert all(op in text for op in ("Conv", "MaxPool", "Softmax", "BatchNormalization"))


@pytest.mark.parametrize("scale", (float("nan"), float("inf"), -0.1, 0.0))
@pytest.mark.parametrize("which", ("activation", "weights"))
def test_scales(tmp_path: Path, scale: float, which: str) -> None:
    net = Net()
    x = net.input((1, 3, 8, 8))
    w = net.weight((4, 3, 3, 3), scale if which == "weights" else 0.02)
    net.output(net.qdq(net.node("Conv", x, w), 0.2 if which == "weights" else scale, 0))
    text = failure(net.save(tmp_path))
    assert f"its scale is {scale}" in text and "QuantizeLinear" in text.replace("Dequantize", "Quantize")
    assert "positive" in text


def test_initialiser_missing(tmp_path: Path) -> None:
    net = small()
    name = net.constants.pop(4).name
    text = failure(net.save(tmp_path))
    assert f"reads '{name}'" in text and "initialiser" in text


def _net(build: Callable[[Net], str]) -> Net:
    net = Net()
    y = build(net)
    net.output(net.qdq(y, 0.2, 0))
    return net


CASES: dict[str, tuple[Callable[[Net], str], str]] = {
    "weights of other channels": (lambda n: n.conv(n.input((1, 5, 8, 8)), 3, 4), "5 input channels"),
    "weights of other rank": (lambda n: n.conv(n.input((1, 3, 8)), 3, 4), "weights of shape [4, 3, 3, 3]"),
    "gemm": (lambda n: n.node("Gemm", n.input((1, 9)), n.weight((8, 4))), "[1, 9]"),
    "add": (lambda n: n.node("Add", n.input((1, 3, 8, 8)), n.input((1, 3, 8, 1))), "broadcasting"),
    "window too large": (lambda n: n.conv(n.input((1, 3, 2, 8)), 3, 4), "does not fit"),
    "pool pads": (
        lambda n: n.node("AveragePool", n.input((1, 3, 8, 8)), kernel_shape=[2, 2], pads=[2, 0, 0, 0]),
        "pads",
    ),
    "reshape": (
        lambda n: n.node("Reshape", n.input((1, 3, 8, 8)), n.const([1, 100], np.int64)),
        "[1, 100] is impossible",
    ),
    "batch": (lambda n: n.conv(n.input((4, 3, 8, 8)), 3, 4), "batch of 4"),
    "dynamic width": (lambda n: n.conv(n.input((1, 3, 8, "width")), 3, 4), "not fixed"),
    "conv without quantisation": (
        lambda n: n.conv(n.conv(n.input((1, 3, 8, 8)), 3, 4, name="first"), 4, 4),
        "unquantised result of Conv 'first'",
    ),
    "hardswish after conv": (
        lambda n: n.node("HardSwish", n.conv(n.input((1, 3, 8, 8)), 3, 4, name="first")),
        "unquantised result of Conv 'first'",
    ),
    "sigmoid without quantisation": (
        lambda n: n.conv(n.node("Sigmoid", n.input((1, 3, 8, 8))), 3, 4),
        "result of Sigmoid reaches it without QuantizeLinear",
    ),
    "float weights": (
        lambda n: n.node("Conv", n.input((1, 3, 8, 8)), n.const(np.ones((4, 3, 3, 3)), np.float32)),
        "quantise the weights",
    ),
    "product of activations": (lambda n: n.node("Mul", n.input((1, 4)), n.input((1, 4))), "two different activations"),
    "matmul of activations": (lambda n: n.node("MatMul", n.input((1, 4)), n.input((4, 1))), "batch"),
    "scale per channel": (
        lambda n: n.dq(n.q(n.input((1, 3, 8, 8)), np.full(3, 0.1) + np.arange(3), np.zeros(3), axis=1), 0.1),
        "per tensor",
    ),
    "axis": (lambda n: n.node("Softmax", n.input((1, 3)), axis=5), "axis 5"),
    "pad mode": (
        lambda n: n.node("Pad", n.input((1, 3, 8, 8)), n.const([0, 0, 1, 1, 0, 0, 1, 1], np.int64), mode="reflect"),
        "reflect",
    ),
    "pad channels": (
        lambda n: n.node("Pad", n.input((1, 3, 8, 8)), n.const([0, 1, 0, 0, 0, 0, 0, 0], np.int64)),
        "height and width",
    ),
    "negative factor of -128": (
        lambda n: n.node(
            "Mul",
            n.node("Gemm", n.input((1, 2)), n.dq(n.const([[-128, 1], [3, 4]], np.int8), 0.1)),
            n.const(-1.0, np.float32),
        ),
        "-128",
    ),
    "int16": (lambda n: n.dq(n.q(n.input((1, 4)), 0.1, 0, np.int16), 0.1, 0, np.int16), "int16"),
    "int16 weights": (
        lambda n: n.node("Gemm", n.input((1, 2)), n.dq(n.const([[300, 1], [3, 4]], np.int16), 0.1, 0, np.int16)),
        "weights must fit int8",
    ),
    "bias not finite": (
        lambda n: n.node("Gemm", n.input((1, 2)), n.weight((2, 2)), n.const([np.nan, 0], np.float32)),
        "not finite",
    ),
    "training batch norm": (
        lambda n: n.node(
            "BatchNormalization", n.input((1, 2)), *(n.const(np.ones(2), np.float32) for _ in range(4)), training_mode=1
        ),
        "inference",
    ),
    "resized at run time": (
        lambda n: n.node("Reshape", n.input((1, 4)), n.node("Cast", n.input((1, 2)), to=7)),
        "only QuantizeLinear",
    ),
    "clip inverted": (
        lambda n: n.node("Clip", n.input((1, 4)), n.const(3.0, np.float32), n.const(1.0, np.float32)),
        "3.0..1.0",
    ),
    "indices of a pool": (
        lambda n: n.node("Flatten", pool_indices(n)),
        "indices",
    ),
}


def pool_indices(n: Net) -> str:
    n.node("MaxPool", n.input((1, 3, 8, 8)), outputs=2, kernel_shape=[2, 2])
    return n.nodes[-1].output[1]


@pytest.mark.parametrize("case", CASES)
def test_refused(tmp_path: Path, case: str) -> None:
    build, message = CASES[case]
    text = failure(_net(build).save(tmp_path))
    assert message in text
    assert "\n  try: " in text


def test_preprocessing_in_the_network(tmp_path: Path) -> None:
    net = Net()
    net.inputs.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4)))
    net.output(net.qdq(net.node("Div", "x", net.const(255.0, np.float32)), 0.1))
    assert "float network input 'x'" in failure(net.save(tmp_path))


def test_input_quantised_twice(tmp_path: Path) -> None:
    net = Net()
    net.inputs.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4)))
    net.output(net.qdq(net.node("Add", net.qdq("x", 0.1), net.qdq("x", 0.2)), 0.1))
    assert "quantised twice" in failure(net.save(tmp_path))


def test_output_is_an_input(tmp_path: Path) -> None:
    net = small()
    net.output(net.nodes[1].output[0])
    assert "is the network input 'image'" in failure(net.save(tmp_path))


def test_output_not_quantised(tmp_path: Path) -> None:
    net = Net()
    net.output(net.conv(net.input((1, 3, 8, 8)), 3, 4))
    assert "unquantised result of Conv" in failure(net.save(tmp_path))


def test_accumulator_out_of_range(tmp_path: Path) -> None:
    """Weights that could cancel such a bias do not make the sum fit 32 bits."""
    net = Net()
    w = net.dq(net.const(np.full((20000, 1), 127), np.int8), 0.02)
    bias = net.dq(net.const([2**31 - 1], np.int32), 0.001, 0, np.int32)
    y = net.node("Gemm", net.input((1, 20000)), w, bias, name="too wide")
    net.output(net.qdq(y, 40000.0, 0))
    text = failure(net.save(tmp_path))
    assert "too wide" in text and "32 bits" in text


def test_cycle_and_double_definition(tmp_path: Path) -> None:
    net = small()
    net.nodes.append(helper.make_node("Relu", ["loop2"], ["loop1"], name="a"))
    net.nodes.append(helper.make_node("Relu", ["loop1"], ["loop2"], name="b"))
    net.output("loop1")
    assert "cycle" in failure(net.save(tmp_path))
    net = small()
    net.nodes.append(net.nodes[0])
    assert "produced twice" in failure(net.save(tmp_path))


def test_rescale_bits(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="15 and 31"):
        load(small().save(tmp_path), rescale_bits=12)


@given(data=st.data())
def test_damaged_bytes_never_raise_anything_else(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    raw = bytearray(small().model().SerializeToString())
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "net.onnx"
    path.write_bytes(bytes(raw))
    try:
        load(path)
    except DoryError as exc:
        assert path.name in str(exc)


@given(data=st.data())
def test_damaged_networks_never_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Well-formed files with a wrong edge, a wrong shape, a dropped or a foreign attribute."""
    net = Net()
    x = net.node("Relu", net.conv(net.input((1, 4, 8, 8)), 4, 4, pads=[1, 1, 1, 1]))
    x = net.qdq(x, 0.1, -128)
    y = net.qdq(net.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]), 0.1, -128)
    y = net.qdq(net.node("Concat", y, y, axis=1), 0.1, -128)
    y = net.node("Reshape", y, net.const([1, -1], np.int64))
    net.output(net.qdq(net.node("Softmax", net.node("Gemm", y, net.weight((128, 4)))), 1 / 256, -128))
    names = [o for n in net.nodes for o in n.output] + [c.name for c in net.constants] + [""]
    for _ in range(data.draw(st.integers(1, 3))):
        node = net.nodes[data.draw(st.integers(0, len(net.nodes) - 1))]
        what = data.draw(st.sampled_from(("input", "op", "attribute", "constant", "fewer")))
        if what == "input" and node.input:
            node.input[data.draw(st.integers(0, len(node.input) - 1))] = data.draw(st.sampled_from(names))
        elif what == "op":
            node.op_type = data.draw(st.sampled_from([op for row in ops_table()[:-1] for op in row[0].split(", ")]))
        elif what == "attribute":
            name = data.draw(st.sampled_from(("axis", "pads", "strides", "kernel_shape", "perm", "group", "auto_pad")))
            value = data.draw(st.sampled_from((-3, 0, 7, 1.5, "SAME_UPPER", [0], [1, 2], [2, 2, 2, 2], [3, 1, 0, 2])))
            node.attribute.append(helper.make_attribute(name, value))
        elif what == "constant":
            c = net.constants[data.draw(st.integers(0, len(net.constants) - 1))]
            array = data.draw(st.sampled_from((np.zeros(0), np.zeros((3, 3)), np.array(7), np.array([-1, 0]))))
            c.CopyFrom(onnx.numpy_helper.from_array(array.astype(onnx.numpy_helper.to_array(c).dtype), c.name))
        elif node.input:
            del node.input[-1]
    path = net.save(tmp_path_factory.mktemp("damaged"))
    try:
        load(path)
    except DoryError as exc:
        assert path.name in str(exc)
