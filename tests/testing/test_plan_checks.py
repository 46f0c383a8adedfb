"""Sound plans pass the independent checker; a seeded fault of every kind is found and named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paths import ROOT

import dory.testing
from dory import streaming
from dory.codegen.app import application
from dory.codegen.write import write_tree
from dory.errors import CheckError
from dory.graph.types import Graph, Window
from dory.pipeline import example_inputs
from dory.plan import L1Buffer, Plan
from dory.reference import run as reference_run
from dory.sim.model import network as model
from dory.testing import plan_checks
from dory.testing.plan_checks import KINDS, check_plan, require_sound
from dory.testing.plan_replay import Replay, replay
from dory.tiler.planner import lower
from dory.verify import verify_host
from tests.testing.plan_mutants import (
    forged,
    kept,
    stepped,
    streamed,
    striped,
    tiled,
    with_l1,
    with_l2,
    with_layer,
)

Planned = tuple[Plan, Graph]


def kinds(plan: Plan, graph: Graph | None, **options: Any) -> set[str]:
    return {fault.kind for fault in check_plan(plan, graph, **options)}


@pytest.mark.parametrize("make", [tiled, stepped, striped, streamed, kept])
def test_sound_plans_have_no_fault(make: Callable[[], Planned]) -> None:
    plan, graph = make()
    assert check_plan(plan, graph) == ()
    require_sound(plan, graph)


def test_the_plans_are_what_the_mutants_need() -> None:
    plan, _ = tiled()
    assert min(plan.layers[0].tiles) > 1, "not cut along all axes"
    plan, _ = stepped()
    assert 0 < plan.layers[0].depth < 256 and max(plan.layers[0].tiles) > 1
    plan, _ = kept()
    assert [x.output.kept for x in plan.layers] == [True, True, False] and not plan.layers[0].stored
    plan, _ = striped()
    assert plan.layers[1].stripes > 2 and plan.layers[1].output.l3_offset >= 0 <= plan.layers[1].inputs[0].l3_offset
    plan, _ = streamed()
    weights = plan.layers[1].weights
    assert weights and plan.buffer(weights.l2_buffer).copies < len(streaming.part_starts(plan.layers[1]))


# Faults of plans: what is changed, and the kind that must be found.


def smaller(b: L1Buffer, bytes_: int) -> L1Buffer:
    return replace(b, bytes=b.bytes - bytes_)


def halo_row(plan: Plan) -> int:
    """Bytes of one row of the first layer's largest input tile."""
    loop = replay(plan.layers[0])
    x = loop.x[0]
    return int(((x[:, 3] - x[:, 2]) * (x[:, 5] - x[:, 4])).max())


def with_x(plan: Plan, index: int, **changes: Any) -> Plan:
    """The plan with another first input of a layer."""
    return with_layer(plan, lambda x: replace(x, inputs=(replace(x.inputs[0], **changes), *x.inputs[1:])), index)


