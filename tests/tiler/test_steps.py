"""Input channels in steps: exact on the host and in the simulator, buffers as the kernel says."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dory import frontend, targets
from dory.layers.base import Steps
from dory.pipeline import Options, deploy
from dory.plan import load_plan
from dory.resources import csrc_dir
from dory.sim.iss.params import IssParams
from dory.sim.model.network import estimate
from dory.testing.qdq_builder import QdqBuilder
from dory.tiler.baselines import at_random
from dory.tiler.planner import lower, make_plan

SIZES = """
#include "dory_kernels.h"
uint32_t sizes(int32_t h, int32_t w, int32_t c, int32_t depth, int32_t kh, int32_t kw, int32_t cores, int32_t sums) {
  const dory_conv_sums_args_t a = {
      .conv = {.c_in = depth, .h_out = h, .w_out = w, .c_out = c, .win = {.kernel_h = kh, .kernel_w = kw}}};
  return sums ? dory_conv_sums_bytes(&a) : dory_conv_sums_scratch(&a, cores);
}
"""


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The kernel's own functions."""
    folder, csrc = tmp_path_factory.mktemp("sizes"), csrc_dir()
    (folder / "sizes.c").write_text(SIZES)
    command = ["gcc", "-std=c11", "-shared", "-fPIC", "-DDORY_RT_HOST", "-Wall", "-Werror", "-Wl,-z,lazy"]
    command += [f"-I{csrc / 'gap8_kernels'}", f"-I{csrc / 'runtime'}", "-o", str(folder / "sizes.so")]
    sources = [str(folder / "sizes.c"), str(csrc / "gap8_kernels" / "dory_conv_sums.c")]
    subprocess.run([*command, *sources], check=True)
    return ctypes.CDLL(str(folder / "sizes.so"), mode=ctypes.RTLD_LOCAL | 1)


def test_buffers_are_what_the_kernel_says(sizes: ctypes.CDLL) -> None:
    positive = st.integers(1, 40)

    @given(st.tuples(positive, positive, positive), positive, st.integers(1, 7), st.integers(1, 7), st.integers(1, 8))
    @settings(max_examples=100)
    def check(tile: tuple[int, int, int], depth: int, kh: int, kw: int, cores: int) -> None:
        mine = Steps(256, kh * kw, kw).bytes(tile, depth, cores)
        assert mine["scratch"] == sizes.sizes(*tile, depth, kh, kw, cores, 0)
        assert mine["sums"] == sizes.sizes(*tile, depth, kh, kw, cores, 1)

    check()


def network(seed: int) -> QdqBuilder:
    """Convolutions and a linear layer of shapes that leave remainders everywhere."""
    b = QdqBuilder(f"steps_{seed}", seed=seed, samples=2)
    x = b.input((1, 20 + seed % 5, 7, 6), "x")
    stride = 1 + seed % 2
    x = b.conv(x, 18 + seed % 7, (3, 2), stride=(1, stride), pads=(1, 0, 2, 1), act="relu")
    x = b.conv(x, 30, 1, act="none")
    x = b.conv(x, 9, 3, dilation=2, pads=(2,) * 4, act="relu6")
    b.output(b.linear(b.flatten(x), 13, act="none"), "y")
    return b


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("verify", ["host", "sim"])
def test_sums_in_steps_are_exact(seed: int, verify: str, tmp_path: Path) -> None:
    if verify == "sim" and shutil.which("riscv64-unknown-elf-gcc") is None:
        pytest.skip("riscv64-unknown-elf-gcc is not installed")
    target = targets.load("gap8").with_budgets(7000 + 1000 * seed, None)
    path = tmp_path / "net.onnx"
    path.write_bytes(network(seed).model().SerializeToString(deterministic=True))
    chooser = at_random(IssParams.of(target), seed, deep=1.0)
    deploy(path, Options(tmp_path / "app", target, verify=verify, chooser=chooser))  # type: ignore[arg-type]
    depths = [layer.depth for layer in load_plan(tmp_path / "app").layers if layer.op in ("conv", "linear")]
    assert sum(d > 0 for d in depths) >= 3


@pytest.mark.slow
def test_weights_in_parts_and_steps(tmp_path: Path) -> None:
    """Parts of streamed weights begin where tiles do."""
    b = QdqBuilder("parts", seed=1, samples=2)
    b.output(b.conv(b.input((1, 192, 6, 6), "x"), 64, 3, pads=(1,) * 4, act="relu"), "y")
    path = tmp_path / "net.onnx"
    path.write_bytes(b.model().SerializeToString(deterministic=True))
    target = targets.load("gap8").with_budgets(12_000, 90_000)
    deploy(path, Options(tmp_path / "app", target, verify="host"))
    (layer,) = load_plan(tmp_path / "app").layers
    assert layer.depth and layer.weights and layer.weights.mode == "streamed" and layer.weights.part_channels < 64


def test_parts_leave_no_core_without_work(tmp_path: Path) -> None:
    """Weights of four outputs are 50 kB here: parts of four outputs would keep one core busy of eight."""
    b = QdqBuilder("deep", seed=1, samples=2)
    b.output(b.linear(b.input((1, 12544), "x"), 64, act="none"), "y")
    path = tmp_path / "net.onnx"
    path.write_bytes(b.model().SerializeToString(deterministic=True))
    plan = make_plan(lower(frontend.load(path)), targets.load("gap8"))
    (layer,) = plan.layers
    assert layer.depth and layer.weights and layer.weights.mode == "streamed" and layer.weights.part_channels >= 16
    assert estimate(plan, IssParams.of(targets.load("gap8"))).cycles < 1.7 * layer.weights.bytes
