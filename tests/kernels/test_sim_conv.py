"""The convolution's assembly on the simulator, against the layer's reference: all rescale forms, any shape."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

import numpy as np
import pytest

from dory.graph.types import IntArray, Requant, Window
from dory.layers import LAYERS
from dory.layers.base import TileShape
from dory.layers.convolution import ConvAttrs
from dory.layers.rescale import FORMS
from dory.testing.kernel_runs import Job, run

pytestmark = pytest.mark.skipif(
    shutil.which("riscv64-unknown-elf-gcc") is None, reason="riscv64-unknown-elf-gcc is not installed"
)
LAYER = LAYERS["conv"]


@dataclass(frozen=True)
class Case:
    """A call: shapes, window and team."""

    hwc: tuple[int, int, int]
    c_out: int
    window: Window
    cores: int = 8


def requant_of(rng: np.random.Generator, low: IntArray, high: IntArray, form: str) -> Requant:
    """Factors that use the output's range for sums in low..high, with as many bits as the form leaves."""
    span = np.maximum(high - low, 1)
    bits = {"narrow": 6, "mul15": 15, "wide": 31, "exact": 31}[form]
    mantissa, exponent = np.frexp(np.minimum(255.0 / span * rng.uniform(0.8, 3, span.size), 1.0))
    mult = np.minimum(np.rint(np.ldexp(mantissa, bits)).astype(np.int64), 2**bits - 1) | 1
    lo, hi = sorted(int(v) for v in rng.integers(0, 256, 2)) if rng.random() < 0.3 else (0, 255)
    return Requant(mult, bits - exponent.astype(np.int64), int(rng.integers(lo, hi + 1)), lo, hi)


