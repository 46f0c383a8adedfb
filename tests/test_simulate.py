"""Generated applications in the instruction-set simulator: bit for bit, deterministic, clear about what goes wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dory.cli.main import main
from dory.testing.networks import NETWORKS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("riscv64-unknown-elf-gcc") is None, reason="no riscv64-unknown-elf-gcc"),
]
EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "digits" / "digits_qdq.onnx"


def deploy(name: str, folder: Path, *options: str) -> Path:
    path = folder / f"{name}.onnx"
    path.write_bytes(NETWORKS[name].build().SerializeToString(deterministic=True))
    assert main(["deploy", str(path), "-o", str(folder / "app"), "--verify", "none", *options]) == 0
    return folder / "app"


@pytest.mark.parametrize("model", ["kws_dscnn_qdq", "ic_resnet8_qdq"])
def test_mlperf_networks(model: str, shared: Path, tmp_path: Path) -> None:
    path = shared / "models" / "mlperf_tiny" / f"{model}.onnx"
    assert main(["deploy", str(path), "-o", str(tmp_path / "app"), "--verify", "sim"]) == 0


def test_bundled_example(tmp_path: Path) -> None:
    assert main(["deploy", str(EXAMPLE), "-o", str(tmp_path / "app"), "--verify", "sim"]) == 0


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("mobilenet_v1_0.25_96", "gap8"),
        ("mobilenet_v1_1.0_128", "gap8"),
        ("all_ops_net", "gap8"),
        ("two_input_net", "gap8"),
        ("all_ops_net", "gap8-gvsoc"),
    ],
)
def test_project_networks(name: str, target: str, tmp_path: Path) -> None:
    assert main(["simulate", str(deploy(name, tmp_path)), "--target", target]) == 0


def test_streams_through_l3(tmp_path: Path) -> None:
    """Stripes, weight parts and residuals in external RAM."""
    assert main(["simulate", str(deploy("resnet8", tmp_path, "--l2", "110k"))]) == 0


def test_a_target_of_the_users(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another chip, from a file, through every command: it runs there, and the model follows."""
    target = tmp_path / "small.toml"
    target.write_text('base = "gap8"\n[cluster]\ncores = 4\n[l1]\nbytes = 32768\n[timing]\ndma_bytes_per_cycle = 4\n')
    options = ["--target", str(target)]
    app = deploy("resnet8", tmp_path, *options)
    cycles = []
    for command in ("simulate", "estimate"):
        capsys.readouterr()
        assert main([command, str(app), *options, "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["target"] == "small"
        cycles.append(result["network"]["cycles"])
    assert cycles[1] == pytest.approx(cycles[0], rel=0.1)


def test_same_binary_same_cycles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = deploy("resnet8", tmp_path)
    outputs = []
    for _ in range(2):
        capsys.readouterr()
        assert main(["simulate", str(app), "--json"]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    result = json.loads(outputs[0])
    assert result["source"] == "sim" and result["network"]["cycles"] > 0
    network = result["network"]
    assert network["mj"] == pytest.approx(sum(network["mj_by_state"].values())) and network["volts"] == 1.0
    assert 18 <= network["mj"] / network["ms"] * 1000 <= 48  # mW: between waiting and the fastest kernels
    for layer in result["layers"]:
        assert sum(layer["cycles_by_cause"].values()) == pytest.approx(layer["cycles"], rel=0.001, abs=2)
    assert sum(x["cycles"] for x in result["layers"]) == pytest.approx(result["network"]["cycles"], rel=0.02)


def test_profile_trace_and_listing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app, trace = deploy("two_output_net", tmp_path), tmp_path / "trace.json"
    assert main(["simulate", str(app), "--profile", "--trace", str(trace), "--asm", "dory_conv"]) == 0
    out = capsys.readouterr().out
    assert "dory_conv, all cores" in out and "pv.sdotusp.b" in out
    events = json.loads(trace.read_text())["traceEvents"]
    for process in (1, 2):  # what was simulated, and the estimate of the second inference
        mine = [e for e in events if e["ph"] == "X" and e["pid"] == process]
        assert {e["cat"] for e in mine} >= {"core", "DMA in", "DMA out", "layer"}
    simulated, estimated = ([e for e in events if e.get("cat") == "layer" and e["pid"] == p] for p in (1, 2))
    assert len(simulated) == 2 * len(estimated)
    assert estimated[0]["ts"] == simulated[len(estimated)]["ts"]
    assert estimated[-1]["ts"] == pytest.approx(simulated[-1]["ts"], rel=0.1)
    names = {e["args"]["name"] for e in events if e["name"] == "process_name"}
    assert names == {"simulated", "estimated"}


def test_the_board_gets_the_same_sources(tmp_path: Path) -> None:
    """The three build files compile the same layers, kernels and tile loops; only runtime files differ."""
    app = deploy("resnet8", tmp_path)
    sources = {}
    for name, key in (("Makefile", "APP_SRCS"), ("host.mk", "SOURCES"), ("sim.mk", "SOURCES")):
        line = next(x for x in (app / name).read_text().splitlines() if x.startswith(key) and ".c" in x)
        sources[name] = {
            w for w in line.split() if w.endswith(".c") and not w.startswith(("runtime/rt_", "runtime/device_"))
        } - {"src/main.c"}
    assert sources["Makefile"] == sources["host.mk"] == sources["sim.mk"] and len(sources["sim.mk"]) > 10


FAULTS = {
    "missing wait": ("runtime/dory_engine.c", "    drt_dma_wait(&s.x_job[s.xi]);\n", "", "not yet waited for"),
    "overrun": ("kernels/dory_add.c", "*y = a->y + from;", "*y = a->y + from + 40;", "belongs to nothing alive"),
    "endless loop": ("runtime/dory_engine.c", "} while (changed);", "} while (true);", "layer"),
    "wrong result": ("kernels/dory_add.c", "a->bias", "(a->bias ^ 4096)", "differs from the reference"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = deploy("resnet8", tmp_path)
    name, good, bad, word = FAULTS[fault]
    source = (app / name).read_text()
    assert good in source
    (app / name).write_text(source.replace(good, bad))
    capsys.readouterr()
    assert main(["simulate", str(app), "--max-cycles", "40000000"]) == 1
    err = capsys.readouterr().err
    assert word in err and "Traceback" not in err


def test_without_the_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = deploy("two_output_net", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["simulate", str(app)]) == 2
    assert "apt-get install gcc-riscv64-unknown-elf" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--fc-mhz", "0"], ["--icache", "1000"], ["--max-cycles", "0"], ["--target", "x"]])
def test_nonsense_options(option: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = deploy("two_output_net", tmp_path)
    assert main(["simulate", str(app), *option]) == 2
    assert "dory simulate: " in capsys.readouterr().err