PLAN_MUTANTS: dict[str, tuple[Callable[[], Planned], Callable[[Plan], Plan], str]] = {
    "kept, but not looked for": (kept, lambda p: with_x(p, 1, kept=False), "kept"),
    "looked for, but not kept": (
        kept,
        lambda p: with_layer(p, lambda x: replace(x, output=replace(x.output, kept=False), stored=True)),
        "kept",
    ),
    "looked for eight bytes further": (
        kept,
        lambda p: with_l1(p, "x0", lambda b: replace(b, offset=b.offset + 8), 1),
        "kept",
    ),
    "kept in a buffer that is too small": (kept, lambda p: with_l1(p, "x0", lambda b: smaller(b, 8), 1), "kept"),
    "kept as rows, read as tiles": (
        kept,
        lambda p: with_layer(p, lambda x: replace(x, tile=(3, *x.tile[1:])), 1),
        "kept",
    ),
    "kept by a layer with tiles": (
        kept,
        lambda p: with_layer(p, lambda x: replace(x, tile=(3, *x.tile[1:]))),
        "kept",
    ),
    "kept, packed": (
        kept,
        lambda p: with_x(with_layer(p, lambda x: replace(x, output=replace(x.output, bits=4))), 1, bits=4),
        "kept",
    ),
    "kept in L1 and in L3": (kept, lambda p: with_x(p, 1, l3_offset=0), "kept"),
    "the output of the network is not stored": (
        kept,
        lambda p: with_layer(p, lambda x: replace(x, stored=False), 2),
        "kept",
    ),
    "not stored, but read again": (
        kept,
        lambda p: with_x(p, 2, tensor=p.layers[0].output.tensor, kept=False),
        "kept",
    ),
    "in L1 before the network starts": (kept, lambda p: with_x(p, 0, kept=True), "kept"),
    "input buffer one byte too small": (tiled, lambda p: with_l1(p, "x0", lambda b: smaller(b, 1)), "L1 capacity"),
    "halo one row short": (tiled, lambda p: with_l1(p, "x0", lambda b: smaller(b, halo_row(p))), "L1 capacity"),
    "weight buffer one byte too small": (tiled, lambda p: with_l1(p, "w", lambda b: smaller(b, 1)), "L1 capacity"),
    "output buffer one byte too small": (tiled, lambda p: with_l1(p, "y", lambda b: smaller(b, 1)), "L1 capacity"),
    "scratch one byte too small": (tiled, lambda p: with_l1(p, "scratch", lambda b: smaller(b, 1)), "L1 capacity"),
    "scratch forgotten": (
        tiled,
        lambda p: with_layer(p, lambda x: replace(x, l1=tuple(b for b in x.l1 if b.operand != "scratch"))),
        "L1 capacity",
    ),
    "L1 budget one byte too small": (tiled, lambda p: forged(p, l1_budget=p.l1_bytes - 1), "L1 capacity"),
    "tile one row higher than its buffers": (
        tiled,
        lambda p: with_layer(p, lambda x: replace(x, tile=(x.tile[0] + 1, *x.tile[1:]))),
        "L1 capacity",
    ),
    "L1 buffers eight bytes too close": (
        tiled,
        lambda p: with_l1(p, "y", lambda b: replace(b, offset=b.offset - 8)),
        "L1 overlap",
    ),
    "L1 buffer in the middle of a word": (
        tiled,
        lambda p: with_l1(p, "scratch", lambda b: replace(b, offset=b.offset + 1)),
        "alignment",
    ),
    "window without a row of padding": (
        tiled,
        lambda p: with_layer(
            p,
            lambda x: replace(
                x, inputs=(replace(x.inputs[0], window=Window((3, 3), pads=(0, 1, 2, 1))), *x.inputs[1:])
            ),
        ),
        "graph",
    ),
    "weights of a step one byte larger than their buffer": (
        stepped,
        lambda p: with_l1(p, "w", lambda b: smaller(b, 1)),
        "L1 capacity",
    ),
    "sums one byte too small": (stepped, lambda p: with_l1(p, "sums", lambda b: smaller(b, 1)), "L1 capacity"),
    "constants of a tile one byte too small": (
        stepped,
        lambda p: with_l1(p, "tails", lambda b: smaller(b, 1)),
        "L1 capacity",
    ),
    "steps in a single buffer": (stepped, lambda p: with_l1(p, "x0", lambda b: replace(b, copies=1)), "L1 turns"),
    "steps of two channels and a half word": (
        stepped,
        lambda p: with_layer(p, lambda x: replace(x, depth=x.depth - 2)),
        "weights",
    ),
    "one step for all": (stepped, lambda p: with_layer(p, lambda x: replace(x, depth=256)), "L1 turns"),
    "another tensor is read": (
        striped,
        lambda p: with_layer(
            p, lambda x: replace(x, inputs=(replace(x.inputs[0], tensor=p.layers[0].inputs[0].tensor),)), 1
        ),
        "graph",
    ),
    "tile starts inside a group of channels": (
        tiled,
        lambda p: with_layer(p, lambda x: replace(x, tile=(*x.tile[:2], 3))),
        "weights",
    ),
    "constants of one group too few": (
        tiled,
        lambda p: with_layer(
            p, lambda x: replace(x, weights=x.weights and replace(x.weights, bytes=x.weights.bytes - 4))
        ),
        "weights",
    ),
    "tensor buffer one byte too small": (
        tiled,
        lambda p: with_l2(p, p.inputs[0].l2_buffer, lambda b: replace(b, bytes=b.bytes - 1)),
        "L2 capacity",
    ),
    "L2 budget one word too small": (
        tiled,
        lambda p: forged(p, l2_budget=max(b.end for b in p.l2) + p.l2_code - 8),
        "L2 capacity",
    ),
    "L2 buffers share a byte": (
        tiled,
        lambda p: with_l2(
            p, "w0", lambda b: replace(b, offset=next(a for a in p.l2 if a.name == p.inputs[0].l2_buffer).offset)
        ),
        "L2 overlap",
    ),
    "two tensors in one buffer": (
        striped,
        lambda p: with_layer(p, lambda x: replace(x, output=replace(x.output, l2_buffer=p.inputs[0].l2_buffer)), 2),
        "L2 overlap",
    ),
    "output buffer dies before it is read": (
        streamed,
        lambda p: with_l2(p, p.layers[0].output.l2_buffer, lambda b: replace(b, last=0)),
        "L2 lifetime",
    ),
    "weights read before their buffer lives": (
        streamed,
        lambda p: with_l2(p, "w1", lambda b: replace(b, first=1)),
        "L2 lifetime",
    ),
    "part of the weights one byte larger than its slot": (
        streamed,
        lambda p: with_l2(p, "w1", lambda b: replace(b, bytes=b.bytes - 1)),
        "L2 capacity",
    ),
    "parts in a loop that comes back to them": (
        streamed,
        lambda p: with_layer(p, lambda x: replace(x, order="inputs", tile=(1, *x.tile[1:])), 1),
        "stream",
    ),
    "L3 one byte too small": (striped, lambda p: forged(p, l3_budget=p.l3_bytes - 1), "L3 capacity"),
    "spilled tensor on top of constants": (
        striped,
        lambda p: spilled_at(p, p.layers[0].output.tensor, 0),
        "L3 overlap",
    ),
    "spilled tensor inside a word": (
        striped,
        lambda p: spilled_at(p, p.layers[1].output.tensor, p.layers[1].output.l3_offset + 2),
        "alignment",
    ),
    "reader looks for a spilled tensor elsewhere": (
        striped,
        lambda p: with_layer(
            p, lambda x: replace(x, inputs=(replace(x.inputs[0], l3_offset=x.inputs[0].l3_offset + 4),)), 1
        ),
        "L2 lifetime",
    ),
    "stripe buffer without its halo": (
        striped,
        lambda p: with_l2(p, "s1x0", lambda b: replace(b, bytes=b.bytes - p.layers[1].inputs[0].row_bytes)),
        "stripe",
    ),
    "stripes in a single buffer": (striped, lambda p: with_l2(p, "s1x0", lambda b: replace(b, copies=1)), "stripe"),
}


