"""Generated applications: deterministic, warning-free for the chip, and within the code size that the plan reserves."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from dory import frontend, reference, targets
from dory.codegen.app import application, comment_safe, defines
from dory.pipeline import example_inputs
from dory.plan import Plan
from dory.testing.networks import NETWORKS
from dory.testing.subbyte import combinations
from dory.tiler.planner import lower, make_plan

HERE = Path(__file__).parent
RISCV = "riscv64-unknown-elf-gcc"
FLAGS = [
    "-std=gnu11",
    "-O2",
    "-march=rv32imc",
    "-mabi=ilp32",
    "-misa-spec=2.2",
    "-ffreestanding",
    "-Wall",
    "-Wextra",
    "-Werror",
]


def generate(name: str, folder: Path, l1: int | None = None) -> tuple[Plan, dict[str, bytes]]:
    """Files of a project network's application."""
    if name == "subbyte":
        graph = combinations("conv", 3, (7, 6, 12))
    else:
        path = folder / f"{name}.onnx"
        path.write_bytes(NETWORKS[name].build().SerializeToString(deterministic=True))
        graph = frontend.load(path)
    values = reference.run(graph, example_inputs(graph, None))
    lowered = lower(graph)
    plan = make_plan(lowered, targets.load("gap8").with_budgets(l1, None))
    return plan, application(plan, graph, lowered.packed, values)


@pytest.mark.parametrize("name", ["resnet8", "two_input_net"])
def test_generation_is_deterministic(name: str, tmp_path: Path) -> None:
    assert generate(name, tmp_path) == generate(name, tmp_path)


def test_plan_round_trips_through_json(tmp_path: Path) -> None:
    plan, files = generate("concat_net", tmp_path)
    assert Plan.from_json(files["plan.json"].decode()) == plan


def test_code_does_not_grow_with_the_number_of_tiles(tmp_path: Path) -> None:
    few, many = generate("dscnn", tmp_path), generate("dscnn", tmp_path, l1=7 * 1024)
    tiles = [sum(a * b * c for a, b, c in (layer.tiles for layer in plan.layers)) for plan, _ in (few, many)]
    assert tiles[1] > 3 * tiles[0]
    sources = [sum(len(d) for n, d in files.items() if n.endswith(".c")) for _, files in (few, many)]
    assert sources[1] < 1.02 * sources[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["all_ops_net", "mobilenet_v1_1.0_128", "mobilenet_v1_1.0_224", "subbyte"])
def test_compiles_for_the_chip_and_fits_the_reserved_code(name: str, tmp_path: Path) -> None:
    if shutil.which(RISCV) is None:
        pytest.skip(f"{RISCV} is not installed")
    plan, files = generate(name, tmp_path)
    for path, data in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / path).write_bytes(data)
    sources = [n for n in files if n.endswith(".c") and not n.startswith("runtime/")]
    runtime = ("dory_engine", "dory_stream", "rt_gap8", "device_gap8", "dory_crc32")
    sources += [f"runtime/{name}.c" for name in runtime]
    include = ["-Iinclude", "-Ikernels", "-Iruntime", f"-I{HERE / 'pmsis'}"]
    always = ("DORY_RT_GAP8", "DORY_CORES=8", "DORY_VERBOSE", "DORY_XPULP_INSN", "DORY_FC_HZ=100000000")
    flags = [f"-D{name}" for name in (*always, *defines(plan))]
    objects = []
    for source in sources:
        objects.append(source.replace("/", "_") + ".o")
        command = [RISCV, *FLAGS, *flags, *include, "-c", source, "-o", objects[-1]]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    sizes = subprocess.run(
        ["riscv64-unknown-elf-size", *objects], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    total = sum(int(line.split()[3]) for line in sizes.splitlines()[1:])
    assert total <= plan.l2_code, f"{total} bytes compiled, {plan.l2_code} reserved"


@pytest.mark.parametrize("text", ["*/ int x; /*", "a\nb", "日本", "\\", "x" * 500])
def test_any_name_is_harmless_in_a_comment(text: str) -> None:
    safe = comment_safe(text)
    assert "*/" not in safe and "/*" not in safe and "\n" not in safe and not safe.endswith("\\") and safe.isascii()
