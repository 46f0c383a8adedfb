"""Chosen layers of a QDQ network with weights of 4 and 2 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from dory import frontend
from dory.errors import UserError
from dory.frontend.round_weights import round_weights, rounded
from dory.testing.ladder import climb
from dory.testing.networks import NETWORKS, sample_input
from dory.tiler.planner import lower


def layers_of(model: onnx.ModelProto) -> list[str]:
    return [n.name for n in model.graph.node if n.op_type in ("Conv", "Gemm")]


def test_chosen_layers_have_few_bits_and_agree_with_onnxruntime(tmp_path: Path) -> None:
    model = NETWORKS["resnet8"].build()
    names = layers_of(model)
    wanted = {names[1]: 4, names[2]: 2, names[-1]: 4}
    path = tmp_path / "net.onnx"
    onnx.save(round_weights(model, wanted), str(path))
    lowered = lower(frontend.load(path))
    found = {n.source: p.bits for n, p in zip(lowered.graph.nodes, lowered.packed, strict=True) if p and p.unit}
    assert {name: found[name] for name in wanted} == wanted
    assert all(b == 8 for name, b in found.items() if name not in wanted)
    assert climb(path, sample_input(model)).max_lsb <= 1


@pytest.mark.parametrize("bits", [4, 2])
def test_scales_have_the_least_error(bits: int) -> None:
    rows = np.random.default_rng(1).standard_normal((5, 200))
    rows[3] = 0
    scale, ints = rounded(rows, bits)
    top = (1 << (bits - 1)) - 1
    assert ints.min() >= -top - 1 and ints.max() <= top
    error = np.square(ints * scale[:, None] - rows).sum(1)
    plain = np.abs(rows).max(1) / top
    plain[3] = 1
    naive = np.square(np.clip(np.rint(rows / plain[:, None]), -top - 1, top) * plain[:, None] - rows).sum(1)
    assert np.all(error <= naive * (1 + 1e-6)) and error[0] < 0.9 * naive[0]


def test_wrong_names_and_bits_are_errors() -> None:
    model = NETWORKS["resnet8"].build()
    with pytest.raises(UserError, match="no layer is called nothing"):
        round_weights(model, {"nothing": 4})
    with pytest.raises(UserError, match="other bits"):
        round_weights(model, {layers_of(model)[0]: 3})
