"""Every accepted way to write a quantised network, to a verified application."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dory import pipeline
from dory.cli.main import main
from dory.errors import UserError
from dory.targets import load as load_target
from tests.frontend.float_nets import FloatNet, Settings, every_layer, float_networks, quantise
from tests.frontend.narrow_nets import Bits, NarrowNet, Step, build, steps
from tests.frontend.pt2e_nets import pt2e
from tests.frontend.test_onnxruntime import TYPES

pytestmark = pytest.mark.slow


def deploy(model: Path, *options: str) -> None:
    app = model.parent / "app"
    assert main(["deploy", str(model), "-o", str(app), *options]) == 0
    assert (app / "plan.json").is_file()


def deploy_or_refuse(model: Path) -> None:
    """A network that is not refused with a reason passes the host's checks."""
    options = pipeline.Options(output=model.parent / "app", target=load_target("gap8"))
    try:
        pipeline.deploy(model, options)
    except UserError as refused:
        assert model.name in str(refused)
        assert not (model.parent / "app").exists()
    else:
        assert (model.parent / "app" / "plan.json").is_file()


@pytest.mark.parametrize(
    "how",
    [
        Settings("QOperator", "QInt8", "QInt8", per_channel=True),
        Settings("QOperator", "QUInt8", "QUInt8"),  # weights of nine bits, depthwise too
        Settings("QDQ", "QUInt8", "QUInt8"),
    ],
    ids=lambda s: f"{s.form}-{s.weights}",
)
def test_onnxruntime(how: Settings, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    deploy(quantise(every_layer(), how, tmp_path), "--compare-onnx")


@pytest.mark.parametrize("form", ("QCDQ", "QONNX"))
def test_brevitas(form: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    net = NarrowNet(form)
    x = net.quant(net.input(3, 9, 8), Bits(8, True))
    x = first = net.quant(net.unary(net.batchnorm(net.conv(x, 12, 3, Bits(4, True, True))), "Relu"), Bits(4, False))
    x = net.quant(net.conv(x, 12, 3, Bits(2, True), group=12), Bits(3, True), zero=1)
    x = net.quant(net.add(net.quant(net.conv(x, 12, 1, Bits(3, True)), Bits(4, True)), first), Bits(4, True))
    x = net.quant(net.unary(x, "Sigmoid"), Bits(5, False))
    x = net.quant(net.pool(x, "AveragePool"), Bits(5, False))
    x = net.quant(net.concat(x, net.quant(net.pool(first, "MaxPool"), Bits(3, False))), Bits(4, False))
    net.output(net.quant(net.linear(x, 6, Bits(8, True, True)), Bits(8, True)))
    deploy(net.save(tmp_path), "--compare-onnx")


def test_pt2e(tmp_path: Path) -> None:
    deploy(pt2e().save(tmp_path))


@settings(max_examples=3)
@given(net=float_networks(), how=st.sampled_from([Settings("QOperator", a, w) for a, w in TYPES]))
def test_random_networks(tmp_path_factory: pytest.TempPathFactory, net: FloatNet, how: Settings) -> None:
    pytest.importorskip("onnxruntime")
    deploy_or_refuse(quantise(net, how, tmp_path_factory.mktemp("net")))


@settings(max_examples=3)
@given(
    seed=st.integers(0, 99),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9)),
    plan=steps(),
    form=st.sampled_from(("QCDQ", "QONNX")),
)
def test_random_narrow_networks(
    tmp_path_factory: pytest.TempPathFactory, seed: int, shape: tuple[int, int, int], plan: list[Step], form: str
) -> None:
    deploy_or_refuse(build(form, seed, shape, plan, True).save(tmp_path_factory.mktemp("net")))


def test_a_refused_network_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = NarrowNet("QONNX")
    x = net.quant(net.input(3, 8, 8), Bits(8, True))
    net.output(net.quant(net.unary(net.conv(x, 4, 3, Bits(4, True)), "Sigmoid"), Bits(4, True)))
    model = net.save(tmp_path)
    assert main(["deploy", str(model), "-o", str(tmp_path / "app")]) == 2
    text = capsys.readouterr().err
    assert "(Sigmoid)" in text and "unquantised result of Conv" in text and "Traceback" not in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.onnx"]
    assert np.size(net.feeds["input0"])
