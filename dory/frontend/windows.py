"""Sliding-window attributes of Conv and pools: kernel, strides, dilations, pads, auto_pad, ceil_mode."""

from __future__ import annotations

from collections.abc import Sequence

from dory.frontend.onnx_file import NodeView
from dory.graph.types import Window

Pads = tuple[int, int, int, int]
MAX_PAD = 2**15  # of one side, in elements


def window_of(
    node: NodeView, size: tuple[int, int], axes: int, kernel: Sequence[int], base_pads: Pads = (0, 0, 0, 0)
) -> tuple[Window, tuple[int, ...]]:
    """(window over H and W, spatial ONNX output shape) for an input of H x W elements with `axes` spatial axes.

    `base_pads` (top, left, bottom, right) is a border the input already has in ONNX; it joins the window's own pads.
    With ceil_mode the last window may reach beyond the border: the bottom and right pads grow by that much.
    """
    kernel = _list(node, "kernel", list(kernel), axes)
    strides = _list(node, "strides", node.integers("strides") or [1] * axes, axes)
    dilations = _list(node, "dilations", node.integers("dilations") or [1] * axes, axes)
    if min(*kernel, *strides, *dilations) < 1:
        raise node.error(f"kernel {kernel}, strides {strides}, dilations {dilations}", "they must be at least 1")
    sizes = [size[0] + base_pads[0] + base_pads[2], size[1] + base_pads[1] + base_pads[3]][2 - axes :]
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    begin, end = _pads(node, axes, sizes, spans, strides)
    out = []
    for i in range(axes):
        room = sizes[i] + begin[i] + end[i] - spans[i]
        if room < 0:
            raise node.error(
                f"a window of {spans[i]} does not fit {sizes[i]} elements with pads {begin[i]} and {end[i]}",
                "check kernel_shape, dilations and pads",
            )
        count = room // strides[i] + 1
        if node.integer("ceil_mode", 0) and room % strides[i] and count * strides[i] < sizes[i] + begin[i]:
            count += 1  # the window starts inside the input or its first pad
            end[i] += count * strides[i] - strides[i] - room
        out.append(count)
        # A stride that is never taken and the dilation of one element may be anything: keep them as small as the input.
        strides[i] = min(strides[i], room + 1) if count == 1 else strides[i]
        dilations[i] = dilations[i] if kernel[i] > 1 else 1
    one = [1] * (2 - axes)
    zero = [0] * (2 - axes)
    top, left = (*zero, *begin)
    bottom, right = (*zero, *end)
    pads = (top + base_pads[0], left + base_pads[1], bottom + base_pads[2], right + base_pads[3])
    k, s, d = ((*one, *v) for v in (kernel, strides, dilations))
    return Window((k[0], k[1]), (s[0], s[1]), (d[0], d[1]), pads), tuple(out)


def _list(node: NodeView, what: str, values: list[int], axes: int) -> list[int]:
    if len(values) != axes:
        raise node.error(f"{what} {values} for {axes} spatial axes", "export the network again")
    return values


def _pads(
    node: NodeView, axes: int, sizes: list[int], spans: list[int], strides: list[int]
) -> tuple[list[int], list[int]]:
    auto = node.text("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        total = [max((-(-n // s) - 1) * s + span - n, 0) for n, s, span in zip(sizes, strides, spans, strict=True)]
        small, large = [t // 2 for t in total], [t - t // 2 for t in total]
        return (small, large) if auto == "SAME_UPPER" else (large, small)
    if auto == "VALID":
        return [0] * axes, [0] * axes
    if auto not in ("NOTSET", ""):
        raise node.error(f"auto_pad {auto}", "accepted are NOTSET, SAME_UPPER, SAME_LOWER and VALID")
    pads = node.integers("pads") or [0] * (2 * axes)
    if len(pads) != 2 * axes or min(pads) < 0 or max(pads) > MAX_PAD:
        raise node.error(f"pads {pads}", f"accepted are {2 * axes} numbers in 0..{MAX_PAD}")
    return pads[:axes], pads[axes:]
