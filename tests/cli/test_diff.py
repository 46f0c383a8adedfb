"""`dory diff`: what is equal says so, what differs is attributed, layers are matched by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_runner import Dory

from dory.testing.networks import NETWORKS


def test_a_model_and_its_application_do_not_differ(dory: Dory, digits: Path, app: Path) -> None:
    done = dory("diff", digits, app)
    assert done.code == 0 and "+" not in done.out.split("\n", 3)[3]
    result = json.loads(dory("diff", digits, app, "--json").out)
    assert set(result["change"].values()) == {0}
    assert all(pair["cycles"] == 0 and pair["a"] == pair["b"] for pair in result["layers"])
    assert result["labels"] == {"a": str(digits), "b": str(app)}


def test_options_of_b(dory: Dory, digits: Path) -> None:
    result = json.loads(dory("diff", digits, digits, "--b-l1", "16k", "--json").out)
    a = json.loads(dory("estimate", digits, "--json").out)
    b = json.loads(dory("estimate", digits, "--l1", "16k", "--json").out)
    assert result["a"]["network"] == a["network"] and result["b"]["network"] == b["network"]
    assert [p["a"] for p in result["layers"]] == a["layers"] and [p["b"] for p in result["layers"]] == b["layers"]
    assert result["change"]["cycles"] == b["network"]["cycles"] - a["network"]["cycles"] > 0
    assert result["b"]["network"]["l1_peak_bytes"] <= 16384
    text = dory("diff", digits, digits, "--b-cores", "1").out
    assert f"{a['network']['cycles']}" in text and "8 cores" in text and "1 cores" in text


def test_other_chips(dory: Dory, digits: Path) -> None:
    result = json.loads(dory("diff", digits, digits, "--b-target", "gap8-gvsoc", "--json").out)
    assert result["a"]["target"] == "gap8" and result["b"]["target"] == "gap8-gvsoc"


def test_layers_of_one_side_only(dory: Dory, digits: Path, tmp_path: Path) -> None:
    other = NETWORKS["two_output_net"].save(tmp_path / "net.onnx")
    result = json.loads(dory("diff", digits, other, "--json").out)
    a, b = (json.loads(dory("estimate", x, "--json").out)["layers"] for x in (digits, other))
    assert [p["a"] for p in result["layers"] if p["a"]] == a
    assert [p["b"] for p in result["layers"] if p["b"]] == b
    alone = [p for p in result["layers"] if not (p["a"] and p["b"])]
    assert alone and sum(p["cycles"] for p in result["layers"]) == sum(x["cycles"] for x in b) - sum(
        x["cycles"] for x in a
    )
    assert all(p["a"]["op"] == p["b"]["op"] for p in result["layers"] if p["a"] and p["b"])
    text = dory("diff", digits, other).out
    assert "only A" in text or "only B" in text


@pytest.mark.parametrize("side", [0, 1])
def test_bad_sides(side: int, dory: Dory, digits: Path, tmp_path: Path) -> None:
    sides: list[Path] = [digits, digits]
    sides[side] = tmp_path
    done = dory("diff", *sides)
    assert done.code == 2 and str(tmp_path) in done.err
    sides[side] = tmp_path / "no.onnx"
    done = dory("diff", *sides)
    assert done.code == 2 and "no.onnx" in done.err


def test_planning_options_need_models(dory: Dory, digits: Path, app: Path) -> None:
    done = dory("diff", digits, app, "--l1", "16k")
    assert done.code == 2 and "--l1" in done.err and str(app) in done.err
    assert dory("diff", digits, app, "--b-l1", "16k").code == 2
    assert dory("diff", digits, app, "--b-cores", "99").code == 2
