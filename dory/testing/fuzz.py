"""Random networks through the tiler, the host build or the simulator, until one fails: what `dory fuzz` runs.

    result = fuzz(Options("host", count=50, seed=1), lambda r, doing: None)

Hypothesis draws and shrinks. A failure is saved as an ONNX file that also holds its limits, so that `load_case` and
`check_case` run it again.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

import onnx
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from dory import frontend, reference, targets
from dory.codegen.app import application
from dory.codegen.write import write_tree
from dory.errors import CheckError, DoryError, PlanError, UserError
from dory.pipeline import MAX_CYCLES, example_inputs
from dory.plan import Plan
from dory.sim.application import check_exit, simulate
from dory.sim.iss.params import IssParams
from dory.targets import Target
from dory.testing.layer_strategies import Deployment, Limits, deployments
from dory.testing.plan_checks import require_sound
from dory.tiler.planner import Lowered, code_bytes, lower, make_plan
from dory.verify import compare, verify_host

Level: TypeAlias = Literal["tile", "host", "sim"]
LEVELS: dict[Level, str] = {
    "tile": "plan and check the plan",
    "host": "also generate C, build it with sanitizers, run it and compare every layer with the reference",
    "sim": "also run it in the simulator, with guards around buffers and a check of unwritten reads",
}
METADATA = "dory.fuzz"  # key in the ONNX file's metadata
SHRINKS: dict[Level, int] = {"tile": 1500, "host": 80, "sim": 80}
"""Attempts at a smaller network; some minutes at most."""

_BATCH: dict[Level, int] = {"tile": 50, "host": 10, "sim": 10}


_load = lru_cache(targets.load)


@dataclass(frozen=True)
class Case:
    """A saved network's level and options; bytes as for `dory deploy`, None: all there is."""

    level: Level
    l1: int | None = None
    l2: int | None = None
    cores: int | None = None
    rescale_bits: int = 15
    target: str = "gap8"

    def hardware(self) -> Target:
        """The target with these limits."""
        target = _load(self.target)
        return (target.with_cores(self.cores) if self.cores else target).with_budgets(self.l1, self.l2)

    def reproducer(self, path: Path) -> str:
        """The command that shows the failure again."""
        if self.level == "tile":
            return f"python -m dory fuzz --replay {path}"
        options = (("--target", self.target), ("--l1", self.l1), ("--l2", self.l2), ("--cores", self.cores))
        words = [f"{k} {v}" for k, v in options if v is not None and v != "gap8"]
        words += [f"--rescale-bits {self.rescale_bits}"] if self.rescale_bits != 15 else []
        return " ".join([f"python -m dory deploy {path}", *words, f"--verify {self.level}"])


@dataclass(frozen=True)
class Failure:
    """The smallest network found that fails, where it is, and how to see it again."""

    path: Path
    case: Case
    message: str
    layers: tuple[str, ...]
    shrunk: bool

    @property
    def reproducer(self) -> str:
        """One line for a shell."""
        return self.case.reproducer(self.path)


@dataclass(frozen=True)
class Result:
    """What was run. refused: networks for which no plan exists with all of the target's memory."""

    networks: int = 0
    layers: int = 0
    refused: int = 0
    failure: Failure | None = None
    interrupted: bool = False


@dataclass(frozen=True)
class Options:
    """What to run: networks, or seconds, whichever ends first (None: no limit); where failures are saved.

    draw: what to draw, deployments() if None.
    """

    level: Level = "tile"
    count: int | None = 100
    seconds: float | None = None
    seed: int = 0
    target: str = "gap8"
    folder: Path = Path("fuzz-failures")
    draw: SearchStrategy[Deployment] | None = None


Progress: TypeAlias = Callable[[Result, str], None]


