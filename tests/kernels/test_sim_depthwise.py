"""The depthwise kernel's assembly on the simulator, against the layer's reference: all windows, forms and remainders.

The simulator reports accesses outside of the buffers and reads of what nobody wrote; the host build has no assembly.
"""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from dory.graph.types import IntArray, Requant, Window
from dory.layers import LAYERS
from dory.layers.base import TileShape
from dory.layers.convolution import ConvAttrs
from dory.layers.depthwise_cost import plane_scratch
from dory.testing.kernel_runs import CORES, Job, run

pytestmark = pytest.mark.skipif(
    shutil.which("riscv64-unknown-elf-gcc") is None, reason="riscv64-unknown-elf-gcc is not installed"
)
LAYER = LAYERS["depthwise"]
FAST = {"3x3": (3, 1), "3x3 stride 2": (3, 2), "5x5": (5, 1)}
JOBS = 60


def requant_of(rng: np.random.Generator, low: IntArray, high: IntArray) -> Requant:
    """Factors of any form, mixed over the channels, for sums in low..high."""
    n = low.size
    bits = np.array([6, 6, 15, 15, 31])[rng.integers(0, 5, n)] if rng.random() < 0.5 else rng.choice([6, 15, 31])
    mantissa, exponent = np.frexp(np.minimum(255.0 / np.maximum(high - low, 1) * rng.uniform(0.8, 3, n), 1.0))
    mult = np.minimum(np.rint(np.ldexp(mantissa, bits)).astype(np.int64), 2**bits - 1) | 1
    lo, hi = sorted(int(v) for v in rng.integers(0, 256, 2)) if rng.random() < 0.2 else (0, 255)
    return Requant(mult, bits - exponent.astype(np.int64), int(rng.integers(lo, hi + 1)), lo, hi)


def depthwise_job(name: str, attrs: ConvAttrs, x: IntArray, cores: int = CORES, rows: int = 0) -> Job:
    """The layer as one tile; rows of a band, or 0 for those that the layer chooses."""
    layer, hwc = LAYERS["depthwise"], x.shape
    out = layer.out_shape(attrs, [hwc])
    scratch = layer.scratch_bytes(attrs, TileShape(out, (hwc,)), cores)
    win, rows = attrs.window, rows or layer.tile_constants(attrs, out, cores)["rows"]
    way = -1 if attrs.turned else 1
    fields = ["x", "w", "y", "scratch", *hwc[:2][::way], hwc[2], *out[:2][::way], *win.kernel[::way]]
    fields += [*win.stride[::way], *win.dilation[::way], *win.pads[:2][::way]]
    fields += [attrs.pad_value, rows, int(attrs.turned), attrs.requant.zero_point, attrs.requant.lo, attrs.requant.hi]
    packed = layer.weights(attrs)
    assert packed
    inputs = {"x": np.ascontiguousarray(x.astype(np.uint8)).reshape(-1), "w": np.frombuffer(packed.data, np.uint8)}
    spaces = {"y": int(np.prod(out)), "scratch": scratch}
    return Job("depthwise", fields, inputs, spaces, cores=cores, name=name, work=layer.macs(attrs, [hwc]))


