"""quantize and deploy --calibration: what they write and print, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import Run  # type: ignore[import-not-found]
from float_nets import FloatNet, lenet, mlp
from paths import ROOT

DIGITS = ROOT / "examples" / "digits"


def test_quantize_then_deploy(run: Run, net: Path, images: Path, tmp_path: Path) -> None:
    q = tmp_path / "q.onnx"
    code, out, err = run("quantize", net, "--calibration", images, "-o", q)
    assert code == 0, err
    assert "SQNR dB" in out and "pixel / 255" in out and "6 samples are few" in out and "accuracy" not in out
    assert [line.split(":")[0] for line in err.splitlines()] == [
        *("prepare", "ranges", "quantise", "errors", "check", "write")
    ]
    assert run("deploy", q, "-o", tmp_path / "app", "--verify", "none")[0] == 0


def test_deploy_does_both(run: Run, net: Path, images: Path, tmp_path: Path) -> None:
    app, q = tmp_path / "app", tmp_path / "kept.onnx"
    code, out, err = run("deploy", net, "--calibration", images, "-o", app, "--quantized", q)
    assert code == 0, err
    assert "SQNR of the outputs" in out and "every byte equal" in out
    code, _, _ = run("quantize", net, "--calibration", images, "-o", tmp_path / "q.onnx")
    assert code == 0 and q.read_bytes() == (tmp_path / "q.onnx").read_bytes()
    assert json.loads((app / "plan.json").read_text())["network"] == "net"
    code, out, _ = run("deploy", net, "--calibration", images, "-o", app, "--verify", "none", "--json")
    assert json.loads(out)["quantised"]["deploy"]["accepted"]


def test_accuracy_of_labels_in_the_npz(run: Run, tmp_path: Path) -> None:
    """The digits' test split, whose float accuracy is known: 448 of 450."""
    (tmp_path / "p.toml").write_text("scale = '1/16'\n")
    data, q = DIGITS / "digits_test.npz", tmp_path / "q.onnx"
    args = ("--calibration", data, "--samples", 64, "--preprocess", tmp_path / "p.toml", "-o", q, "--json")
    code, out, err = run("quantize", DIGITS / "digits_float.onnx", *args)
    assert code == 0, err
    found = json.loads(out)
    assert found["accuracy"]["samples"] == 450 and found["accuracy"]["float_right"] == 448
    assert found["accuracy"]["quantised_right"] >= 445
    assert found["calibration"]["samples"] == 64 and found["quantised_bytes"] == q.stat().st_size


def test_labels_of_a_csv(run: Run, net: Path, images: Path, tmp_path: Path) -> None:
    """Labels are what the float network answers, so it is right in all of them, one of three told wrong."""
    from dory.testing.ladder import run_onnxruntime

    answers = {}
    for file in sorted(images.iterdir())[:3]:
        from PIL import Image

        x = np.asarray(Image.open(file), np.float32)[None, None] / np.float32(255)
        answers[file.name] = int(run_onnxruntime(net, {"image": x})["scores"].argmax())
    last = list(answers)[-1]
    answers[last] = (answers[last] + 1) % 10
    lines = ["file,label", *(f"{k},{v}" for k, v in answers.items())]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    args = ("--calibration", images, "--labels", tmp_path / "labels.csv", "-o", tmp_path / "q.onnx", "--json")
    code, out, err = run("quantize", net, *args)
    assert code == 0, err
    found = json.loads(out)["accuracy"]
    assert (found["samples"], found["float_right"]) == (3, 2)


def changed(path: Path, edit: Callable[[onnx.ModelProto], None]) -> None:
    model = onnx.load(path)
    edit(model)
    onnx.save(model, path)


def test_dynamic_batch_becomes_one(run: Run, net: Path, images: Path, tmp_path: Path) -> None:
    def edit(m: onnx.ModelProto) -> None:
        m.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"

    changed(net, edit)
    code, out, err = run("quantize", net, "--calibration", images, "-o", tmp_path / "q.onnx")
    assert code == 0 and "batch size" in out, err


def dims(*sizes: int | str) -> Callable[[onnx.ModelProto], None]:
    def edit(m: onnx.ModelProto) -> None:
        for d, size in zip(m.graph.input[0].type.tensor_type.shape.dim, sizes, strict=True):
            d.Clear()
            if isinstance(size, int):
                d.dim_value = size
            else:
                d.dim_param = size

    return edit


def nan_weight(m: onnx.ModelProto) -> None:
    tensor = next(t for t in m.graph.initializer if len(t.dims) == 4)
    values = onnx.numpy_helper.to_array(tensor).copy()
    values.flat[0] = np.nan
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))


def foreign(m: onnx.ModelProto) -> None:
    m.graph.node[0].domain = "no.such.domain"


def integers(m: onnx.ModelProto) -> None:
    m.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.INT64


