"""What onnxruntime.quantization writes, in both its formats: every layer within 1 LSB of onnxruntime."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dory.errors import UserError
from dory.frontend import load
from dory.testing.ladder import climb
from tests.frontend.float_nets import FloatNet, Settings, every_layer, float_networks, quantise

# onnxruntime refuses int8 activations with uint8 weights itself.
TYPES = (("QUInt8", "QUInt8"), ("QUInt8", "QInt8"), ("QInt8", "QInt8"))
ALL = [
    Settings(form, a, w, per_channel, symmetric)
    for form, (a, w), per_channel, symmetric in product(("QDQ", "QOperator"), TYPES, (False, True), (False, True))
]


@pytest.mark.parametrize("how", ALL, ids=lambda s: "-".join(map(str, vars(s).values())))
def test_every_layer(how: Settings, tmp_path: Path) -> None:
    net = every_layer()
    path = quantise(net, how, tmp_path)
    ladder = climb(path, net.samples(1, seed=9)[0], rescale_bits=31)
    assert len(ladder.layers) >= 14, ladder.layers
    assert ladder.max_lsb <= 1, ladder.layers
    assert ladder.differing < 0.01 * ladder.elements, ladder.layers


@pytest.mark.parametrize("per_channel", (False, True))
@pytest.mark.parametrize(
    ("activations", "weights"),
    [(a, w) for a in ("QUInt8", "QInt8", "QUInt4", "QInt4") for w in ("QInt8", "QUInt4", "QInt4") if "4" in a + w],
)
def test_types_of_4_bits(activations: str, weights: str, per_channel: bool, tmp_path: Path) -> None:
    net = every_layer(opset=21)
    path = quantise(net, Settings("QDQ", activations, weights, per_channel), tmp_path)
    ladder = climb(path, net.samples(1, seed=9)[0], rescale_bits=31)
    assert len(ladder.layers) >= 14, ladder.layers
    assert ladder.max_lsb <= 1, ladder.layers


@pytest.mark.parametrize(("activations", "weights"), [("QInt16", "QInt8"), ("QUInt16", "QInt8"), ("QInt8", "QInt16")])
def test_types_of_16_bits_are_refused(activations: str, weights: str, tmp_path: Path) -> None:
    path = quantise(every_layer(opset=21), Settings("QDQ", activations, weights), tmp_path)
    with pytest.raises(UserError, match=r"quantised\.onnx: node .*\n  try: "):
        load(path)


@settings(max_examples=40)
@given(net=float_networks(), how=st.sampled_from(ALL))
def test_random_networks(tmp_path_factory: pytest.TempPathFactory, net: FloatNet, how: Settings) -> None:
    path = quantise(net, how, tmp_path_factory.mktemp("net"))
    try:
        ladder = climb(path, net.samples(1, seed=9)[0], rescale_bits=31)
    except UserError as refused:
        text = str(refused)
        assert path.name in text and "\n  try: " in text
        assert any(reason in text for reason in REFUSED), text
        return
    assert ladder.max_lsb <= 1, ladder.layers


REFUSED = ("is the network input", "works on the float network input", "is the unquantised result of")
