"""Damaged QOperator, QCDQ, QONNX and pt2e files: imported or refused with a reason, never anything else."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dory.errors import DoryError
from dory.frontend import load
from dory.report.ops import rows
from tests.frontend.float_nets import Settings, every_layer, quantise
from tests.frontend.narrow_nets import Bits, NarrowNet
from tests.frontend.pt2e_nets import pt2e

OPERATORS = [op for row in rows() for op in row[0].split(", ") if " " not in op]
ATTRIBUTES = ("axis", "pads", "kernel_shape", "perm", "group", "channels_last", "opset", "signed", "narrow", "transB")
VALUES = (-3, 0, 1, 7, 2**31, 1.5, "SAME_UPPER", "FLOOR", [0], [1, 2], [2, 2, 2, 2], [3, 1, 0, 2], float("nan"))
ARRAYS = (np.zeros(0), np.zeros((3, 3)), np.array(7), np.array([-1, 0]), np.array(0), np.array(np.nan), np.array(300.0))


@cache
def file(form: str) -> bytes:
    """A network of each form, with most of its operators."""
    if form.startswith("QOperator"):
        pytest.importorskip("onnxruntime")
        with TemporaryDirectory() as folder:
            types = ("QUInt8", "QUInt8") if form.endswith("uint8") else ("QInt8", "QInt8")
            return quantise(every_layer(), Settings("QOperator", *types), Path(folder)).read_bytes()
    if form == "pt2e":
        return pt2e().model().SerializeToString()
    net = NarrowNet(form)
    x = net.quant(net.input(3, 6, 6), Bits(8, True))
    x = net.quant(net.unary(net.batchnorm(net.conv(x, 4, 3, Bits(4, True))), "Relu"), Bits(4, False))
    x = net.quant(net.add(x, net.quant(net.conv(x, 4, 1, Bits(2, True)), Bits(3, True))), Bits(4, True))
    if form == "QONNX":
        mean, domain = net.pool(x, "AveragePool"), "qonnx.custom_op.general"
        numbers = [net.constant(v) for v in (x.scale / 4, 0, 6, x.scale, 4)]
        y = net.node("Trunc", mean.name, *numbers, domain=domain, rounding_mode="FLOOR")
        net.node("BipolarQuant", y, net.constant(0.5), domain=domain)
    net.output(net.quant(net.linear(x, 5, Bits(8, True)), Bits(8, True)))
    return net.model().SerializeToString()


def damage(draw: st.DrawFn, model: onnx.ModelProto) -> None:
    """One wrong edge, operator, domain, attribute or constant, or a node that is gone."""
    graph = model.graph
    names = [o for n in graph.node for o in n.output] + [c.name for c in graph.initializer] + [""]
    node = graph.node[draw(st.integers(0, len(graph.node) - 1))]
    what = draw(st.sampled_from(("input", "op", "domain", "attribute", "constant", "fewer", "gone", "output")))
    if what == "input" and node.input:
        node.input[draw(st.integers(0, len(node.input) - 1))] = draw(st.sampled_from(names))
    elif what == "op":
        node.op_type = draw(st.sampled_from(OPERATORS))
    elif what == "domain":
        node.domain = draw(st.sampled_from(("", "com.microsoft", "qonnx.custom_op.general", "else")))
    elif what == "attribute":
        name = draw(st.sampled_from((*ATTRIBUTES, *(a.name for a in node.attribute))))
        kept = [a for a in node.attribute if a.name != name]
        del node.attribute[:]
        value = onnx.helper.make_attribute(name, draw(st.sampled_from(VALUES)))
        node.attribute.extend([*kept, value])
    elif what == "constant" and graph.initializer:
        c = graph.initializer[draw(st.integers(0, len(graph.initializer) - 1))]
        dtype = draw(st.sampled_from((onnx.numpy_helper.to_array(c).dtype, np.float32, np.int8, np.uint8, np.int64)))
        with np.errstate(all="ignore"):
            array = np.nan_to_num(draw(st.sampled_from(ARRAYS))).astype(dtype)
        if np.dtype(dtype).kind == "f" and draw(st.booleans()):
            array = np.full(array.shape, np.nan, dtype)
        c.CopyFrom(onnx.numpy_helper.from_array(array, c.name))
    elif what == "fewer" and node.input:
        del node.input[-1]
    elif what == "gone":
        graph.node.remove(node)
    elif what == "output":
        graph.output[0].name = draw(st.sampled_from(names))


@settings(max_examples=150)
@given(data=st.data(), form=st.sampled_from(("QOperator", "QOperator uint8", "QCDQ", "QONNX", "pt2e")))
def test_damaged_networks_are_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, form: str) -> None:
    model = onnx.load_model_from_string(file(form))
    for _ in range(data.draw(st.integers(1, 3))):
        damage(data.draw, model)
    path = tmp_path_factory.mktemp("damaged") / "net.onnx"
    path.write_bytes(model.SerializeToString())
    try:
        load(path)
    except DoryError as refused:
        assert path.name in str(refused)


@pytest.mark.parametrize("form", ("QOperator", "QOperator uint8", "QCDQ", "QONNX", "pt2e"))
def test_the_networks_are_whole_before(form: str, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(file(form))
    assert len(load(tmp_path / "net.onnx").nodes) > 3
