"""Deploy as one readable function: import, lower, plan, generate, verify."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from dory import frontend, reference
from dory.codegen.app import application
from dory.codegen.write import check_replaceable, write_folder, write_tree
from dory.deployment import Deployment, LayerCheck
from dory.frontend.io import to_hwc
from dory.graph.types import Graph, IntArray
from dory.sim.application import check_exit, simulate
from dory.sim.iss import IssParams
from dory.targets import Target
from dory.tiler.planner import lower, make_plan
from dory.tiler.tiles import Chooser
from dory.verify import compare, verify_host

Verify = Literal["host", "sim", "none"]
Pack = Literal["auto", "off"]
MAX_CYCLES = 20_000_000_000  # of a simulated verification
Report = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What a deployment may be told: input arrays by ONNX name (else seeded random data), rescale width, output.

    pack: "auto" stores tensors and weights that provably fit 4 or 2 bits in them, "off" in bytes.
    chooser: another way to choose tiles than the cycle model.
    signed_inputs: inputs whose type the file does not tell hold -128..127 rather than 0..255.
    """

    output: Path
    target: Target
    inputs: Mapping[str, np.ndarray] | None = None
    rescale_bits: int = 15
    pack: Pack = "auto"
    verify: Verify = "host"
    chooser: Chooser | None = None
    force: bool = False
    signed_inputs: bool = False


def deploy(model: Path, options: Options, report: Report = lambda _: None, *, graph: Graph | None = None) -> Deployment:
    """ONNX file to application folder. Raises UserError, PlanError or CheckError; nothing is written but by success.

    `graph` is the imported model when the caller has it already.

    The folder is put in place after verification, so that a network that fails it leaves nothing behind.
    """
    wall: dict[str, float] = {}

    def stage(name: str) -> Callable[[], None]:
        report(name)
        start = time.perf_counter()

        def done() -> None:
            wall[name] = time.perf_counter() - start

        return done

    check_replaceable(options.output, options.force)
    if graph is None:
        done = stage("import")
        graph = frontend.load(model, rescale_bits=options.rescale_bits, signed_inputs=options.signed_inputs)
        done()
    inputs = example_inputs(graph, options.inputs)
    done = stage("lower")
    lowered = lower(graph, options.pack == "auto")
    graph = lowered.graph
    values = reference.run(graph, inputs)
    done()
    done = stage("plan")
    plan = make_plan(lowered, options.target, chooser=options.chooser)
    done()
    done = stage("generate")
    files = application(plan, graph, lowered.packed, values)
    done()
    checks: tuple[LayerCheck, ...] = ()
    simulated = None
    if options.verify != "none":
        done = stage("verify")
        with tempfile.TemporaryDirectory(prefix="dory-") as scratch:
            app = Path(scratch) / "app"
            write_tree(app, files)
            if options.verify == "host":
                checks = tuple(verify_host(app, plan, values))
            else:
                simulated = simulate(app, IssParams.of(options.target), max_cycles=MAX_CYCLES)
                checks = tuple(compare(simulated.dump, plan, values))
                check_exit(simulated, app)
        done()
    done = stage("write")
    write_folder(options.output, files)
    done()
    return Deployment(graph, plan, values, checks, wall, simulated.cycles if simulated else None)


def example_inputs(graph: Graph, given: Mapping[str, np.ndarray] | None) -> dict[str, IntArray]:
    """Integer HWC inputs: the given arrays by ONNX name, or seeded random data over each input's whole range."""
    if given is not None:
        return {t: to_hwc(graph, t, given[graph.io_layouts[t].onnx_name]) for t in graph.inputs}
    rng = np.random.default_rng(0)
    tensors = [graph.tensors[t] for t in graph.inputs]
    return {t.name: rng.integers(t.qtype.lo, t.qtype.hi + 1, t.shape, dtype=np.int64) for t in tensors}
