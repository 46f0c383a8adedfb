"""The bundled example: small files, and networks that read digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"


def _accuracy(path: Path) -> float:
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    test = np.load(DIGITS / "digits_test.npz")
    pixels = test["images"].astype(np.float32) / 16
    answers = [int(session.run(None, {"image": image[None]})[0].argmax()) for image in pixels]
    return float(np.mean(answers == test["labels"]))


def test_files_are_small() -> None:
    networks = [DIGITS / "digits_float.onnx", DIGITS / "digits_qdq.onnx"]
    assert sum(p.stat().st_size for p in networks) < 500_000
    assert (DIGITS / "digits_test.npz").stat().st_size < 150_000


def test_test_split_is_scikit_learns() -> None:
    """Every image of the test split is one of the data set, with its label."""
    data = pytest.importorskip("sklearn.datasets").load_digits()
    known = {
        (image.astype(np.uint8).tobytes(), int(label)) for image, label in zip(data.images, data.target, strict=True)
    }
    test = np.load(DIGITS / "digits_test.npz")
    assert test["images"].dtype == np.uint8
    assert test["images"].shape == (450, 1, 8, 8)
    assert all((i.tobytes(), int(y)) in known for i, y in zip(test["images"], test["labels"], strict=True))


@pytest.mark.parametrize("name", ["digits_float.onnx", "digits_qdq.onnx"])
def test_accuracy(name: str) -> None:
    onnx.checker.check_model(onnx.load(DIGITS / name), full_check=True)
    assert _accuracy(DIGITS / name) >= 0.97
