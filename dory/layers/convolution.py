"""What all convolutions have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from dory.graph.types import IntArray, Requant, Shape, Window
from dory.layers.rescale import Rescale, channel_rescales, choose
from dory.layers.window import out_hw, taps


@dataclass(frozen=True, eq=False)
class ConvAttrs:
    """weights [Cout, KH, KW, Cin/groups] and bias [Cout] (input zero-point folded), integers.

    Padding reads as pad_value, the input's zero-point. turned: the kernel takes rows for columns (depthwise only).
    padded: it copies tiles with their padding first (not depthwise).
    """

    window: Window
    weights: IntArray
    bias: IntArray
    requant: Requant
    pad_value: int
    groups: int = 1
    turned: bool = False
    padded: bool = False

    @cached_property
    def rescale(self) -> Rescale:
        """The form of all channels together."""
        return choose(self.weights, self.bias, self.requant)

    @cached_property
    def rescales(self) -> tuple[Rescale, ...]:
        """The form of every channel by itself."""
        return tuple(channel_rescales(self.weights, self.bias, self.requant))


def conv_out_shape(attrs: ConvAttrs, shapes: Sequence[Shape]) -> Shape:
    """Output (H, W, Cout) of any convolution."""
    return (*out_hw(attrs.window, shapes[0], "convolution"), attrs.weights.shape[0])


def conv_macs(attrs: ConvAttrs, shapes: Sequence[Shape]) -> int:
    """Output elements times weights of one output channel."""
    oh, ow, c = conv_out_shape(attrs, shapes)
    return oh * ow * c * int(np.prod(attrs.weights.shape[1:]))


def conv_constants(attrs: ConvAttrs) -> Mapping[str, Any]:
    """Kernel arguments that all tiles share."""
    return {
        "pad_value": attrs.pad_value,
        "requant": attrs.requant,
        "groups": attrs.groups,
        "turned": attrs.turned,
    }


def conv_reference(attrs: ConvAttrs, x: IntArray) -> IntArray:
    """Exact integer convolution. The sums run in float64, which is exact: |acc| < 2**31 << 2**53."""
    cout, cg = attrs.weights.shape[0], attrs.weights.shape[3]
    oh, ow, _ = conv_out_shape(attrs, [(x.shape[0], x.shape[1], x.shape[2])])
    per = cout // attrs.groups
    w = attrs.weights.astype(np.float64)
    acc = np.zeros((oh, ow, attrs.groups, per))
    for ky, kx, view in taps(x.astype(np.float64), attrs.window, attrs.pad_value):
        grouped = view.reshape(oh, ow, attrs.groups, cg)
        wk = w[:, ky, kx].reshape(attrs.groups, per, cg)
        if cg == 1:
            acc += grouped * wk[:, :, 0]
        elif attrs.groups == 1:
            acc[:, :, 0] += grouped[:, :, 0] @ wk[0].T
        else:
            acc += np.einsum("hwgc,gpc->hwgp", grouped, wk)
    return attrs.requant.apply(acc.reshape(oh, ow, cout).astype(np.int64) + attrs.bias)
