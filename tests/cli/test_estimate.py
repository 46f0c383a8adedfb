"""`dory estimate`: the same figures from a model and from its application, every cycle accounted for, clear errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_runner import Dory

from dory.sim.model.network import CAUSES
from dory.testing.networks import NETWORKS

OPTIONS: dict[str, list[str]] = {
    "default": [],
    "small memories": ["--l1", "24k", "--l2", "86k"],
    "four cores": ["--cores", "4"],
    "exact rescale": ["--rescale-bits", "31"],
    "in bytes": ["--pack", "off"],
}
CLOCKS = ["--fc-mhz", "250", "--cluster-mhz", "175"]
TARGET = 'base = "gap8"\ndescription = "half of it"\n[cluster]\ncores = 4\n[l1]\nbytes = 32768\n[timing]\nmulh = 6\n'


@pytest.mark.parametrize("name", OPTIONS)
def test_application_and_model_give_the_same(name: str, dory: Dory, digits: Path, tmp_path: Path) -> None:
    app, options = tmp_path / "app", OPTIONS[name]
    assert dory("deploy", digits, "-o", app, "--verify", "none", *options).code == 0
    of_model = dory("estimate", digits, *options, *CLOCKS, "--json")
    of_app = dory("estimate", app, *CLOCKS, "--json")
    of_plan = dory("estimate", app / "plan.json", *CLOCKS, "--json")
    assert of_model.code == of_app.code == of_plan.code == 0
    assert of_model.out == of_app.out == of_plan.out
    assert dory("estimate", digits, *options).out == dory("estimate", app).out


@pytest.mark.slow
@pytest.mark.parametrize("network", ["resnet8", "two_output_net", "conv1d_net"])
def test_they_do_when_data_stream_through_l3(network: str, dory: Dory, tmp_path: Path) -> None:
    model, app = NETWORKS[network].save(tmp_path / "net.onnx"), tmp_path / "app"
    options = ["--l2", "110k"] if network == "resnet8" else ["--l1", "12k"]
    assert dory("deploy", model, "-o", app, "--verify", "none", *options).code == 0
    assert dory("estimate", model, *options, "--json").out == dory("estimate", app, "--json").out


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_json_accounts_for_every_cycle(options: list[str], dory: Dory, digits: Path) -> None:
    result = json.loads(dory("estimate", digits, *options, "--json").out)
    network, layers = result["network"], result["layers"]
    assert result["schema"] == 1 and result["source"] == "model" and result["target"] == "gap8"
    for layer in layers:
        assert set(layer["cycles_by_cause"]) == set(CAUSES)
        assert sum(layer["cycles_by_cause"].values()) == layer["cycles"]
    assert sum(network["cycles_by_cause"].values()) == network["cycles"]
    assert sum(x["macs"] for x in layers) == network["macs"]
    assert sum(x["l3_bytes_read"] for x in layers) == network["l3_bytes_read"]
    assert network["ms"] == pytest.approx(network["cycles"] / result["clocks_mhz"]["cluster"] / 1000)
    assert sum(x["mj"] for x in layers) <= network["mj"] * (1 + 1e-9)
    assert network["pj_per_mac"] == pytest.approx(network["mj"] * 1e9 / network["macs"])


def test_table_has_a_line_per_layer_and_is_never_cut(dory: Dory, digits: Path) -> None:
    result = json.loads(dory("estimate", digits, "--json").out)
    lines = dory("estimate", digits).out.splitlines()
    for layer, line in zip(result["layers"], lines[1:], strict=False):
        words = line.split()
        assert words[:3] == [layer["name"], layer["op"], str(layer["cycles"])]
    text = "\n".join(lines)
    assert f"{result['network']['cycles']} cluster cycles" in text and "pJ/MAC" in text
    assert "…" not in text and "\x1b" not in text


def test_fewer_cores_take_longer_and_other_clocks_do_not_change_cycles_without_l3(dory: Dory, digits: Path) -> None:
    def network(*options: str) -> dict[str, float]:
        out = json.loads(dory("estimate", digits, "--json", *options).out)["network"]
        assert isinstance(out, dict)
        return out

    usual, one, fast = network(), network("--cores", "1"), network(*CLOCKS)
    assert one["cycles"] > 3 * usual["cycles"]
    assert fast["cycles"] == usual["cycles"] and fast["ms"] == pytest.approx(usual["ms"] * 100 / 175)
    assert fast["mj"] == pytest.approx(usual["mj"] * 1.44) and fast["volts"] == 1.2


def test_no_energy_beyond_the_operating_points(dory: Dory, digits: Path) -> None:
    done = dory("estimate", digits, "--cluster-mhz", "400", "--json")
    result = json.loads(done.out)
    assert done.code == 0 and result["network"]["mj"] is None and result["layers"][0]["mj"] is None
    assert "no energy" in result["notes"][0] and "400" in result["notes"][0]
    assert "note: no energy" in dory("estimate", digits, "--cluster-mhz", "400").out


def test_trace_holds_the_estimate(dory: Dory, digits: Path, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    result = json.loads(dory("estimate", digits, "--trace", path, "--cluster-mhz", "50", "--json").out)
    events = json.loads(path.read_text())["traceEvents"]
    names = {e["args"]["name"] for e in events if e["ph"] == "M"}
    assert {"layers", "core 0", "DMA L2 -> L1", "DMA L1 -> L2", "estimated"} <= names
    layers = [e for e in events if e.get("cat") == "layer"]
    assert [e["args"]["cycles"] for e in layers] == [x["cycles"] for x in result["layers"]]
    end = max(e["ts"] + e["dur"] for e in events if e["ph"] == "X" and e["cat"] in ("layer", "core"))
    assert end == pytest.approx(result["network"]["ms"] * 1000, rel=0.01)
    moved = sum(e["args"]["bytes"] for e in events if e.get("cat") in ("DMA in", "DMA out"))
    assert moved == result["network"]["dma_bytes"]


def test_custom_target_in_every_command(dory: Dory, digits: Path, tmp_path: Path) -> None:
    path, app = tmp_path / "half.toml", tmp_path / "app"
    path.write_text(TARGET)
    assert "half: half of it" in dory("targets", path).out
    assert dory("deploy", digits, "-o", app, "--target", path, "--verify", "none").code == 0
    plan = json.loads((app / "plan.json").read_text())
    assert plan["target"] == "half" and plan["cores"] == 4 and plan["l1_budget"] < 32768
    of_model = dory("estimate", digits, "--target", path, "--json")
    assert json.loads(of_model.out)["target"] == "half" and not json.loads(of_model.out)["calibrated"]
    assert of_model.out == dory("estimate", app, "--target", path, "--json").out
    assert dory("diff", digits, app, "--target", path).code == 0
    without = dory("estimate", app)
    assert without.code == 2 and "half" in without.err and "--target FILE.toml" in without.err
    simulated = dory("simulate", app)
    assert simulated.code == 2 and "--target FILE.toml" in simulated.err


def test_plan_of_a_larger_target_is_refused(dory: Dory, app: Path, tmp_path: Path) -> None:
    path = tmp_path / "half.toml"
    path.write_text(TARGET)
    done = dory("estimate", app, "--target", path)
    assert done.code == 2 and "8 cores" in done.err and "half gives 4" in done.err


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--l1", "16k"], ("--l1", "finished plan")),
        (["--l2", "100k"], ("--l2",)),
        (["--cores", "2"], ("--cores",)),
        (["--rescale-bits", "31"], ("--rescale-bits",)),
        (["--pack", "off"], ("--pack",)),
        (["--target", "gap9"], ("gap9", "gap8")),
        (["--fc-mhz", "0"], ("--fc-mhz", "1 to 10000")),
        (["--cluster-mhz", "nan"], ("--cluster-mhz",)),
        (["--cluster-mhz", "fast"], ("--cluster-mhz", "fast")),
        (["--trace", "no/such/folder/t.json"], ("t.json", "--trace")),
        (["--html", "no/such/folder/t.html"], ("t.html", "--html")),
    ],
)
def test_bad_options_for_an_application(option: list[str], words: tuple[str, ...], dory: Dory, app: Path) -> None:
    done = dory("estimate", app, *option)
    assert done.code == 2 and done.out == ""
    for word in words:
        assert word in done.err


@pytest.mark.parametrize("cores", ["0", "9", "-1"])
def test_cores_that_are_not_there(cores: str, dory: Dory, digits: Path) -> None:
    done = dory("estimate", digits, "--cores", cores)
    assert done.code == 2 and "--cores" in done.err and "1 to 8" in done.err


def test_a_model_that_does_not_fit(dory: Dory, digits: Path) -> None:
    done = dory("estimate", digits, "--l1", "1k")
    assert done.code == 3 and "L1" in done.err


def test_not_an_application(dory: Dory, tmp_path: Path) -> None:
    done = dory("estimate", tmp_path)
    assert done.code == 2 and str(tmp_path) in done.err and "dory deploy" in done.err
    (tmp_path / "plan.json").write_text('{"schema": 1}')
    done = dory("estimate", tmp_path / "plan.json")
    assert done.code == 2 and "not a plan" in done.err
    assert dory("estimate", tmp_path / "none.json").code == 2
    done = dory("estimate", tmp_path / "none.onnx")
    assert done.code == 2 and "none.onnx" in done.err
    (tmp_path / "text.onnx").write_text("hello")
    assert dory("estimate", tmp_path / "text.onnx").code == 2
