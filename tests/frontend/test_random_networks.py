"""Small random networks of every operator: every layer within 1 LSB of onnxruntime, whatever feeds what."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dory.errors import UserError
from dory.frontend import from_hwc
from dory.testing.ladder import climb
from tests.frontend.nets import Net

SCALE = 0.05


def scale_zero(draw: st.DrawFn, dtype: type) -> tuple[float, int]:
    info = np.iinfo(dtype)
    return draw(st.sampled_from((0.03, 0.05, 0.08))), draw(st.sampled_from((info.min, info.min + 40, info.min + 128)))


@st.composite
def networks(draw: st.DrawFn) -> Net:
    """Up to eight operators on maps of at most 8 channels, any value feeding any later one of fitting shape."""
    dtype = draw(st.sampled_from((np.int8, np.uint8)))
    net = Net(opset=draw(st.sampled_from((13, 17, 18))), dtype=dtype, seed=draw(st.integers(0, 99)))
    c, h, w = draw(st.integers(1, 6)), draw(st.integers(1, 7)), draw(st.integers(1, 7))
    scale, zero = scale_zero(draw, dtype)
    maps = [(net.input((1, c, h, w), scale, zero), (c, h, w), scale)]
    for _ in range(draw(st.integers(1, 8))):
        maps.append(one_layer(draw, net, maps, dtype))
    used = {i for n in net.nodes for i in n.input}
    ends = [m for m in maps[1:] if m[0] not in used] or [maps[-1]]
    for x, (c, h, w), sx in ends:
        head = draw(st.sampled_from(("as it is", "flatten", "linear", "softmax")))
        if head == "as it is":
            net.output(x)
            continue
        x = net.node("Flatten", x)
        if head != "flatten":
            x = net.node("Gemm", x, net.weight((c * h * w, 5), 0.02))
            x = net.qdq(x, sx * 0.02 * 40 * (c * h * w) ** 0.5, draw(st.sampled_from((0, 3))))
        if head == "softmax":
            x = net.qdq(net.node("Softmax", x, axis=1), 1 / 256, np.iinfo(dtype).min)
        net.output(x)
    return net


def one_layer(draw: st.DrawFn, net: Net, maps: list, dtype: type) -> tuple[str, tuple[int, int, int], float]:
    x, (c, h, w), sx = draw(st.sampled_from(maps))
    op = draw(
        st.sampled_from(("conv", "depthwise", "maxpool", "avgpool", "add", "concat", "unary", "pad", "transpose"))
    )
    scale, zero = scale_zero(draw, dtype)
    pair = draw(st.integers(0, 1)), draw(st.integers(0, 1)), draw(st.integers(0, 1)), draw(st.integers(0, 1))
    kernel = min(3, h), min(3, w)
    if op in ("conv", "depthwise"):
        cout = c * draw(st.integers(1, 2)) if op == "depthwise" else draw(st.integers(1, 8))
        group = c if op == "depthwise" else 1
        y = net.conv(x, c, cout, kernel, group, sx=sx, pads=list(pair), strides=[1 + pair[0], 1 + pair[3]])
        scale = sx * 0.02 * 40 * (kernel[0] * kernel[1] * c / group) ** 0.5
        c = cout
        h, w = (
            (n + pair[i] + pair[i + 2] - k) // (1 + pair[3 * i]) + 1
            for i, (n, k) in enumerate(zip((h, w), kernel, strict=True))
        )
    elif op in ("maxpool", "avgpool"):
        name = "MaxPool" if op == "maxpool" else "AveragePool"
        pads = [min(p, k - 1) for p, k in zip(pair, kernel * 2, strict=True)]
        y = net.node(name, x, kernel_shape=list(kernel), pads=pads, strides=[2, 1])
        h, w = (h + pads[0] + pads[2] - kernel[0]) // 2 + 1, w + pads[1] + pads[3] - kernel[1] + 1
        scale = sx
    elif op == "add":
        y = net.node("Add", x, draw(st.sampled_from([m[0] for m in maps if m[1] == (c, h, w)])))
    elif op == "concat":
        others = [m for m in maps if m[1][1:] == (h, w)]
        other = draw(st.sampled_from(others))
        y, c = net.node("Concat", x, other[0], axis=1), c + other[1][0]
    elif op == "unary":
        since_14 = ("HardSwish",) if net.opset >= 14 else ()
        y = net.node(draw(st.sampled_from(("Relu", "Sigmoid", "LeakyRelu", *since_14))), x)
    elif op == "pad":
        y = net.node("Pad", x, net.const([0, 0, *pair[:2], 0, 0, *pair[2:]], np.int64))
        h, w = h + pair[0] + pair[2], w + pair[1] + pair[3]
    else:
        y, (h, w) = net.node("Transpose", x, perm=[0, 1, 3, 2]), (w, h)
    if op not in ("maxpool", "avgpool", "pad", "transpose") or draw(st.booleans()):
        if op in ("conv", "depthwise", "add") and draw(st.booleans()):
            y = net.node("Relu", y)
        y, sx = net.qdq(y, scale, zero), scale
    elif op == "avgpool":
        y = net.qdq(y, sx, zero)
    return y, (c, h, w), float(sx)


@settings(max_examples=40)
@given(net=networks(), bits=st.sampled_from((15, 31)))
def test_random_networks(tmp_path_factory: pytest.TempPathFactory, net: Net, bits: int) -> None:
    try:
        ladder = climb(net.save(tmp_path_factory.mktemp("net")), net.feeds, rescale_bits=bits)
    except UserError as e:
        assume("is the network input" not in str(e))  # an end that only moves the input: refused, with reason
        raise
    assert ladder.max_lsb <= 1, ladder.layers
    for tensor in ladder.graph.outputs:
        name = ladder.graph.io_layouts[tensor].onnx_name
        ours, theirs = from_hwc(ladder.graph, name, ladder.reference[tensor]), ladder.onnxruntime[name]
        assert ours.shape == theirs.shape
        assert ours.dtype == theirs.dtype
