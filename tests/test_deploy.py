"""Whole networks through the command line: generated, built with sanitizers, run twice, every layer bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dory.cli.main import main
from dory.layers.rescale import FORMS
from dory.plan import load_plan
from dory.testing.networks import NETWORKS, sample_input

pytestmark = pytest.mark.slow


def save(name: str, folder: Path) -> Path:
    path = folder / f"{name}.onnx"
    path.write_bytes(NETWORKS[name].build().SerializeToString(deterministic=True))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


NAMES = [n for n in NETWORKS if n not in ("mobilenet_v2_1.0_128", "mobilenet_v2_1.0_224", "resnet18_224")]


@pytest.mark.parametrize("name", NAMES)
def test_project_networks(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy", str(save(name, tmp_path)), "-o", str(tmp_path / "app"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["verified"] and summary["network"]["l2_peak_bytes"] > 0
    layers = load_plan(tmp_path / "app").layers
    assert [layer["form"] for layer in summary["layers"]] == [layer.form for layer in layers]
    assert all(layer.form in FORMS for layer in layers if layer.op == "conv")
    assert not any(layer.form for layer in layers if layer.op in ("maxpool", "concat", "pad", "lut"))


@pytest.mark.parametrize("bits", [15, 31])
@pytest.mark.parametrize("model", ["kws_dscnn_qdq", "ic_resnet8_qdq"])
def test_mlperf_networks(model: str, bits: int, shared: Path, tmp_path: Path) -> None:
    path = shared / "models" / "mlperf_tiny" / f"{model}.onnx"
    assert main(["deploy", str(path), "-o", str(tmp_path / "app"), "--rescale-bits", str(bits)]) == 0


def test_keyword_sample_is_class_5(shared: Path, tmp_path: Path) -> None:
    folder = shared / "models" / "mlperf_tiny"
    sample = folder / "kws_sample.npz"
    app = tmp_path / "app"
    assert main(["deploy", str(folder / "kws_dscnn_qdq.onnx"), "-o", str(app), "--input", str(sample)]) == 0
    # The file's output type is int8; the host build has just proved that the C computes these bytes.
    scores = np.frombuffer((app / "data" / "output0.bin").read_bytes(), np.int8)
    assert scores.argmax() == 5 == np.load(sample)["output"].argmax()


def test_mobilenet_streams_weights_and_spills_only_what_it_must(tmp_path: Path) -> None:
    assert (
        main(["deploy", str(save("mobilenet_v1_1.0_128", tmp_path)), "-o", str(tmp_path / "a"), "--verify", "none"])
        == 0
    )
    plan = json.loads((tmp_path / "a" / "plan.json").read_text())
    modes = {layer["weights"]["mode"] for layer in plan["layers"] if layer["weights"]}
    assert modes == {"resident", "streamed"}
    largest = max(np.prod(layer["inputs"][0]["shape"]) + np.prod(layer["output"]["shape"]) for layer in plan["layers"])
    spilled = [layer["name"] for layer in plan["layers"] if layer["output"]["l3_offset"] >= 0]
    assert largest < plan["l2_budget"] - plan["l2_code"] or spilled


@pytest.mark.parametrize("l1", ["8k", "16k", "32k"])
def test_small_l1_budgets(l1: str, tmp_path: Path) -> None:
    assert main(["deploy", str(save("conv1d_net", tmp_path)), "-o", str(tmp_path / "a"), "--l1", l1]) == 0
    assert main(["deploy", str(save("dscnn", tmp_path)), "-o", str(tmp_path / "b"), "--l1", l1]) == 0


@pytest.mark.parametrize("l2", ["110k", "140k", "160k"])
def test_small_l2_budgets_stream_from_l3(l2: str, tmp_path: Path) -> None:
    """Stripes, weight parts, prefetch and residuals through L3, all bit for bit."""
    assert main(["deploy", str(save("resnet8", tmp_path)), "-o", str(tmp_path / "a"), "--l2", l2]) == 0
    plan = json.loads((tmp_path / "a" / "plan.json").read_text())
    assert {layer["weights"]["mode"] for layer in plan["layers"] if layer["weights"]} != {"resident"}


def test_two_deployments_are_byte_identical_and_replace_each_other(tmp_path: Path) -> None:
    model = save("two_output_net", tmp_path)
    for app in ("a", "b", "a"):
        assert main(["deploy", str(model), "-o", str(tmp_path / app), "--verify", "none"]) == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "two_output_net.onnx"]


def test_a_failed_deployment_keeps_the_old_folder(tmp_path: Path) -> None:
    model, app = save("two_output_net", tmp_path), tmp_path / "app"
    assert main(["deploy", str(model), "-o", str(app), "--verify", "none"]) == 0
    before = contents(app)
    assert main(["deploy", str(model), "-o", str(app), "--l1", "512"]) == 3
    assert contents(app) == before


def test_verify_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = tmp_path / "app"
    assert main(["deploy", str(save("two_input_net", tmp_path)), "-o", str(app), "--verify", "none"]) == 0
    assert main(["verify", str(app)]) == 0
    wanted = app / "data" / "crc32.json"
    wanted.write_text(json.dumps([*json.loads(wanted.read_text())[:-1], "00000000"]))
    capsys.readouterr()
    assert main(["verify", str(app)]) == 1
    err = capsys.readouterr().err
    assert "differs" in err and "layer " in err


FAULTS = {
    "a wrong kernel": ("kernels/dory_add.c", "a->bias", "(a->bias ^ 4096)"),
    "a missing wait": ("runtime/dory_engine.c", "    drt_dma_wait(&s.x_job[s.xi]);\n", ""),
    "an overrun": ("kernels/dory_conv.c", "plain_pixel(a, p / a->w_out", "plain_pixel(a, 1 + p / a->w_out"),
    "a wrong halo": ("runtime/dory_tile.h", "- pad + span;", "- pad + span - (span > 1);"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_in_the_code_are_found(fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = tmp_path / "app"
    assert main(["deploy", str(save("resnet8", tmp_path)), "-o", str(app), "--verify", "none", "--l1", "20k"]) == 0
    name, good, bad = FAULTS[fault]
    source = (app / name).read_text()
    assert good in source
    (app / name).write_text(source.replace(good, bad))
    capsys.readouterr()
    assert main(["verify", str(app)]) == 1
    assert "dory verify: " in capsys.readouterr().err


def test_no_data_races(tmp_path: Path) -> None:
    app = tmp_path / "app"
    assert main(["deploy", str(save("two_output_net", tmp_path)), "-o", str(app), "--verify", "none"]) == 0
    assert main(["verify", str(app), "--sanitizer", "thread"]) == 0


def test_example_input_changes_only_the_example(tmp_path: Path) -> None:
    model = save("two_input_net", tmp_path)
    arrays = sample_input(NETWORKS["two_input_net"].build(), 3)
    np.savez(tmp_path / "x.npz", **arrays)
    assert main(["deploy", str(model), "-o", str(tmp_path / "a"), "--verify", "none"]) == 0
    assert (
        main(["deploy", str(model), "-o", str(tmp_path / "b"), "--verify", "none", "--input", str(tmp_path / "x.npz")])
        == 0
    )
    a, b = contents(tmp_path / "a"), contents(tmp_path / "b")
    different = {n for n in a if a[n] != b[n]}
    assert different and all(n.startswith("data/") or n == "src/network.c" for n in different)


def test_comparison_with_onnxruntime(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = save("resnet8", tmp_path)
    assert main(["deploy", str(model), "-o", str(tmp_path / "a"), "--verify", "none", "--compare-onnx", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["onnxruntime"]
    assert found["elements"] > 100_000 and found["max_lsb"] <= 1 and found["differing"] < found["elements"] // 500