def job_of(rng: np.random.Generator, case: Case, form: str) -> tuple[Job, IntArray]:
    """The call and what it must give. A form that is not exact for the drawn constants gives way to the next one."""
    (kh, kw), c_in, n = case.window.kernel, case.hwc[2], case.c_out
    reach = 127 if form != "narrow" else max(1, min(127, 2**22 // (255 * kh * kw * c_in)))
    w = rng.integers(-reach, reach + 1, (n, kh, kw, c_in))
    flat = w.reshape(n, -1)
    low, high = 255 * np.minimum(flat, 0).sum(1), 255 * np.maximum(flat, 0).sum(1)
    bias = (-(low + high) * rng.uniform(0, 1, n)).astype(np.int64)
    requant = requant_of(rng, low // 4, high // 4, form)
    pads = any(case.window.pads)
    attrs = ConvAttrs(case.window, w, bias, requant, int(rng.integers(0, 256)))
    if rng.random() < 0.7:
        attrs = LAYER.padded(attrs) or attrs
    x = rng.integers(0, 256, case.hwc)
    want = LAYER.reference(attrs, [x])
    out = want.shape
    used = LAYER.constants(attrs)["form"]
    scratch = LAYER.scratch_bytes(attrs, TileShape((out[0], out[1], out[2]), (case.hwc,)), case.cores)
    win = case.window
    fields = ["x", "w", "y", "scratch", *case.hwc, *out, *win.kernel, *win.stride, *win.dilation, *win.pads[:2]]
    fields += [attrs.pad_value, FORMS.index(used), int(attrs.padded or not pads)]
    fields += [requant.zero_point, requant.lo, requant.hi]
    packed = np.frombuffer(LAYER.weights(attrs).data, np.uint8)
    inputs = {"x": x.astype(np.uint8).reshape(-1), "w": packed}
    name = f"{case} in the form {used}"
    return Job("conv", fields, inputs, {"y": want.size, "scratch": scratch}, cores=case.cores, name=name), want


def some_case(rng: np.random.Generator) -> Case:
    """Small shapes: few or odd channels, few or many pixels, any window that gives an output, any team."""
    while True:
        kernel = tuple(int(v) for v in rng.choice([1, 1, 2, 3, 3, 5], 2))
        stride = tuple(int(v) for v in rng.choice([1, 1, 2, 3], 2))
        dilation = tuple(int(v) for v in rng.choice([1, 1, 1, 2], 2))
        pads = tuple(int(v) for v in rng.integers(0, 3, 4)) if rng.random() < 0.6 else (0, 0, 0, 0)
        h, w = (int(v) for v in rng.choice([1, 2, 3, 5, 7, 9, 13], 2))
        if rng.random() < 0.3:
            kernel, stride, dilation, pads = (1, 1), (1, 1), (1, 1), (0, 0, 0, 0)
        c_in, c_out = (int(v) for v in rng.choice([1, 2, 3, 4, 7, 8, 12, 17, 20, 32, 68], 2))
        window = Window((kernel[0], kernel[1]), (stride[0], stride[1]), (dilation[0], dilation[1]), pads)
        spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        fits = h + pads[0] + pads[2] >= spans[0] and w + pads[1] + pads[3] >= spans[1]
        if fits and h * w * (c_in + c_out) + kernel[0] * kernel[1] * c_in * c_out < 20000:
            return Case((h, w, c_in), c_out, window, int(rng.choice([8, 8, 8, 1, 3])))


FIXED = [
    Case((16, 16, 8), 8, Window((1, 1))),
    Case((6, 7, 12), 36, Window((1, 1))),
    Case((1, 1, 64), 16, Window((1, 1))),
    Case((1, 3, 16), 9, Window((1, 1))),
    Case((20, 20, 3), 8, Window((3, 3), (2, 2), (1, 1), (1, 1, 1, 1))),
    Case((20, 20, 1), 4, Window((5, 5), (1, 1), (1, 1), (2, 2, 2, 2))),
    Case((12, 16, 7), 8, Window((1, 7), (1, 1), (1, 1), (0, 3, 0, 3))),
    Case((12, 12, 32), 8, Window((3, 3), (1, 1), (1, 1), (1, 1, 1, 1))),
    Case((12, 12, 36), 8, Window((3, 3), (1, 1), (1, 1), (1, 1, 1, 1))),
    Case((14, 14, 8), 8, Window((3, 3), (2, 2), (1, 1), (0, 0, 1, 1))),
    Case((14, 14, 2), 8, Window((3, 3), (1, 1), (2, 2), (2, 2, 2, 2))),
    Case((9, 16, 16), 16, Window((3, 3), (1, 1), (1, 1), (1, 1, 1, 1))),
    Case((9, 9, 64), 16, Window((3, 3), (2, 2), (1, 1), (1, 1, 1, 1))),
    Case((7, 11, 8), 20, Window((3, 3), (1, 1), (2, 1), (2, 1, 2, 1))),
    Case((1, 61, 16), 32, Window((1, 9), (1, 1), (1, 1), (0, 4, 0, 4))),
    Case((17, 2, 16), 16, Window((5, 2), (1, 1), (1, 1), (2, 0, 2, 1))),
    Case((49, 10, 1), 64, Window((10, 4), (2, 2), (1, 1), (4, 1, 5, 1))),
]


NEIGHBOURS = [
    Case((h, w, c_in), c_out, Window((3, 3), (1, 1), (1, 1), (1, 1, 1, 1)))
    for h, c_in, c_out in ((1, 4, 8), (2, 8, 6), (3, 4, 4), (4, 8, 8), (5, 12, 20), (7, 4, 3))
    for w in range(1, 9)
]
"""Blocks of four neighbours, what they leave of the columns, and its corner."""


@pytest.mark.parametrize("form", ["narrow", "mul15", "wide"])
def test_assembly_equals_reference(form: str) -> None:
    rng = np.random.default_rng(FORMS.index(form))
    _check(rng, FIXED + [some_case(rng) for _ in range(120)], form)


@pytest.mark.parametrize("form", ["narrow", "mul15", "wide"])
def test_windows_of_three_columns(form: str) -> None:
    _check(np.random.default_rng(FORMS.index(form)), NEIGHBOURS, form)


def _check(rng: np.random.Generator, cases: list[Case], form: str) -> None:
    pairs = [job_of(rng, case, form) for case in cases]
    forms = [name.split()[-1] for name in (job.name for job, _ in pairs)]
    assert forms.count(form) > len(cases) // 2
    for (job, want), done in zip(pairs, run([job for job, _ in pairs]), strict=True):
        wrong = int((done.output != want.reshape(-1)).sum())
        assert not wrong, f"{wrong} of {want.size} outputs differ: {job.name}"
