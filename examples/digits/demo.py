"""Deploy the digits network, verify it on this machine, and measure float, integer and deployed accuracy."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from rich.console import Console
from rich.table import Table

from dory import frontend, reference
from dory.cli.main import main as dory
from dory.frontend.io import to_hwc
from dory.graph.types import Graph

HERE = Path(__file__).resolve().parent
APP = Path(os.path.relpath(HERE.parents[1] / "build" / "digits_app"))


def test_split() -> tuple[np.ndarray, np.ndarray]:
    """Images float32 [N, 1, 8, 8] in 0..1, labels [N]."""
    data = np.load(HERE / "digits_test.npz")
    return data["images"].astype(np.float32) / 16, data["labels"]


def float_answers(images: np.ndarray) -> np.ndarray:
    """Classes by the float network in onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(HERE / "digits_float.onnx"), options, ["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.array([session.run(None, {name: x[None]})[0].argmax() for x in images])


def integer_scores(graph: Graph, images: np.ndarray) -> np.ndarray:
    """uint8 scores [N, 10] by the integer reference."""
    name, output = graph.inputs[0], graph.outputs[0]
    return np.array([reference.run(graph, {name: to_hwc(graph, name, x[None])})[output].ravel() for x in images])


def deployed_scores(graph: Graph, images: np.ndarray) -> np.ndarray:
    """Scores [N, 10] by the generated C, built for this machine."""
    name = graph.inputs[0]
    quantised = np.array([to_hwc(graph, name, x[None]) for x in images], np.uint8)
    with tempfile.TemporaryDirectory() as scratch:
        make = ["make", "-s", f"-j{os.cpu_count()}", "-f", "host.mk", f"BUILD={scratch}", f"MAIN={HERE / 'batch.c'}"]
        subprocess.run([*make, "SAN=", f"VPATH={APP}"], cwd=APP, check=True)
        data = Path(scratch) / "data"
        data.mkdir()
        (data / "weights.bin").write_bytes((APP / "data" / "weights.bin").read_bytes())
        (data / "images.bin").write_bytes(np.int32(len(images)).tobytes() + quantised.tobytes())
        out = subprocess.run([f"{scratch}/network", str(data)], check=True, capture_output=True, text=True).stdout
    return np.array([line.split() for line in out.splitlines()], np.int64)


def main() -> int:
    """Everything above, as a report."""
    images, labels = test_split()
    with tempfile.TemporaryDirectory() as scratch:
        np.save(f"{scratch}/image.npy", images[:1])
        model = HERE / "digits_qdq.onnx"
        code = dory(["deploy", str(model), "-o", str(APP), "--input", f"{scratch}/image.npy", "--verify", "host"])
    if code:
        return code
    graph = frontend.load(model)
    integer, deployed = integer_scores(graph, images), deployed_scores(graph, images)
    table = Table(title=f"accuracy on {len(labels)} test images", box=None)
    table.add_column("network")
    table.add_column("correct", justify="right")
    for name, answers in (
        ("float, onnxruntime", float_answers(images)),
        ("integer reference", integer.argmax(1)),
        ("deployed C, this machine", deployed.argmax(1)),
    ):
        table.add_row(name, f"{(answers == labels).mean():.2%}")
    console = Console()
    console.print()
    console.print(table)
    same = np.array_equal(integer, deployed)
    console.print(f"scores of the deployed C and of the integer reference: {'all equal' if same else 'DIFFERENT'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
