"""The pages of `estimate --html` and `sweep`, drawn by a real browser: whole, legible, offline."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from browser import PROBE, Page, open_page
from cli_runner import Dory
from onnx import TensorProto, helper, numpy_helper

from dory.testing.networks import NETWORKS

pytestmark = pytest.mark.slow
LOOKS = {"desktop": (1200, False), "phone": (390, False), "phone, dark": (390, True), "desktop, dark": (1200, True)}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One page of each kind."""
    from dory.cli.main import main

    folder = tmp_path_factory.mktemp("pages")
    model = str(NETWORKS["resnet8"].save(folder / "net.onnx"))
    paths = {"estimate": folder / "estimate.html", "sweep": folder / "sweep.html"}
    assert main(["estimate", model, "--l2", "110k", "--html", str(paths["estimate"])]) == 0
    sweep = [
        "sweep",
        model,
        "--l1",
        "8k,16k,48k,64k",
        "--cores",
        "1,8",
        "--cluster-mhz",
        "50,100,175",
        "--fc-mhz",
        "250",
    ]
    assert main([*sweep, "-o", str(paths["sweep"]), "--jobs", "1"]) == 0
    return paths


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("kind", ["estimate", "sweep"])
def test_page_is_drawn_and_fits(kind: str, look: str, pages: dict[str, Path], tmp_path: Path) -> None:
    width, dark = LOOKS[look]
    page = open_page(pages[kind], tmp_path, width=width, dark=dark)
    assert page.root.get("data-ready") == "yes" and "data-error" not in page.root, page.root.get("data-error")
    assert int(page.root["data-width"]) == width
    assert page.root["data-overflow"] == "0" and page.root["data-outside"] == "0" and page.root["data-small"] == "0"
    brightness = sum(map(int, re.findall(r"\d+", page.root["data-ground"])[:3])) / 3
    assert brightness < 64 if dark else brightness > 192


@pytest.mark.parametrize("kind", ["estimate", "sweep"])
def test_page_loads_nothing(kind: str, pages: dict[str, Path]) -> None:
    text = pages[kind].read_text()
    page = Page(text[text.index("<html") :])
    urls = [a[k] for _, a in page.elements for k in ("src", "href", "action", "data") if k in a]
    assert urls == ["data:,"]
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|\bimport\(", text)
    assert len(text) < 400_000


def test_estimate_page_shows_everything(pages: dict[str, Path], tmp_path: Path) -> None:
    text = pages["estimate"].read_text()
    data = json.loads(text.split('id="data">', 1)[1].split("</script>", 1)[0])
    page = open_page(pages["estimate"], tmp_path)
    n = len(data["layers"])
    assert page.count("button", **{"class": "bar"}) == page.count("option") == n
    assert page.count("tr") == n + 2
    labels = {a["aria-label"] for t, a in page.elements if t == "svg"}
    longest = max(data["layers"], key=lambda x: x["cycles"])["name"]
    assert labels == {"roofline", "L2 memory over time", f"tiles of {longest}"}
    tips = [a["data-tip"] for _, a in page.elements if "data-tip" in a]
    assert sum("MAC per byte" in t for t in tips) == sum(x["macs"] > 0 for x in data["layers"])
    assert sum(" bytes at " in t for t in tips) == len(data["memory"]["buffers"])
    assert sum(t.startswith("compute: ") for t in tips) == max(data["layers"], key=lambda x: x["cycles"])["tiles"]


def test_every_layer_and_view_can_be_chosen(pages: dict[str, Path], tmp_path: Path) -> None:
    clicks = """<script>
      for (const button of document.querySelectorAll("button")) button.click();
      const select = document.getElementById("timeline-layer");
      for (const option of select.options) { select.value = option.value; select.dispatchEvent(new Event("change")); }
      document.documentElement.dataset.chosen = document.querySelector("#timeline svg").getAttribute("aria-label");
    </script>"""
    page = open_page(pages["estimate"], tmp_path, probe=clicks + PROBE)
    assert "data-error" not in page.root, page.root.get("data-error")
    assert (
        page.root["data-chosen"]
        == "tiles of "
        + json.loads(pages["estimate"].read_text().split('id="data">', 1)[1].split("</script>", 1)[0])["layers"][-1][
            "name"
        ]
    )
    assert page.root["data-overflow"] == "0"


def test_any_two_figures_of_a_sweep(pages: dict[str, Path], tmp_path: Path) -> None:
    choices = """<script>
      for (const id of ["pareto-x", "pareto-y", "pareto-colour"]) {
        const menu = document.getElementById(id);
        for (const option of menu.options) {
          menu.value = option.value;
          menu.dispatchEvent(new Event("change"));
          const circles = [...document.querySelectorAll("#pareto circle")].map((c) => c.outerHTML);
          if (circles.length !== POINTS.length || circles.join().includes("NaN")) throw new Error(option.value);
        }
      }
    </script>"""
    page = open_page(pages["sweep"], tmp_path, probe=choices + PROBE)
    assert "data-error" not in page.root, page.root.get("data-error")
    data = json.loads(pages["sweep"].read_text().split('id="data">', 1)[1].split("</script>", 1)[0])
    assert page.count("circle") == len(data["points"])
    assert "64" in pages["sweep"].read_text() and page.count("section", id="infeasible") == 1


def test_names_are_text(dory: Dory, tmp_path: Path) -> None:
    """A layer's name is the file's: it must not become markup."""
    name = "<script>document.documentElement.dataset.owned='yes'</script>'\"&</script>"
    constants = {"s": np.float32(0.02), "z": np.uint8(0), "w": np.ones((4, 4, 1, 1), np.int8), "ws": np.float32(0.01)}
    constants["wz"] = np.int8(0)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"]),
        helper.make_node("Conv", ["xd", "wd"], ["c"], name=name),
        helper.make_node("QuantizeLinear", ["c", "s", "z"], ["rq"]),
        helper.make_node("DequantizeLinear", ["rq", "s", "z"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    model, path = tmp_path / "net.onnx", tmp_path / "net.html"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), str(model))
    assert dory("estimate", model, "--html", path).code == 0
    page = open_page(path, tmp_path)
    assert page.root.get("data-ready") == "yes" and "data-owned" not in page.root