def spilled_at(plan: Plan, tensor: str, l3: int) -> Plan:
    """The plan with a spilled tensor elsewhere, for its writer and its readers."""

    def move(x: Any) -> Any:
        return replace(x, l3_offset=l3) if x.tensor == tensor else x

    layers = [replace(x, inputs=tuple(map(move, x.inputs)), output=move(x.output)) for x in plan.layers]
    return forged(plan, layers=tuple(layers))


@pytest.mark.parametrize("name", PLAN_MUTANTS)
def test_a_fault_of_the_plan_is_found(name: str) -> None:
    make, change, kind = PLAN_MUTANTS[name]
    plan, graph = make()
    assert kind in kinds(change(plan), graph)


# Faults of the loop: the same plan, other tiles.


def changed(loop: Replay, key: str, row: int, column: int | None, by: int) -> Replay:
    """The loop with one number of one tile changed."""
    data = getattr(loop, key)
    array = (data[0] if key == "x" else data).copy()
    if column is None:
        array[row] = not array[row]
    else:
        array[row, column] += by
    return replace(loop, **{key: (array, *data[1:]) if key == "x" else array})


def picked(loop: Replay, rows: Any) -> Replay:
    """The loop with only these tiles, in this order."""
    own = {k: getattr(loop, k)[rows] for k in ("block", "out", "k", "store", "x_load", "w", "w_load", "tail")}
    return replace(loop, **own, x=tuple(x[rows] for x in loop.x))


