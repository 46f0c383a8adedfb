"""dory quantize: float networks to QDQ files that deploy, and errors that say what to do."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from paths import ROOT
from PIL import Image

from dory.cli.main import main

CLASSES = 4


def float_net(path: Path, batch: int | str = 1) -> Path:
    """Convolution, BatchNormalization and ReLU, depthwise, an addition, average, classifier."""
    rng = np.random.default_rng(3)
    w = {
        "w1": rng.normal(0, 0.3, (8, 3, 3, 3)),
        "scale": rng.uniform(0.5, 1.5, 8),
        "offset": rng.normal(0, 0.2, 8),
        "mean": rng.normal(0, 0.2, 8),
        "var": rng.uniform(0.5, 1.5, 8),
        "w2": rng.normal(0, 0.3, (8, 1, 3, 3)),
        "w3": rng.normal(0, 0.5, (CLASSES, 8)),
        "b3": rng.normal(0, 0.1, CLASSES),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], pads=[1] * 4),
        helper.make_node("BatchNormalization", ["c1", "scale", "offset", "mean", "var"], ["n1"]),
        helper.make_node("Relu", ["n1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], pads=[1] * 4, group=8),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("Add", ["r1", "r2"], ["s"]),
        helper.make_node("GlobalAveragePool", ["s"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["y"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "float",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 12, 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, CLASSES])],
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in w.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def samples(n: int = 24) -> np.ndarray:
    return np.random.default_rng(5).uniform(0, 1, (n, 3, 12, 12)).astype(np.float32)


def answers(path: Path, x: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    return np.array([session.run(None, {session.get_inputs()[0].name: s[None]})[0][0] for s in x])


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return float_net(tmp_path / "float.onnx")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    np.savez(tmp_path / "data.npz", x=samples())
    return tmp_path / "data.npz"


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
def test_the_quantised_network_answers_like_the_float_one(net: Path, data: Path, tmp_path: Path, method: str) -> None:
    out = tmp_path / "q.onnx"
    assert main(["quantize", str(net), "--calibration", str(data), "-o", str(out), "--method", method]) == 0
    real, ours = answers(net, samples()), answers(out, samples())
    noise = 10 * np.log10((real**2).sum() / ((real - ours) ** 2).sum())
    assert noise > 20, f"{noise:.1f} dB"
    weights = [numpy_helper.to_array(t) for t in onnx.load(out).graph.initializer]
    assert any(w.dtype == np.int8 and w.ndim == 4 for w in weights)
    assert "BatchNormalization" not in {n.op_type for n in onnx.load(out).graph.node}


def test_json_has_every_activation_and_accuracy(net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = samples()
    labels = answers(net, x).argmax(1)
    np.savez(tmp_path / "labelled.npz", x=x, labels=labels)
    out, given = str(tmp_path / "q.onnx"), str(tmp_path / "labelled.npz")
    assert main(["quantize", str(net), "--calibration", given, "-o", out, "--json"]) == 0
    text = capsys.readouterr().out
    found = json.loads(text)
    assert re.search(r'"sqnr_db"', text) and len(json.dumps(found)) > 300
    right = found["accuracy"]
    assert right["float_right"] == right["samples"] == 24 and right["quantised_right"] >= 20


def test_images_and_preprocessing(net: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for i in range(4):
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8).astype(np.uint8)).save(folder / f"{i}.png")
    (tmp_path / "p.toml").write_text("resize = [12, 12]\nmean = [0.5, 0.5, 0.5]\nstd = [0.25, 0.25, 0.25]\n")
    command = ["quantize", str(net), "--calibration", str(folder), "-o", str(tmp_path / "q.onnx")]
    assert main([*command, "--preprocess", str(tmp_path / "p.toml")]) == 0


def bad_inputs(folder: Path) -> dict[str, tuple[list[str], str]]:
    """Case -> (arguments after the model, what the message must say)."""
    (folder / "empty").mkdir()
    (folder / "broken").mkdir()
    (folder / "broken" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    x = samples(3)
    np.savez(folder / "shape.npz", x=x[:, :, :5])
    np.savez(folder / "nan.npz", x=np.where(x > 0.99, np.nan, x))
    (folder / "no.npz").write_bytes(b"PK nothing")
    return {
        "missing": (["--calibration", str(folder / "nowhere")], "nowhere"),
        "empty": (["--calibration", str(folder / "empty")], "empty"),
        "broken image": (["--calibration", str(folder / "broken")], "a.png"),
        "shape": (["--calibration", str(folder / "shape.npz")], "shape.npz"),
        "nan": (["--calibration", str(folder / "nan.npz")], "nan.npz"),
        "no archive": (["--calibration", str(folder / "no.npz")], "no.npz"),
    }


CASES = ("missing", "empty", "broken image", "shape", "nan", "no archive")


@pytest.mark.parametrize("case", CASES)
def test_bad_data_is_refused(net: Path, tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, wanted = bad_inputs(tmp_path)[case]
    out = tmp_path / "q.onnx"
    assert main(["quantize", str(net), *arguments, "-o", str(out)]) == 2
    said = capsys.readouterr().err
    assert wanted in said and "Traceback" not in said and "try:" in said
    assert not out.exists()


def test_a_quantised_model_is_refused(
    net: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "q.onnx"
    assert main(["quantize", str(net), "--calibration", str(data), "-o", str(out)]) == 0
    before = out.read_bytes()
    assert main(["quantize", str(out), "--calibration", str(data), "-o", str(out)]) == 2
    assert "quantised" in capsys.readouterr().err
    assert out.read_bytes() == before


def test_a_float_model_without_calibration(net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy", str(net), "-o", str(tmp_path / "app")]) == 2
    assert "--calibration" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, "N"])
def test_deploy_does_both_steps(data: Path, tmp_path: Path, batch: int | str) -> None:
    net = float_net(tmp_path / "float.onnx", batch)
    app = tmp_path / "app"
    assert main(["deploy", str(net), "--calibration", str(data), "-o", str(app)]) == 0
    assert (app / "plan.json").is_file()


@pytest.mark.slow
def test_the_dronet_example(shared: Path, tmp_path: Path) -> None:
    script = ROOT / "examples" / "pulp_dronet" / "run.py"
    command = [sys.executable, str(script), str(shared / "models" / "pulp_dronet_v2")]
    where = {**os.environ, "PYTHONPATH": str(ROOT)}  # dory need not be installed
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=where)
    worst = re.search(r"largest difference: steering ([0-9.]+), collision ([0-9.]+)", done.stdout)
    assert worst and float(worst[1]) < 0.02 and float(worst[2]) < 0.02
    assert "frames/s" in done.stdout


@pytest.mark.parametrize("text", ["4", "c1=4,y=2"])
def test_weights_of_fewer_bits(net: Path, data: Path, tmp_path: Path, text: str) -> None:
    """Chosen layers, or all, are stored in 4 or 2 bits by deploy."""
    eight, few = tmp_path / "eight.onnx", tmp_path / "few.onnx"
    assert main(["quantize", str(net), "--calibration", str(data), "-o", str(eight)]) == 0
    layers = [n for n in onnx.load(eight).graph.node if n.op_type in ("Conv", "Gemm")]
    if "=" in text:
        text = f"{layers[0].name or layers[0].output[0]}=4,{layers[-1].name or layers[-1].output[0]}=2"
    command = ["quantize", str(net), "--calibration", str(data), "--weights", text, "-o", str(few)]
    assert main(command) == 0
    largest = [
        int(np.abs(numpy_helper.to_array(t).astype(int)).max())
        for t in onnx.load(few).graph.initializer
        if t.data_type == TensorProto.INT8 and len(t.dims) >= 2
    ]
    assert sum(v <= 8 for v in largest) == (3 if text == "4" else 2)
    assert main(["deploy", str(few), "-o", str(tmp_path / "app"), "--verify", "none"]) == 0
    bits = {
        w["bits"]
        for w in (x["weights"] for x in json.loads((tmp_path / "app" / "plan.json").read_text())["layers"])
        if w
    }
    assert 4 in bits


def test_weights_of_odd_bits(net: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "q.onnx"
    for text, said in (("3", "accepted are 2, 4 and 8"), ("nowhere=4", "nowhere")):
        assert main(["quantize", str(net), "--calibration", str(data), "--weights", text, "-o", str(out)]) == 2
        assert said in capsys.readouterr().err
    assert not out.exists()