def plan_within(lowered: Lowered, limits: Limits, target: str = "gap8") -> tuple[Plan, Case]:
    """The plan under `limits`, each doubled until it fits, and the limits that it took.

    PlanError when nothing fits even with all of the target's memory.
    """
    hardware = _load(target).with_cores(limits.cores)
    case = Case("tile", None, None, limits.cores, limits.rescale_bits, target)
    code = code_bytes(lowered.graph)
    plan: Plan | None = None
    for l1 in _sizes(limits.l1, hardware.l1_budget, 2.0):
        case = replace(case, l1=l1)
        if plan := _planned(lowered, case, last=l1 in (None, hardware.l1_budget)):
            break
    if limits.l2 is not None:
        for l2 in _sizes(limits.l2, hardware.l2_budget - code, 1.8):
            case = replace(case, l2=code + (l2 or 0))
            if plan := _planned(lowered, case, last=case.l2 in (None, hardware.l2_budget)):
                break
    assert plan
    return plan, case


def _sizes(first: int | None, most: int, factor: float) -> Iterator[int | None]:
    """Growing sizes, the last one `most`; None alone where there is no limit."""
    at = first
    while at is not None and at < most:
        yield at
        at = int(at * factor) + 8
    yield None if first is None else most


def _planned(lowered: Lowered, case: Case, *, last: bool) -> Plan | None:
    try:
        return make_plan(lowered, case.hardware())
    except PlanError:
        if last:
            raise
        return None


def check_case(path: Path, case: Case, objects: Path | None = None) -> Plan:
    """Run a saved network at its level. Raises CheckError for a fault, PlanError and UserError as `deploy` does."""
    lowered = lower(frontend.load(path, rescale_bits=case.rescale_bits))
    plan = make_plan(lowered, case.hardware())
    check_deployment(lowered, plan, case, objects)
    return plan


def check_deployment(lowered: Lowered, plan: Plan, case: Case, objects: Path | None = None) -> None:
    """CheckError unless the plan is sound and, by the level, its code computes what the reference computes.

    objects: a folder for compiled kernels that later calls of the same level use again.
    """
    graph = lowered.graph
    require_sound(plan, graph)
    if case.level == "tile":
        return
    values = reference.run(graph, example_inputs(graph, None))
    with tempfile.TemporaryDirectory(prefix="dory-fuzz-") as scratch:
        app = Path(scratch) / "app"
        write_tree(app, application(plan, graph, lowered.packed, values))
        if case.level == "host":
            verify_host(app, plan, values, objects=objects)
        else:
            done = simulate(app, IssParams.of(case.hardware()), max_cycles=MAX_CYCLES, objects=objects)
            compare(done.dump, plan, values)
            check_exit(done, app)


def save_case(model: onnx.ModelProto, case: Case, folder: Path) -> Path:
    """Write the network with its options into `folder`; the name hangs on the content."""
    saved = onnx.ModelProto()
    saved.CopyFrom(model)
    entry = saved.metadata_props.add()
    entry.key, entry.value = METADATA, json.dumps(asdict(case))
    data = saved.SerializeToString(deterministic=True)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{case.level}-{hashlib.sha256(data).hexdigest()[:8]}.onnx"
    path.write_bytes(data)
    return path


def load_case(path: Path) -> Case:
    """The options in a file of save_case; UserError for another file."""
    try:
        model = onnx.load_from_string(path.read_bytes())
        (text,) = (entry.value for entry in model.metadata_props if entry.key == METADATA)
        return Case(**json.loads(text))
    except FileNotFoundError as e:
        raise UserError("no such file", where=str(path)) from e
    except Exception as e:  # the parser's errors are of many kinds
        raise UserError("not a network that dory fuzz has saved", where=str(path), hint="dory deploy FILE") from e


def fuzz(options: Options, progress: Progress = lambda _result, _doing: None) -> Result:
    """Draw and run networks until the options' limits, a failure (which is shrunk and saved) or Ctrl-C."""
    with tempfile.TemporaryDirectory(prefix="dory-fuzz-") as scratch:
        return _Run(options, progress, Path(scratch)).run()