def reloaded(loop: Replay) -> Replay:
    return replace(loop, x_load=np.ones_like(loop.x_load), w_load=np.ones_like(loop.w_load))


MIDDLE = 40  # a tile away from the borders

LOOP_MUTANTS: dict[str, tuple[Callable[[Replay], Replay], str]] = {
    "last tile missing": (lambda r: picked(r, np.arange(r.tiles - 1)), "coverage"),
    "first tile missing": (lambda r: picked(reloaded(r), np.arange(1, r.tiles)), "coverage"),
    "tile twice": (lambda r: picked(reloaded(r), np.append(np.arange(r.tiles), MIDDLE)), "coverage"),
    "tile one row too high": (lambda r: changed(r, "out", MIDDLE, 0, -1), "coverage"),
    "tile one column too narrow": (lambda r: changed(r, "out", MIDDLE, 3, -1), "coverage"),
    "tile four channels further": (lambda r: changed(changed(r, "out", MIDDLE, 4, 4), "out", MIDDLE, 5, 4), "coverage"),
    "tile outside the output": (lambda r: changed(r, "out", r.tiles - 1, 1, 1), "coverage"),
    "output never written": (lambda r: changed(r, "store", MIDDLE, None, 0), "coverage"),
    "half of the input channels summed": (lambda r: changed(r, "k", MIDDLE, 1, -8), "coverage"),
    "halo one row short below": (lambda r: changed(r, "x", MIDDLE, 1, -1), "halo"),
    "halo one row short above": (lambda r: changed(r, "x", MIDDLE, 0, 1), "halo"),
    "halo one column short": (lambda r: changed(r, "x", MIDDLE, 3, -1), "halo"),
    "input tile one row off": (lambda r: changed(changed(r, "x", MIDDLE, 0, 1), "x", MIDDLE, 1, 1), "halo"),
    "padding forgotten": (lambda r: changed(r, "x", 0, 6, -1), "halo"),
    "padding where there is input": (lambda r: changed(r, "x", MIDDLE, 7, 1), "halo"),
    "input tile above the tensor": (lambda r: changed(r, "x", 0, 0, -1), "halo"),
    "input channels missing": (lambda r: changed(r, "x", MIDDLE, 5, -1), "halo"),
    "input tile not loaded": (lambda r: changed(r, "x_load", MIDDLE, None, 0), "halo"),
    "constants of the next channels": (
        lambda r: changed(changed(r, "w", MIDDLE, 0, 640), "w", MIDDLE, 1, 640),
        "weights",
    ),
    "constants not loaded": (
        lambda r: changed(r, "w_load", int(np.flatnonzero(r.w_load)[1]), None, 0),
        "weights",
    ),
    "one load more than the estimate has": (lambda r: changed(r, "w_load", 1, None, 0), "bytes"),
    "tile in the wrong stripe": (lambda r: replace(r, block=r.block + (np.arange(r.tiles) == MIDDLE)), "stripe"),
}


STEP_MUTANTS: dict[str, tuple[Callable[[Replay], Replay], str]] = {
    "step missing": (lambda r: picked(r, np.delete(np.arange(r.tiles), 9)), "coverage"),
    "step twice": (lambda r: picked(r, np.insert(np.arange(r.tiles), 9, 9)), "coverage"),
    "written one step too early": (
        lambda r: changed(changed(r, "store", last_step(r) - 1, None, 0), "store", last_step(r), None, 0),
        "coverage",
    ),
    "inputs of the step before": (lambda r: changed(changed(r, "x", 9, 4, -4), "x", 9, 5, -4), "halo"),
    "weights of the next step": (lambda r: changed(changed(r, "w", 9, 0, 16), "w", 9, 1, 16), "weights"),
    "constants not loaded": (lambda r: changed(r, "tail", last_step(r), None, 0), "weights"),
}


def last_step(loop: Replay) -> int:
    return int(np.flatnonzero(loop.store)[3])


