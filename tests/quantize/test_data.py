"""Images and arrays of all kinds become the network's numbers, as the TOML file says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Run  # type: ignore[import-not-found]

from dory.quantize.data import open_samples
from dory.quantize.float_model import Input
from dory.quantize.preprocess import Preprocess, load

Image = pytest.importorskip("PIL.Image")
GREY, RGB, NHWC = (Input("x", s) for s in ((1, 1, 4, 6), (1, 3, 4, 6), (1, 4, 6, 3)))
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)


def toml(folder: Path, text: str) -> Preprocess:
    (folder / "p.toml").write_text(text)
    return load(folder / "p.toml")


def read(source: Path, port: Input, how: Preprocess | None = None) -> np.ndarray:
    return open_samples(source, [port], how or Preprocess()).items[0].read()["x"]


def test_image_in_every_layout_and_channel_order(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(file)
    real = PIXELS.astype(np.float32) / np.float32(255)
    np.testing.assert_allclose(read(file, RGB)[0], real.transpose(2, 0, 1), rtol=1e-6)
    np.testing.assert_allclose(read(file, NHWC)[0], real, rtol=1e-6)
    bgr = read(file, RGB, toml(tmp_path, "channels = 'bgr'"))
    np.testing.assert_allclose(bgr[0], real.transpose(2, 0, 1)[::-1], rtol=1e-6)
    grey = np.asarray(Image.fromarray(PIXELS).convert("L"), np.float32) / 255
    np.testing.assert_allclose(read(file, GREY)[0, 0], grey, rtol=1e-6)


def test_numbers(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(file)
    how = toml(tmp_path, "scale = '1/255'\nmean = [0.5, 0.4, 0.3]\nstd = [0.2, 0.3, 0.4]")
    wanted = (PIXELS / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.3, 0.4]
    np.testing.assert_allclose(read(file, RGB, how)[0], wanted.transpose(2, 0, 1), rtol=1e-5, atol=1e-6)
    assert how.bounds() == pytest.approx((-2.5, 2.5))


@pytest.mark.parametrize(("start", "rows"), [("top", slice(0, 4)), ("centre", slice(2, 6)), ("bottom", slice(4, 8))])
def test_crop(start: str, rows: slice, tmp_path: Path) -> None:
    big = np.random.default_rng(1).integers(0, 256, (8, 10), np.uint8)
    Image.fromarray(big).save(tmp_path / "a.pgm")
    how = toml(tmp_path, f"crop = [4, 6]\ncrop_from = '{start}'\nscale = 1")
    np.testing.assert_array_equal(read(tmp_path / "a.pgm", GREY, how)[0, 0], big[rows, 2:8])


def test_resize_of_the_shorter_side_and_exact(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 16), 7, np.uint8)).save(tmp_path / "a.pgm")
    for text in ("resize = [4, 6]", "resize = 4\ncrop = [4, 6]"):
        found = read(tmp_path / "a.pgm", GREY, toml(tmp_path, f"{text}\nscale = 1"))
        np.testing.assert_array_equal(found, np.full((1, 1, 4, 6), 7))


@pytest.mark.parametrize("shape", [(4, 6, 3), (5, 4, 6, 3), (3, 4, 6), (5, 3, 4, 6), (5, 1, 3, 4, 6)])
def test_uint8_arrays_are_pixels_in_any_order(shape: tuple[int, ...], tmp_path: Path) -> None:
    data = np.random.default_rng(2).integers(0, 256, shape, np.uint8)
    np.save(tmp_path / "a.npy", data)
    samples = open_samples(tmp_path / "a.npy", [RGB], Preprocess())
    assert len(samples) == (5 if shape[0] == 5 else 1)
    one = data[0] if shape[0] == 5 else data
    one = one.reshape(3, 4, 6) if shape[-1] == 6 else one.transpose(2, 0, 1)
    np.testing.assert_allclose(samples.items[0].read()["x"][0], one / np.float32(255), rtol=1e-6)


def test_floats_are_taken_as_they_are(tmp_path: Path) -> None:
    data = np.random.default_rng(2).normal(size=(5, 3, 4, 6))
    np.savez(tmp_path / "a.npz", anything=data, labels=np.arange(5))
    samples = open_samples(tmp_path, [RGB], Preprocess(mean=(9.0,)))
    assert [s.label for s in samples.items] == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(samples.items[3].read()["x"][0], data[3].astype(np.float32))
    assert [s.label for s in samples.some(2)] == [0, 4]


def test_image_files_give_the_input_the_range_of_pixels(run: Run, net: Path, images: Path, tmp_path: Path) -> None:
    """Whatever the images: the quantised input is then the pixel itself."""
    (images / "0.pgm").unlink()
    Image.fromarray(np.full((16, 16), 90, np.uint8)).save(images / "0.pgm")
    code, out, _ = run("quantize", net, "--calibration", images / "0.pgm", "-o", tmp_path / "q.onnx", "--json")
    image = next(e for e in json.loads(out)["layers"] if e["op"] == "input")
    assert code == 0 and (image["scale"], image["zero_point"]) == (pytest.approx(1 / 255), 0)
    assert image["rms_lsb"] < 1e-3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("resize = 0", (":1", "resize", "from 1")),
        ("scale = 1\ncrop = [1]", (":2", "crop", "[height, width]")),
        ("mean = [1, 2]", ("mean", "three channels")),
        ("std = 0", ("std", "must not be 0")),
        ("scale = 'x'", ("scale", "1/255")),
        ("scale = nan", ("scale", "finite")),
        ("channels = 'rgba'", ("channels", "grey, rgb, bgr")),
        ("layout = 3", ("layout", "nchw, nhwc")),
        ("\nnormalise = true", (":2", "normalise", "known are resize")),
        ("resize = ", ("not TOML",)),
    ],
)
def test_bad_toml(text: str, words: tuple[str, ...], run: Run, net: Path, images: Path, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(text)
    code, _, err = run("quantize", net, "--calibration", images, "--preprocess", tmp_path / "p.toml")
    assert code == 2 and "p.toml" in err and not [w for w in words if w not in err], err
