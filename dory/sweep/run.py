"""Plans and estimates of a sweep, on the processes of this machine or on a Dask cluster."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from dory.errors import CheckError, PlanError, UserError
from dory.plan import Plan
from dory.sim.iss.params import IssParams
from dory.sim.model.energy import energy
from dory.sim.model.network import estimate
from dory.sweep.record import INFEASIBLE, OK, RESULTS, Record, Row, axes
from dory.sweep.space import Memory, Point, Space
from dory.targets import Power, Target
from dory.tiler.planner import Lowered, make_plan

CHUNK = 40
"""Points of one task: enough to be worth sending a plan."""
DASK_SECONDS = 10
"""How long a scheduler may take to answer."""


@dataclass(frozen=True)
class Sweep:
    """A model on a target, and which points are wanted."""

    lowered: Lowered
    target: Target
    space: Space
    key: str


@dataclass(frozen=True)
class Pool:
    """Where tasks run, the model as they take it, and how many run at once."""

    executor: Executor
    model: Any
    width: int


@dataclass(frozen=True)
class Planned:
    """A plan and the chip that it is for, or why there is none."""

    plan: Plan | None
    params: IssParams
    power: Power
    reason: str = ""


def plan_memory(lowered: Lowered, target: Target, memory: Memory) -> Planned:
    """The plan of some memory sizes; one that cannot be is a result too."""
    params = IssParams.of(target)
    try:
        target = target.with_cores(memory.cores).with_budgets(memory.l1, memory.l2)
        return Planned(make_plan(lowered, target), params, target.power)
    except (PlanError, UserError) as e:
        where = f"{e.where}: " if e.where else ""
        return Planned(None, params, target.power, " ".join(f"{where}{e.message}".split()))


def estimate_points(planned: Planned, points: Sequence[Point], common: dict[str, str]) -> list[Row]:
    """One row per point."""
    return [{**common, **axes(p), **dict.fromkeys(RESULTS, ""), **_result(planned, p)} for p in points]


def _result(planned: Planned, point: Point) -> dict[str, str]:
    if planned.plan is None:
        return {"status": INFEASIBLE, "reason": planned.reason}
    plan = planned.plan
    e = estimate(plan, replace(planned.params, fc_khz=point.clock.fc_khz, cluster_khz=point.clock.cluster_khz))
    try:
        power = energy(e, planned.power)
    except UserError as error:
        return {"status": INFEASIBLE, "reason": " ".join(error.message.split())}
    values: tuple[float, ...] = (
        e.cycles,
        e.milliseconds,
        plan.macs / e.cycles if e.cycles else 0.0,
        power.mj,
        power.pj_per_mac,
        power.volts,
        plan.l1_bytes,
        plan.l2_bytes + plan.l2_code,
        plan.l3_bytes,
        sum(x.dma_bytes for x in e.layers),
        sum(x.l3_read for x in e.layers),
        sum(x.l3_written for x in e.layers),
        *e.by_cause.values(),
    )
    texts = (f"{v:.7g}" if v % 1 else f"{v:.0f}" for v in values)
    return {"status": OK, "reason": "", **dict(zip(RESULTS, texts, strict=True))}


def run(sweep: Sweep, record: Record, pool: Pool, progress: Callable[[int, int], None]) -> int:
    """Fill `record` with the points that it lacks; how many those were. Raises what a task raises."""
    known = record.points()
    todo = {m: [p for p in sweep.space.points(m, sweep.target) if p not in known] for m in sweep.space.memories()}
    waiting = [m for m, points in todo.items() if points]
    total = sum(map(len, todo.values()))
    common = {"network": sweep.lowered.graph.name, "target": sweep.target.name, "key": sweep.key}
    running: dict[Future[Any], Memory | None] = {}
    done = 0
    progress(done, total)
    while waiting or running:
        while waiting and len(running) <= pool.width:  # not all plans first: rows are to be written early
            memory = waiting.pop(0)
            running[pool.executor.submit(plan_memory, pool.model, sweep.target, memory)] = memory
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            planned_memory = running.pop(future)
            if planned_memory is None:
                rows = future.result()
                record.add(rows)
                done += len(rows)
                progress(done, total)
                continue
            planned, points = future.result(), todo[planned_memory]
            for i in range(0, len(points), CHUNK):
                task = pool.executor.submit(estimate_points, planned, points[i : i + CHUNK], common)
                running[task] = None
    return total


@contextmanager
def local_pool(jobs: int, lowered: Lowered) -> Iterator[Pool]:
    """Processes of this machine, or a thread for one. CheckError when a process dies."""
    if jobs == 1:
        executor: Executor = ThreadPoolExecutor(1)
    else:  # not fork: a spinner's thread may hold a lock
        executor = _workers(jobs)
    try:
        yield Pool(executor, lowered, jobs)
    except BrokenProcessPool as e:
        raise CheckError("a process of the sweep died (out of memory?)", where="sweep", hint="--jobs 1") from e
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _workers(jobs: int) -> ProcessPoolExecutor:
    """Processes that never see an interrupt, not even while they start: the parent says what becomes of the sweep."""
    executor = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"))
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is ignored stays so in a new process
    try:
        for _ in range(jobs):
            executor.submit(int)  # starts one
    finally:
        signal.signal(signal.SIGINT, previous)
    return executor


def local_jobs() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


@contextmanager
def dask_pool(address: str, lowered: Lowered) -> Iterator[Pool]:
    """An existing Dask cluster. UserError without the extra, or when no scheduler or no worker is there."""
    try:
        distributed: Any = importlib.import_module("distributed")  # an extra, without types
    except ImportError as e:
        raise UserError("Dask is not installed", where="--dask", hint="pip install 'dory[sweep]'") from e
    where = f"--dask {address}"
    try:
        client = distributed.Client(address, timeout=DASK_SECONDS)
    except (OSError, ValueError, TypeError, RuntimeError, AssertionError) as e:  # the last: its thread did not start
        raise UserError(f"no Dask scheduler answers: {e}", where=where, hint="--dask tcp://HOST:8786") from e
    with client:
        cores = sum(client.ncores().values())
        if not cores:
            raise UserError("the cluster has no workers", where=where, hint=f"dask worker {address}")
        try:
            yield Pool(client.get_executor(), client.scatter(lowered, broadcast=True), cores)
        except ModuleNotFoundError as e:
            raise UserError(f"its workers lack {e.name}", where=where, hint="install dory on every worker") from e