class _Run:
    """One run: Hypothesis in batches, so that time limits and interrupts are seen."""

    def __init__(self, options: Options, progress: Progress, scratch: Path) -> None:
        self._o, self._progress, self._scratch = options, progress, scratch
        self._result = Result()
        self._until = None if options.seconds is None else time.monotonic() + options.seconds
        self._failing: tuple[int, Deployment, Case, str] | None = None
        self._signature = ""
        self._attempts = 0

    def run(self) -> Result:
        batch, interrupted, shrunk = 0, False, False
        try:
            while not self._over():
                self._batch(batch)
                batch += 1
        except KeyboardInterrupt:
            interrupted = True
        except Exception:  # the failure itself, or Hypothesis's word on a flaky one
            if self._failing is None:
                raise
            shrunk = True
        failure = self._save(shrunk) if self._failing else None
        return replace(self._result, failure=failure, interrupted=interrupted)

    def _over(self) -> bool:
        done = self._o.count is not None and self._result.networks >= self._o.count
        return done or (self._until is not None and time.monotonic() >= self._until)

    def _batch(self, number: int) -> None:
        most = _BATCH[self._o.level]
        left = most if self._o.count is None else min(most, self._o.count - self._result.networks)

        @seed(self._o.seed * 1_000_003 + number)
        @settings(
            max_examples=left,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        )
        @given(deployments() if self._o.draw is None else self._o.draw)
        def one(drawn: Deployment) -> None:
            if self._failing:
                self._attempts += 1
            if self._attempts <= SHRINKS[self._o.level] and (self._failing or not self._over()):
                self._one(drawn)

        before = self._result.networks
        one()
        if self._result.networks == before:  # all of a batch's networks were known to Hypothesis
            self._result = replace(self._result, networks=before + 1)

    def _one(self, drawn: Deployment) -> None:
        used = Case(self._o.level, None, None, drawn.limits.cores, drawn.limits.rescale_bits, self._o.target)
        path = self._scratch / "network.onnx"
        path.write_bytes(drawn.network.model.SerializeToString(deterministic=True))
        layers = refused = 0
        try:
            lowered = lower(frontend.load(path, rescale_bits=drawn.limits.rescale_bits))
            layers = len(lowered.graph.nodes)
            try:
                plan, used = plan_within(lowered, drawn.limits, self._o.target)
            except PlanError:
                layers, refused = 0, 1
            else:
                used = replace(used, level=self._o.level)
                check_deployment(lowered, plan, used, self._scratch / "objects")
        except Exception as e:
            self._failed(drawn, used, e)
        if self._failing is None:
            r = self._result
            self._result = replace(r, networks=r.networks + 1, layers=r.layers + layers, refused=r.refused + refused)
            self._progress(self._result, "")

    def _failed(self, drawn: Deployment, used: Case, e: Exception) -> None:
        """Keep the smallest network that fails in the same way; others count as passed, so that Hypothesis goes on."""
        message = str(e) if isinstance(e, DoryError) else f"{type(e).__name__}: {e}"
        signature = f"{type(e).__name__} {_words(e.message if isinstance(e, CheckError) else message)}"
        if not self._signature:
            self._signature = signature
        if signature != self._signature:
            return
        size = drawn.network.model.ByteSize()
        if self._failing is None or size <= self._failing[0]:
            self._failing = (size, drawn, used, message)
        self._progress(self._result, f"shrinking: {len(drawn.network.layers)} layers, {size} bytes")
        raise e

    def _save(self, shrunk: bool) -> Failure:
        assert self._failing is not None
        _, drawn, used, message = self._failing
        path = save_case(drawn.network.model, used, self._o.folder)
        return Failure(path, used, message, drawn.network.layers, shrunk)


def _words(text: str) -> str:
    """What stays of a message when sizes and names change: its first words."""
    words: list[Any] = [w for w in text.split(":")[0].split() if w.isalpha()]
    return " ".join(words[:5])
