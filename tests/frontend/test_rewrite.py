"""Forms are recognised by operators and edges: names, and the order of nodes, say nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from dory.frontend import load, to_hwc
from dory.frontend.onnx_file import read
from dory.frontend.rewrite import REWRITES, normalise
from dory.reference import run
from tests.frontend.nets import Net
from tests.frontend.test_damaged_formats import file

FORMS = {"QOperator": ("QOperator", "integer pads"), "QCDQ": ("QCDQ",), "QONNX": ("QONNX",), "pt2e": ()}


def renamed(model: onnx.ModelProto, seed: int) -> onnx.ModelProto:
    """Every value and node under a name that means nothing, nodes in any order."""
    rng = np.random.default_rng(seed)
    names = {v for n in model.graph.node for v in (*n.input, *n.output) if v}
    new = {v: f"{i} / {'é' * (i % 3)}" for i, v in zip(rng.permutation(len(names)), sorted(names), strict=True)}
    for node in model.graph.node:
        node.name = ""
        for values in (node.input, node.output):
            for i, v in enumerate(values):
                values[i] = new.get(v, "")
    for value in (*model.graph.initializer, *model.graph.input, *model.graph.output):
        value.name = new.get(value.name, value.name)
    nodes = [model.graph.node[i] for i in rng.permutation(len(model.graph.node))]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def results(path: Path) -> list[np.ndarray]:
    graph = load(path)
    rng = np.random.default_rng(0)
    feeds = {}
    for t in graph.inputs:
        shape = graph.io_layouts[t].onnx_shape
        feeds[t] = to_hwc(graph, t, rng.standard_normal(shape).astype(np.float32))
    values = run(graph, feeds)
    return [values[t] for t in graph.outputs]


@pytest.mark.parametrize("form", FORMS)
def test_names_mean_nothing(form: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(file(form))
    assert normalise(read(path)).forms == FORMS[form]
    want = results(path)
    for seed in range(3):
        path.write_bytes(renamed(onnx.load_model_from_string(file(form)), seed).SerializeToString())
        assert normalise(read(path)).forms == FORMS[form]
        for got, wanted in zip(results(path), want, strict=True):
            assert np.array_equal(got, wanted)


def test_a_file_in_no_other_form_stays_as_it_is(tmp_path: Path) -> None:
    net = Net()
    net.output(net.qdq(net.conv(net.input((1, 3, 8, 8)), 3, 4), 0.2, 0))
    before = read(net.save(tmp_path))
    after = normalise(before)
    assert after.file is before and after.forms == ()


def test_the_same_operator_of_another_domain_is_another(tmp_path: Path) -> None:
    net = Net()
    net.output(net.node("Quant", net.qdq(net.conv(net.input((1, 3, 8, 8)), 3, 4), 0.2, 0), domain="somebody"))
    path = net.save(tmp_path)
    assert normalise(read(path)).forms == ()


def test_a_long_chain_of_constants(tmp_path: Path) -> None:
    """As long as no recursion could follow."""
    net = Net()
    scale = net.const(0.2, np.float32)
    for _ in range(3000):
        scale = net.node("Identity", scale)
    x = net.conv(net.input((1, 3, 8, 8)), 3, 4)
    bits = [net.const(0.0, np.float32), net.const(4.0, np.float32)]
    net.output(net.node("Quant", x, scale, *bits, domain="qonnx.custom_op.general", signed=1))
    graph = load(net.save(tmp_path))
    assert [n.op for n in graph.nodes] == ["conv"]
    assert graph.tensors[graph.outputs[0]].scale == pytest.approx(0.2)


def test_every_rewritten_operator_is_in_the_table() -> None:
    names = [name for rewrite in REWRITES for row in rewrite.table() for name in row[0].split(", ")]
    assert len(names) == len(set(names)) > 12
