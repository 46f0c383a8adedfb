"""The first rung of the ladder: every integer layer against onnxruntime, given its own inputs of that layer.

QONNX files, which onnxruntime does not know, are evaluated by onnx's reference implementation instead.

Needs onnxruntime (extra `quantize`). Graph optimisation is off: fused integer kernels of a default session may
saturate.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from dory.errors import UserError
from dory.frontend import load_with_places
from dory.graph.types import Graph, IntArray
from dory.layers import LAYERS
from dory.testing.qonnx_eval import is_qonnx, run_qonnx


@dataclass(frozen=True)
class LayerDiff:
    """One layer's output against onnxruntime's: elements compared, how many differ, the largest difference in LSB."""

    name: str
    op: str
    elements: int
    differing: int
    max_lsb: int


@dataclass(frozen=True, eq=False)
class Ladder:
    """All layers that onnxruntime can be compared with, and the final outputs of both by ONNX name."""

    graph: Graph
    layers: tuple[LayerDiff, ...]
    reference: Mapping[str, IntArray]  # every tensor, computed from the network's inputs alone
    onnxruntime: Mapping[str, NDArray[Any]]  # network outputs

    @property
    def max_lsb(self) -> int:
        """Largest difference of any layer."""
        return max((d.max_lsb for d in self.layers), default=0)

    @property
    def differing(self) -> int:
        """Elements that differ, over all layers."""
        return sum(d.differing for d in self.layers)

    @property
    def elements(self) -> int:
        """Elements compared."""
        return sum(d.elements for d in self.layers)


def run_onnxruntime(
    path: Path, inputs: Mapping[str, NDArray[Any]], extra: tuple[str, ...] = ()
) -> dict[str, NDArray[Any]]:
    """The network's outputs and the values named in `extra`, by ONNX name, without graph optimisation."""
    import onnxruntime as ort

    model = onnx.load(str(path))
    have = [o.name for o in model.graph.output]
    names = list(dict.fromkeys([*have, *(n for n in extra if n not in {i.name for i in model.graph.input})]))
    model.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in have)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        onnx.save(model, str(file))
        try:
            session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as exc:  # onnxruntime's errors have no common base
            why = str(exc).strip().splitlines()[0]
            raise UserError(f"onnxruntime cannot run it: {why}", where=str(path), hint="no --compare-onnx") from exc
    wanted = {i.name for i in session.get_inputs()}
    results = session.run(names, {n: inputs[n] for n in wanted})
    return dict(zip(names, results, strict=True))


def climb(
    path: Path, inputs: Mapping[str, NDArray[Any]], *, rescale_bits: int = 15, signed_inputs: bool = False
) -> Ladder:
    """Compare every layer of the network with onnxruntime, given onnxruntime's inputs of that layer.

    `inputs` are by ONNX name, in the ONNX shape and type. Tensors that the file does not have (moved or padded
    copies) are computed by the reference from onnxruntime's values.
    """
    from dory.frontend.io import to_hwc
    from dory.reference import run

    imported = load_with_places(path, rescale_bits=rescale_bits, signed_inputs=signed_inputs)
    graph = imported.graph
    ends = [graph.io_layouts[t].onnx_name for t in graph.outputs]  # not the file's, where the host goes on
    run_file = run_qonnx if is_qonnx(path) else run_onnxruntime
    truth = run_file(path, inputs, (*imported.places, *ends))
    start = {t: to_hwc(graph, t, inputs[graph.io_layouts[t].onnx_name]) for t in graph.inputs}
    values = dict(start)
    for name, place in imported.places.items():
        data = truth[name] if name in truth else inputs[name]
        ints = np.rint(np.asarray(data, np.float64) / place.scale) if place.scale else data
        flat = np.asarray(ints, np.int64).reshape(-1)[place.order] + place.offset
        values.setdefault(place.tensor, flat.reshape(graph.tensors[place.tensor].shape))
    layers = []
    for node in graph.nodes:
        y = LAYERS[node.op].reference(node.attrs, [values[t] for t in node.inputs])
        if node.output in values:
            diff = np.abs(y - values[node.output])
            layers.append(LayerDiff(node.name, node.op, y.size, int(np.count_nonzero(diff)), int(diff.max())))
        else:
            values[node.output] = y
    return Ladder(graph, tuple(layers), run(graph, start), {name: truth[name] for name in ends})
