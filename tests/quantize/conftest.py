"""A float network and calibration data in a folder of their own, and the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from float_nets import FloatNet, lenet

from dory.cli.main import main

pytest.importorskip("onnxruntime")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process: (exit code, stdout, stderr), never a traceback."""

    def call(*args: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(a) for a in args])
        done = capsys.readouterr()
        assert "Traceback" not in done.err
        return code, done.out, done.err

    return call


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """lenet, which reads [1, 1, 16, 16]."""
    path = tmp_path / "net.onnx"
    onnx.save(lenet(), path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Six grey images of 16 x 16 pixels; the first holds 0 to 255."""
    pil = pytest.importorskip("PIL.Image")
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for i in range(6):
        pixels = rng.integers(0, 256, (16, 16), np.uint8) if i else np.arange(256, dtype=np.uint8).reshape(16, 16)
        pil.fromarray(pixels).save(folder / f"{i}.{'png' if i % 2 else 'pgm'}")
    return folder


@pytest.fixture
def rgb_net(tmp_path: Path) -> Path:
    """One convolution over [1, 3, 8, 8]."""
    n = FloatNet("rgb")
    n.out.input("image", (1, 3, 8, 8))
    n.out.output(n.conv("image", 3, 4), "map", (1, 4, 8, 8))
    path = tmp_path / "rgb.onnx"
    onnx.save(n.out.model(), path)
    return path
