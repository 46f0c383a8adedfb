"""The compiled tile loop against its plain twin."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dory import targets
from dory.sim.iss.params import IssParams
from dory.sim.model.events import ColdStart, LoopCosts, plain_block, run_block
from dory.sim.model.laws import Copies
from dory.sim.model.tiles import Step, Tile

PARAMS = tuple(IssParams.of(targets.load(name)) for name in targets.names())
COPIES = st.builds(Copies, st.integers(1, 20), st.integers(1, 800), st.sampled_from((14, 28)), st.integers(1, 5000))


@st.composite
def loops(draw: st.DrawFn) -> list[Step]:
    """A few kinds of tiles in any order; weights in all or none."""
    weights = draw(st.booleans())
    tiles = [
        Tile(
            tuple(draw(st.lists(COPIES, max_size=3))),
            (draw(COPIES),) if weights else (),
            tuple(draw(st.lists(COPIES, max_size=2))),
            cycles,
            draw(st.integers(0, cycles)),
            "",
        )
        for cycles in draw(st.lists(st.integers(1, 3000), min_size=1, max_size=4))
    ]
    step = st.tuples(st.sampled_from(tiles), st.booleans(), st.booleans(), st.just(-1))
    first = (draw(st.sampled_from(tiles)), True, weights, -1)
    steps = [first, *draw(st.lists(step, max_size=30))]
    return [(t, x, w, i if i % 3 == 0 else -1) for i, (t, x, w, _) in enumerate(steps)]


COSTS = st.builds(LoopCosts, *(st.integers(0, 300) for _ in range(6)), st.floats(0, 1))
STARTS = st.builds(ColdStart, st.floats(0, 120), st.floats(0, 120), st.integers(0, 1500), st.integers(0, 1500))


SINGLE = st.sampled_from(("", "x", "w", "y", "xw", "xy", "wy", "xwy"))


@given(loops(), COSTS, STARTS, st.sampled_from(PARAMS), st.integers(1, 12), st.booleans(), SINGLE)
def test_the_compiled_loop_equals_its_plain_twin(
    steps: list[Step], costs: LoopCosts, cold: ColdStart, params: IssParams, queue: int, parts: bool, single: str
) -> None:
    def enter(t: int, part: int) -> int:
        return t + 7 * part + t % 5

    params = replace(params, dma_queue=queue)
    wanted = plain_block(steps, costs, params, None, cold, enter if parts else None, single)
    assert run_block(steps, costs, params, None, cold, enter if parts else None, single) == wanted


@given(loops(), COSTS, STARTS, st.sampled_from(PARAMS), SINGLE)
def test_events_lie_inside_the_block_and_explain_the_kernels(
    steps: list[Step], costs: LoopCosts, cold: ColdStart, params: IssParams, single: str
) -> None:
    spans = []
    run = run_block(steps, costs, params, spans, cold, None, single)
    assert run == run_block(steps, costs, params, None, cold, None, single)
    assert sum(s.end - s.begin for s in spans if s.kind == "compute") == run.compute + run.imbalance
    assert all(0 <= s.begin <= s.end for s in spans)
    assert max((s.end for s in spans if s.kind == "compute"), default=0) <= run.cycles
