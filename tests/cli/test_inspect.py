"""`dory inspect`: what a file is and the fate of every node, for files that deploy and files that do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from cli_runner import Dory
from onnx import helper, numpy_helper

from dory import frontend
from dory.layers import LAYERS
from dory.testing.integer_builder import IntegerBuilder
from dory.testing.qdq_builder import QdqBuilder

PLANTED = 5 * 3 * 3 * 3 * 8 * 8 + 7 * 5 * 4 * 4  # MAC of `integers`: a 3x3 convolution and a matrix


def integers(path: Path) -> Path:
    b = IntegerBuilder(np.random.default_rng(3), "quantlab", 11)
    x = b.rescale(b.conv(b.input((1, 3, 8, 8)), 5, (3, 3), pads=[1, 1, 1, 1], bits=4))
    b.output(b.sigmoid(b.linear(b.flatten(b.maxpool(x, 2, 2)), 7, bias=False)), "out")
    onnx.save(b.model(), str(path))
    return path


def inspected(dory: Dory, path: Path, *options: str) -> dict[str, Any]:
    before = sorted(path.parent.iterdir())
    done = dory("inspect", path, "--json", *options)
    assert done.code == 0, done.err
    assert sorted(path.parent.iterdir()) == before
    found: dict[str, Any] = json.loads(done.out)
    return found


def states(found: dict[str, Any], op: str) -> list[str]:
    return [n["state"] for n in found["nodes"] if n["op"] == op]


def test_a_qdq_network(dory: Dory, digits: Path) -> None:
    found = inspected(dory, digits)
    assert found["format"] == "QDQ" and found["deployable"] and not found["problem"]
    graph = frontend.load(digits)
    macs = [
        LAYERS[n.op].macs(n.attrs, [graph.tensors[t].shape for t in n.inputs]) for n in graph.nodes if "conv" in n.op
    ]
    assert sum(n["macs"] for n in found["nodes"] if "conv" in n["layers"]) == sum(macs) > 0
    weighted = [n.attrs for n in graph.nodes if n.op in ("conv", "depthwise", "linear")]
    sizes = [a.weights.size + a.bias.size for a in weighted]
    assert found["parameters"] == sum(sizes) > 0
    assert set(states(found, "Conv")) == {"taken"}
    assert 0 < found["memory"]["l1_peak_bytes"] <= found["memory"]["l1_budget_bytes"]
    text = dory("inspect", digits)
    assert text.code == 0 and "can be deployed: python -m dory deploy" in text.out
    folded = [n["name"] for n in found["nodes"] if not n["layers"]]
    assert f"and {len(folded)} nodes that are constants" in text.out and folded[-1] not in text.out
    every = dory("inspect", digits, "--all").out
    assert all(name[:28] in every for name in folded) and "and " not in every.split("MMAC")[1].split("L1")[0]


def test_a_network_of_integers(dory: Dory, tmp_path: Path) -> None:
    path = integers(tmp_path / "net.onnx")
    found = inspected(dory, path)
    assert found["format"] == "integers in floats" and "QDQ" in found["not_other_formats"]
    assert found["deployable"] and found["macs"] == PLANTED
    assert found["parameters"] == 5 * 3 * 9 + 7 * 5 * 16
    assert any("4 bits" in line and "8 bits" in line for line in found["scheme"])
    assert states(found, "Sigmoid") == ["host"] and states(found, "Conv") == states(found, "Clip") == ["taken"]
    assert any("Sigmoid" in note and "epilogue" in note for note in found["notes"])
    out = dory("inspect", path).out
    assert "left to the host" in out and "linear32" in out


def test_a_file_that_the_checker_refuses(dory: Dory, tmp_path: Path) -> None:
    path = integers(tmp_path / "net.onnx")
    model = onnx.load(str(path))
    next(n for n in model.graph.node if n.op_type == "Conv").attribute.append(helper.make_attribute("weight_bits", 4))
    onnx.save(model, str(path))
    found = inspected(dory, path)
    assert found["onnx_checker"].startswith("refuses it") and "weight_bits" in found["onnx_checker"]
    assert found["deployable"] and found["exporter"] == "Quantlab"


def test_a_node_that_is_not_supported(dory: Dory, tmp_path: Path) -> None:
    b = QdqBuilder("net", seed=1)
    y = b.conv(b.input((1, 3, 8, 8)), 4, 3, act="relu")
    b.output(b.linear(b.flatten(y), 3))
    model = b.model()
    next(n for n in model.graph.node if n.op_type == "Flatten").op_type = "Einsum"
    path = tmp_path / "net.onnx"
    onnx.save(model, str(path))
    found = inspected(dory, path)
    assert not found["deployable"] and "Einsum" in found["problem"] and found["memory"] is None
    assert states(found, "Einsum") == ["refused"] and states(found, "Gemm") == ["unchecked"]
    assert states(found, "Conv") == ["taken"]
    out = dory("inspect", path).out
    assert "no: operator Einsum is not supported" in out and "not checked: it depends on" in out
    assert "cannot be deployed" in out


def test_a_float_network(dory: Dory, tmp_path: Path) -> None:
    value = [helper.make_tensor_value_info(n, 1, [1, 2, 4, 4]) for n in "xy"]
    weights = numpy_helper.from_array(np.full((2, 2, 1, 1), 0.3, np.float32), "w")
    graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"])], "g", value[:1], value[1:], [weights])
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), str(path))
    found = inspected(dory, path)
    assert found["format"] == "none" and not found["deployable"] and found["macs"] == 2 * 2 * 16
    assert "float network" in found["problem"] and "dory quantize" in found["hint"]
    assert states(found, "Conv") == ["unchecked"]


def test_what_does_not_fit(dory: Dory, digits: Path) -> None:
    found = inspected(dory, digits, "--l1", "100")
    assert not found["deployable"] and "L1" in found["problem"]


def test_not_a_network(dory: Dory, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"not a network")
    done = dory("inspect", path)
    assert done.code == 2 and "net.onnx" in done.err and not done.out


@pytest.mark.parametrize("name", ("nemo_eegnet_1d_8b_1xW", "nemo_Residual_connection_test_1", "ql_DVS_CNN_9inputs"))
def test_real_networks(dory: Dory, shared: Path, name: str) -> None:
    found = inspected(dory, shared / "models" / "integer_onnx" / name / "model.onnx")
    assert found["deployable"] and found["exporter"] == ("Quantlab" if name.startswith("ql") else "NEMO")
    assert {n["state"] for n in found["nodes"]} <= {"taken", "host"}
    assert found["onnx_checker"].startswith("refuses" if name.startswith("ql") else "accepts")
