"""The fuzzer: many random layers pass, a seeded fault is found, shrunk, saved and replayed."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dory.cli.main import main
from dory.errors import CheckError, PlanError, UserError
from dory.layers import LAYERS
from dory.plan import Plan
from dory.sim.application import COMPILER
from dory.targets import load
from dory.testing import fuzz as engine
from dory.testing.fuzz import Case, Options, Result, check_case, fuzz, load_case, save_case
from dory.testing.layer_strategies import Deployment, LayerSpec, build_layers, deployments, layer_networks, limits
from dory.tiler.planner import Lowered, spaces
from tests.testing.plan_mutants import with_l1

MANY_LAYERS = st.builds(
    Deployment, layer_networks(12, 8 * 1024, min_layers=8), limits().map(lambda x: replace(x, l2=None))
)
"""Only tiles: placing data in L2 takes longer than choosing tiles."""


def run(level: Any, part: int, count: int, folder: Path, draw: Any = None) -> Result:
    """Fixed seeds: `make fuzz` draws new ones."""
    result = fuzz(Options(level, count, seed=100 + part, folder=folder, draw=draw))
    assert result.failure is None, result.failure
    assert result.networks >= count and result.refused <= result.networks // 50
    return result


@pytest.mark.parametrize("part", range(10))
def test_tile_level(part: int, tmp_path: Path) -> None:
    """5,000 layers under L1 limits."""
    assert run("tile", part, 53, tmp_path, MANY_LAYERS).layers >= 500


def test_tile_level_in_small_memories(tmp_path: Path) -> None:
    """Under all limits."""
    assert run("tile", 10, 90, tmp_path).layers >= 225


@pytest.mark.slow
@pytest.mark.parametrize("part", range(2))
def test_host_level(part: int, tmp_path: Path) -> None:
    """200 layers in all."""
    assert run("host", part, 34, tmp_path).layers >= 100


@pytest.mark.slow
@pytest.mark.skipif(shutil.which(COMPILER) is None, reason=f"{COMPILER} is not installed")
def test_sim_level(tmp_path: Path) -> None:
    assert run("sim", 9, 12, tmp_path).layers >= 24


def lowered(drawn: Deployment) -> Lowered:
    path = Path(os.environ["PYTEST_FUZZ_DIR"]) / "net.onnx"
    path.write_bytes(drawn.network.model.SerializeToString())
    return engine.lower(engine.frontend.load(path))


@settings(max_examples=400, database=None, derandomize=True)
@given(deployments())
def draw_layers(seen: Counter[str], drawn: Deployment) -> None:
    for space in spaces(lowered(drawn), load("gap8")):
        geometry = space.geometry
        window = geometry.inputs[0].window
        h, w, c = geometry.out
        seen[space.node.op] += 1
        seen["1x1 map"] += geometry.inputs[0].shape[:2] == (1, 1)
        seen["one column"] += w == 1 < h
        seen["odd channels"] += c % 2 == 1
        seen["stride above kernel"] += any(s > k for s, k in zip(window.stride, window.kernel, strict=True))
        seen["asymmetric pads"] += window.pads[:2] != window.pads[2:]
        seen["dilation"] += max(window.dilation) > 2
        seen["not square"] += window.kernel[0] != window.kernel[1] and window.stride[0] != window.stride[1]


@settings(max_examples=80, database=None, derandomize=True)
@given(deployments())
def draw_plans(seen: Counter[str], drawn: Deployment) -> None:
    try:
        plan, _ = engine.plan_within(lowered(drawn), drawn.limits)
    except PlanError:
        return
    seen["fewer cores"] += plan.cores < 8
    seen["several outputs"] += len(plan.outputs) > 1
    for layer in plan.layers:
        seen["many tiles"] += len([n for n in layer.tiles if n > 1]) > 1
        seen["stripes"] += layer.stripes > 1
        seen["single buffers"] += any(layer.single)
        seen["parts"] += bool(layer.weights and layer.weights.part_channels < layer.output.shape[2])
        seen["streamed"] += bool(layer.weights and layer.weights.mode == "streamed")


@pytest.mark.parametrize("draw", [draw_layers, draw_plans])
def test_rare_cases_are_drawn(draw: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_FUZZ_DIR", str(tmp_path))
    seen: Counter[str] = Counter()
    draw(seen)
    if draw is draw_layers:
        seen.update(dict.fromkeys({*LAYERS} - {"linear32"}, 0))  # only files of integers have 32-bit outputs
    assert not [k for k in seen if seen[k] < 3], seen


# Seeded faults


def one_byte_short(plan: Plan) -> Plan:
    """Every convolution's input tile has a byte too little."""
    out = plan
    for layer in plan.layers:
        if layer.op == "conv" and layer.inputs[0].window.kernel[0] > 1:
            out = with_l1(out, "x0", lambda b: replace(b, bytes=b.bytes - 1), layer.index)
    return out


@pytest.fixture
def faulty_tiler(monkeypatch: pytest.MonkeyPatch) -> None:
    true = engine.make_plan
    monkeypatch.setattr(engine, "make_plan", lambda *args: one_byte_short(true(*args)))