MODELS = {
    "height unknown": (dims("N", 1, "H", 16), ("'H'", "not fixed", "make_dynamic_shape_fixed")),
    "batch of 4": (dims(4, 1, 16, 16), ("batch of 4", "batch size 1")),
    "NaN weight": (nan_weight, ("not finite", "weights")),
    "unknown operator": (foreign, ("onnxruntime cannot",)),
    "integer input": (integers, ("int64", "float32")),
}


@pytest.mark.parametrize("case", MODELS)
def test_models_that_are_refused(case: str, run: Run, net: Path, images: Path, tmp_path: Path) -> None:
    edit, words = MODELS[case]
    changed(net, edit)
    before = sorted(tmp_path.iterdir())
    code, _, err = run("quantize", net, "--calibration", images, "-o", tmp_path / "q.onnx")
    assert code == 2 and str(net) in err and "try:" in err and not [w for w in words if w not in err], err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("keep", [None, 0, 20, 1000])
def test_damaged_models(keep: int | None, run: Run, net: Path, images: Path, tmp_path: Path) -> None:
    if keep is None:
        net.unlink()
    else:
        net.write_bytes(net.read_bytes()[:keep])
    code, _, err = run("quantize", net, "--calibration", images, "-o", tmp_path / "q.onnx")
    assert code == 2 and str(net) in err


def test_quantised_already(run: Run, images: Path, tmp_path: Path) -> None:
    for args in (("quantize",), ("deploy", "--verify", "none")):
        code, _, err = run(*args, DIGITS / "digits_qdq.onnx", "--calibration", images, "-o", tmp_path / "x")
        assert code == 2 and "quantised already" in err and "without --calibration" in err


@pytest.mark.parametrize("name", ["nemo_dscnn_test", "ql_Dronet"])
def test_networks_of_integers_are_quantised_already(
    name: str, shared: Path, run: Run, images: Path, tmp_path: Path
) -> None:
    model = shared / "models" / "integer_onnx" / name / "model.onnx"
    code, _, err = run("quantize", model, "--calibration", images, "-o", tmp_path / "q.onnx")
    assert code == 2 and "quantised already: integers in floats" in err


def test_deploy_of_a_float_network_names_the_option(run: Run, net: Path, images: Path, tmp_path: Path) -> None:
    code, _, err = run("deploy", net, "-o", tmp_path / "app")
    assert code == 2 and "a float network" in err and "--calibration" in err
    code, _, err = run("deploy", net, "-o", tmp_path / "app", "--method", "entropy")
    assert code == 2 and "--method" in err and "--calibration" in err


def test_deploy_says_what_it_does_not_accept(run: Run, tmp_path: Path) -> None:
    n = FloatNet("det")
    n.out.input("image", (1, 3, 8, 8))
    x = n.out.node("Einsum", [n.conv("image", 3, 4), n.conv("image", 3, 4)], equation="nchw,nchw->nc")
    n.out.output(x, "y", (1, 4))
    onnx.save(n.out.model(), tmp_path / "net.onnx")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((4, 3, 8, 8), np.float32))
    args = (tmp_path / "net.onnx", "--calibration", tmp_path / "x.npy", "-o")
    code, out, _ = run("quantize", *args, tmp_path / "q.onnx")
    assert code == 0 and "deploy does not accept" in out and "Einsum" in out
    code, _, err = run("deploy", *args, tmp_path / "app")
    assert code == 2 and "Einsum" in err and str(tmp_path / "net.onnx") in err and not (tmp_path / "app").exists()


