"""Real networks of integers with the golden activations of their exporters: reference, host code and simulator."""

from __future__ import annotations

import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dory import frontend, pipeline, reference, targets
from dory.frontend.io import from_hwc, to_hwc
from dory.graph import subbyte
from dory.graph.types import Graph, IntArray
from dory.layers.linear32 import from_bytes
from dory.plan import load_plan
from dory.sim.application import simulate
from dory.sim.iss import IssParams
from dory.verify import _dump

HERE = Path(__file__).resolve().parent
SIMPLEST_FIRST = (
    "nemo_eegnet_1d_8b_1xW",
    "nemo_TCN_test_library",
    "nemo_NAS_Frontnet",
    "nemo_Residual_connection_test_1",
    "nemo_dscnn_test",
    "nemo_dronet_complete",
    "ql_Dronet",
    "ql_DVS_CNN_9inputs",
)
Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Frame:
    """One golden inference: the input in ONNX shape, and activations by name (HWC or CHW, flat is what counts)."""

    x: Array
    golden: dict[str, Array]


@dataclass(frozen=True, eq=False)
class Network:
    path: Path
    graph: Graph
    frames: tuple[Frame, ...]
    signed: bool

    def run(self, frame: Frame) -> dict[str, IntArray]:
        (name,) = self.graph.inputs
        return reference.run(self.graph, {name: to_hwc(self.graph, name, frame.x)})

    def values(self, run: dict[str, IntArray], tensor: str) -> IntArray:
        """A tensor's integers as the file has them."""
        if self.graph.tensors[tensor].shape[2] != run[tensor].shape[2] or self._words(tensor):
            return from_bytes(run[tensor])
        return run[tensor] - self.graph.tensors[tensor].zero_point

    def _words(self, tensor: str) -> bool:
        layout = self.graph.io_layouts.get(tensor)
        return layout is not None and layout.word_bytes == 4


def onnx_input(graph: Graph, hwc: Array) -> Array:
    """The golden input, stored as HWC, in the file's shape."""
    shape = graph.io_layouts[graph.inputs[0]].onnx_shape
    h, w, c = graph.tensors[graph.inputs[0]].shape
    return np.moveaxis(np.asarray(hwc).reshape(h, w, c), 2, 0).reshape(shape)


def network(shared: Path, name: str) -> Network:
    folder = shared / "models" / "integer_onnx" / name
    signed = name.startswith("ql_DVS")
    graph = frontend.load(folder / "model.onnx", signed_inputs=signed)
    data = np.load(folder / "golden.npz")
    frames = []
    for f in ("",) if "input_0" not in data.files else tuple(f"{i}" for i in range(9)):
        prefix = f"out_{f}_layer" if f else "out_layer"
        golden = {k: data[k] for k in data.files if k.startswith(prefix)}
        frames.append(Frame(onnx_input(graph, data[f"input_{f}" if f else "input"]), golden))
    return Network(folder / "model.onnx", graph, tuple(frames), signed)


def missing(net: Network, frame: Frame) -> list[str]:
    """Golden activations that no layer reproduces bit for bit, each layer counting once."""
    run = net.run(frame)
    made = {n.output: net.values(run, n.output) for n in net.graph.nodes}
    lost = []
    for key, want in frame.golden.items():
        same = [t for t, y in made.items() if y.size == want.size and _equal(y, want)]
        lost += [] if same else [key]
        if same and want.any():  # tensors without any content say nothing
            del made[same[0]]
    return lost


def _equal(y: IntArray, want: Array) -> bool:
    chw = np.moveaxis(y, 2, 0) if y.ndim == 3 else y
    return bool(np.array_equal(y.reshape(-1), want.reshape(-1)) or np.array_equal(chw.reshape(-1), want.reshape(-1)))


@pytest.mark.parametrize("name", SIMPLEST_FIRST)
def test_every_golden_activation_is_reproduced(shared: Path, name: str) -> None:
    net = network(shared, name)
    for frame in net.frames:
        assert len(frame.golden) >= 7
        assert missing(net, frame) == []


@pytest.mark.parametrize("name", SIMPLEST_FIRST)
@pytest.mark.parametrize("level", ["host", "sim"])
@pytest.mark.slow
def test_generated_code_equals_the_reference(shared: Path, tmp_path: Path, name: str, level: Any) -> None:
    net = network(shared, name)
    options = pipeline.Options(
        output=tmp_path / "app",
        target=targets.load("gap8"),
        inputs={net.graph.io_layouts[net.graph.inputs[0]].onnx_name: net.frames[0].x},
        verify=level,
        signed_inputs=net.signed,
    )
    done = pipeline.deploy(net.path, options)
    assert len(done.checks) == 2 * len(net.graph.nodes) and not any(c.different for c in done.checks)
    assert missing(net, net.frames[0]) == []
    assert (tmp_path / "app" / "host" / "epilogue.onnx").exists() == bool(net.graph.epilogue)


@pytest.mark.parametrize("level", ["host", "sim"])
@pytest.mark.slow
def test_nine_frames_in_a_row(shared: Path, tmp_path: Path, level: str) -> None:
    net = network(shared, "ql_DVS_CNN_9inputs")
    app = tmp_path / "app"
    options = pipeline.Options(output=app, target=targets.load("gap8"), verify="none", signed_inputs=True)
    pipeline.deploy(net.path, options)
    shutil.copy(HERE / "frames.c", app / "src" / "main.c")
    (name,) = net.graph.inputs
    flip = 128  # the application takes int8
    pieces = [(to_hwc(net.graph, name, f.x).astype(np.uint8) ^ flip).tobytes() for f in net.frames]
    (app / "data" / "frames.bin").write_bytes(np.int32(len(pieces)).tobytes() + b"".join(pieces))
    if level == "host":
        dump, error = _dump(app, tmp_path, "address", None)
        assert error is None
    else:
        dump = simulate(app, IssParams.of(targets.load("gap8")), max_cycles=10**9, inferences=9).dump
    plan = load_plan(app)
    want = b"".join(
        subbyte.pack(values[layer.output.tensor].astype(np.uint8), layer.output.bits).tobytes()
        for values in map(net.run, net.frames)
        for layer in plan.layers
    )
    assert len(dump) == len(want) and zlib.crc32(dump) == zlib.crc32(want)


def test_the_epilogue_computes_the_outputs_of_the_file(shared: Path) -> None:
    import onnxruntime

    net = network(shared, "nemo_NAS_Frontnet")
    run = net.run(net.frames[0])
    session = onnxruntime.InferenceSession(net.graph.epilogue)
    feeds = {
        i.name: from_hwc(net.graph, i.name, run[_tensor(net.graph, i.name)]).astype(np.float32)
        for i in session.get_inputs()
    }
    got = [float(y.reshape(-1)[0]) for y in session.run(None, feeds)]
    assert got == [float(v) for v in net.frames[0].golden["out_layer8"]]


def _tensor(graph: Graph, name: str) -> str:
    return next(t for t in graph.outputs if graph.io_layouts[t].onnx_name == name)