@pytest.mark.usefixtures("faulty_tiler")
def test_a_fault_is_found_shrunk_saved_and_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = fuzz(Options("tile", 300, seed=1, folder=tmp_path / "failures"))
    failure = result.failure
    assert failure is not None and failure.shrunk and "L1 capacity" in failure.message
    assert failure.path.parent == tmp_path / "failures" and len(failure.layers) <= 2
    assert failure.reproducer == f"python -m dory fuzz --replay {failure.path}"
    case = load_case(failure.path)
    assert case == failure.case
    with pytest.raises(CheckError, match="L1 capacity"):
        check_case(failure.path, case)
    monkeypatch.undo()
    assert check_case(failure.path, case).layers


def test_the_command_fails_with_a_reproducer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], faulty_tiler: None
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["fuzz", "--count", "300", "--seed", "1"]) == 1
    out, err = capsys.readouterr()
    last = out.splitlines()[-1]
    assert "1 failure; --seed 1" in out and last.startswith("again: python -m dory fuzz --replay fuzz-failures/tile-")
    assert "Traceback" not in err
    replay = last.split("python -m dory ")[1].split()
    assert main(replay) == 1
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert main(replay) == 0
    assert "no failure" in capsys.readouterr().out


def test_a_fault_of_the_code_is_found_on_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true = engine.application

    def damaged(*args: Any) -> dict[str, bytes]:
        files = true(*args)
        weights = bytearray(files["data/weights.bin"])
        weights[:1] = bytes([weights[0] ^ 0x55]) if weights else b""
        return {**files, "data/weights.bin": bytes(weights)}

    monkeypatch.setattr(engine, "application", damaged)
    convolutions = layer_networks(1, 300, ("conv",)).map(lambda n: Deployment(n, engine.Limits()))
    monkeypatch.setattr(engine, "SHRINKS", {"host": 5})
    result = fuzz(Options("host", 5, seed=3, folder=tmp_path, draw=convolutions))
    assert result.failure is not None and "differ from the reference" in result.failure.message
    assert result.failure.reproducer.endswith("--verify host")
    assert result.failure.reproducer.startswith(f"python -m dory deploy {result.failure.path} ")


# Interrupts, limits, files


def interrupt_after(networks: int, shrinks: int = 10**9) -> engine.Progress:
    calls = Counter[str]()

    def progress(result: Result, doing: str) -> None:
        calls["shrink" if doing else "network"] += 1
        if calls["network"] >= networks or calls["shrink"] >= shrinks:
            raise KeyboardInterrupt

    return progress


def test_interrupted(tmp_path: Path) -> None:
    result = fuzz(Options("tile", 300, seed=5, folder=tmp_path / "none"), interrupt_after(7))
    assert result.interrupted and result.networks == 7 and result.failure is None
    assert not (tmp_path / "none").exists()


@pytest.mark.usefixtures("faulty_tiler")
def test_interrupted_while_shrinking_saves_what_there_is(tmp_path: Path) -> None:
    result = fuzz(Options("tile", 300, seed=1, folder=tmp_path), interrupt_after(10**9, 2))
    assert result.interrupted and result.failure is not None and not result.failure.shrunk
    assert result.failure.path.is_file()


def test_the_same_seed_draws_the_same(tmp_path: Path) -> None:
    a, b, c = (fuzz(Options("tile", 8, seed=s, folder=tmp_path)) for s in (1, 1, 2))
    assert a == b != c


def test_seconds_end_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fuzz", "--seconds", "0.3", "--seed", "4", "-o", str(tmp_path)]) == 0
    assert "no failure" in capsys.readouterr().out


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fuzz", "--count", "5", "--seed", "2", "--json", "-o", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["networks"] == 5 and found["failure"] is None and found["seed"] == 2


@pytest.mark.parametrize("arguments", [["--count", "0"], ["--seconds", "-1"], ["--target", "nonsense"]])
def test_nonsense_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fuzz", *arguments]) == 2
    assert arguments[-1] in capsys.readouterr().err


def test_files_that_cannot_be_replayed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_case(tmp_path / "none.onnx")
    other = tmp_path / "other.onnx"
    for data in (b"", b"not a network", build_layers([LayerSpec("mean", (2, 3, 4))]).SerializeToString()):
        other.write_bytes(data)
        with pytest.raises(UserError, match="dory fuzz has saved"):
            load_case(other)


def test_a_saved_network_is_the_network(tmp_path: Path) -> None:
    model = build_layers([LayerSpec("conv", (3, 5, 4), 2, (3, 3), pads=(1, 1, 1, 1))])
    case = Case("host", 4000, None, 3, 31)
    path = save_case(model, case, tmp_path / "new")
    saved = onnx.load(str(path))
    assert saved.graph == model.graph and load_case(path) == case
    words = case.reproducer(path).split()
    assert words[3:] == [
        "deploy",
        str(path),
        "--l1",
        "4000",
        "--cores",
        "3",
        "--rescale-bits",
        "31",
        "--verify",
        "host",
    ]
    assert main([*words[3:], "-o", str(tmp_path / "app")]) == 0
