"""PULP-DroNet v2 from float to the chip: python examples/pulp_dronet/run.py [FOLDER].

FOLDER holds the float network (*.onnx, 200x200 grey image to steering and collision) and `frames` with camera
images; default ../shared/models/pulp_dronet_v2. Quantises on the frames, deploys, simulates, and compares both outputs.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image
from rich.console import Console
from rich.table import Table

from dory import frontend, reference, targets
from dory.cli.main import main as dory
from dory.cli.options import with_clocks
from dory.frontend.io import to_hwc
from dory.graph.types import Graph
from dory.sim.application import simulate
from dory.sim.iss import IssParams

DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "models" / "pulp_dronet_v2"
CLOCKS = ((100, 100), (250, 175))  # FC and cluster, MHz: at 1.0 V and at 1.2 V
MAX_CYCLES = 1_000_000_000


def frames_of(folder: Path) -> dict[str, np.ndarray]:
    """Frames by name, float32 [1, 1, 200, 200] in 0..1."""
    paths = sorted((folder / "frames").glob("*.pgm"))
    return {p.stem: np.asarray(Image.open(p), np.float32)[None, None] / 255 for p in paths}


def float_outputs(model: Path, frames: dict[str, np.ndarray]) -> np.ndarray:
    """[frame, output] by the float network in onnxruntime."""
    session = onnxruntime.InferenceSession(str(model), None, ["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.array([[float(y.squeeze()) for y in session.run(None, {name: x})] for x in frames.values()])


def integer_outputs(graph: Graph, frames: dict[str, np.ndarray]) -> np.ndarray:
    """[frame, output] by the integers, which the generated C reproduces bit for bit."""
    (name,) = graph.inputs
    rows = []
    for x in frames.values():
        values = reference.run(graph, {name: to_hwc(graph, name, x)})
        tensors = [graph.tensors[t] for t in graph.outputs]
        rows.append([t.scale * (int(values[t.name].squeeze()) - t.zero_point) for t in tensors])
    return np.array(rows)


def print_outputs(console: Console, frames: dict[str, np.ndarray], real: np.ndarray, ours: np.ndarray) -> None:
    """Steering and collision of every frame."""
    table = Table(box=None)
    for title in ("frame", "steering float", "on the chip", "collision float", "on the chip"):
        table.add_column(title, justify="left" if title == "frame" else "right")
    for name, a, b in zip(frames, real, ours, strict=True):
        table.add_row(name, f"{a[0]:+.4f}", f"{b[0]:+.4f}", f"{a[1]:.4f}", f"{b[1]:.4f}")
    console.print(table)
    worst = np.abs(real - ours).max(axis=0)
    console.print(f"largest difference: steering {worst[0]:.4f}, collision {worst[1]:.4f}")


def print_speed(console: Console, app: Path) -> None:
    """Cycles in the simulator, frames a second at both operating points."""
    table = Table(box=None)
    for title in ("FC MHz", "cluster MHz", "cycles", "MAC/cycle", "ms", "frames/s"):
        table.add_column(title, justify="right")
    for fc, cluster in CLOCKS:
        params = with_clocks(IssParams.of(targets.load("gap8")), fc, cluster)
        run = simulate(app, params, max_cycles=MAX_CYCLES)
        ms = run.cycles / cluster / 1000
        rate = run.plan.macs / run.cycles
        table.add_row(str(fc), str(cluster), str(run.cycles), f"{rate:.2f}", f"{ms:.2f}", f"{1000 / ms:.1f}")
    console.print(table)


def main() -> int:
    """The whole way; 0 when done, also when the network is not there."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    models = sorted(folder.glob("*.onnx"))
    if not models:
        console.print(f"skipped: no network in {folder} (give the folder of PULP-DroNet v2 as argument)")
        return 0
    frames = frames_of(folder)
    with tempfile.TemporaryDirectory() as scratch:
        quantised, app = Path(scratch) / "dronet.onnx", Path(scratch) / "dronet_app"
        for command in (
            ["quantize", str(models[0]), "--calibration", str(folder / "frames"), "-o", str(quantised)],
            ["deploy", str(quantised), "-o", str(app), "--verify", "sim"],
        ):
            code = dory(command)
            if code:
                return code
        console.print()
        graph = frontend.load(quantised)
        print_outputs(console, frames, float_outputs(models[0], frames), integer_outputs(graph, frames))
        console.print()
        print_speed(console, app)
    return 0


if __name__ == "__main__":
    sys.exit(main())
