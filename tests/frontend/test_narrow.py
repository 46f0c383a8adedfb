"""QCDQ and QONNX networks of 2 to 8 bits: every layer within 1 LSB of a float evaluation, and both alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dory.errors import UserError
from dory.testing.ladder import climb
from tests.frontend.narrow_nets import Step, build, steps


@settings(max_examples=60)
@given(
    seed=st.integers(0, 99),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 7), st.integers(1, 7)),
    plan=steps(),
    head=st.booleans(),
    rescale_bits=st.sampled_from((15, 31)),
)
def test_random_networks(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    shape: tuple[int, int, int],
    plan: list[Step],
    head: bool,
    rescale_bits: int,
) -> None:
    folder = tmp_path_factory.mktemp("net")
    ladders = []
    for form in ("QCDQ", "QONNX"):
        net = build(form, seed, shape, plan, head)
        try:
            ladder = climb(net.save(folder, f"{form}.onnx"), net.feeds, rescale_bits=rescale_bits)
        except UserError as refused:
            assume("whose opposite is no int8" not in str(refused))  # a negative batch normalisation of -128
            raise
        assert ladder.max_lsb <= 1, (form, ladder.layers)
        assert ladder.layers
        ladders.append(ladder)
    one, other = ladders
    assert [n.op for n in one.graph.nodes] == [n.op for n in other.graph.nodes]
    for a, b in zip(one.graph.nodes, other.graph.nodes, strict=True):
        assert np.array_equal(one.reference[a.output], other.reference[b.output]), a.name
