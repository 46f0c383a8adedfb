"""Bad input ends with its exit code and one message that says what, where and what next; nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dory.cli.main import main

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process: (exit code, stderr)."""

    def call(*args: object) -> tuple[int, str]:
        code = main([str(a) for a in args])
        return code, capsys.readouterr().err

    return call


def conv_model(*, scale: float = 0.02, channels: int = 4, op: str = "Relu") -> onnx.ModelProto:
    """A minimal quantised network: Q, DQ, Conv, op, Q, DQ."""
    rng = np.random.default_rng(0)
    constants = {
        "s": np.float32(scale),
        "z": np.uint8(0),
        "w": rng.integers(-128, 128, (4, channels, 3, 3)).astype(np.int8),
        "ws": np.float32(0.01),
        "wz": np.int8(0),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"]),
        helper.make_node("Conv", ["xd", "wd"], ["c"], name="the_conv", pads=[1, 1, 1, 1]),
        helper.make_node(op, ["c"], ["r"], name="the_op"),
        helper.make_node("QuantizeLinear", ["r", "s", "z"], ["rq"]),
        helper.make_node("DequantizeLinear", ["rq", "s", "z"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def save(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def float_model() -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 6, 6])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def dynamic_model() -> onnx.ModelProto:
    model = float_model()
    model.graph.ClearField("node")
    model.graph.node.append(helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]))
    model.graph.node.append(helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]))
    return model


CASES = {
    "float network": (float_model, ("quanti",)),
    "dynamic quantisation": (dynamic_model, ("DynamicQuantizeLinear", "static")),
    "unsupported operator": (lambda: conv_model(op="Det"), ("Det",)),
    "NaN scale": (lambda: conv_model(scale=float("nan")), ("scale",)),
    "negative scale": (lambda: conv_model(scale=-1.0), ("scale",)),
    "shape mismatch": (lambda: conv_model(channels=3), ("the_conv",)),
}


@pytest.mark.parametrize("case", CASES)
def test_unsupported_models(case: str, run: Run, tmp_path: Path) -> None:
    build, words = CASES[case]
    path = save(build(), tmp_path)
    code, err = run("deploy", path, "-o", tmp_path / "app")
    assert code == 2, err
    assert "Traceback" not in err and str(path) in err
    for word in words:
        assert word in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.onnx"]


def test_missing_file(run: Run, tmp_path: Path) -> None:
    code, err = run("deploy", tmp_path / "none.onnx", "-o", tmp_path / "app")
    assert code == 2 and "none.onnx" in err and "no such file" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("keep", [0, 10, 200])
def test_truncated_file(keep: int, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(conv_model().SerializeToString()[:keep])
    code, err = run("deploy", path, "-o", tmp_path / "app")
    assert code == 2 and "model.onnx" in err and "Traceback" not in err
    assert not (tmp_path / "app").exists()


def test_too_little_l1_names_the_terms(run: Run, tmp_path: Path) -> None:
    model = conv_model()
    wide = np.zeros((4, 400, 3, 3), np.int8)
    model.graph.initializer.remove(next(i for i in model.graph.initializer if i.name == "w"))
    model.graph.initializer.append(numpy_helper.from_array(wide + 1, "w"))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 400
    path = save(model, tmp_path)
    code, err = run("deploy", path, "-o", tmp_path / "app", "--l1", "1k")
    assert code == 3 and "the_conv" in err and "kB of L1" in err and "largest terms" in err and "--l1" in err
    assert not (tmp_path / "app").exists()


def test_too_little_l2(run: Run, tmp_path: Path) -> None:
    code, err = run("deploy", save(conv_model(), tmp_path), "-o", tmp_path / "app", "--l2", "4k")
    assert code == 3 and "--l2" in err
    assert not (tmp_path / "app").exists()


@pytest.mark.parametrize("option", ["--l1", "--l2"])
def test_more_memory_than_there_is(option: str, run: Run, tmp_path: Path) -> None:
    code, err = run("deploy", save(conv_model(), tmp_path), "-o", tmp_path / "app", option, "4M")
    assert code == 2 and option in err


def test_foreign_output_folder_is_kept(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    code, err = run("deploy", save(conv_model(), tmp_path), "-o", folder)
    assert code == 2 and str(folder) in err and "--force" in err
    assert [p.name for p in folder.iterdir()] == ["thesis.txt"]


def test_output_is_a_file(run: Run, tmp_path: Path) -> None:
    path = save(conv_model(), tmp_path)
    code, err = run("deploy", path, "-o", path)
    assert code == 2 and "not a folder" in err and path.stat().st_size > 100


@pytest.mark.parametrize("data", [b"", b"not numpy"])
def test_bad_example_input(data: bytes, run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(data)
    code, err = run("deploy", save(conv_model(), tmp_path), "-o", tmp_path / "app", "--input", tmp_path / "x.npz")
    assert code == 2 and "x.npz" in err


def test_example_input_of_another_name_or_shape(run: Run, tmp_path: Path) -> None:
    path = save(conv_model(), tmp_path)
    np.savez(tmp_path / "names.npz", a=np.zeros(1), b=np.zeros(1))
    code, err = run("deploy", path, "-o", tmp_path / "app", "--input", tmp_path / "names.npz")
    assert code == 2 and "a, b" in err and " x" in err
    np.save(tmp_path / "shape.npy", np.zeros((1, 3, 6, 6), np.float32))
    code, err = run("deploy", path, "-o", tmp_path / "app", "--input", tmp_path / "shape.npy")
    assert code == 2 and "[1, 3, 6, 6]" in err and "[1, 4, 6, 6]" in err
    np.save(tmp_path / "nan.npy", np.full((1, 4, 6, 6), np.nan, np.float32))
    code, err = run("deploy", path, "-o", tmp_path / "app", "--input", tmp_path / "nan.npy")
    assert code == 2 and "finite" in err


def test_unknown_target(run: Run, tmp_path: Path) -> None:
    code, err = run("deploy", save(conv_model(), tmp_path), "-o", tmp_path / "app", "--target", "gap77")
    assert code == 2 and "gap77" in err and "gap8" in err


def test_verify_of_something_else(run: Run, tmp_path: Path) -> None:
    code, err = run("verify", tmp_path)
    assert code == 2 and str(tmp_path) in err and "deploy" in err