def _data(folder: Path, case: str) -> Path:
    """A bad source of calibration data."""
    place = folder / "bad"
    place.mkdir()
    x = np.random.default_rng(0).random((3, 1, 16, 16), np.float32)
    if case == "missing":
        return folder / "nowhere"
    if case == "text files":
        (place / "notes.txt").write_text("x")
    elif case == "corrupt image":
        (place / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    elif case == "empty image":
        (place / "a.jpg").write_bytes(b"")
    elif case == "other size":
        pytest.importorskip("PIL.Image").fromarray(np.zeros((20, 30), np.uint8)).save(place / "a.png")
    elif case == "16 bits":
        pytest.importorskip("PIL.Image").fromarray(np.zeros((16, 16), np.uint16)).save(place / "a.png")
    elif case == "wrong shape":
        np.save(place / "a.npy", x[:, :, :8])
    elif case == "NaN":
        x[1, 0, 2, 3] = np.nan
        np.save(place / "a.npy", x)
    elif case == "objects":
        np.save(place / "a.npy", np.array([{}, 1], object), allow_pickle=True)
    elif case == "text":
        np.save(place / "a.npy", np.array(["a", "b"]))
    elif case == "not NumPy":
        (place / "a.npz").write_bytes(b"PK and no more")
    elif case == "no samples":
        np.save(place / "a.npy", x[:0])
    elif case == "two arrays":
        np.savez(place / "a.npz", p=x, q=x)
    elif case == "labels too few":
        np.savez(place / "a.npz", image=x, labels=np.arange(2))
    elif case == "labels too large":
        np.savez(place / "a.npz", image=x, labels=np.arange(3) * 10)
    elif case == "huge":
        np.save(place / "a.npy", np.full_like(x, 3e38))
    return place


DATA = {
    "missing": ("no such file or folder", "a folder of images"),
    "empty": ("holds nothing", ".npz"),
    "text files": (".txt", "none of them"),
    "corrupt image": ("a.png", "not a readable image"),
    "empty image": ("a.jpg", "not a readable image"),
    "other size": ("a.png", "20 x 30", "16 x 16", "--preprocess"),
    "16 bits": ("a.png", "8 bits"),
    "wrong shape": ("a.npy", "[3, 1, 8, 16]", "[1, 16, 16]"),
    "NaN": ("a.npy[1]", "not finite"),
    "objects": ("a.npy", "Python objects"),
    "text": ("a.npy", "<U1"),
    "not NumPy": ("a.npz", "damaged"),
    "no samples": ("a.npy", "no samples"),
    "two arrays": ("a.npz", "p, q", "image"),
    "labels too few": ("a.npz", "for 3 samples"),
    "labels too large": ("a.npz[1]", "0 to 9"),
    "huge": ("is not finite on", "a.npy[0]"),
}


@pytest.mark.parametrize("case", DATA)
def test_data_that_is_refused(case: str, run: Run, net: Path, tmp_path: Path) -> None:
    source = _data(tmp_path, case)
    code, _, err = run("quantize", net, "--calibration", source, "-o", tmp_path / "q.onnx")
    assert code == 2 and "try:" in err and not [w for w in DATA[case] if w not in err], err
    assert not (tmp_path / "q.onnx").exists()


def test_several_inputs_need_their_names(run: Run, images: Path, tmp_path: Path) -> None:
    onnx.save(mlp(), tmp_path / "net.onnx")
    for source in (images, tmp_path / "x.npy"):
        np.save(tmp_path / "x.npy", np.zeros((1, 12), np.float32))
        code, _, err = run("quantize", tmp_path / "net.onnx", "--calibration", source, "-o", tmp_path / "q.onnx")
        assert code == 2 and "a, b" in err, err


OPTIONS = {
    "percentile of minmax": (("--method", "minmax", "--percentile", "99"), "--percentile"),
    "percentile of 101": (("--percentile", "101"), "--percentile"),
    "no samples": (("--samples", "0"), "--samples"),
    "no labels file": (("--labels", "nowhere.csv"), "nowhere.csv"),
    "no TOML file": (("--preprocess", "nowhere.toml"), "nowhere.toml"),
    "no test folder": (("--test", "nowhere"), "nowhere"),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_options_that_are_refused(case: str, run: Run, net: Path, images: Path, tmp_path: Path) -> None:
    args, word = OPTIONS[case]
    code, _, err = run("quantize", net, "--calibration", images, "-o", tmp_path / "q.onnx", *args)
    assert code == 2 and word in err and not (tmp_path / "q.onnx").exists()


@pytest.mark.parametrize("text", ["0.pgm;3", "0.pgm,cat", "", "elsewhere.png,1", "\x00\xff"])
def test_bad_labels(text: str, run: Run, net: Path, images: Path, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes(text.encode("latin-1"))
    args = ("--labels", tmp_path / "l.csv", "-o", tmp_path / "q.onnx")
    code, _, err = run("quantize", net, "--calibration", images, *args)
    assert code == 2 and "l.csv" in err and "try:" in err


def test_output_is_written_whole_or_not(run: Run, net: Path, images: Path, tmp_path: Path) -> None:
    before = net.read_bytes()
    for output, word in ((net, "float network itself"), (images, "folder"), (tmp_path / "no" / "q.onnx", "exist")):
        code, _, err = run("quantize", net, "--calibration", images, "-o", output)
        assert code == 2 and word in err, err
    assert net.read_bytes() == before and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(("module", "package"), [("onnxruntime", "onnxruntime"), ("PIL", "Pillow")])
def test_missing_extra(
    module: str, package: str, run: Run, net: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == module else real(name, *a))
    code, _, err = run("quantize", net, "--calibration", images, "-o", tmp_path / "q.onnx")
    assert code == 2 and f"{package} is not installed" in err and "pip install 'dory[quantize]'" in err


def test_same_input_same_file(run: Run, net: Path, images: Path, tmp_path: Path) -> None:
    onnx.save(lenet(), net)
    files = [tmp_path / "1.onnx", tmp_path / "2.onnx"]
    for file in files:
        assert run("quantize", net, "--calibration", images, "-o", file)[0] == 0
    assert files[0].read_bytes() == files[1].read_bytes()