def job_of(rng: np.random.Generator, window: Window, hwc: tuple[int, int, int], cores: int) -> tuple[Job, IntArray]:
    """A call with any rows a band that the scratch holds, and what it must give."""
    c = hwc[2]
    w, x = rng.integers(-128, 128, (c, *window.kernel, 1)), rng.integers(0, 256, hwc)
    flat = w.reshape(c, -1)
    low, high = 255 * np.minimum(flat, 0).sum(1), 255 * np.maximum(flat, 0).sum(1)
    bias = (-(low + high) * rng.uniform(0, 1, c)).astype(np.int64)
    attrs = ConvAttrs(window, w, bias, requant_of(rng, low // 4, high // 4), int(rng.integers(0, 256)), c)
    square = window.kernel[0] == window.kernel[1] and window.stride[0] == window.stride[1]
    attrs = replace(attrs, turned=bool(square and window.dilation == (1, 1) and rng.random() < 0.3))
    want = LAYER.reference(attrs, [x])
    planes, rows = plane_scratch(window, cores, attrs.turned), 0
    if planes and rng.random() < 0.5:
        h, w_out, _ = want.shape
        rows = int(rng.integers(1, (planes.rows((h, w_out, c)) - window.kernel[0]) // window.stride[0] + 2))
    return depthwise_job(f"{hwc} {window} {rows} rows{' turned' * attrs.turned}", attrs, x, cores, rows), want


def some_window(rng: np.random.Generator, kind: str) -> Window:
    if kind in FAST:
        k, stride = FAST[kind]
        return Window((k, k), (stride, stride), (1, 1), tuple(int(v) for v in rng.integers(0, k, 4)))  # type: ignore[arg-type]
    kernel = (int(rng.integers(1, 8)), int(rng.integers(1, 10)))
    stride = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
    dilation = (int(rng.integers(1, 3)), int(rng.integers(1, 3))) if rng.random() < 0.3 else (1, 1)
    return Window(kernel, stride, dilation, tuple(int(v) for v in rng.integers(0, 5, 4)))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", [*FAST, "any"])
def test_depthwise_equals_the_reference(kind: str, seed: int) -> None:
    rng = np.random.default_rng(1000 * seed + len(kind))
    jobs: list[tuple[Job, IntArray]] = []
    while len(jobs) < JOBS:
        window, cores = some_window(rng, kind), int(rng.choice([CORES, CORES, CORES, 1, 3]))
        size = [int(v) for v in rng.integers(1, 20, 2)]
        hwc = (size[0], size[1], int(rng.integers(1, 40 if seed else 10)))
        if any(size[i] + window.pads[i] + window.pads[i + 2] < window.span(i) for i in (0, 1)):
            continue
        jobs.append(job_of(rng, window, hwc, cores))
    for done, (job, want) in zip(run([j for j, _ in jobs]), jobs, strict=True):
        np.testing.assert_array_equal(done.output.reshape(want.shape), want, err_msg=f"{job.name} {job.cores} cores")


def job_of_form(rng: np.random.Generator, window: Window, form: str) -> tuple[Job, IntArray]:
    """A layer whose channels all have the form: by the width of its multipliers."""
    c = 32
    w, x = rng.integers(64, 128, (c, *window.kernel, 1)), rng.integers(0, 256, (16, 16, c))
    high = 255 * w.reshape(c, -1).sum(1)  # more than 2**17: times 15 bits no 32-bit product
    bits = {"narrow": 6, "mul15": 15, "wide": 31}[form]
    shift = bits + np.ceil(np.log2(high / 255)).astype(np.int64)
    requant = Requant(np.full(c, 2**bits - 1), shift, 0, 0, 255)  # no trailing zeros, which would be shifted out
    attrs = ConvAttrs(window, w, np.zeros(c, np.int64), requant, 0, c)
    assert {r.form for r in attrs.rescales} == {form}
    return depthwise_job(f"{form} {window}", attrs, x), LAYER.reference(attrs, [x])


@pytest.mark.parametrize("kind", FAST)
@pytest.mark.parametrize("padding", [(1, 1, 1, 1), (1, 0, 1, 2)])
def test_no_form_but_the_exact_one_leaves_the_assembly(kind: str, padding: tuple[int, int, int, int]) -> None:
    """In C, pixel by pixel, a layer of these windows takes several times as long."""
    k, stride = FAST[kind]
    window = Window((k, k), (stride, stride), (1, 1), padding)
    made = [job_of_form(np.random.default_rng(11), window, form) for form in ("narrow", "mul15", "wide")]
    narrow, *others = run([job for job, _ in made], "gap8")
    for done, (_, want) in zip((narrow, *others), made, strict=True):
        np.testing.assert_array_equal(done.output.reshape(want.shape), want, err_msg=done.job.name)
    assert all(done.cycles < 1.6 * narrow.cycles for done in others), [d.cycles for d in (narrow, *others)]


def test_the_scratch_holds_all_bands() -> None:
    """Whatever the tile, the rows that the layer chooses fit the planes."""
    rng = np.random.default_rng(5)
    for _ in range(300):
        window = some_window(rng, "any")
        if window.dilation != (1, 1):
            continue
        tile = tuple(int(v) for v in rng.integers(1, 50, 3))
        one = np.ones(tile[2], np.int64)
        attrs = ConvAttrs(window, np.ones((tile[2], *window.kernel, 1), np.int64), one, Requant(one, one, 0, 0, 255), 0)
        rows = LAYER.tile_constants(attrs, tile, CORES)["rows"]  # type: ignore[arg-type]
        planes = plane_scratch(window, CORES)
        assert planes
        assert 1 <= rows <= tile[0]
        needed = 4 * CORES * planes.row_bytes(tile) * ((rows - 1) * window.stride[0] + window.kernel[0])  # type: ignore[arg-type]
        assert needed <= LAYER.scratch_bytes(attrs, TileShape(tile, ()), CORES)  # type: ignore[arg-type]