@pytest.mark.parametrize("name", STEP_MUTANTS)
def test_a_fault_of_the_steps_is_found(name: str) -> None:
    change, kind = STEP_MUTANTS[name]
    plan, graph = stepped()
    assert kind in kinds(plan, graph, loop=lambda layer: change(replay(layer)))


@pytest.mark.parametrize("name", LOOP_MUTANTS)
def test_a_fault_of_the_loop_is_found(name: str) -> None:
    change, kind = LOOP_MUTANTS[name]
    plan, graph = tiled()
    assert kind in kinds(plan, graph, loop=lambda layer: change(replay(layer)))


# Faults of the queue of reads from L3.


def late(s: streaming.Schedule) -> streaming.Schedule:
    """The last part is not waited for."""
    points = [replace(p, needed=min(p.needed, len(s.reads) - 1)) for p in s.points]
    return replace(s, points=tuple(points))


def early(s: streaming.Schedule) -> streaming.Schedule:
    """A read starts while its slot is in use."""
    points = [replace(p, started=min(p.started + 1, len(s.reads))) for p in s.points]
    return replace(s, points=tuple(points))


def elsewhere(s: streaming.Schedule) -> streaming.Schedule:
    """A read brings other bytes."""
    return replace(s, reads=(*s.reads[:-1], replace(s.reads[-1], l3=s.reads[-1].l3 + 4)))


@pytest.mark.parametrize("change", [late, early, elsewhere])
def test_a_fault_of_the_stream_is_found(change: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, graph = streamed()
    monkeypatch.setattr(plan_checks, "schedule", lambda p: change(streaming.schedule(p)))
    assert "stream" in kinds(plan, graph)


def test_every_kind_of_fault_has_a_mutant() -> None:
    found = {kind for _, _, kind in PLAN_MUTANTS.values()} | {kind for _, kind in LOOP_MUTANTS.values()} | {"stream"}
    assert found == set(KINDS)


def test_the_documentation_has_every_kind_and_name() -> None:
    text = (ROOT / "docs" / "testing.md").read_text()
    assert all(f"| {kind} | {meaning} |" in text for kind, meaning in KINDS.items())
    assert all(getattr(dory.testing, name) for name in dory.testing.__all__)
    assert {n for names in dory.testing._HOMES.values() for n in names} == set(dory.testing.__all__)
    described = ("layer_specs", "layer_networks", "small_qdq_networks", "fuzz_networks", "limits", "deployments")
    assert all(f"| `{name}(" in text and name in dory.testing.__all__ for name in described)


# Faults in the code that others share, seen through the checker.


def test_a_halo_that_the_model_cuts_short_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, graph = tiled()
    true = Window.in_range

    def short(self: Window, axis: int, o0: int, o1: int, size: int) -> tuple[int, int, int, int]:
        i0, i1, before, after = true(self, axis, o0, o1, size)
        return i0, max(i1 - 1, i0), before, after

    monkeypatch.setattr(Window, "in_range", short)
    assert kinds(plan, graph) == {"bytes"}


def test_bytes_that_the_estimate_forgets_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, graph = striped()
    monkeypatch.setattr(model, "_stripe_bytes", lambda x, h0, h1: (h1 - h0) * x.row_bytes)
    assert kinds(plan, graph) == {"bytes"}


def test_the_message_names_layer_and_bytes() -> None:
    plan, graph = tiled()
    with pytest.raises(CheckError, match=r"L1 capacity: nconv_4: a tile of y has \d+ bytes, its buffer \d+"):
        require_sound(with_l1(plan, "y", lambda b: smaller(b, 1)), graph)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["halo one row short", "tile one row higher than its buffers"])
def test_what_the_checker_refuses_fails_on_the_host(name: str, tmp_path: Path) -> None:
    """The checker's faults are faults: the generated code stops on them too."""
    make, change, _ = PLAN_MUTANTS[name]
    plan, graph = make()
    mutant, lowered = change(plan), lower(graph)
    values = reference_run(graph, example_inputs(graph, None))
    write_tree(tmp_path / "app", application(mutant, graph, lowered.packed, values))
    with pytest.raises(CheckError):
        verify_host(tmp_path / "app", mutant, values)
